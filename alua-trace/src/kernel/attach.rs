//! Loading the probes and attaching each alone.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
    thread,
};

use alua_trace_ebpf::{
    Cell, CellIds, Control, GlobalCounts, LogEnds, MAX_PATHS, Machine, Octave, OwnLines,
    PathCounts, PathSlot, SHORTCUT_WAYS, ScsiLayout, Shortcut, USUAL_PATHS, events_bytes, map_name,
};
use anyhow::{Context, Result, bail};
use aya::maps::{Array, Map, MapData, RingBuf};

use super::{
    code,
    facts::Target,
    hooks,
    machine::{self, Cast},
    object::{Object, Size},
    probes::{Hook, Planned},
    tables::{Room, Tables, Wire, array},
    typed::{self, Done},
};
use crate::{
    ingest::{
        histograms::{Histograms, Sizes},
        inbox::Inbox,
        logs::Logs,
        ring::Ring,
    },
    model::{ProbeCost, ProbeStatus},
    sysroot,
};

/// aya-log's ring buffer, which has 128 KiB else: a probe complains once.
const COMPLAINTS: &str = "AYA_LOGS";
/// A program that complains.
const COMPLAINING: &str = "scsi_dispatch_cmd_start";
const COMPLAINTS_BYTES: u32 = 16 << 10;
/// Ids are twice the paths: of devices under eight shortcuts each, one of a thousand finds none.
const SHORTCUTS_A_PATH: u32 = 4;
/// Threads that load programs: a start may not take a host's every CPU.
const MOST_LOADERS: usize = 4;

/// A program that the kernel has, and where it is attached.
struct Loaded {
    program: OwnedFd,
    link: Option<OwnedFd>,
}

/// The loaded probes. Dropping it detaches them.
pub struct Probes {
    object: Object,
    loaded: BTreeMap<&'static str, Loaded>,
    done: Done,
    control: Array<MapData, Wire<Control>>,
    /// What they count and keep.
    pub tables: Tables,
}

impl Probes {
    /// Loads the object for a host with so many SCSI devices, and gives what the probes write to beside it. Nothing is
    /// attached yet, and the probes have been told nothing ([`Self::set_control`]).
    ///
    /// # Errors
    /// The kernel refuses maps or programs: not permitted, or too old.
    pub fn load(target: Target, ring_bytes: Option<u32>, devices: usize) -> Result<(Self, Inbox)> {
        let machine = machine::machine(ring_bytes)?;
        let (object, inbox, room) = maps(&target.layout, &machine, target.cast, devices)?;
        let probes = Self {
            loaded: BTreeMap::new(),
            done: Done::new(target.done),
            control: array(&object, map_name::CONTROL)?,
            tables: Tables::open(&object, room, devices)?,
            object,
        };
        Ok((probes, inbox))
    }

    /// Number of a program that complains, while it is loaded.
    #[must_use]
    pub fn complaining(&self) -> Option<u32> {
        let program = self.loaded.get(COMPLAINING)?.program.as_raw_fd();
        u32::try_from(sysroot::own_fdinfo(program, "prog_id").ok()??).ok()
    }

    /// The generation now: the probes raise it, too.
    ///
    /// # Errors
    /// The map cannot be read: does not happen on a running trace.
    pub fn generation(&self) -> Result<u64> {
        Ok(self
            .control
            .get(&0, 0)
            .context("failed to read the control map")?
            .0
            .generation)
    }

    /// Tells the probes what is new.
    ///
    /// # Errors
    /// The map cannot be written: does not happen on a running trace.
    pub fn set_control(&mut self, control: &Control) -> Result<()> {
        self.control
            .set(0, Wire(*control), 0)
            .context("failed to write the control map")
    }

    /// Attaches planned probes, and says in each what became of it. Every program is loaded before
    /// the first is attached: the verifier takes its time, and the hooks should begin together.
    pub fn attach(&mut self, plan: &mut [Planned]) {
        for (index, result) in self.load_programs(plan) {
            if let (Some(planned), Err(error)) = (plan.get_mut(index), result) {
                broken(planned, &error);
            }
        }
        for planned in plan.iter_mut().filter(|it| has_program(it)) {
            if let Err(error) = self.attach_program(planned) {
                broken(planned, &error);
            }
        }
    }

    /// Loads the programs that are planned, several at a time: verifying them takes most of a start. Gives what became
    /// of each by its place in the plan.
    fn load_programs(&mut self, plan: &[Planned]) -> Vec<(usize, Result<()>)> {
        let (object, done) = (&self.object, &mut self.done);
        let has_done = plan
            .iter()
            .any(|it| has_program(it) && it.spec.name == typed::DONE && done.load(object));
        let mut todo = Vec::new();
        for (index, planned) in plan.iter().enumerate().filter(|(_, it)| has_program(it)) {
            let name = planned.spec.name;
            let is_there = self.loaded.contains_key(name) || has_done && name == typed::DONE;
            if !is_there {
                todo.push((index, name));
            }
        }
        // Those of commands are the longest.
        todo.sort_by_key(|(index, _)| !matches!(plan[*index].spec.hook, Hook::RawTracepoint(_)));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let todo = Mutex::new(todo.into_iter());
        let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut results = Vec::new();
            while let Some((index, name)) = next() {
                results.push((index, name, object.code(name).and_then(|code| code.load())));
            }
            results
        };
        let results = thread::scope(|scope| {
            let helpers: Vec<_> = (1..threads.min(MOST_LOADERS))
                .map(|_| scope.spawn(work))
                .collect();
            let mut results = work();
            // What a helper that panicked has loaded is attached all the same, or says why not.
            results.extend(
                helpers
                    .into_iter()
                    .flat_map(|it| it.join().unwrap_or_default()),
            );
            results
        });
        let keep = |(index, name, program): (_, _, Result<OwnedFd>)| {
            let kept = program.map(|program| self.keep(name, program));
            (index, kept)
        };
        results.into_iter().map(keep).collect()
    }

    fn keep(&mut self, name: &'static str, program: OwnedFd) {
        let link = None;
        self.loaded.insert(name, Loaded { program, link });
    }

    fn attach_program(&mut self, planned: &mut Planned) -> Result<()> {
        let name = planned.spec.name;
        if name == typed::DONE {
            let was_loaded = self.done.is_loaded();
            if self.done.attach() {
                planned.reads_by_type = true;
                return Ok(());
            }
            planned.reason = self.done.why_not().unwrap_or_default().to_owned();
            if was_loaded {
                // Its twin does as well.
                let program = self.object.code(name)?.load()?;
                self.keep(name, program);
            }
        }
        let loaded = self.loaded.get_mut(name);
        let loaded = loaded.with_context(|| format!("program {name} is not loaded"))?;
        let (program, module) = (loaded.program.as_fd(), planned.spec.module);
        loaded.link = Some(match planned.spec.hook {
            Hook::RawTracepoint(tracepoint) => hooks::raw_tracepoint(program, Some(tracepoint)),
            Hook::KProbe(function) => hooks::function(program, function, module, false),
            Hook::KRetProbe(function) => hooks::function(program, function, module, true),
            Hook::Address(_) | Hook::CrashNote(_) => bail!("{name} is no program"),
        }?);
        Ok(())
    }

    /// Runs of the dispatch probes that the kernel left out: a program does not run while an
    /// interrupted run of it is on the same CPU (`bpf_trace_run`, `recursion_misses`).
    pub fn missed_runs(&self) -> u64 {
        let programs = self.programs().map(|(_, program)| program);
        programs
            .filter_map(|fd| sysroot::own_fdinfo(fd, "recursion_misses").ok()?)
            .sum()
    }

    /// Descriptors of the programs that are loaded.
    fn programs(&self) -> impl Iterator<Item = (&'static str, RawFd)> {
        let own = self.loaded.iter();
        let own = own.map(|(name, loaded)| (*name, loaded.program.as_raw_fd()));
        own.chain(self.done.fd().map(|fd| (typed::DONE, fd)))
    }

    /// What each probe has taken since the kernel was asked to measure it ([`measure`]); those that never ran are not
    /// among them. Lasts as long as they are loaded.
    #[must_use]
    pub fn costs(&self) -> Vec<ProbeCost> {
        let number = |fd, key| sysroot::own_fdinfo(fd, key).ok().flatten().unwrap_or(0);
        let mut costs: Vec<ProbeCost> = self
            .programs()
            .map(|(name, fd)| ProbeCost {
                name: name.to_owned(),
                runs: number(fd, "run_cnt"),
                ns: number(fd, "run_time_ns"),
            })
            .filter(|cost| cost.runs > 0)
            .collect();
        costs.sort_by(|a, b| b.ns.cmp(&a.ns).then_with(|| a.name.cmp(&b.name)));
        costs
    }

    /// Detaches one probe by unloading its program; it can be attached again.
    pub fn detach(&mut self, name: &str) {
        if name == typed::DONE {
            self.done.unload();
        }
        self.loaded.remove(name);
    }
}

/// Has the kernel measure every BPF program on this host, for as long as the descriptor lives (Linux 5.8).
///
/// # Errors
/// The kernel's.
pub fn measure() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("the kernel does not measure what probes take (--cost)")
}

/// The object with its maps, the collector's end of what the probes write to, and how many paths and CPUs there is room for: see
/// [`Probes::load`].
///
/// # Errors
/// The kernel refuses maps: not permitted, or too old.
pub fn maps(
    layout: &ScsiLayout,
    machine: &Machine,
    cast: Option<Cast>,
    devices: usize,
) -> Result<(Object, Inbox, Room)> {
    let paths = path_entries(devices);
    let cpus = machine::cpus()?;
    let page = u32::try_from(rustix::param::page_size())?;
    let events_bytes = events_bytes(u32::try_from(devices).unwrap_or(u32::MAX)).max(page);
    let records = machine.log_records;
    let counts = (machine.last_cpu + 1).saturating_mul(paths);
    let counted = machine::histograms(machine, devices);
    let (counted, counts_in_array) = fitting(counted, counts, machine::takes_large_values);
    // The probes number all of them in circles.
    let rows = paths * machine.lanes.max(1);
    let machine = Machine {
        last_lane: machine.lanes.saturating_sub(1),
        last_row: rows - 1,
        last_path: paths - 1,
        last_cell: counted.cells - 1,
        last_octave: counted.octaves - 1,
        counts_in_array: u32::from(counts_in_array),
        last_shortcut: paths * SHORTCUTS_A_PATH / SHORTCUT_WAYS as u32 - 1,
        ..*machine
    };
    let sizes = [
        (map_name::EVENTS, Size::Entries(events_bytes)),
        (COMPLAINTS, Size::Entries(COMPLAINTS_BYTES.max(page))),
        (
            map_name::LOG_ENDS,
            bytes_of::<LogEnds>(machine.last_cpu + 1),
        ),
        (map_name::LOGS, Size::Entries(cpus.saturating_mul(records))),
        (map_name::CELL_IDS, bytes_of::<CellIds>(rows)),
        (map_name::CELLS, bytes_of::<Cell>(counted.cells)),
        (map_name::OCTAVES, bytes_of::<Octave>(counted.octaves)),
        (
            map_name::SHORTCUTS,
            bytes_of::<Shortcut>(paths * SHORTCUTS_A_PATH),
        ),
        (map_name::PATHS, bytes_of::<PathSlot>(paths)),
        counts_size(counts, counts_in_array),
        (
            map_name::GLOBAL_COUNTS,
            bytes_of::<OwnLines<GlobalCounts>>(machine.last_cpu + 1),
        ),
    ];
    let object = Object::new(&code::object(layout, &machine, cast)?, &sizes.into())?;
    let ring = RingBuf::try_from(Map::RingBuf(object.map(map_name::EVENTS)?))
        .context("failed to map the ring buffer")?;
    let logs = logs(&object, cpus, records)?;
    let mut inbox = Inbox::new(Ring::new(ring, events_bytes), logs);
    if machine.lanes > 0 {
        inbox = inbox.with(histograms(&object, counted)?);
    }
    let room = Room {
        paths,
        cpus,
        counts: if counts_in_array {
            map_name::PATH_COUNTS_ARRAY
        } else {
            map_name::PATH_COUNTS
        },
    };
    Ok((object, inbox, room))
}

/// Histograms that there is room for, and whether `counts` counts of paths have to be in an array: where elements cannot be
/// large.
fn fitting(counted: Sizes, counts: u32, takes_large: impl FnOnce() -> bool) -> (Sizes, bool) {
    let most = |bytes: usize| (machine::SMALL_VALUE_BYTES / bytes as u64) as u32;
    let (cells, octaves) = (most(size_of::<Cell>()), most(size_of::<Octave>()));
    let is_large = |counts: u32| counts > most(size_of::<OwnLines<PathCounts>>());
    let fits = counted.cells <= cells && counted.octaves <= octaves && !is_large(counts);
    if fits || takes_large() {
        return (counted, false);
    }
    let power_of_two = |most: u32| 1 << most.ilog2();
    let small = Sizes {
        cells: counted.cells.min(power_of_two(cells)),
        octaves: counted.octaves.min(power_of_two(octaves)),
    };
    (small, is_large(counts))
}

fn counts_size(counts: u32, in_array: bool) -> (&'static str, Size) {
    if in_array {
        (map_name::PATH_COUNTS_ARRAY, Size::Entries(counts))
    } else {
        (
            map_name::PATH_COUNTS,
            bytes_of::<OwnLines<PathCounts>>(counts),
        )
    }
}

fn bytes_of<T>(number: u32) -> Size {
    Size::Bytes(number.saturating_mul(size_of::<T>() as u32))
}

fn logs(object: &Object, cpus: u32, records: u32) -> Result<Logs> {
    let (ends, places) = (object.fd(map_name::LOG_ENDS)?, object.fd(map_name::LOGS)?);
    Logs::new(ends, places, cpus as usize, records).context("failed to map the logs")
}

fn histograms(object: &Object, sizes: Sizes) -> Result<Histograms> {
    let [given, cells, octaves] = [map_name::GIVEN, map_name::CELLS, map_name::OCTAVES];
    let maps = [object.fd(given)?, object.fd(cells)?, object.fd(octaves)?];
    Histograms::new(maps, sizes).context("failed to map the histograms")
}

/// Ids of paths on a host with so many devices: twice as many, because an id is not given back at
/// once. A power of two.
fn path_entries(devices: usize) -> u32 {
    u32::try_from(devices)
        .map_or(MAX_PATHS, |devices| devices.saturating_mul(2))
        .clamp(USUAL_PATHS, MAX_PATHS)
        .next_power_of_two()
}

/// Whether there is something to load and attach.
fn has_program(planned: &Planned) -> bool {
    planned.status == ProbeStatus::Ok
        && !matches!(planned.spec.hook, Hook::Address(_) | Hook::CrashNote(_))
}

fn broken(planned: &mut Planned, error: &anyhow::Error) {
    planned.set(
        ProbeStatus::Broken,
        format!("{error:#}"),
        "see the reason; `alua-trace doctor` looks at every probe",
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_elements_are_small_histograms_are_fewer_and_counts_in_an_array() {
        let wanted = Sizes {
            cells: 1 << 15,
            octaves: 1 << 16,
        };
        let few = Sizes {
            cells: 64,
            octaves: 256,
        };
        let never = || panic!("it need not be tried");
        assert_eq!(fitting(few, 4096, never), (few, false));
        assert_eq!(fitting(wanted, 64 * 4096, || true), (wanted, false));
        let (small, in_array) = fitting(wanted, 64 * 4096, || false);
        assert!(in_array && small.cells == 1 << 14 && small.octaves == 1 << 12);
        assert_eq!(fitting(few, 64 * 4096, || false), (few, true));
        assert_eq!(fitting(wanted, 4096, || false), (small, false));
    }
}
