//! Flags: findings of a trace, with what each was judged from.

use serde::{Deserialize, Serialize};

use super::AccessState;

/// What a flag says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// A path completes nothing, while dm counts it as active and other paths go on.
    StuckPath,
    /// Large frames do not get through between this host and an iSCSI portal, small ones do.
    MtuMismatch,
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
    /// H:C:T:L of the paths that carried the offending commands, or that it is about.
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
