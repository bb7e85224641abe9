//! Owns the inventory as `esxcli storage nmp device list` prints it: its fields, of a Linux host.
//!
//! What an ESXi host told is repeated. Of a Linux host, the device handler stands for the storage
//! array type, the path selector for the path selection policy; what only multipathd's
//! configuration knows (follow-over) is `unknown`.

use std::fmt::Write as _;

use crate::inventory::model::{Inventory, Map, Nmp, Path, PortGroup, Transport};
use crate::safe::{name, sentence};
use crate::scsi::AccessState;

const UNKNOWN: &str = "unknown";

pub(super) fn render(inventory: &Inventory) -> String {
    let blocks: Vec<String> = inventory.maps.iter().map(block).collect();
    blocks.join("\n")
}

fn block(map: &Map) -> String {
    let fields = match &map.nmp {
        Some(nmp) => as_told(map, nmp),
        None => of_map(map),
    };
    let mut out = format!("{}\n", identity(map));
    for (label, value) in fields {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "   {}", format!("{label}: {value}").trim_end());
    }
    out
}

/// What an ESXi host told, and nothing else.
fn as_told(map: &Map, nmp: &Nmp) -> Vec<(String, String)> {
    let field = |label: &str, value: Option<String>| Some((label.to_owned(), value?));
    let raw = |value: &Option<String>| value.as_deref().map(sentence);
    let known = [
        field("Device Display Name", Some(display_name(map))),
        field("Storage Array Type", raw(&nmp.array_type)),
        field("Storage Array Type Device Config", raw(&nmp.array_config)),
        field("Path Selection Policy", raw(&nmp.selection_policy)),
        field("Path Selection Policy Device Config", raw(&nmp.path_config)),
    ];
    let (before, after): (Vec<_>, Vec<_>) = nmp
        .other
        .iter()
        .map(|(key, value)| (sentence(key), sentence(value)))
        .partition(|(key, _)| key.starts_with("Path Selection Policy"));
    let working = field(
        "Working Paths",
        (!nmp.working_paths.is_empty()).then(|| working(nmp)),
    );
    known
        .into_iter()
        .flatten()
        .chain(before)
        .chain(working)
        .chain(after)
        .collect()
}

/// The same fields of a Linux host.
fn of_map(map: &Map) -> Vec<(String, String)> {
    let nmp = of_linux(map);
    let is_sas = |path: &Path| matches!(path.transport, Some(Transport::Sas { .. }));
    let local_sas = match map.paths().any(is_sas) {
        true => "true",
        false if map.paths().all(|path| path.transport.is_some()) => "false",
        false => UNKNOWN,
    };
    let fields = [
        ("Device Display Name", display_name(map)),
        ("Storage Array Type", or_unknown(nmp.array_type.as_deref())),
        ("Storage Array Type Device Config", array_config(map, &nmp)),
        (
            "Path Selection Policy",
            or_unknown(nmp.selection_policy.as_deref()),
        ),
        (
            "Path Selection Policy Device Config",
            format!(
                "{{preferred={};current={}}}",
                or_unknown(nmp.preferred_path.as_deref()),
                or_unknown(nmp.current_path.as_deref())
            ),
        ),
        ("Path Selection Policy Device Custom Config", String::new()),
        ("Working Paths", working(&nmp)),
        ("Is Local SAS Device", local_sas.to_owned()),
    ];
    fields
        .map(|(label, value)| (label.to_owned(), value))
        .into()
}

/// The kernel's name of the unit; without one, the map's.
fn identity(map: &Map) -> String {
    let wwid = map.paths().find_map(|path| path.wwid.as_deref());
    name(wwid.or(map.wwid.as_deref()).unwrap_or(&map.name))
}

fn display_name(map: &Map) -> String {
    if map.nmp.is_some() {
        return sentence(&map.name);
    }
    let model = [&map.vendor, &map.product];
    let mut words: Vec<String> = model.into_iter().flatten().map(|word| name(word)).collect();
    words.push(format!("({})", name(&map.name)));
    words.join(" ")
}

fn or_unknown(value: Option<&str>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), sentence)
}

/// What follows from what is known of the map.
fn of_linux(map: &Map) -> Nmp {
    let tpgs = map.paths().find_map(|path| path.tpgs);
    let attached = map.paths().find_map(|path| path.handler.clone());
    let handler = attached.or_else(|| map.handler.clone());
    let active = map
        .groups
        .iter()
        .find(|group| group.state.as_deref() == Some("active"));
    let selector = active
        .or(map.groups.first())
        .and_then(|group| group.selector.clone());
    let explicit = tpgs.map(|tpgs| tpgs & 2 != 0);
    Nmp {
        // The alua handler sends SET TARGET PORT GROUPS wherever the array takes it.
        explicit_allow: explicit.map(|explicit| explicit && handler.as_deref() == Some("alua")),
        implicit_support: tpgs.map(|tpgs| tpgs & 1 != 0),
        explicit_support: explicit,
        alua_followover: None,
        array_type: handler.map(|handler| match handler.as_str() {
            "" => "none".to_owned(),
            _ => handler,
        }),
        selection_policy: selector,
        preferred_path: listed(map, |path| path.preferred),
        current_path: listed(map, |path| path.current),
        working_paths: map
            .paths()
            .filter(|path| path.dm_state.as_deref() == Some("active"))
            .map(|path| path.address.clone())
            .collect(),
        ..Nmp::default()
    }
}

/// The paths of which it is true; `None` if it is true of none, and unknown of some.
fn listed(map: &Map, of: impl Fn(&Path) -> Option<bool>) -> Option<String> {
    let addresses: Vec<&str> = map
        .paths()
        .filter(|path| of(path) == Some(true))
        .map(|path| path.address.as_str())
        .collect();
    if !addresses.is_empty() {
        return Some(addresses.join(","));
    }
    map.paths()
        .all(|path| of(path).is_some())
        .then(|| "none".to_owned())
}

fn array_config(map: &Map, nmp: &Nmp) -> String {
    let mut text = format!(
        "{{implicit_support={};explicit_support={};explicit_allow={};alua_followover={};",
        switch(nmp.implicit_support),
        switch(nmp.explicit_support),
        switch(nmp.explicit_allow),
        switch(nmp.alua_followover),
    );
    for group in &map.port_groups {
        // Writing to a string cannot fail.
        let _ = write!(text, "{{TPG_id={},TPG_state={}}}", group.id, state(group));
    }
    text.push('}');
    text
}

const fn switch(value: Option<bool>) -> &'static str {
    match value {
        Some(true) => "on",
        Some(false) => "off",
        None => UNKNOWN,
    }
}

/// VMware's abbreviations.
fn state(group: &PortGroup) -> &'static str {
    match group.state {
        Some(AccessState::OPTIMIZED) => "AO",
        Some(AccessState::NON_OPTIMIZED) => "ANO",
        Some(AccessState::STANDBY) => "STBY",
        Some(AccessState::UNAVAILABLE) => "UNAVAIL",
        Some(AccessState::LBA_DEPENDENT) => "LBD",
        Some(AccessState::OFFLINE) => "OFFLINE",
        Some(AccessState::TRANSITIONING) => "TRANS",
        _ => UNKNOWN,
    }
}

fn working(nmp: &Nmp) -> String {
    let paths: Vec<String> = nmp.working_paths.iter().map(|path| name(path)).collect();
    paths.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{AccessSource, PathGroup};

    fn path(address: &str, current: bool) -> Path {
        Path {
            address: address.to_owned(),
            wwid: Some("naa.6001".to_owned()),
            dm_state: Some("active".to_owned()),
            handler: Some("alua".to_owned()),
            tpgs: Some(3),
            preferred: Some(current),
            current: Some(current),
            ..Path::default()
        }
    }

    fn port_group(id: u16, state: Option<AccessState>) -> PortGroup {
        PortGroup {
            id,
            state,
            preferred: None,
            supported: Vec::new(),
            status: None,
            ports: Vec::new(),
            source: AccessSource::Sysfs,
        }
    }

    fn map() -> Map {
        let group = |number, state: &str, paths| PathGroup {
            number,
            state: Some(state.to_owned()),
            selector: Some("service-time 0".to_owned()),
            priority: None,
            paths,
        };
        Map {
            name: "mpatha".to_owned(),
            vendor: Some("LIO-ORG".to_owned()),
            product: Some("lun0".to_owned()),
            groups: vec![
                group(1, "active", vec![path("0:0:0:0", true)]),
                group(2, "enabled", vec![path("0:0:1:0", false)]),
            ],
            port_groups: vec![
                port_group(1, Some(AccessState::OPTIMIZED)),
                port_group(2, Some(AccessState::NON_OPTIMIZED)),
            ],
            ..Map::default()
        }
    }

    fn rendered(maps: Vec<Map>) -> String {
        render(&Inventory {
            maps,
            ..Inventory::default()
        })
    }

    #[test]
    fn a_linux_map_has_the_fields_of_esxcli() {
        let expected = "\
naa.6001
   Device Display Name: LIO-ORG lun0 (mpatha)
   Storage Array Type: alua
   Storage Array Type Device Config: {implicit_support=on;explicit_support=on;explicit_allow=on;\
alua_followover=unknown;{TPG_id=1,TPG_state=AO}{TPG_id=2,TPG_state=ANO}}
   Path Selection Policy: service-time 0
   Path Selection Policy Device Config: {preferred=0:0:0:0;current=0:0:0:0}
   Path Selection Policy Device Custom Config:
   Working Paths: 0:0:0:0, 0:0:1:0
   Is Local SAS Device: unknown
";
        assert_eq!(rendered(vec![map()]), expected);
    }

    #[test]
    fn explicit_is_allowed_only_with_a_handler_that_does_it() {
        let mut map = map();
        for path in map.groups.iter_mut().flat_map(|group| &mut group.paths) {
            path.handler = Some(String::new());
            path.tpgs = Some(2);
            (path.preferred, path.current) = (Some(false), None);
        }
        map.port_groups[1].state = None;
        let text = rendered(vec![map.clone(), map]);
        let config = "implicit_support=off;explicit_support=on;explicit_allow=off;";
        assert!(text.contains(config), "{text}");
        assert!(text.contains("Storage Array Type: none\n"), "{text}");
        assert!(text.contains("{preferred=none;current=unknown}"), "{text}");
        assert!(text.contains("{TPG_id=2,TPG_state=unknown}"), "{text}");
        assert!(text.contains("unknown\n\nnaa.6001\n"), "{text}");
    }

    #[test]
    fn what_esxcli_told_is_repeated() {
        let mut map = map();
        map.nmp = Some(Nmp {
            array_type: Some("VMW_SATP_ALUA_CX".to_owned()),
            array_config: Some("{alua_followover=on; {TPG_id=1,TPG_state=AO}}".to_owned()),
            path_config: Some("{current=vmhba2:C0:T2:L100\x1b}".to_owned()),
            other: vec![("Is USB".to_owned(), "false".to_owned())],
            ..Nmp::default()
        });
        let expected = "naa.6001
   Device Display Name: mpatha
   Storage Array Type: VMW_SATP_ALUA_CX
   Storage Array Type Device Config: {alua_followover=on; {TPG_id=1,TPG_state=AO}}
   Path Selection Policy Device Config: {current=vmhba2:C0:T2:L100\\x1b}
   Is USB: false
";
        assert_eq!(rendered(vec![map]), expected);
    }
}
