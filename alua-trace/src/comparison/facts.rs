//! What runs were made under, as facts that can be compared: each a name, and the values that it has in a run.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::runs::Run;
use crate::{evidence::Evidence, setup::Setup};

/// Values by the name of what has them. A set: a scheduler of 64 disks is one value, or two where they differ.
pub type Facts = BTreeMap<String, BTreeSet<String>>;

/// Of the inventory, what makes two set-ups differ, by the name of its field: not states and counts, which come
/// and go, nor names and addresses, which another boot may give in another order.
const OF_INVENTORY: [(&str, &str); 16] = [
    ("features", "features of dm-multipath"),
    ("handler", "device handler"),
    ("selector", "path selector"),
    ("bio_based", "bio-based map"),
    ("size_bytes", "size of the LUN"),
    ("wwid", "LUN"),
    ("vendor", "vendor"),
    ("product", "product"),
    ("revision", "firmware"),
    ("queue_depth", "queue depth"),
    ("kind", "transport"),
    ("driver", "low-level driver"),
    ("mtu", "MTU"),
    ("mss", "MSS"),
    ("speed", "speed of the HBA"),
    ("mode", "RDAC mode"),
];

/// A fact that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Differs {
    /// Its name.
    pub what: String,
    /// Its values in the runs of the one side.
    pub one: BTreeSet<String>,
    /// And of the other.
    pub other: BTreeSet<String>,
    /// Whether the user said that this is compared.
    pub is_meant: bool,
}

/// Facts that differ between the sides, or from run to run. `meant` are parts of names.
pub(super) fn differing(one: &[Run], other: &[Run], meant: &[String]) -> Vec<Differs> {
    let names: BTreeSet<&String> = [one, other]
        .into_iter()
        .flatten()
        .flat_map(|run| run.facts.keys())
        .collect();
    let values = |side: &[Run], name: &String| -> BTreeSet<String> {
        let values = side.iter().map(|run| match run.facts.get(name) {
            Some(values) => values.iter().cloned().collect::<Vec<_>>().join(", "),
            None => "unknown".to_owned(),
        });
        values.collect()
    };
    let differs = names.into_iter().map(|name| Differs {
        is_meant: meant.iter().any(|part| {
            let (name, part) = (name.to_lowercase(), part.to_lowercase());
            name.contains(&part)
        }),
        one: values(one, name),
        other: values(other, name),
        what: name.clone(),
    });
    differs
        .filter(|it| it.one != it.other || it.one.len() > 1)
        .collect()
}

/// Those of a run.
pub(super) fn facts(evidence: &Evidence) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|it| !it.is_empty()) {
            facts.entry(name.to_owned()).or_default().insert(value);
        }
    };
    let meta = &evidence.meta;
    add("alua-trace", Some(meta.version.clone()));
    add("host", meta.host.clone());
    add("command", Some(meta.command.join(" ")));
    for (name, value) in &meta.labels {
        add(&format!("label {name}"), Some(value.clone()));
    }
    for setup in &evidence.setups {
        of_setup(setup, &mut add);
    }
    facts
}

fn of_setup(setup: &Setup, add: &mut impl FnMut(&str, Option<String>)) {
    let text = |number: Option<u32>| number.map(|it| it.to_string());
    add("kernel", setup.kernel.clone());
    add("kernel's command line", setup.command_line.clone());
    add("CPUs online", setup.cpus.online.clone());
    for governor in setup.cpus.governors.values() {
        add("CPU governor", Some(governor.clone()));
    }
    for queue in setup.queues.values() {
        add("scheduler", queue.scheduler.clone());
        add("nr_requests", text(queue.nr_requests));
        add("rq_affinity", text(queue.rq_affinity));
        add("max_sectors_kb", text(queue.max_sectors_kb));
        add("read_ahead_kb", text(queue.read_ahead_kb));
        add("nomerges", text(queue.nomerges));
    }
    for node in setup.numa_nodes.values() {
        add("NUMA node of the HBA", Some(node.to_string()));
    }
    for interface in setup.network.interfaces.values() {
        add("offloads of interfaces", Some(interface.offloads.join(" ")));
    }
    for (key, value) in setup.network.sessions.values().flatten() {
        add(&format!("iSCSI's {key}"), Some(value.clone()));
    }
    of_inventory(&setup.inventory, add);
    let settings = setup.multipath.pointer("/maps").and_then(Value::as_array);
    let settings = settings.into_iter().flatten();
    let settings = settings.filter_map(|it| it.get("settings")?.as_array());
    for setting in settings.flatten() {
        if let (Some(keyword), Some(value)) = (setting.get("keyword"), setting.get("value")) {
            let keyword = plain(keyword).unwrap_or_default();
            add(&format!("multipath's {keyword}"), plain(value));
        }
    }
}

/// Maps with their groups and paths; not disks that are no map's.
fn of_inventory(inventory: &Value, add: &mut impl FnMut(&str, Option<String>)) {
    let maps = inventory.get("maps").and_then(Value::as_array);
    for map in maps.into_iter().flatten() {
        let groups = map.get("groups").and_then(Value::as_array);
        let paths = groups.into_iter().flatten().map(|group| {
            let paths = group.get("paths").and_then(Value::as_array);
            paths.map_or(0, Vec::len)
        });
        let paths: Vec<usize> = paths.collect();
        add("path groups", Some(paths.len().to_string()));
        add(
            "paths of a map",
            Some(paths.iter().sum::<usize>().to_string()),
        );
        of_value(map, add);
    }
}

fn of_value(value: &Value, add: &mut impl FnMut(&str, Option<String>)) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| of_value(value, add)),
        Value::Object(fields) => {
            for (field, value) in fields {
                let known = OF_INVENTORY.iter().find(|(name, _)| name == field);
                match known {
                    Some((_, name)) => add(name, plain(value)),
                    None => of_value(value, add),
                }
            }
        }
        _ => {}
    }
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        _ => None,
    }
}
