//! What the probes keep between a command's hooks: the command, its path and its route.

use core::mem::offset_of;

use crate::{Followed, NO_CONTROLLER, NO_ROUTE, Seen, access_state, handler, state_source};

/// A command in flight. What does not change until it ends is read from the command then.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandSlot {
    /// Address of the `scsi_cmnd`, or 0 for a free slot.
    pub cmd: u64,
    /// As [`crate::CommandRecord::dispatch_ns`]; 0 while the path of a command that has the slot is being looked up.
    pub dispatch_ns: u64,
    /// As [`crate::CommandRecord::followed`].
    pub followed: Followed,
}

/// A place for a command in flight.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InFlightSlot {
    /// Who has it.
    pub command: CommandSlot,
    /// How many CPUs are trying to have it at this moment.
    pub claimants: u64,
    /// Zero: what is used of two slots is in different cache lines, so that CPUs whose commands are neighbours do not take
    /// them from each other.
    pub reserved: [u64; 4],
}

/// Shortcuts to devices whose addresses hash to the same place.
pub const SHORTCUT_WAYS: usize = 2;

/// What the next command on a device goes by. A set of them is a cache line.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shortcut {
    /// Address of the `scsi_device`.
    pub sdev: u64,
    /// [`crate::Control::generation`] at which the rest was so; 0 while it is written.
    pub generation: u64,
    /// Its path and state, and a guess at the route: [`PathSlot::route`]. No flags.
    pub followed: Followed,
    /// Who would write it now.
    pub writers: u64,
}

/// [`PathSlot::sdev`] or [`RouteSlot::pgpath`] of a slot that is not used again until the collector
/// gives its id back.
pub const RETIRED: u64 = 1;

/// What the probes know of a path, by its id. The collector looks here when it meets an id that it
/// does not know, and gives ids back: none stands for two devices in one stretch of records.
///
/// The slot of an id that is nobody's is filled by who has taken the id, before anybody can find it.
/// Later one writer at a time has it (`writers`), sets `generation` to 0 first and to its value
/// last; readers read `generation` before and after the rest.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathSlot {
    /// Address of the `scsi_device`, 0 for a free slot, or [`RETIRED`].
    pub sdev: u64,
    /// Address of what its handler keeps its state in: `alua_port_group`, `rdac_dh_data`, or 0.
    pub handler_state: u64,
    /// `scsi_device.lun`.
    pub lun: u64,
    /// [`crate::Control::generation`] at which the rest was read from the kernel; 0 while it is written.
    pub generation: u64,
    /// Who would write it now.
    pub writers: u64,
    /// `Scsi_Host.host_no`.
    pub host: u32,
    /// `scsi_device.channel`.
    pub channel: u32,
    /// `scsi_device.id`.
    pub target: u32,
    /// [`handler`].
    pub handler: u8,
    /// [`state_source`] once the state in `handler_state` is known; it stays known.
    pub state_source: u8,
    /// State byte at `generation`, or [`access_state::LIVE`].
    pub state: u8,
    /// RDAC: slot of the controller it leads to (`rdac_controller.index`, 0 is A) in bits 5:0, and
    /// `rdac_dh_data.mode` (0 RDAC, 1 AVT, 2 IOSHIP) above; else [`NO_CONTROLLER`].
    pub controller: u8,
    /// Where the last command that dm sent came from, since `generation`: where the next one does, too, while
    /// [`crate::Control::routes_known_ns`] holds; else a guess, which the route's slot confirms. Any writer, at any time.
    pub route: u16,
    /// Zero.
    pub reserved: u16,
    /// `state` and `state_source` as a command goes by them: [`crate::Seen`].
    pub seen: Seen,
}

impl PathSlot {
    /// Nobody's.
    pub const FREE: Self = Self {
        sdev: 0,
        handler_state: 0,
        lun: 0,
        generation: 0,
        writers: 0,
        host: 0,
        channel: 0,
        target: 0,
        handler: handler::NONE,
        state_source: state_source::NONE,
        state: access_state::UNKNOWN,
        controller: NO_CONTROLLER,
        route: NO_ROUTE,
        reserved: 0,
        seen: Seen::UNKNOWN,
    };
}

/// What the probes know of a route, by its id: a path as a member of a path group of a map. Written
/// once, by who has taken the id, but for `generation`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteSlot {
    /// Address of the `pgpath`, 0 for a free slot, or [`RETIRED`].
    pub pgpath: u64,
    /// [`crate::Control::generation`] at which it was last seen to be this.
    pub generation: u64,
    /// `priority_group.pg_num`.
    pub path_group: u32,
    /// dm device.
    pub major: u32,
    /// dm device.
    pub minor: u32,
    /// Zero.
    pub reserved: u32,
}

/// What the probes notice, and go by at each dispatch. Of times, whoever writes last is right.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Noticed {
    /// Until when commands are marked [`crate::command_flag::WAITED`], in monotonic ns.
    pub watch_waits_until_ns: u64,
    /// When a dm device was last resumed, in monotonic ns: it may have another table since.
    pub resumed_ns: u64,
    /// How many workers are filing states right now: they may change at any moment.
    pub states_changing: u64,
}

const _: () = {
    assert!(size_of::<CommandSlot>() == 24 && size_of::<InFlightSlot>() == 64);
    assert!(size_of::<PathSlot>() == 64 && offset_of!(PathSlot, generation) == 24);
    assert!(size_of::<RouteSlot>() == 32 && size_of::<Shortcut>() * SHORTCUT_WAYS == 64);
};
