//! Which fields take the fewest bits, by a sample of rows.

use std::ops::BitOr;

use super::{COLUMNS, Field, Row};

/// What a long number takes in the file, in bits, beside what it has above.
const LONG_IN_FILE: usize = 16;
/// What avoiding it is worth: that, and the time to write it apart, which is taken from the load.
const LONG_BITS: usize = LONG_IN_FILE + 80;
/// Rows with more bits than this would make a large file: there, less of that time is saved.
pub(super) const MANY_BITS: usize = 58;
const LONG_BITS_OF_MANY: usize = LONG_IN_FILE + 5;
/// Columns whose numbers begin above zero: times, and addresses one after the other.
pub(super) const WITH_BASE: [usize; 3] = [1, 2, 3];

/// Fields for rows like these. The first one begins with the lowest bit of its numbers. With `shifts`, low bits
/// that are zero in all of the sample are left out. And the bits that the sample takes with them.
pub(super) fn of(sample: &[Row], shifts: bool) -> ([Field; COLUMNS], usize) {
    let columns = std::array::from_fn(|nth| Column::of(sample, nth, shifts));
    let fields = with(&columns, LONG_BITS);
    let taken = bits(&fields, sample);
    if taken <= MANY_BITS * sample.len() {
        return (fields, taken);
    }
    let fields = with(&columns, LONG_BITS_OF_MANY);
    (fields, bits(&fields, sample))
}

/// Fields that avoid long numbers as if these took so many bits.
fn with(columns: &[Column; COLUMNS], long_bits: usize) -> [Field; COLUMNS] {
    let mut fields = [Field::default(); COLUMNS];
    let mut before = None;
    for (field, column) in fields.iter_mut().zip(columns) {
        let (length, base) = column.length_and_base(long_bits);
        let shift = column.zeros.min(length);
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

/// Bits that rows like these take with such fields, and what is left of long numbers in the file.
fn bits(fields: &[Field; COLUMNS], sample: &[Row]) -> usize {
    let width: u32 = fields.iter().map(|field| field.width).sum();
    let numbers = sample.iter().flat_map(|row| row.iter().zip(fields));
    let longer = numbers.map(|(number, field)| {
        let above = number.wrapping_sub(field.base) >> field.shift;
        match above.unbounded_shr(field.width) {
            0 => 0,
            above => LONG_IN_FILE + bit_length(above),
        }
    });
    width as usize * sample.len() + longer.sum::<usize>()
}

/// How many numbers have so many bits.
type Lengths = [usize; u64::BITS as usize + 1];

/// What is to know of a column.
struct Column {
    /// Low bits that are left out.
    zeros: u32,
    lengths: Lengths,
    /// A base, and how long numbers are above it.
    above: Option<(u64, Lengths)>,
}

impl Column {
    fn of(sample: &[Row], nth: usize, shifts: bool) -> Self {
        let numbers = sample.iter().map(|row| row[nth]);
        let zeros = match shifts && nth > 0 {
            true => numbers.clone().fold(0, BitOr::bitor).trailing_zeros(),
            false => 0,
        };
        let above = WITH_BASE.contains(&nth).then(|| {
            let base = base(numbers.clone(), zeros);
            (base, lengths(numbers.clone().map(|number| number - base)))
        });
        Self {
            zeros,
            lengths: lengths(numbers),
            above,
        }
    }

    fn length_and_base(&self, long_bits: usize) -> (u32, u64) {
        let without = (length(&self.lengths, long_bits), 0);
        // A base that saves nothing would make numbers long that are less.
        self.above.as_ref().map_or(without, |(base, lengths)| {
            without.min((length(lengths, long_bits), *base))
        })
    }
}

/// Numbers that are not in the sample may be less: to be below the base makes a number a long one.
fn base(sample: impl Iterator<Item = u64>, zeros: u32) -> u64 {
    let least = sample.min().unwrap_or(0);
    (least - least / 16) & u64::MAX.unbounded_shl(zeros)
}

fn lengths(sample: impl Iterator<Item = u64>) -> Lengths {
    let mut lengths = [0; _];
    for number in sample {
        lengths[bit_length(number)] += 1;
    }
    lengths
}

const fn bit_length(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()) as usize
}

/// How many bits of each number, from the lowest one, take the fewest in all.
fn length(lengths: &Lengths, long_bits: usize) -> u32 {
    let sampled: usize = lengths.iter().sum();
    let (mut fewest, mut best) = (usize::MAX, 0);
    let (mut longer, mut above_bits) = (0, 0);
    for (length, numbers) in lengths.iter().enumerate().rev() {
        let bits = length * sampled + above_bits;
        if bits <= fewest {
            (fewest, best) = (bits, length as u32);
        }
        longer += numbers;
        above_bits += numbers * long_bits + longer;
    }
    best
}
