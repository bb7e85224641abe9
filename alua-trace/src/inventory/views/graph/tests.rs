//! Which boxes and lines an inventory becomes; and inventories for the tests of the pictures.

use super::*;
use crate::inventory::model::{Access, AccessSource, Iscsi, Rdac, Transport};
use crate::scsi::AccessState;

fn path(nth: u32, host: u32, group: u16, state: AccessState) -> Path {
    Path {
        address: format!("{host}:0:{group}:0"),
        device: Some(format!(
            "sd{}",
            char::from(b'a' + u8::try_from(nth).unwrap())
        )),
        access: Some(Access {
            state,
            source: AccessSource::Sysfs,
            age_ms: None,
        }),
        port_group: Some(group),
        relative_port: Some(u16::try_from(nth % 2 + 1).unwrap()),
        transport: Some(Transport::Iscsi(Iscsi {
            local_address: Some(format!("10.0.{host}.1")),
            interface: Some(format!("eth{host}")),
            portal: Some(format!("10.0.{host}.2:3260")),
            ..Iscsi::default()
        })),
        ..Path::default()
    }
}

/// Two host ports, two groups; the first path is current, the last one has failed.
pub(in crate::inventory::views) fn four_paths() -> Inventory {
    let (ao, an) = (AccessState::OPTIMIZED, AccessState::NON_OPTIMIZED);
    let mut paths = [
        path(0, 0, 1, ao),
        path(1, 1, 1, ao),
        path(2, 1, 2, an),
        path(3, 1, 2, an),
    ];
    paths[0].current = Some(true);
    paths[1].current = Some(false);
    paths[3].dm_state = Some("failed".to_owned());
    paths[3].current = Some(true);
    let [a, b, c, d] = paths;
    let group = |number, paths| PathGroup {
        number,
        paths,
        ..PathGroup::default()
    };
    let map = Map {
        name: "mpatha".to_owned(),
        dm: Some("dm-0".to_owned()),
        vendor: Some("LIO-ORG".to_owned()),
        product: Some("disk".to_owned()),
        size_bytes: Some(3 << 39),
        handler: Some("alua".to_owned()),
        groups: vec![group(1, vec![a, b]), group(2, vec![c, d])],
        ..Map::default()
    };
    Inventory {
        maps: vec![map],
        ..Inventory::default()
    }
}

/// Four disks of two units that are in no map, of an RDAC array.
pub(in crate::inventory::views) fn disks() -> Vec<Path> {
    let disk = |address: &str, owned| Path {
        address: address.to_owned(),
        rdac: Some(Rdac {
            mode: Some("IOSHIP".to_owned()),
            owned,
            ..Rdac::default()
        }),
        ..Path::default()
    };
    vec![
        disk("8:0:0:1", Some(true)),
        disk("9:0:0:0", Some(false)),
        disk("9:0:0:1", Some(false)),
        disk("10:0:0:0", None),
    ]
}

pub(in crate::inventory::views) fn hostile() -> Inventory {
    let mut inventory = four_paths();
    let name = "a\"b\x1b&mpath;<script>'\u{ffff}".to_owned();
    let map = &mut inventory.maps[0];
    map.name.clone_from(&name);
    map.wwid = Some(name.clone());
    map.product = Some(name.clone());
    let path = &mut map.groups[0].paths[0];
    path.device = Some(name.clone());
    path.address = format!("{name}:{name}");
    path.transport = Some(Transport::Fc {
        local_port: Some(name.clone()),
        remote_port: Some(name),
        speed: None,
        state: None,
    });
    inventory
}

#[test]
fn paths_lead_from_host_ports_to_ports_of_groups() {
    let units = units(&four_paths());
    let unit = &units[0];
    assert_eq!(
        (unit.title.as_str(), unit.network),
        ("mpatha  dm-0", "IP network")
    );
    let hosts: Vec<_> = unit
        .host_ports
        .iter()
        .map(|port| (port.name.as_str(), port.detail.as_deref().unwrap()))
        .collect();
    assert_eq!(
        hosts,
        [("host 0", "10.0.0.1 eth0"), ("host 1", "10.0.1.1 eth1")]
    );
    let groups: Vec<_> = unit
        .port_groups
        .iter()
        .map(|group| {
            (
                group.name.as_str(),
                group.state.as_str(),
                group.stroke,
                group.ports.len(),
            )
        })
        .collect();
    assert_eq!(
        groups,
        [
            ("port group 1", "active/optimized", Stroke::Solid, 2),
            ("port group 2", "active/non-optimized", Stroke::Dashed, 2),
        ]
    );
    let lines: Vec<_> = unit
        .paths
        .iter()
        .map(|line| (line.from, line.to, line.stroke, line.current))
        .collect();
    assert_eq!(
        lines,
        [
            (0, (0, 0), Stroke::Solid, true),
            (1, (0, 1), Stroke::Solid, false),
            (1, (1, 0), Stroke::Dashed, false),
            (1, (1, 1), Stroke::Failed, false),
        ]
    );
}

#[test]
fn disks_in_no_map_are_drawn_by_unit() {
    let inventory = Inventory {
        unmapped: disks(),
        ..Inventory::default()
    };
    let units = units(&inventory);
    let titles: Vec<_> = units
        .iter()
        .map(|unit| (unit.title.as_str(), unit.paths.len()))
        .collect();
    assert_eq!(
        titles,
        [("not in a map: LUN 1", 2), ("not in a map: LUN 0", 2)]
    );
    let names: Vec<_> = units[0]
        .port_groups
        .iter()
        .map(|group| (group.name.as_str(), group.stroke))
        .collect();
    assert_eq!(
        names,
        [
            ("owning controller", Stroke::Solid),
            ("other controller", Stroke::Dashed)
        ]
    );
    assert_eq!(units[1].port_groups[1].name, "port group unknown");
    assert_eq!(
        (units[1].paths[1].state, units[1].paths[1].stroke),
        ("?", Stroke::Dotted)
    );
}

#[test]
fn groups_that_no_path_leads_to_are_drawn_with_their_state() {
    let mut inventory = four_paths();
    let standby = Some(AccessState::STANDBY);
    inventory.maps[0].port_groups = vec![PortGroup {
        id: 7,
        state: standby,
        preferred: Some(true),
        supported: Vec::new(),
        status: None,
        ports: Vec::new(),
        source: AccessSource::Printed,
    }];
    let units = units(&inventory);
    let group = &units[0].port_groups[2];
    assert_eq!(
        (group.name.as_str(), group.state.as_str(), group.preferred),
        ("port group 7", "standby", true)
    );
    assert_eq!(group.stroke, Stroke::Dotted);
}

#[test]
fn sizes_are_short() {
    for (bytes, words) in [
        (0, "0 B"),
        (1023, "1023 B"),
        (64 << 20, "64 MiB"),
        (3 << 39, "1.5 TiB"),
        (u64::MAX, "15.9 EiB"),
    ] {
        assert_eq!(size(bytes), words);
    }
}
