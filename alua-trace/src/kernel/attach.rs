//! Loading the probes and attaching each alone. With [`super::tables`] and `ingest::ring` the only
//! place that knows aya.

use std::os::fd::{AsFd, AsRawFd};

use alua_trace_ebpf::{
    Control, LOG_RECORDS_GLOBAL, MAX_PATHS, SCSI_LAYOUT_GLOBAL, ScsiLayout, USUAL_PATHS,
    log_records, map_name,
};
use anyhow::{Context, Result, anyhow};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, RingBuf},
    programs::{KProbe, Program, ProgramError},
    util::nr_cpus,
};

use super::{
    probes::{Hook, Planned},
    tables::{Tables, Wire},
};
use crate::{
    ingest::{inbox::Inbox, logs::Logs, ring::Ring},
    model::ProbeStatus,
    sysroot,
};

/// The probes' object file, built by `build.rs`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(env!("ALUA_TRACE_PROBES"));

/// The loaded probes. Dropping it detaches them.
pub struct Probes {
    ebpf: Ebpf,
    control: Array<MapData, Wire<Control>>,
    /// What they count and keep.
    pub tables: Tables,
}

impl Probes {
    /// Loads the object with the kernel's layout, for a host with so many SCSI devices, and gives what the probes write
    /// to beside it. Nothing is attached yet.
    ///
    /// # Errors
    /// The kernel refuses maps or programs: not permitted, or too old.
    pub fn load(
        layout: &ScsiLayout,
        control: &Control,
        ring_bytes: u32,
        devices: usize,
    ) -> Result<(Self, Inbox)> {
        let layout = Wire(*layout);
        let paths = path_entries(devices);
        let cpus = possible_cpus()?;
        let records = log_records(ring_bytes, cpus);
        let mut ebpf = EbpfLoader::new()
            // Our programs need no relocation against the kernel's types: offsets are data.
            .btf(None)
            .override_global(SCSI_LAYOUT_GLOBAL, &layout, true)
            .override_global(LOG_RECORDS_GLOBAL, &records, true)
            .map_max_entries(map_name::LOG_ENDS, cpus)
            .map_max_entries(map_name::LOGS, cpus * records)
            .map_max_entries(map_name::PATHS, paths)
            .map_max_entries(map_name::PATH_COUNTS, paths)
            .load(OBJECT)
            .context("the kernel does not take the probes' maps")?;
        let inbox = inbox(&mut ebpf, cpus, records)?;
        let mut probes = Self {
            control: Array::try_from(take(&mut ebpf, map_name::CONTROL)?)?,
            tables: Tables::open(&mut ebpf)?,
            ebpf,
        };
        probes.set_control(control)?;
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
}

fn possible_cpus() -> Result<u32> {
    let cpus = nr_cpus().map_err(|(what, error)| anyhow!("{what}: {error}"))?;
    Ok(u32::try_from(cpus)?)
}

/// The collector's end of what the probes of an object write to: `records` for each of `cpus` CPUs, as it was loaded.
///
/// # Errors
/// The object has other maps, or they cannot be mapped.
pub fn inbox(ebpf: &mut Ebpf, cpus: u32, records: u32) -> Result<Inbox> {
    let ring = RingBuf::try_from(take(ebpf, map_name::EVENTS)?)
        .context("failed to map the ring buffer")?;
    // They stay where they are: programs that are loaded later know them by the numbers of their descriptors.
    let maps = [map_name::LOG_ENDS, map_name::LOGS].map(|name| ebpf.map(name));
    let [Some(Map::Array(ends)), Some(Map::Array(places))] = maps else {
        return Err(anyhow!("the object has no logs"));
    };
    let (ends, places) = (ends.fd().as_fd(), places.fd().as_fd());
    let logs = Logs::new(ends, places, cpus as usize, records);
    Ok(Inbox::new(
        Ring::new(ring),
        logs.context("failed to map the logs")?,
    ))
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
