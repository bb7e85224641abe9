//! Loading the probes and attaching each alone.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::{Mutex, PoisonError},
    thread,
};

use alua_trace_ebpf::{
    Control, MAX_PATHS, Machine, ScsiLayout, USUAL_PATHS, events_bytes, map_name,
};
use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, RingBuf},
    programs::{KProbe, Program, ProgramError},
};

use super::{
    code,
    facts::Target,
    machine::{self, Cast},
    probes::{Hook, Planned},
    tables::{Tables, Wire},
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
const COMPLAINTS_BYTES: u32 = 16 << 10;
/// Threads that load programs: a start may not take a host's every CPU.
const MOST_LOADERS: usize = 4;

/// The loaded probes. Dropping it detaches them.
pub struct Probes {
    ebpf: Ebpf,
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
        let Maps {
            mut ebpf,
            object,
            fds,
            inbox,
        } = maps(&target.layout, &machine, target.cast, devices)?;
        let done = Done::new(&object, &fds, target.done);
        let probes = Self {
            control: Array::try_from(take(&mut ebpf, map_name::CONTROL)?)?,
            tables: Tables::open(&mut ebpf, devices)?,
            ebpf,
            done,
        };
        Ok((probes, inbox))
    }

    /// The probes' own complaints, for `aya_log`.
    pub fn ebpf_mut(&mut self) -> &mut Ebpf {
        &mut self.ebpf
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
        let has_done = plan
            .iter()
            .any(|it| has_program(it) && it.spec.name == typed::DONE && self.done.load());
        let mut programs: BTreeMap<&str, &mut Program> = self.ebpf.programs_mut().collect();
        let mut todo = Vec::new();
        for (index, planned) in plan.iter().enumerate().filter(|(_, it)| has_program(it)) {
            let name = planned.spec.name;
            if !has_done || name != typed::DONE {
                todo.push((index, name, programs.remove(name)));
            }
        }
        // Those of commands are the longest.
        todo.sort_by_key(|(index, ..)| !matches!(plan[*index].spec.hook, Hook::RawTracepoint(_)));
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let todo = Mutex::new(todo.into_iter());
        let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            let mut results = Vec::new();
            while let Some((index, name, program)) = next() {
                results.push((index, load_program(name, program)));
            }
            results
        };
        thread::scope(|scope| {
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
        })
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
                load_program(name, self.ebpf.program_mut(name))?;
            }
        }
        match (self.ebpf.program_mut(name), planned.spec.hook) {
            (Some(Program::RawTracePoint(program)), Hook::RawTracepoint(tracepoint)) => {
                program
                    .attach(tracepoint)
                    .context("the tracepoint cannot be attached to")?;
            }
            (
                Some(Program::KProbe(program)),
                Hook::KProbe(function) | Hook::KRetProbe(function),
            ) => attach_kprobe(program, function, planned.spec.module)?,
            _ => return Err(anyhow!("program {name} is not of the kind the table says")),
        }
        Ok(())
    }

    /// Runs of the dispatch probes that the kernel left out: a program does not run while an
    /// interrupted run of it is on the same CPU (`bpf_trace_run`, `recursion_misses`).
    pub fn missed_runs(&self) -> u64 {
        let raw = self
            .ebpf
            .programs()
            .filter_map(|(_, program)| match program {
                Program::RawTracePoint(program) => {
                    program.fd().ok().map(|fd| fd.as_fd().as_raw_fd())
                }
                _ => None,
            });
        let typed = self.done.fd().into_iter();
        raw.chain(typed)
            .filter_map(|fd| sysroot::own_fdinfo(fd, "recursion_misses").ok()?)
            .sum()
    }

    /// What each probe has taken since the kernel was asked to measure it ([`measure`]); those that never ran are not
    /// among them. Lasts as long as they are loaded.
    #[must_use]
    pub fn costs(&self) -> Vec<ProbeCost> {
        let own = self.ebpf.programs().filter_map(|(name, program)| {
            let fd = match program {
                Program::RawTracePoint(program) => program.fd(),
                Program::KProbe(program) => program.fd(),
                _ => return None,
            };
            Some((name, fd.ok()?.as_fd().as_raw_fd()))
        });
        let typed = self.done.fd().into_iter().map(|fd| (typed::DONE, fd));
        let number = |fd, key| sysroot::own_fdinfo(fd, key).ok().flatten().unwrap_or(0);
        let mut costs: Vec<ProbeCost> = own
            .chain(typed)
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
        // An error means it was not loaded, which is what is wanted.
        let _ = match self.ebpf.program_mut(name) {
            Some(Program::RawTracePoint(program)) => program.unload(),
            Some(Program::KProbe(program)) => program.unload(),
            _ => Ok(()),
        };
    }
}

/// Descriptors of all maps by name.
fn descriptors(ebpf: &Ebpf) -> BTreeMap<String, RawFd> {
    let fd = |map: &Map| match map {
        Map::Array(map)
        | Map::HashMap(map)
        | Map::LruHashMap(map)
        | Map::PerCpuArray(map)
        | Map::PerCpuHashMap(map)
        | Map::PerfEventArray(map)
        | Map::Queue(map)
        | Map::RingBuf(map) => Some(map.fd().as_fd().as_raw_fd()),
        _ => None,
    };
    let maps = ebpf.maps();
    maps.filter_map(|(name, map)| Some((name.to_owned(), fd(map)?)))
        .collect()
}

/// Has the kernel measure every BPF program on this host, for as long as the descriptor lives (Linux 5.8).
///
/// # Errors
/// The kernel's.
pub fn measure() -> Result<OwnedFd> {
    aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("the kernel does not measure what probes take (--cost)")
}

/// The probes' object with its maps, and no program of it loaded.
pub struct Maps {
    /// As aya has it.
    pub ebpf: Ebpf,
    /// The object file.
    pub object: Vec<u8>,
    /// Descriptors of all maps by name: those that have been taken out of it, too.
    pub fds: BTreeMap<String, RawFd>,
    /// The collector's end of what the probes write to.
    pub inbox: Inbox,
}

/// Makes the maps: see [`Probes::load`].
///
/// # Errors
/// The kernel refuses them: not permitted, or too old.
pub fn maps(
    layout: &ScsiLayout,
    machine: &Machine,
    cast: Option<Cast>,
    devices: usize,
) -> Result<Maps> {
    let paths = path_entries(devices);
    let cpus = machine::cpus()?;
    let page = u32::try_from(rustix::param::page_size())?;
    let events_bytes = events_bytes(u32::try_from(devices).unwrap_or(u32::MAX)).max(page);
    let records = machine.log_records;
    let sizes = machine::histograms(machine, devices);
    let object = code::object(layout, machine, cast)?;
    let mut ebpf = EbpfLoader::new()
        // Our programs need no relocation against the kernel's types: offsets are data.
        .btf(None)
        .map_max_entries(map_name::EVENTS, events_bytes)
        .map_max_entries(COMPLAINTS, COMPLAINTS_BYTES.max(page))
        .map_max_entries(map_name::LOG_ENDS, cpus)
        .map_max_entries(map_name::LOGS, cpus.saturating_mul(records))
        .map_max_entries(map_name::CELL_IDS, paths * machine.lanes.max(1))
        .map_max_entries(map_name::CELLS, sizes.cells)
        .map_max_entries(map_name::OCTAVES, sizes.octaves)
        .map_max_entries(map_name::PATHS, paths)
        .map_max_entries(map_name::PATH_COUNTS, paths)
        .load(&object)
        .context("the kernel does not take the probes' maps")?;
    let fds = descriptors(&ebpf);
    let ring = RingBuf::try_from(take(&mut ebpf, map_name::EVENTS)?)
        .context("failed to map the ring buffer")?;
    let logs = logs(&ebpf, cpus, records)?;
    let mut inbox = Inbox::new(Ring::new(ring, events_bytes), logs);
    if machine.lanes > 0 {
        inbox = inbox.with(histograms(&ebpf, sizes)?);
    }
    Ok(Maps {
        ebpf,
        object,
        fds,
        inbox,
    })
}

fn logs(ebpf: &Ebpf, cpus: u32, records: u32) -> Result<Logs> {
    let [ends, places] = arrays(ebpf, [map_name::LOG_ENDS, map_name::LOGS])?;
    Logs::new(ends, places, cpus as usize, records).context("failed to map the logs")
}

fn histograms(ebpf: &Ebpf, sizes: Sizes) -> Result<Histograms> {
    let maps = [map_name::GIVEN, map_name::CELLS, map_name::OCTAVES];
    Histograms::new(arrays(ebpf, maps)?, sizes).context("failed to map the histograms")
}

/// Descriptors of arrays. The maps stay where they are: programs that are loaded later know them by the numbers of their
/// descriptors.
fn arrays<'a, const N: usize>(ebpf: &'a Ebpf, names: [&str; N]) -> Result<[BorrowedFd<'a>; N]> {
    let mut fds = Vec::with_capacity(N);
    for name in names {
        match ebpf.map(name) {
            Some(Map::Array(map)) => fds.push(map.fd().as_fd()),
            _ => return Err(anyhow!("no array {name} in the object")),
        }
    }
    fds.try_into()
        .map_err(|_| anyhow!("an array is missing in the object"))
}

/// Ids of paths on a host with so many devices: twice as many, because an id is not given back at
/// once.
fn path_entries(devices: usize) -> u32 {
    u32::try_from(devices)
        .map_or(MAX_PATHS, |devices| devices.saturating_mul(2))
        .clamp(USUAL_PATHS, MAX_PATHS)
}

pub(super) fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
    ebpf.take_map(name)
        .ok_or_else(|| anyhow!("no map {name} in the object"))
}

/// Attaches by the bare name, which works on kernels whose release aya cannot parse, then with
/// the module's, which tells functions of equal name apart.
fn attach_kprobe(program: &mut KProbe, function: &str, module: &str) -> Result<()> {
    let Err(bare) = program.attach(function, 0) else {
        return Ok(());
    };
    program
        .attach(format!("{module}:{function}"), 0)
        .map(drop)
        .map_err(|_| bare)
        .context("the function cannot be probed")
}

/// Whether there is something to load and attach.
fn has_program(planned: &Planned) -> bool {
    planned.status == ProbeStatus::Ok && !matches!(planned.spec.hook, Hook::Address(_))
}

fn broken(planned: &mut Planned, error: &anyhow::Error) {
    planned.set(
        ProbeStatus::Broken,
        format!("{error:#}"),
        "see the reason; `alua-trace doctor` looks at every probe",
    );
}

fn load_program(name: &str, program: Option<&mut Program>) -> Result<()> {
    loaded(match program {
        Some(Program::RawTracePoint(program)) => program.load(),
        Some(Program::KProbe(program)) => program.load(),
        _ => return Err(anyhow!("no program {name} in the object")),
    })
}

fn loaded(result: std::result::Result<(), ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        // The verifier's log is long; what it says last before its statistics is the reason.
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => {
            let reason = typed::verdict(&verifier_log.to_string());
            Err(anyhow!(
                "the kernel refuses the program: {io_error}; {reason}"
            ))
        }
        Err(error) => Err(error).context("the kernel refuses the program"),
    }
}
