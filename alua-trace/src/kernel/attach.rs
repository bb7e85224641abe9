//! Loading the probes, attaching each alone, and reading their maps. With `ingest::ring` the only
//! place that knows aya.

use std::os::fd::{AsFd, AsRawFd};

use alua_trace_ebpf::{
    CommandSlot, Control, GlobalCounts, InFlightSlot, MAX_PATHS, PathCounts, PathSlot, RETIRED,
    RouteSlot, SCSI_LAYOUT_GLOBAL, ScsiLayout, map_name,
};
use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader, Pod,
    maps::{Array, HashMap, MapData, PerCpuArray, RingBuf},
    programs::{KProbe, Program, ProgramError},
};

use super::probes::{Hook, Planned};
use crate::{model::ProbeStatus, sysroot};

/// The probes' object file, built by `build.rs`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ALUA_TRACE_PROBES"));

/// A wire record as a map value.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Wire<T>(T);

// SAFETY: the wire's records are `repr(C)` integers without padding, which their own assertions
// hold; any bytes are valid for them.
unsafe impl<T: Copy + 'static> Pod for Wire<T> {}

/// The loaded probes. Dropping it detaches them.
pub struct Probes {
    ebpf: Ebpf,
    control: Array<MapData, Wire<Control>>,
    paths: Array<MapData, Wire<PathSlot>>,
    routes: Array<MapData, Wire<RouteSlot>>,
    counts: PerCpuArray<MapData, Wire<PathCounts>>,
    global: PerCpuArray<MapData, Wire<GlobalCounts>>,
    in_flight: Array<MapData, Wire<InFlightSlot>>,
    overflow: HashMap<MapData, u64, Wire<CommandSlot>>,
}

impl Probes {
    /// Loads the object with the kernel's layout and gives the ring buffer beside it. Nothing is
    /// attached yet.
    ///
    /// # Errors
    /// The kernel refuses maps or programs: not permitted, or too old.
    pub fn load(
        layout: &ScsiLayout,
        control: &Control,
        ring_bytes: u32,
    ) -> Result<(Self, RingBuf<MapData>)> {
        let layout = Wire(*layout);
        let mut ebpf = EbpfLoader::new()
            // Our programs need no relocation against the kernel's types: offsets are data.
            .btf(None)
            .override_global(SCSI_LAYOUT_GLOBAL, &layout, true)
            .map_max_entries(map_name::EVENTS, ring_bytes)
            .load(OBJECT)
            .context("the kernel does not take the probes' maps")?;
        let ring = RingBuf::try_from(take(&mut ebpf, map_name::EVENTS)?)
            .context("failed to map the ring buffer")?;
        let mut probes = Self {
            control: Array::try_from(take(&mut ebpf, map_name::CONTROL)?)?,
            paths: Array::try_from(take(&mut ebpf, map_name::PATHS)?)?,
            routes: Array::try_from(take(&mut ebpf, map_name::ROUTES)?)?,
            counts: PerCpuArray::try_from(take(&mut ebpf, map_name::PATH_COUNTS)?)?,
            global: PerCpuArray::try_from(take(&mut ebpf, map_name::GLOBAL_COUNTS)?)?,
            in_flight: Array::try_from(take(&mut ebpf, map_name::IN_FLIGHT)?)?,
            overflow: HashMap::try_from(take(&mut ebpf, map_name::IN_FLIGHT_OVERFLOW)?)?,
            ebpf,
        };
        probes.set_control(control)?;
        Ok((probes, ring))
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
        for step in [Self::load_program, Self::attach_program] {
            for planned in plan.iter_mut() {
                if planned.status != ProbeStatus::Ok
                    || matches!(planned.spec.hook, Hook::Address(_))
                {
                    continue;
                }
                if let Err(error) = step(self, planned) {
                    planned.set(
                        ProbeStatus::Broken,
                        format!("{error:#}"),
                        "see the reason; `alua-trace doctor` looks at every probe",
                    );
                }
            }
        }
    }

    fn load_program(&mut self, planned: &Planned) -> Result<()> {
        let name = planned.spec.name;
        loaded(match self.ebpf.program_mut(name) {
            Some(Program::RawTracePoint(program)) => program.load(),
            Some(Program::KProbe(program)) => program.load(),
            _ => return Err(anyhow!("no program {name} in the object")),
        })
    }

    fn attach_program(&mut self, planned: &Planned) -> Result<()> {
        let name = planned.spec.name;
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
        self.ebpf
            .programs()
            .filter_map(|(_, program)| match program {
                Program::RawTracePoint(program) => program.fd().ok(),
                _ => None,
            })
            .filter_map(|fd| {
                sysroot::own_fdinfo(fd.as_fd().as_raw_fd(), "recursion_misses").ok()?
            })
            .sum()
    }

    /// Detaches one probe by unloading its program; it can be attached again.
    pub fn detach(&mut self, name: &str) {
        // An error means it was not loaded, which is what is wanted.
        let _ = match self.ebpf.program_mut(name) {
            Some(Program::RawTracePoint(program)) => program.unload(),
            Some(Program::KProbe(program)) => program.unload(),
            _ => Ok(()),
        };
    }

    /// What the probes know of a path; `None` for an id they do not use.
    ///
    /// # Errors
    /// The map cannot be read: does not happen on a running trace.
    pub fn path(&self, id: u16) -> Result<Option<PathSlot>> {
        let slot = self
            .paths
            .get(&u32::from(id), 0)
            .context("failed to read the path table")?
            .0;
        Ok((slot.sdev != 0).then_some(slot))
    }

    /// Makes the probes give the device at a path's address another id from its next command on.
    /// Commands in flight keep theirs.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn retire(&mut self, id: u16) -> Result<()> {
        if let Some(slot) = self.path(id)? {
            let retired = PathSlot {
                sdev: RETIRED,
                ..slot
            };
            self.paths
                .set(u32::from(id), Wire(retired), 0)
                .context("failed to write the path table")?;
        }
        Ok(())
    }

    /// What the probes know of a route; `None` for an id they do not use.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn route(&self, id: u16) -> Result<Option<RouteSlot>> {
        let slot = self
            .routes
            .get(&u32::from(id), 0)
            .context("failed to read the route table")?
            .0;
        Ok((slot.pgpath != 0).then_some(slot))
    }

    /// Ids of every path the probes have met. Reads the whole table: for the end of a trace.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn path_ids(&self) -> Result<Vec<u16>> {
        let mut ids = Vec::new();
        for id in 0..MAX_PATHS as u16 {
            if self.path(id)?.is_some() {
                ids.push(id);
            }
        }
        Ok(ids)
    }

    /// Counts of a path, over all CPUs.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn counts(&self, id: u16) -> Result<PathCounts> {
        let per_cpu = self
            .counts
            .get(&u32::from(id), 0)
            .context("failed to read path counts")?;
        Ok(per_cpu
            .iter()
            .fold(PathCounts::default(), |sum, cpu| sum.plus(&cpu.0)))
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
        Ok(per_cpu
            .iter()
            .fold(GlobalCounts::default(), |sum, cpu| add_global(&sum, &cpu.0)))
    }

    /// Every command in flight, those marked as timed out among them. Reads the whole table: for
    /// the end of a trace.
    ///
    /// # Errors
    /// As [`Self::path`].
    pub fn in_flight(&self) -> Result<Vec<CommandSlot>> {
        let mut commands = Vec::new();
        for slot in self.in_flight.iter() {
            commands.push(
                slot.context("failed to read the commands in flight")?
                    .0
                    .command,
            );
        }
        for slot in self.overflow.iter() {
            commands.push(slot.context("failed to read the overflow map")?.1.0);
        }
        commands.retain(|command| command.cmd != 0);
        Ok(commands)
    }
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map> {
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

fn loaded(result: std::result::Result<(), ProgramError>) -> Result<()> {
    match result {
        Ok(()) | Err(ProgramError::AlreadyLoaded) => Ok(()),
        // The verifier's log is long; what it says last before its statistics is the reason.
        Err(ProgramError::LoadError {
            io_error,
            verifier_log,
        }) => {
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log
                .lines()
                .take_while(|line| !line.starts_with("verification time"))
                .collect();
            let end = lines[lines.len().saturating_sub(3)..].join("; ");
            Err(anyhow!("the kernel refuses the program: {io_error}; {end}"))
        }
        Err(error) => Err(error).context("the kernel refuses the program"),
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
        not_optimized: a.not_optimized + b.not_optimized,
    }
}
