//! Routes: which dm map, path group and path a request came through.
//!
//! Request-based: the dispatched request is dm's clone; its `end_io_data` is the
//! `dm_rq_target_io`, followed by the `dm_mpath_io` with the `pgpath` that was chosen. Bio-based:
//! the request's first bio is dm's clone, preceded by the same data (`dm_per_bio_data`).

use alua_trace_ebpf::{ABSENT, Control, DmLayout, MAX_ROUTES, NO_ROUTE, RouteSlot, WAYS, sets};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{Reader, fence, forget, layout, read},
    maps::{CONTROL, FREE_ROUTES, ROUTE_CANDIDATES, ROUTE_IDS, ROUTES, count_globally},
    table::Ids,
};

/// Where dm's clone request has its `dm_mpath_io`, from its `end_io_data`.
#[inline(always)]
pub fn mpath_io_of_request(control: &Control, end_io_data: u64) -> u64 {
    end_io_data.wrapping_add(u64::from(control.dm.tio_size))
}

/// The `pgpath` that was chosen, or 0.
#[inline(always)]
pub fn pgpath(control: &Control, mpath_io: u64) -> u64 {
    read::<u64>(mpath_io, control.dm.mpath_io_pgpath).unwrap_or(0)
}

/// Where the first bio of a request has its `dm_mpath_io`, or 0 when that is no clone of dm's.
#[inline(always)]
pub fn mpath_io_of_bio(control: &Control, request: u64) -> u64 {
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
    bio.wrapping_sub(u64::from(control.dm.bio_to_mpath_io))
}

const IDS: Ids<{ sets(MAX_ROUTES) }> = Ids {
    candidates: &ROUTE_CANDIDATES,
    given: &ROUTE_IDS,
    free: &FREE_ROUTES,
};

/// The route of a `pgpath`, found or made; `guess` is that of the path's last command.
#[inline(always)]
pub fn find(ctx: &impl EbpfContext, control: &Control, pgpath: u64, guess: u16) -> u16 {
    if is_fresh(control, pgpath, u32::from(guess)) {
        return guess;
    }
    let candidate = IDS.candidate(pgpath, 0);
    let id = if is_fresh(control, pgpath, candidate) {
        candidate
    } else {
        forget(u64::from(search(pgpath)), pgpath) as u32
    };
    if id < MAX_ROUTES {
        id as u16
    } else {
        table_full(ctx)
    }
}

/// Whether the slot of `id` is this route's, and nothing has changed since it was last looked at.
#[inline(always)]
fn is_fresh(control: &Control, pgpath: u64, id: u32) -> bool {
    if id >= MAX_ROUTES {
        return false;
    }
    let slot = ROUTES.at(id);
    // SAFETY: `slot` points into the array; both words are written whole.
    unsafe {
        (&raw const (*slot).pgpath).read_volatile() == pgpath
            && (&raw const (*slot).generation).read_volatile() == control.generation
    }
}

/// Finds, makes or confirms a route's slot: its id, or an id past the table when none is left.
/// Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(pgpath: u64) -> u32 {
    let control = CONTROL.get();
    for way in 1..WAYS {
        let id = IDS.candidate(pgpath, way);
        if is_fresh(control, pgpath, id) {
            return id;
        }
    }
    // Before the kernel is read: a generation raised meanwhile makes it read again.
    // SAFETY: a reference is valid to read.
    let generation = unsafe { (&raw const control.generation).read_volatile() };
    fence();
    let mut kernel = Reader::new();
    let target = Target::read(&mut kernel, &control.dm, pgpath);
    kernel.finish();
    let id = match own(pgpath, generation, &target) {
        Some(id) => id,
        None => make(pgpath, generation, &target),
    };
    if id < MAX_ROUTES {
        IDS.remember(pgpath, id, address_of);
    }
    id
}

/// The id of a `pgpath` that has one. When its memory was another one's, before a table was
/// reloaded, that one's is retired.
#[inline(always)]
fn own(pgpath: u64, generation: u64, target: &Target) -> Option<u32> {
    let id = IDS.of(pgpath)?;
    let slot = ROUTES.at(id);
    // SAFETY: `slot` points into the array; where it leads does not change while `pgpath` stays.
    unsafe {
        let word = &raw mut (*slot).pgpath;
        // One comparison: each branch multiplies what the verifier has to look at.
        let differs =
            u64::from((&raw const (*slot).path_group).read_volatile() ^ target.path_group)
                | u64::from((&raw const (*slot).major).read_volatile() ^ target.major)
                | u64::from((&raw const (*slot).minor).read_volatile() ^ target.minor)
                | (word.read_volatile() ^ pgpath);
        if differs == 0 {
            (&raw mut (*slot).generation).write_volatile(generation);
            return Some(id);
        }
        IDS.retire(pgpath, word);
    }
    None
}

/// A new id for a route, with its slot: that of the CPU which was first, if several make one.
#[inline(always)]
fn make(pgpath: u64, generation: u64, target: &Target) -> u32 {
    let Some(id) = IDS.take() else {
        return MAX_ROUTES;
    };
    let slot = ROUTES.at(id);
    let fresh = RouteSlot {
        pgpath,
        generation,
        path_group: target.path_group,
        major: target.major,
        minor: target.minor,
        reserved: 0,
    };
    // SAFETY: `slot` points into the array, and nobody else knows the id.
    unsafe { slot.write_volatile(fresh) };
    fence();
    if IDS.give(pgpath, id) {
        count_globally(|counts| counts.routes += 1);
        return id;
    }
    // SAFETY: as above.
    unsafe { (&raw mut (*slot).pgpath).write_volatile(0) };
    IDS.put_back(id);
    IDS.of(pgpath).unwrap_or(MAX_ROUTES)
}

#[inline(always)]
fn address_of(id: u32) -> u64 {
    // SAFETY: the slot is in the array.
    unsafe { (&raw const (*ROUTES.at(id)).pgpath).read_volatile() }
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
    if first {
        complain(ctx);
    }
    NO_ROUTE
}
