//! Owns the decoding of what EMC CLARiiON and VNX arrays say and are told in pages of their own:
//! VPD page C0h, unit path report, and mode page 22h, trespass. Layouts are those of the kernel's
//! drivers/scsi/device_handler/scsi_dh_emc.c and of sg3_utils' sg_vpd_vendor.c.

use std::fmt;

use super::bytes::{DecodeError, array, be16, require, text, up_to};
use super::mode::{self, ModeHeader};
use super::vpd;

const REPORT: &str = "VPD page C0h (EMC unit path report)";
/// Up to the byte that says whether firmware is being replaced, the last the kernel reads.
const REPORT_BYTES: usize = 49;

/// A service processor: one of the two controllers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServiceProcessor(pub u8);

impl fmt::Display for ServiceProcessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("SP A"),
            1 => f.write_str("SP B"),
            other => write!(f, "unknown (0x{other:02x})"),
        }
    }
}

/// Who owns the LUN: byte 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LunState {
    /// 0: no LUN is bound.
    Unbound,
    /// 1: the other SP.
    Bound,
    /// 2: the SP that answers.
    Owned,
}

impl fmt::Display for LunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbound => "not bound",
            Self::Bound => "bound, but not owned by this SP",
            Self::Owned => "owned by this SP",
        })
    }
}

/// VPD page C0h.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitPathReport {
    /// Who owns the LUN.
    pub lun_state: LunState,
    /// The SP that owns it by configuration.
    pub default_owner: ServiceProcessor,
    /// The port that answers.
    pub port: u8,
    /// The SP that answers.
    pub this: ServiceProcessor,
    /// Name of the LUN.
    pub wwn: [u8; 16],
    /// Failover mode: see [`Self::failover_text`].
    pub failover_mode: u8,
    /// 0 unless firmware is being replaced and I/O is rejected.
    pub operations: u8,
    /// Serial number of the array; `None` if the data ends before.
    pub array_serial: Option<String>,
}

impl UnitPathReport {
    /// Decodes the page, or a prefix of it.
    ///
    /// # Errors
    /// Fewer than 49 bytes; another page; a LUN state or page revision that nobody knows.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        vpd::body(REPORT, page, 0xc0)?;
        require(REPORT, page, REPORT_BYTES)?;
        let byte = |at: usize| page.get(at).copied().unwrap_or_default();
        let unknown = |offset: usize| DecodeError::UnknownFormat {
            what: REPORT,
            offset,
            found: byte(offset),
        };
        let lun_state = match byte(4) {
            0 => LunState::Unbound,
            1 => LunState::Bound,
            2 => LunState::Owned,
            _ => return Err(unknown(4)),
        };
        if byte(9) != 0 {
            return Err(unknown(9));
        }
        Ok(Self {
            lun_state,
            default_owner: ServiceProcessor(byte(5)),
            port: byte(7),
            this: ServiceProcessor(byte(8)),
            wwn: array(page, 10).unwrap_or_default(),
            failover_mode: byte(28) & 0x0f,
            operations: byte(48),
            array_serial: page
                .get(49)
                .map(|&length| text(up_to(page, 50, length.into()))),
        })
    }

    /// What the failover mode says. The kernel's handler takes 4 and 6 only.
    pub const fn failover_text(&self) -> &'static str {
        match self.failover_mode {
            0 => "legacy, mode 0",
            4 => "active/passive (PNR), mode 1",
            6 => "active/active (ALUA), mode 4",
            8 => "legacy, mode 2",
            14 => "active/passive (PAR, AIX), mode 3",
            _ => "unknown",
        }
    }
}

const TRESPASS: &str = "mode page 22h (EMC trespass)";
const PAGE: u8 = 0x22;
const SHORT_LENGTH: u8 = 0x02;
const LONG_LENGTH: u8 = 0x09;

/// A MODE SELECT of page 22h: the LUN moves to the SP that receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trespass {
    /// Where the page begins in the data.
    pub page_offset: usize,
    /// The form for FC arrays, of two bytes.
    pub short: bool,
    /// Trespass code, 1 for the LUN the command is sent to.
    pub code: u8,
    /// Moves the LUN even if another host has reserved it. Bit 7 of the code's byte: kernel and
    /// sg_emc_trespass set it unless reservations are to be honoured, whatever their comments say.
    pub ignores_reservations: bool,
    /// SP to move to; all ones for the one that receives the command.
    pub target: u16,
}

impl Trespass {
    /// Decodes the parameter list of MODE SELECT(6) or (10), or the bare page.
    ///
    /// # Errors
    /// There is no such page, or the data ends within it.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let found = ModeHeader::ALL.into_iter().find_map(|header| {
            let at = mode::page_offset(data, header)?;
            match *data.get(at..)? {
                [code, SHORT_LENGTH, ..] if mode::page_code(code) == PAGE => Some((at, true)),
                [code, LONG_LENGTH, ..] if mode::page_code(code) == PAGE => Some((at, false)),
                _ => None,
            }
        });
        let (page_offset, short) = found.ok_or(DecodeError::NoModePage {
            what: TRESPASS,
            page: PAGE,
            found: data.len(),
        })?;
        require(TRESPASS, data, page_offset + if short { 4 } else { 5 })?;
        let byte = |at: usize| data.get(page_offset + at).copied().unwrap_or_default();
        Ok(Self {
            page_offset,
            short,
            code: byte(2) & 0x7f,
            ignores_reservations: byte(2) & 0x80 != 0,
            target: if short {
                // As wide as the long form: FFh is this SP in either.
                u16::from_be_bytes([if byte(3) == 0xff { 0xff } else { 0 }, byte(3)])
            } else {
                be16(data, page_offset + 3).unwrap_or_default()
            },
        })
    }

    /// What the target says.
    pub fn target_text(&self) -> String {
        match self.target {
            u16::MAX => "the SP that receives the command".to_owned(),
            0 => "SP A".to_owned(),
            1 => "SP B".to_owned(),
            other => format!("unknown (0x{other:04x})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::Noise;
    use super::*;

    fn report() -> Vec<u8> {
        let mut page = vec![0; 66];
        page[..4].copy_from_slice(&[0, 0xc0, 0, 62]);
        page[4..9].copy_from_slice(&[2, 1, 0x40, 3, 0]);
        page[10..26].fill(0x60);
        page[28] = 0xf6;
        page[49] = 14;
        page[50..64].copy_from_slice(b"CKM00111111111");
        page
    }

    #[test]
    fn the_report_tells_owner_and_mode() {
        let report = UnitPathReport::parse(&report()).unwrap();
        assert_eq!(report.lun_state, LunState::Owned);
        assert_eq!(report.default_owner.to_string(), "SP B");
        assert_eq!((report.this.to_string().as_str(), report.port), ("SP A", 3));
        assert_eq!(report.failover_mode, 6);
        assert!(report.failover_text().contains("ALUA"));
        assert_eq!(report.array_serial.as_deref(), Some("CKM00111111111"));
        assert_eq!(report.wwn, [0x60; 16]);
    }

    #[test]
    fn unknown_revisions_and_states_are_refused_by_the_byte() {
        for (at, byte) in [(4, 3), (9, 1), (1, 0xc1)] {
            let mut page = report();
            page[at] = byte;
            let error = UnitPathReport::parse(&page).unwrap_err().to_string();
            assert!(error.contains(&format!("byte {at} is")), "{error}");
        }
    }

    /// As the kernel's `long_trespass` and `short_trespass`.
    #[test]
    fn both_trespasses_are_understood() {
        let long = [
            0, 0, 0, 0, 0, 0, 0, 0, 0x22, 9, 0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0,
        ];
        let short = [0, 0, 0, 0, 0x22, 2, 0x01, 0xff];
        let trespass = Trespass::parse(&long).unwrap();
        assert!(!trespass.short && trespass.ignores_reservations);
        assert_eq!((trespass.code, trespass.target), (1, u16::MAX));
        let trespass = Trespass::parse(&short).unwrap();
        assert!(trespass.short && !trespass.ignores_reservations);
        assert!(trespass.target_text().contains("receives"));
        for end in 0..8 {
            assert!(Trespass::parse(&short[..end]).is_err());
        }
        for end in 0..long.len() {
            assert_eq!(Trespass::parse(&long[..end]).is_ok(), end >= 13, "{end}");
        }
    }

    #[test]
    fn targets_are_one_or_two_bytes() {
        let mut long = [0x22, 9, 0x01, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(Trespass::parse(&long).unwrap().target_text(), "SP B");
        long[3] = 1;
        assert_eq!(Trespass::parse(&long).unwrap().target, 0x101);
        assert_eq!(
            Trespass::parse(&[0x22, 2, 1, 0]).unwrap().target_text(),
            "SP A"
        );
    }

    #[test]
    fn prefixes_and_arbitrary_bytes_never_panic() {
        let page = report();
        for end in 0..page.len() {
            assert_eq!(UnitPathReport::parse(&page[..end]).is_ok(), end >= 49);
        }
        let mut noise = Noise::new();
        for round in 0..10_000 {
            let start: &[u8] = [&[0, 0xc0, 0, 60, 2][..], &[0, 0, 0, 0, 0x22, 9]][round % 2];
            let bytes = noise.bytes(start, round % 80);
            let _ = UnitPathReport::parse(&bytes);
            if let Ok(trespass) = Trespass::parse(&bytes) {
                let _ = trespass.target_text();
            }
        }
    }
}
