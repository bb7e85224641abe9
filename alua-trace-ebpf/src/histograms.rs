//! Counting a command that has completed in its path's histogram.
//!
//! A lane that one CPU has for itself is written without atomic operations: programs do not interrupt each other here
//! ([`crate::logs::Log::claim`]). Where CPUs share one, two may make the same cell or octave at once: the collector reads all
//! that there are, whoever finds them, so that nothing is lost by it.

use alua_trace_ebpf::{
    CLASSES, Cell, CommandSlot, LONGEST_COUNTED_NS, NO_ROUTE, Octave, SAMPLE_EACH_NS, cell_index,
    command_flag, octave_and_bucket,
};

use crate::{
    ended::Ended,
    kernel::{add, add_to_bucket, machine, take_number},
    maps::{CELL_IDS, CELLS, GIVEN, OCTAVES},
};

/// Flags of commands that are worth a record.
const RARE: u8 = command_flag::PASSTHROUGH | command_flag::WAITED | command_flag::LATE;
/// Indices of [`state_index`].
const OPTIMIZED: usize = 0;
const UNKNOWN: usize = 7;

/// A command that has completed, as far as histograms care.
#[derive(Clone, Copy)]
pub struct Sample {
    latency_ns: u64,
    bytes: u32,
    result: u32,
    retries: u32,
    path: u16,
    class: u8,
    state: u8,
    flags: u8,
    unmapped: bool,
}

impl Sample {
    #[inline(always)]
    pub fn new(command: &CommandSlot, now: u64, ended: &impl Ended) -> Self {
        let followed = command.followed;
        Self {
            latency_ns: now.wrapping_sub(command.dispatch_ns),
            bytes: ended.bytes(),
            result: ended.result(),
            retries: ended.retries(),
            path: followed.path(),
            class: CLASSES[usize::from(ended.operation())],
            state: followed.state_index(),
            flags: followed.flags(),
            unmapped: followed.route() == NO_ROUTE,
        }
    }

    /// Whether it is one of millions.
    #[inline(always)]
    fn is_ordinary(&self) -> bool {
        let state = usize::from(self.state);
        let rare = u64::from(self.flags & RARE);
        u64::from(self.result) | u64::from(self.retries) | rare == 0
            && (state == OPTIMIZED || state == UNKNOWN)
    }
}

/// A cell of this CPU's lane.
#[derive(Clone, Copy)]
pub struct Place {
    id: u64,
    cell: *mut Cell,
}

impl Place {
    /// Where to count a command; `None` where there is no room for another cell.
    #[inline(always)]
    pub fn find(cpu: u64, sample: &Sample) -> Option<Self> {
        let lanes = machine!(lanes);
        if lanes == 0 {
            return None;
        }
        let row = u64::from(sample.path)
            .wrapping_mul(lanes)
            .wrapping_add(cpu & machine!(last_lane));
        let ids = CELL_IDS.of(row, machine!(last_row));
        let index = cell_index(sample.class, usize::from(sample.state));
        // SAFETY: within the element.
        let mut id = u64::from(unsafe { (&raw const (*ids)[index]).read_volatile() });
        if id == 0 {
            let kind = u64::from(sample.path) | u64::from(sample.class) << 16;
            id = make_cell(kind | u64::from(sample.state) << 24);
            if id == 0 {
                return None;
            }
            // SAFETY: as above; written whole.
            unsafe { (&raw mut (*ids)[index]).write_volatile(id as u16) };
        }
        let cell = cell_of(id);
        Some(Self { id, cell })
    }

    /// Whether a command is worth a record beside millions that are only counted: it is rare, or slow, or the first one
    /// for a while.
    #[inline(always)]
    pub fn wants_record(&self, sample: &Sample, now: u64) -> bool {
        if !sample.is_ordinary() {
            return true;
        }
        // SAFETY: `cell` points into the array. CPUs that share it may both take a sample.
        unsafe {
            if sample.latency_ns >= (&raw const (*self.cell).slow_from_ns).read_volatile() {
                return true;
            }
            let sampled = &raw mut (*self.cell).sampled_ns;
            if now.wrapping_sub(sampled.read_volatile()) < SAMPLE_EACH_NS {
                return false;
            }
            sampled.write_volatile(now);
        }
        true
    }

    /// Counts a command; false where there is no room for another octave. Of an ordinary one
    /// ([`Sample::is_ordinary`]) it is known that it is no error and no passthrough.
    #[inline(always)]
    pub fn count(&self, sample: &Sample, is_ordinary: bool) -> bool {
        let (octave, bucket) = octave_and_bucket(sample.latency_ns);
        // SAFETY: `cell` points into the array, and each index is within its own.
        unsafe {
            let known = &raw mut (*self.cell).octaves[octave];
            let mut id = u64::from(known.read_volatile());
            if id == 0 {
                id = make_octave(self.id, octave as u64);
                if id == 0 {
                    return false;
                }
                known.write_volatile(id as u16);
            }
            let counts = octave_of(id);
            raise_bucket(&raw mut (*counts).counts[bucket]);
            raise(&raw mut (*self.cell).bytes, u64::from(sample.bytes));
            raise(&raw mut (*self.cell).sum_ns, sample.latency_ns);
            if sample.unmapped {
                raise(&raw mut (*self.cell).unmapped, 1);
            }
            if is_ordinary {
                return true;
            }
            if sample.result != 0 {
                raise(&raw mut (*self.cell).errors, 1);
            }
            if sample.flags & command_flag::PASSTHROUGH != 0 {
                raise(&raw mut (*self.cell).passthrough, 1);
            }
        }
        true
    }
}

/// Counts a command that found no room for its record; false where there is none here either.
#[inline(never)]
pub fn count_unlogged(cpu: u64, sample: &Sample) -> bool {
    sample.latency_ns < LONGEST_COUNTED_NS
        && Place::find(cpu, sample).is_some_and(|place| place.count(sample, false))
}

#[inline(always)]
fn cell_of(id: u64) -> *mut Cell {
    CELLS.of(id, machine!(last_cell))
}

#[inline(always)]
fn octave_of(id: u64) -> *mut Octave {
    OCTAVES.of(id, machine!(last_octave))
}

/// A new cell's id; 0 when all have been given. `kind` is path, class and state, as they lie in it. Not inlined: rarely
/// run.
#[inline(never)]
fn make_cell(kind: u64) -> u64 {
    let Some(given) = GIVEN.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: `given` points into the array.
    let id = unsafe { take_number(&raw mut (*given).cells) }.wrapping_add(1);
    if id > machine!(last_cell) {
        return 0;
    }
    let cell = cell_of(id);
    // SAFETY: `cell` points into the array, and nobody else knows the id.
    unsafe {
        (&raw mut (*cell).path).write_volatile(kind as u16);
        (&raw mut (*cell).class).write_volatile((kind >> 16) as u8);
        (&raw mut (*cell).state).write_volatile((kind >> 24) as u8);
    }
    id
}

/// A new octave's id, as [`make_cell`] gives a cell's.
#[inline(never)]
fn make_octave(cell: u64, octave: u64) -> u64 {
    let Some(given) = GIVEN.get_ptr_mut(0) else {
        return 0;
    };
    // SAFETY: `given` points into the array.
    let id = unsafe { take_number(&raw mut (*given).octaves) }.wrapping_add(1);
    if id > machine!(last_octave) {
        return 0;
    }
    let counts = octave_of(id);
    // SAFETY: `counts` points into the array, and nobody else knows the id.
    unsafe {
        (&raw mut (*counts).octave).write_volatile(octave as u16);
        (&raw mut (*counts).cell).write_volatile(cell as u16);
    }
    id
}

/// # Safety
/// `word` points into a map element.
#[inline(always)]
unsafe fn raise(word: *mut u64, number: u64) {
    if machine!(lanes_are_shared) != 0 {
        add(word, number);
        return;
    }
    // SAFETY: as promised by the caller, and nobody else writes it.
    unsafe { word.write_volatile(word.read_volatile().wrapping_add(number)) };
}

/// # Safety
/// `word` points into a map element.
#[inline(always)]
unsafe fn raise_bucket(word: *mut u32) {
    if machine!(lanes_are_shared) != 0 {
        add_to_bucket(word);
        return;
    }
    // SAFETY: as promised by the caller, and nobody else writes it.
    unsafe { word.write_volatile(word.read_volatile().wrapping_add(1)) };
}
