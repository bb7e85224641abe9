//! The maps, and the few lines that every probe needs to use them.

use alua_trace_ebpf::{
    CommandSlot, Control, GlobalCounts, IN_FLIGHT_OVERFLOW_ENTRIES, IN_FLIGHT_SLOTS, InFlightSlot,
    MAX_PATHS, MAX_ROUTES, PathCounts, PathSlot, RING_BYTES, RouteSlot,
};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    macros::map,
    maps::{Array, HashMap, PerCpuArray, RingBuf},
};

#[map]
pub static EVENTS: RingBuf = RingBuf::with_byte_size(RING_BYTES, 0);

#[map]
pub static PATH_COUNTS: PerCpuArray<PathCounts> = PerCpuArray::with_max_entries(MAX_PATHS, 0);

#[map]
pub static PATHS: Array<PathSlot> = Array::with_max_entries(MAX_PATHS, 0);

#[map]
pub static ROUTES: Array<RouteSlot> = Array::with_max_entries(MAX_ROUTES, 0);

#[map]
pub static IN_FLIGHT: Array<InFlightSlot> = Array::with_max_entries(IN_FLIGHT_SLOTS, 0);

// A hash map because its key is an address whose slot another command holds; rarely used.
#[map]
pub static IN_FLIGHT_OVERFLOW: HashMap<u64, CommandSlot> =
    HashMap::with_max_entries(IN_FLIGHT_OVERFLOW_ENTRIES, 0);

/// Whose each slot of [`PATHS`], then of [`ROUTES`], is. A hash map because it alone can give a slot
/// to one CPU of several without a compare-and-swap; used when a path or route is new.
#[map]
static CLAIMS: HashMap<u32, u64> = HashMap::with_max_entries(MAX_PATHS + MAX_ROUTES, 0);

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
        // SAFETY: this CPU's element of a per-CPU array; an interrupting program may add to the
        // same element between load and store, which the `_start`/`_done` hooks do not do to the
        // same field on one CPU.
        add(unsafe { &mut *counts });
    }
}

/// Claims a slot for `owner`: whether it is `owner`'s now, by us or by another CPU. `word` says whose
/// it is, 0 for nobody's; `number` counts the slots of both tables.
///
/// # Safety
/// `word` points into the slot.
#[inline(always)]
pub unsafe fn claimed(number: u32, word: *mut u64, owner: u64) -> bool {
    // SAFETY: as promised by the caller; another CPU may be writing.
    let before = unsafe { word.read_volatile() };
    if before != 0 {
        return before == owner;
    }
    let ours = CLAIMS.insert(number, owner, u64::from(BPF_NOEXIST)).is_ok()
        // SAFETY: an element of the map is written once.
        || unsafe { CLAIMS.get(number) }.is_some_and(|other| *other == owner);
    if ours {
        // SAFETY: as promised by the caller; another CPU writes the same.
        unsafe { word.write_volatile(owner) };
    }
    ours
}

/// Home slot of a kernel address in a table of `entries` (a power of two).
#[inline(always)]
pub fn home_slot(address: u64, entries: u32) -> u32 {
    // Fibonacci hashing: spreads the regular strides of slab and request pools evenly.
    let hash = (address >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 32) as u32 & (entries - 1)
}
