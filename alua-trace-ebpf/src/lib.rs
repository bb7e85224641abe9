//! The wire: every byte that crosses between the probes and the collector.
//!
//! Owns record layouts, ids, limits and map names, and nothing that runs. `no_std` and without
//! dependencies, so that the probes and the collector compile the same file. Times are kernel
//! monotonic nanoseconds (`bpf_ktime_get_ns`, the clock of `CLOCK_MONOTONIC`).
#![cfg_attr(not(test), no_std)]

use core::mem::{align_of, offset_of, size_of};

mod events;
mod layout;

pub use events::{DmRecord, MANAGEMENT_DATA, ManagementRecord, RtpgRecord, dm_event};
pub use layout::{ABSENT, AluaLayout, BufferLayout, Control, DmLayout, RdacLayout, ScsiLayout};

/// Names of the maps both sides open.
pub mod map_name {
    /// Ring buffer of records.
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU array of [`super::PathCounts`], indexed by path id.
    pub const PATH_COUNTS: &str = "PATH_COUNTS";
    /// Array of [`super::PathSlot`], indexed by path id.
    pub const PATHS: &str = "PATHS";
    /// Hash map from a `scsi_device`'s address to its path id.
    pub const PATH_IDS: &str = "PATH_IDS";
    /// Queue of path ids that are nobody's.
    pub const FREE_PATHS: &str = "FREE_PATHS";
    /// Array of [`super::RouteSlot`], indexed by route id.
    pub const ROUTES: &str = "ROUTES";
    /// Hash map from a `pgpath`'s address to its route id.
    pub const ROUTE_IDS: &str = "ROUTE_IDS";
    /// Queue of route ids that are nobody's.
    pub const FREE_ROUTES: &str = "FREE_ROUTES";
    /// Array of [`super::InFlightSlot`]: commands in flight.
    pub const IN_FLIGHT: &str = "IN_FLIGHT";
    /// Hash map from command address to [`super::CommandSlot`]: commands whose slot was taken.
    pub const IN_FLIGHT_OVERFLOW: &str = "IN_FLIGHT_OVERFLOW";
    /// One [`super::Control`].
    pub const CONTROL: &str = "CONTROL";
    /// One `u64`: until when commands are marked [`super::command_flag::WAITED`], in monotonic ns.
    pub const WATCH_WAITS: &str = "WATCH_WAITS";
    /// Per-CPU array with one [`super::GlobalCounts`].
    pub const GLOBAL_COUNTS: &str = "GLOBAL_COUNTS";
}

/// Name of the global with the [`ScsiLayout`], set when the probes are loaded. Ends with the version
/// of the wire, raised whenever a layout below changes: probes of another version have no global
/// of this name and are refused.
pub const SCSI_LAYOUT_GLOBAL: &str = "SCSI_LAYOUT_4";

/// Bytes of the ring buffer unless the user asks for another size: a power of two and a multiple
/// of the page size. Holds 65 ms of commands at a million IOPS.
pub const RING_BYTES: u32 = 4 << 20;
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
pub const fn sets(ids: u32) -> u32 {
    ids * 4
}

/// The ids that addresses of equal hash were given: a guess, checked by the address in the slot.
pub type Candidates = [u16; WAYS];

/// How long no block I/O may be dispatched in a state other than active/optimized before an
/// episode of it is over.
pub const OFFENCE_QUIET_NS: u64 = 1_000_000_000;

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

/// What is remembered of a command from dispatch to completion, packed into one word: the probes
/// move it in one instruction.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Followed(pub u64);

impl Followed {
    /// Packs. `state` is a state byte, `source` a [`state_source`], `flags` [`command_flag`] bits.
    #[inline(always)]
    pub const fn new(path: u16, route: u16, state: u8, source: u8, flags: u8) -> Self {
        Self(
            path as u64
                | (route as u64) << 16
                | (state as u64) << 32
                | (source as u64) << 40
                | (flags as u64) << 48,
        )
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

    /// With one more [`command_flag`].
    #[inline(always)]
    pub const fn with(self, flag: u8) -> Self {
        Self(self.0 | (flag as u64) << 48)
    }

    /// Whether a [`command_flag`] is set.
    #[inline(always)]
    pub const fn has(self, flag: u8) -> bool {
        self.flags() & flag != 0
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

impl CommandRecord {
    /// Logical block address of a read, write, verify or similar command (SBC-4 5), else `None`.
    #[must_use]
    pub fn lba(&self) -> Option<u64> {
        let cdb = &self.cdb;
        match cdb[0] {
            // READ(6), WRITE(6): 21 bits from byte 1.
            0x08 | 0x0a => Some(u64::from(u32::from_be_bytes([
                0,
                cdb[1] & 0x1f,
                cdb[2],
                cdb[3],
            ]))),
            // (10) and (12): READ, WRITE, WRITE AND VERIFY, VERIFY, SYNCHRONIZE CACHE, WRITE SAME.
            0x28 | 0x2a | 0x2e | 0x2f | 0x35 | 0x41 | 0xa8 | 0xaa | 0xae | 0xaf => {
                Some(u64::from(u32::from_be_bytes([
                    cdb[2], cdb[3], cdb[4], cdb[5],
                ])))
            }
            // (16): the same, and COMPARE AND WRITE.
            0x88 | 0x89 | 0x8a | 0x8e | 0x8f | 0x91 | 0x93 => Some(u64::from_be_bytes([
                cdb[2], cdb[3], cdb[4], cdb[5], cdb[6], cdb[7], cdb[8], cdb[9],
            ])),
            _ => None,
        }
    }
}

/// Counts kept per path beside the stream; exact whatever the stream loses.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathCounts {
    /// Commands handed to the low-level driver.
    pub dispatched: u64,
    /// Of those, completed.
    pub completed: u64,
    /// Of those, refused by the low-level driver (`scsi_dispatch_cmd_error`).
    pub failed: u64,
    /// Of those, timed out and not completed since. Goes down when a late completion arrives.
    pub timed_out: u64,
    /// Of those, never seen to end before their command block was dispatched again.
    pub superseded: u64,
    /// Of those, untracked: no slot and no room in the overflow map. Their end is not seen.
    pub untracked: u64,
    /// Completed commands that found the ring buffer full.
    pub ring_full: u64,
    /// Requests that the device handler's `prep_fn` refused: they never reach dispatch.
    pub rejected: u64,
    /// First block I/O dispatched in a known state other than active/optimized since there was
    /// none for [`OFFENCE_QUIET_NS`], on this CPU, in monotonic ns; 0 when there was none.
    pub offence_first_ns: u64,
    /// Last such dispatch, on this CPU.
    pub offence_last_ns: u64,
    /// Block I/O dispatched, by state: index 0–4 as [`access_state`], 5 offline, 6 transitioning, 7 unknown.
    pub dispatched_by_state: [u64; 8],
}

impl PathCounts {
    /// The sum of two: of CPUs, or of two ids of one path. Wrapping, because `timed_out` may be
    /// negative on one CPU and is right only in the sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut by_state = self.dispatched_by_state;
        for (sum, more) in by_state.iter_mut().zip(other.dispatched_by_state) {
            *sum = sum.wrapping_add(more);
        }
        let (offence_first_ns, offence_last_ns) = self.offences_with(other);
        Self {
            dispatched: self.dispatched.wrapping_add(other.dispatched),
            completed: self.completed.wrapping_add(other.completed),
            failed: self.failed.wrapping_add(other.failed),
            timed_out: self.timed_out.wrapping_add(other.timed_out),
            superseded: self.superseded.wrapping_add(other.superseded),
            untracked: self.untracked.wrapping_add(other.untracked),
            ring_full: self.ring_full.wrapping_add(other.ring_full),
            rejected: self.rejected.wrapping_add(other.rejected),
            offence_first_ns,
            offence_last_ns,
            dispatched_by_state: by_state,
        }
    }

    /// First and last of the episode that is the younger of the two, or of both when they touch.
    fn offences_with(&self, other: &Self) -> (u64, u64) {
        let (older, younger) = if self.offence_last_ns <= other.offence_last_ns {
            (self, other)
        } else {
            (other, self)
        };
        let apart = younger
            .offence_first_ns
            .saturating_sub(older.offence_last_ns);
        let first = if older.offence_last_ns == 0 || apart > OFFENCE_QUIET_NS {
            younger.offence_first_ns
        } else {
            older.offence_first_ns.min(younger.offence_first_ns)
        };
        (first, younger.offence_last_ns)
    }
}

/// Index into [`PathCounts::dispatched_by_state`] for a state byte.
#[inline(always)]
pub const fn state_index(state: u8) -> usize {
    if state & access_state::UNKNOWN != 0 {
        return 7;
    }
    match state & access_state::MASK {
        access_state::OFFLINE => 5,
        access_state::TRANSITIONING => 6,
        low if low <= access_state::LBA_DEPENDENT => low as usize,
        _ => 7,
    }
}

/// Counts that belong to no path.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlobalCounts {
    /// Ends of commands dispatched before the trace began, or untracked.
    pub unmatched_ends: u64,
    /// Dispatches on a device that found no room in the path table.
    pub path_table_full: u64,
    /// Commands whose route found no room in the route table.
    pub route_table_full: u64,
    /// RTPG records that found the ring buffer full.
    pub lost_records: u64,
    /// Reads of kernel memory that failed.
    pub failed_reads: u64,
    /// Commands that took the overflow map because their slot was taken.
    pub overflowed: u64,
    /// Ids given to paths: tells the collector to look for paths whose commands have not completed
    /// yet, and for ids to give back.
    pub paths: u64,
    /// Ids given to routes: tells the collector when to look for some to give back.
    pub routes: u64,
    /// Block I/O dispatched in a known state other than active/optimized: tells the collector at
    /// little cost that the paths' own counts are worth a look.
    pub not_optimized: u64,
}

/// A command in flight. What does not change until it ends is read from the command then.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CommandSlot {
    /// Address of the `scsi_cmnd`, or 0 for a free slot.
    pub cmd: u64,
    /// As [`CommandRecord::dispatch_ns`].
    pub dispatch_ns: u64,
    /// As [`CommandRecord::followed`].
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
    pub state_keeper: u64,
    /// `scsi_device.lun`.
    pub lun: u64,
    /// [`Control::generation`] at which the rest was read from the kernel; 0 while it is written.
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
    /// [`state_source`] once the state in `state_keeper` is known; it stays known.
    pub state_source: u8,
    /// State byte at `generation`, or [`access_state::LIVE`].
    pub state: u8,
    /// RDAC: slot of the controller it leads to (`rdac_controller.index`, 0 is A) in bits 5:0, and
    /// `rdac_dh_data.mode` (0 RDAC, 1 AVT, 2 IOSHIP) above; else [`NO_CONTROLLER`].
    pub controller: u8,
}

impl PathSlot {
    /// Nobody's.
    pub const FREE: Self = Self {
        sdev: 0,
        state_keeper: 0,
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
    };
}

/// What the probes know of a route, by its id: a path as a member of a path group of a map. Written
/// once, by who has taken the id, but for `generation`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RouteSlot {
    /// Address of the `pgpath`, 0 for a free slot, or [`RETIRED`].
    pub pgpath: u64,
    /// [`Control::generation`] at which it was last seen to be this.
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

// A layout that drifts must not compile: both sides and every recording rely on it.
const _: () = {
    assert!(size_of::<CommandRecord>() == 56 && align_of::<CommandRecord>() == 8);
    assert!(offset_of!(CommandRecord, result) == 4 && offset_of!(CommandRecord, dispatch_ns) == 8);
    assert!(offset_of!(CommandRecord, completion_ns) == 16);
    assert!(offset_of!(CommandRecord, followed) == 24 && offset_of!(CommandRecord, cdb) == 32);
    assert!(offset_of!(CommandRecord, bytes) == 44 && offset_of!(CommandRecord, retries) == 48);
    assert!(size_of::<PathCounts>() == 144);
    assert!(size_of::<GlobalCounts>() == 72);
    assert!(size_of::<CommandSlot>() == 24 && size_of::<InFlightSlot>() == 32);
    assert!(size_of::<PathSlot>() == 56 && offset_of!(PathSlot, generation) == 24);
    assert!(size_of::<RouteSlot>() == 32);
};

#[cfg(test)]
mod tests {
    use super::*;

    fn with_cdb(cdb: &[u8]) -> CommandRecord {
        let mut record = CommandRecord {
            kind: record_kind::COMMAND,
            sense_key: 0,
            asc: 0,
            ascq: 0,
            result: 0,
            dispatch_ns: 0,
            completion_ns: 0,
            followed: Followed(0),
            cdb: [0; 12],
            bytes: 0,
            retries: 0,
            waited_us: 0,
        };
        record.cdb[..cdb.len()].copy_from_slice(cdb);
        record
    }

    #[test]
    fn block_addresses_are_read_from_every_form_of_cdb() {
        assert_eq!(
            with_cdb(&[0x08, 0xff, 0x01, 0x02, 1, 0]).lba(),
            Some(0x1f_0102)
        );
        assert_eq!(
            with_cdb(&[0x28, 0, 1, 2, 3, 4, 0, 0, 8, 0]).lba(),
            Some(0x0102_0304)
        );
        assert_eq!(
            with_cdb(&[0xaa, 0, 1, 2, 3, 4, 0, 0, 8, 0]).lba(),
            Some(0x0102_0304)
        );
        let long = [0x88, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0];
        assert_eq!(with_cdb(&long).lba(), Some(0x0102_0304_0506_0708));
        assert_eq!(with_cdb(&[0xa3, 0x0a]).lba(), None);
    }

    #[test]
    fn episodes_of_two_cpus_are_one_when_they_touch() {
        let cpu = |first, last| PathCounts {
            offence_first_ns: first,
            offence_last_ns: last,
            ..PathCounts::default()
        };
        let of = |sum: PathCounts| (sum.offence_first_ns, sum.offence_last_ns);
        const S: u64 = OFFENCE_QUIET_NS;
        assert_eq!(of(cpu(0, 0).plus(&cpu(5, 9))), (5, 9));
        assert_eq!(of(cpu(5, 9).plus(&cpu(S, S + 7))), (5, S + 7));
        assert_eq!(of(cpu(3 * S, 4 * S).plus(&cpu(5, 9))), (3 * S, 4 * S));
        let one = cpu(0, 0);
        let late = PathCounts {
            timed_out: 1,
            ..one
        }
        .plus(&PathCounts {
            timed_out: 1_u64.wrapping_neg(),
            ..one
        });
        assert_eq!(late.timed_out, 0);
    }

    #[test]
    fn what_is_followed_survives_packing() {
        let followed = Followed::new(0x0102, 0x0304, 0x85, 2, command_flag::BIO_BASED);
        assert_eq!((followed.path(), followed.route()), (0x0102, 0x0304));
        assert_eq!((followed.state(), followed.state_source()), (0x85, 2));
        let late = followed.with(command_flag::LATE);
        assert!(late.has(command_flag::LATE) && late.has(command_flag::BIO_BASED));
        assert!(!late.has(command_flag::SENSE));
    }

    #[test]
    fn every_state_has_its_index_and_reserved_ones_are_unknown() {
        let index = [0u8, 1, 2, 3, 4, 0xe, 0xf].map(state_index);
        assert_eq!(index, [0, 1, 2, 3, 4, 5, 6]);
        for reserved in 5..=0xd {
            assert_eq!(state_index(reserved), 7);
        }
        assert_eq!(state_index(access_state::UNKNOWN), 7);
        assert_eq!(
            state_index(access_state::PREFERRED | access_state::NON_OPTIMIZED),
            1
        );
    }
}
