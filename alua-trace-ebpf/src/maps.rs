//! The maps, and the few lines that every probe needs to use them.

use alua_trace_ebpf::{
    Candidates, Cell, CellIds, CommandSlot, Control, Given, GlobalCounts,
    IN_FLIGHT_OVERFLOW_ENTRIES, IN_FLIGHT_SLOTS, InFlightSlot, LogEnds, LoggedCommand, MAX_PATHS,
    MAX_ROUTES, Noticed, Octave, OwnLines, PathCounts, PathSlot, RouteSlot, SHORTCUT_WAYS,
    Shortcut, sets,
};
use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, Queue, RingBuf},
};

use crate::{
    globals::Global,
    kernel::{add, machine},
};

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

// The collector says how large they are: those of one element, and this ring.
#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.log_ends")]
pub static LOG_ENDS: Global<[LogEnds; 1]> = unsafe { Global::zeroed() };

#[map]
pub static LOGS: Array<LoggedCommand> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.path_counts")]
pub static PATH_COUNTS: Global<[OwnLines<PathCounts>; 1]> = unsafe { Global::zeroed() };

#[map(name = "PATH_COUNTS")]
pub static PATH_COUNTS_ARRAY: Array<OwnLines<PathCounts>> =
    Array::with_max_entries(1, BPF_F_MMAPABLE);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.shortcuts")]
pub static SHORTCUTS: Global<[[Shortcut; SHORTCUT_WAYS]; 1]> = unsafe { Global::zeroed() };

// SAFETY: zeroes are free slots.
#[unsafe(link_section = ".bss.path_slots")]
pub static PATHS: Global<[PathSlot; 1]> = unsafe { Global::zeroed() };

#[map]
pub static PATH_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_PATHS, 0);

#[map]
pub static FREE_PATHS: Queue<u32> = Queue::with_max_entries(MAX_PATHS, 0);

// SAFETY: zeroes are free slots.
#[unsafe(link_section = ".bss.route_slots")]
pub static ROUTES: Global<[RouteSlot; MAX_ROUTES as usize]> = unsafe { Global::zeroed() };

#[map]
pub static ROUTE_IDS: HashMap<u64, u32> = HashMap::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static FREE_ROUTES: Queue<u32> = Queue::with_max_entries(MAX_ROUTES, 0);

// A hash map because its key is an address whose slot another command holds; rarely used.
#[map]
pub static IN_FLIGHT_OVERFLOW: HashMap<u64, CommandSlot> =
    HashMap::with_max_entries(IN_FLIGHT_OVERFLOW_ENTRIES, 0);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.cell_ids")]
pub static CELL_IDS: Global<[CellIds; 1]> = unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.cells")]
pub static CELLS: Global<[Cell; 1]> = unsafe { Global::zeroed() };

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.octaves")]
pub static OCTAVES: Global<[Octave; 1]> = unsafe { Global::zeroed() };

#[map]
pub static GIVEN: Array<Given> = Array::with_max_entries(1, BPF_F_MMAPABLE);

// SAFETY: zeroes are numbers.
#[unsafe(link_section = ".bss.global_counts")]
static GLOBAL_COUNTS: Global<[OwnLines<GlobalCounts>; 1]> = unsafe { Global::zeroed() };

/// The number of the CPU that this runs on, and goes on to run on.
#[inline(always)]
pub fn cpu() -> u64 {
    // SAFETY: the helper of this number takes no arguments and cannot fail. It gives the number in a whole register.
    unsafe {
        let helper: unsafe extern "C" fn() -> u64 = core::mem::transmute(8_usize);
        helper()
    }
}

/// Adds to one of this CPU's global counts.
#[inline(always)]
pub fn count_globally(add: impl FnOnce(&mut GlobalCounts)) {
    let counts = GLOBAL_COUNTS.of(cpu(), machine!(last_cpu));
    // SAFETY: this CPU's counts. What hooks that may interrupt each other count is added by
    // `count_globally_interrupted`.
    add(unsafe { &mut (*counts).0 });
}

/// Adds 1 to one of this CPU's global counts, in a hook that may interrupt itself: see
/// [`crate::path::count_interrupted`].
#[inline(always)]
pub fn count_globally_interrupted(field: impl FnOnce(*mut GlobalCounts) -> *mut u64) {
    let counts = GLOBAL_COUNTS.of(cpu(), machine!(last_cpu));
    // SAFETY: the counts are in the array.
    add(field(unsafe { &raw mut (*counts).0 }), 1);
}

/// Where a kernel address belongs in a table, whatever power of two of places it has.
#[inline(always)]
pub fn home(address: u64) -> u32 {
    // Fibonacci hashing: spreads the regular strides of slab and request pools evenly.
    let hash = (address >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as u32
}
