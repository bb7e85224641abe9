//! One logical unit: who has it, how its two controllers differ, what it refuses now. Pure.

use super::access::{Access, Controller, PathName, Where};
use super::changes::{Moved, Reason};
use super::groups::{Ended, Groups, Layout};
use super::personality::Personality;
use super::rdac::Mode;
use super::scsi::Sense;

/// A logical unit.
#[derive(Debug)]
pub(crate) struct Lun {
    /// Its asymmetry.
    pub(crate) access: Asymmetry,
    /// Preferred controller.
    pub(crate) preferred: Option<Controller>,
    quiescence: Option<Quiescence>,
}

/// What makes one controller a worse way to a LUN than the other.
#[derive(Debug)]
pub(crate) enum Asymmetry {
    /// States of target port groups (ALUA).
    Groups(Groups),
    /// One controller owns it (RDAC).
    Owner(Controller),
}

#[derive(Debug)]
struct Quiescence {
    until_ns: u64,
    sense: Sense,
}

/// A transfer to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer {
    /// Why.
    pub(crate) reason: Reason,
    /// Monotonic time at which it begins.
    pub(crate) now_ns: u64,
    /// How long it takes.
    pub(crate) takes_ns: u64,
}

impl Lun {
    /// A LUN of `owner`, which an RDAC array also prefers for it.
    pub(crate) fn new(personality: Personality, layout: Layout, owner: Controller) -> Lun {
        let (access, preferred) = match personality {
            Personality::Alua { .. } => (Asymmetry::Groups(Groups::new(layout, owner)), None),
            Personality::Rdac { .. } => (Asymmetry::Owner(owner), Some(owner)),
        };
        Lun {
            access,
            preferred,
            quiescence: None,
        }
    }

    /// Ends a transition whose time has come.
    pub(crate) fn advance(&mut self, now_ns: u64) -> Option<Ended> {
        match &mut self.access {
            Asymmetry::Groups(groups) => groups.advance(now_ns),
            Asymmetry::Owner(_) => None,
        }
    }

    /// Moves the LUN to `owner`; says what changed at once.
    pub(crate) fn own(&mut self, owner: Controller, transfer: Transfer) -> Vec<Moved> {
        match &mut self.access {
            Asymmetry::Groups(groups) => {
                let states = groups.owned_by(owner);
                self.change(states, transfer)
            }
            Asymmetry::Owner(now) if *now == owner => Vec::new(),
            Asymmetry::Owner(now) => {
                let from = std::mem::replace(now, owner);
                if transfer.takes_ns > 0 {
                    self.quiesce(transfer.now_ns + transfer.takes_ns, Sense::QUIESCING);
                }
                vec![Moved::Owner { from, to: owner }]
            }
        }
    }

    /// Gives the groups of an ALUA LUN the states `then`; says what changed at once.
    pub(crate) fn change(&mut self, then: Vec<Access>, transfer: Transfer) -> Vec<Moved> {
        match &mut self.access {
            Asymmetry::Owner(_) => Vec::new(),
            Asymmetry::Groups(groups) if transfer.takes_ns == 0 => {
                groups.change(&then, transfer.reason)
            }
            Asymmetry::Groups(groups) => {
                let until_ns = transfer.now_ns + transfer.takes_ns;
                groups.begin_transition(until_ns, then, transfer.reason)
            }
        }
    }

    /// Both controllers trade places.
    pub(crate) fn swap(&mut self, transfer: Transfer) -> Vec<Moved> {
        match &self.access {
            Asymmetry::Groups(groups) => {
                let states = groups.swapped();
                self.change(states, transfer)
            }
            Asymmetry::Owner(owner) => {
                let other = owner.other();
                self.own(other, transfer)
            }
        }
    }

    /// The states of an ALUA LUN's groups with some replaced.
    pub(crate) fn with(&self, wishes: &[(Where, Access)]) -> Option<Vec<Access>> {
        match &self.access {
            Asymmetry::Groups(groups) => Some(groups.with(wishes)),
            Asymmetry::Owner(_) => None,
        }
    }

    /// Refuses reads and writes with `sense` until `until_ns`.
    pub(crate) fn quiesce(&mut self, until_ns: u64, sense: Sense) {
        self.quiescence = Some(Quiescence { until_ns, sense });
    }

    /// Why reads and writes are held off now, if they are.
    pub(crate) fn quiesced(&self, now_ns: u64) -> Option<Sense> {
        let quiescence = self.quiescence.as_ref()?;
        (now_ns < quiescence.until_ns).then_some(quiescence.sense)
    }

    /// The RDAC owner, when it is not the controller of `path`.
    pub(crate) fn is_owned_elsewhere(&self, path: PathName) -> bool {
        matches!(self.access, Asymmetry::Owner(owner) if owner != path.controller)
    }

    /// True when `path` is the slower way: non-optimized, or by way of the owner.
    pub(crate) fn is_detour(&self, path: PathName) -> bool {
        match &self.access {
            Asymmetry::Groups(groups) => groups.state(path) == Access::NonOptimized,
            Asymmetry::Owner(owner) => *owner != path.controller,
        }
    }

    /// Why a port refuses every command that asks for the medium, if it does (SPC-4 5.15.2).
    pub(crate) fn port_refuses(&self, path: PathName) -> Option<Sense> {
        let Asymmetry::Groups(groups) = &self.access else {
            return None;
        };
        match groups.state(path) {
            Access::Optimized | Access::NonOptimized => None,
            Access::Standby => Some(Sense::STANDBY),
            Access::Unavailable => Some(Sense::UNAVAILABLE),
            Access::Offline => Some(Sense::OFFLINE),
            Access::Transitioning => Some(Sense::TRANSITION),
        }
    }

    /// Why a controller that does not own the LUN refuses a read or write, if it does.
    pub(crate) fn controller_refuses(&self, mode: Mode, path: PathName) -> Option<Sense> {
        (mode == Mode::Rdac && self.is_owned_elsewhere(path)).then_some(Sense::NOT_THE_OWNER)
    }

    /// One line for a person.
    pub(crate) fn describe(&self, number: usize) -> String {
        let preferred = self
            .preferred
            .map_or("none".to_owned(), |it| it.to_string());
        let access = match &self.access {
            Asymmetry::Groups(groups) => {
                let group = |(it, state): (&super::groups::PortGroup, Access)| {
                    format!("{} group {} {state}", it.controller, it.id)
                };
                groups.reported().map(group).collect::<Vec<_>>().join(", ")
            }
            Asymmetry::Owner(owner) => format!("owner {owner}"),
        };
        format!("lun {number} {access}, preferred {preferred}")
    }
}
