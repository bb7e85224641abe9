//! Owns how sysfs' and device-mapper's account becomes the inventory, and which of it is believed.
//! Pure.

use std::collections::{BTreeMap, HashMap};

use super::device::{Block, Extra};
use super::disagree;
use crate::inventory::model::{
    Access, AccessSource, Inventory, Map, Path, PathGroup, PortGroup, Transport,
};
use crate::inventory::priority;
use crate::scsi::AccessState;
use crate::topology::{self, Device, GroupState, Hctl, MapPath, Topology};

/// What was read beside the topology.
#[derive(Debug, Default)]
pub(super) struct Extras {
    /// Of SCSI devices.
    pub(super) devices: HashMap<Hctl, Extra>,
    /// How they reach the array.
    pub(super) transports: HashMap<Hctl, Transport>,
    /// Of maps, by their names in the kernel.
    pub(super) blocks: HashMap<String, Block>,
}

/// The inventory of these maps, and of disks without a map unless maps were named.
pub(super) fn inventory(
    topology: &Topology,
    extras: &Extras,
    maps: &[&topology::Map],
    named: bool,
) -> Inventory {
    let mut inventory = Inventory {
        notes: topology.notes().to_vec(),
        ..Inventory::default()
    };
    for map in maps {
        let block = extras.blocks.get(&map.dm).copied().unwrap_or_default();
        let map = self::map(topology, extras, map, block, &mut inventory.notes);
        inventory.maps.push(map);
    }
    if !named {
        let disks = topology.devices().iter().filter(|device| device.is_disk());
        inventory.unmapped = disks
            .filter(|disk| {
                let member = disk.devno.and_then(|devno| topology.membership(devno));
                member.is_none()
            })
            .map(|disk| path(disk, extras))
            .collect();
    }
    let paths = inventory.maps.iter().flat_map(Map::paths);
    let complaints = complaints(paths.chain(&inventory.unmapped), extras);
    inventory.notes.extend(complaints);
    inventory
}

fn map(
    topology: &Topology,
    extras: &Extras,
    from: &topology::Map,
    block: Block,
    notes: &mut Vec<String>,
) -> Map {
    let groups = from.groups.iter().map(|group| {
        let paths = group.paths.iter().map(|member| {
            let device = topology.device_by_devno(member.devno);
            if device.is_none() {
                notes.push(format!(
                    "{}: path {} is no SCSI device that is there: it is gone, or no SCSI disk",
                    from.name, member.devno
                ));
            }
            member_path(device, extras, *member, group.state)
        });
        let paths: Vec<Path> = paths.collect();
        PathGroup {
            number: group.number,
            selector: Some(group.selector.clone()),
            state: Some(group.state.to_string()),
            priority: priority::of_group(&paths),
            paths,
        }
    });
    let mut map = Map {
        name: from.name.clone(),
        dm: Some(from.dm.clone()),
        devno: Some(from.devno.to_string()),
        wwid: from.wwid.clone(),
        size_bytes: block.size_bytes,
        read_only: block.read_only,
        features: Some(from.features.clone()),
        handler: Some(from.handler.clone().unwrap_or_default()),
        bio_based: Some(from.bio_based),
        groups: groups.collect(),
        ..Map::default()
    };
    summarize(&mut map);
    map.port_groups = port_groups(&map);
    map.disagreements = disagree::kernel(&map);
    map
}

/// What the first path that knows it says of the unit.
fn summarize(map: &mut Map) {
    let first =
        |field: fn(&Path) -> &Option<String>| map.paths().find_map(|path| field(path).clone());
    let vendor = first(|path| &path.vendor);
    let product = first(|path| &path.product);
    let revision = first(|path| &path.revision);
    let serial = first(|path| &path.serial);
    (map.vendor, map.product) = (vendor, product);
    (map.revision, map.serial) = (revision, serial);
}

fn member_path(
    device: Option<&Device>,
    extras: &Extras,
    member: MapPath,
    group: GroupState,
) -> Path {
    let path = device
        .map(|device| path(device, extras))
        .unwrap_or_default();
    Path {
        devno: Some(member.devno.to_string()),
        dm_state: Some(if member.active { "active" } else { "failed" }.to_owned()),
        dm_failures: Some(member.fail_count),
        current: Some(group == GroupState::Active && member.active),
        ..path
    }
}

fn path(device: &Device, extras: &Extras) -> Path {
    let extra = extras
        .devices
        .get(&device.hctl)
        .cloned()
        .unwrap_or_default();
    let access = sysfs_access(device);
    // multipathd takes the prioritizer `sysfs` where sysfs has a state, `alua` elsewhere.
    let priority = access
        .as_ref()
        .map(|access| priority::of_state(access.state, device.preferred, "sysfs"));
    Path {
        address: device.hctl.to_string(),
        device: device.name.clone(),
        devno: device.devno.map(|devno| devno.to_string()),
        wwid: device.wwid.clone(),
        vendor: device.vendor.clone(),
        product: device.product.clone(),
        revision: device.revision.clone(),
        serial: extra.serial,
        device_state: device.state.clone(),
        handler: Some(device.handler.clone().unwrap_or_default()),
        preferred: access.as_ref().and(device.preferred),
        access,
        port_group: device.port_group,
        relative_port: device.relative_port,
        tpgs: device.tpgs,
        lists_c9: extra.lists_c9,
        priority,
        transport: extras.transports.get(&device.hctl).cloned(),
        queue_depth: extra.queue_depth,
        ..Path::default()
    }
}

/// The state in sysfs, where it is worth something: only the alua handler files each path's own.
/// The rdac handler copies one unit's to all of its controller's, others never set it, and its
/// first value reads as active/optimized.
fn sysfs_access(device: &Device) -> Option<Access> {
    if device.handler.as_deref() != Some("alua") {
        return None;
    }
    Some(Access {
        state: device.access_state.as_ref()?.state()?,
        source: AccessSource::Sysfs,
        age_ms: None,
    })
}

/// The port groups that paths belong to, with the state sysfs has of them.
fn port_groups(map: &Map) -> Vec<PortGroup> {
    let mut members: BTreeMap<u16, Vec<&Path>> = BTreeMap::new();
    for path in map.paths() {
        if let Some(id) = path.port_group {
            members.entry(id).or_default().push(path);
        }
    }
    let groups = members.into_iter().map(|(id, paths)| {
        let mut ports: Vec<u16> = paths.iter().filter_map(|path| path.relative_port).collect();
        ports.sort_unstable();
        ports.dedup();
        PortGroup {
            id,
            state: common(paths.iter().map(|path| Some(path.access.as_ref()?.state))),
            preferred: common(paths.iter().map(|path| path.preferred)),
            supported: Vec::new(),
            status: None,
            ports,
            source: AccessSource::Sysfs,
        }
    });
    groups.collect()
}

/// What all say; `None` when one is silent or says something else.
fn common<T: PartialEq>(mut values: impl Iterator<Item = Option<T>>) -> Option<T> {
    let first = values.next()??;
    values
        .all(|value| value.as_ref() == Some(&first))
        .then_some(first)
}

/// What is not understood of the paths' pages in sysfs.
fn complaints<'a>(paths: impl Iterator<Item = &'a Path>, extras: &Extras) -> Vec<String> {
    let extras = paths.filter_map(|path| {
        let hctl: Hctl = path.address.parse().ok()?;
        extras.devices.get(&hctl)
    });
    extras.flat_map(|extra| extra.complaints.clone()).collect()
}

/// What the kernel cannot confirm and only the array can: states it claims without having asked, and
/// owners it does not know.
pub(super) fn doubts(inventory: &Inventory) -> Vec<String> {
    let mut doubts: Vec<String> = inventory.maps.iter().filter_map(claimed).collect();
    doubts.extend(unknown_owners(inventory));
    doubts
}

/// All port groups alike is what a kernel says that has not asked yet, too.
fn claimed(map: &Map) -> Option<String> {
    let claims = |group: &PortGroup| {
        group.source == AccessSource::Sysfs && group.state == Some(AccessState::OPTIMIZED)
    };
    (map.port_groups.len() > 1 && map.port_groups.iter().all(claims)).then(|| {
        format!(
            "{}: sysfs says active/optimized of every port group, which newer kernels also say \
             before they have asked the array; --refresh asks it",
            map.name
        )
    })
}

/// Why it is not known who owns the volumes of an RDAC array.
fn unknown_owners(inventory: &Inventory) -> Option<String> {
    let paths = inventory.maps.iter().flat_map(Map::paths);
    let unknown = paths.chain(&inventory.unmapped).filter(|path| {
        path.handler.as_deref() == Some("rdac") && path.access.is_none() && path.rdac.is_none()
    });
    let count = unknown.count();
    (count > 0).then(|| {
        format!(
            "who owns the volumes of {count} paths is unknown: under the rdac handler sysfs shows \
             one unit's state for all; --refresh asks the array"
        )
    })
}

#[cfg(test)]
mod tests;
