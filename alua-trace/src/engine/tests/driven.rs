//! An engine as a live trace drives it, for tests: slots come before the records that need them.

use std::{
    collections::BTreeSet,
    ops::{Deref, DerefMut},
};

use alua_trace_ebpf::{ManagementRecord, RtpgRecord};

use super::*;
use crate::{
    ingest::bytes_of,
    model::{Interval, Summary},
};

/// What the probes know of the ids in their records.
pub(super) trait Tables {
    /// A path.
    fn path(&self, id: u16) -> Option<PathSlot>;
    /// A route.
    fn route(&self, id: u16) -> Option<RouteSlot>;
}

/// An engine and the ids it has been told of.
pub(super) struct Driven {
    engine: Engine,
    ids: BTreeSet<u16>,
}

impl Deref for Driven {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

impl DerefMut for Driven {
    fn deref_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }
}

impl Driven {
    pub fn new(wanted: Wanted) -> Self {
        Self {
            engine: Engine::new(wanted),
            ids: BTreeSet::new(),
        }
    }

    pub fn command(&mut self, record: &CommandRecord, tables: &dyn Tables) {
        if let Some(slot) = tables.route(record.followed.route()) {
            self.take(0, Input::Route(record.followed.route(), &slot));
        }
        self.resolve(record.followed.path(), tables);
        self.take(0, Input::Record(&bytes_of(record)));
    }

    pub fn management(&mut self, record: &ManagementRecord, tables: &dyn Tables) {
        self.resolve(record.path, tables);
        self.take(0, Input::Record(&bytes_of(record)));
    }

    pub fn filed(&mut self, record: &RtpgRecord, tables: &dyn Tables) {
        for id in self.ids.clone() {
            self.resolve(id, tables);
        }
        self.take(0, Input::Record(&bytes_of(record)));
    }

    pub fn resolve(&mut self, id: u16, tables: &dyn Tables) {
        if let Some(slot) = tables.path(id) {
            self.ids.insert(id);
            self.take(0, Input::Path(id, &slot));
        }
    }

    pub fn topology(&mut self, topology: &Topology, at_ns: u64) {
        self.take(at_ns, Input::Topology(topology));
    }

    pub fn counts(&mut self, global: GlobalCounts, per_path: &[(u16, PathCounts)], at_ns: u64) {
        self.take(at_ns, Input::Counts(&global, per_path));
    }

    /// Block I/O in flight: ids of paths with how many, and since when.
    pub fn in_flight(&mut self, at_ns: u64, found: &[(u16, u64, u64)]) {
        let found = found.iter().map(|(path, commands, oldest_ns)| InFlight {
            path: *path,
            commands: *commands,
            oldest_ns: *oldest_ns,
        });
        self.take(at_ns, Input::InFlight(&found.collect::<Vec<_>>()));
    }

    pub fn tick(&mut self, at_ns: u64) {
        self.take(at_ns, Input::Tick);
    }

    pub fn interval(&mut self, at_ns: u64) -> Interval {
        self.take(at_ns, Input::Interval);
        match self.take_lines().pop() {
            Some(Line::Interval(interval)) => std::sync::Arc::unwrap_or_clone(interval),
            other => panic!("{other:?}"),
        }
    }

    pub fn finish(&mut self, at_ns: u64, in_flight: &dyn Fn(u16) -> u64) -> Summary {
        let ids = self.ids.iter();
        let end = End {
            ended_at_ns: at_ns,
            in_flight: ids.map(|id| (*id, in_flight(*id))).collect(),
            ..End::default()
        };
        self.take(at_ns, Input::End(&end));
        match self.take_lines().pop() {
            Some(Line::Summary(summary)) => summary,
            other => panic!("{other:?}"),
        }
    }
}
