//! Owns the decoding of standard INQUIRY data (SPC-4 6.6.2): who the device says it is, and what
//! it says it does about target port groups.

use std::fmt;

use super::bytes::{DecodeError, require, text};

const WHAT: &str = "INQUIRY data";
/// Up to the last byte of flags.
const NEEDED_BYTES: usize = 8;

/// TPGS: which access state commands the device supports (byte 5 bits 5:4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tpgs {
    /// 0: none, or a method of its own. Such an array may still be asymmetric: RDAC arrays that
    /// ship I/O are, and say 0.
    NoneOrVendorSpecific,
    /// 1: the array changes states by itself.
    Implicit,
    /// 2: hosts change them.
    Explicit,
    /// 3: both do.
    Both,
}

impl Tpgs {
    const fn new(byte: u8) -> Self {
        match byte >> 4 & 3 {
            0 => Self::NoneOrVendorSpecific,
            1 => Self::Implicit,
            2 => Self::Explicit,
            _ => Self::Both,
        }
    }

    /// The code on the wire.
    pub const fn code(self) -> u8 {
        match self {
            Self::NoneOrVendorSpecific => 0,
            Self::Implicit => 1,
            Self::Explicit => 2,
            Self::Both => 3,
        }
    }
}

impl fmt::Display for Tpgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoneOrVendorSpecific => {
                "none, or vendor-specific (an RDAC array with I/O shipping is asymmetric all the same)"
            }
            Self::Implicit => "implicit ALUA: the array changes states",
            Self::Explicit => "explicit ALUA: hosts change states",
            Self::Both => "implicit and explicit ALUA",
        })
    }
}

/// Standard INQUIRY data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inquiry {
    /// Peripheral qualifier, 0 to 7; 0 for a logical unit that is there.
    pub qualifier: u8,
    /// Peripheral device type, 0 to 31; 0 for a disk.
    pub device_type: u8,
    /// RMB: the medium can be removed.
    pub removable: bool,
    /// Version of SPC: see [`version_name`].
    pub version: u8,
    /// Access state commands.
    pub tpgs: Tpgs,
    /// Vendor, without padding; `None` if the data ends before.
    pub vendor: Option<String>,
    /// Product, likewise.
    pub product: Option<String>,
    /// Revision, likewise.
    pub revision: Option<String>,
    /// Bytes of the whole answer, by its own account.
    pub whole_bytes: usize,
    /// The data ends before the answer does.
    pub truncated: bool,
}

impl Inquiry {
    /// Decodes the data, or a prefix of it.
    ///
    /// # Errors
    /// Fewer than eight bytes.
    pub fn parse(data: &[u8]) -> Result<Self, DecodeError> {
        require(WHAT, data, NEEDED_BYTES)?;
        let byte = |at: usize| data.get(at).copied().unwrap_or_default();
        let whole_bytes = 5 + usize::from(byte(4));
        let field = |from: usize, to: usize| {
            let field = data.get(from..to).filter(|_| to <= whole_bytes);
            field.map(text)
        };
        Ok(Self {
            qualifier: byte(0) >> 5,
            device_type: byte(0) & 0x1f,
            removable: byte(1) & 0x80 != 0,
            version: byte(2),
            tpgs: Tpgs::new(byte(5)),
            vendor: field(8, 16),
            product: field(16, 32),
            revision: field(32, 36),
            whole_bytes,
            truncated: data.len() < whole_bytes,
        })
    }
}

/// What a peripheral qualifier says (SPC-4 table 142).
pub const fn qualifier_text(qualifier: u8) -> &'static str {
    match qualifier {
        0 => "connected",
        1 => "supported, but not connected",
        3 => "no such logical unit",
        2 => "reserved",
        _ => "vendor-specific",
    }
}

/// The name of a peripheral device type (SPC-4 table 143).
pub const fn device_type_name(device_type: u8) -> &'static str {
    match device_type {
        0x00 => "disk",
        0x01 => "tape",
        0x05 => "CD/DVD",
        0x08 => "media changer",
        0x0c => "storage array controller",
        0x0d => "enclosure services",
        0x0e => "simplified disk",
        0x11 => "object storage",
        0x14 => "zoned disk",
        0x1e => "well-known logical unit",
        0x1f => "unknown or no device",
        _ => "other",
    }
}

/// The standard that a version claims (SPC-4 table 145).
pub const fn version_name(version: u8) -> &'static str {
    match version {
        0 => "no standard",
        1 => "SCSI-1",
        2 => "SCSI-2",
        3 => "SPC",
        4 => "SPC-2",
        5 => "SPC-3",
        6 => "SPC-4",
        7 => "SPC-5",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::super::bytes::Noise;
    use super::*;

    /// An MD36xxi's answer, of the bits in tests/fixtures/sg_inq-md36xxi.txt.
    fn sample() -> Vec<u8> {
        let mut data = vec![0, 0, 5, 0x32, 69, 0x08, 0x50, 0x32];
        data.extend(b"DELL    MD36xxi         0784");
        data.resize(74, 0);
        data
    }

    #[test]
    fn the_sample_is_a_disk_without_tpgs() {
        let inquiry = Inquiry::parse(&sample()).unwrap();
        assert_eq!((inquiry.qualifier, inquiry.device_type), (0, 0));
        assert_eq!(version_name(inquiry.version), "SPC-3");
        assert_eq!(inquiry.vendor.as_deref(), Some("DELL"));
        assert_eq!(inquiry.product.as_deref(), Some("MD36xxi"));
        assert_eq!(inquiry.revision.as_deref(), Some("0784"));
        assert_eq!((inquiry.whole_bytes, inquiry.truncated), (74, false));
    }

    /// "TPGS 0 means no ALUA", some say: this very array ships I/O.
    #[test]
    fn no_tpgs_does_not_mean_symmetric() {
        let tpgs = Inquiry::parse(&sample()).unwrap().tpgs;
        assert_eq!(tpgs, Tpgs::NoneOrVendorSpecific);
        assert!(tpgs.to_string().contains("asymmetric"), "{tpgs}");
        let mut data = sample();
        for code in 0..4 {
            data[5] = code << 4 | 0xcf;
            let tpgs = Inquiry::parse(&data).unwrap().tpgs;
            assert_eq!(tpgs.code(), code);
            assert_eq!(tpgs.to_string().contains("implicit"), code & 1 != 0);
            assert_eq!(tpgs.to_string().contains("explicit"), code & 2 != 0);
        }
    }

    #[test]
    fn prefixes_give_the_strings_that_are_whole() {
        let data = sample();
        for end in 0..data.len() {
            let inquiry = Inquiry::parse(&data[..end]);
            assert_eq!(inquiry.is_ok(), end >= 8);
            let Ok(inquiry) = inquiry else { continue };
            assert!(inquiry.truncated);
            assert_eq!(inquiry.vendor.is_some(), end >= 16);
            assert_eq!(inquiry.product.is_some(), end >= 32);
            assert_eq!(inquiry.revision.is_some(), end >= 36);
        }
        let mut short = data;
        short[4] = 11;
        assert_eq!(Inquiry::parse(&short).unwrap().product, None);
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut noise = Noise::new();
        for round in 0..5_000 {
            if let Ok(inquiry) = Inquiry::parse(&noise.bytes(&[], round % 90)) {
                let _ = qualifier_text(inquiry.qualifier);
                assert!(!device_type_name(inquiry.device_type).is_empty());
            }
        }
    }
}
