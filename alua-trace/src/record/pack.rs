//! How numbers and bytes are packed within a frame: variable-length integers, sections that are compressed
//! where that helps, and columns of numbers as planes of bytes.

use zstd::{
    bulk::Compressor,
    zstd_safe::{CParameter, ParamSwitch},
};

use super::error::Malformed;

/// zstd's fastest level that still codes bytes by their frequency.
const LEVEL: i32 = 1;
/// How far apart zstd looks for repetitions in a plane, in bytes: there are hardly any in numbers, and to look
/// for them is half of the work. What repeats over and over is found all the same.
const STEP: u32 = 256;
/// What does not become smaller by one part in so many is stored: to pack it takes from the load.
const LEAST_PART: usize = 8;
/// A section of fewer bytes is stored as it is.
const FEW_BYTES: usize = 32;
/// Most bytes of a section when it is unpacked.
pub const MOST_UNPACKED: usize = 64 << 20;

/// Packs and keeps zstd's tables between sections.
pub struct Packer {
    zstd: Compressor<'static>,
    zstd_of_planes: Compressor<'static>,
    scratch: Vec<u8>,
    plane: Vec<u8>,
    /// For how many blocks more each plane of each column is stored as it is.
    hopeless: [[u8; 8]; COLUMNS],
}

/// A number's bytes, the least significant one first: a plane is one of them of each.
pub type LittleEndian = [u8; 8];
/// Columns of a block.
pub const COLUMNS: usize = 5;
/// A plane that did not become smaller is tried again after so many blocks: low bytes of times never do.
const TRIED_AGAIN: u8 = 32;
/// Of fewer numbers none tells what others will be like.
const TELLING: usize = 4096;

impl Packer {
    /// # Errors
    /// No memory.
    pub fn new() -> std::io::Result<Self> {
        let mut of_planes = Compressor::new(LEVEL)?;
        of_planes.set_parameter(CParameter::TargetLength(STEP))?;
        // With a step zstd would leave bytes as they are.
        of_planes.set_parameter(CParameter::LiteralCompressionMode(ParamSwitch::Enable))?;
        Ok(Self {
            zstd: Compressor::new(LEVEL)?,
            zstd_of_planes: of_planes,
            scratch: Vec::new(),
            plane: Vec::new(),
            hopeless: [[0; 8]; COLUMNS],
        })
    }

    /// Appends a section: how it is packed (0 one byte over and over, 1 as it is, 2 zstd), its length,
    /// and what it takes here.
    pub fn section(&mut self, out: &mut Vec<u8>, bytes: &[u8]) {
        Self::pack(&mut self.zstd, &mut self.scratch, out, bytes);
    }

    /// Whether it has become smaller.
    fn pack(
        zstd: &mut Compressor<'_>,
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
        bytes: &[u8],
    ) -> bool {
        match bytes.first() {
            Some(first) if bytes.iter().all(|byte| byte == first) => {
                out.push(0);
                put(out, bytes.len() as u64);
                out.push(*first);
            }
            Some(_) if bytes.len() >= FEW_BYTES && compress(zstd, scratch, bytes) => {
                out.push(2);
                put(out, bytes.len() as u64);
                put(out, scratch.len() as u64);
                out.extend_from_slice(scratch);
            }
            _ => {
                store(out, bytes);
                return false;
            }
        }
        true
    }

    /// Appends the `nth` column of a block's rows: the number of planes, then each plane as a section, low
    /// bytes first. `bits` are all that a number has.
    pub fn column(
        &mut self,
        nth: usize,
        out: &mut Vec<u8>,
        rows: &[[LittleEndian; COLUMNS]],
        bits: u64,
    ) {
        let nth = nth % COLUMNS;
        let planes = 8 - bits.leading_zeros() as usize / 8;
        out.push(planes as u8);
        for (byte, hopeless) in self.hopeless[nth].iter_mut().enumerate().take(planes) {
            self.plane.resize(rows.len(), 0);
            for (to, row) in self.plane.iter_mut().zip(rows) {
                *to = row[nth][byte];
            }
            if *hopeless > 0 && rows.len() >= TELLING {
                *hopeless -= 1;
                store(out, &self.plane);
            } else if !Self::pack(
                &mut self.zstd_of_planes,
                &mut self.scratch,
                out,
                &self.plane,
            ) && rows.len() >= TELLING
            {
                *hopeless = TRIED_AGAIN;
            }
        }
    }
}

/// Appends a section as it is.
fn store(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(1);
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Compresses into `scratch`; whether that is worth the reader's time.
fn compress(zstd: &mut Compressor<'_>, scratch: &mut Vec<u8>, bytes: &[u8]) -> bool {
    scratch.clear();
    // What does not become smaller finds no room, and is stored.
    scratch.reserve(bytes.len());
    zstd.compress_to_buffer(bytes, scratch)
        .is_ok_and(|packed| packed + bytes.len() / LEAST_PART < bytes.len())
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

    /// Takes a column of `count` numbers off `bytes` into `into`, which it replaces.
    ///
    /// # Errors
    /// As [`Self::section`].
    pub fn column(
        &mut self,
        bytes: &mut &[u8],
        plane: &mut Vec<u8>,
        count: usize,
        into: &mut Vec<u64>,
    ) -> Result<(), Malformed> {
        let planes = take(bytes, 1)?[0];
        if planes > 8 {
            return Err(Malformed("a number has more than eight bytes"));
        }
        into.clear();
        into.resize(count, 0);
        for nth in 0..planes {
            self.section(bytes, plane, count)?;
            if plane.len() != count {
                return Err(Malformed("a plane has another length than its column"));
            }
            if plane.iter().any(|byte| *byte != 0) {
                for (number, byte) in into.iter_mut().zip(&*plane) {
                    *number |= u64::from(*byte) << (8 * nth);
                }
            }
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

    fn bits(numbers: &[u64]) -> u64 {
        numbers.iter().fold(0, |bits, number| bits | number)
    }

    #[test]
    fn columns_take_as_many_planes_as_their_largest_number() {
        for numbers in [vec![], vec![0, 0], vec![1, 0x1_0000, 3], vec![u64::MAX, 0]] {
            let (mut packed, mut plane) = (Vec::new(), Vec::new());
            let mut packer = Packer::new().unwrap();
            let rows = numbers.iter().map(|it: &u64| [it.to_le_bytes(); COLUMNS]);
            packer.column(0, &mut packed, &rows.collect::<Vec<_>>(), bits(&numbers));
            let mut unpacked = vec![5];
            let mut left = &packed[..];
            Unpacker::new()
                .unwrap()
                .column(&mut left, &mut plane, numbers.len(), &mut unpacked)
                .unwrap();
            assert_eq!((unpacked, left.len()), (numbers, 0));
        }
    }

    #[test]
    fn a_few_numbers_do_not_tell_what_others_are_like() {
        let mut packer = Packer::new().unwrap();
        let mut packed = |count: u64| {
            let mut out = Vec::new();
            let rows = (0..count).map(|it| [(it % 7).to_le_bytes(); COLUMNS]);
            packer.column(0, &mut out, &rows.collect::<Vec<_>>(), 7);
            out.len()
        };
        assert_eq!(packed(10), 13);
        assert!(packed(5000) < 2500);
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
