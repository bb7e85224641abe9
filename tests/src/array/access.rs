//! Names of paths and controllers, and the access states of the two port groups.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, anyhow};

/// One of the array's two controllers; each is a target port group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Controller {
    /// Group 1.
    A,
    /// Group 2.
    B,
}

impl Controller {
    /// Both.
    pub(crate) const ALL: [Controller; 2] = [Controller::A, Controller::B];

    /// 0 or 1.
    pub(crate) fn index(self) -> usize {
        usize::from(self == Controller::B)
    }

    /// Target port group.
    pub(crate) fn group(self) -> u16 {
        if self == Controller::A { 1 } else { 2 }
    }

    /// The one with target port group `group`.
    pub(crate) fn of_group(group: u16) -> Option<Controller> {
        Controller::ALL
            .into_iter()
            .find(|controller| controller.group() == group)
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A path: a controller's port as seen by one host port, such as `A1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PathName {
    /// Which controller.
    pub(crate) controller: Controller,
    /// Which host port, from 1.
    pub(crate) host: u8,
}

impl PathName {
    /// Relative target port identifier.
    pub(crate) fn relative_port(self) -> u16 {
        u16::from(self.host - 1) * 2 + self.controller.group()
    }
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.controller, self.host)
    }
}

impl FromStr for PathName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || anyhow!("{text:?} is no path such as A1");
        let controller = match text.get(..1) {
            Some("A") => Controller::A,
            Some("B") => Controller::B,
            _ => return Err(wrong()),
        };
        let host: u8 = text[1..].parse().map_err(|_| wrong())?;
        if host == 0 {
            return Err(wrong());
        }
        Ok(PathName { controller, host })
    }
}

/// SPC-4 asymmetric access state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Active/optimized.
    Optimized,
    /// Active/non-optimized.
    NonOptimized,
    /// Standby.
    Standby,
    /// Unavailable.
    Unavailable,
    /// Offline.
    Offline,
    /// Transitioning.
    Transitioning,
}

impl Access {
    const ALL: [(Access, u8, &'static str); 6] = [
        (Access::Optimized, 0x0, "AO"),
        (Access::NonOptimized, 0x1, "AN"),
        (Access::Standby, 0x2, "standby"),
        (Access::Unavailable, 0x3, "unavailable"),
        (Access::Offline, 0xe, "offline"),
        (Access::Transitioning, 0xf, "transitioning"),
    ];

    /// Code in REPORT and SET TARGET PORT GROUPS.
    pub(crate) fn code(self) -> u8 {
        Self::ALL
            .iter()
            .find(|entry| entry.0 == self)
            .map_or(0xd, |entry| entry.1)
    }

    /// State of a code.
    pub(crate) fn of_code(code: u8) -> Option<Access> {
        Self::ALL
            .iter()
            .find(|entry| entry.1 == code)
            .map(|entry| entry.0)
    }
}

impl FromStr for Access {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .find(|entry| entry.2 == text)
            .map(|entry| entry.0)
            .ok_or_else(|| anyhow!("{text:?} is no access state"))
    }
}

/// Who changed a state last: the status code of REPORT TARGET PORT GROUPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedBy {
    /// Nobody yet.
    Nobody = 0,
    /// SET TARGET PORT GROUPS.
    Explicit = 1,
    /// The array itself.
    Implicit = 2,
}

/// Both port groups.
#[derive(Debug, Clone)]
pub(crate) struct Groups {
    states: [Access; 2],
    changed_by: ChangedBy,
    transition: Option<Transition>,
    /// Preferred controller.
    pub(crate) preferred: Option<Controller>,
}

#[derive(Debug, Clone)]
struct Transition {
    until_ns: u64,
    then: [Access; 2],
}

impl Default for Groups {
    fn default() -> Self {
        Groups {
            states: [Access::Optimized, Access::NonOptimized],
            changed_by: ChangedBy::Nobody,
            transition: None,
            preferred: None,
        }
    }
}

impl Groups {
    /// State of `controller` now.
    pub(crate) fn state(&self, controller: Controller) -> Access {
        match self.transition {
            Some(_) => Access::Transitioning,
            None => self.states[controller.index()],
        }
    }

    /// Status code of both groups.
    pub(crate) fn changed_by(&self) -> ChangedBy {
        self.changed_by
    }

    /// Sets both states.
    pub(crate) fn set(&mut self, states: [Access; 2], changed_by: ChangedBy) {
        self.transition = None;
        self.states = states;
        self.changed_by = changed_by;
    }

    /// Both states without a transition, to change one of them.
    pub(crate) fn states(&self) -> [Access; 2] {
        self.states
    }

    /// Both groups transition until `until_ns`, then have the states `then`.
    pub(crate) fn begin_transition(&mut self, until_ns: u64, then: [Access; 2]) {
        self.transition = Some(Transition { until_ns, then });
        self.changed_by = ChangedBy::Implicit;
    }

    /// Ends a transition whose time has come; says whether it did.
    pub(crate) fn advance(&mut self, now_ns: u64) -> bool {
        match &self.transition {
            Some(transition) if now_ns >= transition.until_ns => {
                let then = transition.then;
                self.set(then, ChangedBy::Implicit);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_numbered_across_hosts() {
        let ports: Vec<u16> = ["A1", "B1", "A2", "B2"]
            .map(|name| name.parse::<PathName>().unwrap().relative_port())
            .to_vec();
        assert_eq!(ports, [1, 2, 3, 4]);
        for wrong in ["", "C1", "A", "A0", "Ax", "1"] {
            assert!(wrong.parse::<PathName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_transition_ends_at_its_time_and_not_before() {
        let mut groups = Groups::default();
        groups.begin_transition(100, [Access::NonOptimized, Access::Optimized]);
        assert_eq!(groups.state(Controller::A), Access::Transitioning);
        assert!(!groups.advance(99));
        assert!(groups.advance(100));
        assert_eq!(groups.state(Controller::A), Access::NonOptimized);
        assert_eq!(groups.state(Controller::B), Access::Optimized);
        assert_eq!(groups.changed_by(), ChangedBy::Implicit);
        assert!(!groups.advance(200));
    }
}
