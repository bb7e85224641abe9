//! Findings about single lines of a configuration: options that are gone, that have no effect, or
//! that cannot be read.

use crate::multipath_conf::effective::Configuration;
use crate::multipath_conf::section::Line;
use crate::multipath_conf::tables::{Entry, Origin, Tables, last};

use super::{Finding, Id};

/// Findings about the lines of the user's files.
pub(super) fn findings(tables: &Tables) -> Vec<Finding> {
    let entries = sections(tables).flatten().filter_map(of_user);
    let findings = entries.flat_map(|(entry, at)| {
        let finding = |(id, reason)| Finding::new(id, Some(at.clone()), None, reason);
        about(entry).into_iter().map(finding)
    });
    findings.chain(patterns(tables)).collect()
}

/// Lines for which multipath-tools refuse the file, and do not start.
pub(super) fn refusals(configuration: &Configuration) -> impl Iterator<Item = Finding> {
    configuration.refusals.iter().map(|refusal| {
        let reason = format!(
            "multipath-tools refuse the whole file, and neither multipath nor multipathd starts: {}",
            refusal.why
        );
        Finding::new(Id::FileRefused, Some(refusal.at.clone()), None, reason)
    })
}

fn sections(tables: &Tables) -> impl Iterator<Item = &[Entry]> {
    let devices = tables.devices.iter().map(|device| &device.entries);
    [&tables.defaults, &tables.overrides]
        .into_iter()
        .chain(devices)
        .chain(&tables.multipaths)
        .map(Vec::as_slice)
}

/// The line of an entry that the user wrote.
pub(super) fn of_user(entry: &Entry) -> Option<(&Entry, &Line)> {
    match &entry.origin {
        Origin::File(at) => Some((entry, at)),
        Origin::Multipathd | Origin::BuiltIn => None,
    }
}

/// What is to be said of a line.
fn about(entry: &Entry) -> Vec<(Id, String)> {
    let value = entry.value.as_str();
    let finding = match entry.keyword.as_str() {
        "getuid_callout" => Some((
            Id::GetuidCallout,
            "getuid_callout is ignored: the WWID comes from udev (uid_attribute)".to_owned(),
        )),
        "prio_callout" => Some((
            Id::PrioCallout,
            "prio_callout is unknown to multipath-tools and ignored: prioritizers are built in"
                .to_owned(),
        )),
        "path_checker" if value == "alua" => Some((
            Id::PathCheckerAlua,
            "there is no path checker alua: no path that depends on this line is checked"
                .to_owned(),
        )),
        "retain_attached_hw_handler" => Some((
            Id::RetainHandler,
            "retain_attached_hw_handler has no effect since Linux 4.3: an attached handler stays"
                .to_owned(),
        )),
        "detect_prio" if matches!(value, "yes" | "1") => Some((
            Id::DetectPrioDefault,
            "detect_prio is on by default: the line changes nothing".to_owned(),
        )),
        keyword @ ("rr_min_io" | "rr_min_io_rq" | "rr_weight") => Some((
            Id::RrMinIo,
            format!(
                "{keyword} has no effect since Linux 4.6: path selectors choose for each command"
            ),
        )),
        _ => None,
    };
    finding.into_iter().chain(program(entry)).collect()
}

/// Prioritizers were programs until multipath-tools 0.4.9.
fn program(entry: &Entry) -> Option<(Id, String)> {
    let of_prio = matches!(entry.keyword.as_str(), "prio" | "prio_callout");
    let name = entry
        .value
        .split(['/', ' '])
        .find(|word| word.starts_with("mpath_prio_"));
    let name = name.filter(|_| of_prio)?;
    let reason = format!("the program {name} no longer exists: it sets no priority");
    Some((Id::MpathPrioProgram, reason))
}

fn patterns(tables: &Tables) -> impl Iterator<Item = Finding> {
    let patterns = tables.devices.iter().flat_map(|device| {
        let named = ["vendor", "product", "revision"]
            .into_iter()
            .zip(&device.patterns);
        named.map(move |(keyword, pattern)| (device, keyword, pattern))
    });
    patterns.filter_map(|(device, keyword, pattern)| {
        let pattern = pattern.as_ref()?;
        let error = pattern.error.as_ref()?;
        let (_, at) = of_user(last(&device.entries, keyword)?)?;
        let reason = format!(
            "{keyword} \"{}\" is no regular expression ({error}): this device entry is for no device",
            pattern.text
        );
        Some(Finding::new(Id::PatternInvalid, Some(at.clone()), None, reason))
    })
}
