//! Paths by tcm_loop: a SCSI host per host port, a target per controller, the LUNs behind each.

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
    /// Logical unit.
    pub(crate) lun: u8,
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

    /// Removes the SCSI device; [`scan`] brings LUN 0 back.
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
    link(&port, 0, backstore)?;
    sys::write(format!("{}/alua_tg_pt_gp", lun_dir(&port, 0)), group)?;
    open_nexus(name, &port)?;
    scan(name)
}

/// Connects backstores that answer everything themselves, as LUN 0, 1, … The host looks when a LUN
/// is linked.
pub(crate) fn connect(name: PathName, backstores: &[String]) -> Result<Vec<LabPath>> {
    let port = make_port(name)?;
    open_nexus(name, &port)?;
    let mut paths = Vec::new();
    for (lun, backstore) in (0..).zip(backstores) {
        link(&port, lun, backstore)?;
        paths.push(wait_for_disk(name, lun)?);
    }
    Ok(paths)
}

fn lun_dir(port: &str, lun: u8) -> String {
    format!("{port}/lun/lun_{lun}")
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
    Ok(port)
}

fn open_nexus(name: PathName, port: &str) -> Result<()> {
    let target = name.controller.index();
    sys::write(
        format!("{port}/nexus"),
        &format!("naa.5001405000000{target}ff"),
    )
}

fn link(port: &str, lun: u8, backstore: &str) -> Result<()> {
    let lun = lun_dir(port, lun);
    sys::make_dir(&lun)?;
    let link = format!("{lun}/x");
    std::os::unix::fs::symlink(backstore, &link)
        .with_context(|| format!("failed to link {backstore} to {link}"))
}

fn address(name: PathName) -> Result<String> {
    sys::read(format!("{}/address", port_dir(name)))
}

/// Makes the host look for LUN 0, the only one that tcm_loop lets it look for, and waits for its disk.
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
    wait_for_disk(name, 0)
}

fn wait_for_disk(name: PathName, lun: u8) -> Result<LabPath> {
    let hctl = format!("{}:{lun}", address(name)?);
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
        lun,
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
        for lun in sys::names(format!("{port}/lun")) {
            let lun = format!("{port}/lun/{lun}");
            let link = format!("{lun}/x");
            if Path::new(&link).is_symlink() {
                std::fs::remove_file(&link).with_context(|| format!("failed to unlink {link}"))?;
            }
            sys::remove_dir(lun)?;
        }
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
