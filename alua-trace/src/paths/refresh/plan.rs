//! Owns which commands `--refresh` sends, and when: what it promises in `docs/paths.md`. Pure: what
//! is to be asked next follows from what was answered.

use std::fmt;

use crate::inventory::model::Path;
use crate::scsi::inquiry::{Inquiry, Tpgs};
use crate::scsi::sense::Sense;
use crate::scsi::{rtpg, vpd};

/// Room for the first try of INQUIRY data and of vital product data: arrays that only know a length
/// of one byte take it, and most answers fit.
const INQUIRY_BYTES: u16 = 96;
const PAGE_BYTES: u16 = 252;
const GROUPS_BYTES: u32 = 1024;
/// The longest list of port groups that is asked for.
const MAX_GROUPS_BYTES: u32 = 64 << 10;
/// How often REPORT TARGET PORT GROUPS is sent at most: a unit attention is told only once, but
/// several may wait.
const MAX_GROUPS_COMMANDS: usize = 6;
/// The pages that are asked for when page 00h lists them.
const PAGES: [u8; 5] = [0x80, 0x83, 0xc4, 0xc8, 0xc9];
/// Sense keys (SPC-4 table 51).
const ILLEGAL_REQUEST: u8 = 0x05;
const UNIT_ATTENTION: u8 = 0x06;

/// A command that only reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::paths) enum Command {
    /// INQUIRY, standard data.
    Inquiry {
        /// Allocation length.
        bytes: u16,
    },
    /// INQUIRY, a page of vital product data.
    Page {
        /// Its code.
        code: u8,
        /// Allocation length.
        bytes: u16,
    },
    /// REPORT TARGET PORT GROUPS.
    PortGroups {
        /// With the extended header.
        extended: bool,
        /// Allocation length.
        bytes: u32,
    },
}

impl Command {
    /// The command as it is sent (SPC-4 6.6.1, 6.37).
    pub(in crate::paths) fn cdb(&self) -> Vec<u8> {
        match *self {
            Self::Inquiry { bytes } => {
                let [high, low] = bytes.to_be_bytes();
                vec![0x12, 0, 0, high, low, 0]
            }
            Self::Page { code, bytes } => {
                let [high, low] = bytes.to_be_bytes();
                vec![0x12, 1, code, high, low, 0]
            }
            Self::PortGroups { extended, bytes } => {
                let mut cdb = vec![0xa3, if extended { 0x2a } else { 0x0a }, 0, 0, 0, 0];
                cdb.extend(bytes.to_be_bytes());
                cdb.extend([0, 0]);
                cdb
            }
        }
    }

    /// Bytes there is room for in the answer.
    pub(in crate::paths) fn room(&self) -> usize {
        match *self {
            Self::Inquiry { bytes } | Self::Page { bytes, .. } => usize::from(bytes),
            Self::PortGroups { bytes, .. } => usize::try_from(bytes).unwrap_or(0),
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inquiry { .. } => f.write_str("INQUIRY"),
            Self::Page { code, .. } => write!(f, "INQUIRY of page {code:02X}h"),
            Self::PortGroups { .. } => f.write_str("REPORT TARGET PORT GROUPS"),
        }
    }
}

/// What a device answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::paths) enum Answer {
    /// Data, as much as came.
    Data(Vec<u8>),
    /// CHECK CONDITION.
    Refused(Sense),
}

/// A command with its answer.
pub(in crate::paths) type Asked = (Command, Answer);

/// The next command to a device that answered these; `None` when all is said.
pub(super) fn next(asked: &[Asked]) -> Option<Command> {
    let Some((_, Answer::Data(data))) = last(asked, is_inquiry) else {
        let first = !asked.iter().any(|(command, _)| is_inquiry(command));
        return first.then_some(Command::Inquiry {
            bytes: INQUIRY_BYTES,
        });
    };
    let tpgs = Inquiry::parse(data).ok()?.tpgs;
    if tpgs != Tpgs::NoneOrVendorSpecific
        && let Some(command) = port_groups(asked)
    {
        return Some(command);
    }
    if let Some(command) = page(asked, 0x00) {
        return Some(command);
    }
    let Some((_, Answer::Data(list))) = last(asked, |command| is_page(command, 0x00)) else {
        return None;
    };
    let listed = vpd::supported_pages(list).ok()?.data;
    let wanted = PAGES.into_iter().filter(|code| listed.contains(code));
    wanted.into_iter().find_map(|code| page(asked, code))
}

fn last(asked: &[Asked], which: impl Fn(&Command) -> bool) -> Option<&Asked> {
    asked.iter().rev().find(|(command, _)| which(command))
}

const fn is_inquiry(command: &Command) -> bool {
    matches!(command, Command::Inquiry { .. })
}

fn is_page(command: &Command, wanted: u8) -> bool {
    matches!(command, Command::Page { code, .. } if *code == wanted)
}

const fn is_groups(command: &Command) -> bool {
    matches!(command, Command::PortGroups { .. })
}

/// A page, once, and once more if it is longer than there was room for.
fn page(asked: &[Asked], code: u8) -> Option<Command> {
    match last(asked, |command| is_page(command, code)) {
        None => Some(Command::Page {
            code,
            bytes: PAGE_BYTES,
        }),
        Some((Command::Page { bytes, .. }, Answer::Data(data))) if *bytes == PAGE_BYTES => {
            let &[_, _, high, low] = data.first_chunk()?;
            let whole = u16::from_be_bytes([high, low]).checked_add(4)?;
            (whole > PAGE_BYTES).then_some(Command::Page { code, bytes: whole })
        }
        Some(_) => None,
    }
}

/// As the kernel asks (drivers/scsi/device_handler/scsi_dh_alua.c `alua_rtpg`): with the extended
/// header, without it where that is refused, again with more room, and again after a unit attention.
/// Unlike the kernel, also without it where the list ends within a group.
fn port_groups(asked: &[Asked]) -> Option<Command> {
    let sent = asked.iter().filter(|(command, _)| is_groups(command));
    if sent.count() >= MAX_GROUPS_COMMANDS {
        return None;
    }
    let Some((Command::PortGroups { extended, bytes }, answer)) = last(asked, is_groups) else {
        return Some(Command::PortGroups {
            extended: true,
            bytes: GROUPS_BYTES,
        });
    };
    let (extended, bytes) = (*extended, *bytes);
    match answer {
        Answer::Data(data) => {
            let list = rtpg::parse(data).ok()?;
            let whole = u32::try_from(list.whole_bytes).ok()?;
            // LIO does not count the extended header (drivers/target/target_core_alua.c
            // `target_emulate_report_target_port_groups`): its last port is cut off.
            let miscounted = list.truncated && data.len() >= usize::try_from(whole).ok()?;
            if extended && miscounted {
                return Some(Command::PortGroups {
                    extended: false,
                    bytes,
                });
            }
            let more = whole > bytes && whole <= MAX_GROUPS_BYTES;
            more.then_some(Command::PortGroups {
                extended,
                bytes: whole,
            })
        }
        Answer::Refused(sense) if sense.key == UNIT_ATTENTION => {
            Some(Command::PortGroups { extended, bytes })
        }
        Answer::Refused(Sense {
            key: ILLEGAL_REQUEST,
            asc: 0x24,
            ascq: 0,
        }) if extended => Some(Command::PortGroups {
            extended: false,
            bytes,
        }),
        Answer::Refused(_) => None,
    }
}

/// What paths have in common through one of which a question is enough: the unit and the array's
/// port group. A path of which either is unknown stands for itself.
pub(super) fn same_side(a: &Path, b: &Path) -> bool {
    let known = a.port_group.is_some() && a.wwid.is_some();
    if known {
        a.port_group == b.port_group && a.wwid == b.wwid
    } else {
        std::ptr::eq(a, b)
    }
}

/// Which of these paths are asked: one per unit and port group, the first that dm uses, else the
/// first. A device that is not running is never asked.
pub(super) fn askers(paths: &[&Path]) -> Vec<usize> {
    let running = |path: &Path| path.device_state.as_deref() == Some("running");
    let failed = |path: &Path| path.dm_state.as_deref() == Some("failed");
    let mut chosen: Vec<usize> = Vec::new();
    for (index, path) in paths.iter().enumerate().filter(|(_, path)| running(path)) {
        let same = |other: &&mut usize| {
            paths
                .get(**other)
                .is_some_and(|other| same_side(path, other))
        };
        match chosen.iter_mut().find(same) {
            None => chosen.push(index),
            Some(other) if failed(paths[*other]) && !failed(path) => *other = index,
            Some(_) => {}
        }
    }
    chosen
}

#[cfg(test)]
mod tests;
