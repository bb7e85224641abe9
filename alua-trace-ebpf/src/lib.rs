//! The wire: every byte that crosses between the probes and the collector.
//!
//! Owns record layouts, ids, limits and map names, and nothing that runs. `no_std` and without
//! dependencies, so that the probes and the collector compile the same file. Times are kernel
//! monotonic nanoseconds (`bpf_ktime_get_ns`, the clock of `CLOCK_MONOTONIC`).
#![cfg_attr(not(test), no_std)]

use core::mem::{align_of, offset_of, size_of};

mod cells;
mod counts;
mod events;
mod layout;
mod log;
mod slots;

pub use cells::{
    BUCKETS, CELLS, CLASSES, Cell, CellIds, Given, LONGEST_COUNTED_NS, MOST_LANES, OCTAVES, Octave,
    SAMPLE_EACH_NS, bucket_ns, cell_index, octave_and_bucket, telling,
};
pub use counts::{GlobalCounts, OwnLines, PathCounts, state_index};
pub use events::{DmRecord, MANAGEMENT_DATA, ManagementRecord, RtpgRecord, dm_event};
pub use layout::{
    ABSENT, AluaLayout, BufferLayout, CAST_BYTES, CAST_CALL, Control, DmLayout, LAYOUT_MARK,
    MACHINE_MARK, Machine, RdacLayout, ScsiLayout,
};
pub use log::{LogEnds, LoggedCommand};
pub use slots::{
    CommandSlot, InFlightSlot, Noticed, PathSlot, RETIRED, RouteSlot, SHORTCUT_WAYS, Shortcut,
};

/// Names of the maps both sides open.
pub mod map_name {
    /// Ring buffer of what is rare, and of commands that found their CPU's log being written.
    pub const EVENTS: &str = "EVENTS";
    /// Array of [`super::LogEnds`], indexed by CPU.
    pub const LOG_ENDS: &str = ".bss.log_ends";
    /// Array of [`super::LoggedCommand`]: the logs of all CPUs, one behind the other.
    pub const LOGS: &str = "LOGS";
    /// Array of [`super::PathCounts`] in [`super::OwnLines`]: those of all paths on each CPU, one CPU behind the other.
    pub const PATH_COUNTS: &str = ".bss.path_counts";
    /// The same where the kernel's memory that programs address directly has no room for it
    /// ([`super::Machine::counts_in_array`]).
    pub const PATH_COUNTS_ARRAY: &str = "PATH_COUNTS";
    /// Array of sets of [`super::SHORTCUT_WAYS`] [`super::Shortcut`]s.
    pub const SHORTCUTS: &str = ".bss.shortcuts";
    /// Array of [`super::PathSlot`], indexed by path id.
    pub const PATHS: &str = ".bss.path_slots";
    /// Hash map from a `scsi_device`'s address to its path id.
    pub const PATH_IDS: &str = "PATH_IDS";
    /// Queue of path ids that are nobody's.
    pub const FREE_PATHS: &str = "FREE_PATHS";
    /// Array of [`super::RouteSlot`], indexed by route id.
    pub const ROUTES: &str = ".bss.route_slots";
    /// Hash map from a `pgpath`'s address to its route id.
    pub const ROUTE_IDS: &str = "ROUTE_IDS";
    /// Queue of route ids that are nobody's.
    pub const FREE_ROUTES: &str = "FREE_ROUTES";
    /// One array of [`super::InFlightSlot`]: commands in flight.
    pub const IN_FLIGHT: &str = ".bss.in_flight";
    /// Hash map from command address to [`super::CommandSlot`]: commands whose slot was taken.
    pub const IN_FLIGHT_OVERFLOW: &str = "IN_FLIGHT_OVERFLOW";
    /// Array of [`super::CellIds`], indexed by path id times the number of lanes, and lane.
    pub const CELL_IDS: &str = ".bss.cell_ids";
    /// Array of [`super::Cell`].
    pub const CELLS: &str = ".bss.cells";
    /// Array of [`super::Octave`].
    pub const OCTAVES: &str = ".bss.octaves";
    /// One [`super::Given`].
    pub const GIVEN: &str = "GIVEN";
    /// One [`super::Control`].
    pub const CONTROL: &str = ".bss.control";
    /// Array of [`super::GlobalCounts`] in [`super::OwnLines`], indexed by CPU.
    pub const GLOBAL_COUNTS: &str = ".bss.global_counts";
}

/// Bytes of each of `cpus` logs unless the user asks for another size, a power of two. 512 KiB hold 50 ms of commands at
/// 160,000 IOPS of one CPU; many CPUs have less each.
pub const fn usual_ring_bytes(cpus: u32) -> u32 {
    match cpus {
        0..=32 => 512 << 10,
        _ => 256 << 10,
    }
}

/// Records that a log of so many bytes has room for; both are powers of two.
pub const fn log_records(ring_bytes: u32) -> u32 {
    ring_bytes / size_of::<LoggedCommand>() as u32
}

/// Bytes of the ring buffer of what is rare, on a host with so many SCSI devices: two answers to its handler and twelve
/// failures of each at once, and of 128 devices at least. It is in memory twice over.
pub const fn events_bytes(devices: u32) -> u32 {
    let devices = match devices {
        0..128 => 128,
        128..=MAX_PATHS => devices,
        _ => MAX_PATHS,
    };
    devices.next_power_of_two() << 10
}
/// Slots for commands in flight; a power of two.
pub const IN_FLIGHT_SLOTS: u32 = 1 << 14;
/// Commands that may be in flight beside the slots.
pub const IN_FLIGHT_OVERFLOW_ENTRIES: u32 = 1 << 13;
/// Ids of paths are below it: twice the 4,096 paths that are followed, because an id is not given
/// back at once. A power of two.
pub const MAX_PATHS: u32 = 1 << 13;
/// Ids of paths that there are on a host with fewer devices: counts by CPU take their room.
pub const USUAL_PATHS: u32 = 1 << 12;
/// Routes (a path as a member of a path group of a map) at one time: ids of routes are below it. A
/// power of two.
pub const MAX_ROUTES: u32 = 1 << 14;
/// Ids that a [`Candidates`] has room for.
pub const WAYS: usize = 4;
/// Sets of [`Candidates`] for a table of so many ids: more than [`WAYS`] addresses meet in one of
/// them for one path of 8,000 when the table is full.
pub const fn sets(ids: u32) -> usize {
    ids as usize * 4
}

/// The ids that addresses of equal hash were given: a guess, checked by the address in the slot.
pub type Candidates = [u16; WAYS];

/// How long no block I/O may be dispatched in a state other than active/optimized before an
/// episode of it is over.
pub const NON_OPTIMIZED_QUIET_NS: u64 = 1_000_000_000;

/// How long after an event that makes commands wait their waits are measured.
pub const WATCH_WAITS_NS: u64 = 10_000_000_000;

/// No path: the path table was full.
pub const NO_PATH: u16 = u16::MAX;
/// No RDAC controller, or not known which.
pub const NO_CONTROLLER: u8 = u8::MAX;
/// No route: the command did not come through a dm-multipath map, or the table was full.
pub const NO_ROUTE: u16 = u16::MAX;

/// First byte of every record.
pub mod record_kind {
    /// [`super::CommandRecord`].
    pub const COMMAND: u8 = 1;
    /// [`super::RtpgRecord`].
    pub const RTPG: u8 = 2;
    /// [`super::ManagementRecord`].
    pub const MANAGEMENT: u8 = 3;
    /// [`super::DmRecord`].
    pub const DM: u8 = 4;
}

/// Longest window of a `scsi_cmnd` that the probes read at completion, in bytes.
pub const MAX_WINDOW: u32 = 192;

/// Low nibble of a state byte: SPC-4 6.37 asymmetric access states.
pub mod access_state {
    /// Active/optimized.
    pub const OPTIMIZED: u8 = 0x0;
    /// Active/non-optimized.
    pub const NON_OPTIMIZED: u8 = 0x1;
    /// Standby.
    pub const STANDBY: u8 = 0x2;
    /// Unavailable.
    pub const UNAVAILABLE: u8 = 0x3;
    /// Logical block dependent.
    pub const LBA_DEPENDENT: u8 = 0x4;
    /// Offline.
    pub const OFFLINE: u8 = 0xe;
    /// Transitioning.
    pub const TRANSITIONING: u8 = 0xf;
    /// Mask of the state in `scsi_device.access_state` and in an RTPG descriptor's first byte.
    pub const MASK: u8 = 0x0f;
    /// Preferred bit of the same bytes (`SCSI_ACCESS_STATE_PREFERRED`).
    pub const PREFERRED: u8 = 0x80;
    /// Our own value for a state that nobody has told the kernel yet.
    pub const UNKNOWN: u8 = 0x10;
    /// In a path's slot only: the state may change at any moment and is read for each command.
    pub const LIVE: u8 = 0xff;
}

/// Where the state of a command at its dispatch came from.
pub mod state_source {
    /// Nowhere: the state is unknown.
    pub const NONE: u8 = 0;
    /// `alua_port_group.state`, first known after an RTPG that ended during the trace.
    pub const RTPG_SEEN: u8 = 1;
    /// ALUA: `alua_port_group.state`, when the path was first met: the port group's own data proves
    /// that an RTPG had been answered (`alua_rtpg` sets `transition_tmo`, and only it sets a state
    /// other than 0). RDAC: `rdac_dh_data`, from VPD page C9h at attach or the last activation
    /// (`check_ownership`).
    pub const HANDLER_DATA: u8 = 2;
}

/// Device handler of a path (`scsi_device.handler`).
pub mod handler {
    /// None attached.
    pub const NONE: u8 = 0;
    /// `scsi_dh_alua`.
    pub const ALUA: u8 = 1;
    /// `scsi_dh_rdac`.
    pub const RDAC: u8 = 2;
    /// Another one.
    pub const OTHER: u8 = 3;
}

/// Bits of [`Followed::flags`].
pub mod command_flag {
    /// `sense_key`, `asc` and `ascq` hold the command's sense data.
    pub const SENSE: u8 = 0x01;
    /// The block layer's timeout fired for it. In a record: and it completed after all. In a slot:
    /// it is counted as timed out, not as in flight.
    pub const LATE: u8 = 0x02;
    /// Sent through SG_IO or by the kernel itself, not as block I/O (`REQ_OP_DRV_IN`, `_OUT`).
    pub const PASSTHROUGH: u8 = 0x04;
    /// The dm map is bio-based: the request may carry merged bios, the route is the first one's.
    pub const BIO_BASED: u8 = 0x08;
    /// How long it waited before its dispatch is measured. Only near events that make commands
    /// wait: at other times it would cost the load and say nothing.
    pub const WAITED: u8 = 0x10;
}

/// The access state of a path at a moment, packed as [`Followed`] has it, with its index: what each dispatch would have to
/// make of it is made when it becomes known.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen(pub u32);

impl Seen {
    /// Not known.
    pub const UNKNOWN: Self = Self::new(state_source::NONE, access_state::UNKNOWN);

    /// Packs a state byte and its [`state_source`]; without a source, or a state, it is not known.
    #[inline(always)]
    pub const fn new(source: u8, state: u8) -> Self {
        if source == state_source::NONE || state == access_state::UNKNOWN {
            return Self::packed(state_source::NONE, access_state::UNKNOWN);
        }
        Self::packed(source, state)
    }

    #[inline(always)]
    const fn packed(source: u8, state: u8) -> Self {
        let live = (state == access_state::LIVE) as u32;
        let index = state_index(state) as u32;
        Self(state as u32 | (source as u32) << 8 | index << 24 | live << 31)
    }

    /// Whether it changes at any moment, and has to be read for each command: the state is [`access_state::LIVE`]. The
    /// highest bit has it: a comparison with 0.
    #[inline(always)]
    pub const fn is_live(self) -> bool {
        self.0 >> 31 != 0
    }
}

/// What is remembered of a command from dispatch to completion, packed into one word: the probes
/// move it in one instruction.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Followed(pub u64);

impl Followed {
    /// Packs. `state` is a state byte, `source` a [`state_source`], `flags` [`command_flag`] bits.
    #[inline(always)]
    pub const fn new(path: u16, route: u16, state: u8, source: u8, flags: u8) -> Self {
        Self::with_seen(path, route, Seen::packed(source, state)).with(flags)
    }

    /// Packs, with the state as it was seen, without flags.
    #[inline(always)]
    pub const fn with_seen(path: u16, route: u16, seen: Seen) -> Self {
        Self(path as u64 | (route as u64) << 16 | (seen.0 as u64) << 32)
    }

    /// Number of the 16 bits that hold the route.
    pub const ROUTE: usize = if cfg!(target_endian = "little") { 1 } else { 2 };

    /// With another route.
    #[inline(always)]
    pub const fn with_route(self, route: u16) -> Self {
        Self(self.0 & !0xffff_0000 | (route as u64) << 16)
    }

    /// The state, as long as there are no flags.
    #[inline(always)]
    pub const fn seen(self) -> Seen {
        Seen((self.0 >> 32) as u32)
    }

    /// Path id: index into [`map_name::PATHS`], or [`NO_PATH`].
    #[inline(always)]
    pub const fn path(self) -> u16 {
        self.0 as u16
    }

    /// Route id: index into [`map_name::ROUTES`], or [`NO_ROUTE`].
    #[inline(always)]
    pub const fn route(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// [`access_state`] at dispatch; bit 7 is the preferred bit; [`access_state::UNKNOWN`].
    #[inline(always)]
    pub const fn state(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// [`state_source`] of the state.
    #[inline(always)]
    pub const fn state_source(self) -> u8 {
        (self.0 >> 40) as u8
    }

    /// [`command_flag`] bits.
    #[inline(always)]
    pub const fn flags(self) -> u8 {
        (self.0 >> 48) as u8
    }

    /// [`state_index`] of the state.
    #[inline(always)]
    pub const fn state_index(self) -> u8 {
        (self.0 >> 56) as u8 & 7
    }

    /// With one more [`command_flag`].
    #[inline(always)]
    pub const fn with(self, flag: u8) -> Self {
        self.with_all(flag as u64)
    }

    /// With more [`command_flag`]s, of a byte.
    #[inline(always)]
    pub const fn with_all(self, flags: u64) -> Self {
        Self(self.0 | flags << 48)
    }

    /// Whether one of these [`command_flag`]s is set.
    #[inline(always)]
    pub const fn has(self, flags: u8) -> bool {
        self.0 & (flags as u64) << 48 != 0
    }
}

/// One SCSI command that completed (`scsi_dispatch_cmd_done`).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRecord {
    /// [`record_kind::COMMAND`].
    pub kind: u8,
    /// Sense key, when [`command_flag::SENSE`] is set.
    pub sense_key: u8,
    /// Additional sense code.
    pub asc: u8,
    /// Additional sense code qualifier.
    pub ascq: u8,
    /// `scsi_cmnd.result`: host byte << 16 | status byte.
    pub result: u32,
    /// When it was handed to the low-level driver, in monotonic ns.
    pub dispatch_ns: u64,
    /// When the low-level driver said it was done, in monotonic ns.
    pub completion_ns: u64,
    /// What was known at dispatch.
    pub followed: Followed,
    /// The first 12 bytes of the CDB.
    pub cdb: [u8; 12],
    /// Data length in bytes (`scsi_cmnd.sdb.length`).
    pub bytes: u32,
    /// `scsi_cmnd.retries`.
    pub retries: u32,
    /// From its submission to the dm map, or to the disk when there is none, to this dispatch, in
    /// µs, when [`command_flag::WAITED`] is set. It contains what the command waited in dm, and
    /// what was spent on dispatches before this one.
    pub waited_us: u32,
}

// A layout that drifts must not compile: both sides and every recording rely on it.
const _: () = {
    assert!(size_of::<CommandRecord>() == 56 && align_of::<CommandRecord>() == 8);
    assert!(offset_of!(CommandRecord, result) == 4 && offset_of!(CommandRecord, dispatch_ns) == 8);
    assert!(offset_of!(CommandRecord, completion_ns) == 16);
    assert!(offset_of!(CommandRecord, followed) == 24 && offset_of!(CommandRecord, cdb) == 32);
    assert!(offset_of!(CommandRecord, bytes) == 44 && offset_of!(CommandRecord, retries) == 48);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(followed: Followed) -> [u16; 4] {
        // SAFETY: both are eight bytes for which any value is valid.
        unsafe { core::mem::transmute(followed) }
    }

    #[test]
    fn what_is_followed_survives_packing() {
        let followed = Followed::new(0x0102, 0x0304, 0x82, 2, command_flag::BIO_BASED);
        assert_eq!((followed.path(), followed.route()), (0x0102, 0x0304));
        assert_eq!((followed.state(), followed.state_source()), (0x82, 2));
        assert_eq!(followed.state_index(), 2);
        let elsewhere = followed.with_route(NO_ROUTE);
        assert_eq!((elsewhere.path(), elsewhere.route()), (0x0102, NO_ROUTE));
        assert_eq!(elsewhere.with_route(0x0304), followed);
        let mut halves: [u16; 4] = bytes_of(followed);
        halves[Followed::ROUTE] = NO_ROUTE;
        assert_eq!(halves, bytes_of(elsewhere));
        let seen = Seen::new(state_source::RTPG_SEEN, access_state::STANDBY);
        assert_eq!(Followed::with_seen(7, 8, seen).seen(), seen);
        assert!(!seen.is_live() && !Seen::UNKNOWN.is_live());
        let live = Seen::new(state_source::RTPG_SEEN, access_state::LIVE);
        assert!(live.is_live() && Followed::with_seen(7, 8, live).seen().is_live());
        let late = followed.with(command_flag::LATE);
        assert!(late.has(command_flag::LATE) && late.has(command_flag::BIO_BASED));
        assert!(!late.has(command_flag::SENSE));
    }
}
