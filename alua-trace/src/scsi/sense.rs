//! Owns sense data: its two formats, and the text of the codes that say something about a path,
//! its port group or its controller. Every other code is left to its numbers.

use std::fmt;

use super::bytes::{DecodeError, array, be32, be64, require};

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

const WHAT: &str = "sense data";
/// Bytes before those that byte 7 counts, in both formats.
const HEADER_BYTES: usize = 8;
/// Types of sense data descriptors (SPC-4 table 29).
const INFORMATION: u8 = 0x00;
const SENSE_KEY_SPECIFIC: u8 = 0x02;
const FIELD_REPLACEABLE_UNIT: u8 = 0x03;
/// SKSV: the sense-key-specific bytes mean something.
const VALID: u8 = 0x80;

/// Sense data of either format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenseData {
    /// Response code, 70h to 73h.
    pub response_code: u8,
    /// Key, code and qualifier; code and qualifier are 0 if the data ends before.
    pub sense: Sense,
    /// INFORMATION, if it is valid: for a medium error, the logical block.
    pub information: Option<u64>,
    /// Field replaceable unit, if it is there.
    pub unit: Option<u8>,
    /// Sense-key-specific bytes, if they are valid.
    pub key_specific: Option<[u8; 3]>,
    /// The data ends before its own length does.
    pub truncated: bool,
}

/// Which byte of a command or its parameters was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FieldPointer {
    /// In the CDB; else in the parameter list.
    pub in_cdb: bool,
    /// The byte, from 0.
    pub byte: u16,
    /// The bit, if it says so.
    pub bit: Option<u8>,
}

impl SenseData {
    /// Decodes sense data, or a prefix of it, as the kernel's `scsi_normalize_sense`.
    ///
    /// # Errors
    /// No byte at all, or a response code of neither format; a key that is cut off.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        require(WHAT, data, 1)?;
        let code = data.first().copied().unwrap_or_default();
        match code & 0x7f {
            0x70 | 0x71 => fixed(data),
            0x72 | 0x73 => descriptors(data),
            _ => Err(DecodeError::UnknownFormat {
                what: WHAT,
                offset: 0,
                found: code,
            }),
        }
    }

    /// Descriptor format; else fixed.
    pub const fn has_descriptors(&self) -> bool {
        self.response_code & 0x02 != 0
    }

    /// About an earlier command, not the one that it came with.
    pub const fn deferred(&self) -> bool {
        self.response_code & 0x01 != 0
    }

    /// The field that was refused; only ILLEGAL REQUEST has it.
    pub fn field_pointer(&self) -> Option<FieldPointer> {
        let [flags, high, low] = self.key_specific.filter(|_| self.sense.key == 0x5)?;
        Some(FieldPointer {
            in_cdb: flags & 0x40 != 0,
            byte: u16::from_be_bytes([high, low]),
            bit: (flags & 0x08 != 0).then_some(flags & 0x07),
        })
    }
}

/// The part that the data's own length covers, and whether it is all there.
fn covered(data: &[u8]) -> (&[u8], bool) {
    let Some(&additional) = data.get(7) else {
        return (data, true);
    };
    let whole = HEADER_BYTES + usize::from(additional);
    (data.get(..whole).unwrap_or(data), data.len() < whole)
}

fn fixed(data: &[u8]) -> Result<SenseData, DecodeError> {
    require(WHAT, data, 3)?;
    let (data, truncated) = covered(data);
    let byte = |at: usize| data.get(at).copied();
    let code = byte(0).unwrap_or_default();
    let information = be32(data, 3).filter(|_| code & VALID != 0);
    Ok(SenseData {
        response_code: code & 0x7f,
        sense: Sense {
            key: byte(2).unwrap_or_default() & 0x0f,
            asc: byte(12).unwrap_or_default(),
            ascq: byte(13).unwrap_or_default(),
        },
        information: information.map(u64::from),
        unit: byte(14).filter(|&unit| unit != 0),
        key_specific: array(data, 15).filter(|[flags, ..]: &[u8; 3]| flags & VALID != 0),
        truncated,
    })
}

fn descriptors(data: &[u8]) -> Result<SenseData, DecodeError> {
    require(WHAT, data, 2)?;
    let (data, truncated) = covered(data);
    let byte = |at: usize| data.get(at).copied().unwrap_or_default();
    let mut sense_data = SenseData {
        response_code: byte(0) & 0x7f,
        sense: Sense::new(byte(1) & 0x0f, byte(2), byte(3)),
        information: None,
        unit: None,
        key_specific: None,
        truncated,
    };
    let mut rest = data.get(HEADER_BYTES..).unwrap_or_default();
    while let [kind, length, tail @ ..] = rest {
        let Some((value, next)) = tail.split_at_checked(usize::from(*length)) else {
            break;
        };
        let flags = value.first().copied().unwrap_or_default();
        match *kind {
            INFORMATION if flags & VALID != 0 => sense_data.information = be64(value, 2),
            SENSE_KEY_SPECIFIC => {
                sense_data.key_specific =
                    array(value, 2).filter(|[flags, ..]: &[u8; 3]| flags & VALID != 0);
            }
            FIELD_REPLACEABLE_UNIT => {
                sense_data.unit = value.get(1).copied().filter(|&unit| unit != 0);
            }
            _ => {}
        }
        rest = next;
    }
    sense_data.truncated = truncated || !rest.is_empty();
    Ok(sense_data)
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
        (0x05, 0x20, 0x00) => "invalid command operation code",
        (0x05, 0x24, 0x00) => "invalid field in CDB",
        (0x05, 0x25, 0x00) => "logical unit not supported",
        (0x05, 0x26, 0x00) => "invalid field in parameter list",
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

    /// Not the owner, in fixed format.
    const FIXED: [u8; 18] = [
        0xf0, 0, 5, 0, 0, 1, 2, 10, 0, 0, 0, 0, 0x94, 0x01, 7, 0xcb, 0, 6,
    ];
    /// Invalid field in byte 1 of the CDB, and a block.
    const DESCRIPTORS: [u8; 32] = [
        0x72, 5, 0x24, 0, 0, 0, 0, 24, //
        0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 2, //
        0x02, 0x06, 0, 0, 0xc0, 0, 1, 0, //
        0x03, 0x02, 0, 9,
    ];

    #[test]
    fn fixed_sense_data_is_decoded() {
        let data = SenseData::parse(&FIXED).unwrap();
        assert_eq!(
            data.sense.to_string(),
            "05/94/01 RDAC: this controller does not own the logical unit"
        );
        assert!(!data.has_descriptors() && !data.deferred() && !data.truncated);
        assert_eq!((data.information, data.unit), (Some(0x0102), Some(7)));
        let pointer = FieldPointer {
            in_cdb: true,
            byte: 6,
            bit: Some(3),
        };
        assert_eq!(data.field_pointer(), Some(pointer));
        let mut invalid = FIXED;
        (invalid[0], invalid[15]) = (0x71, 0x4b);
        let data = SenseData::parse(&invalid).unwrap();
        assert_eq!((data.information, data.field_pointer()), (None, None));
        assert!(data.deferred());
        invalid[2] = 3;
        invalid[15] = 0xcb;
        assert_eq!(SenseData::parse(&invalid).unwrap().field_pointer(), None);
    }

    #[test]
    fn descriptor_sense_data_is_decoded() {
        let data = SenseData::parse(&DESCRIPTORS).unwrap();
        assert_eq!(data.sense, Sense::new(5, 0x24, 0));
        assert_eq!(data.information, Some(0x1_0000_0002));
        assert_eq!(data.unit, Some(9));
        let pointer = data.field_pointer().unwrap();
        assert_eq!((pointer.in_cdb, pointer.byte, pointer.bit), (true, 1, None));
        assert!(data.has_descriptors() && !data.truncated);
    }

    #[test]
    fn only_what_the_length_covers_counts() {
        let mut short = FIXED;
        short[7] = 4;
        let data = SenseData::parse(&short).unwrap();
        assert_eq!(data.sense, Sense::new(5, 0, 0));
        short[7] = 5;
        assert_eq!(
            SenseData::parse(&short).unwrap().sense,
            Sense::new(5, 0x94, 0)
        );
        let mut short = DESCRIPTORS;
        short[7] = 12;
        let data = SenseData::parse(&short).unwrap();
        assert!(data.information.is_some() && data.unit.is_none());
    }

    #[test]
    fn prefixes_and_arbitrary_bytes_never_panic() {
        for end in 0..FIXED.len() {
            let data = SenseData::parse(&FIXED[..end]);
            assert_eq!(data.is_ok(), end >= 3, "{end}");
            assert!(data.is_err() || data.is_ok_and(|data| data.truncated));
        }
        for end in 0..DESCRIPTORS.len() {
            let data = SenseData::parse(&DESCRIPTORS[..end]);
            assert_eq!(data.is_ok(), end >= 2, "{end}");
            assert!(data.is_err() || data.is_ok_and(|data| data.truncated));
        }
        let mut noise = super::super::bytes::Noise::new();
        for round in 0..20_000 {
            let start: &[u8] = [&[][..], &[0x70], &[0xf2], &[0x73]][round % 4];
            if let Ok(data) = SenseData::parse(&noise.bytes(start, round % 60)) {
                let _ = (data.field_pointer(), data.sense.to_string());
            }
        }
        let error = SenseData::parse(&[0x0f]).unwrap_err().to_string();
        assert!(error.contains("byte 0 is 0x0f: unknown format"), "{error}");
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
