//! Paths by tcm_loop: a SCSI host per host port, a target per controller, LUN 0 behind each.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::disk;
use crate::array::{Controller, PathName};
use crate::sys;

const FABRIC: &str = "/sys/kernel/config/target/loopback";

/// A path as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabPath {
    /// Its name in the lab.
    pub(crate) name: PathName,
    /// "host:channel:target:lun".
    pub(crate) hctl: String,
    /// Kernel name, such as "sda".
    pub(crate) device: String,
    /// "major:minor".
    pub(crate) devno: String,
}

impl LabPath {
    /// The device node.
    pub(crate) fn node(&self) -> String {
        format!("/dev/{}", self.device)
    }

    /// A file of its SCSI device in sysfs.
    pub(crate) fn sysfs(&self, file: &str) -> String {
        format!("/sys/class/scsi_device/{}/device/{file}", self.hctl)
    }

    /// Makes the kernel look at the device again.
    pub(crate) fn rescan(&self) -> Result<()> {
        sys::write(self.sysfs("rescan"), "1")
    }

    /// Removes the SCSI device; [`scan`] brings it back.
    pub(crate) fn delete(&self) -> Result<()> {
        sys::write(self.sysfs("delete"), "1")
    }
}

fn host_dir(name: PathName) -> String {
    format!("{FABRIC}/naa.500140500000000{}", name.host)
}

fn port_dir(name: PathName) -> String {
    let target = u8::from(name.controller == Controller::B);
    format!("{}/tpgt_{target}", host_dir(name))
}

/// Connects a backstore with LIO's own ALUA: the port joins `group` before the host looks at it,
/// or the handler would remember the default group.
pub(crate) fn connect_lio(name: PathName, backstore: &str, group: &str) -> Result<LabPath> {
    let port = make_port(name)?;
    link(&port, backstore)?;
    sys::write(format!("{port}/lun/lun_0/alua_tg_pt_gp"), group)?;
    open_nexus(name, &port)?;
    scan(name)
}

/// Connects a backstore that answers everything itself. The host looks when the LUN is linked.
pub(crate) fn connect(name: PathName, backstore: &str) -> Result<LabPath> {
    let port = make_port(name)?;
    open_nexus(name, &port)?;
    link(&port, backstore)?;
    wait_for_disk(name)
}

fn make_port(name: PathName) -> Result<String> {
    sys::make_dir(FABRIC)?;
    sys::make_dir(host_dir(name))?;
    let port = port_dir(name);
    sys::make_dir(&port)?;
    // From 6.12 tcm_loop gives no relative port identifier by itself.
    let rtpi = format!("{port}/rtpi");
    if Path::new(&rtpi).exists() {
        sys::write(rtpi, &name.relative_port().to_string())?;
    }
    sys::make_dir(format!("{port}/lun/lun_0"))?;
    Ok(port)
}

fn open_nexus(name: PathName, port: &str) -> Result<()> {
    let target = name.controller.index();
    sys::write(
        format!("{port}/nexus"),
        &format!("naa.5001405000000{target}ff"),
    )
}

fn link(port: &str, backstore: &str) -> Result<()> {
    let link = format!("{port}/lun/lun_0/x");
    std::os::unix::fs::symlink(backstore, &link)
        .with_context(|| format!("failed to link {backstore} to {link}"))
}

fn address(name: PathName) -> Result<String> {
    sys::read(format!("{}/address", port_dir(name)))
}

/// Makes the host look for the LUN and waits for its disk.
pub(crate) fn scan(name: PathName) -> Result<LabPath> {
    let address = address(name)?;
    let mut parts = address.split(':');
    let host = parts.next().unwrap_or_default();
    let target = parts.next_back().unwrap_or_default();
    // The LUN must be "-": max_lun is 0.
    sys::write(
        format!("/sys/class/scsi_host/host{host}/scan"),
        &format!("0 {target} -"),
    )?;
    wait_for_disk(name)
}

fn wait_for_disk(name: PathName) -> Result<LabPath> {
    let hctl = format!("{}:0", address(name)?);
    let mut found = None;
    sys::wait_for(
        Duration::from_secs(10),
        &format!("a disk at {hctl}"),
        || {
            found = disk::at(&hctl).filter(|(device, _)| {
                let size = sys::read(format!("/sys/block/{device}/size")).unwrap_or_default();
                Path::new(&format!("/dev/{device}")).exists() && size.parse().unwrap_or(0u64) > 0
            });
            Ok(found.is_some())
        },
    )?;
    let (device, devno) = found.context("the disk vanished")?;
    Ok(LabPath {
        name,
        hctl,
        device,
        devno,
    })
}

/// Takes the transport of a port away, or gives it back.
pub(crate) fn set_transport(name: PathName, online: bool) -> Result<()> {
    let status = if online { "online" } else { "offline" };
    sys::write(format!("{}/transport_status", port_dir(name)), status)
}

/// Removes a path, as far as it is there.
pub(crate) fn disconnect(name: PathName) -> Result<()> {
    let port = port_dir(name);
    if Path::new(&port).exists() {
        let _ = set_transport(name, true);
        let link = format!("{port}/lun/lun_0/x");
        if Path::new(&link).is_symlink() {
            std::fs::remove_file(&link).with_context(|| format!("failed to unlink {link}"))?;
        }
        sys::remove_dir(format!("{port}/lun/lun_0"))?;
        let _ = sys::write(format!("{port}/nexus"), "NULL");
        sys::remove_dir(&port)?;
    }
    let host = host_dir(name);
    let has_ports = sys::names(&host)
        .iter()
        .any(|entry| entry.starts_with("tpgt_"));
    if has_ports {
        Ok(())
    } else {
        sys::remove_dir(host)
    }
}
