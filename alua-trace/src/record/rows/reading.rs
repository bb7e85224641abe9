//! Packed rows, read again.

use super::{
    COLUMNS, Field, MOST_PLANES, PACKED, PACKED_2, Row, group_width, of_group, packed_bytes,
};
use crate::record::{
    error::Malformed,
    pack::{Unpacker, take, take_number},
};

/// What the numbers of rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As they are written now.
    Now,
    /// As versions 1 and 2 of the format had them.
    Before3,
}

/// Takes `count` rows off `bytes` into `into`, which they replace. `plane` is memory to use.
///
/// # Errors
/// They are cut, or not packed like that.
pub fn take_rows(
    unpacker: &mut Unpacker,
    bytes: &mut &[u8],
    plane: &mut Vec<u8>,
    count: usize,
    into: &mut Vec<Row>,
) -> Result<Numbers, Malformed> {
    into.clear();
    into.resize(count, [0; COLUMNS]);
    match bytes.first() {
        Some(0..=MOST_PLANES) => {
            take_columns(unpacker, bytes, plane, into).map(|()| Numbers::Before3)
        }
        Some(&PACKED_2) => take_packed(bytes, into).map(|()| Numbers::Before3),
        Some(&PACKED) => take_packed(bytes, into).map(|()| Numbers::Now),
        Some(_) => Err(Malformed("commands are packed in an unknown way")),
        None => Err(Malformed("a payload ends too early")),
    }
}

/// As version 1 of the format had them: for each column the number of its planes; then, from the low bytes on,
/// a section for each byte of the numbers.
fn take_columns(
    unpacker: &mut Unpacker,
    bytes: &mut &[u8],
    plane: &mut Vec<u8>,
    into: &mut [Row],
) -> Result<(), Malformed> {
    for column in 0..COLUMNS {
        let planes = take(bytes, 1)?[0];
        if planes > MOST_PLANES {
            return Err(Malformed("a number has more than 64 bits"));
        }
        for nth in 0..planes {
            unpacker.section(bytes, plane, into.len())?;
            if plane.len() != into.len() {
                return Err(Malformed("a plane has another length than its column"));
            }
            for (row, byte) in into.iter_mut().zip(&*plane) {
                row[column] |= u64::from(*byte) << (8 * nth);
            }
        }
    }
    Ok(())
}

pub(super) fn take_packed(bytes: &mut &[u8], into: &mut [Row]) -> Result<(), Malformed> {
    take(bytes, 1)?;
    let mut fields = [Field::default(); COLUMNS];
    let mut before = None;
    for field in &mut fields {
        let base = take_number(bytes)?;
        let &[shift, width] = take(bytes, 2)? else {
            return Err(Malformed("a payload ends too early"));
        };
        let (shift, width) = (u32::from(shift), u32::from(width));
        if shift >= u64::BITS || shift + width > u64::BITS {
            return Err(Malformed("a number has more than 64 bits"));
        }
        *field = Field::behind(before, base, shift, width);
        before = Some(*field);
    }
    for group in 0..=fields[COLUMNS - 1].group {
        take_group(bytes, &fields, group, into)?;
    }
    for (column, field) in fields.iter().enumerate() {
        take_longer(bytes, column, *field, into)?;
    }
    Ok(())
}

fn take_group(
    bytes: &mut &[u8],
    fields: &[Field; COLUMNS],
    group: usize,
    into: &mut [Row],
) -> Result<(), Malformed> {
    let width = group_width(fields, group);
    let packed = take(bytes, packed_bytes(into.len(), width))?;
    let masks = of_group(fields, group, |field| {
        u64::MAX.unbounded_shr(u64::BITS - field.width)
    });
    let (words, rest) = packed.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let mut words = words.iter().chain([&last]);
    let (mut bits, mut filled) = (0_u128, 0);
    for row in into {
        if filled < width {
            let word = words.next().map_or(0, |word| u64::from_le_bytes(*word));
            bits |= u128::from(word) << filled;
            filled += u64::BITS;
        }
        for nth in 0..COLUMNS {
            let Field { shift, place, .. } = fields[nth];
            row[nth] |= ((bits as u64).unbounded_shr(place) & masks[nth]) << shift;
        }
        bits >>= width;
        filled -= width;
    }
    Ok(())
}

fn take_longer(
    bytes: &mut &[u8],
    column: usize,
    field: Field,
    into: &mut [Row],
) -> Result<(), Malformed> {
    let mut at = 0_u64;
    for _ in 0..take_number(bytes)? {
        at = at.saturating_add(take_number(bytes)?);
        let above = take_number(bytes)?;
        let row = usize::try_from(at).ok().and_then(|at| into.get_mut(at));
        let row = row.ok_or(Malformed("there are more rows than there should be"))?;
        if above == 0 || above.leading_zeros() < field.shift + field.width {
            return Err(Malformed("a number has more than 64 bits"));
        }
        row[column] |= above << (field.shift + field.width);
    }
    if field.base > 0 {
        for row in into {
            row[column] = row[column].wrapping_add(field.base);
        }
    }
    Ok(())
}
