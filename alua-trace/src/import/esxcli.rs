//! Owns the reading of `esxcli storage nmp device list` (and of its older `esxcli nmp device list`).

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{
    Access, AccessSource, Inventory, Iscsi, Map, Nmp, Path, PathGroup, PortGroup, Transport,
};
use crate::scsi::AccessState;

/// Most port groups of one device, as an RTPG answer has room for about as many.
const MAX_PORT_GROUPS: usize = 256;

/// Most fields of one device that the model does not have: ESXi 8 prints half a dozen.
const MAX_OTHER: usize = 32;

/// The devices in `text`, each as a map.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut room = Room::new(text);
    let mut maps: Vec<Map> = Vec::new();
    let mut name = None;
    let mut other = Leftover::default();
    for (nth, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let Some((key, value)) = field(trimmed) else {
            if is_device(trimmed) {
                name = Some(trimmed.trim_end_matches(':'));
            } else {
                other.add(nth, line);
            }
            continue;
        };
        if let Some(name) = name.take_if(|_| room.take_map()) {
            push(&mut maps, new_device(name));
        }
        let understood = maps
            .last_mut()
            .filter(|_| name.is_none())
            .is_some_and(|map| set(map, &mut room, key, value));
        if !understood {
            other.add(nth, line);
        }
    }
    ensure!(!maps.is_empty(), "there is no device in it");
    maps.iter_mut().for_each(complete);
    let notes = other.note("not understood");
    Ok(Inventory {
        maps,
        notes: notes.into_iter().collect(),
        ..Inventory::default()
    })
}

/// `Working Paths: vmhba2:C0:T2:L100`.
fn field(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once(':')?;
    let is_key = key.contains(' ') && key.chars().all(|c| c.is_ascii_alphabetic() || c == ' ');
    is_key.then(|| (key, value.trim()))
}

/// `naa.600…`, `mpx.vmhba0:C0:T0:L0`, `t10.…`: one word.
fn is_device(line: &str) -> bool {
    let named = ["naa.", "eui.", "t10.", "mpx.", "vml.", "uuid."];
    !line.contains(' ') && named.iter().any(|prefix| line.starts_with(prefix))
}

fn new_device(name: &str) -> Map {
    Map {
        name: name.to_owned(),
        wwid: Some(name.to_owned()),
        nmp: Some(Nmp::default()),
        ..Map::default()
    }
}

/// Files a field; `false` if it is not known.
fn set(map: &mut Map, room: &mut Room, key: &str, value: &str) -> bool {
    let Some(nmp) = &mut map.nmp else {
        return false;
    };
    match key {
        "Device Display Name" => map.name = value.to_owned(),
        "Storage Array Type" => nmp.array_type = text(value),
        "Storage Array Type Device Config" => {
            nmp.array_config = text(value);
            nmp.implicit_support = switch(value, &["implicit_support"]);
            nmp.explicit_support = switch(value, &["explicit_support"]);
            nmp.explicit_allow = switch(value, &["explicit_allow", "explicit_allowed"]);
            nmp.alua_followover = switch(value, &["alua_followover"]);
            map.port_groups = port_groups(value);
        }
        "Path Selection Policy" => nmp.selection_policy = text(value),
        "Path Selection Policy Device Config" => {
            nmp.path_config = text(value);
            nmp.preferred_path = setting(value, &["preferred"]);
            nmp.current_path = setting(value, &["current", "Current Path"]);
        }
        "Working Paths" => {
            let paths = value
                .split(',')
                .map(str::trim)
                .filter(|path| !path.is_empty());
            for path in paths {
                if !room.take_path(nmp.working_paths.len()) {
                    return false;
                }
                nmp.working_paths.push(path.to_owned());
            }
        }
        // Kept as it came.
        _ if nmp.other.len() < MAX_OTHER => nmp.other.push((key.to_owned(), value.to_owned())),
        _ => return false,
    }
    true
}

fn text(value: &str) -> Option<String> {
    (!value.is_empty()).then(|| value.to_owned())
}

/// The value of a setting, which may be called by several names; settings are separated by `;`, `,`
/// and braces.
pub(super) fn setting(config: &str, names: &[&str]) -> Option<String> {
    let settings = config
        .split(['{', '}', ';', ','])
        .filter_map(|setting| setting.split_once('='));
    let mut found = settings.filter(|(name, _)| names.contains(&name.trim()));
    found.next().and_then(|(_, value)| text(value.trim()))
}

fn switch(config: &str, names: &[&str]) -> Option<bool> {
    match setting(config, names)?.as_str() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

/// `{TPG_id=1,TPG_state=AO}{TPG_id=2,TPG_state=ANO}`.
fn port_groups(config: &str) -> Vec<PortGroup> {
    let blocks = config.split("TPG_id=").skip(1);
    let group = |block: &str| {
        let block = block.split('}').next()?;
        let id = block.split(|c: char| !c.is_ascii_digit()).next()?;
        Some(PortGroup {
            id: id.parse().ok()?,
            state: setting(block, &["TPG_state"]).as_deref().and_then(state),
            preferred: None,
            supported: Vec::new(),
            status: None,
            ports: Vec::new(),
            source: AccessSource::Printed,
        })
    };
    blocks.filter_map(group).take(MAX_PORT_GROUPS).collect()
}

/// VMware's word for a state.
pub(super) fn state(word: &str) -> Option<AccessState> {
    Some(match word {
        "AO" => AccessState::OPTIMIZED,
        "ANO" => AccessState::NON_OPTIMIZED,
        "STBY" | "STANDBY" => AccessState::STANDBY,
        "UNAVAIL" | "UNAVAILABLE" => AccessState::UNAVAILABLE,
        "LBD" => AccessState::LBA_DEPENDENT,
        "OFFLINE" => AccessState::OFFLINE,
        "TRANS" | "TRANSITIONING" => AccessState::TRANSITIONING,
        _ => return None,
    })
}

/// Makes paths of what is known of them: those in use, the preferred and the current one. Which port
/// group a path leads to is not told, unless there is but one.
fn complete(map: &mut Map) {
    let transport = transport(&map.name);
    let Some(nmp) = &map.nmp else {
        return;
    };
    let mut paths: Vec<Path> = Vec::new();
    let extra = [&nmp.current_path, &nmp.preferred_path];
    for address in nmp.working_paths.iter().chain(extra.into_iter().flatten()) {
        if paths.iter().any(|path| path.address == *address) {
            continue;
        }
        let path = Path {
            address: address.clone(),
            current: nmp.current_path.as_ref().map(|current| current == address),
            transport: transport.clone(),
            ..Path::default()
        };
        push(&mut paths, path);
    }
    if let [group] = &map.port_groups[..] {
        for path in &mut paths {
            path.port_group = Some(group.id);
            path.access = group.state.map(|state| Access {
                state,
                source: group.source,
                age_ms: None,
            });
        }
    }
    if !paths.is_empty() {
        map.groups = vec![PathGroup {
            number: 1,
            paths,
            ..PathGroup::default()
        }];
    }
}

/// By the display name, as VMware makes it: `DGC Fibre Channel Disk (naa.…)`.
fn transport(display_name: &str) -> Option<Transport> {
    if display_name.contains(" Fibre Channel ") {
        return Some(Transport::Fc {
            local_port: None,
            remote_port: None,
            speed: None,
            state: None,
        });
    }
    display_name
        .contains(" iSCSI ")
        .then(|| Transport::Iscsi(Iscsi::default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nmp(map: &Map) -> &Nmp {
        map.nmp.as_ref().unwrap()
    }

    const SAMPLE: &str = include_str!("../../fixtures/esxcli-nmp-device-list.txt");
    const SEVERAL: &str = include_str!("../../fixtures/esxcli-nmp-several.txt");

    #[test]
    fn the_sample_is_read_field_by_field() {
        let inventory = parse(SAMPLE).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let map = &inventory.maps[0];
        assert_eq!(
            (map.name.as_str(), map.wwid.as_deref()),
            ("DGC Fibre Channel Disk (naa.xxx)", Some("naa.xxx"))
        );
        let path = "vmhba2:C0:T2:L100".to_owned();
        let expected = Nmp {
            array_type: Some("VMW_SATP_ALUA_CX".to_owned()),
            implicit_support: Some(true),
            explicit_support: Some(true),
            explicit_allow: Some(true),
            alua_followover: Some(true),
            selection_policy: Some("VMW_PSP_FIXED".to_owned()),
            preferred_path: Some(path.clone()),
            current_path: Some(path.clone()),
            working_paths: vec![path.clone()],
            array_config: nmp(map).array_config.clone(),
            path_config: nmp(map).path_config.clone(),
            other: nmp(map).other.clone(),
        };
        assert_eq!(map.nmp.as_ref(), Some(&expected));
        let states: Vec<_> = map
            .port_groups
            .iter()
            .map(|group| (group.id, group.state, group.source))
            .collect();
        let printed = AccessSource::Printed;
        assert_eq!(
            states,
            [
                (1, Some(AccessState::OPTIMIZED), printed),
                (2, Some(AccessState::NON_OPTIMIZED), printed)
            ]
        );
        let paths: Vec<_> = map.paths().collect();
        assert_eq!(paths.len(), 1);
        assert_eq!((&paths[0].address, paths[0].current), (&path, Some(true)));
        assert!(matches!(paths[0].transport, Some(Transport::Fc { .. })));
        assert_eq!((&paths[0].access, paths[0].port_group), (&None, None));
    }

    /// "explicit_allow and explicit_allowed are two things", some say.
    #[test]
    fn both_spellings_of_explicit_allow_are_one_field() {
        let renamed = SAMPLE.replace("explicit_allow=", "explicit_allowed=");
        let mut told = parse(&renamed).unwrap();
        if let Some(nmp) = &mut told.maps[0].nmp {
            nmp.array_config = nmp
                .array_config
                .take()
                .map(|it| it.replace("allowed", "allow"));
        }
        assert_eq!(told, parse(SAMPLE).unwrap());
        let off = parse(&SAMPLE.replace("explicit_allow=on", "explicit_allow=off")).unwrap();
        assert_eq!(
            off.maps[0].nmp.as_ref().unwrap().explicit_allow,
            Some(false)
        );
        let none = parse(&SAMPLE.replace("explicit_allow=on", "")).unwrap();
        assert_eq!(none.maps[0].nmp.as_ref().unwrap().explicit_allow, None);
    }

    #[test]
    fn several_devices_in_the_form_of_machines_are_read() {
        let inventory = parse(SEVERAL).unwrap();
        let [rr, mru, local] = &inventory.maps[..] else {
            panic!("{inventory:?}");
        };
        let addresses: Vec<_> = rr.paths().map(|path| path.address.as_str()).collect();
        assert_eq!(addresses, ["vmhba4:C0:T34:L62", "vmhba3:C0:T28:L62"]);
        assert!(rr.paths().all(|path| path.current.is_none()));
        let groups: Vec<_> = rr
            .port_groups
            .iter()
            .map(|group| (group.id, group.state.unwrap().abbreviation()))
            .collect();
        assert_eq!(groups, [(1001, "AN"), (1000, "AO")]);
        let nmp = rr.nmp.as_ref().unwrap();
        assert_eq!(
            (nmp.explicit_support, nmp.preferred_path.as_deref()),
            (Some(false), None)
        );
        let path = mru.paths().next().unwrap();
        assert_eq!((path.current, path.port_group), (Some(true), Some(0)));
        assert_eq!(path.access.as_ref().unwrap().state, AccessState::STANDBY);
        assert!(matches!(path.transport, Some(Transport::Iscsi(_))));
        let nmp = local.nmp.as_ref().unwrap();
        assert_eq!(
            (nmp.implicit_support, nmp.array_type.as_deref()),
            (None, Some("VMW_SATP_LOCAL"))
        );
        assert!(local.port_groups.is_empty());
        assert_eq!(local.wwid.as_deref(), Some("mpx.vmhba0:C0:T0:L0"));
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let kept = ("Is Something New".to_owned(), "false".to_owned());
        assert!(rr.nmp.as_ref().unwrap().other.contains(&kept));
    }

    #[test]
    fn what_is_no_device_is_refused() {
        assert!(parse("Device Display Name: x\n").is_err());
        assert!(parse("naa.1\n").is_err());
        assert!(parse("some text\n").is_err());
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for text in [SAMPLE, SEVERAL] {
            for end in 0..=text.len() {
                let _ = parse(&text[..end]);
            }
        }
    }
}
