//! One transfer from the moment the new owner is known until what it held up has drained.

use super::{
    meter::{Closed, Meter},
    notes::Notes,
    sides::{Owner, strings},
    signs::Sign,
    verdict::{Case, Verdict},
};
use crate::engine::book::Subject;
use crate::model::{Cause, Transfer};

/// Without a delayed I/O for this long, what the transfer held up has drained.
const QUIET_NS: u64 = 1_000_000_000;
/// A transfer is closed after this time, whatever is still delayed.
const LONGEST_NS: u64 = 60_000_000_000;
/// The handler files group by group: what it files within this time is one transfer.
const COALESCE_NS: u64 = 1_000_000_000;

/// A transfer that is not over.
#[derive(Debug)]
pub(super) struct Open {
    pub case: Case,
    pub verdict: Verdict,
    pub id: u32,
    /// Known from what the handler filed, not from an answer.
    pub filed: bool,
    pub flag: u32,
    pub follow_over_judged: bool,
    pub start_uncertain_ns: Option<u64>,
}

impl Open {
    /// Whether what the handler files at `at_ns` continues this transfer.
    pub fn goes_on(&self, to: &Owner, at_ns: u64) -> bool {
        self.filed
            && *to != self.case.from
            && at_ns.saturating_sub(self.case.answered_ns) <= COALESCE_NS
    }

    /// Whether it can be closed at `now_ns`, of what `meter` has seen of the unit's I/O.
    pub fn is_over(&self, in_motion: bool, meter: Option<&Meter>, now_ns: u64) -> bool {
        let last_late_ns = meter.map_or(0, Meter::last_late_ns);
        let busy_ns = self
            .verdict
            .end_ns
            .max(self.case.answered_ns)
            .max(last_late_ns);
        let held = meter.is_some_and(|meter| !meter.has_resumed(self.verdict.end_ns));
        let quiet = !in_motion && !held && now_ns.saturating_sub(busy_ns) >= QUIET_NS;
        quiet || now_ns.saturating_sub(self.case.answered_ns) >= LONGEST_NS
    }

    /// A sign that came after the answer may tell what the answer did not: who did it.
    pub fn belated(&mut self, sign: Sign) {
        if self.verdict.cause != Cause::Unknown {
            return;
        }
        let (cause, actor) = match sign {
            Sign::NotOwner => (Cause::RemoteExplicit, "another host"),
            Sign::Changed => (Cause::ArrayImplicit, "the array"),
            Sign::Moving => return,
        };
        self.verdict.cause = cause;
        actor.clone_into(&mut self.verdict.actor);
    }

    /// As it is told now: with its cost when it is `closed`.
    pub fn transfer(
        &self,
        subject: &Subject,
        notes: &Notes,
        since_ns: u64,
        closed: Option<&Closed>,
    ) -> Transfer {
        let (case, verdict) = (&self.case, &self.verdict);
        let until_ns = verdict.end_ns.max(case.answered_ns);
        Transfer {
            id: self.id,
            subject: subject.name.clone(),
            wwid: subject.wwid.clone(),
            from: strings(&case.from),
            to: strings(&case.to),
            started_at_ns: verdict.start_ns,
            start_uncertain_ns: self.start_uncertain_ns,
            ended_at_ns: verdict.end_ns,
            known_at_ns: case.answered_ns,
            cause: verdict.cause,
            actor: verdict.actor.clone(),
            evidence: notes.evidence(since_ns, verdict.start_ns, until_ns),
            impact: closed.map(|closed| closed.impact),
            before: closed.and_then(|closed| closed.before),
            during: closed.and_then(|closed| closed.during),
            after: None,
        }
    }
}
