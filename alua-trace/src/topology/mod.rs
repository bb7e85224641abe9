//! What storage there is: SCSI devices, dm-multipath maps, and which device is which map's path.
//!
//! Owns the snapshot and its look-ups. Everything in it comes from sysfs and device-mapper: no
//! SCSI command is sent, and nothing is changed. The reading is in [`scan()`], [`dm`] and
//! [`uevent`].

pub mod device;
pub mod dm;
pub mod ids;
pub mod map;
pub mod multipath;
mod named;
mod scan;
pub mod uevent;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use device::AccessStateText;
pub use device::Device;
pub use dm::DmControl;
pub use dm::DmSource;
pub use dm::DmTable;
pub use ids::DevNo;
pub use ids::Hctl;
pub use map::GroupState;
pub use map::Map;
pub use map::MapPath;
pub use map::PathGroup;
pub use named::NoSuchMap;
pub use named::named;
pub use scan::Looks;
pub use scan::scan;
pub use uevent::Uevents;

/// A snapshot of all SCSI devices and multipath maps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Told", from = "Told")]
pub struct Topology {
    devices: Vec<Device>,
    maps: Vec<Map>,
    notes: Vec<String>,
    device_of: HashMap<DevNo, usize>,
    map_of: HashMap<DevNo, usize>,
    member_of: HashMap<DevNo, Member>,
}

/// A topology without what follows from it: as it is recorded.
#[derive(Serialize, Deserialize)]
struct Told {
    devices: Vec<Device>,
    maps: Vec<Map>,
    notes: Vec<String>,
}

impl From<Topology> for Told {
    fn from(it: Topology) -> Self {
        Self {
            devices: it.devices,
            maps: it.maps,
            notes: it.notes,
        }
    }
}

impl From<Told> for Topology {
    fn from(it: Told) -> Self {
        Self::new(it.devices, it.maps, it.notes)
    }
}

/// Indices of a map, of its group, and of a path in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    map: usize,
    group: usize,
    path: usize,
}

impl Topology {
    /// Sorts and indexes; `notes` say what could not be found out, and why.
    pub fn new(mut devices: Vec<Device>, mut maps: Vec<Map>, notes: Vec<String>) -> Self {
        devices.sort_by_key(|device| device.hctl);
        devices.dedup_by_key(|device| device.hctl);
        maps.sort_by(|a, b| a.name.cmp(&b.name));
        let numbered = devices.iter().enumerate();
        let device_of = numbered
            .filter_map(|(i, device)| Some((device.devno?, i)))
            .collect();
        let map_of = maps
            .iter()
            .enumerate()
            .map(|(i, map)| (map.devno, i))
            .collect();
        let member_of = members(&maps);
        Self {
            devices,
            maps,
            notes,
            device_of,
            map_of,
            member_of,
        }
    }

    /// All SCSI devices, sorted by [`Hctl`].
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// All multipath maps, sorted by name.
    pub fn maps(&self) -> &[Map] {
        &self.maps
    }

    /// What could not be found out, and why; for the user.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The device at an address.
    pub fn device_by_hctl(&self, hctl: Hctl) -> Option<&Device> {
        let i = self
            .devices
            .binary_search_by_key(&hctl, |device| device.hctl)
            .ok()?;
        self.devices.get(i)
    }

    /// The device of a disk's number (not of a partition's).
    pub fn device_by_devno(&self, devno: DevNo) -> Option<&Device> {
        self.devices.get(*self.device_of.get(&devno)?)
    }

    /// The map of a dm device's number.
    pub fn map_by_devno(&self, devno: DevNo) -> Option<&Map> {
        self.maps.get(*self.map_of.get(&devno)?)
    }

    /// As which path of which map a disk is used. Should several maps claim it, the first by
    /// name counts.
    pub fn membership(&self, devno: DevNo) -> Option<(&Map, &PathGroup, &MapPath)> {
        let member = self.member_of.get(&devno)?;
        let map = self.maps.get(member.map)?;
        let group = map.groups.get(member.group)?;
        Some((map, group, group.paths.get(member.path)?))
    }

    /// Whether each disk is a path of one group of one map at most, and every map could be read.
    pub fn has_one_route_a_path(&self) -> bool {
        let paths = self.maps.iter().flat_map(Map::paths).count();
        self.notes.is_empty() && paths == self.member_of.len()
    }

    /// The devices of a logical unit, named as in [`Device::wwid`].
    pub fn paths_of_lun<'a>(&'a self, wwid: &'a str) -> impl Iterator<Item = &'a Device> {
        self.devices
            .iter()
            .filter(move |device| device.wwid.as_deref() == Some(wwid))
    }

    /// The logical unit below a map, named as in [`Device::wwid`]: that of the first path which
    /// has a name. Works for maps without a uuid, too.
    pub fn lun_of_map(&self, map: &Map) -> Option<&str> {
        let devices = map
            .paths()
            .filter_map(|path| self.device_by_devno(path.devno));
        devices.filter_map(|device| device.wwid.as_deref()).next()
    }
}

fn members(maps: &[Map]) -> HashMap<DevNo, Member> {
    let mut members = HashMap::new();
    for (map, groups) in maps.iter().map(|map| &map.groups).enumerate() {
        for (group, paths) in groups.iter().map(|group| &group.paths).enumerate() {
            for (path, member) in paths.iter().enumerate() {
                members
                    .entry(member.devno)
                    .or_insert(Member { map, group, path });
            }
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(hctl: &str, devno: &str, wwid: &str) -> Device {
        Device {
            devno: Some(devno.parse().unwrap()),
            wwid: Some(wwid.to_owned()),
            ..Device::unknown(hctl.parse().unwrap())
        }
    }

    fn topology() -> Topology {
        let table = DmTable {
            name: "mpatha".to_owned(),
            devno: "254:0".parse().unwrap(),
            uuid: None,
            status: "2 0 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:16 F 3 0 1".to_owned(),
            table: "0 0 2 1 round-robin 0 1 1 8:0 1 round-robin 0 1 1 8:16 1".to_owned(),
        };
        let devices = vec![
            disk("10:0:0:1", "8:32", "naa.b"),
            disk("2:0:0:1", "8:16", "naa.a"),
            disk("1:0:0:1", "8:0", "naa.a"),
        ];
        Topology::new(devices, vec![Map::from_dm(&table).unwrap()], Vec::new())
    }

    #[test]
    fn every_look_up_finds_its_own() {
        let topology = topology();
        let hctl: Hctl = "10:0:0:1".parse().unwrap();
        assert_eq!(topology.device_by_hctl(hctl).unwrap().hctl, hctl);
        let second: DevNo = "8:16".parse().unwrap();
        assert_eq!(topology.device_by_devno(second).unwrap().hctl.host, 2);
        let (map, group, path) = topology.membership(second).unwrap();
        assert_eq!(
            (map.name.as_str(), group.number, path.active),
            ("mpatha", 2, false)
        );
        assert_eq!(topology.map_by_devno(map.devno), Some(map));
        assert_eq!(topology.lun_of_map(map), Some("naa.a"));
        let hosts: Vec<u32> = topology
            .paths_of_lun("naa.a")
            .map(|path| path.hctl.host)
            .collect();
        assert_eq!(hosts, [1, 2]);
    }

    #[test]
    fn a_disk_in_two_groups_has_more_than_one_route() {
        let table = DmTable {
            name: "mpatha".to_owned(),
            devno: "254:0".parse().unwrap(),
            uuid: None,
            status: "2 0 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:0 A 3 0 1".to_owned(),
            table: "0 0 2 1 round-robin 0 1 1 8:0 1 round-robin 0 1 1 8:0 1".to_owned(),
        };
        let twice = Topology::new(Vec::new(), vec![Map::from_dm(&table).unwrap()], Vec::new());
        assert!(topology().has_one_route_a_path());
        assert!(!twice.has_one_route_a_path());
        let unread = Topology::new(Vec::new(), topology().maps, vec!["mpathb: no".to_owned()]);
        assert!(!unread.has_one_route_a_path());
    }

    #[test]
    fn what_is_not_there_is_none() {
        let topology = topology();
        let number: DevNo = "8:32".parse().unwrap();
        assert_eq!(topology.membership(number), None);
        assert_eq!(topology.map_by_devno(number), None);
        assert_eq!(topology.device_by_hctl("3:0:0:1".parse().unwrap()), None);
        assert_eq!(topology.paths_of_lun("naa.c").count(), 0);
    }
}
