//! Owns the reading of `multipathd show maps json`, `show map M json` and `show paths json`
//! (libmultipath/print.c, `PRINT_JSON_*`). Elements are looked at one after the other, as text, so that a list of many
//! small ones does not grow.

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::clean;
use super::leftover::Leftover;
use super::multipath_ll::line::{known, uncounted};
use super::priority;
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Iscsi, Map, Path, PathGroup, Priority, Transport};

/// Any value, as the text that it is.
type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    maps: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    map: Raw<'a>,
    /// Of `show paths json`: paths by themselves.
    #[serde(borrow)]
    paths: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonMap<'a> {
    #[serde(borrow)]
    name: Raw<'a>,
    #[serde(borrow)]
    uuid: Raw<'a>,
    #[serde(borrow)]
    sysfs: Raw<'a>,
    #[serde(borrow)]
    write_prot: Raw<'a>,
    #[serde(borrow)]
    features: Raw<'a>,
    #[serde(borrow)]
    hwhandler: Raw<'a>,
    #[serde(borrow)]
    vend: Raw<'a>,
    #[serde(borrow)]
    prod: Raw<'a>,
    #[serde(borrow)]
    rev: Raw<'a>,
    #[serde(borrow)]
    path_groups: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonGroup<'a> {
    #[serde(borrow)]
    selector: Raw<'a>,
    #[serde(borrow)]
    pri: Raw<'a>,
    #[serde(borrow)]
    dm_st: Raw<'a>,
    #[serde(borrow)]
    group: Raw<'a>,
    #[serde(borrow)]
    paths: Vec<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct JsonPath<'a> {
    #[serde(borrow)]
    dev: Raw<'a>,
    #[serde(borrow)]
    dev_t: Raw<'a>,
    #[serde(borrow)]
    dm_st: Raw<'a>,
    #[serde(borrow)]
    dev_st: Raw<'a>,
    #[serde(borrow)]
    chk_st: Raw<'a>,
    #[serde(borrow)]
    pri: Raw<'a>,
    #[serde(borrow)]
    target_wwnn: Raw<'a>,
    #[serde(borrow)]
    host_wwpn: Raw<'a>,
    #[serde(borrow)]
    target_wwpn: Raw<'a>,
    #[serde(borrow)]
    host_adapter: Raw<'a>,
}

/// The maps in `text`; what precedes and follows the object is counted, such as the warnings of releases
/// since 0.15, but for what somebody typed.
///
/// # Errors
/// It is no JSON object with a list of maps, or with one map.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let start = text.find('{').unwrap_or_default();
    let end = text.rfind('}').map_or(text.len(), |at| at + 1);
    let object = text.get(start..end).unwrap_or(text);
    let document: Document<'_> =
        serde_json::from_str(object).context("this is no JSON that multipathd prints")?;
    ensure!(
        document.maps.is_some() || document.map.is_some() || document.paths.is_some(),
        "the JSON has neither \"maps\", \"map\" nor \"paths\""
    );
    let mut reading = Reading {
        room: Room::new(text),
        other: Leftover::default(),
        nth: 0,
    };
    let maps = document.maps.unwrap_or_default();
    let maps = maps.into_iter().chain(document.map);
    let maps: Vec<Map> = maps.filter_map(|raw| reading.map(raw)).collect();
    let mut unmapped = Vec::new();
    for raw in document.paths.unwrap_or_default() {
        let room = reading.room.take_path(0);
        if let Some(json) = reading.element(raw, room) {
            push(&mut unmapped, path(&json, None));
        }
    }
    let notes = reading
        .other
        .note("of JSON (one a map, group or path) not understood");
    let mut around = Leftover::default();
    let before = text.get(..start).unwrap_or_default();
    let inside = object.lines().count().saturating_sub(1);
    let after = text.get(end..).unwrap_or_default().lines().enumerate();
    let behind = before.lines().count() + inside;
    let after = after.map(|(nth, line)| (nth + behind, line));
    for (nth, line) in before.lines().enumerate().chain(after) {
        let is_typed = line.starts_with("multipathd>") || clean::is_command(line);
        if !line.trim().is_empty() && !is_typed {
            around.add(nth, line);
        }
    }
    let around = around.note("before or behind the JSON left out");
    Ok(Inventory {
        maps,
        unmapped,
        notes: notes.into_iter().chain(around).collect(),
    })
}

struct Reading<'a> {
    room: Room,
    other: Leftover<'a>,
    /// How many elements have been looked at.
    nth: usize,
}

impl<'a> Reading<'a> {
    /// The element as what it must be, if there is room for it.
    fn element<T: Deserialize<'a>>(&mut self, raw: &'a RawValue, room: bool) -> Option<T> {
        let nth = self.nth;
        self.nth += 1;
        // serde would take a list for a structure, too.
        let is_object = raw.get().starts_with('{');
        let object = Some(raw.get()).filter(|_| room && is_object);
        let element = object.and_then(|text| serde_json::from_str(text).ok());
        if element.is_none() {
            self.other.add(nth, raw.get());
        }
        element
    }

    fn map(&mut self, raw: &'a RawValue) -> Option<Map> {
        let room = self.room.take_map();
        let json: JsonMap<'_> = self.element(raw, room)?;
        let mut map = Map {
            name: string(json.name).unwrap_or_default(),
            wwid: string(json.uuid),
            dm: string(json.sysfs),
            read_only: string(json.write_prot).map(|mode| mode == "ro"),
            features: counted(json.features),
            handler: counted(json.hwhandler),
            vendor: string(json.vend),
            product: string(json.prod),
            revision: string(json.rev),
            ..Map::default()
        };
        for raw in json.path_groups {
            if let Some(group) = self.group(raw, map.groups.len()) {
                push(&mut map.groups, group);
            }
        }
        priority::explain(&mut map);
        Some(map)
    }

    fn group(&mut self, raw: &'a RawValue, before: usize) -> Option<PathGroup> {
        // As many as paths, at most.
        let room = self.room.take_path(before);
        let json: JsonGroup<'_> = self.element(raw, room)?;
        let mut group = PathGroup {
            number: number(json.group)
                .and_then(|number| u32::try_from(number).ok())
                .or(u32::try_from(before + 1).ok())?,
            selector: string(json.selector),
            state: string(json.dm_st),
            priority: number(json.pri),
            paths: Vec::new(),
        };
        for raw in json.paths {
            let room = self.room.take_path(group.paths.len());
            if let Some(json) = self.element(raw, room) {
                let path = path(&json, group.state.as_deref());
                push(&mut group.paths, path);
            }
        }
        Some(group)
    }
}

fn path(json: &JsonPath<'_>, group_state: Option<&str>) -> Path {
    let dm_state = string(json.dm_st);
    let current = group_state
        .zip(dm_state.as_deref())
        .map(|(group, path)| group == "active" && path == "active");
    Path {
        device: string(json.dev),
        devno: string(json.dev_t),
        checker_state: string(json.chk_st),
        device_state: string(json.dev_st),
        priority: number(json.pri).map(|value| Priority {
            value,
            reason: String::new(),
            prioritizer: None,
        }),
        transport: transport(json),
        current,
        dm_state,
        ..Path::default()
    }
}

/// Of an iSCSI path, `target_wwnn` is the target's name and `host_adapter` this host's address
/// (libmultipath/discovery.c `sysfs_get_tgt_nodename`, `sysfs_get_host_adapter_name`).
fn transport(json: &JsonPath<'_>) -> Option<Transport> {
    let target = string(json.target_wwnn);
    if let Some(name) = target.filter(|name| name.starts_with("iqn.") || name.starts_with("eui.")) {
        let address =
            string(json.host_adapter).filter(|text| text.parse::<std::net::IpAddr>().is_ok());
        return Some(Transport::Iscsi(Iscsi {
            target: Some(name),
            local_address: address,
            ..Iscsi::default()
        }));
    }
    let [local_port, remote_port] = [json.host_wwpn, json.target_wwpn].map(string);
    (local_port.is_some() || remote_port.is_some()).then_some(Transport::Fc {
        local_port,
        remote_port,
        speed: None,
        state: None,
    })
}

/// A string, unless it says that multipathd does not know.
fn string(raw: Raw<'_>) -> Option<String> {
    let text: String = serde_json::from_str(raw?.get()).ok()?;
    known(&text)
        .filter(|text| !text.starts_with("##"))
        .map(str::to_owned)
}

/// A list of words without their number.
fn counted(raw: Raw<'_>) -> Option<String> {
    string(raw).map(|text| uncounted(&text).to_owned())
}

/// A number, or a string that is one.
fn number(raw: Raw<'_>) -> Option<i32> {
    raw?.get().trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::AccessSource;

    const MAPS: &str = include_str!("../../fixtures/multipathd-maps.json");

    #[test]
    fn paths_by_themselves_are_read() {
        let text = r#"{"major_version": 0, "paths": [{"dev": "sdb", "dev_t": "8:16", "dm_st": "active",
            "chk_st": "ready", "pri": 50}, {"dev": "sdc", "chk_st": "faulty"}, 7]}"#;
        let inventory = parse(text).unwrap();
        let [first, second] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(first.priority.as_ref().unwrap().value, 50);
        assert_eq!(second.checker_state.as_deref(), Some("faulty"));
        assert_eq!(inventory.notes.len(), 1);
    }

    #[test]
    fn maps_are_read_with_their_groups_and_paths() {
        let inventory = parse(MAPS).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [alua, rdac] = &inventory.maps[..] else {
            panic!("{inventory:?}");
        };
        assert_eq!(
            (alua.name.as_str(), alua.dm.as_deref()),
            ("mpatha", Some("dm-0"))
        );
        assert_eq!(
            alua.wwid.as_deref(),
            Some("3624a937007a309fb52d94200011a2b3c")
        );
        assert_eq!(
            (alua.features.as_deref(), alua.handler.as_deref()),
            (Some("queue_if_no_path"), Some("alua"))
        );
        assert_eq!(
            (
                alua.vendor.as_deref(),
                alua.product.as_deref(),
                alua.revision.as_deref()
            ),
            (Some("PURE"), Some("FlashArray"), Some("8888"))
        );
        assert_eq!((alua.read_only, alua.size_bytes), (Some(false), None));
        let group = &alua.groups[0];
        assert_eq!(
            (group.number, group.priority, group.state.as_deref()),
            (1, Some(50), Some("active"))
        );
        let path = &group.paths[0];
        assert_eq!(
            (
                path.address.as_str(),
                path.device.as_deref(),
                path.devno.as_deref()
            ),
            ("", Some("sdah"), Some("66:16"))
        );
        assert_eq!(
            (
                path.dm_state.as_deref(),
                path.checker_state.as_deref(),
                path.device_state.as_deref()
            ),
            (Some("active"), Some("ready"), Some("running"))
        );
        assert_eq!(path.access.as_ref().unwrap().source, AccessSource::Priority);
        let Some(Transport::Iscsi(iscsi)) = &path.transport else {
            panic!("{path:?}");
        };
        assert_eq!(
            iscsi.target.as_deref(),
            Some("iqn.2010-06.com.example:array.1")
        );
        assert_eq!(iscsi.local_address.as_deref(), Some("192.0.2.31"));
        let path = &rdac.groups[1].paths[0];
        assert_eq!(
            path.priority.as_ref().unwrap().reason,
            "9 = 1 secondary + 8 IOSHIP"
        );
        assert_eq!(
            (
                path.dm_state.as_deref(),
                path.checker_state.as_deref(),
                path.device_state.as_deref()
            ),
            (Some("failed"), Some("faulty"), None)
        );
        let Some(Transport::Fc {
            local_port,
            remote_port,
            ..
        }) = &path.transport
        else {
            panic!("{path:?}");
        };
        assert_eq!(local_port.as_deref(), Some("0x10000090fa678144"));
        assert_eq!(remote_port.as_deref(), Some("0x524a937247e74300"));
    }

    #[test]
    fn one_map_and_text_around_it_are_read() {
        let map = r#"multipathd> {"major_version":0,"minor_version":1,"map":{"name":"m","uuid":7,
            "path_groups":[{"pri":"10","group":"x","paths":[{"dev":"sdb","pri":"undef"}]}]}}
            multipathd> "#;
        let inventory = parse(map).unwrap();
        let map = &inventory.maps[0];
        assert_eq!(
            (
                map.name.as_str(),
                map.wwid.as_deref(),
                map.handler.as_deref()
            ),
            ("m", None, None)
        );
        let group = &map.groups[0];
        assert_eq!(
            (group.number, group.priority, &group.state),
            (1, Some(10), &None)
        );
        assert_eq!(
            (&group.paths[0].priority, group.paths[0].current),
            (&None, None)
        );
    }

    #[test]
    fn what_is_no_map_is_said() {
        for (text, words) in [
            ("{", "no JSON that multipathd prints"),
            ("{\"maps\":[", "no JSON"),
            ("{}", "neither"),
            ("{\"maps\":1}", "no JSON"),
        ] {
            let error = format!("{:#}", parse(text).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
        let inventory =
            parse(r#"{"maps":[{"name":"a"},[1],{"path_groups":["x",{"paths":[3]}]}]}"#).unwrap();
        assert_eq!(inventory.maps.len(), 2);
        assert!(
            inventory.notes[0].starts_with("3 lines of JSON"),
            "{:?}",
            inventory.notes
        );
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for end in 0..=MAPS.len() {
            let _ = parse(&MAPS[..end]);
        }
    }
}
