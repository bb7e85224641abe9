//! What the probes' tables say, as inputs of the engine: each slot when its id is new, and again
//! when a record says that it may have changed.

use std::collections::{BTreeMap, BTreeSet};

use alua_trace_ebpf::{
    CommandSlot, Followed, GlobalCounts, MAX_PATHS, NO_PATH, NO_ROUTE, PathCounts, PathSlot, Seen,
    command_flag,
};
use anyhow::Result;

use crate::{
    engine::{InFlight, Input},
    ingest::{self, About},
    kernel::tables::Tables,
    stats::Counted,
};

/// What has been taken of a path id.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// What its last command said: millions a second say the same.
    last: Followed,
    /// Commands that it had a record of, or a count.
    records: u64,
}

impl Taken {
    /// What no command says: there is no such source.
    const NOTHING: Self = Self {
        last: Followed(u64::MAX),
        records: 0,
    };
}

/// What has been told of a path id.
#[derive(Debug, Clone, Copy, Default)]
struct Met {
    slot: PathSlot,
    /// As the engine knows them, but for what has changed since.
    counts: PathCounts,
    /// They have been read since the engine was told.
    is_read: bool,
    has_changed: bool,
}

/// What the engine has been told of the tables.
pub(super) struct Slots {
    /// By path id, as many as there were.
    taken: Vec<Taken>,
    paths: BTreeMap<u16, Met>,
    routes: BTreeSet<u16>,
    /// Paths the probes had met when the path table was last read.
    paths_met: u64,
}

/// Block I/O in flight by path, of the commands in the probes' slots.
pub(super) fn of_paths(commands: &[CommandSlot]) -> Vec<InFlight> {
    let mut found: BTreeMap<u16, InFlight> = BTreeMap::new();
    for command in commands {
        let (path, oldest_ns) = (command.followed.path(), command.dispatch_ns);
        // The slot of one that timed out stays until its command is used again.
        let is_other = command_flag::PASSTHROUGH | command_flag::LATE;
        if command.followed.has(is_other) || path == NO_PATH {
            continue;
        }
        let its = found.entry(path).or_insert(InFlight {
            path,
            commands: 0,
            oldest_ns,
        });
        its.commands += 1;
        its.oldest_ns = its.oldest_ns.min(oldest_ns);
    }
    found.into_values().collect()
}

impl Slots {
    pub fn new() -> Self {
        Self {
            taken: Vec::new(),
            paths: BTreeMap::new(),
            routes: BTreeSet::new(),
            paths_met: 0,
        }
    }

    /// Tells what a record is about before the engine gets it; whether a handler has filed states.
    #[inline]
    pub fn introduce(
        &mut self,
        bytes: &[u8],
        tables: &Tables,
        tell: &mut dyn FnMut(Input<'_>),
    ) -> bool {
        match ingest::about(bytes) {
            Some(About::Command(followed)) => {
                let known = self.taken.get_mut(usize::from(followed.path()));
                if let Some(taken) = known {
                    taken.records += 1;
                    if taken.last == followed {
                        return false;
                    }
                    taken.last = followed;
                } else if let Some(taken) = self.taken_of(followed.path()) {
                    *taken = Taken {
                        last: followed,
                        records: 1,
                    };
                } else {
                    return false;
                }
                self.look(followed.path(), followed.route(), tables, tell);
            }
            Some(About::Path(id)) => self.look(id, NO_ROUTE, tables, tell),
            Some(About::PortGroup(address)) => {
                self.find(address, tables, tell);
                return true;
            }
            None => {}
        }
        false
    }

    /// What has been taken of a path id, which may be new; `None` for [`NO_PATH`].
    #[cold]
    fn taken_of(&mut self, id: u16) -> Option<&mut Taken> {
        if u32::from(id) >= MAX_PATHS {
            return None;
        }
        let at = usize::from(id);
        if self.taken.len() <= at {
            self.taken.resize(at + 1, Taken::NOTHING);
        }
        self.taken.get_mut(at)
    }

    #[cold]
    fn look(&mut self, path: u16, route: u16, tables: &Tables, tell: &mut dyn FnMut(Input<'_>)) {
        if route != NO_ROUTE
            && !self.routes.contains(&route)
            && let Some(slot) = tables.route(route)
        {
            self.routes.insert(route);
            tell(Input::Route(route, &slot));
        }
        self.path(path, tables, tell);
    }

    /// Tells of a path's slot, unless it is as it was.
    fn path(&mut self, id: u16, tables: &Tables, tell: &mut dyn FnMut(Input<'_>)) {
        let Some(slot) = tables.path(id) else {
            return;
        };
        // State and route in it change all the time, and come with each command.
        let settled = PathSlot {
            generation: 0,
            state_source: 0,
            state: 0,
            route: 0,
            seen: Seen::default(),
            ..slot
        };
        let known = self.paths.get(&id).map(|met| met.slot);
        if known != Some(settled) {
            self.paths.entry(id).or_default().slot = settled;
            tell(Input::Path(id, &slot));
        }
    }

    /// Looks for the paths of a port group that none is known of.
    #[cold]
    fn find(&mut self, address: u64, tables: &Tables, tell: &mut dyn FnMut(Input<'_>)) {
        if self
            .paths
            .values()
            .any(|met| met.slot.handler_state == address)
        {
            return;
        }
        let ids: Vec<u16> = self.paths.keys().copied().collect();
        for id in ids {
            self.path(id, tables, tell);
        }
    }

    /// Tells of every path that the probes have met, if there are more than the last time: a path
    /// whose first command has not completed has no record yet.
    pub fn meet(
        &mut self,
        global: &GlobalCounts,
        tables: &Tables,
        tell: &mut dyn FnMut(Input<'_>),
    ) {
        // Reading the whole table costs too much to do it for every new path.
        if global.paths != self.paths_met {
            self.paths_met = global.paths;
            self.meet_all(tables, tell);
        }
    }

    /// Tells of every path that the probes have met.
    pub fn meet_all(&mut self, tables: &Tables, tell: &mut dyn FnMut(Input<'_>)) {
        for (id, slot) in (0..).zip(tables.paths()) {
            if slot.sdev != 0 && !self.paths.contains_key(&id) {
                self.path(id, tables, tell);
            }
        }
    }

    /// Reads what the probes have counted for every path that has been told of.
    pub fn read_counts(&mut self, tables: &Tables) {
        for (id, met) in &mut self.paths {
            let counts = PathCounts {
                completed: met.counts.completed,
                ..tables.counts(*id)
            };
            met.is_read = true;
            if counts != met.counts {
                (met.counts, met.has_changed) = (counts, true);
            }
        }
    }

    /// What of it has changed since the last time, with what has completed by now.
    pub fn take_changed(&mut self) -> Vec<(u16, PathCounts)> {
        let taken = &self.taken;
        let changed = self.paths.iter_mut().filter_map(|(id, met)| {
            // One that is new since the reading has no counts yet.
            let is_read = std::mem::take(&mut met.is_read);
            let completed = completed(taken, *id, &met.counts);
            if !is_read || !met.has_changed && completed == met.counts.completed {
                return None;
            }
            (met.counts.completed, met.has_changed) = (completed, false);
            Some((*id, met.counts))
        });
        changed.collect()
    }

    /// Commands have been counted instead of recorded.
    pub fn count(&mut self, counted: &[Counted]) {
        for it in counted {
            if let Some(taken) = self.taken_of(it.path) {
                taken.records += it.commands();
            }
        }
    }

    /// The counts of a path, with what has completed.
    pub fn counts_of(&self, id: u16, tables: &Tables) -> PathCounts {
        let mut counts = tables.counts(id);
        counts.completed = completed(&self.taken, id, &counts);
        counts
    }

    /// A path id has been given back: who gets it next is told anew.
    pub fn forget_path(&mut self, id: u16) {
        self.paths.remove(&id);
        if let Some(taken) = self.taken.get_mut(usize::from(id)) {
            *taken = Taken::NOTHING;
        }
    }

    /// A route id has been given back.
    pub fn forget_route(&mut self, id: u16) {
        self.routes.remove(&id);
        for taken in self.taken.iter_mut().filter(|it| it.last.route() == id) {
            taken.last = Taken::NOTHING.last;
        }
    }
}

/// What has been taken of a path, and what found no room.
fn completed(taken: &[Taken], id: u16, counts: &PathCounts) -> u64 {
    let records = taken.get(usize::from(id)).map_or(0, |it| it.records);
    records + counts.ring_full
}

/// Commands in flight by path id, without those that are counted as timed out.
///
/// # Errors
/// The map cannot be read: does not happen on a running trace.
pub(super) fn in_flight(tables: &Tables) -> Result<Vec<(u16, u64)>> {
    let mut in_flight: BTreeMap<u16, u64> = BTreeMap::new();
    for command in tables.in_flight()? {
        if !command.followed.has(command_flag::LATE) {
            *in_flight.entry(command.followed.path()).or_default() += 1;
        }
    }
    Ok(in_flight.into_iter().collect())
}
