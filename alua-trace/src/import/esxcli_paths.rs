//! Owns the reading of `esxcli storage core path list` and `esxcli storage nmp path list`: which path
//! leads to which device, over which adapter and target port, in which state.

use anyhow::{Result, ensure};

use super::esxcli::{setting, state};
use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{
    Access, AccessSource, Inventory, Iscsi, Map, Nmp, Path, PathGroup, PortGroup, Transport,
};
use crate::scsi::AccessState;

/// Whether a line is one that only these lists have.
pub(super) fn is_line(line: &str) -> bool {
    line.trim().starts_with("Runtime Name: vm")
}

/// The devices and their paths in `text`, each device as a map.
///
/// # Errors
/// There is no path.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut reading = Reading {
        room: Room::new(text),
        maps: Vec::new(),
        path: None,
        other: Leftover::default(),
    };
    for (nth, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        // As Markdown has it.
        let trimmed = &*trimmed.replace("\\_", "_");
        // The path's own name, `fc.2000…:2100…-fc.5006…:5006…-naa.6006…`, is made of what follows.
        if trimmed.is_empty() || (!line.starts_with(' ') && !trimmed.contains(": ")) {
            continue;
        }
        match trimmed.split_once(':') {
            Some((key, value)) if reading.field(key, value.trim()) => {}
            _ => reading.other.add(nth, line),
        }
    }
    reading.finish_path();
    ensure!(!reading.maps.is_empty(), "there is no path in it");
    let mut maps = reading.maps;
    maps.iter_mut().for_each(file_port_groups);
    Ok(Inventory {
        maps,
        notes: reading.other.note("not understood").into_iter().collect(),
        ..Inventory::default()
    })
}

/// A path that is being told of.
#[derive(Default)]
struct Told {
    path: Path,
    device: Option<String>,
    display_name: Option<String>,
    transport: Option<String>,
    adapter: Option<String>,
    target: Option<String>,
}

struct Reading<'a> {
    room: Room,
    maps: Vec<Map>,
    path: Option<Told>,
    other: Leftover<'a>,
}

impl Reading<'_> {
    /// Files a field; `false` if it is not known, or stands before the first path.
    fn field(&mut self, key: &str, value: &str) -> bool {
        let text = || (!value.is_empty()).then(|| value.to_owned());
        // Stands first in one of the lists, before the name in both.
        if key == "UID" {
            return true;
        }
        if key == "Runtime Name" {
            self.finish_path();
            self.path = Some(Told {
                path: Path {
                    address: value.to_owned(),
                    ..Path::default()
                },
                ..Told::default()
            });
            return true;
        }
        let Some(told) = &mut self.path else {
            return false;
        };
        match key {
            "Device" => told.device = text(),
            "Device Display Name" => told.display_name = text(),
            "State" => told.path.device_state = text(),
            // Of arrays without ALUA it says no more than that the path works.
            "Group State" => told.path.device_state = text(),
            "Transport" => told.transport = text(),
            "Adapter Identifier" => told.adapter = text(),
            "Target Identifier" => told.target = text(),
            "Storage Array Type Path Config" => {
                let number = |name: &str| setting(value, &[name]).and_then(|it| it.parse().ok());
                told.path.port_group = number("TPG_id");
                told.path.relative_port = number("RTP_id").or(number("RTP_ID"));
                if let Some(state) = setting(value, &["TPG_state"]).as_deref().and_then(state) {
                    told.path.access = Some(printed(state));
                }
            }
            "Path Selection Policy Path Config" => {
                told.path.current = current(value);
            }
            "Plugin"
            | "Adapter"
            | "Channel"
            | "Target"
            | "LUN"
            | "Array Priority"
            | "Maximum IO Size"
            | "Adapter Transport Details"
            | "Target Transport Details" => {}
            _ => return false,
        }
        true
    }

    fn finish_path(&mut self) {
        let Some(mut told) = self.path.take() else {
            return;
        };
        told.path.transport = told.transport();
        let name = told.device.unwrap_or_else(|| "unnamed".to_owned());
        let known = self
            .maps
            .iter()
            .position(|map| map.wwid.as_deref() == Some(&name));
        let at = match known {
            Some(at) => at,
            None if self.room.take_map() => {
                let map = Map {
                    name: told.display_name.unwrap_or_else(|| name.clone()),
                    wwid: Some(name),
                    groups: vec![PathGroup {
                        number: 1,
                        ..PathGroup::default()
                    }],
                    nmp: Some(Nmp::default()),
                    ..Map::default()
                };
                push(&mut self.maps, map);
                self.maps.len() - 1
            }
            None => return,
        };
        let map = self.maps.get_mut(at);
        if let Some(group) = map.and_then(|map| map.groups.first_mut())
            && self.room.take_path(group.paths.len())
        {
            push(&mut group.paths, told.path);
        }
    }
}

impl Told {
    /// By `Transport`, which NMP's list does not have, and the identifiers.
    fn transport(&self) -> Option<Transport> {
        let kind = self.transport.as_deref()?;
        // `fc.20000000c9000001:10000000c9000001`: node and port.
        let port = |identifier: &Option<String>| {
            let (_, port) = identifier.as_deref()?.rsplit_once(':')?;
            Some(format!("0x{port}"))
        };
        Some(match kind {
            "fc" | "fcoe" => Transport::Fc {
                local_port: port(&self.adapter),
                remote_port: port(&self.target),
                speed: None,
                state: None,
            },
            "iscsi" => {
                // `00023d000001,iqn.…,t,1`
                let mut parts = self.target.as_deref().unwrap_or_default().split(',');
                let target =
                    parts.find(|part| part.starts_with("iqn.") || part.starts_with("eui."));
                Transport::Iscsi(Iscsi {
                    target: target.map(str::to_owned),
                    ..Iscsi::default()
                })
            }
            "sas" => Transport::Sas {
                local_address: self.adapter.as_deref().map(bare_address),
                remote_address: self.target.as_deref().map(bare_address),
            },
            other => Transport::Other {
                driver: other.to_owned(),
            },
        })
    }
}

/// `{current path; rank: 0}`, `{non-current path; rank: 0}`, `{current: yes; preferred: no}`.
fn current(config: &str) -> Option<bool> {
    let words = config.trim_matches(['{', '}']).split(';').map(str::trim);
    words
        .filter_map(|word| match word {
            "current path" | "current: yes" => Some(true),
            "non-current path" | "current: no" => Some(false),
            _ => None,
        })
        .next()
}

/// `sas.5001…`
fn bare_address(identifier: &str) -> String {
    identifier.trim_start_matches("sas.").to_owned()
}

fn printed(state: AccessState) -> Access {
    Access {
        state,
        source: AccessSource::Printed,
        age_ms: None,
    }
}

/// The port groups that a device's paths named.
fn file_port_groups(map: &mut Map) {
    let mut groups: Vec<PortGroup> = Vec::new();
    for path in map.paths() {
        let Some(id) = path.port_group else { continue };
        let known = groups.iter().position(|group| group.id == id);
        let at = known.unwrap_or_else(|| {
            let group = PortGroup {
                id,
                state: path.access.as_ref().map(|access| access.state),
                preferred: None,
                supported: Vec::new(),
                status: None,
                ports: Vec::new(),
                source: AccessSource::Printed,
            };
            push(&mut groups, group);
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(at) {
            group.ports.extend(
                path.relative_port
                    .filter(|port| !group.ports.contains(port)),
            );
        }
    }
    groups.sort_by_key(|group| group.id);
    map.port_groups = groups;
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "fc.20000000c9000001:10000000c9000001-fc.50060160bce0:5006016ebce0-naa.6006\n   \
UID: fc.20000000c9000001:10000000c9000001-fc.50060160bce0:5006016ebce0-naa.6006\n   \
Runtime Name: vmhba2:C0:T3:L1\n   Device: naa.6006\n   \
Device Display Name: DGC Fibre Channel Disk (naa.6006)\n   Adapter: vmhba2\n   Channel: 0\n   \
Target: 3\n   LUN: 1\n   Plugin: NMP\n   State: dead\n   Transport: fc\n   \
Adapter Identifier: fc.20000000c9000001:10000000c9000001\n   \
Target Identifier: fc.50060160bce0:5006016ebce0\n   \
Adapter Transport Details: WWNN: 20:00:00:00:c9:00:00:01 WWPN: 10:00:00:00:c9:00:00:01\n   \
Target Transport Details: WWNN: 50:06 WWPN: 50:06\n   Maximum IO Size: 33553920\n";
    const NMP: &str = "iqn.1998-01.com.vmware:h-00023d000001,iqn.2001-05.com.example:a,t,1-naa.6001\n   \
Runtime Name: vmhba33:C0:T0:L5\n   Device: naa.6001\n   Device Display Name: EXAMPLE iSCSI Disk (naa.6001)\n   \
Group State: active\n   Array Priority: 0\n   \
Storage Array Type Path Config: {TPG_id=1,TPG_state=AO,RTP_id=3,RTP_health=UP}\n   \
Path Selection Policy Path Config: {current path; rank: 0}\n\n\
iqn.1998-01.com.vmware:h-00023d000002,iqn.2001-05.com.example:a,t,2-naa.6001\n   \
Runtime Name: vmhba33:C1:T0:L5\n   Device: naa.6001\n   Device Display Name: EXAMPLE iSCSI Disk (naa.6001)\n   \
Group State: active unoptimized\n   Array Priority: 0\n   \
Storage Array Type Path Config: {TPG_id=2,TPG_state=ANO,RTP_id=5,RTP_health=UP}\n   \
Path Selection Policy Path Config: {non-current path; rank: 0}\n";

    #[test]
    fn the_core_list_tells_ports_and_state() {
        let inventory = parse(CORE).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [map] = &inventory.maps[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(map.name, "DGC Fibre Channel Disk (naa.6006)");
        let path = map.paths().next().unwrap();
        assert_eq!(
            (path.address.as_str(), path.device_state.as_deref()),
            ("vmhba2:C0:T3:L1", Some("dead"))
        );
        assert_eq!(
            path.transport,
            Some(Transport::Fc {
                local_port: Some("0x10000000c9000001".to_owned()),
                remote_port: Some("0x5006016ebce0".to_owned()),
                speed: None,
                state: None
            })
        );
    }

    #[test]
    fn the_nmp_list_tells_which_path_leads_to_which_group() {
        let inventory = parse(NMP).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [map] = &inventory.maps[..] else {
            panic!("{inventory:?}")
        };
        let told: Vec<_> = map
            .paths()
            .map(|path| {
                let state = path.access.as_ref().unwrap().state;
                (path.port_group, path.relative_port, state, path.current)
            })
            .collect();
        assert_eq!(
            told,
            [
                (Some(1), Some(3), AccessState::OPTIMIZED, Some(true)),
                (Some(2), Some(5), AccessState::NON_OPTIMIZED, Some(false))
            ]
        );
        let groups: Vec<_> = map
            .port_groups
            .iter()
            .map(|it| (it.id, it.ports.clone()))
            .collect();
        assert_eq!(groups, [(1, vec![3]), (2, vec![5])]);
    }

    #[test]
    fn the_path_in_use_is_told_in_three_ways() {
        assert_eq!(current("{current path; rank: 0}"), Some(true));
        assert_eq!(current("{non-current path; rank: 0}"), Some(false));
        assert_eq!(current("{current: no; preferred: yes}"), Some(false));
        assert_eq!(current("{current: yes; preferred: yes}"), Some(true));
        assert_eq!(
            current("PSP VMW_PSP_RR does not support path configuration."),
            None
        );
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for text in [CORE, NMP] {
            for end in 0..=text.len() {
                let _ = parse(&text[..end]);
            }
        }
    }
}
