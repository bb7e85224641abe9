//! What drives an engine: one type for all of it. Each input has one time, and the order of inputs
//! decides every output.

use serde::{Deserialize, Serialize};

use alua_trace_ebpf::{GlobalCounts, PathCounts, PathSlot, RouteSlot};

use crate::{
    iscsi::Connection,
    model::{Cost, CountingChange, Probe},
    stats::Counted,
    topology::Topology,
};

/// One input of [`super::Engine::take`].
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// The probes are attached: the trace and its first interval begin.
    Begin,
    /// The bytes of one record, as the probes put them into the ring buffer. Times of what it tells
    /// are in it.
    Record(&'a [u8]),
    /// What the probes know of a path id: before the first record with that id, and before the
    /// first one after it has changed.
    Path(u16, &'a PathSlot),
    /// A path id stands for nothing any more, and these are its last counts: who is introduced with
    /// it next is counted from 0.
    PathRetired(u16, &'a PathCounts),
    /// What the probes know of a route id: before the first record with that id, and before the
    /// first one after it has been given to another route.
    Route(u16, &'a RouteSlot),
    /// From now on commands that are not worth a record are counted in the kernel instead, or no longer.
    Counting(CountingChange),
    /// What the kernel has counted since the last time, of path ids that have been introduced.
    Counted(&'a [Counted]),
    /// All counts of the probes since the start: those that belong to no path, and those of the
    /// path ids that have been introduced.
    Counts(&'a GlobalCounts, &'a [(u16, PathCounts)]),
    /// A trace was under way, and these were its counts: what follows is counted from here, and commands
    /// that are in flight belong to it. After paths and routes have been introduced, before [`Self::Begin`].
    Resumed(&'a GlobalCounts, &'a [(u16, PathCounts)]),
    /// A scan of sysfs and device-mapper. Its time is when the scan began: what a command saw while
    /// it ran is fresher.
    Topology(&'a Topology),
    /// Runs of probes that the kernel has left out since the start.
    MissedRuns(u64),
    /// A kernel module that probes were on is gone.
    ModuleUnloaded(&'a str),
    /// Block I/O in flight in the probes' slots, by path id: of paths that have none there is nothing.
    InFlight(&'a [InFlight]),
    /// Every iSCSI session, and its TCP connection.
    Connections(&'a [Connection]),
    /// Time goes on: flags are raised and ended, observations put in order.
    Tick,
    /// An interval ends, and the next begins.
    Interval,
    /// Completed commands that are missing here in a recording: they found no room on their way to it.
    NotRecorded(u64),
    /// The probes are detached, and everything they told has been taken.
    End(&'a End),
}

/// Block I/O in flight on a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InFlight {
    /// Id of the path.
    pub path: u16,
    /// Commands.
    pub commands: u64,
    /// When the oldest of them was dispatched.
    pub oldest_ns: u64,
}

/// What only the end of a trace tells.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// When the trace ended, on the monotonic clock: before its probes were detached.
    pub ended_at_ns: u64,
    /// Commands found in flight in the probes' slots, by path id. Those that timed out are counted
    /// as that.
    pub in_flight: Vec<(u16, u64)>,
    /// Every probe of the plan and what became of it.
    pub probes: Vec<Probe>,
    /// Exit status of the user's COMMAND.
    pub command_status: Option<i32>,
    /// What watching has cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The trace goes on: what has not been told by now counts as in flight, and nobody has looked into the
    /// probes' slots.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub goes_on: bool,
    /// Why more is not known of a trace that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_early: Option<String>,
}

/// What an engine would have its source do next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// A flag waits to be raised: a scan begun from now on should come before the next tick, and
    /// fresh counts after it.
    pub scan: bool,
    /// Path ids that must not be used for further commands: topology has another logical unit at
    /// their address. Each is told once.
    pub retire: Vec<u16>,
    /// A path is silent: the probes' slots should be read now and then.
    pub in_flight: bool,
}
