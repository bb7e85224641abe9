//! The model every output is made from. Owns the words and units of the JSON schema (documented in
//! `docs/json.md`); the live view, the plain lines and the summary show the same values.
//!
//! Times are nanoseconds: `*_ns` alone is a duration, `*_at_ns` a point on the kernel's monotonic
//! clock. Strings come from devices and users: they are raw here, and made safe for a terminal
//! where they are printed. `None` means unknown, never zero.

use serde::{Deserialize, Serialize};

/// Version of the JSON schema: rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// One line of JSON output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Line {
    /// First line.
    Start(Start),
    /// What one interval saw.
    Interval(Interval),
    /// A path appeared, vanished or changed its name or state.
    Path(PathEvent),
    /// A flag was raised, went on or ended.
    Flag(FlagEvent),
    /// A logical unit moved.
    Transfer(TransferEvent),
    /// One command, with `--commands` only.
    Command(Command),
    /// Last line.
    Summary(Summary),
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
    /// Why it is not `ok`; empty when it is.
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

/// SPC-4 asymmetric access state of a path, or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AccessState {
    /// Active/optimized.
    #[serde(rename = "AO")]
    Optimized,
    /// Active/non-optimized.
    #[serde(rename = "AN")]
    NonOptimized,
    /// Standby.
    #[serde(rename = "standby")]
    Standby,
    /// Unavailable.
    #[serde(rename = "unavailable")]
    Unavailable,
    /// Logical block dependent.
    #[serde(rename = "LBD")]
    LbaDependent,
    /// Offline.
    #[serde(rename = "offline")]
    Offline,
    /// Transitioning.
    #[serde(rename = "transitioning")]
    Transitioning,
    /// Nobody has told the kernel, or the code is reserved.
    #[serde(rename = "unknown")]
    Unknown,
}

/// Who said which state a path has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSource {
    /// Nobody.
    None,
    /// An RTPG that finished during the trace.
    RtpgSeen,
    /// The handler's own data, from an RTPG before the trace.
    HandlerData,
}

/// A path: one H:C:T:L. Identity is WWID + H:C:T:L; names are attributes and may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Number of the path in this trace; stays the same however it is renamed.
    pub id: u16,
    /// "host:channel:target:lun".
    pub hctl: String,
    /// Kernel name, such as "sda".
    pub device: Option<String>,
    /// "major:minor".
    pub devno: Option<String>,
    /// World-wide id from VPD 0x83, such as "naa.600…".
    pub wwid: Option<String>,
    /// Name of the multipath map.
    pub map: Option<String>,
    /// Kernel name of the map, such as "dm-0".
    pub dm: Option<String>,
    /// dm's path group, from 1.
    pub path_group: Option<u32>,
    /// Target port group (VPD 0x83 designator type 5).
    pub port_group: Option<u16>,
    /// Relative target port (VPD 0x83 designator type 4).
    pub relative_port: Option<u16>,
    /// INQUIRY vendor.
    pub vendor: Option<String>,
    /// INQUIRY product.
    pub product: Option<String>,
    /// Device handler attached, such as "alua".
    pub handler: Option<String>,
    /// Access state now.
    pub state: AccessState,
    /// Who said so.
    pub state_source: StateSource,
    /// PREF bit; unknown with the state.
    pub preferred: Option<bool>,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// First seen.
    Appeared,
    /// Device is gone.
    Vanished,
    /// Name, map or path group changed.
    Relabelled,
    /// Access state changed.
    State,
}

/// A change of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathEvent {
    /// When the collector learned it.
    pub seen_at_ns: u64,
    /// What.
    pub change: PathChange,
    /// The path after the change.
    pub path: Path,
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
}

/// One path in one interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The path as it is now.
    pub path: Path,
    /// Completed commands per second.
    pub iops: f64,
    /// Bytes of completed commands per second.
    pub bytes_per_s: f64,
    /// Dispatched and not ended.
    pub in_flight: u64,
    /// Median latency of the commands of the interval; `None` without commands.
    pub p50_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
    /// 99.9th percentile.
    pub p999_ns: Option<u64>,
    /// Largest.
    pub max_ns: Option<u64>,
    /// Part of the completed commands of the path's map (or of all, without a map), 0 to 1.
    pub share: f64,
}

/// What a flag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagKind {
    /// I/O was dispatched over a path that is not active/optimized.
    NonOptimizedIo,
    /// A module the trace depends on was unloaded.
    ModuleUnloaded,
    /// A logical unit moved to another port group or controller.
    OwnershipTransfer,
    /// A logical unit goes to and fro, and no path that this host lost explains it.
    PathThrash,
    /// This host pulled a logical unit back to its preferred owner although it was not this host
    /// that had moved it away.
    FollowOverViolation,
    /// A port group is transitioning for longer than the array allows itself.
    TransitionStuck,
    /// A MODE SELECT that moves ownership has no answer; the kernel waits 15,000 s for it.
    ModeSelectOutstanding,
    /// Array, handler, sysfs or behaviour contradict each other about an access state.
    StateDisagrees,
    /// A logical unit is owned by a side that is not its preferred one.
    NotPreferredOwner,
}

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Costs something.
    Warning,
}

/// A finding: one per episode, with a running count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Flag {
    /// Number of the flag in this trace.
    pub id: u32,
    /// What it says.
    pub kind: FlagKind,
    /// How much it matters.
    pub severity: Severity,
    /// Map, or device without a map, it is about.
    pub subject: String,
    /// WWID of the LUN.
    pub wwid: Option<String>,
    /// For `non-optimized-io`: an active/optimized path of the LUN was usable, by the last of
    /// `judgements`; `None` while the array is in transition.
    pub avoidable: Option<bool>,
    /// First offending dispatch (or event).
    pub first_at_ns: u64,
    /// Last one.
    pub last_at_ns: u64,
    /// When the flag was raised.
    pub raised_at_ns: u64,
    /// When the episode ended, if it has.
    pub ended_at_ns: Option<u64>,
    /// Offending commands so far.
    pub commands: u64,
    /// Part of the LUN's commands during the episode, 0 to 1.
    pub share: f64,
    /// Median latency of the offending commands.
    pub p50_ns: Option<u64>,
    /// Median latency of the commands on optimized paths of the same LUN: during the episode, or,
    /// where there were none, before it in this trace (see `baseline`).
    pub optimized_p50_ns: Option<u64>,
    /// Period `optimized_p50_ns` comes from.
    pub baseline: Option<Baseline>,
    /// H:C:T:L of the paths that carried the offending commands.
    pub paths: Vec<String>,
    /// For `non-optimized-io`: whether it could have been avoided, and each time that changed, in
    /// order.
    pub judgements: Vec<Judgement>,
    /// Judgements between the first ones and the last that there was no room for.
    pub judgements_left_out: u64,
    /// One sentence: what and why, as it is now.
    pub text: String,
}

/// Whether I/O over ports that are not optimized could have gone elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// An active/optimized path of the map was usable.
    Avoidable,
    /// None was.
    Unavoidable,
    /// The array is changing the states of its port groups (SPC-4 5.15.2.5): no path is a better
    /// one until it has done so.
    InTransition,
}

/// A path in a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathState {
    /// H:C:T:L.
    pub hctl: String,
    /// Its access state.
    pub state: AccessState,
}

/// Where a LUN's I/O went and where it could have gone, by states known at one moment. No path is
/// in two of the lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// When the states were these.
    pub at_ns: u64,
    /// What follows from them.
    pub verdict: Verdict,
    /// Paths that carried offending commands, with their state.
    pub paths: Vec<PathState>,
    /// H:C:T:L of active/optimized paths of the map that were usable.
    pub alternatives: Vec<String>,
    /// H:C:T:L of active/optimized paths to the LUN that are not in its map.
    pub outside_map: Vec<String>,
}

/// Which commands a flag's latency is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Baseline {
    /// Optimized commands of the same period.
    SamePeriod,
    /// Optimized commands before the episode.
    Before,
}

/// What happened to a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FlagChange {
    /// New.
    Raised,
    /// Counts went on; at most once an interval.
    Updated,
    /// Episode over.
    Ended,
}

/// A change of one flag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlagEvent {
    /// What happened to it.
    pub change: FlagChange,
    /// The flag after the change.
    pub flag: Flag,
}

/// Who or what made a logical unit move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A SET TARGET PORT GROUPS or MODE SELECT of this host: by a handler, or by a process.
    LocalExplicit,
    /// Such a command of another host.
    RemoteExplicit,
    /// The array by itself.
    ArrayImplicit,
    /// I/O of this host on the other controller, in RDAC AVT mode.
    IoDriven,
    /// Nothing that was seen tells.
    Unknown,
}

/// What a transfer cost the I/O of its logical unit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Impact {
    /// I/O that took longer than `delayed_above_ns`, among that submitted or in flight from the
    /// start of the transfer until what it held up had drained.
    pub delayed: u64,
    /// I/O that SCSI retried.
    pub retried: u64,
    /// I/O that failed on its path.
    pub failed: u64,
    /// Of the delayed, those that dm held for longer than `delayed_above_ns` before a path got them.
    pub held_in_dm: u64,
    /// Sum over the delayed of what they took longer than `usual_ns`.
    pub added_ns: u64,
    /// Longest from submission to completion among the delayed.
    pub longest_ns: u64,
    /// Median from submission to completion before; `None` when there was too little I/O.
    pub usual_ns: Option<u64>,
    /// What counts as delayed.
    pub delayed_above_ns: u64,
}

/// I/O of a logical unit in some period, from submission to completion.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Load {
    /// I/O completed.
    pub commands: u64,
    /// Per second.
    pub iops: f64,
    /// Median.
    pub p50_ns: Option<u64>,
    /// 99th percentile.
    pub p99_ns: Option<u64>,
}

/// A logical unit moved: the set of its active/optimized port groups, or its controller, changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Transfer {
    /// Number of the transfer in this trace.
    pub id: u32,
    /// Map, or device without a map.
    pub subject: String,
    /// WWID of the logical unit.
    pub wwid: Option<String>,
    /// Owners before, such as `TPG 1` or `controller A`.
    pub from: Vec<String>,
    /// Owners after.
    pub to: Vec<String>,
    /// When it began on the array, as near as what was seen tells.
    pub started_at_ns: u64,
    /// It may have begun earlier by up to this much; `None` when that is not known.
    pub start_uncertain_ns: Option<u64>,
    /// When the array had done it.
    pub ended_at_ns: u64,
    /// When this host first could know the new owner.
    pub known_at_ns: u64,
    /// Who or what moved it.
    pub cause: Cause,
    /// Who, in words: `sg_stpg[123]`, `scsi_dh_alua via pg_init`, `another host`, `the array`.
    pub actor: String,
    /// Why this is believed, with times relative to `started_at_ns`.
    pub evidence: Vec<String>,
    /// What it cost; `None` until it is over.
    pub impact: Option<Impact>,
    /// I/O in the seconds before.
    pub before: Option<Load>,
    /// I/O while it lasted; `None` when it took no time.
    pub during: Option<Load>,
    /// I/O in the seconds after.
    pub after: Option<Load>,
}

/// What happened to a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferChange {
    /// The new owner is known; cause, end and evidence may be refined.
    Seen,
    /// Over, with its impact.
    Done,
}

/// A logical unit moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TransferEvent {
    /// How far it is.
    pub change: TransferChange,
    /// The transfer.
    pub transfer: Transfer,
}

/// A time in which the owner of a logical unit stayed the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tenure {
    /// Owners; empty when no side is active/optimized.
    pub owner: Vec<String>,
    /// Since when: the end of the transfer to them, or when they were first known.
    pub began_at_ns: u64,
    /// Until when: the start of the next transfer, or the end of the trace.
    pub ended_at_ns: u64,
    /// I/O in it.
    pub load: Load,
}

/// Who owned one logical unit when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ownership {
    /// Map, or device without a map.
    pub subject: String,
    /// WWID of the logical unit.
    pub wwid: Option<String>,
    /// In order.
    pub tenures: Vec<Tenure>,
    /// In order; the oldest are left out when there are too many.
    pub transfers: Vec<Transfer>,
    /// How many were left out.
    pub transfers_left_out: u64,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// [`Path::id`].
    pub path: u16,
    /// "host:channel:target:lun".
    pub hctl: String,
    /// "major:minor" of the dm device that routed it.
    pub dm_devno: Option<String>,
    /// dm's path group.
    pub path_group: Option<u32>,
    /// First CDB byte.
    pub opcode: u8,
    /// Second CDB byte: low five bits are the service action of opcodes 0xA3 and 0xA4.
    pub cdb1: u8,
    /// Third CDB byte: VPD or mode page.
    pub cdb2: u8,
    /// Bytes of data.
    pub bytes: u32,
    /// Logical block address, for commands that have one.
    pub lba: Option<u64>,
    /// Handed to the low-level driver.
    pub dispatched_at_ns: u64,
    /// Dispatch to completion.
    pub latency_ns: u64,
    /// Access state at dispatch.
    pub state: AccessState,
    /// Who said so.
    pub state_source: StateSource,
    /// `scsi_cmnd.result`.
    pub result: u32,
    /// Key, asc, ascq.
    pub sense: Option<[u8; 3]>,
    /// `scsi_cmnd.retries` at dispatch.
    pub retries: u8,
    /// Not block I/O: SG_IO, or the kernel's own.
    pub passthrough: bool,
}

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
    /// Completed commands lost because the ring buffer was full.
    pub ring_full: u64,
    /// Completed commands whose record was implausible (completion before dispatch).
    pub implausible: u64,
    /// Requests the device handler refused in the path's state: they are not among the dispatched.
    /// Counted from when a path was first seen in such a state.
    pub rejected: u64,
}

/// Kind of command a histogram is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// READ(6) to READ(32).
    Read,
    /// WRITE(6) to WRITE(32), WRITE AND VERIFY, WRITE SAME.
    Write,
    /// Everything else.
    Other,
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
    /// Median.
    pub p50_ns: u64,
    /// 90th percentile.
    pub p90_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// 99.9th percentile.
    pub p999_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
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
    /// Median.
    pub p50_ns: u64,
    /// 99th percentile.
    pub p99_ns: u64,
    /// Largest.
    pub max_ns: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    pub buckets: Vec<(u64, u64)>,
}

/// Losses and unknowns, by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Completed commands that found the ring buffer full.
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
    /// Ends of commands that were dispatched before the trace began: no loss, but not counted.
    pub unmatched_ends: u64,
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
    /// Every probe and what became of it.
    pub probes: Vec<Probe>,
    /// Exit status of the command that was run, if any.
    pub command_status: Option<i32>,
}
