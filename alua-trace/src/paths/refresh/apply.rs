//! Owns how the array's own account replaces the kernel's in the inventory. Pure.

use super::plan::same_side;
use super::said::Said;
use crate::inventory::model::{Access, AccessSource, Disagreement, Map, Path, PortGroup, Rdac};
use crate::inventory::priority;
use crate::paths::disagree;
use crate::scsi::rdac::PathPriority;
use crate::topology::Topology;

/// What was said through one path of a list.
#[derive(Debug)]
pub(super) struct Told {
    /// The path's place in the list.
    pub(super) index: usize,
    pub(super) said: Said,
    /// How old the answer is.
    pub(super) age_ms: u64,
}

/// Puts the answers of a map's paths into it.
pub(super) fn to_map(map: &mut Map, told: &[Told], topology: &Topology) {
    let mut paths: Vec<&mut Path> = map
        .groups
        .iter_mut()
        .flat_map(|group| &mut group.paths)
        .collect();
    let found = to_paths(&mut paths, told, topology);
    map.disagreements.extend(found);
    for group in &mut map.groups {
        group.priority = priority::of_group(&group.paths);
    }
    let mut said = told.iter().map(|told| &told.said);
    if let Some(inquiry) = said.clone().find_map(|said| said.inquiry.as_ref()) {
        map.vendor.clone_from(&inquiry.vendor);
        map.product.clone_from(&inquiry.product);
        map.revision.clone_from(&inquiry.revision);
    }
    if let Some(serial) = said.find_map(|said| said.serial.clone()) {
        map.serial = Some(serial);
    }
    port_groups(map, told);
}

/// Puts answers into paths, and says where the kernel had it otherwise.
pub(super) fn to_paths(
    paths: &mut [&mut Path],
    told: &[Told],
    topology: &Topology,
) -> Vec<Disagreement> {
    // Which paths an answer is for is decided by what was known when it was asked for.
    let sides: Vec<Vec<usize>> = told.iter().map(|told| side(paths, told.index)).collect();
    for (told, side) in told.iter().zip(&sides) {
        if let Some(path) = paths.get_mut(told.index) {
            identify(path, &told.said);
        }
        for index in side {
            if let Some(path) = paths.get_mut(*index) {
                rdac(path, told);
            }
        }
    }
    for (index, path) in paths.iter_mut().enumerate() {
        let own = sides.iter().position(|side| side.contains(&index));
        let own = own.and_then(|nth| told.get(nth));
        asymmetric(path, own.into_iter().chain(told));
    }
    let asked = |index| told.iter().any(|told| told.index == index);
    let mut found = Vec::new();
    for (index, path) in paths.iter().enumerate() {
        let device = path.address.parse().ok();
        let device = device.and_then(|hctl| topology.device_by_hctl(hctl));
        if let Some(device) = device {
            found.extend(disagree::array(path, device, asked(index)));
        }
    }
    found
}

fn side(paths: &[&mut Path], asker: usize) -> Vec<usize> {
    let Some(path) = paths.get(asker) else {
        return Vec::new();
    };
    let same = |other: &&mut Path| same_side(path, other);
    (0..paths.len())
        .filter(|index| paths.get(*index).is_some_and(same))
        .collect()
}

/// What only holds for the path that was asked.
fn identify(path: &mut Path, said: &Said) {
    if let Some(inquiry) = &said.inquiry {
        path.vendor.clone_from(&inquiry.vendor);
        path.product.clone_from(&inquiry.product);
        path.revision.clone_from(&inquiry.revision);
        path.tpgs = Some(inquiry.tpgs.code());
    }
    path.serial = said.serial.clone().or(path.serial.take());
    path.wwid = said.wwid.clone().or(path.wwid.take());
    path.port_group = said.port_group.or(path.port_group);
    path.relative_port = said.relative_port.or(path.relative_port);
}

/// What pages C4h, C8h and C9h say of all paths to one controller.
fn rdac(path: &mut Path, told: &Told) {
    let said = &told.said;
    if said.subsystem.is_none() && said.access.is_none() {
        return;
    }
    let label = |label: &String| (!label.is_empty()).then(|| label.clone());
    let identification = said.identification.as_ref();
    path.rdac = Some(Rdac {
        mode: said.access.map(|access| access.mode.to_string()),
        owned: said.access.map(|access| access.owned),
        preferred: said
            .access
            .map(|access| access.path_priority == PathPriority::Preferred),
        controller: said
            .subsystem
            .as_ref()
            .map(|subsystem| subsystem.controller()),
        slot: said.subsystem.as_ref().map(|subsystem| {
            let [first, second] = subsystem.slot;
            format!("{first:02x}{second:02x}")
        }),
        array: identification.and_then(|names| label(&names.array_label)),
        volume: identification.and_then(|names| label(&names.volume_label)),
    });
    let Some(access) = said.access else { return };
    path.priority = Some(priority::of_volume_access(&access));
    path.preferred = path.rdac.as_ref().and_then(|rdac| rdac.preferred);
    path.access = access.this.map(|this| Access {
        state: this.state,
        source: AccessSource::Array,
        age_ms: Some(told.age_ms),
    });
}

/// The state of the path's port group, from its own side's answer or else from another's.
fn asymmetric<'a>(path: &mut Path, mut told: impl Iterator<Item = &'a Told>) {
    let Some(id) = path.port_group else { return };
    let found = told.find_map(|told| {
        let groups = &told.said.groups.as_ref()?.groups;
        Some((told, groups.iter().find(|group| group.id == id)?))
    });
    let Some((told, group)) = found else { return };
    path.preferred = Some(group.preferred);
    path.access = Some(Access {
        state: group.state,
        source: AccessSource::Array,
        age_ms: Some(told.age_ms),
    });
    // Under the rdac handler multipathd keeps the rdac prioritizer.
    let rdac = path.handler.as_deref() == Some("rdac") && path.rdac.is_some();
    if !rdac {
        path.priority = Some(priority::of_state(
            group.state,
            Some(group.preferred),
            "alua",
        ));
    }
}

/// The array's port groups; where its ports contradict each other, the first one that was asked
/// counts, and it is said.
fn port_groups(map: &mut Map, told: &[Told]) {
    let mut groups: Vec<(PortGroup, String)> = Vec::new();
    let addresses: Vec<String> = map.paths().map(|path| path.address.clone()).collect();
    for told in told {
        let via = addresses.get(told.index).cloned().unwrap_or_default();
        let list = told.said.groups.as_ref().map(|groups| &groups.groups);
        for group in list.into_iter().flatten() {
            let group = PortGroup::reported(group, AccessSource::Array);
            match groups.iter().find(|(other, _)| other.id == group.id) {
                None => groups.push((group, via.clone())),
                Some((other, first)) => {
                    let about = format!("access state of port group {}", group.id);
                    let claims = [(first, other.state), (&via, group.state)];
                    map.disagreements.extend(disagree::ports(about, claims));
                }
            }
        }
    }
    if !groups.is_empty() {
        groups.sort_by_key(|(group, _)| group.id);
        map.port_groups = groups.into_iter().map(|(group, _)| group).collect();
    }
}
