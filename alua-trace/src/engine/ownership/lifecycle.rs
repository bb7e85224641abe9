//! The transfers of one logical unit: found, judged, flagged, closed.

use super::{
    Context,
    meter::{Closed, WINDOW_NS},
    moves::Move,
    sides::{Owner, strings},
    transfer::Open,
    unit::{Heard, Unit},
    verdict::{Case, Verdict, judge},
};
use crate::model::{FlagKind, Line, Ownership, Severity, TransferChange, TransferEvent};

impl Unit {
    /// The owner is another one than before.
    pub(super) fn moved(&mut self, to: Owner, heard: Heard, cx: &mut Context<'_>) {
        let from = self.owner.replace(to.clone()).unwrap_or_default();
        if let Some(open) = &mut self.open
            && heard.filed
            && open.goes_on(&to, heard.answered_ns)
        {
            open.case.to.clone_from(&to);
            if let Some(last) = self.moves.last_mut() {
                last.to = to;
            }
            return;
        }
        self.close(cx);
        let case = self.case(from, to, heard);
        let verdict = judge(&case, self.commands.iter().filter(|it| !it.claimed));
        if let Some(done) = verdict.command {
            let command = |it: &&mut _| is(it, done);
            if let Some(command) = self.commands.iter_mut().find(command) {
                command.claimed = true;
            }
        }
        self.watch(verdict.start_ns);
        self.settle_after(verdict.start_ns);
        self.open(case, verdict, heard.filed, cx);
    }

    fn case(&self, from: Owner, to: Owner, heard: Heard) -> Case {
        let changed = |gained: bool| {
            let sides = if gained { (&to, &from) } else { (&from, &to) };
            let of = sides.0.iter().filter(|side| !sides.1.contains(side));
            of.filter_map(|side| self.sides.get(*side)?.status).max()
        };
        let served_ns = |moving| self.meter.as_ref()?.first_served_after(moving);
        Case {
            status: changed(true).or(changed(false)).filter(|_| !heard.filed),
            from,
            to,
            old_asked_ns: self.asked_ns,
            asked_ns: heard.asked_ns,
            answered_ns: heard.answered_ns,
            signs: self.signs,
            served_ns: self.signs.moving_ns.and_then(served_ns),
            mode: self.mode,
            io_elsewhere: self.io_elsewhere,
        }
    }

    fn open(&mut self, case: Case, verdict: Verdict, filed: bool, cx: &mut Context<'_>) {
        *cx.next_transfer = cx.next_transfer.wrapping_add(1);
        let served = case.to.iter().any(|side| self.reaches(*side));
        let next = Move {
            at_ns: verdict.start_ns,
            from: case.from.clone(),
            to: case.to.clone(),
            cause: verdict.cause,
            actor: verdict.actor.clone(),
            excuse: None,
        };
        let lost = next.left().any(|side| self.has_lost(side));
        self.moves.push(next, lost, served);
        let mut open = Open {
            start_uncertain_ns: self.uncertain_ns(&case, &verdict),
            case,
            verdict,
            id: *cx.next_transfer,
            filed,
            flag: 0,
            follow_over_judged: false,
        };
        let transfer = open.transfer(&self.subject, &self.notes, self.asked_before(), None);
        open.flag = cx.book.raise(
            (FlagKind::OwnershipTransfer, Severity::Info),
            &self.subject,
            (transfer.started_at_ns, cx.now_ns),
            transfer.sentence(),
        );
        cx.book.push(Line::Transfer(TransferEvent {
            change: TransferChange::Seen,
            transfer,
        }));
        self.owe(
            open.verdict.start_ns,
            open.verdict.command.map(|(path, _)| path),
            open.case.answered_ns,
        );
        self.signs = Default::default();
        self.io_elsewhere = None;
        self.asked_ns = open.case.asked_ns;
        self.truth_ns = open.verdict.end_ns.min(open.case.answered_ns);
        let pending = open.verdict.command.is_some_and(|done| self.may_fail(done));
        self.open = Some(open);
        self.judge_thrash(cx);
        if !pending {
            self.judge_follow_over(cx);
        }
    }

    /// How much earlier than stated the array may have begun. A command of this host cannot have
    /// had an effect before it was sent.
    fn uncertain_ns(&self, case: &Case, verdict: &Verdict) -> Option<u64> {
        if verdict.command.is_some() {
            return Some(0);
        }
        // While nobody was told of a change on any path, there was none.
        let good = |_| self.meter.as_ref()?.last_good_before(verdict.start_ns);
        let good_ns = case.signs.first_ns.and_then(good).unwrap_or(0);
        let last_ns = good_ns.max(case.old_asked_ns);
        (last_ns > 0).then(|| verdict.start_ns.saturating_sub(last_ns))
    }

    /// Evidence from before the tenure is about other transfers.
    fn asked_before(&self) -> u64 {
        self.history.began_ns().unwrap_or(0)
    }

    /// Judges the last move by follow-over, once it is certain who did it.
    fn judge_follow_over(&mut self, cx: &mut Context<'_>) {
        let Some(open) = &mut self.open else {
            return;
        };
        if std::mem::replace(&mut open.follow_over_judged, true) {
            return;
        }
        if let Some(text) = self.moves.follow_over(&self.sides.preferred())
            && let Some(last) = self.moves.last()
        {
            let kind = (FlagKind::FollowOverViolation, Severity::Warning);
            let at = (last.at_ns, cx.now_ns);
            let flag = cx.book.raise(kind, &self.subject, at, text);
            cx.book.end(flag, last.at_ns);
        }
    }

    /// Whether the command that a transfer rests on may yet fail.
    fn may_fail(&self, done: (u32, u64)) -> bool {
        let mut commands = self.commands.iter();
        commands.any(|it| is(it, done) && it.ended_ns().is_none())
    }

    fn judge_thrash(&mut self, cx: &mut Context<'_>) {
        if let Some((first_ns, text)) = self.moves.thrash(&cx.book.thresholds) {
            match self.thrash {
                Some(flag) => cx.book.update(flag, cx.now_ns, text),
                None => {
                    let kind = (FlagKind::PathThrash, Severity::Warning);
                    let at = (first_ns, cx.now_ns);
                    self.thrash = Some(cx.book.raise(kind, &self.subject, at, text));
                }
            }
        }
    }

    /// The command `done` has ended, and the open transfer may rest on it.
    pub(super) fn rejudge(&mut self, done: (u32, u64), cx: &mut Context<'_>) {
        let rests = |open: &&Open| open.verdict.command == Some(done);
        let Some(open) = self.open.as_ref().filter(rests) else {
            return;
        };
        let candidates = self.commands.iter();
        let candidates = candidates.filter(|it| !it.claimed || is(it, done));
        let verdict = judge(&open.case, candidates);
        let start_uncertain_ns = self.uncertain_ns(&open.case, &verdict);
        if let Some(open) = &mut self.open {
            open.verdict = verdict;
            open.start_uncertain_ns = start_uncertain_ns;
        }
        self.tell_moves();
        self.judge_follow_over(cx);
    }

    pub(super) fn tick_transfer(&mut self, cx: &mut Context<'_>) {
        let in_motion = self.sides.in_motion();
        let over = |open: &Open| open.is_over(in_motion, self.meter.as_deref(), cx.now_ns);
        if self.open.as_ref().is_some_and(over) {
            self.close(cx);
        }
        if let Some(ended_ns) = self.history.wants_after()
            && cx.now_ns.saturating_sub(ended_ns) >= WINDOW_NS
        {
            self.settle_after(cx.now_ns);
        }
        if let (Some(flag), Some(last)) = (self.thrash, self.moves.last())
            && cx.now_ns.saturating_sub(last.at_ns) > cx.book.thresholds.thrash_ns
        {
            cx.book.end(flag, last.at_ns);
            self.thrash = None;
        }
    }

    /// The I/O after the last transfer is what is in the window at `now_ns`.
    fn settle_after(&mut self, now_ns: u64) {
        if self.history.wants_after().is_some() {
            let load = self.meter.as_ref().and_then(|meter| meter.window(now_ns));
            self.history.after(load);
        }
    }

    /// Who did the open transfer, as it is judged now.
    fn tell_moves(&mut self) {
        if let (Some(open), Some(last)) = (&self.open, self.moves.last_mut()) {
            last.cause = open.verdict.cause;
            last.actor.clone_from(&open.verdict.actor);
        }
    }

    /// The open transfer, if there is one, is over.
    pub(super) fn close(&mut self, cx: &mut Context<'_>) {
        self.tell_moves();
        self.judge_follow_over(cx);
        let Some(open) = self.open.take() else {
            return;
        };
        let verdict = &open.verdict;
        let since_ns = self.history.began_ns().unwrap_or(verdict.start_ns);
        let closed = self.meter.as_mut().map_or_else(Closed::default, |meter| {
            meter.close(since_ns, verdict.start_ns, verdict.end_ns)
        });
        let transfer = open.transfer(&self.subject, &self.notes, since_ns, Some(&closed));
        cx.book
            .update(open.flag, transfer.ended_at_ns, transfer.sentence());
        cx.book.end(open.flag, transfer.ended_at_ns);
        cx.book.push(Line::Transfer(TransferEvent {
            change: TransferChange::Done,
            transfer: transfer.clone(),
        }));
        self.history.moved(transfer, closed.tenure);
    }

    /// Who owned it when; `None` when nobody ever said.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Option<Ownership> {
        self.close(cx);
        let owner = strings(self.owner.as_ref()?);
        let now_ns = cx.now_ns;
        let since_ns = self.history.began_ns().unwrap_or(now_ns);
        let meter = self.meter.as_mut();
        let load = meter.and_then(|meter| meter.tenure(since_ns, now_ns));
        self.settle_after(now_ns);
        Some(self.history.finish(&self.subject, owner, load, now_ns))
    }
}

fn is(command: &super::command::Command, (path, dispatch_ns): (u32, u64)) -> bool {
    command.path == path && command.dispatch_ns == dispatch_ns
}
