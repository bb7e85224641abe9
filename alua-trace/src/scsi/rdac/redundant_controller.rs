//! Owns the decoding of mode page 2Ch, redundant controller: in MODE SENSE data it tells who owns
//! which LUN, and a MODE SELECT of it moves LUNs to the controller that receives it.

use std::fmt;

use crate::scsi::bytes::{DecodeError, array, require, up_to};
use crate::scsi::mode::{self, ModeHeader};

const WHAT: &str = "mode page 2Ch (redundant controller)";
const PAGE: u8 = 0x2c;
/// Page lengths: `rdac_pg_legacy` and `rdac_pg_expanded` without their headers.
const LEGACY_LENGTH: u8 = 0x68;
const EXPANDED_LENGTH: [u8; 2] = [0x01, 0x28];
const EXPANDED_SUBPAGE: u8 = 0x01;
/// `RDAC_MODE_TRANSFER_ALL_LUNS` and `RDAC_MODE_TRANSFER_SPECIFIED_LUNS` in byte 1 of the mode.
const TRANSFER_ALL: u8 = 0x01;
const TRANSFER_SPECIFIED: u8 = 0x02;
/// What a host writes in the slot of a LUN that it wants to move.
const MOVE: u8 = 0x81;
/// Serials, modes, quiescence and options: what comes before the LUN table.
const COMMON_BYTES: usize = 38;

/// Which form the page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// Without subpage: 32 LUNs. In MODE SENSE and MODE SELECT(6).
    Legacy,
    /// Subpage 1: 256 LUNs. In MODE SENSE and MODE SELECT(10).
    Expanded,
}

impl Form {
    /// LUNs in the table.
    pub const fn luns(self) -> usize {
        match self {
            Self::Legacy => 32,
            Self::Expanded => 256,
        }
    }
}

/// Mode of one controller: two bytes, as in `rdac_mode_common`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ControllerMode(pub [u8; 2]);

impl ControllerMode {
    /// What it says in MODE SENSE data (sg3_utils sg_rdac.c `print_rdac_mode`).
    pub fn sensed(self) -> String {
        let [partner, mode] = self.0;
        let partner = match partner {
            0 => "alternate controller not present".to_owned(),
            1 => "alternate controller present".to_owned(),
            other => format!("unknown controller status 0x{other:02x}"),
        };
        let mode = match mode {
            0 => "inactive".to_owned(),
            1 => "active".to_owned(),
            2 => "dual active".to_owned(),
            4 => "held in reset".to_owned(),
            other => format!("unknown mode 0x{other:02x}"),
        };
        format!("{partner}, {mode}")
    }
}

/// A LUN's slot in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LunSlot(pub u8);

impl fmt::Display for LunSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no LUN"),
            1 => f.write_str("owned by this controller"),
            2 => f.write_str("owned by the alternate controller"),
            3 => f.write_str("access volume (UTM)"),
            MOVE => f.write_str("move to this controller"),
            other => write!(f, "unknown (0x{other:02x})"),
        }
    }
}

/// Which LUNs a MODE SELECT of the page moves to the controller that receives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transfer {
    /// None.
    None,
    /// These, in ascending order; perhaps none if the data was cut off before their slots.
    Luns(Vec<u8>),
    /// All there are.
    All,
}

/// The page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedundantController {
    /// Where the page begins in the data.
    pub page_offset: usize,
    /// Its form.
    pub form: Form,
    /// Serial number of the controller that answers; spaces and NULs at the end do not count.
    pub controller_serial: [u8; 16],
    /// Serial number of the other.
    pub alternate_serial: [u8; 16],
    /// Mode of the controller that answers, or what is asked of it.
    pub mode: ControllerMode,
    /// Mode of the other.
    pub alternate_mode: ControllerMode,
    /// How long I/O may be held back, in seconds.
    pub quiescence_timeout_s: u8,
    /// Options: see [`Self::alua`] and [`Self::forced`].
    pub options: u8,
    /// A slot for each LUN, as far as the data goes.
    pub lun_table: Vec<LunSlot>,
    /// The data ends within the LUN table.
    pub truncated: bool,
}

impl RedundantController {
    /// Decodes the data of MODE SENSE or the parameter list of MODE SELECT, (6) or (10), or a
    /// prefix: the header tells which it is. The bare page is accepted, too.
    ///
    /// # Errors
    /// There is no such page where a header says that pages begin, or the data ends before its LUN
    /// table.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        let found = ModeHeader::ALL
            .into_iter()
            .find_map(|header| page(data, header));
        found.unwrap_or(Err(no_page(data)))
    }

    /// As [`Self::parse`], for data whose header is known from the command.
    ///
    /// # Errors
    /// As [`Self::parse`].
    pub fn parse_behind(header: ModeHeader, data: &[u8]) -> Result<Self, DecodeError> {
        page(data, header).unwrap_or(Err(no_page(data)))
    }

    /// The array does ALUA.
    pub const fn alua(&self) -> bool {
        self.options & 0x04 != 0
    }

    /// Quiescence is forced when its timeout ends.
    pub const fn forced(&self) -> bool {
        self.options & 0x02 != 0
    }

    /// Which LUNs move, if this is what a MODE SELECT sends.
    pub fn transfer(&self) -> Transfer {
        match self.mode.0[1] {
            TRANSFER_ALL => Transfer::All,
            TRANSFER_SPECIFIED => Transfer::Luns(
                (0..=u8::MAX)
                    .zip(&self.lun_table)
                    .filter_map(|(lun, slot)| (slot.0 == MOVE).then_some(lun))
                    .collect(),
            ),
            _ => Transfer::None,
        }
    }
}

const fn no_page(data: &[u8]) -> DecodeError {
    DecodeError::NoModePage {
        what: WHAT,
        page: PAGE,
        found: data.len(),
    }
}

/// The page behind a header of this form; `None` if there is none.
fn page(data: &[u8], header: ModeHeader) -> Option<Result<RedundantController, DecodeError>> {
    let offset = mode::page_offset(data, header)?;
    let page = data.get(offset..)?;
    let (form, common) = form(page)?;
    Some(decode(data, offset, form, common))
}

/// The form of a page, and where in it the common part begins. Old sg_rdac sets the SPF bit in the
/// legacy form, too, whose byte 1 is its length all the same.
fn form(page: &[u8]) -> Option<(Form, usize)> {
    match *page {
        [code, LEGACY_LENGTH, ..] if mode::page_code(code) == PAGE => Some((Form::Legacy, 2)),
        [code, EXPANDED_SUBPAGE, high, low, ..]
            if mode::has_subpage(code)
                && mode::page_code(code) == PAGE
                && [high, low] == EXPANDED_LENGTH =>
        {
            Some((Form::Expanded, 4))
        }
        _ => None,
    }
}

fn decode(
    data: &[u8],
    page_offset: usize,
    form: Form,
    common_offset: usize,
) -> Result<RedundantController, DecodeError> {
    let at = page_offset + common_offset;
    require(WHAT, data, at + COMMON_BYTES)?;
    let lun_table: Vec<_> = up_to(data, at + COMMON_BYTES, form.luns())
        .iter()
        .map(|&slot| LunSlot(slot))
        .collect();
    Ok(RedundantController {
        page_offset,
        form,
        controller_serial: array(data, at).unwrap_or_default(),
        alternate_serial: array(data, at + 16).unwrap_or_default(),
        mode: ControllerMode(array(data, at + 32).unwrap_or_default()),
        alternate_mode: ControllerMode(array(data, at + 34).unwrap_or_default()),
        quiescence_timeout_s: data.get(at + 36).copied().unwrap_or_default(),
        options: data.get(at + 37).copied().unwrap_or_default(),
        truncated: lun_table.len() < form.luns(),
        lun_table,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::bytes::Noise;

    /// What scsi_dh_rdac.c `rdac_failover_get` sends with MODE SELECT(6): 110 bytes.
    fn select_6(luns: &[usize]) -> Vec<u8> {
        let mut data = vec![0; 110];
        data[4..6].copy_from_slice(&[0x2c, 0x68]);
        fill(&mut data, 6, luns);
        data
    }

    /// And with MODE SELECT(10): 308 bytes.
    fn select_10(luns: &[usize]) -> Vec<u8> {
        let mut data = vec![0; 308];
        data[8..12].copy_from_slice(&[0x6c, 0x01, 0x01, 0x28]);
        fill(&mut data, 12, luns);
        data
    }

    fn fill(data: &mut [u8], common: usize, luns: &[usize]) {
        data[common + 33] = 0x02;
        data[common + 36] = 20;
        data[common + 37] = 0x02;
        for lun in luns {
            data[common + 38 + lun] = 0x81;
        }
    }

    #[test]
    fn mode_select_names_the_luns_it_moves() {
        let mut data = select_6(&[0, 5, 31]);
        // Slots as an array would fill them: they move nothing.
        data[46..48].copy_from_slice(&[1, 2]);
        let page = RedundantController::parse(&data).unwrap();
        assert_eq!((page.form, page.page_offset), (Form::Legacy, 4));
        assert_eq!(page.transfer(), Transfer::Luns(vec![0, 5, 31]));
        assert_eq!(page.quiescence_timeout_s, 20);
        assert!(page.forced() && !page.alua() && !page.truncated);
        let page = RedundantController::parse(&select_10(&[1, 200, 255])).unwrap();
        assert_eq!((page.form, page.page_offset), (Form::Expanded, 8));
        assert_eq!(page.transfer(), Transfer::Luns(vec![1, 200, 255]));
        assert_eq!(page.lun_table.len(), 256);
    }

    #[test]
    fn the_header_of_the_command_can_be_given() {
        let (six, ten) = (select_6(&[3]), select_10(&[3]));
        let parse = RedundantController::parse_behind;
        assert!(parse(ModeHeader::Six, &six).is_ok());
        assert!(parse(ModeHeader::Ten, &six).is_err());
        assert!(parse(ModeHeader::Ten, &ten).is_ok());
        assert!(parse(ModeHeader::Six, &ten).is_err());
        assert!(parse(ModeHeader::None, &ten[8..]).is_ok());
        assert_eq!(
            RedundantController::parse(&six[4..]).unwrap().transfer(),
            Transfer::Luns(vec![3])
        );
    }

    /// sg_rdac sends a block descriptor, sets SPF in the legacy form, and can move all LUNs.
    #[test]
    fn what_sg_rdac_sends_is_understood() {
        let mut data = vec![75, 0, 0, 8];
        data.extend([0, 0, 0, 0, 0, 2, 0, 0]);
        data.extend(&select_6(&[])[4..]);
        data[12] |= 0x40;
        let page = RedundantController::parse(&data).unwrap();
        assert_eq!((page.form, page.page_offset), (Form::Legacy, 12));
        assert_eq!(page.transfer(), Transfer::Luns(vec![]));
        data[12 + 2 + 33] = 0x01;
        let page = RedundantController::parse(&data).unwrap();
        assert_eq!(page.transfer(), Transfer::All);
    }

    #[test]
    fn mode_sense_tells_owners_and_moves_nothing() {
        let mut data = select_6(&[]);
        data[0] = 109;
        data[4] |= 0x80;
        data[6..14].copy_from_slice(b"A1234567");
        data[22..30].copy_from_slice(b"B7654321");
        data[38..42].copy_from_slice(&[1, 0, 1, 4]);
        data[43] = 0x04;
        data[44..48].copy_from_slice(&[1, 2, 3, 0]);
        let page = RedundantController::parse(&data).unwrap();
        assert!(page.controller_serial.starts_with(b"A1234567"));
        assert!(page.alternate_serial.starts_with(b"B7654321"));
        assert_eq!(page.transfer(), Transfer::None);
        assert!(page.alua() && !page.forced());
        assert_eq!(page.mode.sensed(), "alternate controller present, inactive");
        assert!(page.alternate_mode.sensed().ends_with("held in reset"));
        assert_eq!(page.lun_table[..3], [LunSlot(1), LunSlot(2), LunSlot(3)]);
        assert_eq!(LunSlot(2).to_string(), "owned by the alternate controller");
    }

    #[test]
    fn prefixes_give_the_luns_that_are_there() {
        for (whole, table) in [(select_6(&[0, 7]), 44), (select_10(&[0, 7]), 50)] {
            for end in 0..whole.len() {
                let page = RedundantController::parse(&whole[..end]);
                assert_eq!(page.is_ok(), end >= table, "{end}");
                let Ok(page) = page else { continue };
                let moved: Vec<u8> = [0, 7]
                    .into_iter()
                    .filter(|&lun| table + usize::from(lun) < end)
                    .collect();
                assert_eq!(page.transfer(), Transfer::Luns(moved), "{end}");
                assert_eq!(page.truncated, end < table + page.form.luns(), "{end}");
            }
        }
    }

    #[test]
    fn other_pages_are_refused() {
        let mut data = select_6(&[1]);
        data[4] = 0x2d;
        let error = RedundantController::parse(&data).unwrap_err();
        assert!(error.to_string().contains("no mode page 0x2c"), "{error}");
        let mut data = select_10(&[1]);
        data[9] = 2;
        assert!(RedundantController::parse(&data).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut noise = Noise::new();
        let starts: [&[u8]; 4] = [
            &[],
            &[0x2c, 0x68],
            &[0, 0, 0, 0, 0x2c, 0x68],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0x6c, 1, 1, 0x28],
        ];
        for round in 0..20_000 {
            let bytes = noise.bytes(starts[round % 4], round % 330);
            if let Ok(page) = RedundantController::parse(&bytes) {
                assert!(page.lun_table.len() <= 256);
                let _ = (page.transfer(), page.mode.sensed());
            }
        }
    }
}
