//! Paths after a scan: which device is which path, its labels, and what sysfs says of its state.

use std::sync::Arc;

use alua_trace_ebpf::Followed;

use super::{Entry, Paths, set_state};
use crate::{
    model::{self, AccessState, PathChange, PathEvent, StateSource},
    scsi,
    topology::{Device, Hctl, Topology},
};

impl Paths {
    /// Labels everything anew from a scan made at `now_ns`.
    pub fn relabel(&mut self, topology: &Topology, now_ns: u64) -> Vec<PathEvent> {
        let mut events = Vec::new();
        let mut seen = vec![false; self.entries.len()];
        for device in topology.devices() {
            let index = self.entry_of(device, now_ns, &mut events);
            seen.resize(self.entries.len(), false);
            seen[index] = true;
            self.relabel_one(index, device, topology, now_ns, &mut events);
        }
        for (index, (entry, seen)) in self.entries.iter_mut().zip(seen).enumerate() {
            if entry.present && !seen {
                entry.present = false;
                entry.usable = false;
                entry.usable_since_ns = now_ns;
                // The probes meet a device before sysfs has it: it keeps its address.
                if entry.is_known() {
                    if self.by_hctl.get(&entry.hctl) == Some(&index) {
                        self.by_hctl.remove(&entry.hctl);
                    }
                    events.push(event(entry, PathChange::Vanished, now_ns));
                }
            }
        }
        self.last_scan_ns = now_ns;
        if !events.is_empty() {
            self.order.renew(&self.entries);
        }
        events
    }

    /// The entry of a device: another logical unit at the same address is another path, and what
    /// the probes met before topology knew it may be a path that has returned.
    fn entry_of(&mut self, device: &Device, now_ns: u64, events: &mut Vec<PathEvent>) -> usize {
        let key = device
            .wwid
            .clone()
            .unwrap_or_else(|| device.hctl.to_string());
        let lun = self.lun(key.clone());
        let mut met = None;
        if let Some(index) = self.by_hctl.get(&device.hctl).copied() {
            let entry = &mut self.entries[index];
            if entry.lun == lun && entry.is_known() {
                return index;
            }
            if entry.label.wwid.is_none() {
                met = Some(index);
            } else {
                entry.present = false;
                entry.usable = false;
                events.push(event(entry, PathChange::Vanished, now_ns));
            }
        }
        let mut others = self.entries.iter().enumerate();
        let returned = others.position(|(index, entry)| {
            entry.hctl == device.hctl && entry.lun == lun && met != Some(index)
        });
        let index = match (met, returned) {
            (Some(met), Some(returned)) => {
                let entry = &self.entries[met];
                if entry.is_known() {
                    events.push(event(entry, PathChange::Vanished, now_ns));
                }
                self.unite(met, returned);
                returned
            }
            (Some(met), None) => {
                self.entries[met].lun = lun;
                met
            }
            (None, Some(returned)) => returned,
            (None, None) => self.add(device.hctl, key, false),
        };
        self.by_hctl.insert(device.hctl, index);
        let others = self.entries.iter().enumerate();
        let others = others.filter(|(other, entry)| *other != index && entry.hctl == device.hctl);
        self.stale
            .extend(others.flat_map(|(_, entry)| entry.kernel.iter().map(|(id, _)| *id)));
        index
    }

    fn relabel_one(
        &mut self,
        index: usize,
        device: &Device,
        topology: &Topology,
        now_ns: u64,
        events: &mut Vec<PathEvent>,
    ) {
        let entry = &mut self.entries[index];
        let appeared = !entry.present || !entry.is_known();
        let label = label(entry, device, topology);
        let relabelled = label != *entry.label;
        let member = device.devno.and_then(|devno| topology.membership(devno));
        entry.dm_active = member.is_some_and(|(_, _, path)| path.active);
        let usable = device.running && (member.is_none() || entry.dm_active);
        if !entry.present || entry.usable != usable || entry.label.map != label.map {
            entry.usable_since_ns = now_ns;
        }
        if relabelled {
            entry.label = Arc::new(label);
        }
        entry.present = true;
        entry.is_disk = device.is_disk();
        entry.timeout_s = device.timeout_s;
        let state = device.access_state.as_ref().and_then(|text| text.state());
        entry.refuses = state.is_some_and(refuses);
        let told_before = entry.sysfs_state;
        entry.sysfs_state = state.map(model_state);
        entry.usable = usable;
        if appeared || relabelled {
            let change = if appeared {
                PathChange::Appeared
            } else {
                PathChange::Relabelled
            };
            events.push(event(entry, change, now_ns));
        }
        let source = self.known[entry.lun];
        // What commands saw since the last scan is fresher, and read from the handler itself.
        let idle = entry.state_at_ns <= self.last_scan_ns;
        if source == StateSource::None || !idle || device.handler.as_deref() != Some("alua") {
            return;
        }
        // A command that is answered 02/04/0A makes the port group transitioning and leaves
        // `access_state` as it was (`alua_check_sense`): until an RTPG has told, that is old.
        if entry.label.state == AccessState::Transitioning && entry.sysfs_state == told_before {
            return;
        }
        if let Some(state) = device.access_state.as_ref().and_then(|text| text.state()) {
            entry.state_at_ns = now_ns;
            entry.last = Followed(u64::MAX);
            let own = entry.label.state_source;
            let source = if own == StateSource::None {
                source
            } else {
                own
            };
            events.extend(set_state(
                entry,
                model_state(state),
                source,
                device.preferred,
                now_ns,
            ));
        }
    }
}

/// The label a device deserves; state and id stay.
fn label(entry: &Entry, device: &Device, topology: &Topology) -> model::Path {
    let member = device.devno.and_then(|devno| topology.membership(devno));
    model::Path {
        device: device.name.clone(),
        devno: device.devno.map(|devno| devno.to_string()),
        wwid: device.wwid.clone(),
        map: member.map(|(map, ..)| map.name.clone()),
        dm: member.map(|(map, ..)| map.dm.clone()),
        path_group: member.map(|(_, group, _)| group.number),
        port_group: device.port_group,
        relative_port: device.relative_port,
        vendor: device.vendor.clone(),
        product: device.product.clone(),
        handler: device.handler.clone(),
        ..(*entry.label).clone()
    }
}

/// The label of a path of which only the address is known.
pub(super) fn unlabelled(index: usize, hctl: Hctl) -> model::Path {
    model::Path {
        // The probes' path table has fewer entries; a host with more devices shows the last id.
        id: u16::try_from(index).unwrap_or(u16::MAX),
        hctl: hctl.to_string(),
        device: None,
        devno: None,
        wwid: None,
        map: None,
        dm: None,
        path_group: None,
        port_group: None,
        relative_port: None,
        vendor: None,
        product: None,
        handler: None,
        state: AccessState::Unknown,
        state_source: StateSource::None,
        preferred: None,
    }
}

pub(super) fn event(entry: &Entry, change: PathChange, seen_at_ns: u64) -> PathEvent {
    PathEvent {
        seen_at_ns,
        change,
        path: (*entry.label).clone(),
    }
}

/// Whether handlers let no I/O through in this state. What sysfs says is what they have filed, and
/// goes by.
fn refuses(state: scsi::AccessState) -> bool {
    ![
        scsi::AccessState::OPTIMIZED,
        scsi::AccessState::NON_OPTIMIZED,
        scsi::AccessState::LBA_DEPENDENT,
    ]
    .contains(&state)
}

pub(in super::super) fn model_state(state: scsi::AccessState) -> AccessState {
    crate::stats::access_state(state.code())
}
