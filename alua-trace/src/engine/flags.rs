//! Flags: findings raised while the trace runs. One flag per episode, with a running count.
//!
//! `non-optimized-io` begins with the first block I/O dispatched on a path of a logical unit whose
//! state is known and not active/optimized. The probes' exact counts show it before the command
//! completes, so that a slow path is flagged as fast as a quick one. The episode ends when nothing
//! of the kind has been dispatched for [`QUIET_NS`] and nothing is in flight there. Whether it is
//! avoidable (an active/optimized path of the unit was usable) is constant within an episode: when
//! that changes, one ends and the next begins.

use std::collections::BTreeSet;

use alua_trace_ebpf::{OFFENCE_QUIET_NS, PathCounts};

use super::paths::{Entry, Paths};
use crate::{
    report::model::{AccessState, Baseline, Flag, FlagChange, FlagEvent, FlagKind, Severity},
    stats::LatencyHistogram,
};

/// How long nothing may be dispatched over such paths before an episode is over.
pub(super) const QUIET_NS: u64 = OFFENCE_QUIET_NS;

/// Block I/O of a command that matters to flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockIo {
    pub state: AccessState,
    pub dispatch_ns: u64,
    pub latency_ns: u64,
}

/// All flags.
#[derive(Debug, Default)]
pub(super) struct Flags {
    luns: Vec<Lun>,
    ended: Vec<Flag>,
    next_id: u32,
    /// Units with an episode.
    episodes: usize,
}

/// What is kept per logical unit.
#[derive(Debug, Default)]
struct Lun {
    episode: Option<Box<Episode>>,
    /// Dispatches up to here belong to episodes that are over.
    over_ns: u64,
    /// Offending block I/O dispatched, and all of it, when last looked.
    offences: u64,
    total: u64,
}

#[derive(Debug)]
struct Episode {
    flag: Flag,
    raised: bool,
    offending: LatencyHistogram,
    optimized: LatencyHistogram,
    /// Median of the optimized commands before the episode.
    before_ns: Option<u64>,
    paths: BTreeSet<String>,
    /// Counts of the unit when the episode began.
    offences: u64,
    total: u64,
    active_at_ns: u64,
}

impl Flags {
    fn lun(&mut self, lun: usize) -> &mut Lun {
        if self.luns.len() <= lun {
            self.luns.resize_with(lun + 1, Lun::default);
        }
        &mut self.luns[lun]
    }

    /// A command completed.
    #[inline]
    pub fn command(&mut self, entry: &Entry, io: &BlockIo) {
        let lun = self.lun(entry.lun);
        let had_episode = lun.episode.is_some();
        match io.state {
            AccessState::Unknown => {}
            AccessState::Optimized => {
                if let Some(episode) = &mut lun.episode {
                    episode.optimized.record(io.latency_ns);
                }
            }
            _ if io.dispatch_ns <= lun.over_ns => {}
            _ => lun.offence(entry, io),
        }
        let begun = !had_episode && lun.episode.is_some();
        self.episodes += usize::from(begun);
    }

    /// New counts of a path: `old` were read at `since_ns`, `new` at `now_ns`.
    pub fn counts(
        &mut self,
        entry: &Entry,
        old: &PathCounts,
        new: &PathCounts,
        since_ns: u64,
        now_ns: u64,
    ) {
        let grown = offences(new).saturating_sub(offences(old));
        let all = block_io(new).saturating_sub(block_io(old));
        let lun = self.lun(entry.lun);
        let begun = grown > 0 && lun.episode.is_none();
        if grown > 0 {
            let episode = lun.episode.get_or_insert_with(|| {
                Box::new(Episode::new(
                    since_ns.max(lun.over_ns),
                    lun.offences,
                    lun.total,
                ))
            });
            episode.active_at_ns = now_ns;
            // When avoidability has changed, the kernel's episode began before this one.
            let flag = &mut episode.flag;
            if new.offence_first_ns > lun.over_ns
                && (begun || new.offence_first_ns < flag.first_at_ns)
            {
                flag.first_at_ns = new.offence_first_ns;
            }
            flag.last_at_ns = flag.last_at_ns.max(new.offence_last_ns);
            if !episode.paths.contains(&entry.label.hctl) {
                episode.paths.insert(entry.label.hctl.clone());
            }
        }
        lun.offences += grown;
        lun.total += all;
        self.episodes += usize::from(begun);
    }

    /// The last id given to a flag, for others that give ids.
    pub fn last_id(&mut self) -> &mut u32 {
        &mut self.next_id
    }

    /// Whether any unit has an episode: commands on optimized paths matter then, too.
    #[inline]
    pub fn any_episode(&self) -> bool {
        self.episodes > 0
    }

    /// Whether an episode waits to be raised: a fresh look at the topology is due first.
    pub fn pending(&self) -> bool {
        self.luns
            .iter()
            .any(|lun| lun.episode.as_ref().is_some_and(|episode| !episode.raised))
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, now_ns: u64, say: &mut dyn FnMut(FlagEvent)) {
        for index in 0..self.luns.len() {
            let lun = &mut self.luns[index];
            let Some(episode) = &mut lun.episode else {
                continue;
            };
            let avoidable = avoidable(paths, index);
            if !episode.raised {
                self.next_id += 1;
                // Counts are read now and then: what was not an offence until now came before.
                let offences = lun.offences.saturating_sub(episode.offences);
                episode.total = lun.total.saturating_sub(offences);
                episode.raise(paths, index, self.next_id, avoidable, now_ns);
                episode.refresh(lun.offences, lun.total);
                say(FlagEvent {
                    change: FlagChange::Raised,
                    flag: episode.flag.clone(),
                });
                continue;
            }
            let changed = episode.flag.avoidable != Some(avoidable);
            let quiet = now_ns.saturating_sub(episode.active_at_ns) >= QUIET_NS
                && !in_flight(paths, index, &episode.paths);
            if !quiet && !changed {
                continue;
            }
            let Some(mut episode) = lun.episode.take() else {
                continue;
            };
            self.episodes = self.episodes.saturating_sub(1);
            episode.refresh(lun.offences, lun.total);
            episode.flag.ended_at_ns = Some(if quiet {
                episode.flag.last_at_ns
            } else {
                now_ns
            });
            lun.over_ns = episode.flag.ended_at_ns.unwrap_or(now_ns);
            say(FlagEvent {
                change: FlagChange::Ended,
                flag: episode.flag.clone(),
            });
            self.ended.push(episode.flag);
        }
    }

    /// Says how the raised ones go on.
    pub fn update(&mut self, say: &mut dyn FnMut(FlagEvent)) {
        for lun in &mut self.luns {
            if let Some(episode) = lun.episode.as_mut().filter(|episode| episode.raised) {
                let before = episode.flag.commands;
                episode.refresh(lun.offences, lun.total);
                if episode.flag.commands != before {
                    say(FlagEvent {
                        change: FlagChange::Updated,
                        flag: episode.flag.clone(),
                    });
                }
            }
        }
    }

    /// A module the trace depends on is gone.
    pub fn module_unloaded(&mut self, module: &str, now_ns: u64) -> FlagEvent {
        self.next_id += 1;
        let flag = Flag {
            id: self.next_id,
            kind: FlagKind::ModuleUnloaded,
            subject: module.into(),
            text: format!(
                "{module} was unloaded while tracing: access states are no longer known; load it \
                 again (modprobe {module}) and the trace goes on"
            ),
            ended_at_ns: Some(now_ns),
            ..blank(now_ns)
        };
        self.ended.push(flag.clone());
        FlagEvent {
            change: FlagChange::Raised,
            flag,
        }
    }

    /// Every flag of the trace, in the order they were raised.
    pub fn all(&mut self) -> Vec<Flag> {
        let mut flags = self.ended.clone();
        for lun in &mut self.luns {
            if let Some(episode) = lun.episode.as_mut().filter(|episode| episode.raised) {
                episode.refresh(lun.offences, lun.total);
                flags.push(episode.flag.clone());
            }
        }
        flags.sort_by_key(|flag| flag.id);
        flags
    }
}

impl Lun {
    fn offence(&mut self, entry: &Entry, io: &BlockIo) {
        let (offences, total) = (self.offences, self.total);
        let episode = self
            .episode
            .get_or_insert_with(|| Box::new(Episode::new(io.dispatch_ns, offences, total)));
        let flag = &mut episode.flag;
        flag.first_at_ns = flag.first_at_ns.min(io.dispatch_ns);
        flag.last_at_ns = flag.last_at_ns.max(io.dispatch_ns);
        episode.active_at_ns = episode.active_at_ns.max(io.dispatch_ns);
        episode.offending.record(io.latency_ns);
        if !episode.paths.contains(&entry.label.hctl) {
            episode.paths.insert(entry.label.hctl.clone());
        }
    }
}

impl Episode {
    fn new(first_at_ns: u64, offences: u64, total: u64) -> Self {
        Self {
            flag: blank(first_at_ns),
            raised: false,
            offending: LatencyHistogram::default(),
            optimized: LatencyHistogram::default(),
            before_ns: None,
            paths: BTreeSet::new(),
            offences,
            total,
            active_at_ns: first_at_ns,
        }
    }

    fn raise(&mut self, paths: &Paths, lun: usize, id: u32, avoidable: bool, now_ns: u64) {
        let mut before = LatencyHistogram::default();
        for entry in paths.of_lun(lun) {
            entry
                .stats
                .add_block_io(AccessState::Optimized, &mut before);
        }
        self.before_ns = before.quantile_ns(0.5);
        self.raised = true;
        let label = paths
            .of_lun(lun)
            .map(|entry| &entry.label)
            .find(|label| label.map.is_some());
        let label = label.or_else(|| paths.of_lun(lun).map(|entry| &entry.label).next());
        let flag = &mut self.flag;
        flag.id = id;
        flag.raised_at_ns = now_ns;
        flag.avoidable = Some(avoidable);
        flag.severity = if avoidable {
            Severity::Warning
        } else {
            Severity::Info
        };
        if let Some(label) = label {
            flag.subject = label
                .map
                .clone()
                .or_else(|| label.device.clone())
                .unwrap_or_else(|| label.hctl.clone());
            flag.wwid = label.wwid.clone();
        }
        flag.text = text(paths, lun, &self.paths, avoidable);
    }

    fn refresh(&mut self, offences: u64, total: u64) {
        let flag = &mut self.flag;
        // The stream may be ahead of the counts, and the counts of a full ring buffer.
        flag.commands = offences
            .saturating_sub(self.offences)
            .max(self.offending.len());
        let all = total.saturating_sub(self.total).max(flag.commands);
        flag.share = if all == 0 {
            1.0
        } else {
            flag.commands as f64 / all as f64
        };
        flag.p50_ns = self.offending.quantile_ns(0.5);
        let (optimized, baseline) = match self.optimized.quantile_ns(0.5) {
            Some(same) => (Some(same), Some(Baseline::SamePeriod)),
            None => (self.before_ns, self.before_ns.map(|_| Baseline::Before)),
        };
        flag.optimized_p50_ns = optimized;
        flag.baseline = baseline;
        flag.paths = self.paths.iter().cloned().collect();
    }
}

fn blank(at_ns: u64) -> Flag {
    Flag {
        id: 0,
        kind: FlagKind::NonOptimizedIo,
        severity: Severity::Warning,
        subject: String::new(),
        wwid: None,
        avoidable: None,
        first_at_ns: at_ns,
        last_at_ns: at_ns,
        raised_at_ns: at_ns,
        ended_at_ns: None,
        commands: 0,
        share: 0.0,
        p50_ns: None,
        optimized_p50_ns: None,
        baseline: None,
        paths: Vec::new(),
        text: String::new(),
    }
}

/// An active/optimized path of the unit could have been used.
fn avoidable(paths: &Paths, lun: usize) -> bool {
    optimized(paths, lun).next().is_some()
}

fn optimized(paths: &Paths, lun: usize) -> impl Iterator<Item = &Entry> {
    paths.of_lun(lun).filter(|entry| {
        entry.present && entry.usable && entry.label.state == AccessState::Optimized
    })
}

fn in_flight(paths: &Paths, lun: usize, hctls: &BTreeSet<String>) -> bool {
    paths.of_lun(lun).any(|entry| {
        entry.in_flight() > 0
            && entry.label.state != AccessState::Optimized
            && hctls.contains(&entry.label.hctl)
    })
}

fn text(paths: &Paths, lun: usize, over: &BTreeSet<String>, avoidable: bool) -> String {
    let over: Vec<&str> = over.iter().map(String::as_str).collect();
    let usable: Vec<&str> = optimized(paths, lun)
        .map(|entry| entry.label.hctl.as_str())
        .collect();
    if avoidable {
        format!(
            "I/O goes over {}, not active/optimized, although {} is active/optimized and usable",
            over.join(" "),
            usable.join(" "),
        )
    } else {
        format!(
            "I/O goes over {}, not active/optimized: no active/optimized path is usable",
            over.join(" "),
        )
    }
}

/// Block I/O dispatched in a known state other than active/optimized.
fn offences(counts: &PathCounts) -> u64 {
    counts.dispatched_by_state[1..7].iter().sum()
}

/// Block I/O dispatched.
fn block_io(counts: &PathCounts) -> u64 {
    counts.dispatched_by_state.iter().sum()
}
