//! Owns the text of the sense codes that say something about a path, its port group or its
//! controller. Every other code is left to its numbers.

use std::fmt;

/// Sense key, additional sense code and qualifier, as in the kernel's `scsi_sense_hdr`. Prints as
/// `06/2A/06` and, where there is one, the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sense {
    /// Sense key, a nibble.
    pub key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
}

impl Sense {
    /// From the three bytes of a sense header.
    pub const fn new(key: u8, asc: u8, ascq: u8) -> Self {
        Self { key, asc, ascq }
    }

    /// See [`text`].
    pub fn text(self) -> Option<&'static str> {
        text(self.key, self.asc, self.ascq)
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02X}/{:02X}/{:02X}", self.key, self.asc, self.ascq)?;
        match self.text() {
            Some(text) => write!(f, " {text}"),
            None => Ok(()),
        }
    }
}

/// What a sense code says about a path, from SPC-4 annex F and the kernel's `alua_check_sense`
/// and `rdac_check_sense`. `None` for codes without a text here.
///
/// Texts that begin with `RDAC:` hold for such arrays only: the code is vendor-specific, and
/// means something else or nothing on others.
pub const fn text(key: u8, asc: u8, ascq: u8) -> Option<&'static str> {
    let text = match (key, asc, ascq) {
        (0x02 | 0x06, 0x04, 0x0a) => "asymmetric access state transition",
        (0x02, 0x04, 0x0b) => "target port in standby state",
        (0x02, 0x04, 0x0c) => "target port in unavailable state",
        (0x02, 0x04, 0x12) => "logical unit offline",
        (0x06, 0x29, 0x00) => "power on, reset, or bus device reset occurred",
        (0x06, 0x29, 0x04) => "device internal reset",
        (0x06, 0x29, 0x07) => "I_T nexus loss occurred",
        (0x06, 0x2a, 0x01) => "mode parameters changed",
        (0x06, 0x2a, 0x06) => "asymmetric access state changed",
        (0x06, 0x2a, 0x07) => "implicit asymmetric access state transition failed",
        (0x06, 0x3f, 0x03) => "inquiry data has changed",
        (0x06, 0x3f, 0x0e) => "reported LUNs data has changed",
        (0x02, 0x04, 0x01) => "logical unit is becoming ready",
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

    /// The codes that reference/scsi.md lists as worth counting.
    #[test]
    fn every_code_worth_counting_has_a_text() {
        let codes = [
            0x02040a, 0x02040b, 0x02040c, 0x020412, 0x062a06, 0x062a07, 0x062900, 0x063f03,
            0x063f0e, 0x020401, 0x020481, 0x0204a1, 0x02a102, 0x068b02, 0x059401, 0x059136,
        ];
        for code in codes {
            let [_, key, asc, ascq] = u32::to_be_bytes(code);
            assert!(text(key, asc, ascq).is_some(), "{code:06x}");
        }
    }

    #[test]
    fn any_code_can_be_printed() {
        assert_eq!(
            Sense::new(6, 0x2a, 6).to_string(),
            "06/2A/06 asymmetric access state changed"
        );
        assert_eq!(Sense::new(3, 0x11, 0).to_string(), "03/11/00");
        for key in 0..=u8::MAX {
            for asc in 0..=u8::MAX {
                assert!(!key_name(key).is_empty());
                let _ = text(key, asc, key.wrapping_mul(asc));
            }
        }
    }
}
