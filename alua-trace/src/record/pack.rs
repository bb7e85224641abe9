//! How numbers and bytes are packed within a frame: variable-length integers, and sections that are compressed
//! where that helps.

use zstd::bulk::Compressor;

use super::error::Malformed;

/// zstd's fastest level that still codes bytes by their frequency.
const LEVEL: i32 = 1;
/// What does not become smaller by one part in so many is stored: to pack it takes from the load.
const LEAST_PART: usize = 8;
/// A section of fewer bytes is stored as it is: before zstd packs anything it empties its tables, which takes from
/// the load that is measured.
const FEW_BYTES: usize = 512;
/// Most bytes of a section when it is unpacked.
pub const MOST_UNPACKED: usize = 64 << 20;

/// Packs and keeps zstd's tables between sections.
pub struct Packer {
    zstd: Compressor<'static>,
    scratch: Vec<u8>,
}

impl Packer {
    /// # Errors
    /// No memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            zstd: Compressor::new(LEVEL)?,
            scratch: Vec::new(),
        })
    }

    /// Appends a section: how it is packed (0 one byte over and over, 1 as it is, 2 zstd), its length,
    /// and what it takes here.
    pub fn section(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        match bytes.first() {
            Some(first) if bytes.iter().all(|byte| byte == first) => {
                out.push(0);
                put(out, bytes.len() as u64);
                out.push(*first);
            }
            Some(_) if bytes.len() >= FEW_BYTES && self.compress(bytes) => {
                out.push(2);
                put(out, bytes.len() as u64);
                put(out, self.scratch.len() as u64);
                out.extend_from_slice(&self.scratch);
            }
            _ => {
                out.push(1);
                put(out, bytes.len() as u64);
                out.extend_from_slice(bytes);
            }
        }
    }

    /// Compresses into `scratch`; whether that is worth the reader's time.
    fn compress(&mut self, bytes: &[u8]) -> bool {
        self.scratch.clear();
        // What does not become smaller finds no room, and is stored.
        self.scratch.reserve(bytes.len());
        let packed = self.zstd.compress_to_buffer(bytes, &mut self.scratch);
        packed.is_ok_and(|packed| packed + bytes.len() / LEAST_PART < bytes.len())
    }
}

/// Unpacks and keeps zstd's tables between sections.
pub struct Unpacker {
    zstd: zstd::bulk::Decompressor<'static>,
}

impl Unpacker {
    /// # Errors
    /// No memory.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Decompressor::new()?,
        })
    }

    /// Takes a section off `bytes` into `into`, which it replaces.
    ///
    /// # Errors
    /// It is cut, longer than `most` bytes, or packed in a way that is not known.
    pub fn section(
        &mut self,
        bytes: &mut &[u8],
        into: &mut Vec<u8>,
        most: usize,
    ) -> Result<(), Malformed> {
        let how = take(bytes, 1)?[0];
        let length = take_length(bytes, most)?;
        into.clear();
        match how {
            0 => into.resize(length, take(bytes, 1)?[0]),
            1 => into.extend_from_slice(take(bytes, length)?),
            2 => {
                let packed = take_length(bytes, bytes.len())?;
                let packed = take(bytes, packed)?;
                into.reserve(length);
                // zstd's own buffer ends at its capacity, which may be more than was asked for.
                let unpacked = self.zstd.decompress_to_buffer(packed, into);
                if unpacked.ok() != Some(length) {
                    return Err(Malformed("a section does not unpack to its length"));
                }
            }
            _ => return Err(Malformed("a section is packed in an unknown way")),
        }
        Ok(())
    }
}

/// Appends an unsigned number: seven bits a byte, low ones first, the top bit set on all but the last.
pub fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Appends a signed number, made unsigned by [`fold`].
pub fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, fold(number));
}

/// Appends bytes behind their number.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// 0, −1, 1, −2, … as 0, 1, 2, 3, …: small ones stay small.
#[inline]
pub const fn fold(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

/// The inverse of [`fold`].
#[inline]
pub const fn unfold(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

/// Takes so many bytes off.
///
/// # Errors
/// There are fewer.
pub fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = bytes
        .split_at_checked(count)
        .ok_or(Malformed("a payload ends too early"))?;
    *bytes = rest;
    Ok(taken)
}

/// Takes what [`put`] appended off.
///
/// # Errors
/// It is cut, or has more than 64 bits.
pub fn take_number(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if (bits << shift) >> shift != bits {
            break;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(Malformed("a number has more than 64 bits"))
}

/// Takes what [`put_signed`] appended off.
///
/// # Errors
/// As [`take_number`].
pub fn take_signed(bytes: &mut &[u8]) -> Result<i64, Malformed> {
    take_number(bytes).map(unfold)
}

/// Takes what [`put_bytes`] appended off.
///
/// # Errors
/// As [`take_number`], or the bytes are cut.
pub fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Malformed> {
    let length = take_length(bytes, bytes.len())?;
    take(bytes, length)
}

/// Takes a number that may be at most `most`.
fn take_length(bytes: &mut &[u8], most: usize) -> Result<usize, Malformed> {
    usize::try_from(take_number(bytes)?)
        .ok()
        .filter(|length| *length <= most)
        .ok_or(Malformed("a length is more than there can be"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back(bytes: &[u8]) -> usize {
        let mut packed = Vec::new();
        Packer::new().unwrap().section(&mut packed, bytes);
        let (mut left, mut unpacked) = (&packed[..], vec![7]);
        let mut unpacker = Unpacker::new().unwrap();
        unpacker
            .section(&mut left, &mut unpacked, bytes.len())
            .unwrap();
        assert_eq!((unpacked.as_slice(), left.len()), (bytes, 0));
        if let Some(less) = bytes.len().checked_sub(1) {
            let error = unpacker.section(&mut &packed[..], &mut unpacked, less);
            assert_eq!(error, Err(Malformed("a length is more than there can be")));
        }
        for cut in 0..packed.len() {
            assert!(
                unpacker
                    .section(&mut &packed[..cut], &mut unpacked, MOST_UNPACKED)
                    .is_err()
            );
        }
        packed.len()
    }

    #[test]
    fn sections_are_packed_where_that_helps() {
        assert_eq!(there_and_back(&[]), 2);
        assert_eq!(there_and_back(&[9; 100_000]), 5);
        let pattern: Vec<u8> = (0..4000u32).map(|it| (it % 7) as u8).collect();
        assert!(there_and_back(&pattern) < 200);
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let noise: Vec<u8> = (0..4000)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                random as u8
            })
            .collect();
        assert_eq!(there_and_back(&noise), 4003);
    }

    #[test]
    fn numbers_come_back_and_too_long_ones_are_refused() {
        for number in [0, 1, 0x7f, 0x80, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, number);
            assert_eq!(take_number(&mut &bytes[..]), Ok(number));
        }
        for number in [0, -1, 1, i64::MIN, i64::MAX] {
            assert_eq!(unfold(fold(number)), number);
        }
        assert_eq!(fold(-1), 1);
        assert!(take_number(&mut &[0xff; 10][..]).is_err());
        assert!(take_number(&mut &[0x80; 9][..]).is_err());
    }
}
