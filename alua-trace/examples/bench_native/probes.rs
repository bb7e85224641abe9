//! The probes of commands, loaded and attached to nothing.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use alua_trace::{
    ingest::inbox::Inbox,
    kernel::{attach::inbox, machine, tables::Tables},
};
use alua_trace_ebpf::{Control, MACHINE_GLOBAL, MAX_PATHS, SCSI_LAYOUT_GLOBAL, map_name};
use anyhow::{Context, Result, bail};
use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, MapData},
    programs::{Program, RawTracePoint},
};

use crate::{
    bpf::Wire,
    memory::{ALUA, DM, END_CLONE_REQUEST, LAYOUT},
};

/// What a run needs of them.
pub struct Probes {
    /// Programs go with it.
    _ebpf: Ebpf,
    control: Array<MapData, Wire<Control>>,
    generation: u64,
    pub start: RawFd,
    pub done: RawFd,
    pub inbox: Inbox,
    pub tables: Tables,
}

impl Probes {
    /// The probes of this build, with ids for as many paths as there can be.
    pub fn load() -> Result<Self> {
        let layout = Wire(LAYOUT);
        let cpus = machine::cpus()?;
        let machine = machine::machine(None, cpus)?;
        let records = machine.log_records;
        let object = machine::object(&machine)?;
        let mut ebpf = EbpfLoader::new()
            .btf(None)
            .override_global(SCSI_LAYOUT_GLOBAL, &layout, true)
            .override_global(MACHINE_GLOBAL, &Wire(machine), true)
            .map_max_entries(map_name::LOG_ENDS, cpus)
            .map_max_entries(map_name::LOGS, cpus * records)
            .map_max_entries(map_name::PATHS, MAX_PATHS)
            .map_max_entries(map_name::PATH_COUNTS, MAX_PATHS)
            .load(&object)?;
        let control = ebpf.take_map(map_name::CONTROL).context("no control map")?;
        let inbox = inbox(&mut ebpf, cpus, records)?;
        let tables = Tables::open(&mut ebpf, MAX_PATHS as usize)?;
        let mut probes = Self {
            control: Array::try_from(control)?,
            generation: 0,
            start: program(&mut ebpf, "scsi_dispatch_cmd_start")?,
            done: program(&mut ebpf, "scsi_dispatch_cmd_done")?,
            inbox,
            tables,
            _ebpf: ebpf,
        };
        probes.look_again()?;
        Ok(probes)
    }

    /// The next command on each path and route reads the kernel anew.
    pub fn look_again(&mut self) -> Result<()> {
        self.generation += 1;
        let told = Control {
            generation: self.generation,
            cache_states: 1,
            end_clone_request: END_CLONE_REQUEST,
            dm: DM,
            alua: ALUA,
            ..Control::default()
        };
        Ok(self.control.set(0, Wire(told), 0)?)
    }

    /// The generation now.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// A program by its name, loaded.
pub fn program(ebpf: &mut Ebpf, name: &str) -> Result<RawFd> {
    let Some(Program::RawTracePoint(program)) = ebpf.program_mut(name) else {
        bail!("no raw tracepoint program {name}");
    };
    let program: &mut RawTracePoint = program;
    program.load()?;
    Ok(program.fd()?.as_fd().as_raw_fd())
}
