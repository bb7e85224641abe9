//! Names of controllers, paths and nexuses, and the asymmetric access states.

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

    /// The other one.
    pub(crate) fn other(self) -> Controller {
        if self == Controller::A {
            Controller::B
        } else {
            Controller::A
        }
    }

    /// Target port group, in an array with one per controller.
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

impl FromStr for Controller {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "A" => Ok(Controller::A),
            "B" => Ok(Controller::B),
            _ => Err(anyhow!("{text:?} is no controller")),
        }
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
        let controller = text.get(..1).ok_or_else(wrong)?;
        let controller = controller.parse().map_err(|_| wrong())?;
        let host: u8 = text[1..].parse().map_err(|_| wrong())?;
        if host == 0 {
            return Err(wrong());
        }
        Ok(PathName { controller, host })
    }
}

/// An I_T_L nexus (SAM-5 4.7): one LUN over one path. Each is a TCMU device of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Nexus {
    /// Over which path.
    pub(crate) path: PathName,
    /// To which logical unit.
    pub(crate) lun: u8,
}

/// Which paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Where {
    /// Every one.
    All,
    /// A controller's.
    Controller(Controller),
    /// One.
    Path(PathName),
}

impl Where {
    /// True for the paths meant.
    pub(crate) fn covers(self, path: PathName) -> bool {
        match self {
            Where::All => true,
            Where::Controller(controller) => path.controller == controller,
            Where::Path(only) => path == only,
        }
    }
}

impl FromStr for Where {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "all" => Ok(Where::All),
            "A" | "B" => Ok(Where::Controller(text.parse()?)),
            _ => Ok(Where::Path(text.parse()?)),
        }
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

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = Self::ALL.iter().find(|entry| entry.0 == *self);
        f.write_str(entry.map_or("", |entry| entry.2))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_numbered_across_hosts() {
        let ports: Vec<u16> = ["A1", "B1", "A2", "B2"]
            .map(|name| name.parse::<PathName>().unwrap().relative_port())
            .to_vec();
        assert_eq!(ports, [1, 2, 3, 4]);
        for wrong in ["", "C1", "A", "A0", "Ax", "1", "\u{e9}1"] {
            assert!(wrong.parse::<PathName>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_state_is_read_back_as_it_is_shown() {
        for (state, code, _) in Access::ALL {
            assert_eq!(state.to_string().parse::<Access>().unwrap(), state);
            assert_eq!(Access::of_code(code), Some(state));
        }
        assert!("".parse::<Access>().is_err());
    }
}
