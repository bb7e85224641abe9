//! The probes' tables and counts: reading them, and giving ids back that nothing stands for any more.

use std::{
    os::fd::{AsFd, OwnedFd},
    ptr::NonNull,
    sync::Arc,
};

use alua_trace_ebpf::{
    CommandSlot, GlobalCounts, IN_FLIGHT_SLOTS, InFlightSlot, MAX_ROUTES, OwnLines, PathCounts,
    PathSlot, RETIRED, RouteSlot, map_name,
};
use anyhow::{Context, Result};
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, Queue},
};

use super::object::Object;
use crate::ingest::mapped::{Growing, Mapped};

/// Slots that are mapped at once: whole pages, whatever size those have.
const PART: usize = 1024;
/// Ids of paths that wait for devices which appear, beside one for each that is there.
const SPARE_PATHS: u64 = 512;
/// Ids of routes that wait for tables, beside two for each device.
const SPARE_ROUTES: u64 = 1024;

const _: () = assert!((IN_FLIGHT_SLOTS as usize).is_multiple_of(PART));

/// A wire record as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(super) struct Wire<T>(pub T);

// SAFETY: the wire's records are `repr(C)` integers without padding, which their own assertions
// hold; any bytes are valid for them.
unsafe impl<T: Copy + 'static> Pod for Wire<T> {}

/// Ids that are nobody's, and those that nobody has had yet: a host needs a few of all that there could be, and each is
/// a system call.
struct FreeIds {
    queue: Queue<MapData, u32>,
    /// The first one that was never in the queue.
    next: u32,
    /// Ids there are.
    entries: u32,
    /// Put into the queue so far; what is given back counts again.
    put: u64,
    /// As many should be in the queue.
    margin: u64,
}

impl FreeIds {
    fn put(&mut self, id: u32) -> Result<()> {
        self.put += 1;
        self.queue
            .push(id, 0)
            .context("failed to give an id to the probes")
    }

    /// Fills the queue, of which the probes have taken so many.
    fn top_up(&mut self, taken: u64) -> Result<()> {
        while self.put.saturating_sub(taken) < self.margin && self.next < self.entries {
            self.put(self.next)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// How many there are of what the probes count and keep.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Ids of paths.
    pub paths: u32,
    /// Numbers of CPUs.
    pub cpus: u32,
    /// Name of the map that has the counts of paths.
    pub counts: &'static str,
}

/// Everything the probes count and keep.
pub struct Tables {
    room: Room,
    paths: Growing<PathSlot>,
    path_ids: HashMap<MapData, u64, u32>,
    free_paths: FreeIds,
    routes: Growing<RouteSlot>,
    route_ids: HashMap<MapData, u64, u32>,
    free_routes: FreeIds,
    /// Of all paths, by CPU.
    counts: Vec<Growing<OwnLines<PathCounts>>>,
    /// By CPU.
    global: Mapped<OwnLines<GlobalCounts>>,
    /// An id was retired, and the probes have not been told.
    has_retired: bool,
    in_flight: OwnedFd,
    overflow: HashMap<MapData, u64, Wire<CommandSlot>>,
}

impl Tables {
    /// Opens the maps, and makes ids free for a host with so many devices.
    ///
    /// # Errors
    /// The object has other maps.
    pub fn open(object: &Object, room: Room, devices: usize) -> Result<Self> {
        let ids = |name| Ok::<_, anyhow::Error>(Map::HashMap(object.map(name)?));
        let mut tables = Self {
            free_paths: free_ids(object, map_name::FREE_PATHS, room.paths)?,
            free_routes: free_ids(object, map_name::FREE_ROUTES, MAX_ROUTES)?,
            paths: Growing::new(owned(object, map_name::PATHS)?, 0, room.paths as usize),
            path_ids: HashMap::try_from(ids(map_name::PATH_IDS)?)?,
            routes: Growing::new(owned(object, map_name::ROUTES)?, 0, MAX_ROUTES as usize),
            route_ids: HashMap::try_from(ids(map_name::ROUTE_IDS)?)?,
            counts: counts(object, room)?,
            global: Mapped::new(object.fd(map_name::GLOBAL_COUNTS)?, room.cpus as usize)
                .context("failed to map the global counts")?,
            has_retired: false,
            in_flight: object.fd(map_name::IN_FLIGHT)?.try_clone_to_owned()?,
            overflow: HashMap::try_from(ids(map_name::IN_FLIGHT_OVERFLOW)?)?,
            room,
        };
        tables.expect_devices(devices);
        tables.top_up(&GlobalCounts::default())?;
        Ok(tables)
    }

    /// The host has so many devices now.
    pub fn expect_devices(&mut self, devices: usize) {
        let devices = devices as u64;
        // All of them may be replaced, and all tables reloaded, between two polls.
        self.free_paths.margin = SPARE_PATHS + devices;
        self.free_routes.margin = SPARE_ROUTES + 2 * devices;
    }

    /// Has ids ready for what the probes may meet next.
    ///
    /// # Errors
    /// The queue takes none: does not happen on a running trace.
    pub fn top_up(&mut self, global: &GlobalCounts) -> Result<()> {
        self.free_paths.top_up(global.paths)?;
        self.free_routes.top_up(global.routes)
    }

    /// Ids of paths that there are.
    #[must_use]
    pub fn path_entries(&self) -> u32 {
        self.room.paths
    }

    /// What the probes know of a path; `None` for an id that is nobody's.
    #[must_use]
    pub fn path(&self, id: u16) -> Option<PathSlot> {
        let slot = self.paths.at(usize::from(id))?;
        // SAFETY: integers of the mapping; what is being written meanwhile may be half of it, as in a copy.
        let slot = unsafe { slot.read_volatile() };
        (slot.sdev != 0).then_some(slot)
    }

    /// The slots of all path ids that the probes may have given.
    pub fn paths(&self) -> impl Iterator<Item = PathSlot> {
        let slots = (0..self.free_paths.next as usize).filter_map(|index| self.paths.at(index));
        // SAFETY: as in [`Self::path`].
        slots.map(|slot| unsafe { slot.read_volatile() })
    }

    /// What the probes know of a route; `None` for an id that is nobody's.
    #[must_use]
    pub fn route(&self, id: u16) -> Option<RouteSlot> {
        let slot = self.routes.at(usize::from(id))?;
        // SAFETY: as in [`Self::path`].
        let slot = unsafe { slot.read_volatile() };
        (slot.pgpath != 0).then_some(slot)
    }

    /// The slots of all route ids that the probes may have given.
    pub fn routes(&self) -> impl Iterator<Item = RouteSlot> {
        let slots = (0..self.free_routes.next as usize).filter_map(|index| self.routes.at(index));
        // SAFETY: as in [`Self::path`].
        slots.map(|slot| unsafe { slot.read_volatile() })
    }

    /// Makes the probes give the device at a path's address another id, once they look at its slot again
    /// ([`Self::has_retired`]). Commands in flight keep theirs.
    pub fn retire_path(&mut self, id: u16) {
        if let Some(slot) = self.path(id)
            && let Some(place) = self.paths.at(usize::from(id))
            && slot.sdev != RETIRED
        {
            // SAFETY: a word of the mapping.
            unsafe { (&raw mut (*place.as_ptr()).sdev).write_volatile(RETIRED) };
            forget(&mut self.path_ids, slot.sdev, id);
            self.has_retired = true;
        }
    }

    /// Makes the probes give a route another id, as [`Self::retire_path`] does.
    pub fn retire_route(&mut self, id: u16) {
        if let Some(slot) = self.route(id)
            && let Some(place) = self.routes.at(usize::from(id))
            && slot.pgpath != RETIRED
        {
            // SAFETY: a word of the mapping.
            unsafe { (&raw mut (*place.as_ptr()).pgpath).write_volatile(RETIRED) };
            forget(&mut self.route_ids, slot.pgpath, id);
            self.has_retired = true;
        }
    }

    /// Whether an id was retired since the last call: the probes go by shortcuts to it until the generation is raised.
    pub fn has_retired(&mut self) -> bool {
        std::mem::take(&mut self.has_retired)
    }

    /// Gives a retired path's id back, with its counts at 0. Nothing must stand for it any more: no
    /// command in flight, no record that was not taken.
    ///
    /// # Errors
    /// As [`Self::top_up`].
    pub fn free_path(&mut self, id: u16) -> Result<()> {
        for counts in self.counts_by_cpu(id) {
            // SAFETY: within the mapping; no probe writes counts of an id that nothing stands for.
            unsafe { counts.write_volatile(OwnLines::default()) };
        }
        if let Some(slot) = self.paths.at(usize::from(id)) {
            // SAFETY: as above.
            unsafe { slot.write_volatile(PathSlot::FREE) };
        }
        // A system call: whoever takes the id there sees what was written before it.
        self.free_paths.put(u32::from(id))
    }

    /// Gives a retired route's id back, as [`Self::free_path`] does.
    ///
    /// # Errors
    /// As [`Self::top_up`].
    pub fn free_route(&mut self, id: u16) -> Result<()> {
        if let Some(slot) = self.routes.at(usize::from(id)) {
            // SAFETY: within the mapping; nothing stands for the id.
            unsafe { slot.write_volatile(RouteSlot::default()) };
        }
        self.free_routes.put(u32::from(id))
    }

    /// Counts of a path, over all CPUs.
    #[must_use]
    pub fn counts(&self, id: u16) -> PathCounts {
        let by_cpu = self.counts_by_cpu(id);
        by_cpu.fold(PathCounts::default(), |sum, counts| {
            // SAFETY: integers of the mapping, which the probes write whole.
            sum.plus(&unsafe { counts.read_volatile() }.0)
        })
    }

    fn counts_by_cpu(&self, id: u16) -> impl Iterator<Item = NonNull<OwnLines<PathCounts>>> {
        let cpus = self.counts.iter();
        cpus.filter_map(move |of_paths| of_paths.at(usize::from(id)))
    }

    /// Counts that belong to no path, over all CPUs.
    #[must_use]
    pub fn global_counts(&self) -> GlobalCounts {
        let by_cpu = (0..self.global.length()).filter_map(|cpu| self.global.at(cpu));
        by_cpu.fold(GlobalCounts::default(), |sum, counts| {
            // SAFETY: as in [`Self::counts`].
            add_global(&sum, &unsafe { counts.read_volatile() }.0)
        })
    }

    /// Every command in flight, those marked as timed out among them.
    ///
    /// # Errors
    /// As [`Self::top_up`].
    pub fn in_flight(&self) -> Result<Vec<CommandSlot>> {
        let mut commands = Vec::new();
        let slots = IN_FLIGHT_SLOTS as usize;
        // All of them are one value of 1 MiB: by parts, which is less memory, and less for the kernel than to copy it.
        for first in (0..slots).step_by(PART) {
            let part = Mapped::<InFlightSlot>::part(self.in_flight.as_fd(), first, PART)
                .context("failed to map the commands in flight")?;
            let slots = (0..PART).filter_map(|index| part.at(index));
            // SAFETY: integers of the mapping; what is being written meanwhile may be of two commands, as in a copy.
            let held =
                slots.map(|slot| unsafe { (&raw const (*slot.as_ptr()).command).read_volatile() });
            commands.extend(held.filter(is_kept));
        }
        for slot in self.overflow.iter() {
            commands.push(slot.context("failed to read the overflow map")?.1.0);
        }
        Ok(commands)
    }
}

/// Whether a slot has a command. One whose path is still being looked up has no time yet, and the rest is of the command
/// before it.
fn is_kept(slot: &CommandSlot) -> bool {
    slot.cmd != 0 && slot.dispatch_ns != 0
}

/// An array of wire records.
///
/// # Errors
/// There is none of that name.
pub(super) fn array<T: Copy + 'static>(
    object: &Object,
    name: &str,
) -> Result<Array<MapData, Wire<T>>> {
    Ok(Array::try_from(Map::Array(object.map(name)?))?)
}

fn owned(object: &Object, name: &str) -> Result<Arc<OwnedFd>> {
    Ok(Arc::new(object.fd(name)?.try_clone_to_owned()?))
}

fn counts(object: &Object, room: Room) -> Result<Vec<Growing<OwnLines<PathCounts>>>> {
    let map = owned(object, room.counts)?;
    let paths = room.paths as usize;
    let of_cpu = |cpu| Growing::new(Arc::clone(&map), cpu * paths, paths);
    Ok((0..room.cpus as usize).map(of_cpu).collect())
}

fn free_ids(object: &Object, name: &str, entries: u32) -> Result<FreeIds> {
    Ok(FreeIds {
        queue: Queue::try_from(Map::Queue(object.map(name)?))?,
        next: 0,
        entries,
        put: 0,
        margin: 0,
    })
}

fn forget(ids: &mut HashMap<MapData, u64, u32>, address: u64, id: u16) {
    // The probes may have retired it, or given the address another id, meanwhile.
    if ids.get(&address, 0).is_ok_and(|it| it == u32::from(id)) {
        let _ = ids.remove(&address);
    }
}

fn add_global(a: &GlobalCounts, b: &GlobalCounts) -> GlobalCounts {
    GlobalCounts {
        unmatched_ends: a.unmatched_ends + b.unmatched_ends,
        path_table_full: a.path_table_full + b.path_table_full,
        route_table_full: a.route_table_full + b.route_table_full,
        lost_records: a.lost_records + b.lost_records,
        failed_reads: a.failed_reads + b.failed_reads,
        overflowed: a.overflowed + b.overflowed,
        paths: a.paths + b.paths,
        routes: a.routes + b.routes,
        not_optimized: a.not_optimized + b.not_optimized,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_only_claimed_has_no_command() {
        let slot = |cmd, dispatch_ns| CommandSlot {
            cmd,
            dispatch_ns,
            ..CommandSlot::default()
        };
        assert!(is_kept(&slot(1, 5)));
        assert!(!is_kept(&slot(1, 0)) && !is_kept(&slot(0, 5)));
    }
}
