//! An RDAC array (LSI/Engenio, sold as Dell MD36xxi): its mode, its vital product data and the
//! redundant controller mode page, whose MODE SELECT moves LUNs. Pure.
//!
//! The layouts are those that the kernel's `scsi_dh_rdac.c` and multipath-tools' `rdac` checker
//! and prioritizer read.

use std::fmt;
use std::str::FromStr;

use anyhow::{Error, Result, bail};

use super::access::Controller;
use super::pages::{Identity, vpd};
use super::scsi::{ModeForm, Sense};

/// How the array treats commands for a LUN the other controller owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Refuses reads and writes.
    Rdac,
    /// Automatic volume transfer: takes the LUN over and serves them.
    Avt,
    /// I/O shipping: serves them by way of the owner.
    Ioship,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Rdac => "rdac",
            Mode::Avt => "avt",
            Mode::Ioship => "ioship",
        })
    }
}

impl FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "rdac" => Mode::Rdac,
            "avt" => Mode::Avt,
            "ioship" => Mode::Ioship,
            _ => bail!("{text:?} is no RDAC mode"),
        })
    }
}

/// Pages an RDAC array has.
pub(crate) const PAGES: [u8; 7] = [0x00, 0x80, 0x83, 0xc2, 0xc4, 0xc8, 0xc9];

/// Standard INQUIRY data of an MD36xxi: SPC-3, TPGS 0.
pub(crate) fn inquiry(identity: &Identity) -> Vec<u8> {
    let mut data = vec![0; 74];
    data[2] = 5; // SPC-3
    data[3] = 0x32; // NORMACA, HISUP, response format 2
    data[4] = 69;
    data[5] = 0x08; // 3PC
    data[6] = 0x50; // ENCSERV, MULTIP
    data[7] = 0x32; // WBUS16, SYNC, CMDQUE
    data[8..16].copy_from_slice(&identity.vendor);
    data[16..32].copy_from_slice(&identity.product);
    data[32..36].copy_from_slice(&identity.revision);
    data
}

/// Page 0xC2 `swr4`: software version, and how many LUNs there may be, which decides the form of
/// MODE SELECT.
pub(crate) fn software_version(max_luns: u8) -> Vec<u8> {
    let mut body = vec![0; 251];
    body[..4].copy_from_slice(b"swr4");
    body[4..7].copy_from_slice(&[0x07, 0x84, 0x01]);
    body[7..10].copy_from_slice(&[0x12, 0x03, 0x11]);
    body[11] = max_luns;
    vpd(0xc2, &body)
}

/// Page 0xC4 `subs`: subsystem, and the slot that tells its controllers apart.
pub(crate) fn subsystem(identity: &Identity, controller: Controller) -> Vec<u8> {
    let mut body = b"subs".to_vec();
    body.extend_from_slice(format!("LABARRAY{:08X}", identity.serial).as_bytes());
    body.extend_from_slice(&identity.revision);
    body.extend([0, slot(controller), 0, 0]);
    vpd(0xc4, &body)
}

fn slot(controller: Controller) -> u8 {
    if controller == Controller::A {
        b'1'
    } else {
        b'2'
    }
}

/// Page 0xC8 `edid`: names and identifiers of volume and array, and the LUN.
pub(crate) fn extended_identification(identity: &Identity, lun: u8) -> Vec<u8> {
    let mut body = b"edid\0\0\0".to_vec();
    body.push(16);
    body.extend_from_slice(&identity.naa(lun));
    body.extend(label(&format!("lun{lun}")));
    body.push(16);
    body.extend_from_slice(format!("LABARRAY{:08X}", identity.serial).as_bytes());
    body.extend(label("LABARRAY"));
    body.extend([0, 0, 0, 0, 0, 0, 0, lun]);
    vpd(0xc8, &body)
}

/// A label's length and its field of 60 bytes, in UTF-16BE.
fn label(text: &str) -> Vec<u8> {
    let mut field: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let length = field.len() as u8;
    field.resize(60, 0);
    field.insert(0, length);
    field
}

/// Page 0xC9 `vac1` of one LUN on one controller.
pub(crate) fn volume_access(mode: Mode, owned: bool, preferred: Option<bool>) -> Vec<u8> {
    const PORT_GROUP_DATA: u8 = 0x10;
    let mode_bits = match mode {
        Mode::Rdac => 0,
        Mode::Avt => 0x80 | 0x40, // … and reads of block 0 move nothing
        Mode::Ioship => 0x80 | 0x40 | 0x20,
    };
    let [optimized, other] = match mode {
        Mode::Rdac => [0x0, 0x2],
        Mode::Avt | Mode::Ioship => [0x0, 0x1],
    };
    let (this, alternate) = if owned {
        (optimized, other)
    } else {
        (other, optimized)
    };
    let priority = match preferred {
        Some(true) => 1,
        Some(false) => 2,
        None => 0,
    };
    const NORMAL: u8 = 0x01;
    let mut body = b"vac1".to_vec();
    body.extend([mode_bits | PORT_GROUP_DATA | u8::from(owned), priority]);
    body.extend([this, NORMAL, alternate, NORMAL]);
    body.resize(44, 0);
    vpd(0xc9, &body)
}

/// Page code of the redundant controller page.
pub(crate) const REDUNDANT_CONTROLLER: u8 = 0x2c;
/// Set in the first byte of a page that has a subpage code and two bytes of length.
const SUBPAGE_FORMAT: u8 = 0x40;
/// `RDAC_MODE_TRANSFER_SPECIFIED_LUNS`, second byte of the page's mode.
const TRANSFER_LUNS: u8 = 0x02;
/// Where the page's second mode byte and its LUN table are, from the end of the page's header.
const MODE_BYTE: usize = 33;
const LUN_TABLE: usize = 38;
/// In a LUN's slot of the table: this controller's.
const OWNED_HERE: u8 = 0x81;
/// A LUN is meant when this bit of its slot is set.
const MEANT: u8 = 0x01;

/// The redundant controller page for MODE SENSE: 32 LUNs, or 256 when `expanded`.
pub(crate) fn redundant_controller_page(owned: &[bool], expanded: bool) -> Vec<u8> {
    let (mut page, rest) = if expanded {
        (
            vec![REDUNDANT_CONTROLLER | SUBPAGE_FORMAT, 1, 0x01, 0x28],
            0x128,
        )
    } else {
        (vec![REDUNDANT_CONTROLLER, 0x68], 0x68)
    };
    let header = page.len();
    page.resize(header + rest, 0);
    page[header + MODE_BYTE] = TRANSFER_LUNS;
    let slots = if expanded { 256 } else { 32 };
    for (lun, owned) in owned.iter().take(slots).enumerate() {
        page[header + LUN_TABLE + lun] = if *owned { OWNED_HERE } else { 0 };
    }
    page
}

/// The LUNs that MODE SELECT data moves to the controller which gets it. `max_luns` is what page
/// 0xC2 says: below 32 there is no expanded page.
pub(crate) fn transferred_luns(
    form: ModeForm,
    max_luns: u8,
    parameters: &[u8],
) -> Result<Vec<u8>, Sense> {
    let page = match form {
        ModeForm::Six => parameters.get(4..),
        ModeForm::Ten => parameters.get(8..),
    };
    let (body, slots) = match page {
        Some([REDUNDANT_CONTROLLER, 0x68, body @ ..]) if body.len() >= 0x68 => (body, 32),
        Some([code, 1, 0x01, 0x28, body @ ..])
            if *code == REDUNDANT_CONTROLLER | SUBPAGE_FORMAT
                && body.len() >= 0x128
                && max_luns >= 32 =>
        {
            (body, 256)
        }
        _ => return Err(Sense::INVALID_PARAMETER),
    };
    if body[MODE_BYTE] != TRANSFER_LUNS {
        return Err(Sense::INVALID_PARAMETER);
    }
    let table = body[LUN_TABLE..].iter().take(slots);
    let meant = (0..=u8::MAX)
        .zip(table)
        .filter(|(_, slot)| *slot & MEANT != 0);
    Ok(meant.map(|(lun, _)| lun).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_access_is_what_a_real_md36xxi_says() {
        let page = volume_access(Mode::Ioship, true, Some(true));
        let mut expected = vec![0x00, 0xc9, 0x00, 0x2c];
        expected.extend(*b"vac1\xf1\x01\x00\x01\x01\x01");
        expected.resize(48, 0);
        assert_eq!(page, expected);
        let flags = |mode, owned| volume_access(mode, owned, None)[8];
        assert_eq!(flags(Mode::Ioship, false), 0xf0);
        assert_eq!(flags(Mode::Avt, true), 0xd1);
        assert_eq!(flags(Mode::Rdac, false), 0x10);
        let passive = volume_access(Mode::Rdac, false, Some(false));
        assert_eq!(passive[9..14], [2, 2, 1, 0, 1]);
    }

    /// Sizes and offsets of `c8_inquiry`, `c4_inquiry` and `c2_inquiry` in the kernel.
    #[test]
    fn the_other_pages_have_their_fields_where_the_handler_looks() {
        let identity = Identity::rdac(7);
        let c8 = extended_identification(&identity, 5);
        assert_eq!((c8.len(), c8[3], c8[174]), (175, 171, 5));
        assert_eq!((c8[11], c8[28], c8[89], c8[106]), (16, 8, 16, 16));
        assert_eq!(c8[107..111], [0, b'L', 0, b'A']);
        let c4 = subsystem(&identity, Controller::B);
        assert_eq!((c4.len(), c4[29]), (32, b'2'));
        assert_eq!(subsystem(&identity, Controller::A)[29], b'1');
        let c2 = software_version(255);
        assert_eq!((c2.len(), c2[15]), (255, 255));
    }

    /// Data as `rdac_failover_get` makes it.
    fn mode_select(form: ModeForm, luns: &[usize]) -> Vec<u8> {
        let (header, page) = match form {
            ModeForm::Six => (4, redundant_controller_page(&[], false)),
            ModeForm::Ten => (8, redundant_controller_page(&[], true)),
        };
        let mut data = vec![0; header];
        data.extend(page);
        let table = match form {
            ModeForm::Six => 44,
            ModeForm::Ten => 50,
        };
        for lun in luns {
            data[table + lun] = 0x81;
        }
        data
    }

    #[test]
    fn both_forms_of_mode_select_name_their_luns() {
        for (form, length, luns) in [
            (ModeForm::Six, 110, [0, 31]),
            (ModeForm::Ten, 308, [1, 255]),
        ] {
            let data = mode_select(form, &luns);
            assert_eq!(data.len(), length);
            let read = transferred_luns(form, 255, &data).unwrap();
            assert_eq!(read, luns.map(|lun| lun as u8));
        }
    }

    #[test]
    fn mode_select_of_anything_else_is_refused() {
        let good = mode_select(ModeForm::Ten, &[0]);
        let refused = |max_luns, data: &[u8]| {
            transferred_luns(ModeForm::Ten, max_luns, data) == Err(Sense::INVALID_PARAMETER)
        };
        assert!(!refused(32, &good));
        assert!(refused(31, &good), "no expanded page");
        let mut other_mode = good.clone();
        other_mode[12 + MODE_BYTE] = 1;
        assert!(refused(255, &other_mode));
        let mut other_page = good.clone();
        other_page[8] = 0x0a;
        assert!(refused(255, &other_page));
        for length in 0..good.len() {
            assert!(refused(255, &good[..length]), "{length}");
        }
    }

    #[test]
    fn mode_sense_tells_this_controllers_luns() {
        let page = redundant_controller_page(&[true, false, true], true);
        assert_eq!((page.len(), &page[42..45]), (300, &[0x81, 0, 0x81][..]));
        assert_eq!(redundant_controller_page(&[true], false).len(), 106);
    }
}
