//! Who owns a unit: what the array, the handler and the unit's own I/O say of its sides.

use super::{
    Context,
    command::side_state,
    observation::{Side, Source},
    sides::{Told, rdac_state},
    signs::{Sign, Signs},
    unit::{Heard, Unit, has_path, heard},
};
use crate::model::AccessState;

impl Unit {
    /// What the handler filed is its view, and the array's when no answer was overheard meanwhile.
    pub(super) fn filed(
        &mut self,
        side: Side,
        (state, preferred): (AccessState, bool),
        (entry_ns, return_ns): (u64, u64),
        cx: &mut Context<'_>,
    ) {
        let paths = &self.paths;
        self.sides
            .filed_between((entry_ns, return_ns), |side| has_path(paths, side));
        if let Some(known) = self.sides.entry(side) {
            known.filed = Some(state);
        }
        if self.answered_ns < entry_ns {
            let told = Told {
                side,
                state,
                preferred: Some(preferred),
                status: None,
            };
            self.learn(heard(entry_ns, return_ns, true), &[told], cx);
        }
    }

    pub(super) fn controller(
        &mut self,
        (side, owned, preferred): (Side, bool, bool),
        from: Source,
        (asked_ns, at_ns): (u64, u64),
        cx: &mut Context<'_>,
    ) {
        // Its path may not have been labelled yet: the answer says which controller it is.
        if let Some(known) = self.sides.entry(side) {
            known.preferred = Some(preferred);
            if from == Source::Handler {
                known.filed = Some(rdac_state(self.mode, owned));
            }
        }
        if from == Source::Array || !self.sides.knows(side) {
            self.owns(side, owned, heard(asked_ns, at_ns, false), cx);
        }
    }

    /// A controller owns the unit, or does not: which tells of the other one, too.
    pub(super) fn owns(&mut self, side: Side, owned: bool, heard: Heard, cx: &mut Context<'_>) {
        let mut others: Vec<Side> = self.paths.iter().filter_map(|path| path.side).collect();
        others.extend(self.sides.iter().map(|(side, _)| side));
        others.sort_unstable();
        others.dedup();
        others.retain(|other| *other != side);
        let told = |side, owned| Told {
            side,
            state: rdac_state(self.mode, owned),
            preferred: None,
            status: None,
        };
        let mut all = vec![told(side, owned)];
        let was_owner = self.owner.as_ref().is_some_and(|it| it.contains(&side));
        if owned {
            all.extend(others.iter().map(|other| told(*other, false)));
        } else if let (true, [other]) = (was_owner, others.as_slice()) {
            all.push(told(*other, true));
        }
        self.learn(heard, &all, cx);
    }

    /// Takes what the array holds: the same owner, another one, or a transition.
    pub(super) fn learn(&mut self, heard: Heard, told: &[Told], cx: &mut Context<'_>) {
        let optimized = |told: &&Told| told.state == AccessState::Optimized;
        let owner = self.owner.clone().unwrap_or_default();
        let gained = told
            .iter()
            .filter(optimized)
            .any(|it| !owner.contains(&it.side) && self.sides.knows(it.side));
        let lost = told
            .iter()
            .any(|it| !optimized(&it) && owner.contains(&it.side));
        if (gained || lost) && self.owner.is_some() && heard.asked_ns < self.truth_ns {
            // Asked before the present owner was: it may be an old answer.
            return;
        }
        for it in told {
            self.sides.take(it, heard.asked_ns, heard.answered_ns);
        }
        let in_motion = self.sides.in_motion();
        if in_motion {
            self.signs
                .saw(Sign::Moving, heard.asked_ns, heard.answered_ns);
            self.watch(heard.asked_ns);
            let text = "the array says transitioning".to_owned();
            self.notes.push(heard.answered_ns, text);
        }
        if in_motion && !gained {
            return;
        }
        let now = self.sides.owner();
        match &self.owner {
            Some(owner) if *owner == now => self.confirmed(heard, in_motion),
            Some(_) if gained || lost => {
                self.note_owner(heard, told);
                self.moved(now, heard, cx);
            }
            // A side that nobody had spoken of until now does not move anything.
            _ => {
                self.owner = Some(now);
                // Before its owner was known, any I/O seemed to be elsewhere.
                self.io_elsewhere = None;
                self.taken_by_io = None;
                self.asked_ns = self.asked_ns.max(heard.asked_ns);
                self.history.begin(heard.asked_ns);
            }
        }
    }

    fn confirmed(&mut self, heard: Heard, in_motion: bool) {
        self.asked_ns = self.asked_ns.max(heard.asked_ns);
        self.truth_ns = self.truth_ns.max(heard.asked_ns);
        if !in_motion && heard.asked_ns >= self.signs.last_ns {
            self.signs = Signs::default();
        }
        self.io_elsewhere = self
            .io_elsewhere
            .filter(|(_, completion_ns)| *completion_ns > heard.asked_ns);
    }

    fn note_owner(&mut self, heard: Heard, told: &[Told]) {
        let states: Vec<String> = told
            .iter()
            .map(|it| {
                let by = match it.status {
                    Some(1) => ", last changed by SET TARGET PORT GROUPS",
                    Some(2) => ", last changed by the array",
                    _ => "",
                };
                format!("{}{by}", side_state(it.side, it.state))
            })
            .take(8)
            .collect();
        let who = if heard.filed {
            "the handler filed"
        } else {
            "now"
        };
        let text = format!("{who} {}", states.join("; "));
        self.notes.push(heard.answered_ns, text);
    }

    /// In AVT mode an I/O that the other controller served has moved the unit there: nobody need
    /// ask the array. Answers that were under way have been taken by now.
    pub(super) fn take_by_io(&mut self, cx: &mut Context<'_>) {
        let Some((dispatch_ns, completion_ns)) = self.io_elsewhere else {
            return;
        };
        if cx.now_ns.saturating_sub(completion_ns) < 2 * super::REORDER_NS {
            return;
        }
        let Some(side) = self.taken_by_io.take() else {
            return;
        };
        self.owns(side, true, heard(dispatch_ns, completion_ns, false), cx);
    }
}
