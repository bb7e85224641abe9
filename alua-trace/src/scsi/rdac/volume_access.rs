//! Owns the decoding of VPD page C9h, volume access control: who owns the volume, in which mode,
//! and which path is preferred.

use std::fmt;

use crate::scsi::AccessState;
use crate::scsi::bytes::{DecodeError, expect_bytes, require};

const WHAT: &str = "VPD page C9h (volume access control)";
/// Up to the path priority, the last byte that the kernel's `check_ownership` reads.
const NEEDED_BYTES: usize = 10;

/// Bits of byte 8, which the kernel calls `avte_cvp`. Not of byte 5: that one is the letter `a` of
/// the page's name, 61h, with bit 5 set on every array there is.
const AVT: u8 = 0x80;
const SECTOR_0_READS: u8 = 0x40;
const IO_SHIPPING: u8 = 0x20;
const STATES_PRESENT: u8 = 0x10;
const NEW_PRIORITY: u8 = 0x08;
const OWNED: u8 = 0x01;

/// How the array lets hosts reach a volume through the controller that does not own it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Not at all: a MODE SELECT of page 2Ch moves the volume first.
    Rdac,
    /// Automatic volume transfer: I/O itself moves the volume.
    Avt,
    /// I/O shipping: the other controller passes I/O on. Asymmetric active/active.
    IoShip,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rdac => "RDAC",
            Self::Avt => "AVT",
            Self::IoShip => "IOSHIP",
        })
    }
}

/// How much the path is wanted: byte 9, low nibble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathPriority {
    /// 1: leads to the volume's preferred controller.
    Preferred,
    /// 2: leads to the other controller.
    Secondary,
    /// Any other.
    Reserved(u8),
}

impl PathPriority {
    const fn new(byte: u8) -> Self {
        match byte & 0x0f {
            1 => Self::Preferred,
            2 => Self::Secondary,
            other => Self::Reserved(other),
        }
    }
}

impl fmt::Display for PathPriority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preferred => f.write_str("preferred"),
            Self::Secondary => f.write_str("secondary"),
            Self::Reserved(code) => write!(f, "reserved (0x{code:x})"),
        }
    }
}

/// State of one controller's port group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControllerState {
    /// Its access state.
    pub state: AccessState,
    /// Vendor-specific status; see [`Self::status_text`].
    pub vendor_status: u8,
}

impl ControllerState {
    /// What the vendor status says (sg3_utils `decode_rdac_vpd_c9_rtpg_data`).
    pub const fn status_text(self) -> &'static str {
        match self.vendor_status {
            0x01 => "operating normally",
            0x02 => "not responding to queries",
            0x03 => "controller held in reset",
            0x04 => "firmware download by the first controller",
            0x05 => "firmware download by the second controller",
            0x06 => "quiesced by administrative request",
            0x07 => "service mode by administrative request",
            0xff => "no details",
            _ => "reserved",
        }
    }
}

/// What the array says through one path about the volume's ownership.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VolumeAccess {
    /// Byte 8, of which most of what follows is made.
    pub flags: u8,
    /// How the volume can be reached.
    pub mode: Mode,
    /// The controller that answered owns the volume.
    pub owned: bool,
    /// AVT arrays: reads of sector 0 move nothing.
    pub sector_0_reads: bool,
    /// How much this path is wanted.
    pub path_priority: PathPriority,
    /// This controller's state; `None` if the page does not say.
    pub this: Option<ControllerState>,
    /// The other controller's state; `None` if the page does not say.
    pub alternate: Option<ControllerState>,
    /// Bytes 14 and 15, failback settings and path priority in their newer place; `None` if the
    /// page has them not.
    pub new_priority: Option<[u8; 2]>,
}

/// Priority of a path as multipath-tools computes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority {
    /// 0 to 14; higher is better.
    pub value: u8,
    /// What it is the sum of, such as `2 owned + 4 preferred + 8 IOSHIP`.
    pub reason: String,
}

impl VolumeAccess {
    /// Decodes the page, or a prefix of it.
    ///
    /// # Errors
    /// Fewer than ten bytes; another page, or one that does not begin with `vac`.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        require(WHAT, page, 4)?;
        expect_bytes(WHAT, page, 1, &[0xc9])?;
        expect_bytes(WHAT, page, 4, b"vac")?;
        require(WHAT, page, NEEDED_BYTES)?;
        let byte = |at: usize| page.get(at).copied().unwrap_or_default();
        let flags = byte(8);
        let controller = |at: usize| {
            let &[state, vendor_status] = page.get(at..)?.first_chunk()?;
            (flags & STATES_PRESENT != 0).then_some(ControllerState {
                state: AccessState::from_nibble(state),
                vendor_status,
            })
        };
        Ok(Self {
            flags,
            mode: mode(flags),
            owned: flags & OWNED != 0,
            sector_0_reads: flags & SECTOR_0_READS != 0,
            path_priority: PathPriority::new(byte(9)),
            this: controller(10),
            alternate: controller(12),
            new_priority: (flags & NEW_PRIORITY != 0)
                .then(|| page.get(14..)?.first_chunk().copied())
                .flatten(),
        })
    }

    /// The priority that multipath-tools' `rdac` prioritizer gives the path
    /// (libmultipath/prioritizers/rdac.c). It reads byte 9 even if bytes 14 and 15 are there.
    pub fn priority(&self) -> Priority {
        let parts = [
            self.owned.then_some((2, "owned")),
            match self.path_priority {
                PathPriority::Preferred => Some((4, "preferred")),
                PathPriority::Secondary => Some((1, "secondary")),
                PathPriority::Reserved(_) => None,
            },
            (self.mode == Mode::IoShip).then_some((8, "IOSHIP")),
        ];
        let parts = parts.into_iter().flatten();
        let reason: Vec<_> = parts
            .clone()
            .map(|(value, why)| format!("{value} {why}"))
            .collect();
        Priority {
            value: parts.map(|(value, _)| value).sum(),
            reason: if reason.is_empty() {
                "neither owned, preferred nor IOSHIP".to_owned()
            } else {
                reason.join(" + ")
            },
        }
    }
}

/// As the kernel's `check_ownership` decides: I/O shipping before AVT.
const fn mode(flags: u8) -> Mode {
    if flags & IO_SHIPPING != 0 {
        Mode::IoShip
    } else if flags & AVT != 0 {
        Mode::Avt
    } else {
        Mode::Rdac
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::bytes::Noise;

    /// The bytes of tests/fixtures/sg_vpd-c9.txt, an MD36xxi.
    fn sample() -> Vec<u8> {
        let mut page = b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01".to_vec();
        page.resize(48, 0);
        page
    }

    fn with(at: usize, byte: u8) -> VolumeAccess {
        let mut page = sample();
        page[at] = byte;
        VolumeAccess::parse(&page).unwrap()
    }

    #[test]
    fn the_sample_is_owned_and_preferred() {
        let access = VolumeAccess::parse(&sample()).unwrap();
        assert_eq!((access.mode, access.owned), (Mode::IoShip, true));
        assert_eq!(access.path_priority, PathPriority::Preferred);
        let normal = |state| {
            Some(ControllerState {
                state,
                vendor_status: 1,
            })
        };
        assert_eq!(access.this, normal(AccessState::OPTIMIZED));
        assert_eq!(access.alternate, normal(AccessState::NON_OPTIMIZED));
        assert_eq!(access.this.unwrap().status_text(), "operating normally");
        assert_eq!(access.new_priority, None);
        let priority = access.priority();
        assert_eq!(priority.value, 14);
        assert_eq!(priority.reason, "2 owned + 4 preferred + 8 IOSHIP");
    }

    /// "The sixth hex value tells the mode", some say: it is 61h in each of these pages.
    #[test]
    fn the_mode_is_in_byte_8_not_in_the_sixth() {
        assert_eq!(sample()[5], 0x61);
        for (byte, mode, owned) in [
            (0x01, Mode::Rdac, true),
            (0x81, Mode::Avt, true),
            (0xc1, Mode::Avt, true),
            (0x21, Mode::IoShip, true),
            (0x20, Mode::IoShip, false),
            (0x00, Mode::Rdac, false),
        ] {
            let access = with(8, byte);
            assert_eq!((access.mode, access.owned), (mode, owned), "{byte:02x}");
            assert_eq!(access.this, None, "{byte:02x}");
        }
    }

    #[test]
    fn priorities_are_those_of_multipath_tools() {
        for (flags, path, value) in [
            (0x21, 1, 14),
            (0x20, 2, 9),
            (0x01, 1, 6),
            (0x80, 2, 1),
            (0x21, 0, 10),
            (0x00, 3, 0),
        ] {
            let mut page = sample();
            page[8..10].copy_from_slice(&[flags, path]);
            let access = VolumeAccess::parse(&page).unwrap();
            assert_eq!(access.priority().value, value, "{flags:02x} {path}");
        }
        let nothing = with(8, 0x01);
        assert_eq!(nothing.priority().reason, "2 owned + 4 preferred");
    }

    #[test]
    fn newer_priority_bytes_count_only_with_their_flag() {
        let mut page = sample();
        page[14..16].copy_from_slice(&[0x29, 0x02]);
        assert_eq!(VolumeAccess::parse(&page).unwrap().new_priority, None);
        page[8] |= 0x08;
        let access = VolumeAccess::parse(&page).unwrap();
        assert_eq!(access.new_priority, Some([0x29, 0x02]));
        assert_eq!(access.path_priority, PathPriority::Preferred);
    }

    #[test]
    fn other_pages_are_refused_by_the_byte() {
        for (at, byte) in [(1, 0xc8), (4, b'e'), (5, b'b'), (6, b'd')] {
            let mut page = sample();
            page[at] = byte;
            let error = VolumeAccess::parse(&page).unwrap_err();
            assert!(
                error.to_string().contains(&format!("byte {at} is")),
                "{error}"
            );
        }
        assert_eq!(with(7, b'e').mode, Mode::IoShip);
    }

    #[test]
    fn prefixes_give_what_is_there() {
        let page = sample();
        for end in 0..page.len() {
            let access = VolumeAccess::parse(&page[..end]);
            assert_eq!(access.is_ok(), end >= 10, "{end}");
            if let Ok(access) = access {
                assert_eq!(access.this.is_some(), end >= 12);
                assert_eq!(access.alternate.is_some(), end >= 14);
                assert_eq!(access.priority().value, 14);
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut noise = Noise::new();
        for round in 0..10_000 {
            if let Ok(access) = VolumeAccess::parse(&noise.bytes(b"\0\xc9\0\x2cvac1", round % 60)) {
                assert!(access.priority().value <= 14);
            }
        }
    }
}
