//! Paths: the table from `scsi_device` address to path id, the access state, exact counts.
//!
//! A slot caches what does not change with every command. When the generation has moved on, the
//! next command on the path reads the kernel again, so that a freed and reused `scsi_device` or a
//! handler attached later is noticed.

use alua_trace_ebpf::{
    ABSENT, Control, Followed, MAX_PATHS, NO_PATH, NO_ROUTE, PathCounts, PathSlot, Seen, WAYS,
    access_state, handler, sets, state_source,
};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{Reader, add, fence, forget, layout, machine, read},
    maps::{
        CONTROL, FREE_PATHS, NOTICED, PATH_CANDIDATES, PATH_COUNTS, PATH_COUNTS_ARRAY, PATH_IDS,
        PATHS, count_globally, cpu,
    },
    shortcuts,
    table::Ids,
};

/// No path: commands on it are counted nowhere.
const NONE: Followed = Followed::with_seen(NO_PATH, NO_ROUTE, Seen::UNKNOWN);

/// This CPU's counts of a path; `None` for [`NO_PATH`].
#[inline(always)]
fn counts_of(path: u16) -> Option<*mut PathCounts> {
    let (path, last) = (u64::from(path), machine!(last_path));
    if path > last {
        return None;
    }
    let first = (cpu() & machine!(last_cpu)).wrapping_mul(last.wrapping_add(1));
    let index = first.wrapping_add(path);
    let counts = if machine!(counts_in_array) != 0 {
        PATH_COUNTS_ARRAY.get_ptr_mut(index as u32)?
    } else {
        PATH_COUNTS.of(index, u64::MAX)
    };
    // SAFETY: the element is what it is of.
    Some(unsafe { &raw mut (*counts).0 })
}

/// Adds to one of this CPU's counts of a path.
#[inline(always)]
pub fn count(path: u16, add: impl FnOnce(&mut PathCounts)) {
    if let Some(counts) = counts_of(path) {
        // SAFETY: no other CPU's.
        add(unsafe { &mut *counts });
    }
}

/// Adds to one of this CPU's counts of a path, in a hook that may interrupt itself: before Linux 6.2
/// nothing keeps a raw tracepoint's program from running in a hard interrupt over its own run.
#[inline(always)]
pub fn count_interrupted(path: u16, number: u64, field: impl FnOnce(*mut PathCounts) -> *mut u64) {
    if let Some(counts) = counts_of(path) {
        add(field(counts), number);
    }
}

const IDS: Ids<{ sets(MAX_PATHS) }> = Ids {
    candidates: &PATH_CANDIDATES,
    given: &PATH_IDS,
    free: &FREE_PATHS,
};

/// The slot of an id. Those that there are come from the collector, and it has made room for each.
#[inline(always)]
fn slot_of(id: u32) -> *mut PathSlot {
    PATHS.of(u64::from(id), machine!(last_path))
}

/// The path of a `scsi_device`, found or made, its access state at this moment, and its route, or a guess at it
/// ([`PathSlot::route`]); no flags.
#[inline(always)]
pub fn find(ctx: &impl EbpfContext, control: &Control, sdev: u64) -> Followed {
    let known = match shortcuts::find(sdev, control.generation) {
        Some(known) => known,
        None => Followed(forget(search(sdev), sdev)),
    };
    if known.path() == NO_PATH {
        table_full(ctx);
    } else if known.seen().is_live() {
        return Followed(forget(at_this_moment(known.0), sdev));
    }
    known
}

/// `known` with the state that the handler has now. Not inlined: needed only while an ALUA state may change, and for RDAC.
#[inline(never)]
fn at_this_moment(known: u64) -> u64 {
    let (control, known) = (CONTROL.get(), Followed(known));
    let slot = slot_of(u32::from(known.path()));
    // SAFETY: `slot` points into the array.
    let (keeper, handler, source) = unsafe {
        (
            (&raw const (*slot).handler_state).read_volatile(),
            (&raw const (*slot).handler).read_volatile(),
            (&raw const (*slot).state_source).read_volatile(),
        )
    };
    let seen = Seen::new(source, live_state(control, keeper, u64::from(handler)));
    Followed::with_seen(known.path(), known.route(), seen).0
}

/// What the slot of `id` says, if it is this device's and up to date.
#[inline(always)]
fn seen(control: &Control, sdev: u64, id: u32) -> Option<Followed> {
    let slot = slot_of(id);
    // SAFETY: `slot` points into the array; others may be writing, whose writes `generation` shows.
    unsafe {
        if (&raw const (*slot).sdev).read_volatile() != sdev {
            return None;
        }
        let generation = (&raw const (*slot).generation).read_volatile();
        if generation != control.generation {
            return None;
        }
        fence();
        let seen = Seen((&raw const (*slot).seen.0).read_volatile());
        let route = (&raw const (*slot).route).read_volatile();
        fence();
        let settled = (&raw const (*slot).generation).read_volatile() == generation;
        settled.then_some(Followed::with_seen(id as u16, route, seen))
    }
}

/// Finds, makes or refreshes a device's slot: what [`find`] gives, with [`NO_PATH`] when there is no id left, and a state that
/// may be live. Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(sdev: u64) -> u64 {
    let control = CONTROL.get();
    for way in 0..WAYS {
        if let Some(known) = seen(control, sdev, IDS.candidate(sdev, way)) {
            shortcuts::make(sdev, control.generation, known.0);
            return known.0;
        }
    }
    // Before the kernel is read: a generation raised meanwhile makes it read again.
    // SAFETY: a reference is valid to read.
    let generation = unsafe { (&raw const control.generation).read_volatile() };
    fence();
    // SAFETY: a word of it.
    let changing = unsafe { (&raw const (*NOTICED.as_ptr()).states_changing).read_volatile() };
    let mut kernel = Reader::new();
    let mut fresh = PathSlot {
        sdev,
        generation,
        state: access_state::LIVE,
        ..PathSlot::FREE
    };
    read_address(&mut kernel, &mut fresh);
    read_handler(&mut kernel, control, &mut fresh);
    let id = match own(&fresh) {
        Some(id) => {
            renew(&mut kernel, control, id, &mut fresh, changing);
            id
        }
        None => {
            fresh.state_source = source_of(&mut kernel, control, &fresh, true);
            cache(control, &mut fresh, changing);
            make(&fresh)
        }
    };
    kernel.finish();
    if id >= MAX_PATHS {
        return NONE.0;
    }
    IDS.remember(sdev, id, address_of);
    let known = Followed::with_seen(id as u16, NO_ROUTE, fresh.seen).0;
    shortcuts::make(sdev, generation, known);
    known
}

/// The route of a command on a path, for those after it. Not inlined: rarely run.
#[inline(never)]
pub fn remember_route(id: u64, route: u64) {
    let slot = slot_of(id as u32);
    // SAFETY: `slot` points into the array; the word is a guess, written whole.
    unsafe { (&raw mut (*slot).route).write_volatile(route as u16) };
}

/// The id of a device that has one. When its memory was another device's, that one's is retired.
#[inline(always)]
fn own(fresh: &PathSlot) -> Option<u32> {
    let id = IDS.of(fresh.sdev)?;
    let slot = slot_of(id);
    // SAFETY: `slot` points into the array; the address does not change while `sdev` stays.
    unsafe {
        let word = &raw mut (*slot).sdev;
        // One comparison: each branch multiplies what the verifier has to look at.
        let differs = u64::from((&raw const (*slot).host).read_volatile() ^ fresh.host)
            | u64::from((&raw const (*slot).channel).read_volatile() ^ fresh.channel)
            | u64::from((&raw const (*slot).target).read_volatile() ^ fresh.target)
            | ((&raw const (*slot).lun).read_volatile() ^ fresh.lun)
            | (word.read_volatile() ^ fresh.sdev);
        if differs == 0 {
            return Some(id);
        }
        IDS.retire(fresh.sdev, word);
    }
    None
}

/// A new id for a device, with its slot: that of the CPU which was first, if several make one.
#[inline(always)]
fn make(fresh: &PathSlot) -> u32 {
    let Some(id) = IDS.take() else {
        return MAX_PATHS;
    };
    let slot = slot_of(id);
    // SAFETY: `slot` points into the array, and nobody else knows the id.
    unsafe { slot.write_volatile(*fresh) };
    fence();
    if IDS.give(fresh.sdev, id) {
        count_globally(|counts| counts.paths += 1);
        return id;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*slot).sdev).write_volatile(0) };
    IDS.put_back(id);
    IDS.of(fresh.sdev).unwrap_or(MAX_PATHS)
}

/// Brings a slot up to date, unless another CPU does so now: then `fresh` serves for one command.
#[inline(always)]
fn renew(kernel: &mut Reader, control: &Control, id: u32, fresh: &mut PathSlot, changing: u64) {
    let slot = slot_of(id);
    // SAFETY: `slot` points into the array; writers take turns.
    unsafe {
        // Once known it stays known, as long as the same object keeps it.
        let same = (&raw const (*slot).handler_state).read_volatile() == fresh.handler_state;
        fresh.state_source = (&raw const (*slot).state_source).read_volatile();
        if !same || fresh.state_source == state_source::NONE {
            fresh.state_source = source_of(kernel, control, fresh, false);
        }
        cache(control, fresh, changing);
        let writers = &raw mut (*slot).writers;
        add(writers, 1);
        fence();
        if writers.read_volatile() == 1 {
            (&raw mut (*slot).generation).write_volatile(0);
            fence();
            (&raw mut (*slot).handler_state).write_volatile(fresh.handler_state);
            (&raw mut (*slot).handler).write_volatile(fresh.handler);
            (&raw mut (*slot).controller).write_volatile(fresh.controller);
            (&raw mut (*slot).state_source).write_volatile(fresh.state_source);
            (&raw mut (*slot).state).write_volatile(fresh.state);
            (&raw mut (*slot).seen).write_volatile(fresh.seen);
            // A route is one since the generation.
            (&raw mut (*slot).route).write_volatile(NO_ROUTE);
            fence();
            (&raw mut (*slot).generation).write_volatile(fresh.generation);
        }
        fence();
        add(writers, u64::MAX);
    }
}

/// Keeps an ALUA state in the slot while every change of it raises the generation.
#[inline(always)]
fn cache(control: &Control, fresh: &mut PathSlot, changing: u64) {
    let may = control.cache_states != 0 && changing == 0 && fresh.handler == handler::ALUA;
    if may && fresh.state_source != state_source::NONE {
        fresh.state = live_state(control, fresh.handler_state, u64::from(fresh.handler));
    }
    fresh.seen = Seen::new(fresh.state_source, fresh.state);
}

#[inline(always)]
fn address_of(id: u32) -> u64 {
    // SAFETY: the slot is in the array.
    unsafe { (&raw const (*slot_of(id)).sdev).read_volatile() }
}

/// H:C:T:L of a device.
#[inline(always)]
fn read_address(kernel: &mut Reader, fresh: &mut PathSlot) {
    let sdev = fresh.sdev;
    let host = kernel.u64(sdev, layout!(sdev_host));
    fresh.host = kernel.u32(host, layout!(host_no));
    fresh.channel = kernel.u32(sdev, layout!(sdev_channel));
    fresh.target = kernel.u32(sdev, layout!(sdev_id));
    fresh.lun = kernel.u64(sdev, layout!(sdev_lun));
}

/// State byte of a path at this moment, as its handler has it. Not inlined: needed only while an
/// ALUA state may change, and for RDAC, whose handler has no one place where it does.
#[inline(never)]
fn live_state(control: &Control, keeper: u64, handler: u64) -> u8 {
    if handler == u64::from(handler::RDAC) {
        return rdac_state(control, keeper);
    }
    // `state` and `pref` are neighbours in every kernel looked at, and checked to be at load.
    let Some([state, preferred]) = read::<[u32; 2]>(keeper, control.alua.pg_state) else {
        return access_state::UNKNOWN;
    };
    let preferred = if preferred != 0 {
        access_state::PREFERRED
    } else {
        0
    };
    (state as u8 & access_state::MASK) | preferred
}

/// `rdac_dh_data.state`: the handler lets no I/O through (`RDAC_STATE_PASSIVE`).
const RDAC_STATE_PASSIVE: u8 = 1;
/// `rdac_dh_data.mode`: only the owner serves I/O (`RDAC_MODE`).
const RDAC_MODE: u8 = 0;

/// What `rdac_prep_fn` goes by. In RDAC mode a path is made active by VPD page C9h, or by the MODE
/// SELECT that moved the unit here, after which the page is not read again.
#[inline(always)]
fn rdac_state(control: &Control, keeper: u64) -> u8 {
    let read = read::<[u8; 4]>(keeper, control.rdac.dh_mode);
    let Some([mode, state, owned, preferred]) = read else {
        return access_state::UNKNOWN;
    };
    let access = if state == RDAC_STATE_PASSIVE {
        access_state::STANDBY
    } else if owned != 0 || mode == RDAC_MODE {
        access_state::OPTIMIZED
    } else {
        access_state::NON_OPTIMIZED
    };
    if preferred != 0 {
        access | access_state::PREFERRED
    } else {
        access
    }
}

/// Handler of a path, and what keeps its state.
#[inline(always)]
fn read_handler(kernel: &mut Reader, control: &Control, fresh: &mut PathSlot) {
    fresh.handler = handler_of(kernel, fresh.sdev);
    let data = kernel.u64(fresh.sdev, layout!(sdev_handler_data));
    if fresh.handler == handler::ALUA && control.alua.dh_pg != ABSENT && data != 0 {
        fresh.handler_state = kernel.u64(data, control.alua.dh_pg);
    }
    if fresh.handler == handler::RDAC && control.rdac.dh_mode != ABSENT {
        fresh.handler_state = data;
        let controller = kernel.u64(data, control.rdac.dh_controller);
        // SAFETY: 0 is a number.
        let index = unsafe { kernel.get::<u8>(controller, control.rdac.controller_index) };
        // SAFETY: 0 is a number.
        let mode = unsafe { kernel.get::<u8>(data, control.rdac.dh_mode) };
        fresh.controller = (index & 0x3f) | mode << 6;
    }
}

/// Whether what keeps a path's state knows it, and since when: before its `first` command here, or
/// since.
#[inline(always)]
fn source_of(kernel: &mut Reader, control: &Control, fresh: &PathSlot, first: bool) -> u8 {
    let keeper = fresh.handler_state;
    if keeper == 0 {
        return state_source::NONE;
    }
    if fresh.handler == handler::RDAC {
        // `rdac_bus_attach` fails when it cannot read the page.
        return state_source::HANDLER_DATA;
    }
    // SAFETY: 0 is a number.
    let timeout = unsafe { kernel.get::<u8>(keeper, control.alua.pg_transition_tmo) };
    if u32::from(timeout) | kernel.u32(keeper, control.alua.pg_state) == 0 {
        state_source::NONE
    } else if first {
        state_source::HANDLER_DATA
    } else {
        state_source::RTPG_SEEN
    }
}

/// Which handler is attached, by the first letters of its name.
#[inline(always)]
fn handler_of(kernel: &mut Reader, sdev: u64) -> u8 {
    const ALUA: u32 = u32::from_le_bytes(*b"alua");
    const RDAC: u32 = u32::from_le_bytes(*b"rdac");
    let attached = kernel.u64(sdev, layout!(sdev_handler));
    if attached == 0 {
        return handler::NONE;
    }
    let name = kernel.u64(attached, layout!(handler_name));
    match kernel.u32(name, 0) {
        ALUA => handler::ALUA,
        RDAC => handler::RDAC,
        _ => handler::OTHER,
    }
}

/// Not inlined: a complaint takes more instructions than all the rest.
#[inline(never)]
fn complain(ctx: &impl EbpfContext) {
    warn!(
        ctx,
        "path table full: commands on further devices are not traced"
    );
}

#[inline(always)]
fn table_full(ctx: &impl EbpfContext) {
    let mut first = false;
    count_globally(|counts| {
        counts.path_table_full += 1;
        first = counts.path_table_full == 1;
    });
    if first {
        complain(ctx);
    }
}
