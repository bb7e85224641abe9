//! The engine: which path, which state, which flag. Pure: no clock, no I/O, no aya.
//!
//! It has one door: [`Engine::take`] takes every [`Input`] with its time, [`Engine::wants`] says what
//! its source should do next, and [`Engine::take_lines`] gives what is to be said. The order of the
//! inputs decides every line, byte for byte: a recording drives it as a live trace does.

use std::collections::BTreeMap;

use alua_trace_ebpf::{GlobalCounts, MAX_PATHS, PathCounts, PathSlot};

use crate::{
    ingest::{self, Record},
    model::{Counting, Line, PathEvent},
    topology::Topology,
};
use book::Book;
use connections::Connections;
use flags::Flags;
use ids::Ids;
use io::Carried;
use ownership::Ownership;
use paths::Paths;
use stuck::Stuck;
use witness::Witness;

pub use input::{End, InFlight, Input, Wants};
pub use summary::share;
pub use thresholds::Thresholds;

mod book;
mod commands;
mod connections;
mod early;
mod flags;
mod ids;
mod input;
mod interval;
mod io;
pub mod ownership;
mod paths;
mod resume;
mod shown;
mod slowest;
mod stuck;
mod summary;
#[cfg(test)]
mod tests;
mod thresholds;
mod witness;

/// What is wanted of a trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Maps to report on, by name; all when empty.
    pub maps: Vec<String>,
    /// A line for each command.
    pub commands: bool,
    /// What findings are judged by.
    pub thresholds: Thresholds,
}

/// The state of a trace.
pub struct Engine {
    wanted: Wanted,
    paths: Paths,
    ids: Ids,
    flags: Flags,
    witness: Witness,
    carried: Carried,
    ownership: Ownership,
    unnoted: slowest::Unnoted,
    connections: Connections,
    stuck: Stuck,
    /// Flags of `connections` and `stuck`.
    book: Book,
    lines: Vec<Line>,
    global: GlobalCounts,
    /// Those that are not counted here: a trace was under way.
    global_before: GlobalCounts,
    undecodable: u64,
    /// Records of a path id that was never introduced.
    unresolved: u64,
    missed_runs: u64,
    /// Commands that a recording has lost.
    not_recorded: u64,
    /// Since when commands are counted in the kernel.
    counting: Option<Counting>,
    /// Modules that were unloaded under the trace.
    unloaded: Vec<String>,
    began_ns: u64,
    interval_began_ns: u64,
    counts_read_ns: u64,
}

impl Engine {
    /// An engine for one trace.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self {
            ownership: Ownership::new(wanted.thresholds),
            connections: Connections::default(),
            stuck: Stuck::default(),
            book: Book::new(wanted.thresholds),
            wanted,
            paths: Paths::default(),
            ids: Ids::default(),
            flags: Flags::default(),
            witness: Witness::default(),
            carried: Carried::default(),
            unnoted: slowest::Unnoted::default(),
            lines: Vec::new(),
            global: GlobalCounts::default(),
            global_before: GlobalCounts::default(),
            undecodable: 0,
            unresolved: 0,
            missed_runs: 0,
            not_recorded: 0,
            counting: None,
            unloaded: Vec::new(),
            began_ns: 0,
            interval_began_ns: 0,
            counts_read_ns: 0,
        }
    }

    /// Takes one input, which came (or was read) at `at_ns` on the monotonic clock.
    // Where it is called with a record there is nothing else to do for most.
    #[inline(always)]
    pub fn take(&mut self, at_ns: u64, input: Input<'_>) {
        match input {
            Input::Record(bytes) => {
                let command = ingest::command_of(bytes);
                if !command.is_some_and(|record| self.usual(&record)) {
                    self.record(bytes);
                }
            }
            other => self.take_rare(at_ns, other),
        }
    }

    // Not inlined, and decodes for itself: a usual command's record stays in registers.
    #[inline(never)]
    fn record(&mut self, bytes: &[u8]) {
        match ingest::decode(bytes) {
            Ok(Record::Command(record)) => self.command(&record),
            Ok(Record::Rtpg(record)) => self.file(&record),
            Ok(Record::Management(bytes)) => self.management(&ingest::management(bytes)),
            Ok(Record::Dm(bytes)) => self.dm(&ingest::dm(bytes)),
            Err(_) => self.undecodable += 1,
        }
    }

    #[inline(never)]
    fn take_rare(&mut self, at_ns: u64, input: Input<'_>) {
        match input {
            Input::Begin => self.begin(at_ns),
            Input::Record(bytes) => self.record(bytes),
            Input::Path(id, slot) => self.path(id, slot),
            Input::PathRetired(id, counts) => self.path_retired(id, counts),
            Input::Route(id, slot) => {
                self.ids.route_is(id, slot);
                self.paths.route_is_new(id);
            }
            Input::Counting(change) => self.counting(change, at_ns),
            Input::Counted(counted) => counted.iter().for_each(|it| self.counted(it)),
            Input::Counts(global, per_path) => self.counts(global, per_path, at_ns),
            Input::Resumed(global, per_path) => self.resumed(global, per_path),
            Input::Topology(topology) => self.topology(topology, at_ns),
            Input::MissedRuns(runs) => self.missed_runs = runs,
            Input::ModuleUnloaded(module) => self.module_unloaded(module, at_ns),
            Input::NotRecorded(commands) => {
                self.not_recorded = self.not_recorded.saturating_add(commands);
            }
            Input::InFlight(in_flight) => self.looked(in_flight, at_ns),
            Input::Connections(connections) => self.connections.take(connections, at_ns),
            Input::Tick => self.tick(at_ns),
            Input::Interval => self.interval(at_ns),
            Input::End(end) => self.end(end, at_ns),
        }
    }

    /// What the source should do next.
    pub fn wants(&mut self) -> Wants {
        Wants {
            scan: self.flags.pending(&self.paths),
            retire: self.paths.take_stale(),
            in_flight: self.stuck.wants_look(),
        }
    }

    /// Whether the probes met a path that topology has not known yet: a scan should come before the end.
    #[must_use]
    pub fn wants_scan_before_end(&self) -> bool {
        self.paths.any_unknown()
    }

    /// Handlers (`alua`, `rdac`) with a path in a state in which they refuse I/O.
    #[must_use]
    pub fn refusing(&self) -> Vec<&'static str> {
        self.paths.refusing()
    }

    /// Whether I/O goes over ports that are not active/optimized.
    #[must_use]
    pub fn is_flagged(&self) -> bool {
        self.flags.any_episode()
    }

    /// H:C:T:L of a path id.
    #[must_use]
    pub fn address(&self, path: u16) -> Option<String> {
        let entry = self.ids.path(path).and_then(|index| self.paths.get(index));
        entry.map(|entry| entry.label.hctl.clone())
    }

    /// How much there is to say.
    #[inline]
    #[must_use]
    pub fn waiting_lines(&self) -> usize {
        self.lines.len()
    }

    /// What is to be said since the last call, in order.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    fn begin(&mut self, at_ns: u64) {
        self.began_ns = at_ns;
        self.interval_began_ns = at_ns;
        self.counts_read_ns = at_ns;
    }

    /// A path id has been given, or what the probes know of it has changed.
    fn path(&mut self, id: u16, slot: &PathSlot) {
        if usize::from(id) >= MAX_PATHS as usize {
            return;
        }
        let address = ids::address(slot);
        let is_its = |index: &usize| self.paths.get(*index).is_some_and(|it| it.hctl == address);
        let index = match self.ids.path(id).filter(is_its) {
            Some(index) => index,
            None => {
                let index = self.paths.resolve(id, address);
                self.ids.path_is(id, index);
                index
            }
        };
        self.note_slot(index, slot);
    }

    fn path_retired(&mut self, id: u16, counts: &PathCounts) {
        if let Some(index) = self.ids.path(id) {
            self.paths.set_counts(index, id, counts);
            self.paths.retire(index, id);
            self.ids.forget_path(id);
        }
    }

    fn topology(&mut self, topology: &Topology, at_ns: u64) {
        for event in self.paths.relabel(topology, at_ns) {
            self.say_path(event);
        }
        self.stuck.unsettle();
        self.follow_moved();
        self.witness.label(topology, self.paths.entries());
        self.introduce(at_ns);
        self.tell_early(at_ns);
    }

    fn counts(&mut self, global: &GlobalCounts, per_path: &[(u16, PathCounts)], at_ns: u64) {
        self.global = *global;
        for (id, new) in per_path {
            self.path_counts(*id, new, at_ns);
        }
        self.counts_read_ns = at_ns;
    }

    fn path_counts(&mut self, id: u16, new: &PathCounts, at_ns: u64) {
        let Some(index) = self.ids.path(id) else {
            return;
        };
        let Some(old) = self.paths.get(index).map(|it| *it.counts()) else {
            return;
        };
        self.paths.set_counts(index, id, new);
        self.stuck.unsettle();
        let Some(entry) = self.paths.get(index).filter(|it| it.is_known()) else {
            return;
        };
        let new = *entry.counts();
        if let Some((state, offence_ns)) = flags::last_non_optimized(&old, &new)
            && let Some(event) = self.paths.counted_in_state(index, state, offence_ns)
        {
            self.say_path(event);
        }
        if let Some(entry) = self.paths.get(index) {
            self.flags
                .counts(entry, &old, &new, self.counts_read_ns, at_ns);
        }
    }

    fn tick(&mut self, at_ns: u64) {
        let mut events = Vec::new();
        self.flags
            .tick(&self.paths, at_ns, &mut |event| events.push(event));
        self.say_flags(events);
        self.tick_paths(at_ns);
        self.ownership.tick(at_ns, self.flags.last_id());
        self.note_around(at_ns);
        self.paths.contradict(|lun| self.ownership.owner_of(lun));
        self.say_ownership();
    }

    fn looked(&mut self, in_flight: &[InFlight], at_ns: u64) {
        let mut of_path: BTreeMap<usize, InFlight> = BTreeMap::new();
        for one in in_flight {
            // A path has several ids when its device came and went.
            if let Some(index) = self.ids.path(one.path) {
                let its = of_path.entry(index).or_insert(InFlight {
                    commands: 0,
                    ..*one
                });
                its.commands = its.commands.saturating_add(one.commands);
                its.oldest_ns = its.oldest_ns.min(one.oldest_ns);
            }
        }
        self.stuck.looked(&mut self.paths, &of_path, at_ns);
    }

    /// Findings about what a path goes over.
    fn tick_paths(&mut self, at_ns: u64) {
        self.book.number_from(*self.flags.last_id());
        self.stuck
            .tick(&self.paths, &self.connections, &mut self.book, at_ns);
        self.connections.tick(&self.paths, &mut self.book, at_ns);
        *self.flags.last_id() = self.book.last_id();
        for line in self.book.take_lines() {
            if let Line::Flag(event) = line {
                self.say_flags(vec![event]);
            }
        }
    }

    fn module_unloaded(&mut self, module: &str, at_ns: u64) {
        self.unloaded.push(module.to_owned());
        let event = self.flags.module_unloaded(module, at_ns);
        self.lines.push(Line::Flag(event));
    }

    fn say_path(&mut self, event: PathEvent) {
        if self.wants_map(event.path.map.as_ref()) {
            self.lines.push(Line::Path(event));
        }
    }
}
