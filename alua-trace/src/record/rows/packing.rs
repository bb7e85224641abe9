//! Rows, packed as they come: with fields that the rows before suggest, so that none is kept and looked at again.

use super::{
    COLUMNS, Field, PACKED, Row, fields, group_width, of_group, packed_bytes, reading::take_packed,
};
use crate::record::pack::put;

/// So many rows tell how long numbers are.
const SAMPLE: usize = 64;
/// One of so many rows is looked at for that, at first and later; odd numbers: what alternates is seen as it is.
const SAMPLED_OF: [usize; 3] = [1, 13, 127];
/// Blocks without a shift after one that had to do without: what is odd once is so again, mostly.
const WITHOUT_SHIFTS: u32 = 8;
/// As many rows with long numbers, and a sixth of all: they have become others. Rows that have not, but are so,
/// should not be packed again and again: each time it takes so many times as many.
const MANY_LONG: usize = 64;
const MANY_MORE: usize = 4;
/// Large rows that were packed with fields which take so much more than their own sample suggests are packed again.
const WORTH_PACKING_AGAIN: usize = 32;
/// What rows may be like before anything is known of them.
const AT_FIRST: [Row; 2] = [
    [0; COLUMNS],
    [0xff, 0xff_ffff, 0xff_ffff, 0xff_ffff_ffff, 0],
];

/// Packs the rows of a block, and keeps its memory.
pub struct RowPacker {
    fields: [Field; COLUMNS],
    /// Of each field, its base and the bits that a number less that base must not have.
    bases: Row,
    longer_bits: Row,
    groups: Vec<Group>,
    rows: usize,
    longer: [Longer; COLUMNS],
    long: usize,
    many_long: usize,
    without_shifts: u32,
    sample: Vec<Row>,
    /// The row that is looked at next.
    sampled_next: usize,
    sampled_of: usize,
    /// Bits that [`SAMPLE`] of these rows would take with fields that were made for them.
    could_take: Option<usize>,
}

/// Fields that are packed in a word at most, and the words that are whole.
#[derive(Default)]
struct Group {
    stream: Stream,
    /// With room for more behind `next`.
    words: Vec<u64>,
    next: usize,
}

impl Group {
    /// Starts again with group number `nth` of the fields.
    fn begin(&mut self, fields: &[Field; COLUMNS], nth: usize) {
        self.stream = Stream {
            factors: of_group(fields, nth, |field| {
                1_u64.unbounded_shl(field.place - field.shift)
            }),
            width: group_width(fields, nth),
            ..Stream::default()
        };
        self.next = 0;
    }

    /// Room for words of so many rows.
    fn make_room(&mut self, rows: usize) {
        if self.words.len() < self.next + rows {
            self.words.resize(self.next + rows, 0);
        }
    }

    /// Adds a row's numbers; there is room for a word of each.
    #[inline(always)]
    fn push(&mut self, numbers: &Row) {
        if let Some(word) = self.stream.push(numbers) {
            self.words[self.next] = word;
            self.next += 1;
        }
    }

    fn write(&self, out: &mut Vec<u8>, rows: usize) {
        let (begin, words) = (out.len(), &self.words[..self.next]);
        out.resize(begin + 8 * words.len(), 0);
        let (bytes, _) = out[begin..].as_chunks_mut();
        for (bytes, word) in bytes.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        out.extend_from_slice(&self.stream.word.to_le_bytes());
        out.truncate(begin + packed_bytes(rows, self.stream.width));
    }
}

/// How numbers become bits, and the last ones, which are no whole word yet.
#[derive(Clone, Copy, Default)]
struct Stream {
    /// A shift takes two instructions where this takes one. Nothing is shifted to the right: see `fields`.
    factors: Row,
    width: u32,
    word: u64,
    filled: u32,
}

impl Stream {
    /// Adds numbers that are as short as their fields; gives a word where one is whole.
    #[inline(always)]
    fn push(&mut self, numbers: &Row) -> Option<u64> {
        let terms = numbers.iter().zip(&self.factors);
        let packed = terms.fold(0, |bits, (number, factor)| {
            bits | number.wrapping_mul(*factor)
        });
        let word = self.word | packed << self.filled;
        self.filled += self.width;
        if self.filled < u64::BITS {
            self.word = word;
            return None;
        }
        self.filled -= u64::BITS;
        // All of its bits where none is left: in two steps, as a shift is by less than 64.
        self.word = packed >> 1 >> (self.width - self.filled - 1);
        Some(word)
    }
}

/// What adds many rows at once, if their numbers are as short as their fields: the processor's registers have
/// what that needs. Rows have so many groups.
pub struct Lane<const GROUPS: usize> {
    bases: [u64; fields::WITH_BASE.len()],
    longer_bits: Row,
    groups: [Group; GROUPS],
    rows: usize,
    room: usize,
}

impl<const GROUPS: usize> Lane<GROUPS> {
    /// So many rows can be added.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Rows that have been added.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Adds a row, or does nothing where that takes more than this.
    #[inline(always)]
    pub fn push(&mut self, row: &Row) -> bool {
        let mut numbers = *row;
        for (base, nth) in self.bases.iter().zip(fields::WITH_BASE) {
            numbers[nth] = numbers[nth].wrapping_sub(*base);
        }
        let longer = numbers.iter().zip(&self.longer_bits);
        if longer.fold(0, |bits, (number, longer)| bits | number & longer) != 0 {
            return false;
        }
        for group in &mut self.groups {
            group.push(&numbers);
        }
        self.rows += 1;
        true
    }
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
    /// An empty one, with memory for so many rows.
    pub fn new(rows: usize) -> Self {
        let mut packer = Self {
            fields: [Field::default(); COLUMNS],
            bases: [0; COLUMNS],
            longer_bits: [0; COLUMNS],
            groups: vec![Group {
                // Written to, so that the kernel need not find its memory while there is load.
                words: vec![1; rows + 1],
                ..Group::default()
            }],
            rows: 0,
            longer: Default::default(),
            long: 0,
            many_long: MANY_LONG,
            without_shifts: 0,
            sample: Vec::with_capacity(SAMPLE),
            sampled_next: 0,
            sampled_of: SAMPLED_OF[0],
            could_take: None,
        };
        packer.begin(fields::of(&AT_FIRST, false).0);
        packer
    }

    /// Rows in it.
    #[inline]
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.begin(self.fields);
        self.many_long = MANY_LONG;
        self.sampled_next = self.sampled_of - 1;
        self.could_take = None;
    }

    /// An empty one goes on where another ends: with what its rows have told.
    pub fn go_on_from(&mut self, before: &mut Self) {
        std::mem::swap(&mut self.sample, &mut before.sample);
        self.without_shifts = before.without_shifts.saturating_sub(1);
        self.sampled_of = before.sampled_of;
        self.sampled_next = before.sampled_next.saturating_sub(before.rows);
        if self.sample.len() < SAMPLE {
            return self.begin(before.fields);
        }
        let (fields, bits) = fields::of(&self.sample, self.without_shifts == 0);
        self.begin(fields);
        before.could_take = Some(bits);
        self.sample.clear();
    }

    /// What adds some of so many rows that come; `None` where the next one has to be looked at, or rows have
    /// another number of groups.
    pub fn lane<const GROUPS: usize>(&mut self, rows: usize) -> Option<Lane<GROUPS>> {
        let room = rows.min(self.sampled_next - self.rows);
        let groups: &mut [Group; GROUPS] = self.groups.as_mut_slice().try_into().ok()?;
        (room > 0).then(|| Lane {
            bases: fields::WITH_BASE.map(|nth| self.bases[nth]),
            longer_bits: self.longer_bits,
            groups: groups.each_mut().map(|group| {
                group.make_room(room);
                std::mem::take(group)
            }),
            rows: 0,
            room,
        })
    }

    /// What was added at once is in it.
    pub fn end<const GROUPS: usize>(&mut self, lane: Lane<GROUPS>) {
        for (group, written) in self.groups.iter_mut().zip(lane.groups) {
            *group = written;
        }
        self.rows += lane.rows;
    }

    /// Adds a row.
    pub fn push(&mut self, row: &Row) {
        if self.rows == self.sampled_next {
            self.look_at(row);
        }
        self.put(row);
    }

    /// Adds a row, whatever its numbers are.
    fn put(&mut self, row: &Row) {
        let mut numbers: Row = std::array::from_fn(|nth| row[nth].wrapping_sub(self.bases[nth]));
        let fields = self.fields.iter().zip(&numbers);
        let (below, above) = fields.fold((0, 0), |(below, above), (field, number)| {
            (
                below | number & field.below(),
                above | number & field.above(),
            )
        });
        let are_many = self.long >= self.many_long.max(self.rows / 6);
        if below != 0 || (above != 0 && are_many) {
            if below != 0 {
                self.without_shifts = WITHOUT_SHIFTS;
            } else {
                self.many_long *= MANY_MORE;
            }
            self.begin_again(Some(row));
            return self.put(row);
        }
        self.long += usize::from(above != 0);
        let columns = self.fields.iter().zip(&mut numbers).zip(&mut self.longer);
        for ((field, number), longer) in columns {
            let above = *number & field.above();
            if above != 0 {
                longer.push(self.rows, above >> (field.shift + field.width));
                *number &= !above;
            }
        }
        for group in &mut self.groups {
            group.make_room(1);
            group.push(&numbers);
        }
        self.rows += 1;
    }

    /// A row of the sample. Of the first ones each, then of fewer: nothing is known before, and a load begins
    /// otherwise than it goes on.
    fn look_at(&mut self, row: &Row) {
        self.sampled_next += self.sampled_of;
        if self.sample.len() < SAMPLE {
            self.sample.push(*row);
        }
        let fewer = SAMPLED_OF.iter().find(|it| **it > self.sampled_of);
        if let (SAMPLE, Some(fewer)) = (self.sample.len(), fewer) {
            self.sampled_of = *fewer;
            self.sample.clear();
            self.begin_again(Some(row));
        }
    }

    fn begin(&mut self, fields: [Field; COLUMNS]) {
        self.fields = fields;
        self.bases = fields.map(|field| field.base);
        self.longer_bits = fields.map(|field| field.above() | field.below());
        let groups = fields[COLUMNS - 1].group + 1;
        self.groups.resize_with(groups, Group::default);
        for (nth, group) in self.groups.iter_mut().enumerate() {
            group.begin(&fields, nth);
        }
        self.longer.iter_mut().for_each(Longer::clear);
        (self.rows, self.long) = (0, 0);
    }

    /// Packs the rows of this block with fields for them, and for another that is not in it yet.
    pub(super) fn begin_again(&mut self, other: Option<&Row>) {
        let rows = self.rows();
        let sample = rows.iter().step_by((rows.len() / SAMPLE) | 1).chain(other);
        let sample: Vec<Row> = sample.copied().collect();
        self.put_all(&rows, fields::of(&sample, self.without_shifts == 0).0);
    }

    /// Whether other fields would take much less: what rows before suggested need not be good for these. It takes
    /// the time of many rows, so only for a file that would be large.
    fn is_worth_packing_again(&self) -> bool {
        let Some(could_take) = self.could_take else {
            return false;
        };
        let widths = self.fields.iter().map(|field| field.width as usize);
        let longer = self.longer.iter().map(|longer| 8 * longer.packed.len());
        let taken = self.rows * widths.sum::<usize>() + longer.sum::<usize>();
        taken > fields::MANY_BITS * self.rows
            && (could_take + could_take / WORTH_PACKING_AGAIN) * self.rows < taken * SAMPLE
    }

    fn put_all(&mut self, rows: &[Row], fields: [Field; COLUMNS]) {
        self.begin(fields);
        rows.iter().for_each(|row| self.put(row));
    }

    /// The rows that were packed.
    fn rows(&self) -> Vec<Row> {
        let mut packed = Vec::new();
        self.write(&mut packed);
        let mut rows = vec![[0; COLUMNS]; self.rows];
        #[expect(clippy::expect_used, reason = "it was packed right here")]
        take_packed(&mut &packed[..], &mut rows).expect("what was packed can be read");
        rows
    }

    /// Appends the rows to `out`.
    pub fn pack(&self, out: &mut Vec<u8>) {
        if !self.is_worth_packing_again() {
            return self.write(out);
        }
        let (rows, mut again) = (self.rows(), Self::new(self.rows));
        again.put_all(&rows, fields::of(&rows, true).0);
        again.write(out);
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(PACKED);
        for field in &self.fields {
            put(out, field.base);
            out.extend([field.shift as u8, field.width as u8]);
        }
        for group in &self.groups {
            group.write(out, self.rows);
        }
        for longer in &self.longer {
            put(out, longer.count);
            out.extend_from_slice(&longer.packed);
        }
    }
}
