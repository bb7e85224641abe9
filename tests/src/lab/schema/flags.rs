//! Flags as the JSON says them.

use serde::Deserialize;

use super::State;

/// Kind of flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FlagKind {
    NonOptimizedIo,
    ModuleUnloaded,
    OwnershipTransfer,
    PathThrash,
    FollowOverViolation,
    TransitionStuck,
    ModeSelectOutstanding,
    StateDisagrees,
    NotPreferredOwner,
    StuckPath,
    MtuMismatch,
}

/// Severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Severity {
    Info,
    Warning,
}

/// Where a flag's comparison comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Baseline {
    SamePeriod,
    Before,
}

/// A flag.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Flag {
    pub(crate) id: u32,
    pub(crate) kind: FlagKind,
    pub(crate) severity: Severity,
    pub(crate) subject: String,
    pub(crate) wwid: Option<String>,
    pub(crate) avoidable: Option<bool>,
    pub(crate) first_at_ns: u64,
    pub(crate) last_at_ns: u64,
    pub(crate) raised_at_ns: u64,
    pub(crate) ended_at_ns: Option<u64>,
    pub(crate) commands: u64,
    pub(crate) share: f64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) optimized_p50_ns: Option<u64>,
    pub(crate) baseline: Option<Baseline>,
    pub(crate) paths: Vec<String>,
    pub(crate) judgements: Vec<Judgement>,
    pub(crate) judgements_left_out: u64,
    pub(crate) text: String,
}

/// Whether I/O over ports that are not optimized could have gone elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Verdict {
    Avoidable,
    Unavoidable,
    InTransition,
}

/// A path in a state.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PathState {
    pub(crate) hctl: String,
    pub(crate) state: State,
}

/// Where I/O went and where it could have gone.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Judgement {
    pub(crate) at_ns: u64,
    pub(crate) verdict: Verdict,
    pub(crate) paths: Vec<PathState>,
    pub(crate) alternatives: Vec<String>,
    pub(crate) outside_map: Vec<String>,
}

/// What happened to a flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FlagChange {
    Raised,
    Updated,
    Ended,
}

/// A flag changed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FlagEvent {
    pub(crate) change: FlagChange,
    pub(crate) flag: Flag,
}
