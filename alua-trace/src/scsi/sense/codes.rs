//! Owns the texts of sense codes and keys, and which code a text stands for.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Every additional sense code, its qualifier, and its text.
const CODES: &str = include_str!("codes.txt");
/// Additional sense codes from here on are the vendors' (SPC-4 annex F), and so are qualifiers.
const VENDORS: u8 = 0x80;

/// What a sense code says: T10's list, and what RDAC arrays mean by codes of their own
/// (drivers/scsi/device_handler/scsi_dh_rdac.c `rdac_check_sense`). `None` for codes without a text.
///
/// Texts that begin with `RDAC:` hold for such arrays only: the code is vendor-specific, and
/// means something else or nothing on others.
pub fn text(key: u8, asc: u8, ascq: u8) -> Option<&'static str> {
    rdac_text(key, asc, ascq).or_else(|| {
        // 00/00 is what data without a code says: no text is more than its key tells.
        let codes = CODES_BY_NUMBER.get_or_init(codes);
        let standard = asc < VENDORS && (asc, ascq) != (0, 0);
        let find = |qualifier| codes.get(&(asc, qualifier)).copied();
        standard.then(|| find(Some(ascq)).or_else(|| find(None)))?
    })
}

/// The code and qualifier of a text as the kernel prints it (drivers/scsi/constants.c
/// `scsi_extd_sense_format`), which has T10's words in full.
pub fn code_of(text: &str) -> Option<(u8, u8)> {
    let text = text.trim().to_ascii_lowercase();
    let codes = CODES_BY_NUMBER.get_or_init(codes);
    let found = codes.iter().filter_map(|((asc, ascq), known)| {
        let known = known.to_ascii_lowercase();
        // The list here is shorter where the beginning tells nothing.
        let is_same = text == known || text.strip_suffix(&known)?.ends_with("not accessible, ");
        is_same.then_some((*asc, (*ascq)?))
    });
    found.min()
}

static CODES_BY_NUMBER: OnceLock<HashMap<(u8, Option<u8>), &'static str>> = OnceLock::new();

/// The list by code and qualifier; `None` stands for all qualifiers that have no text of their own.
fn codes() -> HashMap<(u8, Option<u8>), &'static str> {
    let lines = CODES.lines().filter(|line| !line.starts_with('#'));
    let code = |line: &'static str| {
        let (asc, rest) = line.split_once(' ')?;
        let (ascq, text) = rest.split_once(' ')?;
        let number = |text| u8::from_str_radix(text, 16).ok();
        Some(((number(asc)?, number(ascq)), text))
    };
    lines.filter_map(code).collect()
}

/// The key of a name as the kernel prints it: `Not Ready`.
pub fn key_of(name: &str) -> Option<u8> {
    let name = name.trim().to_ascii_lowercase();
    (0..=0xf).find(|key| key_name(*key) == name)
}

const fn rdac_text(key: u8, asc: u8, ascq: u8) -> Option<&'static str> {
    let text = match (key, asc, ascq) {
        (0x02, 0x04, 0x81) => "RDAC: storage firmware incompatible",
        (0x02, 0x04, 0xa1) => "RDAC: quiescence in progress",
        (0x02, 0xa1, 0x02) => "RDAC: quiescence achieved",
        (0x06, 0x8b, 0x02) => "RDAC: quiescence in progress",
        (0x05, 0x94, 0x01) => "RDAC: this controller does not own the logical unit",
        (0x05, 0x91, 0x36) => "RDAC: another host holds the command lock",
        _ => return None,
    };
    Some(text)
}

/// The name of a sense key (SPC-4 table 48); the bits above the nibble do not count.
pub const fn key_name(key: u8) -> &'static str {
    match key & 0x0f {
        0x0 => "no sense",
        0x1 => "recovered error",
        0x2 => "not ready",
        0x3 => "medium error",
        0x4 => "hardware error",
        0x5 => "illegal request",
        0x6 => "unit attention",
        0x7 => "data protect",
        0x8 => "blank check",
        0x9 => "vendor specific",
        0xa => "copy aborted",
        0xb => "aborted command",
        0xd => "volume overflow",
        0xe => "miscompare",
        0xf => "completed",
        _ => "reserved",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_list_is_read_and_no_code_is_twice() {
        let lines = CODES.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.count(), codes().len());
    }
}
