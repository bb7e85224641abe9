//! Owns sense data in its two formats.

mod codes;

use std::fmt;

use super::bytes::{DecodeError, array, be32, be64, require};

pub use codes::{code_of, key_name, key_of, text};

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
const COMMAND_SPECIFIC: u8 = 0x01;
const SENSE_KEY_SPECIFIC: u8 = 0x02;
const FIELD_REPLACEABLE_UNIT: u8 = 0x03;
const STREAM_COMMANDS: u8 = 0x04;
const BLOCK_COMMANDS: u8 = 0x05;
const FORWARDED: u8 = 0x0c;
/// Bits beside the sense key of fixed format, and of the descriptors of streams and blocks.
const FILEMARK: u8 = 0x80;
const END_OF_MEDIUM: u8 = 0x40;
const WRONG_LENGTH: u8 = 0x20;
/// SDAT_OVFL, beside the sense key of fixed format.
const OVERFLOW: u8 = 0x10;
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
    /// COMMAND-SPECIFIC INFORMATION, unless it is 0.
    pub command_specific: Option<u64>,
    /// FILEMARK, EOM, ILI and SDAT_OVFL, as far as they are set.
    pub marks: Marks,
    /// It holds sense data of another device (forwarded sense data descriptor).
    pub forwarded: bool,
    /// The data ends before its own length does.
    pub truncated: bool,
}

/// Bits of sense data that say how far a command got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    /// FILEMARK: a filemark or setmark was read.
    pub filemark: bool,
    /// EOM: the end of the medium or partition.
    pub end_of_medium: bool,
    /// ILI: the length asked for is not the block's.
    pub wrong_length: bool,
    /// SDAT_OVFL: there was more sense data than fits.
    pub overflow: bool,
}

impl Marks {
    const fn new(bits: u8) -> Self {
        Self {
            filemark: bits & FILEMARK != 0,
            end_of_medium: bits & END_OF_MEDIUM != 0,
            wrong_length: bits & WRONG_LENGTH != 0,
            overflow: false,
        }
    }
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

    /// How far an operation got, in parts of 65,536; only NO SENSE and NOT READY have it.
    pub fn progress(&self) -> Option<u16> {
        let keys = matches!(self.sense.key, 0x0 | 0x2);
        let [_, high, low] = self.key_specific.filter(|_| keys)?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// How often the device tried again; only RECOVERED, MEDIUM and HARDWARE ERROR have it.
    pub fn retries(&self) -> Option<u16> {
        let keys = matches!(self.sense.key, 0x1 | 0x3 | 0x4);
        let [_, high, low] = self.key_specific.filter(|_| keys)?;
        Some(u16::from_be_bytes([high, low]))
    }

    /// Whether INFORMATION is the logical block that could not be read or written.
    pub const fn information_is_block(&self) -> bool {
        matches!(self.sense.key, 0x1 | 0x3 | 0x4 | 0xb)
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
    let marks = byte(2).unwrap_or_default();
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
        command_specific: be32(data, 8).filter(|&it| it != 0).map(u64::from),
        marks: Marks {
            overflow: marks & OVERFLOW != 0,
            ..Marks::new(marks)
        },
        forwarded: false,
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
        command_specific: None,
        marks: Marks {
            overflow: byte(4) & VALID != 0,
            ..Marks::default()
        },
        forwarded: false,
        truncated,
    };
    let mut rest = data.get(HEADER_BYTES..).unwrap_or_default();
    while let [kind, length, tail @ ..] = rest {
        let Some((value, next)) = tail.split_at_checked(usize::from(*length)) else {
            break;
        };
        sense_data.learn(*kind, value);
        rest = next;
    }
    sense_data.truncated = truncated || !rest.is_empty();
    Ok(sense_data)
}

impl SenseData {
    /// Takes over what a descriptor tells; `value` is what follows its length.
    fn learn(&mut self, kind: u8, value: &[u8]) {
        let byte = |at: usize| value.get(at).copied();
        match kind {
            INFORMATION if byte(0).unwrap_or_default() & VALID != 0 => {
                self.information = be64(value, 2);
            }
            COMMAND_SPECIFIC => self.command_specific = be64(value, 2).filter(|&it| it != 0),
            SENSE_KEY_SPECIFIC => {
                self.key_specific =
                    array(value, 2).filter(|[flags, ..]: &[u8; 3]| flags & VALID != 0);
            }
            FIELD_REPLACEABLE_UNIT => self.unit = byte(1).filter(|&unit| unit != 0),
            STREAM_COMMANDS | BLOCK_COMMANDS => {
                let mask = if kind == STREAM_COMMANDS {
                    0xff
                } else {
                    WRONG_LENGTH
                };
                self.marks = Marks {
                    overflow: self.marks.overflow,
                    ..Marks::new(byte(1).unwrap_or_default() & mask)
                };
            }
            FORWARDED => self.forwarded = true,
            _ => {}
        }
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
            0x04670a, 0x020403, 0x062a03, 0x062a09, 0x062901, 0x062902, 0x062903, 0x063f05,
            0x062800, 0x062a00, 0x062a05, 0x0b4700, 0x051a00,
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
    fn what_says_how_far_a_command_got_is_decoded() {
        let mut data = FIXED;
        (data[2], data[11], data[15]) = (0xf2, 9, 0x80);
        let decoded = SenseData::parse(&data).unwrap();
        let marks = Marks {
            filemark: true,
            end_of_medium: true,
            wrong_length: true,
            overflow: true,
        };
        assert_eq!((decoded.marks, decoded.command_specific), (marks, Some(9)));
        assert_eq!((decoded.progress(), decoded.retries()), (Some(6), None));
        data[2] = 3;
        let decoded = SenseData::parse(&data).unwrap();
        assert_eq!((decoded.progress(), decoded.retries()), (None, Some(6)));
        let descriptors = [
            0x72, 1, 0, 0, 0x80, 0, 0, 20, //
            0x01, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, //
            0x05, 0x02, 0, 0xe0, 0x0c, 0x02, 0, 0,
        ];
        let decoded = SenseData::parse(&descriptors).unwrap();
        assert!(decoded.forwarded && decoded.marks.overflow && decoded.marks.wrong_length);
        assert!(!decoded.marks.filemark);
        assert_eq!(decoded.command_specific, Some(7));
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
    fn the_kernels_words_are_codes() {
        for (text, code) in [
            (
                "Logical unit not accessible, target port in unavailable state",
                Some((0x04, 0x0c)),
            ),
            ("Asymmetric access state changed", Some((0x2a, 0x06))),
            ("Unrecovered read error", Some((0x11, 0x00))),
            ("No such text", None),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
        assert_eq!(
            (key_of("Not Ready"), key_of("Medium Error"), key_of("x")),
            (Some(2), Some(3), None)
        );
    }

    #[test]
    fn any_code_can_be_printed() {
        assert_eq!(
            Sense::new(6, 0x2a, 6).to_string(),
            "06/2A/06 asymmetric access state changed"
        );
        assert_eq!(
            Sense::new(3, 0x11, 0).to_string(),
            "03/11/00 unrecovered read error"
        );
        assert_eq!(
            Sense::new(4, 0x67, 0x0a).to_string(),
            "04/67/0A set target port groups command failed"
        );
        assert_eq!(
            Sense::new(4, 0x40, 0x85).to_string(),
            "04/40/85 diagnostic failure on component"
        );
        assert_eq!(Sense::new(0, 0, 0).to_string(), "00/00/00");
        assert_eq!(Sense::new(6, 0x91, 0).to_string(), "06/91/00");
        for key in 0..=u8::MAX {
            for asc in 0..=u8::MAX {
                assert!(!key_name(key).is_empty());
                let _ = text(key, asc, key.wrapping_mul(asc));
            }
        }
    }
}
