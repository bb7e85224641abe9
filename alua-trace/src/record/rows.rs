//! Rows of numbers, packed: of each number as many bits as nearly all of its column need, one after the other;
//! and what the few others have above these.

use super::{
    error::Malformed,
    pack::{Unpacker, put, take, take_number},
};

/// Numbers in a row.
pub const COLUMNS: usize = 5;
/// A number of each column.
pub type Row = [u64; COLUMNS];

/// First byte of packed rows. Version 1 of the format had columns, and there the number of planes of the first
/// one, at most eight.
const PACKED: u8 = 9;
const MOST_PLANES: u8 = 8;
/// What a long number is worth avoiding, in bits, beside what it has above: some 16 that it takes in the file, and
/// the time to write it apart, which is taken from the load.
const LONG_BITS: usize = 64;
/// So many rows tell how long numbers are: to look at each takes from the load.
const SAMPLE: usize = 128;

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

/// Packs rows, and keeps its memory.
#[derive(Default)]
pub struct RowPacker {
    longer: [Longer; COLUMNS],
}

/// Numbers of a column that are longer than others: where each is, and what it has above.
#[derive(Default)]
struct Longer {
    packed: Vec<u8>,
    count: u64,
    last: usize,
}

impl Longer {
    fn clear(&mut self) {
        self.packed.clear();
        (self.count, self.last) = (0, 0);
    }

    fn push(&mut self, at: usize, above: u64) {
        put(&mut self.packed, (at - self.last) as u64);
        put(&mut self.packed, above);
        self.count += 1;
        self.last = at;
    }
}

impl RowPacker {
    /// Appends rows to `out`. `bits` are all that a number of each column has.
    pub fn pack(&mut self, out: &mut Vec<u8>, rows: &[Row], bits: &Row) {
        let fields = fields(rows, bits);
        out.push(PACKED);
        for field in &fields {
            put(out, field.base);
            out.extend([field.shift as u8, field.width as u8]);
        }
        self.longer.iter_mut().for_each(Longer::clear);
        for group in 0..=fields[COLUMNS - 1].group {
            // The last column is what commands waited: mostly nothing.
            match bits[COLUMNS - 1] {
                0 => self.group::<{ COLUMNS - 1 }>(out, rows, &fields, group),
                _ => self.group::<COLUMNS>(out, rows, &fields, group),
            }
        }
        for longer in &self.longer {
            put(out, longer.count);
            out.extend_from_slice(&longer.packed);
        }
    }

    /// Appends the bits of a group's fields of each row, without gaps. Columns from `OF` on are zero.
    // Alone, the compiler keeps in registers what the loop needs.
    #[inline(never)]
    fn group<const OF: usize>(
        &mut self,
        out: &mut Vec<u8>,
        rows: &[Row],
        fields: &[Field; COLUMNS],
        group: usize,
    ) {
        let width = group_width(fields, group);
        let bases = of_group(fields, group, |field| field.base);
        let above = of_group(fields, group, Field::above);
        // A shift takes two instructions where this takes one. Nothing is shifted to the right: see `fields`.
        let factors = of_group(fields, group, |field| {
            1_u64.unbounded_shl(field.place - field.shift)
        });
        let bytes = packed_bytes(rows.len(), width);
        let end = out.len() + bytes;
        out.reserve(bytes.next_multiple_of(8));
        let (mut word, mut filled) = (0, 0);
        for (at, row) in rows.iter().enumerate() {
            let (mut packed, mut longer) = (0, 0);
            for nth in 0..OF {
                let number = row[nth].wrapping_sub(bases[nth]);
                longer |= number & above[nth];
                packed |= number.wrapping_mul(factors[nth]);
            }
            if longer != 0 {
                packed = self.long_row(at, row, fields, group);
            }
            word |= packed << filled;
            filled += width;
            if filled >= u64::BITS {
                filled -= u64::BITS;
                out.extend_from_slice(&word.to_le_bytes());
                word = packed.unbounded_shr(width - filled);
            }
        }
        out.extend_from_slice(&word.to_le_bytes());
        out.truncate(end);
    }

    #[cold]
    fn long_row(&mut self, at: usize, row: &Row, fields: &[Field; COLUMNS], group: usize) -> u64 {
        let mut packed = 0;
        for ((field, number), longer) in fields.iter().zip(row).zip(&mut self.longer) {
            if field.group != group {
                continue;
            }
            let number = number.wrapping_sub(field.base);
            if number & field.above() != 0 {
                longer.push(at, number >> (field.shift + field.width));
            }
            packed |= (number & !field.above()).unbounded_shl(field.place - field.shift);
        }
        packed
    }
}

/// The fields that take the fewest bits, about.
fn fields(rows: &[Row], bits: &Row) -> [Field; COLUMNS] {
    // An odd step: what alternates is seen as it is.
    let sample = rows.iter().step_by((rows.len() / SAMPLE) | 1);
    let mut fields = [Field::default(); COLUMNS];
    let mut before = None;
    for (nth, (field, bits)) in fields.iter_mut().zip(bits).enumerate() {
        let numbers = sample.clone().map(|row| row[nth]);
        let zeros = bits.trailing_zeros();
        let least = numbers.clone().min().unwrap_or(0);
        // Numbers that are not in the sample may be less: to be below the base makes a number a long one.
        let base = (least - least / 32) & u64::MAX.unbounded_shl(zeros);
        let length = length(numbers.map(|number| number - base));
        let shift = zeros.min(length);
        *field = Field::behind(before, base, shift, length - shift);
        // A field is never right of where its bits are in the number, or they would have to be shifted back.
        if field.place < shift {
            *field = Field::behind(before, base, field.place, length - field.place);
        }
        if field.place < field.shift {
            *field = Field::behind(before, base, 0, length);
        }
        before = Some(*field);
    }
    fields
}

/// How many bits of each number, from the lowest one, take the fewest in all.
fn length(sample: impl Iterator<Item = u64>) -> u32 {
    let mut by_length = [0; u64::BITS as usize + 1];
    for number in sample {
        by_length[(u64::BITS - number.leading_zeros()) as usize] += 1;
    }
    let sampled: usize = by_length.iter().sum();
    let (mut fewest, mut best) = (usize::MAX, 0);
    let (mut longer, mut above_bits) = (0, 0);
    for (length, numbers) in by_length.iter().enumerate().rev() {
        let bits = length * sampled + above_bits;
        if bits <= fewest {
            (fewest, best) = (bits, length as u32);
        }
        longer += numbers;
        above_bits += numbers * LONG_BITS + longer;
    }
    best
}

const fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
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
) -> Result<(), Malformed> {
    into.clear();
    into.resize(count, [0; COLUMNS]);
    match bytes.first() {
        Some(0..=MOST_PLANES) => take_columns(unpacker, bytes, plane, into),
        Some(&PACKED) => take_packed(bytes, into),
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

fn take_packed(bytes: &mut &[u8], into: &mut [Row]) -> Result<(), Malformed> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(rows: &[Row]) -> Vec<u8> {
        let mut bits = [0; COLUMNS];
        for row in rows {
            for (bits, number) in bits.iter_mut().zip(row) {
                *bits |= number;
            }
        }
        let mut out = Vec::new();
        RowPacker::default().pack(&mut out, rows, &bits);
        out
    }

    fn unpack(mut packed: &[u8], count: usize) -> Result<Vec<Row>, Malformed> {
        let (mut plane, mut into) = (Vec::new(), vec![[5; COLUMNS]]);
        let mut unpacker = Unpacker::new().unwrap();
        take_rows(&mut unpacker, &mut packed, &mut plane, count, &mut into)?;
        assert_eq!(packed.len(), 0);
        Ok(into)
    }

    /// Bytes of the rows packed, behind what each block has; they come back, and nothing of what is shorter.
    fn bytes(rows: &[Row]) -> usize {
        let packed = pack(rows);
        assert_eq!(unpack(&packed, rows.len()), Ok(rows.to_vec()));
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut], rows.len()).is_err());
        }
        packed.len() - 21
    }

    #[test]
    fn numbers_of_every_length_come_back_in_every_column() {
        assert_eq!(bytes(&[]), 0);
        assert_eq!(bytes(&[[0; COLUMNS]; 1000]), 0);
        for length in 1..=64_u32 {
            let largest = u64::MAX >> (64 - length);
            for column in 0..COLUMNS {
                let rows: Vec<Row> = (0..200)
                    .map(|it| {
                        let mut row = [it % 2; COLUMNS];
                        row[column] = it / 2 % 2 * largest;
                        row
                    })
                    .collect();
                let expected = (200 * (4 + length as usize)).div_ceil(8);
                let packed = bytes(&rows);
                assert!(packed <= expected + 1, "{length}: {packed}");
            }
            let all: Vec<Row> = (0..50).map(|it| [it % 2 * largest; COLUMNS]).collect();
            assert!(bytes(&all) <= (50 * 5 * length as usize).div_ceil(8) + 4);
        }
    }

    #[test]
    fn low_bits_that_are_always_zero_take_nothing() {
        let blocks = |first: u64| (0..1000).map(move |it| [it % (first + 1), 0, 0, it % 16 * 8, 0]);
        assert_eq!(
            bytes(&blocks(3).collect::<Vec<Row>>()),
            (1000 * (2 + 5)) / 8
        );
        assert_eq!(
            bytes(&blocks(7).collect::<Vec<Row>>()),
            (1000 * (3 + 4)) / 8
        );
    }

    #[test]
    fn what_all_numbers_have_takes_nothing() {
        let row = |it: u64| [0, 1 << 40 | ((it % 16) << 4), 0, 0, 1 << 63];
        let mut rows: Vec<Row> = (0..1000).map(row).collect();
        // 2^40 / 32 below are 35 bits above, for what is less than all that were looked at.
        assert!(bytes(&rows) <= (1000 * (36 + 59)) / 8 + 20);
        // Less than the base, and so a long number.
        rows[1][1] = 16;
        bytes(&rows);
    }

    #[test]
    fn a_few_long_numbers_do_not_make_all_longer() {
        let mut rows: Vec<Row> = (0..2000).map(|it| [0, it % 8, it % 2, 0, 0]).collect();
        (rows[3][1], rows[1999][1]) = (u64::MAX, 1 << 40);
        (rows[3][4], rows[1000][4]) = (1, 1 << 10);
        // 4 bits each; and of each long number its place, and what it has above: 61 and 38 bits, 1 and 11.
        let (second, last) = ((1 + 9) + (2 + 6), (1 + 1) + (2 + 2));
        assert_eq!(bytes(&rows), 1000 + second + last);
    }

    #[test]
    fn a_sample_that_saw_no_long_number_loses_none() {
        let mut rows = vec![[1, 2, 3, 4, 500]; 5000];
        rows[4] = [1 << 63; COLUMNS];
        rows[7] = [u64::MAX; COLUMNS];
        rows[8] = [0; COLUMNS];
        let packed = pack(&rows);
        assert_eq!(unpack(&packed, rows.len()), Ok(rows));
    }

    #[test]
    fn what_lies_is_refused() {
        let refused = |packed: &[u8]| unpack(packed, 2).unwrap_err().0;
        let with = |base, shift, width| {
            let others = [0; 9];
            [&[9, 0, 0, 0, base, shift, width][..], &others].concat()
        };
        assert_eq!(refused(&[10]), "commands are packed in an unknown way");
        for (shift, width) in [(64, 0), (1, 64), (255, 255)] {
            assert_eq!(
                refused(&with(0, shift, width)),
                "a number has more than 64 bits"
            );
        }
        let of = |shift, longer: &[u8]| {
            let bits = [0x21];
            [&with(5, shift, 4)[..], &bits, &[0], longer, &[0, 0, 0]].concat()
        };
        let rows = |one, other| Ok(vec![[0, one, 0, 0, 0], [0, other, 0, 0, 0]]);
        assert_eq!(unpack(&of(1, &[0]), 2), rows(5 + 2, 5 + 4));
        assert_eq!(unpack(&of(1, &[1, 1, 1]), 2), rows(5 + 2, 5 + 36));
        let why = "there are more rows than there should be";
        assert_eq!(refused(&of(0, &[1, 2, 1])), why);
        let why = "a number has more than 64 bits";
        assert_eq!(refused(&of(60, &[1, 0, 1])), why);
        assert_eq!(refused(&of(0, &[1, 0, 0])), why);
    }
}
