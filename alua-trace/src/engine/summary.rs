//! What is left at the end: every path's account, flags, ownership, and whether anything was lost.

use std::collections::BTreeMap;

use super::{Engine, input::End, paths::Entry, slowest};
use crate::{
    model::{Counts, Flag, Line, Losses, Ownership, PathSummary, Probe, ProbeStatus, Summary},
    stats::sum,
};

impl Engine {
    /// The probes are gone, and nothing comes any more.
    pub(super) fn end(&mut self, end: &End, now_ns: u64) {
        if self.paths.entries().iter().any(|it| it.stats.saw_any()) {
            // Intervals add up to the summary.
            self.interval(now_ns);
        }
        let outcome = self.ownership.finish(now_ns, self.flags.last_id());
        self.say_ownership();
        self.note_around(u64::MAX);
        let left_out = outcome.flags_left_out
            + self.flags.left_out()
            + self.book.all().1
            + outcome.observations_left_out
            + self.witness.early.left_out;
        let losses = self.losses();
        let mut incomplete_because = self.incomplete_because(&losses, &end.probes, left_out);
        incomplete_because.extend(end.ends_early.clone());
        let summary = Summary {
            duration_ns: end.ended_at_ns.saturating_sub(self.began_ns),
            complete: incomplete_because.is_empty(),
            incomplete_because,
            paths: self.path_summaries(end),
            flags: self.all_flags(outcome.flags),
            ownership: self.wanted_units(outcome.units),
            holds: self.holds(),
            losses,
            counting: self.counting,
            probes: end.probes.clone(),
            command_status: end.command_status,
            cost: end.cost.clone(),
        };
        self.lines.push(Line::Summary(summary));
    }

    fn all_flags(&mut self, of_ownership: Vec<Flag>) -> Vec<Flag> {
        let mut flags = self.flags.all();
        flags.extend(of_ownership);
        flags.extend(self.book.all().0);
        flags.sort_by_key(|flag| flag.id);
        flags.retain(|flag| self.wants_flag(flag));
        flags
    }

    fn wanted_units(&self, mut units: Vec<Ownership>) -> Vec<Ownership> {
        units.retain(|unit| self.wants_unit(unit.wwid.as_ref()));
        units
    }

    fn path_summaries(&self, end: &End) -> Vec<PathSummary> {
        let account = |entry: &Entry| {
            let in_flight = end.in_flight.iter();
            let of_its_ids = in_flight.filter(|(id, _)| entry.has_kernel_id(*id));
            let counts = entry.account(of_its_ids.map(|(_, commands)| commands).sum());
            if end.goes_on { so_far(counts) } else { counts }
        };
        let mut paths: Vec<PathSummary> = self
            .shown()
            .map(|entry| PathSummary {
                path: (*entry.label).clone(),
                present: entry.present,
                counts: account(entry),
                share: 0.0,
                latency: slowest::latencies(entry),
                network: self.connections.in_all(entry),
            })
            .collect();
        share(&mut paths);
        paths
    }

    /// Losses since the start.
    #[must_use]
    pub fn losses(&self) -> Losses {
        let global = self.global_counts();
        let mut losses = Losses {
            // A path id that was never introduced is as good as none.
            undecodable: self.undecodable + self.unresolved,
            missed_runs: self.missed_runs,
            not_recorded: self.not_recorded,
            lost_records: global.lost_records,
            path_table_full: global.path_table_full,
            route_table_full: global.route_table_full,
            failed_reads: global.failed_reads,
            unmatched_ends: global.unmatched_ends,
            ..Losses::default()
        };
        for entry in self.shown() {
            let counts = entry.counts();
            losses.ring_full += counts.ring_full;
            losses.untracked += counts.untracked;
            losses.superseded += counts.superseded;
            losses.implausible += entry.implausible;
        }
        losses
    }

    fn incomplete_because(&self, losses: &Losses, probes: &[Probe], left_out: u64) -> Vec<String> {
        let missing = probes
            .iter()
            .filter(|it| matches!(it.status, ProbeStatus::Unsupported | ProbeStatus::Broken))
            .map(|it| format!("no {}: {}", it.name, it.lost_without));
        let unloaded = self
            .unloaded
            .iter()
            .map(|module| format!("{module} was unloaded while tracing"));
        let no_room = (left_out > 0)
            .then(|| format!("{left_out} flags or events about ownership found no room"));
        lost(losses)
            .chain(missing)
            .chain(unloaded)
            .chain(no_room)
            .collect()
    }
}

/// The account of a trace that goes on. Counts were read at one time and records drained at another: what has
/// been told has completed, and what is left is in flight.
fn so_far(counts: Counts) -> Counts {
    let completed = sum([counts.recorded, counts.ring_full, counts.implausible]);
    let ended = sum([
        completed,
        counts.failed,
        counts.timed_out,
        counts.superseded,
        counts.untracked,
    ]);
    let dispatched = counts.dispatched.max(ended);
    Counts {
        dispatched,
        completed,
        in_flight: dispatched - ended,
        ..counts
    }
}

/// What was lost, a sentence for each cause.
fn lost(losses: &Losses) -> impl Iterator<Item = String> {
    [
        (
            losses.ring_full,
            "completed commands found the ring buffer full (--ring-bytes)",
        ),
        (
            losses.not_recorded,
            "completed commands found no room on their way to the recording",
        ),
        (losses.untracked, "commands found no slot to be followed in"),
        (
            losses.superseded,
            "commands were dispatched again before their end was seen",
        ),
        (
            losses.implausible,
            "records had a completion before their dispatch",
        ),
        (losses.undecodable, "records could not be decoded"),
        (
            losses.path_table_full,
            "commands went to devices beyond the path table",
        ),
        (
            losses.route_table_full,
            "commands came by routes beyond the route table",
        ),
        (losses.failed_reads, "reads of kernel memory failed"),
        (
            losses.missed_runs,
            "runs of a probe were left out by the kernel",
        ),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
}

/// Shares among the paths of one map, or among those without one.
pub fn share(paths: &mut [PathSummary]) {
    let mut totals: BTreeMap<Option<String>, u64> = BTreeMap::new();
    for path in &*paths {
        let total = totals.entry(path.path.map.clone()).or_default();
        *total = total.saturating_add(path.counts.completed);
    }
    for path in paths {
        let total = totals.get(&path.path.map).copied().unwrap_or(0);
        path.share = if total > 0 {
            path.counts.completed as f64 / total as f64
        } else {
            0.0
        };
    }
}
