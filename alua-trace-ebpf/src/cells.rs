//! Histograms that the probes count commands in, where a record of each is not wanted or finds no room: a cell for each
//! path, class of command, access state and lane, whose buckets come in octaves as they are needed.
//!
//! Buckets are those of an HdrHistogram of two significant figures: each octave of latencies from 128 ns on has
//! [`BUCKETS`] of equal width, so that a value is off by 1/128 of itself at most.

use core::mem::{offset_of, size_of};

/// Buckets of an octave. Below 256 ns an octave is as wide as its buckets are many: 0 to 127, 128 to 255.
pub const BUCKETS: usize = 128;
/// Octaves there are: all latencies of 64 bits.
pub const OCTAVES: usize = 64;
/// Cells that a path may have on a lane: [`cell_index`] is below it.
pub const CELLS: usize = 32;
/// CPUs of equal number modulo this count in the same cells.
pub const MOST_LANES: u32 = 8;
/// Longest latency that is counted, in ns: 18 minutes. What takes longer has a record, and may be no latency at all.
pub const LONGEST_COUNTED_NS: u64 = 1 << 40;
/// A command of every path, class, state and lane has a record of its own at least so often, if there is any.
pub const SAMPLE_EACH_NS: u64 = 100_000_000;

/// What becomes of commands that complete.
pub mod telling {
    /// Each has a record; those that find no room are counted.
    pub const EACH: u64 = 0;
    /// They are counted. Those that are rare or slow have a record instead.
    pub const COUNTED: u64 = 1;
    /// Each has a record, and is counted: to compare.
    pub const BOTH: u64 = 2;
}

/// The cells of a path on a lane by [`cell_index`]; 0 where there is none.
pub type CellIds = [u16; CELLS];

/// What is counted of the commands of one path, class and state on one lane. Only grows.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Data, in bytes.
    pub bytes: u64,
    /// Latencies.
    pub sum_ns: u64,
    /// Commands that came through no dm map: the fewer.
    pub unmapped: u64,
    /// Commands that ended with a result other than 0.
    pub errors: u64,
    /// Commands that are no block I/O.
    pub passthrough: u64,
    /// A command that takes so long has a record of its own; the collector raises it, to [`LONGEST_COUNTED_NS`] at most.
    pub slow_from_ns: u64,
    /// When the last command that had a record only as a sample completed.
    pub sampled_ns: u64,
    /// Id of the path.
    pub path: u16,
    /// What [`CLASSES`] has of its operation code.
    pub class: u8,
    /// [`crate::state_index`].
    pub state: u8,
    /// Zero.
    pub reserved: u32,
    /// Its octaves: index into [`crate::map_name::OCTAVES`] by what
    /// [`octave_and_bucket`] gives; 0 where there is none.
    pub octaves: [u16; OCTAVES],
}

/// Buckets of one octave of a cell. Only grow, and wrap around.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Octave {
    /// Commands by bucket.
    pub counts: [u32; BUCKETS],
    /// The cell: index into [`crate::map_name::CELLS`].
    pub cell: u16,
    /// As [`octave_and_bucket`] gives it.
    pub octave: u16,
    /// Zero.
    pub reserved: u32,
}

/// How many cells and octaves have been given: those that there are come after index 0, which is nobody's.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given {
    /// Cells.
    pub cells: u64,
    /// Octaves.
    pub octaves: u64,
}

/// Index of a class and a state in [`CellIds`].
#[inline(always)]
pub const fn cell_index(class: u8, state: usize) -> usize {
    (class as usize * 8 + state) & (CELLS - 1)
}

/// A de Bruijn sequence: its upper six bits, shifted by any number of bits from 0 to 63, are all different.
const SEQUENCE: u64 = 0x03f7_9d71_b4cb_0a89;
/// Bits that a value is shifted by whose bits below the highest one are all set, by the upper six bits of its product with
/// [`SEQUENCE`].
static SHIFTS: [u8; 64] = {
    let mut shifts = [0; 64];
    let mut log2 = 7;
    while log2 < 64 {
        let filled = u64::MAX >> (63 - log2);
        shifts[(filled.wrapping_mul(SEQUENCE) >> 58) as usize] = log2 as u8 - 7;
        log2 += 1;
    }
    shifts
};

/// Latencies that [`USUAL_SHIFTS`] tells apart are so many bits wide.
const USUAL_BITS: u32 = 11;
/// Bits that a latency is shifted by, by its bits from [`USUAL_BITS`] on, for those of 2 µs to 17 ms: what storage takes. Few of
/// these bytes are used at a time.
static USUAL_SHIFTS: [u8; 1 << 13] = {
    let mut shifts = [0; 1 << 13];
    let mut index = 1;
    while index < shifts.len() {
        shifts[index] = (index.ilog2() + USUAL_BITS - 7) as u8;
        index += 1;
    }
    shifts
};

/// Bits that a latency is shifted by to give its place in its octave: 0 below 256 ns.
#[inline(always)]
const fn shift(latency_ns: u64) -> u32 {
    if cfg!(target_arch = "bpf") {
        shift_by_tables(latency_ns)
    } else {
        56 - (latency_ns | 255).leading_zeros()
    }
}

/// For BPF, which has no instruction for it. Without a branch for each octave: which comes next nobody can predict, and the
/// verifier would follow each.
#[inline(always)]
const fn shift_by_tables(latency_ns: u64) -> u32 {
    let index = latency_ns >> USUAL_BITS;
    if index != 0 && index < USUAL_SHIFTS.len() as u64 {
        return USUAL_SHIFTS[index as usize] as u32;
    }
    unusual_shift(latency_ns)
}

#[inline(always)]
const fn unusual_shift(latency_ns: u64) -> u32 {
    let mut filled = latency_ns | 255;
    filled |= filled >> 1;
    filled |= filled >> 2;
    filled |= filled >> 4;
    filled |= filled >> 8;
    filled |= filled >> 16;
    filled |= filled >> 32;
    SHIFTS[(filled.wrapping_mul(SEQUENCE) >> 58) as usize] as u32
}

/// Octave and bucket of a latency.
#[inline(always)]
pub const fn octave_and_bucket(latency_ns: u64) -> (usize, usize) {
    let shift = shift(latency_ns);
    // SAFETY: 63 - 7 is the most.
    unsafe { core::hint::assert_unchecked(shift < 64) };
    let scaled = latency_ns >> shift;
    let octave = shift as usize + (scaled >> 7) as usize;
    (octave & (OCTAVES - 1), scaled as usize & (BUCKETS - 1))
}

/// The smallest latency in a bucket, in ns.
#[must_use]
pub const fn bucket_ns(octave: usize, bucket: usize) -> u64 {
    let (octave, bucket) = (octave as u32 & (OCTAVES as u32 - 1), bucket as u64);
    match octave {
        0 => bucket,
        _ => (BUCKETS as u64 + bucket) << (octave - 1),
    }
}

/// Reads are 0, writes 1, others 2: whether a command moves blocks from the medium (0) or to it (1), by its operation
/// code (SBC-3 clause 5).
///
/// READ(32) and WRITE(32) are others: they share operation code 7Fh with every 32-byte CDB, and only the service action in
/// bytes 8 and 9 tells them apart. UNMAP, VERIFY and SYNCHRONIZE CACHE move no blocks, XDWRITEREAD moves them both ways:
/// others, too.
pub static CLASSES: [u8; 256] = {
    let mut classes = [2; 256];
    let mut code = 0;
    while code < 256 {
        classes[code] = match code {
            0x08 | 0x28 | 0xa8 | 0x88 => 0,
            0x0a | 0x2a | 0xaa | 0x8a => 1,
            // WRITE AND VERIFY, WRITE SAME.
            0x2e | 0xae | 0x8e | 0x41 | 0x93 => 1,
            // COMPARE AND WRITE, ORWRITE, WRITE ATOMIC.
            0x89 | 0x8b | 0x9c => 1,
            _ => 2,
        };
        code += 1;
    }
    classes
};

const _: () = {
    assert!(size_of::<CellIds>() == 64 && size_of::<Given>() == 16);
    assert!(size_of::<Cell>() == 192 && offset_of!(Cell, octaves) == 64);
    assert!(size_of::<Octave>() == 520);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_in_order_and_each_latency_lies_in_its_own() {
        let mut last = None;
        for bits in 0..63 {
            for step in 0..257_u64 {
                let latency_ns = (1_u64 << bits) + ((u128::from(step) << bits) / 257) as u64;
                assert_eq!(shift_by_tables(latency_ns), shift(latency_ns));
                assert_eq!(unusual_shift(latency_ns), shift(latency_ns));
                let (octave, bucket) = octave_and_bucket(latency_ns);
                let low = bucket_ns(octave, bucket);
                let next = match bucket + 1 {
                    BUCKETS => bucket_ns(octave + 1, 0),
                    bucket => bucket_ns(octave, bucket),
                };
                assert!(
                    low <= latency_ns && latency_ns < next,
                    "{latency_ns}: {low} to {next}"
                );
                assert!(
                    next - low == 1 || (next - low) * 128 <= low,
                    "{low} to {next}"
                );
                assert!(last <= Some((octave, bucket)), "{latency_ns}");
                last = Some((octave, bucket));
            }
        }
        assert_eq!(octave_and_bucket(0), (0, 0));
        assert_eq!(octave_and_bucket(u64::MAX), (57, 127));
    }

    #[test]
    fn each_class_and_state_has_its_cell() {
        let mut seen = [false; CELLS];
        for class in 0..3 {
            for state in 0..8 {
                assert!(!core::mem::replace(
                    &mut seen[cell_index(class, state)],
                    true
                ));
            }
        }
        assert_eq!(
            [0x28, 0x8a, 0xa3].map(|code: usize| CLASSES[code]),
            [0, 1, 2]
        );
    }
}
