//! Routes: which dm map, path group and path a request came through.
//!
//! Request-based: the dispatched request is dm's clone; its `end_io_data` is the
//! `dm_rq_target_io`, followed by the `dm_mpath_io` with the `pgpath` that was chosen. Bio-based:
//! the request's first bio is dm's clone, preceded by the same data (`dm_per_bio_data`).

use alua_trace_ebpf::{
    ABSENT, Control, DmLayout, MAX_PATHS, MAX_ROUTES, NO_ROUTE, PROBE_LENGTH, RETIRED, RouteSlot,
};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{Reader, layout, read},
    maps::{CONTROL, ROUTES, claimed, count_globally, home_slot},
};

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
pub fn find(ctx: &impl EbpfContext, control: &Control, pgpath: u64) -> u16 {
    let home = home_slot(pgpath, MAX_ROUTES);
    let fresh = ROUTES
        .get(home)
        .is_some_and(|slot| slot.pgpath == pgpath && slot.generation == control.generation);
    let id = if fresh { home } else { search(pgpath) };
    if id < MAX_ROUTES {
        id as u16
    } else {
        table_full(ctx)
    }
}

/// Finds, makes or refreshes a route's slot: its id, or an id past the table when it is full.
/// Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(pgpath: u64) -> u32 {
    let Some(control) = CONTROL.get(0) else {
        return MAX_ROUTES;
    };
    let mut kernel = Reader::new();
    let target = Target::read(&mut kernel, &control.dm, pgpath);
    kernel.finish();
    let id = slot_of(pgpath, &target);
    let Some(slot) = ROUTES.get_ptr_mut(id) else {
        return MAX_ROUTES;
    };
    // SAFETY: `slot` points into the array; concurrent refreshes write the same values.
    let slot = unsafe { &mut *slot };
    slot.path_group = target.path_group;
    slot.major = target.major;
    slot.minor = target.minor;
    slot.generation = control.generation;
    id
}

/// Where a route leads.
pub struct Target {
    pub path_group: u32,
    pub major: u32,
    pub minor: u32,
}

/// Major and minor number of the map a `dm_target` belongs to.
#[inline(always)]
pub fn map_of_target(kernel: &mut Reader, dm: &DmLayout, ti: u64) -> (u32, u32) {
    let table = kernel.u64(ti, dm.ti_table);
    let md = kernel.u64(table, dm.table_md);
    let disk = kernel.u64(md, dm.md_disk);
    (
        kernel.u32(disk, dm.disk_major),
        kernel.u32(disk, dm.disk_first_minor),
    )
}

impl Target {
    #[inline(always)]
    pub fn read(kernel: &mut Reader, dm: &DmLayout, pgpath: u64) -> Self {
        let pg = kernel.u64(pgpath, dm.pgpath_pg);
        let m = kernel.u64(pg, dm.pg_m);
        let ti = kernel.u64(m, dm.m_ti);
        let (major, minor) = map_of_target(kernel, dm, ti);
        Self {
            path_group: kernel.u32(pg, dm.pg_num),
            major,
            minor,
        }
    }

    #[inline(always)]
    fn is_of(&self, slot: &RouteSlot) -> bool {
        // One comparison: each branch in the loop multiplies what the verifier has to look at.
        let differs = (slot.path_group ^ self.path_group)
            | (slot.major ^ self.major)
            | (slot.minor ^ self.minor);
        differs == 0 || slot.generation == 0
    }
}

/// The slot that belongs to this `pgpath`, claimed if need be: its id, or one past the table. A
/// slot whose table was reloaded and the address given to another path is retired.
#[inline(always)]
fn slot_of(pgpath: u64, target: &Target) -> u32 {
    let home = home_slot(pgpath, MAX_ROUTES);
    for step in 0..PROBE_LENGTH {
        let id = (home + step) & (MAX_ROUTES - 1);
        let Some(slot) = ROUTES.get_ptr_mut(id) else {
            break;
        };
        // SAFETY: `slot` points into the array; another CPU may be writing.
        if unsafe { claimed(MAX_PATHS + id, &raw mut (*slot).pgpath, pgpath) } {
            // SAFETY: as above.
            let slot = unsafe { &mut *slot };
            if target.is_of(slot) {
                return id;
            }
            slot.pgpath = RETIRED;
        }
    }
    MAX_ROUTES
}

/// Not inlined: a complaint takes more instructions than all the rest.
#[inline(never)]
fn complain(ctx: &impl EbpfContext) {
    warn!(
        ctx,
        "route table full: the map of further paths is not known"
    );
}

#[inline(always)]
fn table_full(ctx: &impl EbpfContext) -> u16 {
    let mut first = false;
    count_globally(|counts| {
        counts.route_table_full += 1;
        first = counts.route_table_full == 1;
    });
    // Once per CPU: a full table does not empty again.
    if first {
        complain(ctx);
    }
    NO_ROUTE
}
