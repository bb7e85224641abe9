//! Tests of [`super`] with a fake array.

use super::fake::{Array, groups, list};
use super::*;
use crate::inventory::model::AccessSource;
use crate::paths::fixture::{Tree, inquiry, page83, table};
use crate::paths::gather;
use crate::scsi::AccessState;

/// Two paths of two port groups, as the kernel sees them.
fn host() -> (Inventory, Topology) {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    tree.alua("1:0:0:0", "sdb", "8:16", 2, "active/non-optimized");
    gather(&tree.root(), &vec![table()], &[]).unwrap()
}

fn alua_array(states: [u8; 2]) -> Array {
    let array = Array::default();
    array.groups(&groups(states), true);
    for (address, group) in [("0:0:0:0", 1), ("1:0:0:0", 2)] {
        array.inquiry(address, &inquiry());
        array.page(address, &list(&[0, 0x80, 0x83]));
        array.page(address, b"\0\x80\0\x056d4ae");
        array.page(address, &page83(group));
    }
    array
}

fn refresh(inventory: &mut Inventory, topology: &Topology, array: &Array) {
    let array = array.clone();
    ask_all(inventory, topology, &move |path: &Path| {
        Ok(array.channel(&path.address))
    });
}

#[test]
fn what_array_and_kernel_agree_on_gets_the_arrays_word() {
    let (mut inventory, topology) = host();
    let array = alua_array([0x80, 0x01]);
    refresh(&mut inventory, &topology, &array);
    let map = &inventory.maps[0];
    let path = &map.groups[0].paths[0];
    let access = path.access.as_ref().unwrap();
    assert_eq!(
        (access.state, access.source),
        (AccessState::OPTIMIZED, AccessSource::Array)
    );
    assert!(access.age_ms.is_some_and(|age| age < 60_000));
    assert_eq!(
        path.priority.as_ref().unwrap().prioritizer.as_deref(),
        Some("alua")
    );
    let group = &map.port_groups[0];
    assert_eq!((group.id, group.source), (1, AccessSource::Array));
    assert_eq!((group.supported.len(), &*group.ports), (4, &[1][..]));
    assert!(group.status.as_ref().unwrap().contains("implicitly"));
    let [disagreement] = map.disagreements.as_slice() else {
        panic!("{:?}", map.disagreements)
    };
    assert_eq!(disagreement.about, "preference of 0:0:0:0");
    assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
}

#[test]
fn each_port_group_is_asked_through_one_path_and_nothing_else_is_sent() {
    let (mut inventory, topology) = host();
    let array = alua_array([0, 1]);
    refresh(&mut inventory, &topology, &array);
    let sent = array.sent();
    for address in ["0:0:0:0", "1:0:0:0"] {
        let commands: Vec<String> = sent
            .iter()
            .filter(|(other, _)| other == address)
            .map(|(_, command)| command.to_string())
            .collect();
        let expected = [
            "INQUIRY",
            "REPORT TARGET PORT GROUPS",
            "INQUIRY of page 00h",
            "INQUIRY of page 80h",
            "INQUIRY of page 83h",
        ];
        assert_eq!(commands, expected);
    }
    assert_eq!(sent.len(), 10);
}

#[test]
fn a_state_of_which_the_kernel_has_not_heard_is_a_disagreement() {
    let (mut inventory, topology) = host();
    let array = alua_array([1, 0]);
    array.attentions(1);
    refresh(&mut inventory, &topology, &array);
    let map = &inventory.maps[0];
    let found = &map.disagreements[0];
    assert_eq!(found.about, "access state of 0:0:0:0");
    let claims: Vec<(&str, &str)> = found.claims.iter().map(|(a, b)| (&**a, &**b)).collect();
    let expected = [
        ("array", "active/non-optimized"),
        ("sysfs", "active/optimized"),
    ];
    assert_eq!(claims, expected);
    assert_eq!(map.disagreements.len(), 2);
    assert_eq!(
        (map.groups[0].priority, map.groups[1].priority),
        (Some(10), Some(50))
    );
}

#[test]
fn a_path_that_leads_to_another_unit_is_found_out() {
    let (mut inventory, topology) = host();
    let array = alua_array([0, 1]);
    let mut other = page83(3);
    other[23] = 9;
    array.page("0:0:0:0", &other);
    refresh(&mut inventory, &topology, &array);
    let abouts: Vec<&str> = inventory.maps[0]
        .disagreements
        .iter()
        .map(|found| found.about.as_str())
        .collect();
    let expected = [
        "unit of 0:0:0:0",
        "port group of 0:0:0:0",
        "relative port of 0:0:0:0",
    ];
    assert_eq!(abouts, expected);
}

/// Such an array says TPGS 0.
fn rdac_inquiry() -> Vec<u8> {
    let mut data = inquiry();
    data[5] = 0;
    data
}

/// The pages of one RDAC controller.
fn rdac_pages(array: &Array, address: &str, controller: u8, vac: &[u8]) {
    let mut subs = b"\0\xc4\0\x1csubs".to_vec();
    subs.resize(32, b' ');
    subs[28..30].copy_from_slice(&[b'0', controller]);
    array.inquiry(address, &rdac_inquiry());
    array.page(address, &list(&[0, 0xc4, 0xc9]));
    array.page(address, &subs);
    array.page(address, vac);
}

#[test]
fn an_rdac_path_is_told_by_its_own_controller() {
    let tree = Tree::new();
    for (hctl, name, devno) in [("0:0:0:0", "sda", "8:0"), ("1:0:0:0", "sdb", "8:16")] {
        tree.alua(hctl, name, devno, 1, "active/optimized");
        let state: &[u8] = b"active/optimized";
        // No designator of a port group: each path stands for itself.
        let page: &[u8] = &[0, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 1];
        tree.device(
            hctl,
            &[
                ("dh_state", b"rdac"),
                ("access_state", state),
                ("vpd_pg83", page),
            ],
        );
    }
    tree.device(
        "0:0:0:0",
        &[("preferred_path", b"1"), ("inquiry", &rdac_inquiry())],
    );
    tree.device("1:0:0:0", &[("inquiry", &rdac_inquiry())]);
    let (mut inventory, topology) = gather(&tree.root(), &vec![table()], &[]).unwrap();
    let array = Array::default();
    rdac_pages(
        &array,
        "0:0:0:0",
        b'1',
        b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01",
    );
    rdac_pages(
        &array,
        "1:0:0:0",
        b'2',
        b"\0\xc9\0\x2cvac1\x70\x02\x02\x01\x00\x01",
    );
    refresh(&mut inventory, &topology, &array);
    let map = &inventory.maps[0];
    let (owner, other) = (&map.groups[0].paths[0], &map.groups[1].paths[0]);
    let rdac = owner.rdac.as_ref().unwrap();
    assert_eq!(
        (rdac.mode.as_deref(), rdac.owned),
        (Some("IOSHIP"), Some(true))
    );
    assert_eq!(
        (rdac.controller, rdac.slot.as_deref()),
        (Some('A'), Some("3031"))
    );
    assert_eq!(owner.priority.as_ref().unwrap().value, 14);
    assert_eq!(owner.preferred, Some(true));
    assert_eq!(other.rdac.as_ref().unwrap().controller, Some('B'));
    assert_eq!(
        other.priority.as_ref().unwrap().reason,
        "9 = 1 secondary + 8 IOSHIP"
    );
    assert_eq!(other.access.as_ref().unwrap().state, AccessState::STANDBY);
    let about = &map.disagreements[0].about;
    assert_eq!(about, "access state of 1:0:0:0", "stale in sysfs");
    assert_eq!(
        (map.groups[0].priority, map.groups[1].priority),
        (Some(14), Some(9))
    );
}

#[test]
fn what_cannot_be_asked_is_a_note_and_stays_as_it_was() {
    let (mut inventory, topology) = host();
    let before = inventory.maps.clone();
    ask_all(&mut inventory, &topology, &|_: &Path| {
        Err(io::ErrorKind::PermissionDenied.into())
    });
    assert_eq!(inventory.maps, before);
    let [note] = inventory.notes.as_slice() else {
        panic!("{:?}", inventory.notes)
    };
    let who = "0:0:0:0 (sda) and 1 more: not asked";
    assert!(
        note.starts_with(who) && note.ends_with("needs root"),
        "{note}"
    );
    let array = alua_array([0, 1]);
    array.breaks(io::ErrorKind::TimedOut);
    refresh(&mut inventory, &topology, &array);
    assert_eq!(inventory.maps, before);
    assert!(
        inventory.notes[1].contains("INQUIRY: "),
        "{:?}",
        inventory.notes
    );
}

#[test]
fn broken_answers_are_said_and_unknown() {
    let (mut inventory, topology) = host();
    let array = alua_array([0, 1]);
    array.page("0:0:0:0", b"\0\x83\0\x40\x01\x03\0\x10\x60");
    array.groups(&groups([0, 1])[..20], true);
    refresh(&mut inventory, &topology, &array);
    let path = &inventory.maps[0].groups[0].paths[0];
    assert_eq!(
        path.wwid.as_deref(),
        Some("naa.60014005000000000000000000000001")
    );
    assert!(
        inventory
            .notes
            .iter()
            .any(|note| note.contains("ends before its end"))
    );
    assert!(
        inventory
            .notes
            .iter()
            .any(|note| note.contains("not understood"))
    );
}

#[test]
fn a_port_group_without_a_running_device_is_not_asked() {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    tree.alua("1:0:0:0", "sdb", "8:16", 2, "standby");
    tree.device("1:0:0:0", &[("state", b"offline")]);
    let (mut inventory, topology) = gather(&tree.root(), &vec![table()], &[]).unwrap();
    let array = alua_array([0, 3]);
    refresh(&mut inventory, &topology, &array);
    assert!(array.sent().iter().all(|(address, _)| address == "0:0:0:0"));
    assert!(inventory.notes[0].contains("port group 2 was not asked"));
    // The other group's answer tells of it all the same.
    let access = inventory.maps[0].groups[1].paths[0]
        .access
        .as_ref()
        .unwrap();
    assert_eq!(access.state, AccessState::UNAVAILABLE);
    let abouts: Vec<&str> = inventory.maps[0]
        .disagreements
        .iter()
        .map(|found| found.about.as_str())
        .collect();
    assert!(abouts.contains(&"path 1:0:0:0"), "{abouts:?}");
}

#[test]
fn disks_without_a_map_are_asked_as_well() {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    let (mut inventory, topology) = gather(&tree.root(), &Vec::new(), &[]).unwrap();
    let array = alua_array([2, 1]);
    refresh(&mut inventory, &topology, &array);
    let access = inventory.unmapped[0].access.as_ref().unwrap();
    assert_eq!(access.state, AccessState::STANDBY);
    let expected = "access state of 0:0:0:0: array says standby, sysfs says active/optimized";
    assert_eq!(inventory.notes, [expected]);
}

fn abouts(map: &Map) -> Vec<&str> {
    map.disagreements
        .iter()
        .map(|found| found.about.as_str())
        .collect()
}

/// A controller that boots may not know of the other's states.
#[test]
fn a_path_has_the_state_that_its_own_port_group_tells() {
    let (mut inventory, topology) = host();
    let array = alua_array([0, 1]);
    array.groups_through("1:0:0:0", &groups([0, 15]));
    refresh(&mut inventory, &topology, &array);
    let map = &inventory.maps[0];
    let access = map.groups[1].paths[0].access.as_ref().unwrap();
    assert_eq!(access.state, AccessState::TRANSITIONING);
    assert_eq!(
        map.port_groups[1].state,
        Some(AccessState::NON_OPTIMIZED),
        "who was asked first"
    );
    let found = map.disagreements.last().unwrap();
    assert_eq!(found.about, "access state of port group 2");
    assert_eq!(found.claims[0].0, "array through 0:0:0:0");
    assert_eq!(found.claims[1].1, "transitioning");
}

/// Only through the path itself it is certain that it works.
#[test]
fn a_failed_path_contradicts_the_array_only_if_it_answers() {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    tree.alua("1:0:0:0", "sdb", "8:16", 1, "active/optimized");
    let mut dm = table();
    dm.status = dm.status.replace("8:16 A", "8:16 F");
    let (mut inventory, topology) = gather(&tree.root(), &vec![dm], &[]).unwrap();
    let array = alua_array([0, 1]);
    refresh(&mut inventory, &topology, &array);
    assert!(array.sent().iter().all(|(address, _)| address == "0:0:0:0"));
    assert_eq!(abouts(&inventory.maps[0]), Vec::<&str>::new());
    let mut dm = table();
    dm.status = dm
        .status
        .replace("8:0 A", "8:0 F")
        .replace("8:16 A", "8:16 F");
    let (mut inventory, topology) = gather(&tree.root(), &vec![dm], &[]).unwrap();
    refresh(&mut inventory, &topology, &array);
    assert_eq!(abouts(&inventory.maps[0]), ["path 0:0:0:0"]);
}

/// Newer RDAC arrays report port groups as well.
#[test]
fn the_rdac_prioritizer_stays_under_the_rdac_handler() {
    let tree = Tree::new();
    tree.alua("0:0:0:0", "sda", "8:0", 1, "active/optimized");
    tree.device("0:0:0:0", &[("dh_state", b"rdac")]);
    let array = alua_array([1, 0]);
    array.page("0:0:0:0", &list(&[0, 0xc9]));
    array.page("0:0:0:0", b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01");
    let priority = |tree: &Tree| {
        let (mut inventory, topology) = gather(&tree.root(), &vec![table()], &[]).unwrap();
        refresh(&mut inventory, &topology, &array);
        let path = &inventory.maps[0].groups[0].paths[0];
        let state = path.access.as_ref().unwrap().state;
        assert_eq!(state, AccessState::NON_OPTIMIZED, "the port group's");
        path.priority.as_ref().unwrap().reason.clone()
    };
    assert_eq!(priority(&tree), "14 = 2 owned + 4 preferred + 8 IOSHIP");
    tree.device("0:0:0:0", &[("dh_state", b"alua")]);
    assert_eq!(priority(&tree), "10 = active/non-optimized");
}
