//! The TCMU device of each nexus in configfs, and the uio device behind it.

use std::time::Duration;

use anyhow::{Context, Result};

use super::access::Nexus;
use super::tcmu::Ring;
use crate::sys;

const HBA: &str = "/sys/kernel/config/target/core/user_0";

fn name(nexus: Nexus) -> String {
    format!("arr_{}_{}", nexus.path, nexus.lun)
}

/// configfs directory of the device of `nexus`.
pub(super) fn directory(nexus: Nexus) -> String {
    format!("{HBA}/{}", name(nexus))
}

/// Makes the device and maps its ring.
pub(super) fn create(nexus: Nexus, size_bytes: u64) -> Result<Ring> {
    sys::make_dir(HBA)?;
    let directory = directory(nexus);
    sys::make_dir(&directory)?;
    let config = format!("arr/{}/{}", nexus.path, nexus.lun);
    // The default data area of 1 GiB is touched page by page: slow at first, and no use here.
    sys::write(
        format!("{directory}/control"),
        &format!(
            "dev_config={config},dev_size={size_bytes},hw_block_size=512,hw_max_sectors=128,\
             max_data_area_mb=16"
        ),
    )?;
    sys::write(format!("{directory}/enable"), "1")?;
    let name = format!("tcm-user/0/{}/{config}", name(nexus));
    let mut uio = None;
    sys::wait_for(
        Duration::from_secs(5),
        &format!("the uio device {name}"),
        || {
            uio = find_uio(&name);
            Ok(uio.is_some())
        },
    )?;
    Ring::open(&uio.context("no uio device")?)
}

fn find_uio(name: &str) -> Option<String> {
    let class = "/sys/class/uio";
    sys::names(class)
        .into_iter()
        .find(|uio| sys::read(format!("{class}/{uio}/name")).is_ok_and(|it| it == name))
}

/// Removes the device.
pub(super) fn remove(nexus: Nexus) -> Result<()> {
    sys::remove_dir(directory(nexus))
}
