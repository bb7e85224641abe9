//! Owns how the facts about this host are got: from the topology, and from what sysfs has beyond
//! it. Nothing is asked of a device.

use crate::scsi::{AccessState, vpd};
use crate::sysroot::{Directory, Sysroot};
use crate::topology::{Device, GroupState, Map, MapPath, Topology};

use super::facts::{GroupFacts, Host, MapFacts, Network, PathFacts};

/// The page of RDAC arrays that tells who owns a volume.
const VOLUME_ACCESS: u8 = 0xc9;

/// What is known of the host's disks.
pub fn host(root: &Sysroot, topology: &Topology) -> Host {
    let is_lone = |device: &&Device| {
        let member = device.devno.and_then(|devno| topology.membership(devno));
        device.is_disk() && member.is_none()
    };
    let unmapped = topology.devices().iter().filter(is_lone);
    Host {
        maps: topology
            .maps()
            .iter()
            .map(|it| map(root, topology, it))
            .collect(),
        unmapped: unmapped.map(|device| path(root, device, true)).collect(),
        alua_module: Some(root.is_loaded("scsi_dh_alua")),
        rdac_module: Some(root.is_loaded("scsi_dh_rdac")),
    }
}

fn map(root: &Sysroot, topology: &Topology, map: &Map) -> MapFacts {
    let member = |member: &MapPath| {
        let device = topology.device_by_devno(member.devno)?;
        Some(path(root, device, member.active))
    };
    let groups = map.groups.iter().map(|group| GroupFacts {
        number: group.number,
        active: group.state == GroupState::Active,
        paths: group.paths.iter().filter_map(member).collect(),
    });
    MapFacts {
        name: map.name.clone(),
        wwid: map.wwid.clone(),
        handler: map.handler.clone(),
        groups: groups.collect(),
    }
}

fn path(root: &Sysroot, device: &Device, active: bool) -> PathFacts {
    let address = device.hctl.to_string();
    let dir = Directory::open(&root.scsi_device_dir(&address)).ok();
    let revision = dir.as_ref().and_then(|dir| dir.text("rev").ok());
    PathFacts {
        device: device.name.clone(),
        vendor: device.vendor.clone(),
        product: device.product.clone(),
        revision: revision.filter(|text| !text.is_empty()),
        usable: active && device.running,
        handler: device.handler.clone(),
        tpgs: device.tpgs,
        lists_c9: dir.as_ref().and_then(lists_c9),
        rdac_mode: None,
        access: believable(device),
        port_group: device.port_group,
        network: Network::default(),
        address,
    }
}

/// Whether the kernel's copy of VPD page 00h lists page C9h; `None` when it has no copy.
fn lists_c9(dir: &Directory) -> Option<bool> {
    let page = dir.bytes("vpd_pg0").ok()?;
    let pages = vpd::supported_pages(&page).ok()?;
    let listed = pages.data.contains(&VOLUME_ACCESS);
    // What is cut off may hold it.
    (listed || !pages.truncated).then_some(listed)
}

/// The kernel's access state, but not that of the RDAC handler: it is one unit's, written into
/// all, and it is not asked for again after a MODE SELECT (scsi_dh_rdac.c `check_ownership`).
fn believable(device: &Device) -> Option<AccessState> {
    let state = device.access_state.as_ref()?.state();
    state.filter(|_| device.handler.as_deref() != Some("rdac"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::topology::{DmTable, scan};

    /// A file's name below its device, and its bytes.
    type File<'a> = (&'a str, &'a [u8]);

    /// A tree with one directory per device, and the table of a map of two.
    fn tree() -> (tempfile::TempDir, Host) {
        let dir = tempfile::tempdir().unwrap();
        let mut inquiry = vec![0, 0, 5, 2, 31, 0, 0, 2];
        inquiry.extend(b"DELL    MD36xxi         0784");
        let devices: [(&str, &str, &[File<'_>]); 3] = [
            (
                "1:0:0:1",
                "sda",
                &[("vpd_pg0", &[0, 0, 0, 3, 0, 0x83, 0xc9])],
            ),
            ("2:0:0:1", "sdb", &[("vpd_pg0", &[0, 0, 0, 9, 0, 0x83])]),
            (
                "3:0:0:1",
                "sdc",
                &[("vpd_pg0", &[0, 0, 0, 2, 0, 0x83]), ("state", b"offline")],
            ),
        ];
        for (minor, (hctl, name, more)) in devices.into_iter().enumerate() {
            let place = dir
                .path()
                .join("sys/class/scsi_device")
                .join(hctl)
                .join("device");
            fs::create_dir_all(place.join("block").join(name)).unwrap();
            let handler: &[u8] = if minor == 2 { b"alua" } else { b"rdac" };
            let devno = format!("8:{}", minor * 16);
            fs::write(place.join("block").join(name).join("dev"), devno).unwrap();
            let common: [File<'_>; 5] = [
                ("inquiry", &inquiry),
                ("state", b"running"),
                ("dh_state", handler),
                ("access_state", b"active/optimized"),
                ("rev", b"0784\n"),
            ];
            for (file, bytes) in common.iter().chain(more) {
                fs::write(place.join(file), bytes).unwrap();
            }
        }
        fs::create_dir_all(dir.path().join("sys/module/scsi_dh_rdac")).unwrap();
        let table = DmTable {
            name: "mpatha".to_owned(),
            devno: "254:0".parse().unwrap(),
            uuid: Some("mpath-36782b".to_owned()),
            status: "2 0 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:16 F 3 0 1".to_owned(),
            table: "0 1 rdac 2 1 round-robin 0 1 1 8:0 1 round-robin 0 1 1 8:16 1".to_owned(),
        };
        let root = Sysroot::at(dir.path());
        let host = host(&root, &scan(&root, &vec![table]));
        (dir, host)
    }

    #[test]
    fn maps_and_paths_are_as_sysfs_and_dm_say() {
        let (_dir, host) = tree();
        let [map] = &host.maps[..] else {
            panic!("{host:?}")
        };
        assert_eq!(
            (map.name.as_str(), map.wwid.as_deref()),
            ("mpatha", Some("36782b"))
        );
        assert_eq!(map.handler.as_deref(), Some("rdac"));
        let subject = map.subject();
        assert_eq!(
            (subject.vendor, subject.product, subject.revision),
            (Some("DELL"), Some("MD36xxi"), Some("0784"))
        );
        let [first, second] = &map.groups[..] else {
            panic!("{map:?}")
        };
        assert!(first.active && !second.active);
        let (first, second) = (&first.paths[0], &second.paths[0]);
        assert!(first.usable && !second.usable);
        assert_eq!(first.label(), "1:0:0:1 sda");
        assert_eq!((first.tpgs, first.lists_c9), (Some(0), Some(true)));
        assert_eq!(second.lists_c9, None, "the list is cut off");
        assert_eq!(
            first.access, None,
            "the RDAC handler's state is not believed"
        );
    }

    #[test]
    fn disks_without_a_map_and_modules_are_facts_too() {
        let (_dir, host) = tree();
        let [lone] = &host.unmapped[..] else {
            panic!("{host:?}")
        };
        assert_eq!(
            (lone.address.as_str(), lone.lists_c9),
            ("3:0:0:1", Some(false))
        );
        assert!(!lone.usable);
        assert_eq!(lone.access, Some(AccessState::OPTIMIZED));
        assert_eq!(
            (host.alua_module, host.rdac_module),
            (Some(false), Some(true))
        );
    }
}
