//! Owns the two ways in which the kernel names a path: its SCSI address and its device number.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not of the form {0}")]
pub struct ParseIdError(&'static str);

/// The address of a SCSI device on this host. Stays the same while the device is there; sdX does
/// not tell as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hctl {
    /// `Scsi_Host.host_no`.
    pub host: u32,
    /// `scsi_device.channel`.
    pub channel: u32,
    /// `scsi_device.id`.
    pub target: u32,
    /// `scsi_device.lun`: 64 bits, since LUNs may be hierarchical.
    pub lun: u64,
}

impl fmt::Display for Hctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            channel,
            target,
            lun,
        } = self;
        f.pad(&format!("{host}:{channel}:{target}:{lun}"))
    }
}

impl FromStr for Hctl {
    type Err = ParseIdError;

    /// `host:channel:target:lun`, the kernel's `dev_name` of a SCSI device
    /// (drivers/scsi/scsi_sysfs.c `scsi_sysfs_device_initialize`: `%d:%d:%d:%llu`).
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        const ERROR: ParseIdError = ParseIdError("host:channel:target:lun");
        let mut parts = text.split(':');
        let hctl = Self {
            host: number(parts.next()).ok_or(ERROR)?,
            channel: number(parts.next()).ok_or(ERROR)?,
            target: number(parts.next()).ok_or(ERROR)?,
            lun: number(parts.next()).ok_or(ERROR)?,
        };
        if parts.next().is_some() {
            Err(ERROR)
        } else {
            Ok(hctl)
        }
    }
}

/// The number of a block device. sdX and numbers may be given to another device when the first
/// is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct DevNo {
    /// The driver's number.
    pub major: u32,
    /// The device's number below it.
    pub minor: u32,
}

impl DevNo {
    /// From the kernel's own `dev_t`: 12 bits of major above 20 bits of minor
    /// (include/linux/kdev_t.h `MAJOR`, `MINOR`). This is what kernel memory and tracepoints hold.
    pub const fn from_kernel(dev: u32) -> Self {
        Self {
            major: dev >> 20,
            minor: dev & 0xf_ffff,
        }
    }

    /// From the number that crosses to user space (include/linux/kdev_t.h `huge_decode_dev`).
    pub const fn from_user(dev: u64) -> Self {
        let [b0, b1, b2, b3, ..] = dev.to_le_bytes();
        let dev = u32::from_le_bytes([b0, b1, b2, b3]);
        Self {
            major: (dev & 0xf_ff00) >> 8,
            minor: (dev & 0xff) | ((dev >> 12) & 0xf_ff00),
        }
    }

    /// The inverse of [`Self::from_user`], for numbers that the kernel can have.
    pub const fn to_user(self) -> u64 {
        let dev = (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12);
        dev as u64
    }
}

impl fmt::Display for DevNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}:{}", self.major, self.minor))
    }
}

impl FromStr for DevNo {
    type Err = ParseIdError;

    /// `major:minor`, as in sysfs `dev` and in dm tables.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        const ERROR: ParseIdError = ParseIdError("major:minor");
        let (major, minor) = text.split_once(':').ok_or(ERROR)?;
        Ok(Self {
            major: number(Some(major)).ok_or(ERROR)?,
            minor: number(Some(minor)).ok_or(ERROR)?,
        })
    }
}

macro_rules! as_text {
    ($id:ty) => {
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.to_string()
            }
        }

        impl TryFrom<String> for $id {
            type Error = ParseIdError;

            fn try_from(text: String) -> Result<Self, ParseIdError> {
                text.parse()
            }
        }
    };
}

as_text!(Hctl);
as_text!(DevNo);

/// Digits only: `parse` alone would take a sign, too.
fn number<T: FromStr>(text: Option<&str>) -> Option<T> {
    text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in [
            "0:0:0:0",
            "12:0:3:18446744073709551615",
            "4294967295:1:2:49409",
        ] {
            assert_eq!(text.parse::<Hctl>().unwrap().to_string(), text);
        }
        for text in ["8:0", "254:1048575"] {
            assert_eq!(text.parse::<DevNo>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "host0",
            "1:2:3",
            "1:2:3:4:5",
            "+1:0:0:0",
            "1:0:0:-1",
            "1:0:0: 1",
            "1:::",
        ] {
            assert!(text.parse::<Hctl>().is_err(), "{text}");
        }
        for text in [
            "",
            "8",
            "8:",
            ":0",
            "8:0:1",
            "/dev/sda",
            "8:+1",
            "8:4294967296",
        ] {
            assert!(text.parse::<DevNo>().is_err(), "{text}");
        }
    }

    #[test]
    fn addresses_sort_by_number() {
        let [two, ten] = ["2:0:0:9", "10:0:0:0"].map(|text| text.parse::<Hctl>().unwrap());
        assert!(two < ten);
    }

    #[test]
    fn both_encodings_of_device_numbers_are_read() {
        let devno = DevNo {
            major: 254,
            minor: 0x12345,
        };
        assert_eq!(DevNo::from_user(devno.to_user()), devno);
        assert_eq!(DevNo::from_kernel(254 << 20 | 0x12345), devno);
        assert_eq!(
            DevNo::from_user(0x0810),
            DevNo {
                major: 8,
                minor: 16
            }
        );
    }
}
