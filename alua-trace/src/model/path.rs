//! A path and its states, and one command on it.

use serde::{Deserialize, Serialize};

/// SPC-4 asymmetric access state of a path, or unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum AccessState {
    /// Active/optimized.
    #[serde(rename = "AO")]
    Optimized,
    /// Active/non-optimized.
    #[serde(rename = "AN")]
    NonOptimized,
    /// Standby.
    #[serde(rename = "standby")]
    Standby,
    /// Unavailable.
    #[serde(rename = "unavailable")]
    Unavailable,
    /// Logical block dependent.
    #[serde(rename = "LBD")]
    LbaDependent,
    /// Offline.
    #[serde(rename = "offline")]
    Offline,
    /// Transitioning.
    #[serde(rename = "transitioning")]
    Transitioning,
    /// Nobody has told the kernel, or the code is reserved.
    #[serde(rename = "unknown")]
    Unknown,
}

impl AccessState {
    /// In at most seven characters, for people.
    pub fn short(self) -> &'static str {
        match self {
            Self::Optimized => "AO",
            Self::NonOptimized => "AN",
            Self::Standby => "standby",
            Self::Unavailable => "unavail",
            Self::LbaDependent => "LBD",
            Self::Offline => "offline",
            Self::Transitioning => "transit",
            Self::Unknown => "unknown",
        }
    }
}

/// Who said which state a path has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateSource {
    /// Nobody.
    None,
    /// An RTPG that finished during the trace.
    RtpgSeen,
    /// The handler's own data, from an RTPG before the trace.
    HandlerData,
}

/// A path: one H:C:T:L. Identity is WWID + H:C:T:L; names are attributes and may change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Path {
    /// Number of the path in this trace; stays the same however it is renamed.
    pub id: u16,
    /// "host:channel:target:lun".
    pub hctl: String,
    /// Kernel name, such as "sda".
    pub device: Option<String>,
    /// "major:minor".
    pub devno: Option<String>,
    /// World-wide id from VPD 0x83, such as "naa.600…".
    pub wwid: Option<String>,
    /// Name of the multipath map.
    pub map: Option<String>,
    /// Kernel name of the map, such as "dm-0".
    pub dm: Option<String>,
    /// dm's path group, from 1.
    pub path_group: Option<u32>,
    /// Target port group (VPD 0x83 designator type 5).
    pub port_group: Option<u16>,
    /// Relative target port (VPD 0x83 designator type 4).
    pub relative_port: Option<u16>,
    /// INQUIRY vendor.
    pub vendor: Option<String>,
    /// INQUIRY product.
    pub product: Option<String>,
    /// Device handler attached, such as "alua".
    pub handler: Option<String>,
    /// Access state now.
    pub state: AccessState,
    /// Who said so.
    pub state_source: StateSource,
    /// PREF bit; unknown with the state.
    pub preferred: Option<bool>,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PathChange {
    /// First seen.
    Appeared,
    /// Device is gone.
    Vanished,
    /// Name, map or path group changed.
    Relabelled,
    /// Access state changed.
    State,
}

/// A change of one path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PathEvent {
    /// When the collector learned it.
    pub seen_at_ns: u64,
    /// What.
    pub change: PathChange,
    /// The path after the change.
    pub path: Path,
}

/// One command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// [`Path::id`].
    pub path: u16,
    /// "host:channel:target:lun".
    pub hctl: String,
    /// "major:minor" of the dm device that routed it.
    pub dm_devno: Option<String>,
    /// dm's path group.
    pub path_group: Option<u32>,
    /// First CDB byte.
    pub opcode: u8,
    /// Second CDB byte: low five bits are the service action of opcodes 0xA3 and 0xA4.
    pub cdb1: u8,
    /// Third CDB byte: VPD or mode page.
    pub cdb2: u8,
    /// Bytes of data.
    pub bytes: u32,
    /// Logical block address, for commands that have one.
    pub lba: Option<u64>,
    /// Handed to the low-level driver.
    pub dispatched_at_ns: u64,
    /// Dispatch to completion.
    pub latency_ns: u64,
    /// Access state at dispatch.
    pub state: AccessState,
    /// Who said so.
    pub state_source: StateSource,
    /// `scsi_cmnd.result`.
    pub result: u32,
    /// Key, asc, ascq.
    pub sense: Option<[u8; 3]>,
    /// `scsi_cmnd.retries` at dispatch.
    pub retries: u8,
    /// Not block I/O: SG_IO, or the kernel's own.
    pub passthrough: bool,
    /// Of one of the slowest: what dm, handlers and the array did in the second before, and while it was in
    /// flight, with times since its dispatch.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<String>,
}

/// Kind of command a histogram is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// READ(6) to READ(32).
    Read,
    /// WRITE(6) to WRITE(32), WRITE AND VERIFY, WRITE SAME.
    Write,
    /// Everything else.
    Other,
}
