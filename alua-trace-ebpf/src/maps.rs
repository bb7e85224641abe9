//! The maps, and the few lines that every probe needs to use them.

use alua_trace_ebpf::{
    Candidates, Cell, CellIds, CommandSlot, Control, Given, GlobalCounts,
    IN_FLIGHT_OVERFLOW_ENTRIES, IN_FLIGHT_SLOTS, InFlightSlot, LogEnds, LoggedCommand, MAX_PATHS,
    MAX_ROUTES, Noticed, Octave, PathCounts, PathSlot, RouteSlot, USUAL_PATHS, sets,
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, Queue, RingBuf},
};

use crate::{globals::Global, kernel::add};

// SAFETY: zeroes are free slots.
#[unsafe(link_section = ".bss.in_flight")]
pub static IN_FLIGHT: Global<[InFlightSlot; IN_FLIGHT_SLOTS as usize]> =
    unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.control")]
pub static CONTROL: Global<Control> = unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.noticed")]
pub static NOTICED: Global<Noticed> = unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.paths")]
pub static PATH_CANDIDATES: Global<[Candidates; sets(MAX_PATHS)]> = unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.routes")]
pub static ROUTE_CANDIDATES: Global<[Candidates; sets(MAX_ROUTES)]> = unsafe { Global::zeroed() };

// How large these three are is the collector's to say.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.log_ends")]
pub static LOG_ENDS: Global<[LogEnds; 1]> = unsafe { Global::zeroed() };

#[map]
pub static LOGS: Array<LoggedCommand> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static PATH_COUNTS: PerCpuArray<PathCounts> = PerCpuArray::with_max_entries(USUAL_PATHS, 0);

// `BPF_F_MMAPABLE` only for where it puts the first slot: at the beginning of a page, so that none
// lies across two cache lines.
#[map]
pub static PATHS: Array<PathSlot> = Array::with_max_entries(USUAL_PATHS, BPF_F_MMAPABLE);

#[map]
pub static PATH_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_PATHS, 0);

#[map]
pub static FREE_PATHS: Queue<u32> = Queue::with_max_entries(MAX_PATHS, 0);

#[map]
pub static ROUTES: Array<RouteSlot> = Array::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static ROUTE_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static FREE_ROUTES: Queue<u32> = Queue::with_max_entries(MAX_ROUTES, 0);

// A hash map because its key is an address whose slot another command holds; rarely used.
#[map]
pub static IN_FLIGHT_OVERFLOW: HashMap<u64, CommandSlot> =
    HashMap::with_max_entries(IN_FLIGHT_OVERFLOW_ENTRIES, 0);

// How many entries these four have is the collector's to say.
// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.cell_ids")]
pub static CELL_IDS: Global<[CellIds; 1]> = unsafe { Global::zeroed() };

#[map]
pub static CELLS: Array<Cell> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static OCTAVES: Array<Octave> = Array::with_max_entries(1, BPF_F_MMAPABLE);

#[map]
pub static GIVEN: Array<Given> = Array::with_max_entries(1, BPF_F_MMAPABLE);

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

/// Where a kernel address belongs in a table, whatever power of two of places it has.
#[inline(always)]
pub fn home(address: u64) -> u32 {
    // Fibonacci hashing: spreads the regular strides of slab and request pools evenly.
    let hash = (address >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as u32
}
