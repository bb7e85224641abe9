//! Findings about a configuration of which no host is known: what it says of arrays that it takes
//! for asymmetric itself.

use crate::multipath_conf::section::Line;
use crate::multipath_conf::tables::{Device, Entry, Tables, last};

use super::options::of_user;
use super::{Finding, Id};

/// Handlers, prioritizers and checkers of asymmetric arrays.
const ASYMMETRIC: [&str; 8] = [
    "alua",
    "rdac",
    "emc",
    "emc_clariion",
    "hp_sw",
    "hds",
    "ontap",
    "sysfs",
];

/// Findings about the `device` entries and `overrides` of the user's files.
pub(super) fn findings(tables: &Tables) -> Vec<Finding> {
    let mut found = Vec::new();
    for device in &tables.devices {
        if let Some(sign) = asymmetry(device) {
            found.extend(about(device, &sign, tables));
        }
    }
    found.extend(overriding(&tables.overrides));
    found
}

/// Which line of an entry takes the array for an asymmetric one.
fn asymmetry(device: &Device) -> Option<String> {
    let keywords = ["hardware_handler", "prio", "path_checker"];
    keywords.into_iter().find_map(|keyword| {
        let (entry, _) = of_user(last(&device.entries, keyword)?)?;
        let is_sign = |word: &str| ASYMMETRIC.contains(&word);
        let sign = entry.value.split_whitespace().find(|word| is_sign(word))?;
        Some(format!("{keyword} {sign} takes it for one"))
    })
}

fn about(device: &Device, sign: &str, tables: &Tables) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(at) = set_to(&device.entries, "path_grouping_policy", "multibus") {
        let reason = format!(
            "multibus spreads I/O over all paths of an asymmetric unit, also over those of the \
             controller that is not optimized: {sign}"
        );
        found.push(Finding::new(Id::Multibus, Some(at), None, reason));
    }
    let const_prio = set_to(&device.entries, "prio", "const");
    if let Some(at) = const_prio.filter(|_| !is_detected(device, tables)) {
        let reason = format!(
            "prio const ranks all paths of an asymmetric unit alike: nothing tells the optimized \
             ones apart: {sign}"
        );
        found.push(Finding::new(Id::ConstPrio, Some(at), None, reason));
    }
    if let Some(at) = set_to(&device.entries, "failback", "immediate") {
        found.push(Finding::new(
            Id::FailbackImmediate,
            Some(at),
            None,
            FAILBACK,
        ));
    }
    found
}

/// Why `failback immediate` is worth a word. No host knows which others use a unit.
pub(super) const FAILBACK: &str = "with failback immediate this host takes the unit back to its \
     preferred controller as soon as it can, also when another host moved it away: two hosts that \
     each see another controller then move it to and fro";

/// Whether a prioritizer is detected in spite of `prio const`: paths with TPGS, to which the kernel
/// attaches the handler alua, unless `detect_prio` is off.
fn is_detected(device: &Device, tables: &Tables) -> bool {
    let handler = last(&device.entries, "hardware_handler");
    let alua = handler.is_some_and(|entry| entry.value.split_whitespace().any(|w| w == "alua"));
    let layers = [&tables.overrides, &device.entries, &tables.defaults];
    let switch = layers
        .into_iter()
        .find_map(|layer| last(layer, "detect_prio"));
    alua && !switch.is_some_and(|entry| matches!(entry.value.as_str(), "no" | "0" | "off"))
}

/// `overrides` count for every array, also for those whose built-in entry knows better.
fn overriding(overrides: &[Entry]) -> Vec<Finding> {
    let everywhere = "in overrides this counts for every array, asymmetric ones included: ";
    let multibus = set_to(overrides, "path_grouping_policy", "multibus").map(|at| {
        let reason = format!("{everywhere}I/O goes over paths that are not optimized, too");
        Finding::new(Id::Multibus, Some(at), None, reason)
    });
    let const_prio = set_to(overrides, "prio", "const").map(|at| {
        let reason = format!("{everywhere}RDAC arrays, whose TPGS is 0, lose their priorities");
        Finding::new(Id::ConstPrio, Some(at), None, reason)
    });
    multibus.into_iter().chain(const_prio).collect()
}

/// The line where a keyword of the user's has a value that begins with `word`.
fn set_to(entries: &[Entry], keyword: &str, word: &str) -> Option<Line> {
    let (entry, at) = of_user(last(entries, keyword)?)?;
    (entry.value.split_whitespace().next() == Some(word)).then(|| at.clone())
}
