//! The array's states over time, by its own log, and whether what a flag says of a path was so then, as
//! far as a host could know.

use anyhow::{Context, Result, bail, ensure};

use crate::array::{Access, Controller, Moved, StateChange};
use crate::lab::Lab;
use crate::lab::schema::{Judgement, State, Verdict};

/// The handler asks a group in transition every 2 s (`ALUA_RTPG_DELAY_MSECS`, `ALUA_FAILOVER_RETRY_DELAY`),
/// and a busy host takes its time.
pub(super) const KNOWN_WITHIN_NS: u64 = 3_500_000_000;
/// The array logs a change, and answers by it, at once; its clock is the host's.
const AHEAD_NS: u64 = 50_000_000;

/// A state of a controller's ports, from a time on until the next one's.
#[derive(Debug, Clone, Copy)]
struct Period {
    from_ns: u64,
    state: State,
}

/// What each controller's ports were, in order.
#[derive(Debug)]
pub(super) struct Timeline {
    /// The LUN has an owner, instead of its ports' groups states.
    pub(super) has_owners: bool,
    periods: [Vec<Period>; 2],
}

impl Timeline {
    /// By the log of an array whose port groups have states.
    pub(super) fn of_groups(changes: &[StateChange]) -> Result<Timeline> {
        Timeline::of(changes, |controller, moved| match moved {
            Moved::Group { id, from, to } if id == controller.group() => {
                Ok(Some((state(from), state(to))))
            }
            Moved::Group { .. } => Ok(None),
            Moved::Owner { .. } => bail!("an ALUA array has no owners"),
        })
    }

    /// By the log of an array whose LUN has an owner; `other` is what the ports of the controller that
    /// does not own it are.
    pub(super) fn of_owners(changes: &[StateChange], other: State) -> Result<Timeline> {
        let timeline = Timeline::of(changes, |controller, moved| {
            let Moved::Owner { from, to } = moved else {
                bail!("an RDAC array has no states of groups");
            };
            let of = |owner: Controller| {
                if owner == controller {
                    State::Optimized
                } else {
                    other
                }
            };
            Ok(Some((of(from), of(to))))
        })?;
        Ok(Timeline {
            has_owners: true,
            ..timeline
        })
    }

    fn of(
        changes: &[StateChange],
        moved: impl Fn(Controller, Moved) -> Result<Option<(State, State)>>,
    ) -> Result<Timeline> {
        let mut periods = [Vec::new(), Vec::new()];
        for controller in Controller::ALL {
            let own = &mut periods[controller.index()];
            for change in changes {
                let Some((from, to)) = moved(controller, change.moved)? else {
                    continue;
                };
                if own.is_empty() {
                    own.push(Period {
                        from_ns: 0,
                        state: from,
                    });
                }
                own.push(Period {
                    from_ns: change.at_ns,
                    state: to,
                });
            }
            ensure!(!own.is_empty(), "{controller} never changed");
        }
        Ok(Timeline {
            has_owners: false,
            periods,
        })
    }

    /// Whether a controller's ports were in a state at a time, or so shortly before that nobody had told.
    pub(super) fn had(&self, controller: Controller, state: State, at_ns: u64) -> bool {
        self.with_ends(controller).any(|(period, ended_ns)| {
            period.state == state
                && period.from_ns <= at_ns + AHEAD_NS
                && ended_ns.saturating_add(KNOWN_WITHIN_NS) >= at_ns
        })
    }

    /// Whether they had been in a state for so long that every host knew, and still were.
    pub(super) fn held(&self, controller: Controller, state: State, at_ns: u64) -> bool {
        self.with_ends(controller).any(|(period, ended_ns)| {
            period.state == state
                && period.from_ns + KNOWN_WITHIN_NS <= at_ns
                && ended_ns > at_ns + AHEAD_NS
        })
    }

    /// Whether they had been optimized since before a time since which dm has used every path, and for so
    /// long that every host knew.
    fn was_surely_usable(&self, controller: Controller, at_ns: u64, usable_ns: &[u64]) -> bool {
        self.with_ends(controller).any(|(period, ended_ns)| {
            let since = |usable_ns: &u64| {
                period.from_ns <= *usable_ns && usable_ns + KNOWN_WITHIN_NS <= at_ns
            };
            period.state == State::Optimized
                && ended_ns > at_ns + AHEAD_NS
                && usable_ns.iter().any(since)
        })
    }

    fn with_ends(&self, controller: Controller) -> impl Iterator<Item = (Period, u64)> {
        let own = &self.periods[controller.index()];
        let ends = own.iter().skip(1).map(|next| next.from_ns);
        own.iter().copied().zip(ends.chain([u64::MAX]))
    }

    /// Every state in a judgement is one that the array had, and its verdict follows from them.
    /// `usable_ns` are times since which dm has used every path.
    pub(super) fn check(&self, lab: &Lab, judgement: &Judgement, usable_ns: &[u64]) -> Result<()> {
        let offenders = judgement.paths.iter().map(|it| (&it.hctl, it.state));
        let optimized = judgement.alternatives.iter().chain(&judgement.outside_map);
        let optimized = optimized.map(|hctl| (hctl, State::Optimized));
        for (hctl, state) in offenders.chain(optimized) {
            let controller = controller(lab, hctl)?;
            ensure!(
                self.had(controller, state, judgement.at_ns),
                "{hctl} was not {state:?} at {}: {:?}",
                judgement.at_ns,
                self.periods
            );
        }
        let had_alternative = !judgement.alternatives.is_empty();
        ensure!(
            (judgement.verdict == Verdict::Avoidable) == had_alternative,
            "the verdict does not follow from the alternatives"
        );
        let unseen = Controller::ALL
            .into_iter()
            .find(|controller| self.was_surely_usable(*controller, judgement.at_ns, usable_ns));
        ensure!(
            judgement.verdict != Verdict::Unavoidable || unseen.is_none(),
            "{unseen:?} had been active/optimized and usable for long: {:?}",
            self.periods
        );
        Ok(())
    }
}

/// Whose port a path of the lab leads to.
pub(super) fn controller(lab: &Lab, hctl: &str) -> Result<Controller> {
    let paths = lab.paths();
    let path = paths.iter().find(|path| path.hctl == hctl);
    Ok(path.context("no path of the lab")?.name.controller)
}

fn state(access: Access) -> State {
    match access {
        Access::Optimized => State::Optimized,
        Access::NonOptimized => State::NonOptimized,
        Access::Standby => State::Standby,
        Access::Unavailable => State::Unavailable,
        Access::Offline => State::Offline,
        Access::Transitioning => State::Transitioning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::Reason;

    fn change(at_s: u64, id: u16, from: Access, to: Access) -> StateChange {
        StateChange {
            at_ns: at_s * 1_000_000_000,
            lun: 0,
            moved: Moved::Group { id, from, to },
            reason: Reason::Implicit,
        }
    }

    #[test]
    fn a_state_counts_until_hosts_have_asked_again() {
        use Access::{NonOptimized, Optimized, Transitioning};
        let timeline = Timeline::of_groups(&[
            change(10, 1, Optimized, Transitioning),
            change(10, 2, NonOptimized, Transitioning),
            change(20, 1, Transitioning, NonOptimized),
            change(20, 2, Transitioning, Optimized),
        ])
        .unwrap();
        let second = 1_000_000_000;
        let had = |state, at_s: u64| timeline.had(Controller::A, state, at_s * second);
        assert!(had(State::Optimized, 9) && had(State::Optimized, 13));
        assert!(!had(State::Optimized, 14) && !had(State::Transitioning, 9));
        assert!(had(State::Transitioning, 15) && had(State::NonOptimized, 30));
        let usable = |at_s: u64, since_s: u64| {
            timeline.was_surely_usable(Controller::B, at_s * second, &[since_s * second])
        };
        assert!(!usable(22, 20) && usable(24, 20) && !usable(40, 19) && !usable(40, 39));
        assert!(
            Timeline::of_owners(&[change(1, 1, Optimized, NonOptimized)], State::Standby).is_err()
        );
        assert!(Timeline::of_groups(&[]).is_err());
    }
}
