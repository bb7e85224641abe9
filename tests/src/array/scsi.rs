//! What a CDB asks for, and what an answer looks like. Pure.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Error, Result};

/// Status byte of a command that went well.
pub(crate) const GOOD: u8 = 0x00;
/// CHECK CONDITION.
pub(crate) const CHECK_CONDITION: u8 = 0x02;
/// Bytes of a block.
pub(crate) const BLOCK_BYTES: u64 = 512;

/// Key, additional sense code and its qualifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sense {
    /// Sense key.
    pub(crate) key: u8,
    /// Additional sense code.
    pub(crate) asc: u8,
    /// Additional sense code qualifier.
    pub(crate) ascq: u8,
}

impl Sense {
    /// Asymmetric access state changed.
    pub(crate) const STATE_CHANGED: Sense = Sense {
        key: 0x06,
        asc: 0x2a,
        ascq: 0x06,
    };
    /// Invalid command operation code.
    pub(crate) const INVALID_OPCODE: Sense = Sense {
        key: 0x05,
        asc: 0x20,
        ascq: 0x00,
    };
    /// Invalid field in CDB.
    pub(crate) const INVALID_FIELD: Sense = Sense {
        key: 0x05,
        asc: 0x24,
        ascq: 0x00,
    };
    /// Invalid field in parameter list.
    pub(crate) const INVALID_PARAMETER: Sense = Sense {
        key: 0x05,
        asc: 0x26,
        ascq: 0x00,
    };
    /// Logical block address out of range.
    pub(crate) const OUT_OF_RANGE: Sense = Sense {
        key: 0x05,
        asc: 0x21,
        ascq: 0x00,
    };
    /// Not ready, asymmetric access state transition.
    pub(crate) const TRANSITION: Sense = Sense {
        key: 0x02,
        asc: 0x04,
        ascq: 0x0a,
    };
    /// Not ready, target port in standby state.
    pub(crate) const STANDBY: Sense = Sense {
        key: 0x02,
        asc: 0x04,
        ascq: 0x0b,
    };
    /// Not ready, target port in unavailable state.
    pub(crate) const UNAVAILABLE: Sense = Sense {
        key: 0x02,
        asc: 0x04,
        ascq: 0x0c,
    };
    /// Not ready, offline.
    pub(crate) const OFFLINE: Sense = Sense {
        key: 0x02,
        asc: 0x04,
        ascq: 0x12,
    };
    /// RDAC: quiescence in progress. What a transfer that takes its time answers.
    pub(crate) const QUIESCING: Sense = Sense {
        key: 0x02,
        asc: 0x04,
        ascq: 0xa1,
    };
    /// RDAC: quiescence in progress, as a unit attention.
    pub(crate) const QUIESCENCE: Sense = Sense {
        key: 0x06,
        asc: 0x8b,
        ascq: 0x02,
    };
    /// RDAC: invalid request, current logical unit ownership.
    pub(crate) const NOT_THE_OWNER: Sense = Sense {
        key: 0x05,
        asc: 0x94,
        ascq: 0x01,
    };
    /// RDAC: command lock violation.
    pub(crate) const LOCK_VIOLATION: Sense = Sense {
        key: 0x05,
        asc: 0x91,
        ascq: 0x36,
    };

    /// Fixed-format sense data.
    pub(crate) fn to_bytes(self) -> [u8; 18] {
        let mut bytes = [0; 18];
        bytes[0] = 0x70;
        bytes[2] = self.key;
        bytes[7] = 10;
        bytes[12] = self.asc;
        bytes[13] = self.ascq;
        bytes
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}/{:02x}/{:02x}", self.key, self.asc, self.ascq)
    }
}

impl FromStr for Sense {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bytes: Vec<u8> = text
            .split('/')
            .map(|part| u8::from_str_radix(part, 16))
            .collect::<Result<_, _>>()
            .with_context(|| format!("{text:?} is no sense such as 06/2a/06"))?;
        let [key, asc, ascq] = bytes[..] else {
            anyhow::bail!("{text:?} is no sense such as 06/2a/06");
        };
        Ok(Sense { key, asc, ascq })
    }
}

/// How a command ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Status byte.
    pub(crate) status: u8,
    /// Sense of a CHECK CONDITION.
    pub(crate) sense: Option<Sense>,
    /// Data in.
    pub(crate) data: Vec<u8>,
}

impl Reply {
    /// Went well, no data.
    pub(crate) fn good() -> Reply {
        Reply::data(Vec::new(), 0)
    }

    /// Went well: `data`, cut to what the host has room for.
    pub(crate) fn data(mut data: Vec<u8>, allocation: usize) -> Reply {
        data.truncate(allocation);
        Reply {
            status: GOOD,
            sense: None,
            data,
        }
    }

    /// CHECK CONDITION.
    pub(crate) fn check(sense: Sense) -> Reply {
        Reply {
            status: CHECK_CONDITION,
            sense: Some(sense),
            data: Vec::new(),
        }
    }
}

/// Which of the two MODE SENSE and MODE SELECT commands: they differ in the parameter header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ModeForm {
    /// MODE SENSE(6), MODE SELECT(6).
    Six,
    /// MODE SENSE(10), MODE SELECT(10).
    Ten,
}

/// What a CDB asks for. Lengths are those the host has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// TEST UNIT READY.
    TestUnitReady,
    /// REQUEST SENSE.
    SenseData { allocation: usize },
    /// INQUIRY; a page when it asks for vital product data.
    Inquiry { page: Option<u8>, allocation: usize },
    /// READ of any length.
    Read { lba: u64, blocks: u32 },
    /// WRITE of any length.
    Write { lba: u64, blocks: u32 },
    /// READ CAPACITY(10).
    ReadCapacity10,
    /// READ CAPACITY(16).
    ReadCapacity16 { allocation: usize },
    /// MODE SENSE.
    ModeSense {
        form: ModeForm,
        page: u8,
        subpage: u8,
        allocation: usize,
    },
    /// MODE SELECT.
    ModeSelect { form: ModeForm, length: usize },
    /// SYNCHRONIZE CACHE of either length.
    SynchronizeCache,
    /// REPORT LUNS.
    ReportLuns { allocation: usize },
    /// REPORT TARGET PORT GROUPS.
    ReportGroups { extended: bool, allocation: usize },
    /// SET TARGET PORT GROUPS.
    SetGroups { length: usize },
    /// Anything else.
    Unsupported,
}

impl Request {
    /// Reads a CDB, padded to 16 bytes.
    pub(crate) fn parse(cdb: &[u8; 16]) -> Request {
        let be16 = |at: usize| usize::from(u16::from_be_bytes([cdb[at], cdb[at + 1]]));
        let be32 = |at: usize| u32::from_be_bytes([cdb[at], cdb[at + 1], cdb[at + 2], cdb[at + 3]]);
        let allocation32 = |at: usize| be32(at) as usize;
        match (cdb[0], cdb[1] & 0x1f) {
            (0x00, _) => Request::TestUnitReady,
            (0x03, _) => Request::SenseData {
                allocation: usize::from(cdb[4]),
            },
            (0x12, _) => Request::Inquiry {
                page: (cdb[1] & 1 != 0).then_some(cdb[2]),
                allocation: be16(3),
            },
            (0x08 | 0x0a | 0x28 | 0x2a | 0xa8 | 0xaa | 0x88 | 0x8a, _) => Self::transfer(cdb),
            (0x25, _) => Request::ReadCapacity10,
            (0x9e, 0x10) => Request::ReadCapacity16 {
                allocation: allocation32(10),
            },
            (0x1a | 0x5a, _) => Request::ModeSense {
                form: mode_form(cdb),
                page: cdb[2] & 0x3f,
                subpage: cdb[3],
                allocation: mode_length(cdb),
            },
            (0x15 | 0x55, _) => Request::ModeSelect {
                form: mode_form(cdb),
                length: mode_length(cdb),
            },
            (0x35 | 0x91, _) => Request::SynchronizeCache,
            (0xa0, _) => Request::ReportLuns {
                allocation: allocation32(6),
            },
            (0xa3, 0x0a) => Request::ReportGroups {
                extended: cdb[1] >> 5 == 1,
                allocation: allocation32(6),
            },
            (0xa4, 0x0a) => Request::SetGroups {
                length: allocation32(6),
            },
            _ => Request::Unsupported,
        }
    }

    fn transfer(cdb: &[u8; 16]) -> Request {
        let be32 = |at: usize| u32::from_be_bytes([cdb[at], cdb[at + 1], cdb[at + 2], cdb[at + 3]]);
        let (lba, blocks) = match cdb[0] {
            0x08 | 0x0a => {
                let lba = u64::from(be32(0) & 0x001f_ffff);
                (lba, if cdb[4] == 0 { 256 } else { u32::from(cdb[4]) })
            }
            0x28 | 0x2a => (
                u64::from(be32(2)),
                u32::from(u16::from_be_bytes([cdb[7], cdb[8]])),
            ),
            0xa8 | 0xaa => (u64::from(be32(2)), be32(6)),
            _ => (u64::from(be32(2)) << 32 | u64::from(be32(6)), be32(10)),
        };
        if matches!(cdb[0], 0x08 | 0x28 | 0xa8 | 0x88) {
            Request::Read { lba, blocks }
        } else {
            Request::Write { lba, blocks }
        }
    }

    /// Reads and writes: what latency and planted delays apply to.
    pub(crate) fn is_transfer(self) -> bool {
        matches!(self, Request::Read { .. } | Request::Write { .. })
    }

    /// Answered whatever state the port is in and whatever unit attention waits (SPC-4 5.15, SAM).
    pub(crate) fn is_always_answered(self) -> bool {
        matches!(
            self,
            Request::Inquiry { .. } | Request::ReportLuns { .. } | Request::SenseData { .. }
        )
    }

    /// Answered in every access state, but not while a unit attention waits.
    pub(crate) fn is_about_groups(self) -> bool {
        matches!(
            self,
            Request::ReportGroups { .. } | Request::SetGroups { .. }
        )
    }
}

fn mode_form(cdb: &[u8; 16]) -> ModeForm {
    match cdb[0] {
        0x15 | 0x1a => ModeForm::Six,
        _ => ModeForm::Ten,
    }
}

/// Allocation length of MODE SENSE, parameter list length of MODE SELECT.
fn mode_length(cdb: &[u8; 16]) -> usize {
    match mode_form(cdb) {
        ModeForm::Six => usize::from(cdb[4]),
        ModeForm::Ten => usize::from(u16::from_be_bytes([cdb[7], cdb[8]])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Request {
        let mut cdb = [0; 16];
        cdb[..bytes.len()].copy_from_slice(bytes);
        Request::parse(&cdb)
    }

    #[test]
    fn transfers_of_every_length_are_read() {
        assert_eq!(
            parse(&[0x08, 0x01, 0x02, 0x03, 0]),
            Request::Read {
                lba: 0x10203,
                blocks: 256
            }
        );
        assert_eq!(
            parse(&[0x0a, 0xff, 0, 0, 9]),
            Request::Write {
                lba: 0x1f0000,
                blocks: 9
            }
        );
        assert_eq!(
            parse(&[0x28, 0, 1, 2, 3, 4, 0, 1, 8]),
            Request::Read {
                lba: 0x0102_0304,
                blocks: 0x108
            }
        );
        assert_eq!(
            parse(&[0xaa, 0, 0, 0, 0, 7, 0, 0, 1, 0]),
            Request::Write {
                lba: 7,
                blocks: 256
            }
        );
        assert_eq!(
            parse(&[0x88, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]),
            Request::Read {
                lba: 0x1_0000_0002,
                blocks: 3
            }
        );
    }

    #[test]
    fn both_forms_of_report_groups_are_told_apart() {
        let tail = [0, 0, 0, 0, 0, 0, 4, 0];
        let cdb = |first: u8| [&[0xa3, first][..], &tail].concat();
        assert_eq!(
            parse(&cdb(0x0a)),
            Request::ReportGroups {
                extended: false,
                allocation: 1024
            }
        );
        assert_eq!(
            parse(&cdb(0x2a)),
            Request::ReportGroups {
                extended: true,
                allocation: 1024
            }
        );
        assert_eq!(parse(&cdb(0x0c)), Request::Unsupported);
    }

    /// As `send_mode_select` makes them.
    #[test]
    fn both_forms_of_mode_select_are_told_apart() {
        assert_eq!(
            parse(&[0x15, 0, 0, 0, 110]),
            Request::ModeSelect {
                form: ModeForm::Six,
                length: 110
            }
        );
        assert_eq!(
            parse(&[0x55, 0, 0, 0, 0, 0, 0, 1, 52]),
            Request::ModeSelect {
                form: ModeForm::Ten,
                length: 308
            }
        );
        assert_eq!(
            parse(&[0x5a, 0, 0x2c, 1, 0, 0, 0, 1, 52]),
            Request::ModeSense {
                form: ModeForm::Ten,
                page: 0x2c,
                subpage: 1,
                allocation: 308
            }
        );
    }

    #[test]
    fn write_same_and_unmap_are_not_supported() {
        for opcode in [0x41, 0x93, 0x42] {
            assert_eq!(parse(&[opcode]), Request::Unsupported);
        }
    }

    #[test]
    fn sense_is_read_and_shown() {
        let sense: Sense = "06/2A/06".parse().unwrap();
        assert_eq!(sense, Sense::STATE_CHANGED);
        assert_eq!(sense.to_string(), "06/2a/06");
        let bytes = sense.to_bytes();
        assert_eq!(
            (bytes[0], bytes[2], bytes[12], bytes[13]),
            (0x70, 6, 0x2a, 6)
        );
        for wrong in ["", "6/2a", "6/2a/06/1", "x/y/z"] {
            assert!(wrong.parse::<Sense>().is_err(), "{wrong}");
        }
    }
}
