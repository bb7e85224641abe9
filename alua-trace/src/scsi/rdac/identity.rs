//! Owns the decoding of the pages by which an RDAC array tells who it is: C0h hardware version,
//! C2h software version, C4h subsystem identifier, C8h extended device identification.

use crate::scsi::bytes::{DecodeError, array, be16, expect_bytes, require, text, up_to};
use crate::scsi::vpd;

/// Checks page code and identifier, and that `needed` bytes are there.
fn check(
    what: &'static str,
    page: &[u8],
    code: u8,
    name: &[u8],
    needed: usize,
) -> Result<(), DecodeError> {
    vpd::body(what, page, code)?;
    expect_bytes(what, page, 4, name)?;
    require(what, page, needed)
}

/// The page as far as its header says.
fn whole(page: &[u8]) -> &[u8] {
    up_to(page, 0, 4 + usize::from(be16(page, 2).unwrap_or_default()))
}

/// Page C0h of RDAC arrays, `hwr4`; EMC's page C0h is [`crate::scsi::emc::UnitPathReport`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardwareVersion {
    /// Host channels.
    pub channels: u8,
    /// Processor memory, MiB.
    pub memory_mib: u16,
    /// Board name; this and what follows is empty if the data ends before.
    pub board_name: String,
    /// Part number of the board.
    pub part_number: String,
    /// Serial number of the board.
    pub serial_number: String,
    /// Date of manufacture, as the array writes it.
    pub manufactured: String,
}

impl HardwareVersion {
    /// Whether a page C0h is this one, and not another vendor's.
    pub fn matches(page: &[u8]) -> bool {
        page.get(4..7) == Some(b"hwr")
    }

    /// Decodes the page, or a prefix of it.
    ///
    /// # Errors
    /// Fewer than twelve bytes; another page.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        check(
            "VPD page C0h (RDAC hardware version)",
            page,
            0xc0,
            b"hwr",
            12,
        )?;
        let page = whole(page);
        Ok(Self {
            channels: page.get(8).copied().unwrap_or_default(),
            memory_mib: be16(page, 10).unwrap_or_default(),
            board_name: text(up_to(page, 16, 64)),
            part_number: text(up_to(page, 80, 16)),
            serial_number: text(up_to(page, 112, 16)),
            manufactured: text(up_to(page, 144, 8)),
        })
    }
}

/// Page C2h, `swr4`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoftwareVersion {
    /// Version, one byte a part; written in hexadecimal.
    pub version: [u8; 3],
    /// Date: month, day, year of the century.
    pub date: [u8; 3],
    /// Features: see [`Self::alua`].
    pub features: u8,
    /// Highest number of LUNs, as the kernel reads it: 32 and more mean MODE SELECT(10).
    pub max_luns: u8,
}

impl SoftwareVersion {
    /// Decodes the page, or a prefix of it.
    ///
    /// # Errors
    /// Fewer than sixteen bytes; another page.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        check(
            "VPD page C2h (RDAC software version)",
            page,
            0xc2,
            b"swr",
            16,
        )?;
        Ok(Self {
            version: array(page, 8).unwrap_or_default(),
            date: array(page, 11).unwrap_or_default(),
            features: page.get(14).copied().unwrap_or_default(),
            max_luns: page.get(15).copied().unwrap_or_default(),
        })
    }

    /// The array can do ALUA.
    pub const fn alua(&self) -> bool {
        self.features & 0x10 != 0
    }

    /// LUNs are moved with MODE SELECT(10) (`set_mode_select` in scsi_dh_rdac.c).
    pub const fn uses_mode_select_10(&self) -> bool {
        self.max_luns >= 32
    }
}

/// Page C4h, `subs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubsystemIdentifier {
    /// Identifier of the array.
    pub subsystem_id: String,
    /// Its revision, which tells the board.
    pub revision: String,
    /// Slot of the controller that answers.
    pub slot: [u8; 2],
}

impl SubsystemIdentifier {
    /// Decodes the page.
    ///
    /// # Errors
    /// Fewer than thirty bytes; another page.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        let what = "VPD page C4h (RDAC subsystem identifier)";
        check(what, page, 0xc4, b"subs", 30)?;
        Ok(Self {
            subsystem_id: text(up_to(page, 8, 16)),
            revision: text(up_to(page, 24, 4)),
            slot: array(page, 28).unwrap_or_default(),
        })
    }

    /// A or B, as the kernel tells them apart (`get_controller` in scsi_dh_rdac.c).
    pub const fn controller(&self) -> char {
        if self.slot[1] == b'1' { 'A' } else { 'B' }
    }
}

/// Page C8h, `edid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedIdentification {
    /// Identifier of the volume.
    pub volume_id: Vec<u8>,
    /// Its label, given by the administrator.
    pub volume_label: String,
    /// Identifier of the array.
    pub array_id: Vec<u8>,
    /// Its label.
    pub array_label: String,
    /// The LUN at which this host sees the volume: byte 174, all the kernel reads of it.
    pub lun: u8,
}

impl ExtendedIdentification {
    /// Decodes the page.
    ///
    /// # Errors
    /// Fewer than 175 bytes; another page; an identifier longer than its field.
    pub fn parse(page: &[u8]) -> Result<Self, DecodeError> {
        const WHAT: &str = "VPD page C8h (RDAC extended device identification)";
        check(WHAT, page, 0xc8, b"edid", 175)?;
        Ok(Self {
            volume_id: identifier(WHAT, page, 11)?,
            volume_label: label(up_to(page, 29, 60)),
            array_id: identifier(WHAT, page, 89)?,
            array_label: label(up_to(page, 107, 60)),
            lun: page.get(174).copied().unwrap_or_default(),
        })
    }
}

/// An identifier in 16 bytes, behind its length.
fn identifier(what: &'static str, page: &[u8], at: usize) -> Result<Vec<u8>, DecodeError> {
    let needed = usize::from(page.get(at).copied().unwrap_or_default());
    let field = up_to(page, at + 1, 16);
    let identifier = field.get(..needed).ok_or(DecodeError::CutOff {
        what,
        offset: at + 1,
        needed,
        found: field.len(),
    })?;
    Ok(identifier.to_vec())
}

/// A label in UTF-16BE, up to its NUL. Its length byte is not asked: the kernel does not either.
fn label(field: &[u8]) -> String {
    let units = field
        .chunks_exact(2)
        .filter_map(|unit| be16(unit, 0))
        .take_while(|&unit| unit != 0);
    char::decode_utf16(units)
        .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::bytes::Noise;

    fn page(code: u8, name: &[u8], length: usize) -> Vec<u8> {
        let mut page = vec![0; length];
        page[1] = code;
        page[2..4].copy_from_slice(&u16::try_from(length - 4).unwrap().to_be_bytes());
        page[4..4 + name.len()].copy_from_slice(name);
        page
    }

    fn c8() -> Vec<u8> {
        let mut page = page(0xc8, b"edid", 175);
        page[11] = 16;
        page[12..28].fill(0x60);
        page[28] = 3;
        page[29..37].copy_from_slice(b"\0V\0\xf61\0\0\0");
        page[34] = 0x4e;
        page[89] = 16;
        page[90..106].fill(0x61);
        page[107..111].copy_from_slice(b"\0A\xd8\0");
        page[174] = 7;
        page
    }

    #[test]
    fn slots_tell_controllers() {
        let mut page = page(0xc4, b"subs", 32);
        page[8..16].copy_from_slice(b"ARRAY-01");
        page[24..28].copy_from_slice(b"17.1");
        for (slot, controller) in [(*b"01", 'A'), (*b"02", 'B'), ([0, 0], 'B')] {
            page[28..30].copy_from_slice(&slot);
            let subsystem = SubsystemIdentifier::parse(&page).unwrap();
            assert_eq!(subsystem.controller(), controller);
            assert_eq!(subsystem.subsystem_id, "ARRAY-01");
            assert_eq!(subsystem.revision, "17.1");
        }
    }

    #[test]
    fn many_luns_need_the_longer_mode_select() {
        let mut page = page(0xc2, b"swr4", 255);
        page[8..16].copy_from_slice(&[0x07, 0x35, 0x31, 8, 20, 9, 0x13, 31]);
        let software = SoftwareVersion::parse(&page).unwrap();
        assert_eq!(software.version, [7, 0x35, 0x31]);
        assert_eq!(software.date, [8, 20, 9]);
        assert!(software.alua() && !software.uses_mode_select_10());
        page[14..16].copy_from_slice(&[0xef, 32]);
        let software = SoftwareVersion::parse(&page).unwrap();
        assert!(!software.alua() && software.uses_mode_select_10());
    }

    #[test]
    fn labels_are_utf16_and_the_lun_one_byte() {
        let edid = ExtendedIdentification::parse(&c8()).unwrap();
        assert_eq!(edid.volume_id, [0x60; 16]);
        assert_eq!(edid.volume_label, "Vö\u{314e}");
        assert_eq!(edid.array_id, [0x61; 16]);
        assert_eq!(edid.array_label, "A\u{fffd}");
        assert_eq!(edid.lun, 7);
    }

    #[test]
    fn an_identifier_longer_than_its_field_is_refused() {
        let mut page = c8();
        page[89] = 17;
        let error = ExtendedIdentification::parse(&page).unwrap_err();
        assert!(
            error.to_string().contains("at byte 90: 17 bytes"),
            "{error}"
        );
    }

    #[test]
    fn hardware_is_told_from_emcs_page_of_the_same_number() {
        let mut page = page(0xc0, b"hwr4", 160);
        page[8] = 4;
        page[10..12].copy_from_slice(&[0x08, 0x00]);
        page[16..20].copy_from_slice(b"2660");
        assert!(HardwareVersion::matches(&page));
        let hardware = HardwareVersion::parse(&page).unwrap();
        assert_eq!((hardware.channels, hardware.memory_mib), (4, 2048));
        assert_eq!(hardware.board_name, "2660");
        page[4] = 2;
        assert!(!HardwareVersion::matches(&page));
        assert!(HardwareVersion::parse(&page).is_err());
    }

    #[test]
    fn prefixes_and_arbitrary_bytes_never_panic() {
        let c8 = c8();
        for end in 0..c8.len() {
            assert!(ExtendedIdentification::parse(&c8[..end]).is_err());
        }
        let mut noise = Noise::new();
        let starts: [&[u8]; 4] = [
            b"\0\xc0\0\xffhwr4",
            b"\0\xc2\0\xffswr4",
            b"\0\xc4\0\xffsubs",
            b"\0\xc8\0\xffedid",
        ];
        for round in 0..10_000 {
            let bytes = noise.bytes(starts[round % 4], round % 270);
            let _ = HardwareVersion::parse(&bytes);
            let _ = SoftwareVersion::parse(&bytes);
            let _ = SubsystemIdentifier::parse(&bytes);
            if let Ok(edid) = ExtendedIdentification::parse(&bytes) {
                assert!(edid.volume_id.len() <= 16 && edid.array_label.len() <= 120);
            }
        }
    }
}
