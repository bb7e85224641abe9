//! Who owned what, as the JSON says it.

use serde::Deserialize;

/// Who or what moved a logical unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Cause {
    LocalExplicit,
    RemoteExplicit,
    ArrayImplicit,
    IoDriven,
    Unknown,
}

/// What a transfer cost.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Impact {
    pub(crate) delayed: u64,
    pub(crate) retried: u64,
    pub(crate) failed: u64,
    pub(crate) held_in_dm: u64,
    pub(crate) added_ns: u64,
    pub(crate) longest_ns: u64,
    pub(crate) usual_ns: Option<u64>,
    pub(crate) delayed_above_ns: u64,
}

/// I/O in a period.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PeriodLoad {
    pub(crate) commands: u64,
    pub(crate) iops: f64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
}

/// A transfer of ownership.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Transfer {
    pub(crate) id: u32,
    pub(crate) subject: String,
    pub(crate) wwid: Option<String>,
    pub(crate) from: Vec<String>,
    pub(crate) to: Vec<String>,
    pub(crate) started_at_ns: u64,
    pub(crate) start_uncertain_ns: Option<u64>,
    pub(crate) ended_at_ns: u64,
    pub(crate) known_at_ns: u64,
    pub(crate) cause: Cause,
    pub(crate) actor: String,
    pub(crate) evidence: Vec<String>,
    pub(crate) impact: Option<Impact>,
    pub(crate) before: Option<PeriodLoad>,
    pub(crate) during: Option<PeriodLoad>,
    pub(crate) after: Option<PeriodLoad>,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TransferChange {
    Seen,
    Done,
}

/// A logical unit moved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransferEvent {
    pub(crate) change: TransferChange,
    pub(crate) transfer: Transfer,
}

/// A time in which the owner stayed the same.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tenure {
    pub(crate) owner: Vec<String>,
    pub(crate) began_at_ns: u64,
    pub(crate) ended_at_ns: u64,
    pub(crate) load: PeriodLoad,
}

/// I/O that waited in dm.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Hold {
    pub(crate) map: String,
    pub(crate) wwid: Option<String>,
    pub(crate) commands: u64,
    pub(crate) min_ns: u64,
    pub(crate) mean_ns: f64,
    pub(crate) p50_ns: Option<u64>,
    pub(crate) p99_ns: Option<u64>,
    pub(crate) max_ns: u64,
    pub(crate) buckets: Vec<(u64, u64)>,
}

/// Who owned a logical unit when.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ownership {
    pub(crate) subject: String,
    pub(crate) wwid: Option<String>,
    pub(crate) tenures: Vec<Tenure>,
    pub(crate) transfers: Vec<Transfer>,
    pub(crate) transfers_left_out: u64,
}
