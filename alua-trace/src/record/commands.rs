//! Commands as rows of small numbers: what most of a recording is, in a few bytes each.
//!
//! What commands have in common (path, route, state, operation, length, result) is a *shape*, kept once a
//! block; a command is the number of its shape, when it completed after the one before, how long it took,
//! and where on the disk. The bytes of the probes' records come back as they were.

use std::collections::HashMap;

use alua_trace_ebpf::{CommandRecord, Followed};

use super::{
    error::Malformed,
    pack::{Packer, Unpacker, fold, put, take_number, unfold},
    rows::{COLUMNS, Row, RowPacker, take_rows},
};

/// Bytes of a command's record.
pub const BYTES: usize = size_of::<CommandRecord>();
/// Most commands of a block that is read.
const MOST: usize = 1 << 14;
/// Commands of a block that is written: few enough for the processor's cache, enough for shapes to take nothing.
pub const FULL: usize = 1 << 13;
/// Words of a record, and of what commands of a shape have in common.
const WORDS: usize = BYTES / 8;
const SHAPE_WORDS: usize = WORDS - 2;
/// Words in which commands of a shape differ: their times.
const DISPATCH: usize = 1;
const COMPLETION: usize = 2;
/// The first eight bytes of the CDB, then the other four and the length.
const CDB: usize = 4;
/// Low half: retries; high half: what the command waited.
const LAST: usize = 6;
const _: () = assert!(std::mem::offset_of!(CommandRecord, waited_us) == 52);

type Words = [u64; WORDS];
type ShapeWords = [u64; SHAPE_WORDS];
/// A shape that was just met is found here; a power of two.
const RECENT: usize = 1 << 9;
const NO_SHAPE: u16 = u16::MAX;

/// Which column is which, in the order of the file.
const SHAPES: usize = 0;
const COMPLETIONS: usize = 1;
const LATENCIES: usize = 2;
const ADDRESSES: usize = 3;
const WAITS: usize = 4;

/// A block as it is filled.
pub struct Block {
    shapes: Vec<Shape>,
    recent: Box<[u16; RECENT]>,
    index: HashMap<ShapeWords, u16>,
    rows: Vec<Row>,
    /// Every bit that a number of each column has.
    bits: Row,
    last_completion: u64,
}

/// What commands have in common, and the address of the last one.
struct Shape {
    words: ShapeWords,
    address: u64,
}

impl Block {
    /// What one takes in memory, about.
    pub const BYTES: usize = FULL * size_of::<Row>();

    /// An empty one.
    pub fn new() -> Self {
        // Written to, so that the kernel need not find its memory while there is load.
        let mut rows = vec![[1; COLUMNS]; FULL];
        rows.clear();
        Self {
            shapes: Vec::new(),
            recent: Box::new([NO_SHAPE; RECENT]),
            index: HashMap::new(),
            rows,
            bits: [0; COLUMNS],
            last_completion: 0,
        }
    }

    /// Whether there is no room for another command.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.rows.len() >= FULL
    }

    /// Commands in it.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds the record of a command; there must be room ([`Self::is_full`]).
    #[inline]
    pub fn push(&mut self, record: &[u8; BYTES]) {
        let words = to_words(record);
        let (completion, dispatch) = (words[COMPLETION], words[DISPATCH]);
        let (shape, address, waited) = split(words);
        let (number, before) = self.shape(&without_times(shape), address, record);
        let mut numbers = [0; COLUMNS];
        numbers[SHAPES] = u64::from(number);
        numbers[COMPLETIONS] = fold(completion.wrapping_sub(self.last_completion) as i64);
        numbers[LATENCIES] = completion.wrapping_sub(dispatch);
        numbers[ADDRESSES] = fold(address.wrapping_sub(before) as i64);
        numbers[WAITS] = waited;
        for (bits, number) in self.bits.iter_mut().zip(numbers) {
            *bits |= number;
        }
        self.rows.push(numbers);
        self.last_completion = completion;
    }

    /// The number of a shape, which is a record's, and the address of the command before of it; this one's is
    /// `address`.
    #[inline]
    fn shape(&mut self, shape: &ShapeWords, address: u64, record: &[u8; BYTES]) -> (u16, u64) {
        let [_, followed, cdb, length, _] = *shape;
        // The path in the low bits; commands of a path differ in their operation and length.
        let slot = (followed ^ (cdb << 3) ^ (length >> 40)) as usize % RECENT;
        let number = self.recent[slot];
        if let Some(known) = self.shapes.get_mut(usize::from(number))
            && is_same(&known.words, shape)
        {
            return (number, std::mem::replace(&mut known.address, address));
        }
        let number = self.number_of_other(record);
        self.recent[slot] = number;
        let known = self.shapes.get_mut(usize::from(number));
        let before = known.map(|known| std::mem::replace(&mut known.address, address));
        (number, before.unwrap_or(0))
    }

    // Of the record, so that the shape need not be in memory where it is known.
    #[cold]
    fn number_of_other(&mut self, record: &[u8; BYTES]) -> u16 {
        let shape = without_times(split(to_words(record)).0);
        // There are fewer than 2^16 commands.
        let next = self.shapes.len() as u16;
        let number = *self.index.entry(shape).or_insert(next);
        if number == next {
            self.shapes.push(Shape {
                words: shape,
                address: 0,
            });
        }
        number
    }

    /// Appends what was filled in to `out`.
    pub fn pack(&self, packer: &mut Packer, rows: &mut RowPacker, out: &mut Vec<u8>) {
        put(out, self.len() as u64);
        if !self.rows.is_empty() {
            put(out, self.shapes.len() as u64);
            let shapes = self.shapes.iter();
            let shapes = shapes.flat_map(|shape| to_bytes(&with_times(shape.words)));
            packer.section(out, &shapes.collect::<Vec<u8>>());
            rows.pack(out, &self.rows, &self.bits);
        }
    }

    /// The path of each shape, and how many commands have it.
    pub fn paths(&self) -> impl Iterator<Item = (u16, u64)> {
        let mut counts = vec![0; self.shapes.len()];
        for row in &self.rows {
            let shape = row[SHAPES] as usize;
            if let Some(count) = counts.get_mut(shape) {
                *count += 1;
            }
        }
        let followed = |shape: &Shape| Followed(u64::from_ne_bytes(shape.words[1].to_le_bytes()));
        let paths = self.shapes.iter().map(|shape| followed(shape).path());
        paths.zip(counts).collect::<Vec<_>>().into_iter()
    }

    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.shapes.clear();
        self.recent.fill(NO_SHAPE);
        self.index.clear();
        self.rows.clear();
        self.bits = [0; COLUMNS];
        self.last_completion = 0;
    }
}

/// A block as it is read.
#[derive(Default)]
pub struct Unpacked {
    shapes: Vec<Words>,
    addresses: Vec<u64>,
    rows: Vec<Row>,
    last_completion: u64,
    next: usize,
    bytes: Vec<u8>,
}

impl Unpacked {
    /// Takes a block off `bytes`, in place of the one before.
    ///
    /// # Errors
    /// It is not one.
    pub fn read(&mut self, unpacker: &mut Unpacker, bytes: &mut &[u8]) -> Result<(), Malformed> {
        self.next = 0;
        self.last_completion = 0;
        self.rows.clear();
        let count = take_number(bytes)?;
        let count = usize::try_from(count)
            .ok()
            .filter(|count| *count <= MOST)
            .ok_or(Malformed("a block has more commands than there can be"))?;
        if count == 0 {
            return Ok(());
        }
        let shapes = take_number(bytes)?;
        unpacker.section(bytes, &mut self.bytes, MOST * BYTES)?;
        let (of_shapes, rest) = self.bytes.as_chunks::<BYTES>();
        if of_shapes.len() as u64 != shapes || !rest.is_empty() {
            return Err(Malformed("shapes have another length than their number"));
        }
        self.shapes.clear();
        self.shapes.extend(of_shapes.iter().map(to_words));
        self.addresses.clear();
        self.addresses.resize(self.shapes.len(), 0);
        take_rows(unpacker, bytes, &mut self.bytes, count, &mut self.rows)?;
        if self.rows.iter().any(|row| row[SHAPES] >= shapes) {
            self.rows.clear();
            return Err(Malformed("a command has a shape that there is not"));
        }
        Ok(())
    }

    /// Commands that [`Self::next`] has not given.
    pub fn left(&self) -> usize {
        self.rows.len().saturating_sub(self.next)
    }

    /// The next command's record.
    #[inline]
    pub fn next(&mut self) -> Option<[u8; BYTES]> {
        let row = self.rows.get(self.next)?;
        let shape = row[SHAPES] as usize;
        let completed = unfold(row[COMPLETIONS]) as u64;
        let (latency, waited) = (row[LATENCIES], row[WAITS]);
        let moved = unfold(row[ADDRESSES]) as u64;
        self.next += 1;
        let mut words = *self.shapes.get(shape)?;
        let address = self.addresses.get_mut(shape)?;
        *address = address.wrapping_add(moved);
        self.last_completion = self.last_completion.wrapping_add(completed);
        words[COMPLETION] = self.last_completion;
        words[DISPATCH] = self.last_completion.wrapping_sub(latency);
        put_address(&mut words, *address);
        words[LAST] |= waited << 32;
        Some(to_bytes(&words))
    }
}

/// Compares without a branch for each word: they are the same but for one time in thousands.
#[inline]
fn is_same(one: &ShapeWords, other: &ShapeWords) -> bool {
    let differs = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    differs == 0
}

/// A record without what commands of a shape differ in, its address, and what it waited.
#[inline]
fn split(mut words: Words) -> (Words, u64, u64) {
    words[DISPATCH] = 0;
    words[COMPLETION] = 0;
    let waited = words[LAST] >> 32;
    words[LAST] &= 0xffff_ffff;
    let (address, without) = match length_group(&words) {
        1 | 2 | 5 => {
            let address = (words[CDB] >> 16) as u32;
            (
                u64::from(address.swap_bytes()),
                words[CDB] & 0xffff_0000_0000_ffff,
            )
        }
        4 => {
            let address = words[CDB] >> 16 | words[CDB + 1] << 48;
            let without = words[CDB] & 0xffff;
            words[CDB + 1] &= !0xffff;
            (address.swap_bytes(), without)
        }
        _ => (0, words[CDB]),
    };
    words[CDB] = without;
    (words, address, waited)
}

/// Puts an address back where [`split`] took it from.
#[inline]
fn put_address(words: &mut Words, address: u64) {
    match length_group(words) {
        1 | 2 | 5 => words[CDB] |= u64::from((address as u32).swap_bytes()) << 16,
        4 => {
            let address = address.swap_bytes();
            words[CDB] |= address << 16;
            words[CDB + 1] |= address >> 48;
        }
        _ => {}
    }
}

/// The group of an operation code, its top three bits, tells how long the CDB is: in those of 10 and 12
/// bytes bytes 2 to 5 are the address, in those of 16 bytes 2 to 9 (SPC-4 4.2.2).
#[inline]
const fn length_group(words: &Words) -> u64 {
    (words[CDB] & 0xff) >> 5
}

#[inline]
const fn without_times(words: Words) -> ShapeWords {
    [words[0], words[3], words[4], words[5], words[6]]
}

#[inline]
const fn with_times(shape: ShapeWords) -> Words {
    [shape[0], 0, 0, shape[1], shape[2], shape[3], shape[4]]
}

/// In the order of the machine that wrote the recording, which [`super::Meta`] tells.
#[inline]
fn to_words(record: &[u8; BYTES]) -> Words {
    let mut words = [0; WORDS];
    let (chunks, _) = record.as_chunks::<8>();
    for (word, bytes) in words.iter_mut().zip(chunks) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}

#[inline]
fn to_bytes(words: &Words) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    let (chunks, _) = bytes.as_chunks_mut::<8>();
    for (chunk, word) in chunks.iter_mut().zip(words) {
        *chunk = word.to_le_bytes();
    }
    bytes
}
