//! What a trace has come to: what somebody who reads on from here must know. Kept up beside a recording that
//! goes on in another file, and by a replay that begins in the middle.

use std::{collections::BTreeMap, sync::Arc};

use alua_trace_ebpf::{CommandRecord, Followed, GlobalCounts, PathCounts, PathSlot, RouteSlot};

use crate::{engine::Input, model::CountingChange, topology::Topology};

/// Paths, routes and counts as they are, and how many records have been told of each path.
#[derive(Debug, Clone, Default)]
pub struct State {
    topology: Option<Arc<Topology>>,
    /// When what the topology tells was found.
    topology_ns: u64,
    paths: BTreeMap<u16, PathSlot>,
    routes: BTreeMap<u16, RouteSlot>,
    global: GlobalCounts,
    per_path: BTreeMap<u16, PathCounts>,
    /// Completed commands that a record, or a count, has told of, by path id.
    records: BTreeMap<u16, u64>,
    /// What became of commands last, and since when.
    counting: Option<(u64, CountingChange)>,
}

/// Where a command's record has its path.
const FOLLOWED: usize = std::mem::offset_of!(CommandRecord, followed);

impl State {
    /// Follows an input that is no command's record.
    pub fn follow(&mut self, at_ns: u64, input: Input<'_>) {
        match input {
            Input::Topology(topology) => self.topology(at_ns, Arc::new(topology.clone())),
            Input::Path(id, slot) => {
                self.paths.insert(id, *slot);
            }
            Input::PathRetired(id, _) => {
                self.paths.remove(&id);
                self.per_path.remove(&id);
                self.records.remove(&id);
            }
            Input::Route(id, slot) => {
                self.routes.insert(id, *slot);
            }
            Input::Counts(global, per_path) => {
                self.global = *global;
                self.per_path.extend(per_path.iter().copied());
            }
            Input::Counted(counted) => {
                for it in counted {
                    self.records_of(it.path, it.commands());
                }
            }
            Input::Counting(change) => self.counting = Some((at_ns, change)),
            Input::Resumed(global, per_path) => {
                self.global = *global;
                for (id, counts) in per_path {
                    let records = counts.completed.wrapping_sub(counts.ring_full);
                    self.records.insert(*id, records);
                    self.per_path.insert(*id, *counts);
                }
            }
            _ => {}
        }
    }

    /// As [`Self::follow`] with a topology that is shared.
    pub fn topology(&mut self, at_ns: u64, topology: Arc<Topology>) {
        self.topology = Some(topology);
        self.topology_ns = at_ns;
    }

    /// Follows the record of a command.
    pub fn record(&mut self, record: &[u8]) {
        if let Some(followed) = record.get(FOLLOWED..).and_then(<[u8]>::first_chunk) {
            self.records_of(Followed(u64::from_ne_bytes(*followed)).path(), 1);
        }
    }

    /// Follows so many records of one path.
    pub fn records_of(&mut self, path: u16, count: u64) {
        let known = self.records.entry(path).or_default();
        *known = known.wrapping_add(count);
    }

    /// Gives what a new engine must be given for what follows to be counted from here.
    pub fn give(&self, at_ns: u64, take: &mut impl FnMut(u64, Input<'_>)) {
        if let Some(topology) = &self.topology {
            take(self.topology_ns, Input::Topology(topology));
        }
        for (id, slot) in &self.paths {
            take(at_ns, Input::Path(*id, slot));
        }
        for (id, slot) in &self.routes {
            take(at_ns, Input::Route(*id, slot));
        }
        take(at_ns, Input::Resumed(&self.global, &self.told()));
        take(at_ns, Input::Begin);
        if let Some((since_ns, change)) = self.counting.filter(|it| it.1 != CountingChange::Over) {
            take(since_ns, Input::Counting(change));
        }
    }

    /// Counts by what has been told: a command that has completed, and whose record is still on its way,
    /// is one of those that follow.
    fn told(&self) -> Vec<(u16, PathCounts)> {
        let of_path = |(id, counts): (&u16, &PathCounts)| {
            let records = self.records.get(id).copied().unwrap_or_default();
            let completed = records.wrapping_add(counts.ring_full);
            (
                *id,
                PathCounts {
                    completed,
                    ..*counts
                },
            )
        };
        self.per_path.iter().map(of_path).collect()
    }

    /// What it takes in memory, about; the topology is shared.
    pub(super) fn bytes(&self) -> usize {
        self.paths.len() * (size_of::<PathSlot>() + size_of::<PathCounts>())
            + self.routes.len() * size_of::<RouteSlot>()
    }

    /// Global counts, and those of each path, as they were read last.
    pub(super) fn counts(&self) -> (&GlobalCounts, Vec<(u16, PathCounts)>) {
        let per_path = self.per_path.iter().map(|(id, counts)| (*id, *counts));
        (&self.global, per_path.collect())
    }
}
