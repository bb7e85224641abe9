//! An input that is no command's record, kept until it is written.

use std::sync::Arc;

use alua_trace_ebpf::{GlobalCounts, PathCounts, PathSlot, RouteSlot};

use crate::{
    engine::{End, InFlight, Input},
    iscsi::Connection,
    model::CountingChange,
    stats::Counted,
    topology::Topology,
};

/// What a topology takes for each of its devices, about.
const DEVICE_BYTES: usize = 512;

/// An owned [`Input`].
pub enum Kept {
    /// [`Input::Begin`].
    Begin,
    /// [`Input::Record`].
    Record(Box<[u8]>),
    /// [`Input::Path`].
    Path(u16, PathSlot),
    /// [`Input::PathRetired`].
    PathRetired(u16, Box<PathCounts>),
    /// [`Input::Route`].
    Route(u16, RouteSlot),
    /// [`Input::Counting`].
    Counting(CountingChange),
    /// [`Input::Counted`].
    Counted(Vec<Counted>),
    /// [`Input::Counts`].
    Counts(Box<GlobalCounts>, Vec<(u16, PathCounts)>),
    /// [`Input::Resumed`].
    Resumed(Box<GlobalCounts>, Vec<(u16, PathCounts)>),
    /// [`Input::Topology`].
    Topology(Arc<Topology>),
    /// [`Input::MissedRuns`].
    MissedRuns(u64),
    /// [`Input::ModuleUnloaded`].
    ModuleUnloaded(String),
    /// [`Input::InFlight`].
    InFlight(Vec<InFlight>),
    /// [`Input::Connections`].
    Connections(Vec<Connection>),
    /// [`Input::Tick`].
    Tick,
    /// [`Input::Interval`].
    Interval,
    /// [`Input::End`].
    End(Box<End>),
    /// [`Input::NotRecorded`].
    NotRecorded(u64),
}

impl Kept {
    /// A copy.
    pub fn of(input: Input<'_>) -> Self {
        match input {
            Input::Begin => Self::Begin,
            Input::Record(bytes) => Self::Record(bytes.into()),
            Input::Path(id, slot) => Self::Path(id, *slot),
            Input::PathRetired(id, counts) => Self::PathRetired(id, Box::new(*counts)),
            Input::Route(id, slot) => Self::Route(id, *slot),
            Input::Counting(change) => Self::Counting(change),
            Input::Counted(counted) => Self::Counted(counted.to_vec()),
            Input::Counts(global, per_path) => Self::Counts(Box::new(*global), per_path.to_vec()),
            Input::Resumed(global, per_path) => Self::Resumed(Box::new(*global), per_path.to_vec()),
            Input::Topology(topology) => Self::Topology(Arc::new(topology.clone())),
            Input::MissedRuns(runs) => Self::MissedRuns(runs),
            Input::ModuleUnloaded(module) => Self::ModuleUnloaded(module.to_owned()),
            Input::InFlight(in_flight) => Self::InFlight(in_flight.to_vec()),
            Input::Connections(connections) => Self::Connections(connections.to_vec()),
            Input::Tick => Self::Tick,
            Input::Interval => Self::Interval,
            Input::End(end) => Self::End(Box::new(end.clone())),
            Input::NotRecorded(commands) => Self::NotRecorded(commands),
        }
    }

    /// The input.
    pub fn input(&self) -> Input<'_> {
        match self {
            Self::Begin => Input::Begin,
            Self::Record(bytes) => Input::Record(bytes),
            Self::Path(id, slot) => Input::Path(*id, slot),
            Self::PathRetired(id, counts) => Input::PathRetired(*id, counts),
            Self::Route(id, slot) => Input::Route(*id, slot),
            Self::Counting(change) => Input::Counting(*change),
            Self::Counted(counted) => Input::Counted(counted),
            Self::Counts(global, per_path) => Input::Counts(global, per_path),
            Self::Resumed(global, per_path) => Input::Resumed(global, per_path),
            Self::Topology(topology) => Input::Topology(topology),
            Self::MissedRuns(runs) => Input::MissedRuns(*runs),
            Self::ModuleUnloaded(module) => Input::ModuleUnloaded(module),
            Self::InFlight(in_flight) => Input::InFlight(in_flight),
            Self::Connections(connections) => Input::Connections(connections),
            Self::Tick => Input::Tick,
            Self::Interval => Input::Interval,
            Self::End(end) => Input::End(end),
            Self::NotRecorded(commands) => Input::NotRecorded(*commands),
        }
    }

    /// What it takes in memory, about.
    pub fn bytes(&self) -> usize {
        let more = match self {
            Self::Record(bytes) => bytes.len(),
            Self::Counts(_, per_path) | Self::Resumed(_, per_path) => {
                size_of_val(per_path.as_slice())
            }
            Self::Topology(topology) => topology.devices().len() * DEVICE_BYTES,
            Self::InFlight(in_flight) => size_of_val(in_flight.as_slice()),
            Self::Counted(counted) => {
                let buckets = counted.iter().map(|it| size_of_val(it.buckets.as_slice()));
                size_of_val(counted.as_slice()) + buckets.sum::<usize>()
            }
            // With their texts.
            Self::Connections(connections) => 2 * size_of_val(connections.as_slice()),
            _ => 0,
        };
        size_of::<Self>() + more
    }
}
