//! Records of rare events: what the handlers, dm-multipath and the array say. May be longer than a
//! command's record: there are few a second.

use core::mem::{align_of, offset_of, size_of};

/// `alua_rtpg_work` returned: the kernel has filed the state of a port group.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpgRecord {
    /// [`super::record_kind::RTPG`].
    pub kind: u8,
    /// `alua_port_group.state`, an [`super::access_state`].
    pub state: u8,
    /// `alua_port_group.pref`.
    pub preferred: u8,
    /// State when the work was entered.
    pub state_before: u8,
    /// `alua_port_group.group_id`.
    pub group: u32,
    /// `alua_port_group` address: tells groups of equal id apart, nothing else.
    pub port_group: u64,
    /// When `alua_rtpg_work` was entered, in monotonic ns.
    pub entry_ns: u64,
    /// When it returned, in monotonic ns.
    pub return_ns: u64,
}

/// Bytes of a command's data that a [`ManagementRecord`] has room for: a MODE SELECT(10) of the
/// redundant controller page (308), or the answer to an RTPG of 16 groups with three ports each.
pub const MANAGEMENT_DATA: usize = 320;

/// A command about ownership, with its data: SET TARGET PORT GROUPS and MODE SELECT when they are
/// dispatched, REPORT TARGET PORT GROUPS and VPD page C9h when they have been answered.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ManagementRecord {
    /// [`super::record_kind::MANAGEMENT`].
    pub kind: u8,
    /// [`super::handler`] whose worker thread sent it; `NONE` when no handler did.
    pub handler: u8,
    /// Path id, as in [`super::Followed`].
    pub path: u16,
    /// Bytes of `data` that are valid.
    pub length: u32,
    /// As [`super::CommandRecord::dispatch_ns`].
    pub dispatch_ns: u64,
    /// As [`super::CommandRecord::completion_ns`]; 0 for a record made at dispatch.
    pub completion_ns: u64,
    /// Process that sent it (`tgid`); 0 when that was not seen.
    pub pid: u32,
    /// As [`super::CommandRecord::result`]; 0 at dispatch.
    pub result: u32,
    /// Name of the thread that sent it (`task_struct.comm`), ended by a zero byte.
    pub comm: [u8; 16],
    /// The first 12 bytes of the CDB.
    pub cdb: [u8; 12],
    /// Zero.
    pub reserved: u32,
    /// The first bytes of the data, out or in.
    pub data: [u8; MANAGEMENT_DATA],
}

/// What [`DmRecord::event`] may be.
pub mod dm_event {
    /// `fail_path`.
    pub const FAIL_PATH: u8 = 1;
    /// `reinstate_path`.
    pub const REINSTATE_PATH: u8 = 2;
    /// `scsi_dh_activate`: dm asks the handler to activate a path.
    pub const ACTIVATE: u8 = 3;
    /// `pg_init_done`: the handler's answer to that.
    pub const ACTIVATED: u8 = 4;
    /// `multipath_message`: a message from userspace (`dmsetup message`, multipathd).
    pub const MESSAGE: u8 = 5;
}

/// Something happened in dm-multipath.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DmRecord {
    /// [`super::record_kind::DM`].
    pub kind: u8,
    /// [`dm_event`].
    pub event: u8,
    /// Path group, from 1; 0 for a message.
    pub path_group: u16,
    /// `errors` of `pg_init_done` (`SCSI_DH_*`); 0 for the rest.
    pub result: u32,
    /// When, in monotonic ns.
    pub at_ns: u64,
    /// The map.
    pub map_major: u32,
    /// The map.
    pub map_minor: u32,
    /// The path's block device as the kernel writes it (major << 20 | minor); 0 for a message.
    pub device: u32,
    /// Process in whose context it happened (`tgid`).
    pub pid: u32,
    /// Name of that thread, ended by a zero byte.
    pub comm: [u8; 16],
    /// First and second word of a message, ended by a zero byte unless cut.
    pub words: [[u8; 16]; 2],
}

const _: () = {
    assert!(size_of::<RtpgRecord>() == 32 && offset_of!(RtpgRecord, port_group) == 8);
    assert!(size_of::<ManagementRecord>() == 64 + MANAGEMENT_DATA);
    assert!(align_of::<ManagementRecord>() == 8 && offset_of!(ManagementRecord, data) == 64);
    assert!(size_of::<DmRecord>() == 80 && offset_of!(DmRecord, comm) == 32);
};
