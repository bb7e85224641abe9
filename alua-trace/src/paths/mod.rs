//! `alua-trace paths`: everything about the paths of this host in one view, without asking the
//! array unless told to.
//!
//! What is read and sent, field by field, is in `docs/paths.md`.

mod build;
mod device;
mod disagree;
#[cfg(test)]
mod fixture;
mod refresh;
mod sg_io;
mod transport;

use std::io::{self, Write};

use anyhow::Result;

use crate::cli::{PathsConfig, View};
use crate::inventory::{model::Inventory, views};
use crate::live;
use crate::safe;
use crate::sysroot::Sysroot;
use crate::topology::{self, DmControl, DmSource, Topology};

use build::Extras;
use device::{Block, Extra};

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// Shows the paths; gives the exit status.
///
/// # Errors
/// A map that was named is not there.
pub fn run(config: &PathsConfig) -> Result<u8> {
    let root = Sysroot::default();
    let (mut inventory, topology) = gather(&root, &DmControl::new(&root), &config.maps)?;
    if config.refresh {
        refresh::run(&mut inventory, &topology, &root);
    }
    inventory.notes.extend(build::doubts(&inventory));
    let columns = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
    let text = views::render(&inventory, config.view, usize::from(columns))?;
    if !matches!(config.view, View::Tree | View::Json) {
        for note in &inventory.notes {
            eprintln!("alua-trace: {}", safe::sentence(note));
        }
    }
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

/// What sysfs and device-mapper know; of the maps that are named, or of all and of disks without
/// one. Sends no SCSI command.
///
/// # Errors
/// A map that was named is not there.
pub fn read(root: &Sysroot, dm: &dyn DmSource, named: &[String]) -> Result<Inventory> {
    let (mut inventory, _) = gather(root, dm, named)?;
    inventory.notes.extend(build::doubts(&inventory));
    Ok(inventory)
}

/// All maps and paths of the host, without what is doubtful of them.
///
/// # Errors
/// There are none: every map is taken.
pub fn all(root: &Sysroot, dm: &dyn DmSource) -> Result<Inventory> {
    gather(root, dm, &[]).map(|(inventory, _)| inventory)
}

fn gather(root: &Sysroot, dm: &dyn DmSource, named: &[String]) -> Result<(Inventory, Topology)> {
    let topology = topology::scan(root, dm);
    let maps: Vec<_> = if named.is_empty() {
        topology.maps().iter().collect()
    } else {
        topology::named(&topology, named)?
    };
    let disks = topology.devices().iter().filter(|device| device.is_disk());
    let mut extras = Extras {
        transports: transport::read(root, disks.map(|disk| disk.hctl)),
        ..Extras::default()
    };
    for map in &maps {
        let block = Block::read(root, &map.dm);
        extras.blocks.insert(map.dm.clone(), block);
    }
    for device in topology.devices().iter().filter(|device| device.is_disk()) {
        let extra = Extra::read(root, device);
        extras.devices.insert(device.hctl, extra);
    }
    let inventory = build::inventory(&topology, &extras, &maps, !named.is_empty());
    Ok((inventory, topology))
}
