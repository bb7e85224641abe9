//! What is known of the maps and paths of one host, whoever told it: sysfs and device-mapper
//! (`paths`), the array (`paths --refresh`), or what somebody's tools printed (`import`). Owns the
//! words of the JSON of both; the views show the same values.
//!
//! Strings come from devices and files: they are raw here, and made safe where they are printed.
//! `None` means unknown, never zero or no.

use serde::Serialize;

use crate::scsi::{AccessState, rtpg::TargetPortGroup};

/// Version of this JSON: rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// The maps and paths of one host.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Inventory {
    /// The maps, by name.
    pub maps: Vec<Map>,
    /// Disks that are no map's path.
    pub unmapped: Vec<Path>,
    /// What could not be found out, and why.
    pub notes: Vec<String>,
}

/// A multipath device and the logical unit below it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Map {
    /// Its name, `mpatha`; of a host without device-mapper, the device's display name.
    pub name: String,
    /// Its name in the kernel, `dm-0`.
    pub dm: Option<String>,
    /// Its number, `254:0`.
    pub devno: Option<String>,
    /// multipathd's name of the logical unit, `3600…`, or `naa.600…` where that is what was told.
    pub wwid: Option<String>,
    /// INQUIRY bytes 8 to 15.
    pub vendor: Option<String>,
    /// INQUIRY bytes 16 to 31.
    pub product: Option<String>,
    /// INQUIRY bytes 32 to 35.
    pub revision: Option<String>,
    /// VPD page 80h.
    pub serial: Option<String>,
    /// Size in bytes.
    pub size_bytes: Option<u64>,
    /// dm's features, without their number: `queue_if_no_path`.
    pub features: Option<String>,
    /// The hardware handler in the map's table, without the number of words: `alua`; empty when the
    /// map demands none.
    pub handler: Option<String>,
    /// Whether it can only be read.
    pub read_only: Option<bool>,
    /// Whether it maps bios rather than requests.
    pub bio_based: Option<bool>,
    /// dm's path groups, by number.
    pub groups: Vec<PathGroup>,
    /// The array's target port groups, by number, as far as anybody told of them.
    pub port_groups: Vec<PortGroup>,
    /// What `esxcli storage nmp device list` has beyond that.
    pub nmp: Option<Nmp>,
    /// What was told beyond this model, by name: `("failback", "immediate")`.
    pub other: Vec<(String, String)>,
    /// Where sources contradict each other.
    pub disagreements: Vec<Disagreement>,
}

/// A path group of device-mapper.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct PathGroup {
    /// Its number, from 1.
    pub number: u32,
    /// Its selector with its arguments: `service-time 0`.
    pub selector: Option<String>,
    /// `active`, `enabled` or `disabled`.
    pub state: Option<String>,
    /// What multipathd makes of its paths' priorities.
    pub priority: Option<i32>,
    /// Its paths, in the table's order.
    pub paths: Vec<Path>,
}

/// One path to a logical unit.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Path {
    /// H:C:T:L, or `vmhba2:C0:T2:L100`; empty when it was not told, or the map's path is no device any
    /// more.
    pub address: String,
    /// Its name at the moment, `sda`.
    pub device: Option<String>,
    /// Its number at the moment, `8:0`.
    pub devno: Option<String>,
    /// The logical unit's name as the kernel writes it: `naa.600…`.
    pub wwid: Option<String>,
    /// INQUIRY bytes 8 to 15.
    pub vendor: Option<String>,
    /// INQUIRY bytes 16 to 31.
    pub product: Option<String>,
    /// INQUIRY bytes 32 to 35.
    pub revision: Option<String>,
    /// VPD page 80h.
    pub serial: Option<String>,
    /// The map's word for it: `active` or `failed`.
    pub dm_state: Option<String>,
    /// How often dm has failed it since the table was loaded.
    pub dm_failures: Option<u32>,
    /// The checker's word for it, which only multipathd knows: `ready`, `ghost`, `faulty`.
    pub checker_state: Option<String>,
    /// The SCSI device's state: `running`, `offline`, `blocked`.
    pub device_state: Option<String>,
    /// The device handler that is attached: `alua`; empty when none is.
    pub handler: Option<String>,
    /// Its access state, from the source that is to be believed most.
    pub access: Option<Access>,
    /// Whether the array prefers it.
    pub preferred: Option<bool>,
    /// The array's target port group (VPD 83h designator type 5).
    pub port_group: Option<u16>,
    /// Relative target port (VPD 83h designator type 4).
    pub relative_port: Option<u16>,
    /// Asymmetric access support (INQUIRY byte 5 bits 5:4): 0 none or vendor-specific, 1 implicit,
    /// 2 explicit, 3 both.
    pub tpgs: Option<u8>,
    /// Whether VPD page 00h lists page C9h, as RDAC arrays' does.
    pub lists_c9: Option<bool>,
    /// Its priority and why it has that value.
    pub priority: Option<Priority>,
    /// What an RDAC array says of it.
    pub rdac: Option<Rdac>,
    /// How it reaches the array.
    pub transport: Option<Transport>,
    /// Commands it takes at once.
    pub queue_depth: Option<u32>,
    /// Whether I/O goes there at the moment.
    pub current: Option<bool>,
}

/// An access state and who says so.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Access {
    /// The state.
    #[serde(serialize_with = "state_name")]
    pub state: AccessState,
    /// Who says so.
    pub source: AccessSource,
    /// How old the answer is, in milliseconds; `None` when nobody can tell.
    pub age_ms: Option<u64>,
}

/// Who says which state a path has, in the order in which they are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AccessSource {
    /// The array, asked just now.
    Array,
    /// The array, as somebody's tool printed it.
    Printed,
    /// sysfs `access_state`: what the handler last filed, or claims.
    Sysfs,
    /// A priority that stands for a state.
    Priority,
}

/// A priority and its reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Priority {
    /// The value.
    pub value: i32,
    /// Why: `50 = active/optimized`, `14 = 2 owned + 4 preferred + 8 IOSHIP`; empty when unknown.
    pub reason: String,
    /// Which prioritizer: `alua`, `rdac`, `sysfs`; `None` when unknown.
    pub prioritizer: Option<String>,
}

/// What an RDAC array's pages C4h, C8h and C9h say of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Rdac {
    /// `RDAC`, `AVT` or `IOSHIP`.
    pub mode: Option<String>,
    /// Whether the path's controller owns the volume.
    pub owned: Option<bool>,
    /// Whether it is the volume's preferred controller.
    pub preferred: Option<bool>,
    /// `A` or `B`.
    pub controller: Option<char>,
    /// The slot's two bytes (page C4h), in hexadecimal.
    pub slot: Option<String>,
    /// The array's own name.
    pub array: Option<String>,
    /// The volume's own name.
    pub volume: Option<String>,
}

/// A target port group as the array tells of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PortGroup {
    /// Its number.
    pub id: u16,
    /// Its state.
    #[serde(serialize_with = "optional_state_name")]
    pub state: Option<AccessState>,
    /// Whether the array prefers it.
    pub preferred: Option<bool>,
    /// The states it can have; empty when unknown.
    #[serde(serialize_with = "state_names")]
    pub supported: Vec<AccessState>,
    /// Who changed its state last: SPC-4 status code, in words.
    pub status: Option<String>,
    /// Relative port identifiers; empty when unknown.
    pub ports: Vec<u16>,
    /// Who says so.
    pub source: AccessSource,
}

impl PortGroup {
    /// As REPORT TARGET PORT GROUPS had it (SPC-4 6.37), whoever read it.
    pub(crate) fn reported(group: &TargetPortGroup, source: AccessSource) -> Self {
        Self {
            id: group.id,
            state: Some(group.state),
            preferred: Some(group.preferred),
            supported: group.supported.states().collect(),
            status: Some(group.status.to_string()),
            ports: group.ports.clone(),
            source,
        }
    }
}

/// How a path reaches the array.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Transport {
    /// iSCSI over TCP.
    Iscsi(Iscsi),
    /// Fibre Channel.
    Fc {
        /// This host's port name, `0x…`.
        local_port: Option<String>,
        /// The array's port name, `0x…`.
        remote_port: Option<String>,
        /// This host's speed, as the kernel prints it: `16 Gbit`.
        speed: Option<String>,
        /// The remote port's state: `Online`.
        state: Option<String>,
    },
    /// Serial attached SCSI.
    Sas {
        /// This host's address.
        local_address: Option<String>,
        /// The array's address.
        remote_address: Option<String>,
    },
    /// Something else: the low-level driver's name.
    Other {
        /// `Scsi_Host` `proc_name`.
        driver: String,
    },
}

/// An iSCSI session and the TCP connection below it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Iscsi {
    /// The kernel's session, `session3`.
    pub session: Option<String>,
    /// The target's name.
    pub target: Option<String>,
    /// The portal, `10.0.0.2:3260`.
    pub portal: Option<String>,
    /// This host's address.
    pub local_address: Option<String>,
    /// The network interface that has it.
    pub interface: Option<String>,
    /// The interface's MTU in bytes.
    pub mtu: Option<u32>,
    /// The connection's maximum segment size in bytes, as the kernel uses it now.
    pub mss: Option<u32>,
    /// Smoothed round-trip time in microseconds.
    pub rtt_us: Option<u32>,
    /// Segments sent again since the connection was made.
    pub retransmits: Option<u32>,
    /// The session's state: `LOGGED_IN`.
    pub state: Option<String>,
}

/// What VMware's `esxcli storage nmp device list` tells of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Nmp {
    /// Storage Array Type, `VMW_SATP_ALUA_CX`.
    pub array_type: Option<String>,
    /// Whether the array changes states by itself.
    pub implicit_support: Option<bool>,
    /// Whether it takes SET TARGET PORT GROUPS.
    pub explicit_support: Option<bool>,
    /// Whether the host may send it.
    pub explicit_allow: Option<bool>,
    /// Whether follow-over is on.
    pub alua_followover: Option<bool>,
    /// Path Selection Policy, `VMW_PSP_FIXED`.
    pub selection_policy: Option<String>,
    /// The policy's preferred path.
    pub preferred_path: Option<String>,
    /// The policy's current path.
    pub current_path: Option<String>,
    /// Paths in use.
    pub working_paths: Vec<String>,
    /// Storage Array Type Device Config, as it was told.
    pub array_config: Option<String>,
    /// Path Selection Policy Device Config, as it was told.
    pub path_config: Option<String>,
    /// Fields that this model does not have, as they were told: `("Is USB", "false")`.
    pub other: Vec<(String, String)>,
}

impl Nmp {
    /// A setting of the path selection policy: `iops`, `useANO`.
    pub(crate) fn path_setting(&self, name: &str) -> Option<String> {
        let config = self.path_config.as_deref()?;
        let settings = config.split(['{', '}', ';', ',', ':']);
        let mut settings = settings.filter_map(|setting| setting.split_once('='));
        let found = settings.find(|(known, _)| known.trim() == name);
        found.map(|(_, value)| value.trim().to_owned())
    }
}

/// Sources that contradict each other about one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    /// About what: `access state of 0:0:0:0`.
    pub about: String,
    /// Who says what: `("array", "active/non-optimized")`.
    pub claims: Vec<(String, String)>,
}

impl Map {
    /// All its paths.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.groups.iter().flat_map(|group| &group.paths)
    }
}

fn state_name<S: serde::Serializer>(state: &AccessState, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&state.to_string())
}

fn optional_state_name<S: serde::Serializer>(
    state: &Option<AccessState>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.serialize_some(&state.map(|state| state.to_string()))
}

fn state_names<S: serde::Serializer>(states: &[AccessState], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(states.iter().map(ToString::to_string))
}
