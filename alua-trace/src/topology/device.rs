//! Owns one SCSI device and how it is read from sysfs: few files, and only ones the kernel
//! answers from memory.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DevNo;
use super::Hctl;
use crate::scsi::AccessState;
use crate::scsi::vpd83;
use crate::sysroot::Directory;
use crate::sysroot::Sysroot;

/// A SCSI device: for a disk, one path to its logical unit. `None` is unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its address.
    pub hctl: Hctl,
    /// Name of its block device, `sda`; other devices have none.
    pub name: Option<String>,
    /// Number of its block device.
    pub devno: Option<DevNo>,
    /// Name of the logical unit as the kernel writes it: `naa.6…`, `eui.…`, `t10.…`.
    pub wwid: Option<String>,
    /// Vendor, INQUIRY bytes 8 to 15, without the padding.
    pub vendor: Option<String>,
    /// Product, INQUIRY bytes 16 to 31, without the padding.
    pub product: Option<String>,
    /// Revision, INQUIRY bytes 32 to 35, without the padding.
    pub revision: Option<String>,
    /// Peripheral device type, INQUIRY byte 0 bits 4:0; 0 is a disk.
    pub device_type: Option<u8>,
    /// Name of the device handler, `alua`; `None` when none is attached.
    pub handler: Option<String>,
    /// What sysfs `access_state` says. Do not believe it: kernels since 6.12 say
    /// active/optimized before they have asked, and the RDAC handler writes one logical unit's
    /// state into all.
    pub access_state: Option<AccessStateText>,
    /// The preferred bit, from the same source.
    pub preferred: Option<bool>,
    /// State of the device: `running`, `offline`, `blocked`, … (drivers/scsi/scsi_sysfs.c
    /// `sdev_states`).
    pub state: Option<String>,
    /// Whether the device is in state `running`.
    pub running: bool,
    /// The SCSI command timer in seconds (`timeout`).
    #[serde(default)]
    pub timeout_s: Option<u32>,
    /// Target port group, VPD 83h designator type 5.
    pub port_group: Option<u16>,
    /// Relative target port identifier, VPD 83h designator type 4.
    pub relative_port: Option<u16>,
    /// Asymmetric access support, INQUIRY byte 5 bits 5:4: 0 none, 1 implicit, 2 explicit,
    /// 3 both. 0 does not mean symmetric.
    pub tpgs: Option<u8>,
}

/// An access state as sysfs prints it; the kernel's `unknown` is a text without a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessStateText(String);

impl AccessStateText {
    /// Any text is taken.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The kernel's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The state that it names, if it names one.
    pub fn state(&self) -> Option<AccessState> {
        AccessState::from_sysfs(&self.0)
    }
}

impl fmt::Display for AccessStateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Device {
    /// A device of which only the address is known.
    pub fn unknown(hctl: Hctl) -> Self {
        Self {
            hctl,
            name: None,
            devno: None,
            wwid: None,
            vendor: None,
            product: None,
            revision: None,
            device_type: None,
            handler: None,
            access_state: None,
            preferred: None,
            state: None,
            running: false,
            timeout_s: None,
            port_group: None,
            relative_port: None,
            tpgs: None,
        }
    }

    /// Whether it is a disk (SPC-4 table 142: peripheral device type 00h).
    pub fn is_disk(&self) -> bool {
        self.device_type == Some(0)
    }

    /// Reads a device from sysfs; `None` when it is gone, or goes meanwhile.
    pub fn read(sysroot: &Sysroot, hctl: Hctl) -> Option<Self> {
        let dir = Directory::open(&sysroot.scsi_device_dir(&hctl.to_string())).ok()?;
        let mut device = Self::unknown(hctl);
        device.read_inquiry(&dir);
        device.read_identification(&dir);
        device.read_block(&dir);
        device.read_what_changes(&dir)?;
        Some(device)
    }

    /// Reads what of it somebody may change without a word; `None` when it is gone.
    pub fn read_again(mut self, sysroot: &Sysroot) -> Option<Self> {
        let dir = Directory::open(&sysroot.scsi_device_dir(&self.hctl.to_string())).ok()?;
        self.read_what_changes(&dir)?;
        Some(self)
    }

    fn read_what_changes(&mut self, dir: &Directory) -> Option<()> {
        self.read_handler(dir);
        self.timeout_s = dir.number("timeout");
        // Read last: every SCSI device has it, until it is removed.
        let state = dir.text("state").ok()?;
        self.running = state == "running";
        self.state = Some(state);
        Some(())
    }

    /// drivers/scsi/scsi_sysfs.c `show_inquiry`: the data of the scan.
    fn read_inquiry(&mut self, dir: &Directory) {
        let inquiry = dir.bytes("inquiry").unwrap_or_default();
        self.device_type = inquiry.first().map(|byte| byte & 0x1f);
        self.tpgs = inquiry.get(5).map(|byte| byte >> 4 & 3);
        self.vendor = inquiry.get(8..16).and_then(padded);
        self.product = inquiry.get(16..32).and_then(padded);
        self.revision = inquiry.get(32..36).and_then(padded);
        if inquiry.is_empty() {
            self.device_type = dir.text("type").ok().and_then(|text| text.parse().ok());
            self.vendor = dir.text("vendor").ok().filter(|text| !text.is_empty());
            self.product = dir.text("model").ok().filter(|text| !text.is_empty());
            self.revision = dir.text("rev").ok().filter(|text| !text.is_empty());
        }
    }

    /// `sdev_show_wwid`, and the page it is made of: both the data of the scan or of the last
    /// rescan.
    fn read_identification(&mut self, dir: &Directory) {
        let page = dir.bytes("vpd_pg83").unwrap_or_default();
        (self.port_group, self.relative_port) = vpd83::port_of(&page);
        let wwid = dir.text("wwid").ok().filter(|text| !text.is_empty());
        let wwid = wwid.or_else(|| Some(vpd83::lun_wwid(&page)?.trim().to_owned()));
        self.wwid = wwid.filter(|text| !text.is_empty());
    }

    fn read_block(&mut self, dir: &Directory) {
        let Ok(Some(name)) = dir.first_entry("block") else {
            return;
        };
        let devno = dir.text(&format!("block/{name}/dev"));
        self.devno = devno.ok().and_then(|text| text.parse().ok());
        self.name = Some(name);
    }

    /// `sdev_show_dh_state`, `sdev_show_access_state`, `sdev_show_preferred_path`; the last two
    /// fail without a handler.
    fn read_handler(&mut self, dir: &Directory) {
        let handler = dir.text("dh_state").ok();
        self.handler = handler.filter(|text| !text.is_empty() && text != "detached");
        if self.handler.is_none() {
            (self.access_state, self.preferred) = (None, None);
            return;
        }
        self.access_state = dir.text("access_state").ok().map(AccessStateText);
        self.preferred = match dir.text("preferred_path").as_deref() {
            Ok("1") => Some(true),
            Ok("0") => Some(false),
            _ => None,
        };
    }
}

/// A fixed-width field without its padding of spaces or zeros; `None` when nothing is left.
fn padded(field: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(field);
    let text = text.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}
