//! Who or what moved a logical unit, and when the array did it.
//!
//! A command of this host is the cause when it asked for what changed, did not fail, and was on its
//! way between the last answer that named the old owner and the first that named the new one.
//! Else the array's own word counts (the status code of REPORT TARGET PORT GROUPS), then sense
//! data, then I/O on the other controller in AVT mode.

use super::{
    command::Command,
    observation::{RdacMode, Side},
    signs::Signs,
};
use crate::model::Cause;

/// Status code of RTPG: SET TARGET PORT GROUPS changed the state last.
const BY_STPG: u8 = 1;
/// Status code of RTPG: the array changed it last.
const BY_ARRAY: u8 = 2;
/// When the array reports that it moved by itself (status code 2), a command of this host that
/// ended longer ago than this is not taken as the cause.
const OLD_NS: u64 = 10_000_000_000;

/// What is known of a transfer when it is judged.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub from: Vec<Side>,
    pub to: Vec<Side>,
    /// Dispatch of the last question whose answer named the old owner.
    pub old_asked_ns: u64,
    /// Dispatch of the first question whose answer named the new one, and that answer.
    pub asked_ns: u64,
    pub answered_ns: u64,
    /// RTPG status code of what changed, when an answer had one.
    pub status: Option<u8>,
    pub signs: Signs,
    /// First dispatch after the last "transitioning" that the array served.
    pub served_ns: Option<u64>,
    pub mode: Option<RdacMode>,
    /// Dispatch and completion of the first I/O on the new owner while it was not.
    pub io_elsewhere: Option<(u64, u64)>,
}

/// The judgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub cause: Cause,
    pub actor: String,
    pub start_ns: u64,
    pub end_ns: u64,
    /// Path and dispatch of the command that did it.
    pub command: Option<(u32, u64)>,
}

/// Judges.
pub(super) fn judge<'a>(case: &Case, commands: impl Iterator<Item = &'a Command>) -> Verdict {
    let command = commands
        .filter(|command| command.could_have(case))
        .max_by_key(|command| command.dispatch_ns);
    if let Some(command) = command.filter(|command| !case.array_denies(command)) {
        return case.local(command);
    }
    let (cause, actor) = match case.status {
        Some(BY_STPG) => (Cause::RemoteExplicit, "another host"),
        Some(BY_ARRAY) => (Cause::ArrayImplicit, "the array"),
        _ if case.signs.not_owner => (Cause::RemoteExplicit, "another host"),
        _ if case.mode == Some(RdacMode::Avt) && case.io_elsewhere.is_some() => {
            return case.by_io();
        }
        _ if case.signs.changed => (Cause::ArrayImplicit, "the array"),
        _ => (Cause::Unknown, "unknown"),
    };
    // Without a sign it changed between two questions; the later one is the nearer.
    let start_ns = case
        .signs
        .first_ns
        .unwrap_or(case.asked_ns)
        .min(case.answered_ns);
    let end_ns = case.over_ns(0).unwrap_or(start_ns);
    Verdict {
        cause,
        actor: actor.to_owned(),
        start_ns,
        end_ns: end_ns.max(start_ns),
        command: None,
    }
}

impl Case {
    /// When a transition that the array told of since `since_ns` was over; `None` without one.
    fn over_ns(&self, since_ns: u64) -> Option<u64> {
        self.signs.moving_ns.filter(|moving| *moving >= since_ns)?;
        let announced = self.signs.announced_ns().into_iter();
        let first = announced.chain(self.served_ns).min();
        Some(first.unwrap_or(self.asked_ns).min(self.answered_ns))
    }

    /// The array says that it moved by itself, and this is more likely than that the command did
    /// it and the array is wrong.
    fn array_denies(&self, command: &Command) -> bool {
        let first_ns = self.signs.first_ns.unwrap_or(self.asked_ns);
        let over_ns = command.ended_ns().unwrap_or(command.dispatch_ns);
        self.status == Some(BY_ARRAY)
            && (first_ns < command.dispatch_ns || first_ns > over_ns.saturating_add(OLD_NS))
    }

    fn local(&self, command: &Command) -> Verdict {
        let ended_ns = command.ended_ns().unwrap_or(self.answered_ns);
        let over_ns = self.over_ns(command.dispatch_ns).unwrap_or(ended_ns);
        Verdict {
            cause: Cause::LocalExplicit,
            actor: command.actor(),
            start_ns: command.dispatch_ns,
            end_ns: over_ns.max(ended_ns),
            command: Some((command.path, command.dispatch_ns)),
        }
    }

    fn by_io(&self) -> Verdict {
        let (start_ns, end_ns) = self.io_elsewhere.unwrap_or_default();
        Verdict {
            cause: Cause::IoDriven,
            actor: "I/O of this host on the other controller".to_owned(),
            start_ns,
            end_ns: end_ns.max(start_ns),
            command: None,
        }
    }

    /// A side that this was about: gained, or lost.
    pub fn gained(&self, side: Side) -> bool {
        self.to.contains(&side) && !self.from.contains(&side)
    }

    /// A side that was lost.
    pub fn lost(&self, side: Side) -> bool {
        self.from.contains(&side) && !self.to.contains(&side)
    }
}
