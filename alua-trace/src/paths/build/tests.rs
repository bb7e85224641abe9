//! Tests of [`super`].

use super::super::fixture::{Tree, table};
use super::super::read;
use super::*;
use crate::topology::DmTable;

fn inventory_of(tree: &Tree, tables: Vec<DmTable>) -> Inventory {
    read(&tree.root(), &tables, &[]).unwrap()
}

fn two_paths() -> Tree {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    tree.alua("1:0:0:0", "sdb", "8:16", 2, "active/non-optimized");
    tree.file("sys/block/dm-0/size", b"131072");
    tree.file("sys/block/dm-0/ro", b"0");
    tree
}

#[test]
fn a_map_has_everything_that_sysfs_and_dm_know() {
    let inventory = inventory_of(&two_paths(), vec![table()]);
    let [map] = inventory.maps.as_slice() else {
        panic!("{inventory:?}")
    };
    assert_eq!((&*map.name, map.dm.as_deref()), ("mpatha", Some("dm-0")));
    assert_eq!(map.devno.as_deref(), Some("254:0"));
    assert_eq!(map.vendor.as_deref(), Some("LIO-ORG"));
    assert_eq!(map.product.as_deref(), Some("lun0"));
    assert_eq!(map.revision.as_deref(), Some("4.0"));
    assert_eq!(map.serial.as_deref(), Some("6d4ae"));
    assert_eq!(map.size_bytes, Some(64 << 20));
    assert_eq!((map.read_only, map.bio_based), (Some(false), Some(false)));
    assert_eq!(map.features.as_deref(), Some("queue_if_no_path"));
    assert_eq!(map.handler.as_deref(), Some("alua"));
    assert!(map.disagreements.is_empty());
    let group = &map.groups[0];
    assert_eq!(group.selector.as_deref(), Some("service-time 0"));
    assert_eq!(
        (group.state.as_deref(), group.priority),
        (Some("active"), Some(50))
    );
    assert_eq!(map.groups[1].priority, Some(10));
    assert!(inventory.unmapped.is_empty() && inventory.notes.is_empty());
}

#[test]
fn a_path_has_everything_that_sysfs_and_dm_know() {
    let inventory = inventory_of(&two_paths(), vec![table()]);
    let path = &inventory.maps[0].groups[0].paths[0];
    assert_eq!(path.address, "0:0:0:0");
    assert_eq!(
        (path.device.as_deref(), path.devno.as_deref()),
        (Some("sda"), Some("8:0"))
    );
    assert_eq!(
        path.wwid.as_deref(),
        Some("naa.60014005000000000000000000000001")
    );
    assert_eq!(
        (path.dm_state.as_deref(), path.dm_failures),
        (Some("active"), Some(3))
    );
    assert_eq!(path.device_state.as_deref(), Some("running"));
    assert_eq!(path.handler.as_deref(), Some("alua"));
    let access = path.access.as_ref().unwrap();
    assert_eq!(
        (access.state, access.source),
        (AccessState::OPTIMIZED, AccessSource::Sysfs)
    );
    assert_eq!(access.age_ms, None);
    assert_eq!((path.preferred, path.tpgs), (Some(false), Some(3)));
    assert_eq!((path.port_group, path.relative_port), (Some(1), Some(1)));
    let priority = path.priority.as_ref().unwrap();
    assert_eq!(priority.reason, "50 = active/optimized");
    assert_eq!(path.queue_depth, Some(32));
    assert_eq!(path.current, Some(true));
    assert_eq!(path.checker_state, None);
    assert_eq!(inventory.maps[0].groups[1].paths[0].current, Some(false));
}

#[test]
fn port_groups_are_those_of_the_paths() {
    let inventory = inventory_of(&two_paths(), vec![table()]);
    let groups = &inventory.maps[0].port_groups;
    assert_eq!(
        groups.iter().map(|group| group.id).collect::<Vec<_>>(),
        [1, 2]
    );
    assert_eq!(groups[1].state, Some(AccessState::NON_OPTIMIZED));
    assert_eq!(
        (groups[1].preferred, &*groups[1].ports),
        (Some(false), &[2][..])
    );
    assert!(groups[1].supported.is_empty() && groups[1].status.is_none());
}

#[test]
fn a_failed_path_is_not_current_though_its_group_is_active() {
    let mut dm = table();
    dm.status = dm.status.replace("8:0 A 3", "8:0 F 4");
    let inventory = inventory_of(&two_paths(), vec![dm]);
    let group = &inventory.maps[0].groups[0];
    assert_eq!(group.state.as_deref(), Some("active"));
    assert_eq!(
        (group.priority, group.paths[0].current),
        (Some(0), Some(false))
    );
    assert_eq!(group.paths[0].dm_state.as_deref(), Some("failed"));
}

/// Its handler files one unit's state for all of a controller's.
#[test]
fn a_state_under_the_rdac_handler_is_not_believed() {
    let tree = two_paths();
    for hctl in ["0:0:0:0", "1:0:0:0"] {
        tree.device(hctl, &[("dh_state", b"rdac\n")]);
    }
    let inventory = inventory_of(&tree, vec![table()]);
    let path = &inventory.maps[0].groups[0].paths[0];
    assert_eq!(
        (&path.access, &path.priority, path.preferred),
        (&None, &None, None)
    );
    assert_eq!(inventory.maps[0].groups[0].priority, None);
    assert!(inventory.notes[0].contains("2 paths"), "{inventory:?}");
    tree.device("0:0:0:0", &[("dh_state", b"emc\n")]);
    let inventory = inventory_of(&tree, vec![table()]);
    assert_eq!(inventory.maps[0].groups[0].paths[0].access, None);
}

#[test]
fn a_path_that_is_gone_stays_in_its_map() {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    let inventory = inventory_of(&tree, vec![table()]);
    let gone = &inventory.maps[0].groups[1].paths[0];
    assert_eq!((&*gone.address, gone.devno.as_deref()), ("", Some("8:16")));
    assert_eq!(gone.access, None);
    assert!(
        inventory.notes[0].contains("mpatha: path 8:16"),
        "{inventory:?}"
    );
}

#[test]
fn disks_without_a_map_stand_apart_unless_maps_are_named() {
    let tree = two_paths();
    tree.alua("2:0:0:0", "sdc", "8:32", 1, "standby");
    let inventory = inventory_of(&tree, vec![table()]);
    assert_eq!(inventory.unmapped.len(), 1);
    let path = &inventory.unmapped[0];
    assert_eq!(
        (&*path.address, &path.dm_state, path.current),
        ("2:0:0:0", &None, None)
    );
    assert_eq!(path.priority.as_ref().unwrap().value, 1);
    let named = read(&tree.root(), &vec![table()], &["dm-0".to_owned()]).unwrap();
    assert_eq!((named.maps.len(), named.unmapped.len()), (1, 0));
    assert!(read(&tree.root(), &vec![table()], &["x".to_owned()]).is_err());
}

#[test]
fn a_port_group_whose_paths_differ_has_no_state() {
    let tree = two_paths();
    tree.device(
        "1:0:0:0",
        &[("vpd_pg83", &super::super::fixture::page83(1))],
    );
    let inventory = inventory_of(&tree, vec![table()]);
    let map = &inventory.maps[0];
    assert_eq!((map.port_groups.len(), map.port_groups[0].state), (1, None));
    assert_eq!(map.disagreements[0].about, "access state of port group 1");
}

/// As a kernel since 6.12 says it, until the array was asked.
#[test]
fn every_port_group_optimized_is_doubted() {
    let tree = two_paths();
    assert_eq!(
        doubts(&inventory_of(&tree, vec![table()])),
        Vec::<String>::new()
    );
    tree.device("1:0:0:0", &[("access_state", b"active/optimized\n")]);
    let mut inventory = inventory_of(&tree, vec![table()]);
    assert!(
        inventory.notes[0].contains("mpatha: sysfs says"),
        "{inventory:?}"
    );
    inventory.maps[0].port_groups[1].source = AccessSource::Array;
    assert_eq!(doubts(&inventory), Vec::<String>::new());
}
