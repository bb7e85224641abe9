//! What is left at the end: exact counts, histograms, waits in dm and losses.

use serde::{Deserialize, Serialize};

use super::{AccessState, Class, Command, Flag, Network, Ownership, Path, Probe};

/// Exact counts of one path. `dispatched = completed + failed + timed_out + superseded +
/// untracked + in_flight`, and `completed = recorded + ring_full + implausible`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Handed to the low-level driver.
    pub dispatched: u64,
    /// Completed.
    pub completed: u64,
    /// Refused by the low-level driver.
    pub failed: u64,
    /// Timed out and not completed since.
    pub timed_out: u64,
    /// Dispatched again before an end was seen.
    pub superseded: u64,
    /// Not followed: no slot was free.
    pub untracked: u64,
    /// In flight at the end, counted in the kernel's slots, not by subtraction.
    pub in_flight: u64,
    /// Completed commands in the histograms.
    pub recorded: u64,
    /// Of those, counted in the kernel: they have no record of their own.
    #[serde(default)]
    pub counted: u64,
    /// Completed commands lost because the ring buffer was full.
    pub ring_full: u64,
    /// Completed commands whose record was implausible (completion before dispatch).
    pub implausible: u64,
    /// Requests the device handler refused in the path's state: they are not among the dispatched.
    /// Counted from when a path was first seen in such a state.
    pub rejected: u64,
}

/// Latency of one path × class × state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Kind of command.
    pub class: Class,
    /// Access state at dispatch.
    pub state: AccessState,
    /// Commands.
    pub commands: u64,
    /// Of those, not block I/O (SG_IO, or the kernel's own).
    pub passthrough: u64,
    /// Of those, came through the path's map.
    pub mapped: u64,
    /// Of those, ended with a result other than 0.
    pub errors: u64,
    /// Bytes.
    pub bytes: u64,
    /// Smallest.
    pub min_ns: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Median; `None`, as every percentile, where the commands are too few to bound it.
    pub p50_ns: Option<u64>,
    /// 90th percentile.
    pub p90_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// 99.9th percentile.
    pub p999_ns: Option<u64>,
    /// Largest.
    pub max_ns: u64,
    /// Percentiles with their intervals: those that the commands carry.
    #[serde(default)]
    pub quantiles: Vec<Quantile>,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
    /// The slowest commands, the slowest first: five at most.
    #[serde(default)]
    pub slowest: Vec<Command>,
}

/// A percentile, and how well it is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Quantile {
    /// Part of the commands that took as long or less, 0 to 1.
    pub quantile: f64,
    /// Middle of the bucket it lies in.
    pub value_ns: u64,
    /// Lower end of its 95 % interval, by buckets and by how many commands there were.
    pub low_ns: u64,
    /// Upper end.
    pub high_ns: u64,
}

/// One path at the end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathSummary {
    /// The path.
    pub path: Path,
    /// False when the device vanished during the trace.
    pub present: bool,
    /// Exact counts.
    pub counts: Counts,
    /// Part of the completed commands of its map, 0 to 1.
    pub share: f64,
    /// Histograms.
    pub latency: Vec<Latency>,
    /// Of a path over iSCSI: the last round-trip time, and what was sent again in all of the trace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// I/O that waited in dm for a path group to be initialised or a path to appear, from its
/// submission to its dispatch: apart from device latency. Only what waited for 1 ms or longer counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// The map.
    pub map: String,
    /// WWID of its logical unit.
    pub wwid: Option<String>,
    /// I/Os held.
    pub commands: u64,
    /// Smallest.
    pub min_ns: u64,
    /// Mean.
    pub mean_ns: f64,
    /// Median; `None`, as `p99_ns`, where the I/Os are too few to bound it.
    pub p50_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// Largest.
    pub max_ns: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
}

/// Losses and unknowns, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Completed commands that found their CPU's ring buffer full.
    pub ring_full: u64,
    /// Commands not followed: no slot.
    pub untracked: u64,
    /// Commands dispatched again before an end was seen.
    pub superseded: u64,
    /// Records with a completion before their dispatch.
    pub implausible: u64,
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// RTPG records that found the ring buffer full.
    pub lost_records: u64,
    /// Commands on devices that found no room in the path table.
    pub path_table_full: u64,
    /// Commands whose route found no room in the route table.
    pub route_table_full: u64,
    /// Reads of kernel memory that failed.
    pub failed_reads: u64,
    /// Runs of a probe that the kernel left out, because an interrupt hit the same probe on the
    /// same CPU (`recursion_misses`).
    pub missed_runs: u64,
    /// Completed commands that found no room on their way to the recording that this is made from: 0 of
    /// what is not replayed.
    #[serde(default)]
    pub not_recorded: u64,
    /// Ends of commands that were dispatched before the trace began: no loss, but not counted.
    pub unmatched_ends: u64,
}

/// From when on commands were counted in the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counting {
    /// On the monotonic clock.
    pub since_ns: u64,
    /// The user asked for it; else records found no room.
    pub asked: bool,
}

/// What watching has cost this host, from the moment when everything was attached to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Processor time of the tool itself, in ns; the probes' is in the programs that they interrupt.
    pub cpu_ns: u64,
    /// The most memory that it had resident at one time (`VmHWM`), in bytes: with what it shares with the probes.
    pub memory_bytes: u64,
    /// What each probe took, where the kernel was asked to measure that (`--cost`).
    pub probes: Vec<ProbeCost>,
}

/// What a probe took, by the kernel's own statistics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeCost {
    /// Name of the probe.
    pub name: String,
    /// How often it ran (`run_cnt`).
    pub runs: u64,
    /// How long in all, in ns (`run_time_ns`): with what it takes to measure that.
    pub ns: u64,
}

/// The end of a trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Length of the trace.
    pub duration_ns: u64,
    /// Nothing was lost, and every probe that applies was attached all the time.
    pub complete: bool,
    /// Why not, one sentence each.
    pub incomplete_because: Vec<String>,
    /// Paths, ordered by map, path group, H:C:T:L.
    pub paths: Vec<PathSummary>,
    /// Every flag of the trace.
    pub flags: Vec<Flag>,
    /// Who owned each logical unit when, where that is known.
    pub ownership: Vec<Ownership>,
    /// I/O that waited in dm, by map.
    pub holds: Vec<Hold>,
    /// Losses.
    pub losses: Losses,
    /// Commands were counted in the kernel from then on; `None` where each has a record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting: Option<Counting>,
    /// Every probe and what became of it.
    pub probes: Vec<Probe>,
    /// Exit status of the command that was run, if any.
    pub command_status: Option<i32>,
    /// What watching has cost; of recordings from before it was measured nothing is known.
    #[serde(default)]
    pub cost: Option<Cost>,
}
