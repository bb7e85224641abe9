//! The probes of commands, loaded and attached to nothing.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use alua_trace::{
    ingest::inbox::Inbox,
    kernel::{
        attach::maps,
        machine::{Cast, machine},
        tables::Tables,
        types::RawTypes,
    },
    sysroot::Sysroot,
};
use alua_trace_ebpf::{Control, MAX_PATHS, Machine, map_name};
use anyhow::Result;
use aya::maps::{Array, Map, MapData};

use crate::{
    bpf::Wire,
    memory::{ALUA, DM, END_CLONE_REQUEST, LAYOUT},
};

/// What a run needs of them.
pub struct Probes {
    control: Array<MapData, Wire<Control>>,
    generation: u64,
    routes_known_ns: u64,
    /// What the next two are the numbers of.
    _programs: [OwnedFd; 2],
    pub start: RawFd,
    pub done: RawFd,
    pub inbox: Inbox,
    pub tables: Tables,
}

/// How this kernel casts.
fn cast() -> Result<Option<Cast>> {
    let mut types = RawTypes::read(&Sysroot::default(), None)?;
    Ok(Cast::find(&types.parse_vmlinux()?))
}

impl Probes {
    /// The probes of this build, with ids for as many paths as there can be.
    pub fn load() -> Result<Self> {
        Self::load_for(&machine(None)?)
    }

    /// The same for a machine that may be another one than this.
    pub fn load_for(machine: &Machine) -> Result<Self> {
        let (object, inbox, room) = maps(&LAYOUT, machine, cast()?, MAX_PATHS as usize)?;
        let control = Map::Array(object.map(map_name::CONTROL)?);
        let start = object.code("scsi_dispatch_cmd_start")?.load()?;
        let done = object.code("scsi_dispatch_cmd_done")?.load()?;
        let tables = Tables::open(&object, room, MAX_PATHS as usize)?;
        let mut probes = Self {
            control: Array::try_from(control)?,
            generation: 0,
            routes_known_ns: 0,
            start: start.as_raw_fd(),
            done: done.as_raw_fd(),
            _programs: [start, done],
            inbox,
            tables,
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
            routes_known_ns: self.routes_known_ns,
            end_clone_request: END_CLONE_REQUEST,
            dm: DM,
            alua: ALUA,
            ..Control::default()
        };
        Ok(self.control.set(0, Wire(told), 0)?)
    }

    /// Each device is a path of one group alone from now on, and no table is changed.
    pub fn know_routes(&mut self) -> Result<()> {
        self.routes_known_ns = 1;
        self.look_again()
    }

    /// The generation now.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}
