//! What the ownership engine is told: the boundary between it and the probes. Times are ns of the
//! kernel's monotonic clock; `lun` and `path` are the session's own numbers.

use std::fmt;

use crate::{
    model::AccessState,
    topology::{DevNo, Hctl},
};

/// The array side that serves a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// ALUA: a target port group.
    Group(u16),
    /// RDAC: a controller by its slot, 0 is A (VPD 0xC4, `slot_id[1]`).
    Controller(u8),
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(group) => write!(f, "TPG {group}"),
            Self::Controller(slot @ 0..26) => write!(f, "controller {}", char::from(b'A' + slot)),
            Self::Controller(slot) => write!(f, "controller {slot}"),
        }
    }
}

/// One port group in an answer to REPORT TARGET PORT GROUPS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupAnswer {
    /// Target port group.
    pub group: u16,
    /// Its asymmetric access state.
    pub state: AccessState,
    /// PREF bit.
    pub preferred: bool,
    /// SPC-4 status code: who changed the state last; 0 nobody, 1 SET TARGET PORT GROUPS, 2 the
    /// array (implicit).
    pub status: u8,
}

/// How an RDAC array lets ownership move (VPD 0xC9 byte 8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RdacMode {
    /// MODE SELECT only.
    Rdac,
    /// Any I/O to the other controller moves it.
    Avt,
    /// I/O shipping: the other controller serves I/O without a move.
    IoShip,
}

/// Whose word a report of ownership is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The array's own, VPD 0xC9.
    Array,
    /// What `scsi_dh_rdac` has in `rdac_dh_data`; its `lun_state` is not renewed by a MODE SELECT.
    Handler,
}

/// A command that moves ownership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moves {
    /// SET TARGET PORT GROUPS with the states it asks for.
    Stpg(Vec<(u16, AccessState)>),
    /// RDAC MODE SELECT of page 0x2C: the LUN numbers it takes, on the host, channel and target of
    /// its path.
    ModeSelect(Vec<u64>),
    /// EMC trespass: takes its own LUN.
    Trespass,
}

/// Who sent a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issuer {
    /// Process, meaningless when a handler sent it.
    pub pid: u32,
    /// `task_struct.comm`, as it is.
    pub comm: String,
    /// Device handler that sent it through `scsi_execute_cmd`, such as `scsi_dh_alua`.
    pub handler: Option<&'static str>,
}

/// Sense data of one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenseAt {
    /// Path the command was sent on.
    pub path: u32,
    /// When it was dispatched.
    pub dispatch_ns: u64,
    /// When it came back.
    pub at_ns: u64,
    /// Sense key, additional sense code and qualifier.
    pub sense: [u8; 3],
}

/// One thing observed. They may come up to [`super::REORDER_NS`] out of order.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// A logical unit has this name (map or device) and WWID; may be said again.
    Unit {
        /// The logical unit.
        lun: usize,
        /// Map, or device without a map.
        name: String,
        /// WWID.
        wwid: Option<String>,
    },
    /// A path of a logical unit; may be said again.
    Path {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// Its address.
        hctl: Hctl,
        /// Which side of the array serves it; `None` while unknown.
        side: Option<Side>,
    },
    /// The host has a path no longer; may be said again.
    PathGone {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
    },
    /// The array's own answer to REPORT TARGET PORT GROUPS, overheard, whoever asked.
    Groups {
        /// The logical unit.
        lun: usize,
        /// Dispatch of the command.
        asked_at_ns: u64,
        /// Its completion.
        answered_at_ns: u64,
        /// Implicit transition time of the extended header, if there is one.
        transition_time_s: Option<u8>,
        /// Every group.
        groups: Vec<GroupAnswer>,
    },
    /// `alua_rtpg_work` returned and the handler holds this state for a group.
    Filed {
        /// The logical unit.
        lun: usize,
        /// Target port group.
        group: u16,
        /// `alua_port_group.state`.
        state: AccessState,
        /// `alua_port_group.pref`.
        preferred: bool,
        /// Entry of `alua_rtpg_work`.
        entry_ns: u64,
        /// Its return.
        return_ns: u64,
    },
    /// sysfs `access_state` of a path, as `scsi_device.access_state`.
    Sysfs {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// When it was read.
        at_ns: u64,
        /// The state.
        state: AccessState,
    },
    /// VPD 0xC9 heard on a path, or what the rdac handler has.
    Controller {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// Dispatch of the INQUIRY; `at_ns` for the handler's data.
        asked_at_ns: u64,
        /// Its completion, or when the handler's data was read.
        at_ns: u64,
        /// The controller that was asked.
        side: Side,
        /// Mode.
        mode: RdacMode,
        /// It owns the logical unit.
        owned: bool,
        /// It is the preferred owner.
        preferred: bool,
        /// Whose word.
        from: Source,
    },
    /// A command that moves ownership was dispatched.
    Issued {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// What it asks for.
        what: Moves,
        /// Who sent it.
        issuer: Issuer,
        /// When.
        dispatch_ns: u64,
    },
    /// The end of a command that moves ownership, found by path and dispatch.
    Ended {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// Its dispatch.
        dispatch_ns: u64,
        /// Its completion.
        completion_ns: u64,
        /// Status GOOD.
        ok: bool,
        /// Key, asc, ascq.
        sense: Option<[u8; 3]>,
    },
    /// dm asked the handler to activate a path (`scsi_dh_activate`, pg_init).
    Activate {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// When.
        at_ns: u64,
    },
    /// `pg_init_done` of a path.
    Activated {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// When.
        at_ns: u64,
        /// `SCSI_DH_*`, 0 is well.
        result: i32,
    },
    /// Sense data of any command.
    Sense {
        /// The logical unit.
        lun: usize,
        /// The rest.
        sense: SenseAt,
    },
    /// dm failed a path (`fail_path`).
    PathFailed {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// When.
        at_ns: u64,
    },
    /// dm reinstated a path (`reinstate_path`).
    PathReinstated {
        /// The logical unit.
        lun: usize,
        /// The path.
        path: u32,
        /// When.
        at_ns: u64,
    },
    /// A message from user space to the map (`multipath_message`).
    Message {
        /// The logical unit.
        lun: usize,
        /// Such as `switch_group 2`.
        text: String,
        /// Sender.
        pid: u32,
        /// Its name.
        comm: String,
        /// When.
        at_ns: u64,
    },
    /// dm goes to another path group.
    GroupSwitch {
        /// The logical unit.
        lun: usize,
        /// dm's device.
        map: DevNo,
        /// Path group, from 1.
        from: Option<u32>,
        /// Path group, from 1.
        to: u32,
        /// When.
        at_ns: u64,
    },
}

impl Observation {
    /// The logical unit it is about.
    pub(super) fn lun(&self) -> usize {
        match self {
            Self::Unit { lun, .. }
            | Self::Path { lun, .. }
            | Self::PathGone { lun, .. }
            | Self::Groups { lun, .. }
            | Self::Filed { lun, .. }
            | Self::Sysfs { lun, .. }
            | Self::Controller { lun, .. }
            | Self::Issued { lun, .. }
            | Self::Ended { lun, .. }
            | Self::Activate { lun, .. }
            | Self::Activated { lun, .. }
            | Self::Sense { lun, .. }
            | Self::PathFailed { lun, .. }
            | Self::PathReinstated { lun, .. }
            | Self::Message { lun, .. }
            | Self::GroupSwitch { lun, .. } => *lun,
        }
    }

    /// When it happened: the order in which observations are taken. Labels come first.
    pub(super) fn at_ns(&self) -> u64 {
        match self {
            Self::Unit { .. } | Self::Path { .. } | Self::PathGone { .. } => 0,
            Self::Groups { answered_at_ns, .. } => *answered_at_ns,
            Self::Filed { return_ns, .. } => *return_ns,
            Self::Issued { dispatch_ns, .. } => *dispatch_ns,
            Self::Ended { completion_ns, .. } => *completion_ns,
            Self::Sense { sense, .. } => sense.at_ns,
            Self::Sysfs { at_ns, .. }
            | Self::Controller { at_ns, .. }
            | Self::Activate { at_ns, .. }
            | Self::Activated { at_ns, .. }
            | Self::PathFailed { at_ns, .. }
            | Self::PathReinstated { at_ns, .. }
            | Self::Message { at_ns, .. }
            | Self::GroupSwitch { at_ns, .. } => *at_ns,
        }
    }
}

/// One block I/O that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Io {
    /// The logical unit.
    pub lun: usize,
    /// The path.
    pub path: u32,
    /// When it entered dm or the block layer; the first dispatch when that is not known.
    pub submitted_ns: u64,
    /// First dispatch on this path.
    pub first_dispatch_ns: u64,
    /// Last dispatch: later than the first one when SCSI retried it.
    pub dispatch_ns: u64,
    /// Completion of the last dispatch.
    pub completion_ns: u64,
    /// SCSI retried it.
    pub retried: bool,
    /// It went back to dm, or to the application, with an error.
    pub failed: bool,
    /// I/Os it stands for: more than itself only while no transfer is suspected ([`super::Ownership::transfer_suspected`]).
    pub stands_for: u32,
}
