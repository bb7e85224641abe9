//! The model every output is made from. Owns the words and units of the JSON schema (documented in
//! `docs/json.md`); the live view, the plain lines and the summary show the same values.
//!
//! Times are nanoseconds: `*_ns` alone is a duration, `*_at_ns` a point on the kernel's monotonic
//! clock. Strings come from devices and users: they are raw here, and made safe for a terminal
//! where they are printed. `None` means unknown, never zero.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

mod flag;
mod ownership;
mod path;
mod summary;

pub use flag::{
    Baseline, Flag, FlagChange, FlagEvent, FlagKind, Judgement, PathState, Severity, Verdict,
};
pub use ownership::{
    Cause, Impact, Load, Ownership, Tenure, Transfer, TransferChange, TransferEvent, owners,
};
pub use path::{AccessState, Class, Command, Path, PathChange, PathEvent, StateSource};
pub use summary::{
    Cost, Counting, Counts, Hold, Latency, Losses, PathSummary, ProbeCost, Quantile, Summary,
};

/// Version of the JSON schema: rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// One line of JSON output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// First line.
    Start(Start),
    /// What one interval saw.
    Interval(Arc<Interval>),
    /// A path appeared, vanished or changed its name or state.
    Path(PathEvent),
    /// A flag was raised, went on or ended.
    Flag(FlagEvent),
    /// A logical unit moved.
    Transfer(TransferEvent),
    /// One command, with `--commands` only.
    Command(Command),
    /// Commands are counted in the kernel, or have records again.
    Counting(CountingEvent),
    /// Lines that were not written because the reader was too slow.
    LeftOut(LeftOut),
    /// Last line.
    Summary(Summary),
}

/// What becomes of commands from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountingEvent {
    /// When, on the monotonic clock.
    pub at_ns: u64,
    /// What.
    #[serde(flatten)]
    pub change: CountingChange,
}

/// What changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum CountingChange {
    /// Ordinary commands are counted, because the user asked for it.
    Asked,
    /// They are counted for a while, because records found no room.
    Begun {
        /// For so long.
        for_ns: u64,
    },
    /// Each has a record again.
    Over,
}

/// A gap in the output: its reader was slow for so long that lines found no room to wait. What they
/// told is in the summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Lines between the one before and the one after.
    pub lines: u64,
}

/// What was traced, by what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Version of alua-trace.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// Wall clock at `started_at_ns`, in ns since the epoch.
    pub wall_unix_ns: u64,
    /// Monotonic clock at the start.
    pub started_at_ns: u64,
    /// Every probe of the plan and what became of it.
    pub probes: Vec<Probe>,
    /// Paths known at the start.
    pub paths: Vec<Path>,
}

/// One probe and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Name in the probe table.
    pub name: String,
    /// Hook it uses, such as `raw_tracepoint scsi_dispatch_cmd_start`.
    pub hook: String,
    /// What became of it.
    pub status: ProbeStatus,
    /// Why it is not `ok`; where it is, why it does its work in a dearer way, or empty.
    pub reason: String,
    /// What to do about it; empty when it is `ok`.
    pub remedy: String,
    /// What the trace cannot tell without it.
    pub lost_without: String,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProbeStatus {
    /// Attached, or would attach.
    Ok,
    /// This kernel does not offer it.
    Unsupported,
    /// It should work here and does not.
    Broken,
    /// Nothing on this host needs it now, such as a handler that is not loaded.
    NotApplicable,
}

/// What one interval saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// End of the interval.
    pub ended_at_ns: u64,
    /// Since the start of the trace.
    pub elapsed_ns: u64,
    /// Length of the interval.
    pub interval_ns: u64,
    /// One row per path, ordered by map, path group, H:C:T:L.
    pub rows: Vec<Row>,
    /// Losses since the start.
    pub losses: Losses,
    /// I/O that has waited in dm since the start, by map: for metrics.
    #[serde(skip)]
    pub holds: Vec<Hold>,
}

/// One path in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The path as it is now.
    pub path: Arc<Path>,
    /// Completed commands.
    pub commands: u64,
    /// Completed commands per second.
    pub iops: f64,
    /// Bytes of completed commands per second.
    pub bytes_per_s: f64,
    /// Dispatched and not ended.
    pub in_flight: u64,
    /// Median latency of the commands of the interval; `None`, as every percentile, where they are too few
    /// to bound it.
    pub p50_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// 99.9th percentile.
    pub p999_ns: Option<u64>,
    /// Largest; `None` without commands.
    pub max_ns: Option<u64>,
    /// Part of the completed commands of the path's map (or of all, without a map), 0 to 1.
    pub share: f64,
    /// Commands by class and state at dispatch: those of which there were any.
    pub cells: Vec<Cell>,
    /// Of the interval, and of a path over iSCSI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
    /// Since the start, for metrics; JSON has it in the summary, or not at all.
    #[serde(skip)]
    pub so_far: SoFar,
}

/// What there is of a path since the start of the trace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SoFar {
    /// Exact counts.
    pub counts: Counts,
    /// Commands that SCSI had retried before they were dispatched.
    pub retried: u64,
    /// Whether dm sends I/O there; `None` for a path without a map.
    pub dm_active: Option<bool>,
    /// REPORT TARGET PORT GROUPS that have ended, whoever sent them.
    pub rtpg: Option<Arc<Rtpg>>,
}

/// REPORT TARGET PORT GROUPS of a path (SPC-4 6.37).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rtpg {
    /// Of those, ended with a result other than 0.
    pub failed: u64,
    /// Sum of their latencies.
    pub sum_ns: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
}

impl Row {
    /// That of a path without commands.
    #[must_use]
    pub fn idle(path: Arc<Path>) -> Self {
        Self {
            path,
            commands: 0,
            iops: 0.0,
            bytes_per_s: 0.0,
            in_flight: 0,
            p50_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: None,
            share: 0.0,
            cells: Vec::new(),
            network: None,
            so_far: SoFar::default(),
        }
    }
}

/// The TCP connection of a path over iSCSI. All LUNs of a session share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Smoothed round-trip time (`tcpi_rtt`); `None` while there is no connection.
    pub rtt_us: Option<u32>,
    /// Segments that this host has sent again (`tcpi_total_retrans`).
    pub retransmits: u64,
}

/// Commands of one class and state in one interval of one path. Cells add up: bucket by bucket they are the
/// histogram of any span of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Kind of command.
    pub class: Class,
    /// Access state at dispatch.
    pub state: AccessState,
    /// Completed commands.
    pub commands: u64,
    /// Of those, ended with a result other than 0.
    pub errors: u64,
    /// Their data.
    pub bytes: u64,
    /// Sum of their latencies.
    pub sum_ns: u64,
    /// Smallest latency.
    pub min_ns: u64,
    /// Largest latency.
    pub max_ns: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
}
