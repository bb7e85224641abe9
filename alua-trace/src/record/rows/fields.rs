//! Which fields take the fewest bits, by a sample of rows.

use super::{COLUMNS, Field, Row};

/// What a long number is worth avoiding, in bits, beside what it has above: some 16 that it takes in the file, and
/// the time to write it apart, which is taken from the load.
const LONG_BITS: usize = 64;
/// Columns whose numbers begin above zero: times.
pub(super) const WITH_BASE: [usize; 2] = [1, 2];

/// Fields for rows like these. The first one begins with the lowest bit of its numbers. With `shifts`, low bits
/// that are zero in all of the sample are left out.
pub(super) fn of(sample: &[Row], shifts: bool) -> [Field; COLUMNS] {
    let bits = sample.iter().fold([0; COLUMNS], |bits: Row, row| {
        std::array::from_fn(|nth| bits[nth] | row[nth])
    });
    let mut fields = [Field::default(); COLUMNS];
    let mut before = None;
    for (nth, field) in fields.iter_mut().enumerate() {
        let numbers = sample.iter().map(|row| row[nth]);
        let zeros = match shifts && nth > 0 {
            true => bits[nth].trailing_zeros(),
            false => 0,
        };
        let base = match WITH_BASE.contains(&nth) {
            true => base(numbers.clone(), zeros),
            false => 0,
        };
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

/// Numbers that are not in the sample may be less: to be below the base makes a number a long one.
fn base(sample: impl Iterator<Item = u64>, zeros: u32) -> u64 {
    let least = sample.min().unwrap_or(0);
    (least - least / 32) & u64::MAX.unbounded_shl(zeros)
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
