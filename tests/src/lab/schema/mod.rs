//! The tool's JSON as an outsider reads it: strict types of our own, so that a field that is
//! renamed, added or lost without a word fails every test.

use serde::Deserialize;

mod flags;
mod ownership;

pub(crate) use flags::*;
pub(crate) use ownership::*;

/// Schema version this reader knows.
pub(crate) const SCHEMA: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Line {
    /// First line.
    Start(Start),
    /// An interval.
    Interval(Interval),
    /// A path changed.
    Path(PathEvent),
    /// A flag changed.
    Flag(FlagEvent),
    /// A logical unit moved.
    Transfer(TransferEvent),
    /// One command.
    Command(Command),
    /// What becomes of commands.
    Counting(CountingEvent),
    /// Lines that were not written.
    LeftOut(LeftOut),
    /// Last line.
    Summary(Summary),
}

/// Lines that were not written.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeftOut {
    pub(crate) lines: u64,
}

/// First line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Start {
    pub(crate) schema: u32,
    pub(crate) version: String,
    pub(crate) kernel: String,
    pub(crate) wall_unix_ns: u64,
    pub(crate) started_at_ns: u64,
    pub(crate) probes: Vec<Probe>,
    pub(crate) paths: Vec<Path>,
}

/// A probe.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Probe {
    pub(crate) name: String,
    pub(crate) hook: String,
    pub(crate) status: ProbeStatus,
    pub(crate) reason: String,
    pub(crate) remedy: String,
    pub(crate) lost_without: String,
}

/// What became of a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProbeStatus {
    Ok,
    Unsupported,
    Broken,
    NotApplicable,
}

/// Access state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
pub(crate) enum State {
    #[serde(rename = "AO")]
    Optimized,
    #[serde(rename = "AN")]
    NonOptimized,
    #[serde(rename = "standby")]
    Standby,
    #[serde(rename = "unavailable")]
    Unavailable,
    #[serde(rename = "LBD")]
    LbaDependent,
    #[serde(rename = "offline")]
    Offline,
    #[serde(rename = "transitioning")]
    Transitioning,
    #[serde(rename = "unknown")]
    Unknown,
}

/// Where a state comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StateSource {
    None,
    RtpgSeen,
    HandlerData,
}

/// A path.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Path {
    pub(crate) id: u16,
    pub(crate) hctl: String,
    pub(crate) device: Option<String>,
    pub(crate) devno: Option<String>,
    pub(crate) wwid: Option<String>,
    pub(crate) map: Option<String>,
    pub(crate) dm: Option<String>,
    pub(crate) path_group: Option<u32>,
    pub(crate) port_group: Option<u16>,
    pub(crate) relative_port: Option<u16>,
    pub(crate) vendor: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) state: State,
    pub(crate) state_source: StateSource,
    pub(crate) preferred: Option<bool>,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PathChange {
    Appeared,
    Vanished,
    Relabelled,
    State,
}

/// A path changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathEvent {
    pub(crate) seen_at_ns: u64,
    pub(crate) change: PathChange,
    pub(crate) path: Path,
}

/// An interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Interval {
    pub(crate) ended_at_ns: u64,
    pub(crate) elapsed_ns: u64,
    pub(crate) interval_ns: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) losses: Losses,
}

/// A path in an interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Row {
    pub(crate) path: Path,
    pub(crate) commands: u64,
    pub(crate) iops: f64,
    pub(crate) bytes_per_s: f64,
    pub(crate) in_flight: u64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    pub(crate) max_ns: Option<u64>,
    pub(crate) share: f64,
    pub(crate) cells: Vec<Cell>,
    pub(crate) network: Option<Network>,
}

/// A path's TCP connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Network {
    pub(crate) rtt_us: Option<u32>,
    pub(crate) retransmits: u64,
}

/// Commands of a path, class and state in an interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cell {
    pub(crate) class: Class,
    pub(crate) state: State,
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) sum_ns: u64,
    pub(crate) min_ns: u64,
    pub(crate) max_ns: u64,
    pub(crate) buckets: Vec<(u64, u64)>,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    pub(crate) path: u16,
    pub(crate) hctl: String,
    pub(crate) dm_devno: Option<String>,
    pub(crate) path_group: Option<u32>,
    pub(crate) opcode: u8,
    pub(crate) cdb1: u8,
    pub(crate) cdb2: u8,
    pub(crate) bytes: u32,
    pub(crate) lba: Option<u64>,
    pub(crate) dispatched_at_ns: u64,
    pub(crate) latency_ns: u64,
    pub(crate) state: State,
    pub(crate) state_source: StateSource,
    pub(crate) result: u32,
    pub(crate) sense: Option<[u8; 3]>,
    pub(crate) retries: u8,
    pub(crate) passthrough: bool,
    /// Of the slowest only.
    #[serde(default)]
    pub(crate) around: Vec<String>,
}

impl Command {
    /// READ or WRITE of any length.
    pub(crate) fn is_transfer(&self) -> bool {
        matches!(
            self.opcode,
            0x08 | 0x0a | 0x28 | 0x2a | 0xa8 | 0xaa | 0x88 | 0x8a
        )
    }
}

/// Exact counts of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) dispatched: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
    pub(crate) timed_out: u64,
    pub(crate) superseded: u64,
    pub(crate) untracked: u64,
    pub(crate) in_flight: u64,
    pub(crate) recorded: u64,
    pub(crate) counted: u64,
    pub(crate) ring_full: u64,
    pub(crate) implausible: u64,
    pub(crate) rejected: u64,
}

/// Kind of command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Class {
    Read,
    Write,
    Other,
}

/// Latency of a path, class and state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Latency {
    pub(crate) class: Class,
    pub(crate) state: State,
    pub(crate) commands: u64,
    pub(crate) passthrough: u64,
    pub(crate) mapped: u64,
    pub(crate) errors: u64,
    pub(crate) bytes: u64,
    pub(crate) min_ns: u64,
    pub(crate) mean_ns: f64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p90_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) p999_ns: Option<u64>,
    pub(crate) max_ns: u64,
    pub(crate) quantiles: Vec<Quantile>,
    pub(crate) buckets: Vec<(u64, u64)>,
    pub(crate) slowest: Vec<Command>,
}

/// A percentile with its interval.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quantile {
    pub(crate) quantile: f64,
    pub(crate) value_ns: u64,
    pub(crate) low_ns: u64,
    pub(crate) high_ns: u64,
}

/// A path at the end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathSummary {
    pub(crate) path: Path,
    pub(crate) present: bool,
    pub(crate) counts: Counts,
    pub(crate) share: f64,
    pub(crate) latency: Vec<Latency>,
    pub(crate) network: Option<Network>,
}

/// Losses by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Losses {
    pub(crate) ring_full: u64,
    pub(crate) untracked: u64,
    pub(crate) superseded: u64,
    pub(crate) implausible: u64,
    pub(crate) undecodable: u64,
    pub(crate) lost_records: u64,
    pub(crate) path_table_full: u64,
    pub(crate) route_table_full: u64,
    pub(crate) failed_reads: u64,
    pub(crate) missed_runs: u64,
    pub(crate) not_recorded: u64,
    pub(crate) unmatched_ends: u64,
}

/// What becomes of commands.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountingEvent {
    pub(crate) at_ns: u64,
    pub(crate) change: String,
    pub(crate) for_ns: Option<u64>,
}

/// From when on commands were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counting {
    pub(crate) since_ns: u64,
    pub(crate) asked: bool,
}

/// Last line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Summary {
    pub(crate) duration_ns: u64,
    pub(crate) complete: bool,
    pub(crate) incomplete_because: Vec<String>,
    pub(crate) paths: Vec<PathSummary>,
    pub(crate) flags: Vec<Flag>,
    pub(crate) ownership: Vec<Ownership>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) losses: Losses,
    pub(crate) counting: Option<Counting>,
    pub(crate) probes: Vec<Probe>,
    pub(crate) command_status: Option<i32>,
    pub(crate) cost: Option<Cost>,
}

/// What watching has cost.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cost {
    pub(crate) cpu_ns: u64,
    pub(crate) memory_bytes: u64,
    pub(crate) probes: Vec<ProbeCost>,
}

/// What a probe took.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProbeCost {
    pub(crate) name: String,
    pub(crate) runs: u64,
    pub(crate) ns: u64,
}
