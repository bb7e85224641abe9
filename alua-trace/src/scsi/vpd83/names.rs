//! Owns the name of a logical unit that page 83h gives: the kernel's and multipath-tools', which
//! choose differently among its designators.

use std::fmt::{self, Write as _};

use super::{Association, Designator, EUI64, NAA, NAME_STRING, T10_VENDOR_ID, designators, hex};
use crate::scsi::bytes::DecodeError;

/// The kernel's rank of a logical unit's name, higher is better (drivers/scsi/scsi_lib.c
/// `designator_prio`); `None` for what names no logical unit.
fn kernel_rank(designator: &Designator<'_>) -> Option<u8> {
    if designator.association != Association::LogicalUnit {
        return None;
    }
    let first = *designator.value.first()?;
    match (designator.kind, first >> 4, designator.value.len()) {
        (NAME_STRING, ..) => Some(9),
        (NAA, 6, _) => Some(8),
        (EUI64, _, 16) => Some(7),
        (EUI64, _, 12) => Some(6),
        (NAA, 5, _) => Some(5),
        // NAA 2, the older IEEE extended form, is not in the kernel's table.
        (NAA, 4, _) => Some(4),
        (EUI64, _, 8) => Some(3),
        (NAA, 3, _) | (T10_VENDOR_ID, ..) => Some(1),
        _ => None,
    }
}

/// The name as the kernel's sysfs `wwid` writes it: `naa.`, `eui.` or `t10.` and the value, or a SCSI
/// name string as it is. `None` for values that it does not write.
fn kernel_name(designator: &Designator<'_>) -> Option<String> {
    let value = designator.value;
    match (designator.kind, value.len()) {
        // The NAA nibble alone gives the rank, whatever the length; others than these are not printed.
        (NAA, 8 | 16) => Some(hex("naa.", value)),
        (EUI64, 8 | 12 | 16) => Some(hex("eui.", value)),
        (T10_VENDOR_ID, _) => Some(Escaped(value).to_string()),
        (NAME_STRING, _) => Some(String::from_utf8_lossy(until_nul(value)).into_owned()),
        _ => None,
    }
}

fn until_nul(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|&byte| byte == 0);
    value.get(..end.unwrap_or(value.len())).unwrap_or(value)
}

/// The page's best name of the logical unit, as the kernel chooses it (drivers/scsi/scsi_lib.c
/// `scsi_vpd_lun_id`): what precedes an error in the page still counts.
pub fn lun_wwid(page: &[u8]) -> Option<String> {
    let (mut best, mut length, mut name) = (0, 0, None);
    for designator in designators(page).map_while(Result::ok) {
        let Some(rank) = kernel_rank(&designator).filter(|rank| *rank >= best) else {
            continue;
        };
        let own = designator.value.len();
        let by_length = matches!(designator.kind, T10_VENDOR_ID | NAME_STRING);
        if by_length && length > own {
            continue;
        }
        (best, length) = (rank, own);
        name = kernel_name(&designator).or(name);
    }
    name
}

/// multipath-tools' rank of a name (libmultipath/discovery.c `parse_vpd_pg83`); `None` for those that
/// they leave out, such as values of another length than their type has.
fn multipath_rank(designator: &Designator<'_>) -> Option<u8> {
    if designator.association != Association::LogicalUnit {
        return None;
    }
    let value = designator.value;
    let nibble = value.first().map(|byte| byte >> 4);
    match (designator.kind, nibble, value.len()) {
        (NAA, Some(6), 16) => Some(8),
        (NAA, Some(5), 8) => Some(7),
        (NAA, Some(2), 8) => Some(6),
        (NAA, Some(3), 8) => Some(1),
        (EUI64, _, 8 | 12 | 16) => Some(4),
        (NAME_STRING, ..) => [&b"eui."[..], b"naa.", b"iqn."]
            .iter()
            .any(|prefix| value.starts_with(prefix))
            .then_some(3),
        (T10_VENDOR_ID, _, 8..) => Some(2),
        _ => None,
    }
}

/// The page's name of the logical unit as multipath-tools choose and write it, which is the name of a
/// map without alias: `3600…`.
pub fn multipath_wwid(page: &[u8]) -> Option<String> {
    let mut best: Option<(u8, Designator<'_>)> = None;
    for designator in designators(page) {
        let designator = match designator {
            Ok(designator) => designator,
            Err(DecodeError::CutOff { .. }) => break,
            Err(_) => return None,
        };
        if let Some(rank) = multipath_rank(&designator)
            && best.as_ref().is_none_or(|(known, _)| *known < rank)
        {
            best = Some((rank, designator));
        }
    }
    let (_, designator) = best?;
    let value = designator.value;
    Some(match designator.kind {
        EUI64 => hex("2", value),
        NAA => hex("3", value),
        NAME_STRING => {
            let text = String::from_utf8_lossy(until_nul(value));
            let (prefix, rest) = text.split_at_checked(4)?;
            match prefix {
                "eui." => format!("2{}", rest.to_ascii_lowercase()),
                "naa." => format!("3{}", rest.to_ascii_lowercase()),
                _ => format!("8{rest}"),
            }
        }
        _ => underscored(value),
    })
}

/// A T10 vendor identification: blanks become one underscore, or nothing at the end.
fn underscored(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let leading = if text.starts_with(' ') { "_" } else { "" };
    let words: Vec<&str> = text.split(' ').filter(|word| !word.is_empty()).collect();
    format!("1{leading}{}", words.join("_"))
}

/// A T10 vendor id as the kernel's `%*pE` prints it: printable ASCII as it is, the rest escaped.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("t10.")?;
        for &byte in self.0 {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\t' => f.write_str("\\t")?,
                0x0b => f.write_str("\\v")?,
                0x0c => f.write_str("\\f")?,
                0x1b => f.write_str("\\e")?,
                0x07 => f.write_str("\\a")?,
                0 => f.write_str("\\0")?,
                _ => write!(f, "\\{byte:03o}")?,
            }
        }
        Ok(())
    }
}
