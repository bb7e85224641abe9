//! What a recording says, in numbers for each map and in sentences: the verdict that a report begins with.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Evidence;
use crate::{
    format,
    model::{AccessState, Class, Command, FlagKind, PathSummary, Quantile, Severity, Transfer},
    stats::{bins::Bins, sum},
};

/// Maps that are told one by one.
const MAPS: usize = 8;
/// Transfers and warnings that are told one by one.
const TOLD: usize = 5;

/// How a sentence is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tone {
    /// As it should be, or plain fact.
    Fine,
    /// Somebody should look.
    Warning,
}

/// A sentence of the verdict. Raw: names of the host are in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sentence {
    /// How it is meant.
    pub tone: Tone,
    /// The sentence.
    pub text: String,
}

/// Reads and writes of one map (or of the paths without one), by whether their path was optimized.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MapShare {
    /// The map; `None` for paths without one.
    pub map: Option<String>,
    /// Reads and writes.
    pub commands: u64,
    /// Of those, on paths that were active/optimized at dispatch.
    pub optimized: u64,
    /// Of those, on paths in another state that is known.
    pub not_optimized: u64,
    /// Of those, on paths whose state nobody had told.
    pub unknown: u64,
    /// Median of the optimized ones.
    pub optimized_p50: Option<Quantile>,
    /// Median of those that were not.
    pub not_optimized_p50: Option<Quantile>,
    /// What those that were not took longer in all, by the means of the same class (reads, writes);
    /// `None` where there is nothing to compare with. In ns; below zero where they were faster.
    pub added_ns: Option<f64>,
}

/// Of every map, the one with the largest part that was not optimized first.
pub fn shares(evidence: &Evidence) -> Vec<MapShare> {
    let mut maps: BTreeMap<Option<&String>, Vec<&PathSummary>> = BTreeMap::new();
    for path in &evidence.summary.paths {
        maps.entry(path.path.map.as_ref()).or_default().push(path);
    }
    let mut shares: Vec<MapShare> = maps
        .into_iter()
        .map(|(map, paths)| share(map.cloned(), &paths))
        .collect();
    let part = |it: &MapShare| it.not_optimized as f64 / it.commands.max(1) as f64;
    shares.sort_by(|a, b| {
        let named = a.map.is_none().cmp(&b.map.is_none());
        named.then(part(b).total_cmp(&part(a)))
    });
    shares
}

fn share(map: Option<String>, paths: &[&PathSummary]) -> MapShare {
    let mut bins: BTreeMap<(Class, Optimized), Bins> = BTreeMap::new();
    for latency in paths.iter().flat_map(|path| &path.latency) {
        if latency.class != Class::Other && latency.commands > 0 {
            let key = (latency.class, Optimized::of(latency.state));
            bins.entry(key).or_default().add_latency(latency);
        }
    }
    let all = |optimized: Optimized| {
        let mut all = Bins::default();
        let those = bins.iter().filter(|((_, is), _)| *is == optimized);
        those.for_each(|(_, bins)| all.add(bins));
        all
    };
    let (yes, no, unknown) = (
        all(Optimized::Yes),
        all(Optimized::No),
        all(Optimized::Unknown),
    );
    MapShare {
        map,
        commands: sum([yes.commands(), no.commands(), unknown.commands()]),
        optimized: yes.commands(),
        not_optimized: no.commands(),
        unknown: unknown.commands(),
        optimized_p50: yes.quantile(0.5),
        not_optimized_p50: no.quantile(0.5),
        added_ns: added_ns(&bins),
    }
}

/// Whether a path was optimized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Optimized {
    Yes,
    No,
    Unknown,
}

impl Optimized {
    fn of(state: AccessState) -> Self {
        match state {
            AccessState::Optimized => Self::Yes,
            AccessState::Unknown => Self::Unknown,
            _ => Self::No,
        }
    }
}

fn added_ns(bins: &BTreeMap<(Class, Optimized), Bins>) -> Option<f64> {
    let of_class = |class: Class| {
        let no = bins.get(&(class, Optimized::No))?;
        let yes = bins.get(&(class, Optimized::Yes))?;
        Some((no.mean_ns()? - yes.mean_ns()?) * no.commands() as f64)
    };
    let added = [Class::Read, Class::Write].map(of_class);
    added.iter().flatten().copied().reduce(|a, b| a + b)
}

/// The sentences, the most important first.
pub fn sentences(evidence: &Evidence) -> Vec<Sentence> {
    let mut out = vec![traced(evidence), completeness(evidence)];
    out.extend(maps(&shares(evidence)));
    out.extend(transfers(evidence));
    out.extend(warnings(evidence));
    out.extend(slowest(evidence));
    out.extend(command(evidence));
    out
}

fn traced(evidence: &Evidence) -> Sentence {
    let summary = &evidence.summary;
    let commands = sum(summary.paths.iter().map(|it| it.counts.completed));
    let maps: std::collections::BTreeSet<&String> = summary
        .paths
        .iter()
        .filter_map(|it| it.path.map.as_ref())
        .collect();
    let on = match maps.len() as u64 {
        0 => String::new(),
        maps => format!(" of {}", format::plural(maps, "map")),
    };
    let duration = format::duration(summary.duration_ns);
    let paths = format::plural(summary.paths.len() as u64, "path");
    let text = if commands == 0 {
        format!("No I/O was seen in {duration} on {paths}{on}.")
    } else {
        let commands = format::plural(commands, "command");
        format!("{commands} completed in {duration} on {paths}{on}.")
    };
    fine(text)
}

fn completeness(evidence: &Evidence) -> Sentence {
    let summary = &evidence.summary;
    if summary.complete {
        return fine("Complete: every command is accounted for.".to_owned());
    }
    warning(format!(
        "Incomplete: {}.",
        summary.incomplete_because.join("; ")
    ))
}

/// Maps whose I/O was not all optimized one by one, the others together.
fn maps(shares: &[MapShare]) -> Vec<Sentence> {
    let busy = shares
        .iter()
        .filter(|it| it.map.is_some() && it.commands > 0);
    let (fine_ones, others): (Vec<&MapShare>, Vec<&MapShare>) =
        busy.partition(|it| it.not_optimized == 0 && it.unknown == 0);
    let mut out: Vec<Sentence> = others
        .iter()
        .take(MAPS)
        .filter_map(|it| not_optimized(it))
        .collect();
    if others.len() > MAPS {
        let more = format::plural((others.len() - MAPS) as u64, "more map");
        out.push(warning(format!(
            "And {more} with I/O that was not optimized, see below."
        )));
    }
    match fine_ones.as_slice() {
        [] => {}
        [only] => out.extend(not_optimized(only)),
        many => {
            let commands = sum(many.iter().map(|it| it.commands));
            out.push(fine(format!(
                "{} {}: none of their {} reads and writes went over a path that was not optimized.",
                format::count(many.len() as u64),
                if others.is_empty() {
                    "maps"
                } else {
                    "other maps"
                },
                format::count(commands)
            )));
        }
    }
    out
}

fn not_optimized(share: &MapShare) -> Option<Sentence> {
    let map = share.map.as_ref()?;
    if share.not_optimized == 0 {
        let unknown = match share.unknown {
            0 => String::new(),
            n => format!(
                "; of {} nobody had told the state",
                format::share(format::part(n, share.commands))
            ),
        };
        return Some(fine(format!(
            "{map}: none of its {} reads and writes went over a path that was not optimized{unknown}.",
            format::count(share.commands)
        )));
    }
    let part = format::share(format::part(share.not_optimized, share.commands));
    let mut text = format!(
        "{map}: {part} of its I/O ({} of {}) went over paths that were not optimized",
        format::count(share.not_optimized),
        format::count(share.commands),
    );
    if let (Some(no), Some(yes)) = (share.not_optimized_p50, share.optimized_p50) {
        text.push_str(&format!(
            ": {} in the median, {} on optimized ones ({:.1}x)",
            format::latency(Some(no.value_ns)),
            format::latency(Some(yes.value_ns)),
            no.value_ns as f64 / yes.value_ns.max(1) as f64
        ));
    }
    if let Some(added_ns) = share.added_ns.filter(|added| *added > 0.0) {
        text.push_str(&format!(
            ", {} of waiting in all",
            format::duration(added_ns as u64)
        ));
    }
    text.push('.');
    Some(warning(text))
}

fn transfers(evidence: &Evidence) -> Vec<Sentence> {
    let all: Vec<&Transfer> = evidence.transfers.values().collect();
    let told = all.iter().take(TOLD).map(|transfer| {
        let at = format::elapsed(evidence.since_start_ns(transfer.started_at_ns));
        let (subject, what) = (&transfer.subject, transfer.sentence());
        warning(format!("At {at} s {subject} {what}."))
    });
    let mut out: Vec<Sentence> = told.collect();
    if all.len() > TOLD {
        let more = format::plural((all.len() - TOLD) as u64, "more transfer");
        out.push(warning(format!("And {more}, see below.")));
    }
    out
}

/// Warnings that are about neither I/O nor a transfer: those have been told.
fn warnings(evidence: &Evidence) -> Vec<Sentence> {
    let told = |kind| matches!(kind, FlagKind::NonOptimizedIo | FlagKind::OwnershipTransfer);
    let flags = evidence.flags.values();
    let flags = flags.filter(|flag| flag.severity == Severity::Warning && !told(flag.kind));
    let sentence = |flag: &crate::model::Flag| warning(format!("{}: {}.", flag.subject, flag.text));
    flags.take(TOLD).map(sentence).collect()
}

fn slowest(evidence: &Evidence) -> Option<Sentence> {
    let (path, class, command) = slowest_of_all(evidence)?;
    let what = match class {
        Class::Read => "a read".to_owned(),
        Class::Write => "a write".to_owned(),
        Class::Other => format!("opcode {:02x}h", command.opcode),
    };
    let device = path.path.device.as_deref().map(|it| format!(" {it}"));
    let block = command
        .lba
        .map(|lba| format!(" at block {}", format::count(lba)));
    let (device, block) = (device.unwrap_or_default(), block.unwrap_or_default());
    Some(fine(format!(
        "The slowest command took {}: {what}{block} on {}{device} ({}) at {} s.",
        format::latency(Some(command.latency_ns)),
        path.path.hctl,
        command.state.short(),
        format::elapsed(evidence.since_start_ns(command.dispatched_at_ns)),
    )))
}

fn slowest_of_all(evidence: &Evidence) -> Option<(&PathSummary, Class, &Command)> {
    let paths = evidence.summary.paths.iter();
    let commands = paths.flat_map(|path| {
        let latencies = path.latency.iter();
        latencies.flat_map(move |it| {
            it.slowest
                .iter()
                .map(move |command| (path, it.class, command))
        })
    });
    commands.max_by_key(|(_, _, command)| {
        (
            command.latency_ns,
            std::cmp::Reverse(command.dispatched_at_ns),
        )
    })
}

fn command(evidence: &Evidence) -> Option<Sentence> {
    let status = evidence.summary.command_status?;
    let words = evidence.meta.command.join(" ");
    let text = format!("The command ended with status {status}: {words}");
    Some(if status == 0 {
        fine(text)
    } else {
        warning(text)
    })
}

fn fine(text: String) -> Sentence {
    Sentence {
        tone: Tone::Fine,
        text,
    }
}

fn warning(text: String) -> Sentence {
    Sentence {
        tone: Tone::Warning,
        text,
    }
}
