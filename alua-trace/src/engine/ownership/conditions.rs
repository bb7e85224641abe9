//! Flags about what lasts: a condition is raised when it has held for a while, and ended when it
//! does no longer.

use super::{
    command::Command,
    observation::Side,
    sides::{Sides, names},
    unit::PathState,
};
use crate::{
    engine::book::{Book, Subject},
    format,
    model::{AccessState, FlagKind, Severity},
};

const SECOND_NS: u64 = 1_000_000_000;

/// One condition.
#[derive(Debug, Default)]
struct Condition {
    since_ns: Option<u64>,
    flag: Option<u32>,
}

impl Condition {
    /// `found` says since when it holds and what to say of it.
    fn hold(
        &mut self,
        kind: (FlagKind, Severity),
        found: Option<(u64, String)>,
        patience_ns: u64,
        (book, subject, now_ns): (&mut Book, &Subject, u64),
    ) {
        let Some((since_ns, text)) = found else {
            self.since_ns = None;
            if let Some(flag) = self.flag.take() {
                book.end(flag, now_ns);
            }
            return;
        };
        let since_ns = *self.since_ns.get_or_insert(since_ns);
        match self.flag {
            Some(flag) => book.update(flag, now_ns, text),
            None if now_ns.saturating_sub(since_ns) >= patience_ns => {
                self.flag = Some(book.raise(kind, subject, (since_ns, now_ns), text));
            }
            None => {}
        }
    }
}

/// The conditions of one logical unit.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    stuck: Condition,
    outstanding: Condition,
    disagrees: Condition,
    not_preferred: Condition,
}

/// What the conditions look at.
pub(super) struct View<'a> {
    pub sides: &'a Sides,
    pub owner: Option<&'a [Side]>,
    pub paths: &'a [PathState],
    pub commands: &'a mut dyn Iterator<Item = &'a Command>,
    pub transition_time_s: Option<u8>,
}

impl Conditions {
    /// Whether any of them holds, or did until the last tick.
    pub fn is_any(&self) -> bool {
        let all = [
            &self.stuck,
            &self.outstanding,
            &self.disagrees,
            &self.not_preferred,
        ];
        all.iter()
            .any(|it| it.since_ns.is_some() || it.flag.is_some())
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, view: View<'_>, book: &mut Book, subject: &Subject, now_ns: u64) {
        let thresholds = book.thresholds;
        let warning = |kind| (kind, Severity::Warning);
        let limit_ns = match view.transition_time_s {
            Some(seconds @ 1..) => u64::from(seconds) * SECOND_NS,
            _ => thresholds.transition_stuck_ns,
        };
        self.stuck.hold(
            warning(FlagKind::TransitionStuck),
            stuck(view.sides, limit_ns),
            limit_ns,
            (book, subject, now_ns),
        );
        self.outstanding.hold(
            warning(FlagKind::ModeSelectOutstanding),
            outstanding(view.commands),
            thresholds.mode_select_ns,
            (book, subject, now_ns),
        );
        self.disagrees.hold(
            warning(FlagKind::StateDisagrees),
            disagreement(view.sides, view.paths).map(|text| (now_ns, text)),
            thresholds.disagrees_ns,
            (book, subject, now_ns),
        );
        self.not_preferred.hold(
            (FlagKind::NotPreferredOwner, Severity::Info),
            not_preferred(view.sides, view.owner).map(|text| (now_ns, text)),
            thresholds.not_preferred_ns,
            (book, subject, now_ns),
        );
    }
}

fn stuck(sides: &Sides, limit_ns: u64) -> Option<(u64, String)> {
    let moving = sides
        .iter()
        .filter_map(|(side, known)| Some((known.transitioning_since_ns?, side)));
    let (since_ns, side) = moving.min()?;
    let limit = format::duration(limit_ns);
    Some((
        since_ns,
        format!("{side} is transitioning for longer than the {limit} a transition may take"),
    ))
}

fn outstanding(commands: &mut dyn Iterator<Item = &Command>) -> Option<(u64, String)> {
    let open = commands.filter(|it| it.is_mode_select && it.ended_ns().is_none());
    let oldest = open.min_by_key(|it| it.dispatch_ns)?;
    Some((
        oldest.dispatch_ns,
        format!(
            "{} and has no answer; the kernel waits 15,000 s for it, and no failover of this \
             controller's LUNs happens before",
            oldest.sent()
        ),
    ))
}

fn not_preferred(sides: &Sides, owner: Option<&[Side]>) -> Option<String> {
    let owner = owner.filter(|owner| !owner.is_empty())?;
    let preferred = sides.preferred();
    let apart = !preferred.is_empty() && !owner.iter().any(|side| preferred.contains(side));
    apart.then(|| {
        format!(
            "owned by {}, while {} is preferred",
            names(owner),
            names(&preferred)
        )
    })
}

/// Who holds which state, when that is not the same; `None` when all agree.
fn disagreement(sides: &Sides, paths: &[PathState]) -> Option<String> {
    let mut found: Vec<String> = Vec::new();
    for (side, known) in sides.iter() {
        let Some(array) = known.state.filter(is_told) else {
            continue;
        };
        let mut voices = Vec::new();
        if let Some(filed) = known
            .filed
            .filter(|filed| is_told(filed) && *filed != array)
        {
            voices.push(format!("the handler {}", filed.short()));
        }
        for path in paths.iter().filter(|path| path.side == Some(side)) {
            if let Some(sysfs) = path.sysfs.filter(|sysfs| is_told(sysfs) && *sysfs != array) {
                voices.push(format!("sysfs of {} {}", path.hctl, sysfs.short()));
            }
            if let Some((behaved, _)) = path.behaved.filter(|(behaved, _)| *behaved != array) {
                let behaved = behaved.short();
                voices.push(format!("{} behaves as {behaved}", path.hctl));
            }
        }
        if !voices.is_empty() {
            let array = array.short();
            found.push(format!("{side}: the array {array}, {}", voices.join(", ")));
        }
    }
    (!found.is_empty()).then(|| found.join("; "))
}

fn is_told(state: &AccessState) -> bool {
    !matches!(state, AccessState::Unknown | AccessState::Transitioning)
}
