//! Commands in columns: what most of a recording is, in a few bytes each.
//!
//! What commands have in common (path, route, state, operation, length, result) is a *shape*, kept once a
//! block; a command is the number of its shape, when it completed after the one before, how long it took,
//! and where on the disk. The bytes of the probes' records come back as they were.

use std::collections::HashMap;

use alua_trace_ebpf::CommandRecord;

use super::{
    error::Malformed,
    pack::{Packer, Unpacker, fold, put, take_number, unfold},
};

/// Bytes of a command's record.
pub const BYTES: usize = size_of::<CommandRecord>();
/// Most commands of a block.
pub const MOST: usize = 1 << 14;
/// Words of a record.
const WORDS: usize = BYTES / 8;
/// Words in which commands of a shape differ: their times.
const DISPATCH: usize = 1;
const COMPLETION: usize = 2;
/// The first eight bytes of the CDB, then the other four and the length.
const CDB: usize = 4;
/// Low half: retries; high half: what the command waited.
const LAST: usize = 6;
const _: () = assert!(std::mem::offset_of!(CommandRecord, waited_us) == 52);

type Words = [u64; WORDS];
/// A shape that was just met is found here.
const RECENT: usize = 1 << 9;
const NO_SHAPE: u16 = u16::MAX;

/// A block as it is filled.
pub struct Block {
    shapes: Vec<Words>,
    /// Last address of each shape.
    addresses: Vec<u64>,
    recent: Box<[u16; RECENT]>,
    index: HashMap<Words, u16>,
    shape: Vec<u64>,
    completion: Vec<u64>,
    latency: Vec<u64>,
    address: Vec<u64>,
    waited: Vec<u64>,
    last_completion: u64,
}

impl Block {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            shapes: Vec::new(),
            addresses: Vec::new(),
            recent: Box::new([NO_SHAPE; RECENT]),
            index: HashMap::new(),
            shape: Vec::with_capacity(MOST),
            completion: Vec::with_capacity(MOST),
            latency: Vec::with_capacity(MOST),
            address: Vec::with_capacity(MOST),
            waited: Vec::with_capacity(MOST),
            last_completion: 0,
        }
    }

    /// Commands in it.
    pub fn len(&self) -> usize {
        self.shape.len()
    }

    /// Adds the record of a command; there must be room ([`MOST`]).
    pub fn push(&mut self, record: &[u8; BYTES]) {
        let words = to_words(record);
        let (completion, dispatch) = (words[COMPLETION], words[DISPATCH]);
        let (shape, address, waited) = split(words);
        let number = self.number(&shape);
        let before = std::mem::replace(&mut self.addresses[usize::from(number)], address);
        self.shape.push(u64::from(number));
        self.completion
            .push(fold(completion.wrapping_sub(self.last_completion) as i64));
        self.latency.push(completion.wrapping_sub(dispatch));
        self.address.push(fold(address.wrapping_sub(before) as i64));
        self.waited.push(waited);
        self.last_completion = completion;
    }

    #[inline]
    fn number(&mut self, shape: &Words) -> u16 {
        let hash = shape.iter().fold(0, |hash: u64, word| {
            (hash.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let slot = (hash >> 55) as usize;
        let recent = self.recent[slot % RECENT];
        if self.shapes.get(usize::from(recent)) == Some(shape) {
            return recent;
        }
        let number = self.number_of_other(shape);
        self.recent[slot % RECENT] = number;
        number
    }

    #[cold]
    fn number_of_other(&mut self, shape: &Words) -> u16 {
        // There are fewer than 2^16 commands.
        let next = self.shapes.len() as u16;
        let number = *self.index.entry(*shape).or_insert(next);
        if number == next {
            self.shapes.push(*shape);
            self.addresses.push(0);
        }
        number
    }

    /// Appends what was filled in to `out`, and empties the block.
    pub fn pack(&mut self, packer: &mut Packer, out: &mut Vec<u8>) {
        put(out, self.len() as u64);
        if self.len() > 0 {
            self.pack_columns(packer, out);
        }
        self.clear();
    }

    fn pack_columns(&self, packer: &mut Packer, out: &mut Vec<u8>) {
        let mut plane = Vec::with_capacity(self.len());
        put(out, self.shapes.len() as u64);
        let shapes: Vec<u8> = self.shapes.iter().flat_map(to_bytes).collect();
        packer.section(out, &shapes);
        for column in [
            &self.shape,
            &self.completion,
            &self.latency,
            &self.address,
            &self.waited,
        ] {
            packer.column(out, &mut plane, column);
        }
    }

    fn clear(&mut self) {
        self.shapes.clear();
        self.addresses.clear();
        self.recent.fill(NO_SHAPE);
        self.index.clear();
        for column in [
            &mut self.shape,
            &mut self.completion,
            &mut self.latency,
            &mut self.address,
            &mut self.waited,
        ] {
            column.clear();
        }
        self.last_completion = 0;
    }
}

/// A block as it is read.
#[derive(Default)]
pub struct Unpacked {
    shapes: Vec<Words>,
    addresses: Vec<u64>,
    shape: Vec<u64>,
    completion: Vec<u64>,
    latency: Vec<u64>,
    address: Vec<u64>,
    waited: Vec<u64>,
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
        self.shape.clear();
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
        let Self {
            shape,
            completion,
            latency,
            address,
            waited,
            bytes: plane,
            ..
        } = self;
        for column in [&mut *shape, completion, latency, address, waited] {
            unpacker.column(bytes, plane, count, column)?;
        }
        if shape.iter().any(|number| *number >= shapes) {
            shape.clear();
            return Err(Malformed("a command has a shape that there is not"));
        }
        Ok(())
    }

    /// Commands that [`Self::next`] has not given.
    pub fn left(&self) -> usize {
        self.shape.len().saturating_sub(self.next)
    }

    /// The next command's record.
    #[inline]
    pub fn next(&mut self) -> Option<[u8; BYTES]> {
        let at = self.next;
        let shape = *self.shape.get(at)? as usize;
        self.next += 1;
        let mut words = *self.shapes.get(shape)?;
        let address = self.addresses.get_mut(shape)?;
        *address = address.wrapping_add(unfold(*self.address.get(at)?) as u64);
        let completion = self
            .last_completion
            .wrapping_add(unfold(*self.completion.get(at)?) as u64);
        self.last_completion = completion;
        words[COMPLETION] = completion;
        words[DISPATCH] = completion.wrapping_sub(*self.latency.get(at)?);
        put_address(&mut words, *address);
        words[LAST] |= self.waited.get(at)? << 32;
        Some(to_bytes(&words))
    }
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
