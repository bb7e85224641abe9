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
    rows::{COLUMNS, Numbers, Row, RowPacker, take_rows},
};

/// Bytes of a command's record.
pub const BYTES: usize = size_of::<CommandRecord>();
/// Most commands of a block that is read.
const MOST: usize = 1 << 14;
/// Commands of a block that is written: few enough for the processor's cache, enough for shapes to take nothing.
pub const FULL: usize = 1 << 13;
/// Records that wait to be packed: they stay in the fastest of the processor's caches.
const RAW: usize = 1 << 8;
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

/// Which column is which, in the order of the file. The lowest bit of the first one tells that the address is less
/// than that of the command before: what addresses differ by has zeros below then, and these take nothing.
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
    rows: RowPacker,
    last_completion: u64,
    /// Records as they came: many at once take less than each alone.
    raw: Vec<[u8; BYTES]>,
}

/// What commands have in common, the address of the last one, and how many there are.
struct Shape {
    words: ShapeWords,
    address_in: AddressIn,
    address: u64,
    commands: u64,
}

/// Where in a CDB the address of its first block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AddressIn {
    /// Bytes 2 to 5.
    Four,
    /// Bytes 2 to 9.
    Eight,
    /// It has none that is known.
    Nowhere,
}

impl Shape {
    /// Another command; gives the address of the one before.
    #[inline]
    fn take(&mut self, address: u64) -> u64 {
        self.commands += 1;
        std::mem::replace(&mut self.address, address)
    }
}

impl Block {
    /// What one takes in memory, about.
    pub const BYTES: usize = FULL * size_of::<u64>() + RAW * BYTES;

    /// An empty one.
    pub fn new() -> Self {
        Self {
            shapes: Vec::new(),
            recent: Box::new([NO_SHAPE; RECENT]),
            index: HashMap::new(),
            rows: RowPacker::new(FULL),
            last_completion: 0,
            raw: Vec::with_capacity(RAW),
        }
    }

    /// Whether there is no room for another command.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.len() >= FULL
    }

    /// Commands in it.
    pub fn len(&self) -> usize {
        self.rows.len() + self.raw.len()
    }

    /// Adds the record of a command; there must be room. Gives whether there is some for another.
    #[inline]
    pub fn push(&mut self, record: &[u8; BYTES]) -> bool {
        self.raw.push(*record);
        self.raw.len() < RAW || {
            self.settle();
            !self.is_full()
        }
    }

    /// Nothing waits to be packed any more.
    #[inline(never)]
    pub fn settle(&mut self) {
        let mut raw = std::mem::take(&mut self.raw);
        let mut left = raw.as_slice();
        while !left.is_empty() {
            let usual = self.usual::<1>(left) + self.usual::<2>(left);
            left = &left[usual..];
            if let Some((record, others)) = left.split_first() {
                self.unusual(record);
                left = others;
            }
        }
        raw.clear();
        self.raw = raw;
    }

    /// Takes records up to one that is not as those before were; gives how many. Their rows have so many groups.
    fn usual<const GROUPS: usize>(&mut self, records: &[[u8; BYTES]]) -> usize {
        let Some(mut lane) = self.rows.lane::<GROUPS>(records.len()) else {
            return 0;
        };
        let mut last_completion = self.last_completion;
        for record in &records[..lane.room()] {
            let words = to_words(record);
            let completion = words[COMPLETION];
            let number = self.recent[slot(&words)];
            let Some(known) = self.shapes.get_mut(usize::from(number)) else {
                break;
            };
            // Where it is the same, the address is in the same place.
            let (shape, address, waited) = split(words, known.address_in);
            if !is_same(&known.words, &without_times(shape)) {
                break;
            }
            let row = row(
                number,
                words,
                last_completion,
                (address, known.address),
                waited,
            );
            if !lane.push(&row) {
                break;
            }
            known.take(address);
            last_completion = completion;
        }
        let taken = lane.rows();
        self.rows.end(lane);
        self.last_completion = last_completion;
        taken
    }

    fn unusual(&mut self, record: &[u8; BYTES]) {
        let words = to_words(record);
        let (number, address, waited, before) = self.shape(words);
        let row = row(
            number,
            words,
            self.last_completion,
            (address, before),
            waited,
        );
        self.rows.push(&row);
        self.last_completion = words[COMPLETION];
    }

    /// The number of a command's shape, its address, what it waited, and the address of the command before of
    /// this shape.
    fn shape(&mut self, words: Words) -> (u16, u64, u64, u64) {
        let address_in = address_in(&words);
        let (shape, address, waited) = split(words, address_in);
        let shape = without_times(shape);
        // There are fewer than 2^16 commands.
        let next = self.shapes.len() as u16;
        let recent = self.recent[slot(&words)];
        let number = match self.shapes.get(usize::from(recent)) {
            Some(known) if is_same(&known.words, &shape) => recent,
            _ => *self.index.entry(shape).or_insert(next),
        };
        if number == next {
            self.shapes.push(Shape {
                words: shape,
                address_in,
                address: 0,
                commands: 0,
            });
        }
        self.recent[slot(&words)] = number;
        let known = self.shapes.get_mut(usize::from(number));
        let before = known.map_or(0, |known| known.take(address));
        (number, address, waited, before)
    }

    /// Appends what was filled in to `out`; it must be settled.
    pub fn pack(&self, packer: &mut Packer, out: &mut Vec<u8>) {
        debug_assert!(
            self.raw.is_empty(),
            "a block is settled before it is packed"
        );
        put(out, self.len() as u64);
        if self.len() > 0 {
            put(out, self.shapes.len() as u64);
            let shapes = self.shapes.iter();
            let shapes = shapes.flat_map(|shape| to_bytes(&with_times(shape.words)));
            packer.section(out, &shapes.collect::<Vec<u8>>());
            self.rows.pack(out);
        }
    }

    /// The path of each shape, and how many commands have it.
    pub fn paths(&self) -> impl Iterator<Item = (u16, u64)> {
        let followed = |shape: &Shape| Followed(u64::from_ne_bytes(shape.words[1].to_le_bytes()));
        let shapes = self.shapes.iter();
        shapes.map(move |shape| (followed(shape).path(), shape.commands))
    }

    /// Empties it, and keeps its memory.
    pub fn clear(&mut self) {
        self.shapes.clear();
        self.recent.fill(NO_SHAPE);
        self.index.clear();
        self.rows.clear();
        self.raw.clear();
        self.last_completion = 0;
    }

    /// An empty one goes on where another, settled, ends: rows are packed as those before suggest.
    pub fn go_on_from(&mut self, before: &mut Self) {
        self.rows.go_on_from(&mut before.rows);
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
        let numbers = take_rows(unpacker, bytes, &mut self.bytes, count, &mut self.rows)?;
        if numbers == Numbers::Before3 {
            self.rows.iter_mut().for_each(from_before_3);
        }
        if self.rows.iter().any(|row| row[SHAPES] >> 1 >= shapes) {
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
        let shape = (row[SHAPES] >> 1) as usize;
        let completed = unfold(row[COMPLETIONS]) as u64;
        let (latency, waited) = (row[LATENCIES], row[WAITS]);
        let moved = match row[SHAPES] & 1 {
            0 => row[ADDRESSES],
            _ => row[ADDRESSES].wrapping_neg(),
        };
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

/// Where a shape that was just met is found: the path in the low bits; commands of a path differ in their
/// operation and length.
#[inline]
fn slot(words: &Words) -> usize {
    let [_, _, _, followed, cdb, length, _] = *words;
    (followed ^ (cdb << 3) ^ (length >> 40)) as usize % RECENT
}

/// A command in numbers: what it is, and by how much it differs from the one before.
#[inline]
fn row(
    number: u16,
    words: Words,
    last_completion: u64,
    (address, before): (u64, u64),
    waited: u64,
) -> Row {
    let mut row = [0; COLUMNS];
    let moved = address.wrapping_sub(before) as i64;
    row[SHAPES] = u64::from(number) << 1 | u64::from(moved < 0);
    row[COMPLETIONS] = fold(words[COMPLETION].wrapping_sub(last_completion) as i64);
    row[LATENCIES] = words[COMPLETION].wrapping_sub(words[DISPATCH]);
    row[ADDRESSES] = moved.unsigned_abs();
    row[WAITS] = waited;
    row
}

/// Up to version 2 of the format the address had its sign below itself, as signed numbers have it. The number of a
/// shape that cannot be stays one.
fn from_before_3(row: &mut Row) {
    let moved = unfold(row[ADDRESSES]);
    row[SHAPES] = row[SHAPES].saturating_mul(2) | u64::from(moved < 0);
    row[ADDRESSES] = moved.unsigned_abs();
}

/// Compares without a branch for each word: they are the same but for one time in thousands.
#[inline]
fn is_same(one: &ShapeWords, other: &ShapeWords) -> bool {
    let differs = one.iter().zip(other).fold(0, |bits, (a, b)| bits | (a ^ b));
    differs == 0
}

/// A record without what commands of a shape differ in, its address, and what it waited.
#[inline]
fn split(mut words: Words, address_in: AddressIn) -> (Words, u64, u64) {
    words[DISPATCH] = 0;
    words[COMPLETION] = 0;
    let waited = words[LAST] >> 32;
    words[LAST] &= 0xffff_ffff;
    let address = match address_in {
        AddressIn::Four => {
            let address = (words[CDB] >> 16) as u32;
            words[CDB] &= 0xffff_0000_0000_ffff;
            u64::from(address.swap_bytes())
        }
        AddressIn::Eight => {
            let address = words[CDB] >> 16 | words[CDB + 1] << 48;
            words[CDB] &= 0xffff;
            words[CDB + 1] &= !0xffff;
            address.swap_bytes()
        }
        AddressIn::Nowhere => 0,
    };
    (words, address, waited)
}

/// Puts an address back where [`split`] took it from.
#[inline]
fn put_address(words: &mut Words, address: u64) {
    match address_in(words) {
        AddressIn::Four => words[CDB] |= u64::from((address as u32).swap_bytes()) << 16,
        AddressIn::Eight => {
            let address = address.swap_bytes();
            words[CDB] |= address << 16;
            words[CDB + 1] |= address >> 48;
        }
        AddressIn::Nowhere => {}
    }
}

/// The group of an operation code, its top three bits, tells how long the CDB is: in those of 10 and 12
/// bytes bytes 2 to 5 are the address, in those of 16 bytes 2 to 9 (SPC-4 4.2.2).
#[inline]
const fn address_in(words: &Words) -> AddressIn {
    match (words[CDB] & 0xff) >> 5 {
        1 | 2 | 5 => AddressIn::Four,
        4 => AddressIn::Eight,
        _ => AddressIn::Nowhere,
    }
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
