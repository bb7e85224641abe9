//! The probes' tables and counts: reading them, and giving ids back that nothing stands for any more.

use std::os::fd::{AsFd, OwnedFd};

use alua_trace_ebpf::{
    CommandSlot, GlobalCounts, IN_FLIGHT_SLOTS, InFlightSlot, PathCounts, PathSlot, RETIRED,
    RouteSlot, map_name,
};
use anyhow::{Context, Result, anyhow};
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues, Queue},
    util::nr_cpus,
};

use super::{batch, object::Object};
use crate::ingest::mapped::Mapped;

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

/// An array and its descriptor, for reading it in one call.
struct Whole<T: Copy + 'static> {
    array: Array<MapData, Wire<T>>,
    fd: OwnedFd,
    entries: u32,
}

impl<T: Copy + 'static> Whole<T> {
    fn open(object: &Object, name: &str) -> Result<Self> {
        let array = array(object, name)?;
        Ok(Self {
            entries: array.len(),
            array,
            fd: object.fd(name)?.try_clone_to_owned()?,
        })
    }

    fn get(&self, index: u32) -> Result<T> {
        let value = self.array.get(&index, 0);
        Ok(value.context("failed to read a table of the probes")?.0)
    }

    fn set(&mut self, index: u32, value: T) -> Result<()> {
        self.array
            .set(index, Wire(value), 0)
            .context("failed to write a table of the probes")
    }

    fn first(&self, entries: u32) -> Result<Vec<T>> {
        // SAFETY: the wire's records are integers, of whole words.
        match unsafe { batch::values(self.fd.as_fd(), entries, 1) } {
            Ok(values) => Ok(values),
            // Before Linux 5.6 one by one.
            Err(_) => (0..entries).map(|index| self.get(index)).collect(),
        }
    }
}

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

/// Everything the probes count and keep.
pub struct Tables {
    paths: Whole<PathSlot>,
    path_ids: HashMap<MapData, u64, u32>,
    free_paths: FreeIds,
    routes: Whole<RouteSlot>,
    route_ids: HashMap<MapData, u64, u32>,
    free_routes: FreeIds,
    counts: PerCpuArray<MapData, Wire<PathCounts>>,
    counts_fd: OwnedFd,
    cpus: usize,
    global: PerCpuArray<MapData, Wire<GlobalCounts>>,
    in_flight: OwnedFd,
    overflow: HashMap<MapData, u64, Wire<CommandSlot>>,
}

impl Tables {
    /// Opens the maps, and makes ids free for a host with so many devices.
    ///
    /// # Errors
    /// The object has other maps.
    pub fn open(object: &Object, devices: usize) -> Result<Self> {
        let by_cpu = |name| Ok::<_, anyhow::Error>(Map::PerCpuArray(object.map(name)?));
        let ids = |name| Ok::<_, anyhow::Error>(Map::HashMap(object.map(name)?));
        let owned = |name| Ok::<_, anyhow::Error>(object.fd(name)?.try_clone_to_owned()?);
        let paths = Whole::open(object, map_name::PATHS)?;
        let routes = Whole::open(object, map_name::ROUTES)?;
        let mut tables = Self {
            free_paths: free_ids(object, map_name::FREE_PATHS, &paths)?,
            free_routes: free_ids(object, map_name::FREE_ROUTES, &routes)?,
            paths,
            path_ids: HashMap::try_from(ids(map_name::PATH_IDS)?)?,
            routes,
            route_ids: HashMap::try_from(ids(map_name::ROUTE_IDS)?)?,
            counts: PerCpuArray::try_from(by_cpu(map_name::PATH_COUNTS)?)?,
            counts_fd: owned(map_name::PATH_COUNTS)?,
            cpus: nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?,
            global: PerCpuArray::try_from(by_cpu(map_name::GLOBAL_COUNTS)?)?,
            in_flight: owned(map_name::IN_FLIGHT)?,
            overflow: HashMap::try_from(ids(map_name::IN_FLIGHT_OVERFLOW)?)?,
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
    /// As [`Self::path`].
    pub fn top_up(&mut self, global: &GlobalCounts) -> Result<()> {
        self.free_paths.top_up(global.paths)?;
        self.free_routes.top_up(global.routes)
    }

    /// Ids of paths that there are.
    #[must_use]
    pub fn path_entries(&self) -> u32 {
        self.paths.entries
    }

    /// What the probes know of a path; `None` for an id that is nobody's.
    ///
    /// # Errors
    /// The map cannot be read: does not happen on a running trace.
    pub fn path(&self, id: u16) -> Result<Option<PathSlot>> {
        let slot = self.paths.get(u32::from(id))?;
        Ok((slot.sdev != 0).then_some(slot))
    }

    /// The slots of all path ids that the probes may have given.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn paths(&self) -> Result<Vec<PathSlot>> {
        self.paths.first(self.free_paths.next)
    }

    /// What the probes know of a route; `None` for an id that is nobody's.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn route(&self, id: u16) -> Result<Option<RouteSlot>> {
        let slot = self.routes.get(u32::from(id))?;
        Ok((slot.pgpath != 0).then_some(slot))
    }

    /// The slots of all route ids that the probes may have given.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn routes(&self) -> Result<Vec<RouteSlot>> {
        self.routes.first(self.free_routes.next)
    }

    /// Makes the probes give the device at a path's address another id from its next command on.
    /// Commands in flight keep theirs.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn retire_path(&mut self, id: u16) -> Result<()> {
        if let Some(slot) = self.path(id)?
            && slot.sdev != RETIRED
        {
            let retired = PathSlot {
                sdev: RETIRED,
                ..slot
            };
            self.paths.set(u32::from(id), retired)?;
            forget(&mut self.path_ids, slot.sdev, id);
        }
        Ok(())
    }

    /// Makes the probes give a route another id from its next command on.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn retire_route(&mut self, id: u16) -> Result<()> {
        if let Some(slot) = self.route(id)?
            && slot.pgpath != RETIRED
        {
            let retired = RouteSlot {
                pgpath: RETIRED,
                ..slot
            };
            self.routes.set(u32::from(id), retired)?;
            forget(&mut self.route_ids, slot.pgpath, id);
        }
        Ok(())
    }

    /// Gives a retired path's id back, with its counts at 0. Nothing must stand for it any more: no
    /// command in flight, no record that was not taken.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn free_path(&mut self, id: u16) -> Result<()> {
        let id = u32::from(id);
        let none = vec![Wire(PathCounts::default()); self.cpus];
        self.counts
            .set(id, PerCpuValues::try_from(none)?, 0)
            .context("failed to clear a path's counts")?;
        self.paths.set(id, PathSlot::FREE)?;
        self.free_paths.put(id)
    }

    /// Gives a retired route's id back, as [`Self::free_path`] does.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn free_route(&mut self, id: u16) -> Result<()> {
        self.routes.set(u32::from(id), RouteSlot::default())?;
        self.free_routes.put(u32::from(id))
    }

    /// Counts of these paths, over all CPUs.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn counts(&self, ids: &[u16]) -> Result<Vec<(u16, PathCounts)>> {
        let Some(highest) = ids.iter().max() else {
            return Ok(Vec::new());
        };
        let entries = u32::from(*highest) + 1;
        // SAFETY: as for the arrays.
        let all =
            unsafe { batch::values::<PathCounts>(self.counts_fd.as_fd(), entries, self.cpus) };
        match all {
            Ok(all) => {
                let of = |id: u16| &all[usize::from(id) * self.cpus..][..self.cpus];
                Ok(ids.iter().map(|id| (*id, sum(of(*id)))).collect())
            }
            // Before Linux 5.13 one by one.
            Err(_) => ids
                .iter()
                .map(|id| Ok((*id, self.counts_of(*id)?)))
                .collect(),
        }
    }

    fn counts_of(&self, id: u16) -> Result<PathCounts> {
        let per_cpu = self
            .counts
            .get(&u32::from(id), 0)
            .context("failed to read path counts")?;
        let values = per_cpu.iter();
        Ok(values.fold(PathCounts::default(), |sum, cpu| sum.plus(&cpu.0)))
    }

    /// Counts that belong to no path, over all CPUs.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn global_counts(&self) -> Result<GlobalCounts> {
        let per_cpu = self
            .global
            .get(&0, 0)
            .context("failed to read the global counts")?;
        let values = per_cpu.iter();
        Ok(values.fold(GlobalCounts::default(), |sum, cpu| add_global(&sum, &cpu.0)))
    }

    /// Every command in flight, those marked as timed out among them.
    ///
    /// # Errors
    /// As [`Self::path`].
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
            commands.extend(held.filter(|command| command.cmd != 0));
        }
        for slot in self.overflow.iter() {
            commands.push(slot.context("failed to read the overflow map")?.1.0);
        }
        Ok(commands)
    }
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

fn free_ids<T: Copy>(object: &Object, name: &str, slots: &Whole<T>) -> Result<FreeIds> {
    Ok(FreeIds {
        queue: Queue::try_from(Map::Queue(object.map(name)?))?,
        next: 0,
        entries: slots.entries,
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

fn sum(cpus: &[PathCounts]) -> PathCounts {
    let values = cpus.iter();
    values.fold(PathCounts::default(), |sum, cpu| sum.plus(cpu))
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
