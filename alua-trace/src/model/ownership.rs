//! Who owned a logical unit, each move of it, and what that cost.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::format;

/// Who or what made a logical unit move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

impl Cause {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalExplicit => "local-explicit",
            Self::RemoteExplicit => "remote-explicit",
            Self::ArrayImplicit => "array-implicit",
            Self::IoDriven => "io-driven",
            Self::Unknown => "unknown",
        }
    }
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

impl Transfer {
    /// `moved from TPG 1 to TPG 2 in 1.20 ms by sg_stpg[123] (local-explicit); 16 I/Os delayed …`.
    /// Raw: the name of a process is in it.
    pub fn sentence(&self) -> String {
        let took = match self.ended_at_ns.saturating_sub(self.started_at_ns) {
            0 => String::new(),
            took => format!(" in {}", format::duration(took)),
        };
        let by = match self.cause {
            Cause::Unknown => ", by whom is not known".to_owned(),
            cause => format!(" by {} ({})", self.actor, cause.name()),
        };
        let (from, to) = (owners(&self.from), owners(&self.to));
        let mut out = format!("moved from {from} to {to}{took}{by}");
        if let Some(impact) = &self.impact {
            out.push_str("; ");
            push_impact(&mut out, impact);
        }
        out
    }
}

/// `16 I/Os delayed by 47.9 s in all, 3.01 s at most, 4 of them held in dm`.
fn push_impact(out: &mut String, impact: &Impact) {
    if impact.delayed == 0 {
        out.push_str("no I/O delayed");
    } else {
        let delayed = format::plural(impact.delayed, "I/O");
        let added = format::duration(impact.added_ns);
        let longest = format::duration(impact.longest_ns);
        let _ = write!(
            out,
            "{delayed} delayed by {added} in all, {longest} at most"
        );
    }
    for (count, what) in [
        (impact.held_in_dm, "of them held in dm"),
        (impact.retried, "retried"),
        (impact.failed, "failed on a path"),
    ] {
        if count > 0 {
            let _ = write!(out, ", {} {what}", format::count(count));
        }
    }
}

/// Owners: `TPG 1 and TPG 2`.
pub fn owners(owner: &[String]) -> String {
    if owner.is_empty() {
        "no side".to_owned()
    } else {
        owner.join(" and ")
    }
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
