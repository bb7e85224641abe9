//! Owns how the decoders look at bytes from a device: what can be wrong with them, and reads that
//! cannot run past their end. Knows no page.

/// What is wrong with what a device said, or with what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The data ends before what cannot be left out.
    #[error("{what}: needs {needed} bytes, there are only {found}")]
    TooShort {
        /// What was to be decoded.
        what: &'static str,
        /// Bytes without which it means nothing.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// A byte that names the format has another value: this is something else.
    #[error("{what}: byte {offset} is 0x{found:02x}, must be 0x{expected:02x}")]
    Other {
        /// What was to be decoded.
        what: &'static str,
        /// The byte, counted from 0.
        offset: usize,
        /// What it must be.
        expected: u8,
        /// What it is.
        found: u8,
    },
    /// A length in the data leads out of it.
    #[error("{what} at byte {offset}: {needed} bytes long, only {found} are left")]
    CutOff {
        /// What was to be decoded.
        what: &'static str,
        /// Where it begins, counted from 0.
        offset: usize,
        /// Its length by its own account, in bytes.
        needed: usize,
        /// Bytes that are left.
        found: usize,
    },
    /// A field has a value for which no format is known.
    #[error("{what}: byte {offset} is 0x{found:02x}: unknown format")]
    UnknownFormat {
        /// What was to be decoded.
        what: &'static str,
        /// The byte, counted from 0.
        offset: usize,
        /// Its value.
        found: u8,
    },
    /// No mode page of this code behind a mode parameter header of either form, nor without one.
    #[error("{what}: no mode page 0x{page:02x} in these {found} bytes")]
    NoModePage {
        /// What was to be decoded.
        what: &'static str,
        /// The page code, without PS and SPF.
        page: u8,
        /// Bytes that are there.
        found: usize,
    },
}

/// Fails if there are fewer than `needed` bytes.
pub(super) fn require(what: &'static str, data: &[u8], needed: usize) -> Result<(), DecodeError> {
    if data.len() < needed {
        let found = data.len();
        return Err(DecodeError::TooShort {
            what,
            needed,
            found,
        });
    }
    Ok(())
}

/// Fails if the bytes from `offset` on are not `expected`.
pub(super) fn expect_bytes(
    what: &'static str,
    data: &[u8],
    offset: usize,
    expected: &[u8],
) -> Result<(), DecodeError> {
    require(what, data, offset + expected.len())?;
    let found = data.get(offset..).unwrap_or_default();
    for (nth, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            return Err(DecodeError::Other {
                what,
                offset: offset + nth,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// The `N` bytes from `at` on, if they are all there.
pub(super) fn array<const N: usize>(data: &[u8], at: usize) -> Option<[u8; N]> {
    data.get(at..)?.first_chunk().copied()
}

/// The big-endian number in the two bytes from `at` on.
pub(super) fn be16(data: &[u8], at: usize) -> Option<u16> {
    array(data, at).map(u16::from_be_bytes)
}

/// The big-endian number in the four bytes from `at` on.
pub(super) fn be32(data: &[u8], at: usize) -> Option<u32> {
    array(data, at).map(u32::from_be_bytes)
}

/// The big-endian number in the eight bytes from `at` on.
pub(super) fn be64(data: &[u8], at: usize) -> Option<u64> {
    array(data, at).map(u64::from_be_bytes)
}

/// What is there of the `length` bytes from `at` on.
pub(super) fn up_to(data: &[u8], at: usize, length: usize) -> &[u8] {
    let rest = data.get(at..).unwrap_or_default();
    rest.get(..length).unwrap_or(rest)
}

/// The text in a fixed field: without the spaces and NULs that fill it. Still as the device wrote
/// it: not safe for a terminal.
pub fn text(field: &[u8]) -> String {
    let end = field.iter().rposition(|&byte| byte != b' ' && byte != 0);
    let field = end.map_or(&[][..], |end| up_to(field, 0, end + 1));
    String::from_utf8_lossy(field).trim_start().to_owned()
}

/// Bytes for tests: the same sequence in every run.
#[cfg(test)]
pub(crate) struct Noise(u64);

#[cfg(test)]
impl Noise {
    pub(crate) const fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.to_le_bytes()[0]
    }

    /// `length` bytes that begin with `start`; half of the rest are small numbers.
    pub(crate) fn bytes(&mut self, start: &[u8], length: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..length)
            .map(|nth| {
                if nth % 2 == 0 {
                    self.byte()
                } else {
                    self.byte() & 0x0f
                }
            })
            .collect();
        for (byte, start) in bytes.iter_mut().zip(start) {
            *byte = *start;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_end_where_the_data_ends() {
        let data = [1, 2, 3, 4];
        assert_eq!((be16(&data, 2), be16(&data, 3)), (Some(0x0304), None));
        assert_eq!((be32(&data, 0), be32(&data, 1)), (Some(0x0102_0304), None));
        assert_eq!(be16(&data, usize::MAX), None);
        assert_eq!(up_to(&data, 2, 9), [3, 4]);
        assert_eq!(up_to(&data, 9, 2), [0; 0]);
    }

    #[test]
    fn texts_lose_their_padding_only() {
        assert_eq!(text(b"DELL    "), "DELL");
        assert_eq!(text(b" a b\0\0"), "a b");
        assert_eq!(text(b" \0"), "");
        assert_eq!(text(b"a\x1b[2J\xff"), "a\u{1b}[2J\u{fffd}");
    }

    #[test]
    fn errors_name_the_byte() {
        assert_eq!(expect_bytes("page", b"\0vac1", 1, b"vac"), Ok(()));
        let error = expect_bytes("page", b"\0vbc1", 1, b"vac").unwrap_err();
        assert_eq!(error.to_string(), "page: byte 2 is 0x62, must be 0x61");
        let error = expect_bytes("page", b"\0va", 1, b"vac").unwrap_err();
        assert_eq!(error.to_string(), "page: needs 4 bytes, there are only 3");
    }
}
