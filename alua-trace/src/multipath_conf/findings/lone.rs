//! Findings about a configuration of which no host is known: what it says of arrays that it, or the
//! built-in table, takes for asymmetric.

use crate::multipath_conf::pattern::Pattern;
use crate::multipath_conf::section::Line;
use crate::multipath_conf::tables::{Device, Entry, Origin, Tables, last};

use super::options::of_user;
use super::{Finding, Id, Severity};

/// Handlers, prioritizers and checkers of arrays that say TPGS: multipath-tools find out themselves
/// which priorities their paths have.
const DETECTED: [&str; 2] = ["alua", "sysfs"];
/// Those of other asymmetric arrays.
const CONFIGURED: [&str; 6] = ["rdac", "emc", "emc_clariion", "hp_sw", "hds", "ontap"];

/// Findings about the `device` entries, `overrides` and `defaults` of the user's files.
pub(super) fn findings(tables: &Tables) -> Vec<Finding> {
    let mut found = Vec::new();
    for device in &tables.devices {
        if let Some(sign) = sign(device).or_else(|| built_in_sign(device, tables)) {
            found.extend(about(device, &sign, tables));
        }
    }
    found.extend(overriding(&tables.overrides));
    found.extend(by_default(&tables.defaults));
    found
}

/// What takes an array for an asymmetric one.
struct Sign {
    text: String,
    /// Whether its priorities are detected.
    detected: bool,
}

/// Which setting of an entry, or of the built-in one of its names, takes the array for an asymmetric
/// one.
fn sign(device: &Device) -> Option<Sign> {
    let keywords = ["prio", "hardware_handler", "path_checker"];
    let signs = keywords.into_iter().filter_map(|keyword| {
        let entry = last(&device.entries, keyword)?;
        let mut words = entry.value.split_whitespace();
        let (word, detected) = words.find_map(|word| {
            let detected = DETECTED.contains(&word);
            (detected || CONFIGURED.contains(&word)).then_some((word, detected))
        })?;
        let origin = match &entry.origin {
            Origin::BuiltIn => " (built in)",
            Origin::File(_) | Origin::Multipathd => "",
        };
        Some(Sign {
            text: format!("{keyword} {word} takes it for one{origin}"),
            detected,
        })
    });
    // What must be configured tells more than a handler that is detected.
    signs.min_by_key(|sign| sign.detected)
}

/// The same of a built-in entry for the devices that the user's entry is for, as far as its patterns
/// tell: both count for them.
fn built_in_sign(device: &Device, tables: &Tables) -> Option<Sign> {
    device.entries.iter().find_map(of_user)?;
    let [Some(vendor), Some(product), _] = &device.patterns else {
        return None;
    };
    let (vendor, product) = (sample(vendor)?, sample(product)?);
    let mut built_in = tables.devices.iter().rev().filter(|it| {
        let own = it
            .entries
            .iter()
            .all(|entry| entry.origin == Origin::BuiltIn);
        let [Some(vendors), Some(products), _] = &it.patterns else {
            return false;
        };
        // Entries for every product of a vendor say little about one.
        own && products.text != ".*"
            && vendors.is_found_in(&vendor)
            && products.is_found_in(&product)
    });
    let found = built_in.find_map(|it| Some((sign(it)?, it.names()?)));
    let (sign, [vendor, product, _]) = found?;
    let name = |it: Option<String>| it.unwrap_or_default();
    Some(Sign {
        text: format!("{} for {}/{}", sign.text, name(vendor), name(product)),
        ..sign
    })
}

/// The plain text that a pattern begins with.
fn sample(pattern: &Pattern) -> Option<String> {
    let text = pattern.text.trim_start_matches('^');
    let end = text.find(|c: char| "$*+?.()[]{}|\\".contains(c));
    let plain = text.get(..end.unwrap_or(text.len()))?;
    (plain.len() > 1).then(|| plain.to_owned())
}

fn about(device: &Device, sign: &Sign, tables: &Tables) -> Vec<Finding> {
    let mut found = Vec::new();
    let text = &sign.text;
    if let Some(at) = set_to(&device.entries, "path_grouping_policy", "multibus")
        && let Some(releases) = multibus_counts(device, sign, tables)
    {
        let reason = format!(
            "multibus spreads I/O over all paths of an asymmetric unit, also over those of the \
             controller that is not optimized: {text}{releases}"
        );
        found.push(Finding::new(Id::Multibus, Some(at), None, reason));
    }
    let const_prio = set_to(&device.entries, "prio", "const");
    if let Some(at) = const_prio.filter(|_| !is_detected(device, tables)) {
        let reason = format!(
            "prio const ranks all paths of an asymmetric unit alike: nothing tells the optimized \
             ones apart: {text}"
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

/// For which releases `multibus` counts; `None` for none. Where all paths have the prioritizer alua or
/// sysfs, `detect_pgpolicy` groups them by priority (propsel.c `select_pgpolicy`, `verify_alua_prio`).
fn multibus_counts(device: &Device, sign: &Sign, tables: &Tables) -> Option<&'static str> {
    let prio = last(&device.entries, "prio").map(|entry| entry.value.as_str());
    let is_ranked = sign.detected && (prio != Some("const") || is_detected(device, tables));
    match switch("detect_pgpolicy", device, tables) {
        _ if !is_ranked => Some(""),
        Some(true) => None,
        Some(false) => Some("; and detect_pgpolicy is off"),
        None => Some(
            ". Holds for multipath-tools before 0.9.6: newer ones group such paths by priority \
             whatever the policy says (detect_pgpolicy)",
        ),
    }
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
    alua && switch("detect_prio", device, tables) != Some(false)
}

/// A switch as it counts for an entry's devices; `None` when nothing sets it.
fn switch(keyword: &str, device: &Device, tables: &Tables) -> Option<bool> {
    let layers = [&tables.overrides, &device.entries, &tables.defaults];
    let mut set = layers.into_iter().filter_map(|layer| last(layer, keyword));
    set.next()
        .map(|entry| matches!(entry.value.as_str(), "yes" | "1"))
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

/// `defaults` count for arrays without an entry, asymmetric ones among them: good to know.
fn by_default(defaults: &[Entry]) -> Vec<Finding> {
    let everywhere = "in defaults this counts for every array that has no entry of its own, built in or \
                      not: if one of them is asymmetric, ";
    let advice = |id, at, what: &str| Finding {
        severity: Severity::Advice,
        ..Finding::new(id, Some(at), None, format!("{everywhere}{what}"))
    };
    let multibus = set_to(defaults, "path_grouping_policy", "multibus").map(|at| {
        advice(
            Id::Multibus,
            at,
            "I/O goes over its paths that are not optimized, too",
        )
    });
    let detects =
        last(defaults, "detect_prio").is_none_or(|entry| entry.value != "no" && entry.value != "0");
    let const_prio = set_to(defaults, "prio", "const")
        .filter(|_| !detects)
        .map(|at| {
            advice(
                Id::ConstPrio,
                at,
                "all its paths rank alike, as detect_prio is off",
            )
        });
    multibus.into_iter().chain(const_prio).collect()
}

/// The line where a keyword of the user's has a value that begins with `word`.
fn set_to(entries: &[Entry], keyword: &str, word: &str) -> Option<Line> {
    let (entry, at) = of_user(last(entries, keyword)?)?;
    (entry.value.split_whitespace().next() == Some(word)).then(|| at.clone())
}
