//! Rows of numbers, packed: of each number as many bits as nearly all of its column need, one after the other;
//! and what the few others have above these.

mod fields;
mod packing;
mod reading;
#[cfg(test)]
mod tests;

pub use packing::RowPacker;
pub use reading::{Numbers, take_rows};

/// Numbers in a row.
pub const COLUMNS: usize = 5;
/// A number of each column.
pub type Row = [u64; COLUMNS];

/// First byte of packed rows, and what it was in version 2 of the format. Version 1 had columns, and there the
/// number of planes of the first one, at most eight.
const PACKED: u8 = 10;
const PACKED_2: u8 = 9;
const MOST_PLANES: u8 = 8;

/// Which bits of a column's numbers are packed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Field {
    /// What is taken off each number before.
    base: u64,
    /// Low bits that are zero in all of them.
    shift: u32,
    /// Bits above these.
    width: u32,
    /// Where these begin among the bits of a row that are packed in one.
    place: u32,
    /// Fields with the same number are packed in one: at most 64 bits.
    group: usize,
}

impl Field {
    /// One behind another, if there is room.
    fn behind(before: Option<Self>, base: u64, shift: u32, width: u32) -> Self {
        let (place, group) = before.map_or((0, 0), |it| (it.place + it.width, it.group));
        let fits = place + width <= u64::BITS;
        Self {
            base,
            shift,
            width,
            place: if fits { place } else { 0 },
            group: if fits { group } else { group + 1 },
        }
    }

    /// Bits of a number that are below it, which it must not have.
    fn below(self) -> u64 {
        !u64::MAX.unbounded_shl(self.shift)
    }

    /// Bits of a number that are above it.
    fn above(self) -> u64 {
        u64::MAX.unbounded_shl(self.shift + self.width)
    }
}

/// Something of each field of a group, 0 for the others.
fn of_group(fields: &[Field; COLUMNS], group: usize, of: impl Fn(Field) -> u64) -> Row {
    fields.map(|field| if field.group == group { of(field) } else { 0 })
}

fn group_width(fields: &[Field; COLUMNS], group: usize) -> u32 {
    let of_group = fields.iter().filter(|field| field.group == group);
    of_group.map(|field| field.width).sum()
}

const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}
