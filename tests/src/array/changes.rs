//! The array's log of what it is asked for least often and matters most: every change of a LUN's
//! owner or of a port group's state, with its time and who made it.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

use super::access::{Access, Controller, PathName};

/// Changes kept; what comes after them is counted.
const CAPACITY: usize = 1 << 16;

/// Who changed a state last: the status code of REPORT TARGET PORT GROUPS (SPC-4 6.37).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangedBy {
    /// Nobody yet.
    Nobody = 0,
    /// SET TARGET PORT GROUPS.
    Explicit = 1,
    /// The array itself.
    Implicit = 2,
}

/// Why something moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// SET TARGET PORT GROUPS over this path.
    Stpg(PathName),
    /// MODE SELECT of the redundant controller page over this path.
    ModeSelect(PathName),
    /// A host that is not this one, by either command.
    OtherHost,
    /// The array by itself.
    Implicit,
    /// Automatic volume transfer: a read or write over this path.
    Avt(PathName),
}

impl Reason {
    /// The status code it leaves behind in REPORT TARGET PORT GROUPS.
    pub(crate) fn status_code(self) -> ChangedBy {
        match self {
            Reason::Stpg(_) | Reason::OtherHost => ChangedBy::Explicit,
            Reason::ModeSelect(_) | Reason::Implicit | Reason::Avt(_) => ChangedBy::Implicit,
        }
    }

    /// The port that need not be told: it asked.
    pub(crate) fn asked_over(self) -> Option<PathName> {
        match self {
            Reason::Stpg(path) | Reason::ModeSelect(path) | Reason::Avt(path) => Some(path),
            Reason::OtherHost | Reason::Implicit => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Stpg(path) => write!(f, "stpg {path}"),
            Reason::ModeSelect(path) => write!(f, "mode-select {path}"),
            Reason::OtherHost => f.write_str("other-host"),
            Reason::Implicit => f.write_str("implicit"),
            Reason::Avt(path) => write!(f, "avt {path}"),
        }
    }
}

fn reason(words: &[&str]) -> Result<Reason> {
    Ok(match words {
        ["stpg", path] => Reason::Stpg(path.parse()?),
        ["mode-select", path] => Reason::ModeSelect(path.parse()?),
        ["other-host"] => Reason::OtherHost,
        ["implicit"] => Reason::Implicit,
        ["avt", path] => Reason::Avt(path.parse()?),
        _ => bail!("{words:?} is no reason"),
    })
}

/// What moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// The LUN, from one controller to the other (RDAC).
    Owner {
        /// Who had it.
        from: Controller,
        /// Who has it.
        to: Controller,
    },
    /// A target port group's state (ALUA).
    Group {
        /// Target port group identifier.
        id: u16,
        /// State before.
        from: Access,
        /// State now.
        to: Access,
    },
}

/// One change of one LUN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StateChange {
    /// Monotonic time from which commands are answered accordingly.
    pub(crate) at_ns: u64,
    /// Which LUN.
    pub(crate) lun: u8,
    /// What moved.
    pub(crate) moved: Moved,
    /// Why.
    pub(crate) reason: Reason,
}

impl fmt::Display for StateChange {
    /// `AT_NS LUN owner FROM TO REASON` or `AT_NS LUN group ID FROM TO REASON`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.at_ns, self.lun)?;
        match self.moved {
            Moved::Owner { from, to } => write!(f, "owner {from} {to}")?,
            Moved::Group { id, from, to } => write!(f, "group {id} {from} {to}")?,
        }
        write!(f, " {}", self.reason)
    }
}

impl FromStr for StateChange {
    type Err = Error;

    fn from_str(line: &str) -> Result<Self> {
        let words: Vec<&str> = line.split(' ').collect();
        let (at_ns, lun, moved, why) = match words.as_slice() {
            [at_ns, lun, "owner", from, to, why @ ..] => {
                let (from, to) = (from.parse()?, to.parse()?);
                (at_ns, lun, Moved::Owner { from, to }, why)
            }
            [at_ns, lun, "group", id, from, to, why @ ..] => {
                let (id, from, to) = (id.parse()?, from.parse()?, to.parse()?);
                (at_ns, lun, Moved::Group { id, from, to }, why)
            }
            _ => bail!("bad line in the array's log of changes: {line:?}"),
        };
        Ok(StateChange {
            at_ns: at_ns.parse().context("bad time")?,
            lun: lun.parse().context("bad LUN")?,
            moved,
            reason: reason(why)?,
        })
    }
}

/// The log.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    entries: Vec<StateChange>,
    dropped: u64,
}

impl Changes {
    /// Notes what moved.
    pub(crate) fn note(&mut self, at_ns: u64, lun: u8, moved: Vec<Moved>, reason: Reason) {
        for moved in moved {
            if self.entries.len() < CAPACITY {
                self.entries.push(StateChange {
                    at_ns,
                    lun,
                    moved,
                    reason,
                });
            } else {
                self.dropped += 1;
            }
        }
    }

    /// Starts anew.
    pub(crate) fn forget(&mut self) {
        *self = Changes::default();
    }

    /// Every change in order; an error when there was no room for all.
    pub(crate) fn all(&self) -> Result<&[StateChange]> {
        if self.dropped > 0 {
            bail!("there was no room for {} changes", self.dropped);
        }
        Ok(&self.entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_whatever_moved_and_why() {
        let b2 = "B2".parse().unwrap();
        let owner = Moved::Owner {
            from: Controller::A,
            to: Controller::B,
        };
        let group = Moved::Group {
            id: 17,
            from: Access::Transitioning,
            to: Access::NonOptimized,
        };
        let reasons = [
            Reason::Stpg(b2),
            Reason::ModeSelect(b2),
            Reason::OtherHost,
            Reason::Implicit,
            Reason::Avt(b2),
        ];
        for moved in [owner, group] {
            for reason in reasons {
                let change = StateChange {
                    at_ns: 9_000_000_001,
                    lun: 3,
                    moved,
                    reason,
                };
                let line = change.to_string();
                assert_eq!(line.parse::<StateChange>().unwrap(), change, "{line}");
            }
        }
        for wrong in [
            "",
            "1 0 owner A",
            "1 0 owner A B",
            "1 0 owner A B stpg",
            "x 0 owner A B implicit",
            "1 0 group 1 A B implicit",
            "1 300 owner A B implicit",
        ] {
            assert!(wrong.parse::<StateChange>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_log_that_lost_changes_says_so() {
        let mut changes = Changes::default();
        let swap = Moved::Owner {
            from: Controller::A,
            to: Controller::B,
        };
        changes.note(1, 0, vec![swap; CAPACITY], Reason::Implicit);
        assert_eq!(changes.all().unwrap().len(), CAPACITY);
        changes.note(2, 0, vec![swap], Reason::Implicit);
        assert!(changes.all().is_err());
        changes.forget();
        assert!(changes.all().unwrap().is_empty());
    }
}
