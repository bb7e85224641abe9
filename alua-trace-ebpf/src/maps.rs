//! The maps, and the few lines that every probe needs to use them.

use alua_trace_ebpf::{
    Candidates, Cell, CellIds, CommandSlot, Control, EVENTS_BYTES, Given, GlobalCounts,
    IN_FLIGHT_OVERFLOW_ENTRIES, IN_FLIGHT_SLOTS, InFlightSlot, LogEnds, LoggedCommand, MAX_PATHS,
    MAX_ROUTES, Octave, PathCounts, PathSlot, RouteSlot, USUAL_PATHS, sets,
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, Queue, RingBuf},
};

use crate::kernel::add;

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(EVENTS_BYTES, 0);

// The collector says how many entries.
#[map]
pub static LOG_ENDS: Array<LogEnds> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static LOGS: Array<LoggedCommand> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static PATH_COUNTS: PerCpuArray<PathCounts> = PerCpuArray::with_max_entries(USUAL_PATHS, 0);

// `BPF_F_MMAPABLE` only for where it puts the first slot: at the beginning of a page, so that none
// lies across two cache lines.
#[map]
pub static PATHS: Array<PathSlot> = Array::with_max_entries(USUAL_PATHS, BPF_F_MMAPABLE);

#[map]
pub static PATH_CANDIDATES: Array<Candidates> = Array::with_max_entries(sets(MAX_PATHS), 0);

#[map]
pub static PATH_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_PATHS, 0);

#[map]
pub static FREE_PATHS: Queue<u32> = Queue::with_max_entries(MAX_PATHS, 0);

#[map]
pub static ROUTES: Array<RouteSlot> = Array::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static ROUTE_CANDIDATES: Array<Candidates> = Array::with_max_entries(sets(MAX_ROUTES), 0);

#[map]
pub static ROUTE_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static FREE_ROUTES: Queue<u32> = Queue::with_max_entries(MAX_ROUTES, 0);

// `BPF_F_MMAPABLE` as for the paths: each slot is a cache line.
#[map]
pub static IN_FLIGHT: Array<InFlightSlot> =
    Array::with_max_entries(IN_FLIGHT_SLOTS, BPF_F_MMAPABLE);

// A hash map because its key is an address whose slot another command holds; rarely used.
#[map]
pub static IN_FLIGHT_OVERFLOW: HashMap<u64, CommandSlot> =
    HashMap::with_max_entries(IN_FLIGHT_OVERFLOW_ENTRIES, 0);

// How many entries these four have is the collector's to say.
#[map]
pub static CELL_IDS: Array<CellIds> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static CELLS: Array<Cell> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static OCTAVES: Array<Octave> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static GIVEN: Array<Given> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static CONTROL: Array<Control> = Array::with_max_entries(1, 0);

/// How many workers are filing states right now: they may change at any moment.
#[map]
pub static STATES_CHANGING: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub static WATCH_WAITS: Array<u64> = Array::with_max_entries(1, 0);

#[map]
pub static GLOBAL_COUNTS: PerCpuArray<GlobalCounts> = PerCpuArray::with_max_entries(1, 0);

/// Adds to one of this CPU's global counts.
#[inline(always)]
pub fn count_globally(add: impl FnOnce(&mut GlobalCounts)) {
    if let Some(counts) = GLOBAL_COUNTS.get_ptr_mut(0) {
        // SAFETY: this CPU's element of a per-CPU array. What hooks that may interrupt each other
        // count is added by `count_globally_interrupted`.
        add(unsafe { &mut *counts });
    }
}

/// Adds 1 to one of this CPU's global counts, in a hook that may interrupt itself: see
/// [`crate::path::count_interrupted`].
#[inline(always)]
pub fn count_globally_interrupted(field: impl FnOnce(*mut GlobalCounts) -> *mut u64) {
    if let Some(counts) = GLOBAL_COUNTS.get_ptr_mut(0) {
        add(field(counts), 1);
    }
}

/// Home slot of a kernel address in a table of `entries` (a power of two).
#[inline(always)]
pub fn home_slot(address: u64, entries: u32) -> u32 {
    // Fibonacci hashing: spreads the regular strides of slab and request pools evenly.
    let hash = (address >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as u32 & (entries - 1)
}
