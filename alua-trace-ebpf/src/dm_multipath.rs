//! Routes: which dm map, path group and path a request came through.
//!
//! Request-based: the dispatched request is dm's clone; its `end_io_data` is the
//! `dm_rq_target_io`, followed by the `dm_mpath_io` with the `pgpath` that was chosen. Bio-based:
//! the request's first bio is dm's clone, preceded by the same data (`dm_per_bio_data`).

use alua_trace_ebpf::{ABSENT, Control, MAX_ROUTES, NO_ROUTE, PROBE_LENGTH, RouteSlot};
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{claim, layout, read},
    maps::{CONTROL, ROUTES, count_globally, generation, home_slot},
};

/// A slot that is not used again.
const RETIRED: u64 = 1;

/// The `pgpath` of dm's clone request, from its `end_io_data`.
#[inline(always)]
pub fn pgpath_of_request(control: &Control, end_io_data: u64) -> u64 {
    let offset = control.dm.tio_size.wrapping_add(control.dm.mpath_io_pgpath);
    read::<u64>(end_io_data, offset).unwrap_or(0)
}

/// The `pgpath` of the first bio of a request, or 0 when that is no clone of dm's.
#[inline(always)]
pub fn pgpath_of_bio(control: &Control, request: u64) -> u64 {
    if control.dm.bio_to_mpath_io == ABSENT || control.clone_endio == 0 {
        return 0;
    }
    let bio = read::<u64>(request, layout!(request_bio)).unwrap_or(0);
    if bio == 0 {
        return 0;
    }
    let end_io = read::<u64>(bio, control.dm.bio_end_io).unwrap_or(0);
    if end_io != control.clone_endio {
        return 0;
    }
    let mpath_io = bio.wrapping_sub(u64::from(control.dm.bio_to_mpath_io));
    read::<u64>(mpath_io, control.dm.mpath_io_pgpath).unwrap_or(0)
}

/// The route of a `pgpath`, found or made.
#[inline(always)]
pub fn find(ctx: &RawTracePointContext, control: &Control, pgpath: u64) -> u16 {
    let home = home_slot(pgpath, MAX_ROUTES);
    let fresh = ROUTES
        .get(home)
        .is_some_and(|slot| slot.pgpath == pgpath && slot.generation == generation(control));
    let id = if fresh { home } else { search(pgpath) };
    if id < MAX_ROUTES { id as u16 } else { table_full(ctx) }
}

/// Finds, makes or refreshes a route's slot: its id, or an id past the table when it is full.
/// Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(pgpath: u64) -> u32 {
    let Some(control) = CONTROL.get(0) else { return MAX_ROUTES };
    let home = home_slot(pgpath, MAX_ROUTES);
    for step in 0..PROBE_LENGTH {
        let id = (home + step) & (MAX_ROUTES - 1);
        let Some(slot) = ROUTES.get_ptr_mut(id) else { break };
        // SAFETY: `slot` points into the array; another CPU may be writing, which is what the
        // compare-and-swap is for.
        let mut current = unsafe { (&raw const (*slot).pgpath).read_volatile() };
        if current == 0 {
            // Another CPU may take the slot first, for this very path.
            // SAFETY: as above.
            current = match claim(unsafe { &raw mut (*slot).pgpath }, pgpath) {
                0 => pgpath,
                taken => taken,
            };
        }
        if current == pgpath {
            // SAFETY: as above; concurrent refreshes write the same values.
            let slot = unsafe { &mut *slot };
            if slot.generation == generation(control) || refresh(control, slot, pgpath) {
                return id;
            }
        }
    }
    MAX_ROUTES
}

/// Reads again what a slot caches. False when the slot now belongs to the past: the table was
/// reloaded and the address given to another path.
#[inline(always)]
fn refresh(control: &Control, slot: &mut RouteSlot, pgpath: u64) -> bool {
    let first = slot.generation == 0;
    let dm = &control.dm;
    let pg = read::<u64>(pgpath, dm.pgpath_pg).unwrap_or(0);
    let path_group = read::<u32>(pg, dm.pg_num).unwrap_or(0);
    let disk = read::<u64>(pg, dm.pg_m)
        .and_then(|m| read::<u64>(m, dm.m_ti))
        .and_then(|ti| read::<u64>(ti, dm.ti_table))
        .and_then(|table| read::<u64>(table, dm.table_md))
        .and_then(|md| read::<u64>(md, dm.md_disk))
        .unwrap_or(0);
    let major = read::<u32>(disk, dm.disk_major).unwrap_or(0);
    let minor = read::<u32>(disk, dm.disk_first_minor).unwrap_or(0);
    let same = slot.path_group == path_group && slot.major == major && slot.minor == minor;
    if !first && !same {
        slot.pgpath = RETIRED;
        return false;
    }
    slot.pg = pg;
    slot.path_group = path_group;
    slot.major = major;
    slot.minor = minor;
    slot.generation = generation(control);
    true
}

#[cold]
#[inline(always)]
fn table_full(ctx: &RawTracePointContext) -> u16 {
    let mut first = false;
    count_globally(|counts| {
        counts.route_table_full += 1;
        first = counts.route_table_full == 1;
    });
    // Once per CPU: a full table does not empty again.
    if first {
        warn!(ctx, "route table full: the map of further paths is not known");
    }
    NO_ROUTE
}
