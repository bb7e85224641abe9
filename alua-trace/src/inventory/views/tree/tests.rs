//! Tests of [`super`].

use super::*;
use crate::inventory::model::{Disagreement, Priority, Rdac};
use crate::scsi::AccessState;

fn path(address: &str) -> Path {
    Path {
        address: address.to_owned(),
        device: Some("sda".to_owned()),
        devno: Some("8:0".to_owned()),
        dm_state: Some("active".to_owned()),
        dm_failures: Some(0),
        device_state: Some("running".to_owned()),
        handler: Some("alua".to_owned()),
        access: Some(Access {
            state: AccessState::OPTIMIZED,
            source: AccessSource::Sysfs,
            age_ms: None,
        }),
        preferred: Some(false),
        port_group: Some(1),
        relative_port: Some(2),
        tpgs: Some(3),
        priority: Some(Priority {
            value: 50,
            reason: "50 = active/optimized".to_owned(),
            prioritizer: Some("sysfs".to_owned()),
        }),
        queue_depth: Some(32),
        current: Some(true),
        ..Path::default()
    }
}

fn group(number: u32, paths: Vec<Path>) -> PathGroup {
    PathGroup {
        number,
        selector: Some("service-time 0".to_owned()),
        state: Some("active".to_owned()),
        priority: Some(50),
        paths,
    }
}

fn map() -> Map {
    let mut other = path("10:0:0:1");
    (other.current, other.dm_failures) = (Some(false), Some(2));
    Map {
        name: "mpatha".to_owned(),
        dm: Some("dm-0".to_owned()),
        devno: Some("254:0".to_owned()),
        wwid: Some("36001405".to_owned()),
        vendor: Some("LIO-ORG".to_owned()),
        product: Some("lun0".to_owned()),
        revision: Some("4.0".to_owned()),
        serial: None,
        size_bytes: Some(64 << 20),
        features: Some(String::new()),
        handler: Some("alua".to_owned()),
        read_only: Some(false),
        bio_based: Some(false),
        groups: vec![
            group(1, vec![path("0:0:0:0"), other]),
            group(2, vec![Path::default()]),
        ],
        ..Map::default()
    }
}

fn inventory(map: Map) -> Inventory {
    Inventory {
        maps: vec![map],
        ..Inventory::default()
    }
}

const EXPECTED: &str = "\
mpatha (36001405) dm-0 254:0
  LIO-ORG lun0 4.0, 64 MiB, read-write, no features, handler alua, request-based
|-+- group 1: active, priority 50, selector service-time 0
| |- * 0:0:0:0  sda 8:0 active             running active/optimized (sysfs)
| |    port group 1, port 2, not preferred, TPGS 3 (implicit and explicit), handler alua,
| |    priority 50 = active/optimized (sysfs), queue depth 32
| `-   10:0:0:1 sda 8:0 active (failed 2x) running active/optimized (sysfs)
|      port group 1, port 2, not preferred, TPGS 3 (implicit and explicit), handler alua,
|      priority 50 = active/optimized (sysfs), queue depth 32
`-+- group 2: active, priority 50, selector service-time 0
  `-   –        –   –   –                  –       –
not known of the maps: serial number; of the paths: access state (1 of 3), port group (1 of 3), port
  (1 of 3), preference (1 of 3), TPGS (1 of 3), handler (1 of 3), priority (1 of 3), queue depth (1
  of 3), transport
";

#[test]
fn a_map_is_a_tree_of_groups_and_paths() {
    let text = render(&inventory(map()), 100);
    assert_eq!(text, EXPECTED);
}

#[test]
fn lines_fit_the_terminal() {
    let mut inventory = inventory(map());
    inventory.notes.push("word ".repeat(60));
    for columns in [60, 80, 132] {
        let text = render(&inventory, columns);
        for line in text.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line:?}");
        }
        assert!(!text.lines().any(|line| line.ends_with(' ')), "{text}");
    }
}

#[test]
fn what_the_array_says_is_told_with_its_source() {
    let mut map = map();
    map.port_groups.push(PortGroup {
        id: 1,
        state: Some(AccessState::STANDBY),
        preferred: Some(true),
        supported: vec![AccessState::OPTIMIZED, AccessState::STANDBY],
        status: Some("state changed last by the array itself (implicitly)".to_owned()),
        ports: vec![1, 3],
        source: AccessSource::Array,
    });
    map.disagreements.push(Disagreement {
        about: "access state of 0:0:0:0".to_owned(),
        claims: vec![
            ("array".to_owned(), "standby".to_owned()),
            ("sysfs".to_owned(), "active/optimized".to_owned()),
        ],
    });
    let first = &mut map.groups[0].paths[0];
    first.access.as_mut().unwrap().source = AccessSource::Array;
    first.access.as_mut().unwrap().age_ms = Some(3);
    first.rdac = Some(Rdac {
        mode: Some("IOSHIP".to_owned()),
        owned: Some(false),
        controller: Some('B'),
        ..Rdac::default()
    });
    let text = render(&inventory(map), 200);
    let expected = [
        "  port group 1: standby (array), preferred, ports 1 3, supports AO SB, state changed last \
         by the array itself (implicitly)\n",
        "  ! access state of 0:0:0:0: array says standby, sysfs says active/optimized\n",
        "active/optimized (array, 3 ms ago)\n",
        "controller B, mode IOSHIP, not the owner",
    ];
    for expected in expected {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn nothing_reaches_the_terminal_raw() {
    let mut map = map();
    let evil = "\x1b[2J\u{202e}".to_owned();
    map.name.clone_from(&evil);
    map.vendor = Some(evil.clone());
    map.features = Some(evil.clone());
    map.groups[0].selector = Some(evil.clone());
    map.groups[0].paths[0].device = Some(evil.clone());
    map.groups[0].paths[0].device_state = Some(evil.clone());
    let mut inventory = inventory(map);
    inventory.notes.push(evil.clone());
    inventory.unmapped.push(Path {
        wwid: Some(evil),
        ..Path::default()
    });
    let text = render(&inventory, 100);
    assert!(
        !text.contains('\x1b') && !text.contains('\u{202e}'),
        "{text:?}"
    );
    assert!(text.contains("disks without a map\n"));
}

#[test]
fn an_empty_host_is_said_to_be_empty() {
    let mut inventory = Inventory::default();
    inventory.notes.push("scsi_mod is not loaded".to_owned());
    let text = render(&inventory, 100);
    assert_eq!(
        text,
        "no multipath map and no SCSI disk\nnote: scsi_mod is not loaded\n"
    );
}

#[test]
fn sizes_have_the_unit_that_fits() {
    let sizes = [512, 64 << 20, 3 << 29, 100 << 30, u64::MAX].map(size);
    assert_eq!(
        sizes,
        ["512 bytes", "64 MiB", "1.5 GiB", "100 GiB", "15.9 EiB"]
    );
}
