//! Findings about a map of this host and the configuration that counts for it.

use crate::multipath_conf::effective::{Effective, Value};
use crate::multipath_conf::facts::{GroupFacts, MapFacts, PathFacts};
use crate::multipath_conf::section::Line;
use crate::multipath_conf::tables::Origin;
use crate::scsi::AccessState;

use super::lone::FAILBACK;
use super::{Finding, Id};

/// Findings about one map.
pub(super) fn findings(map: &MapFacts, effective: &Effective) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut raise = |id, at: Option<Line>, reason: String| {
        found.push(Finding::new(id, at, Some(map.name.clone()), reason));
    };
    if let Some(asymmetry) = map.asymmetry() {
        if let Some((at, reason)) = multibus(map, effective) {
            let handler = if map.has_no_handler() {
                "; its table demands no handler either, so that nothing moves the unit and nothing \
                 tells the states of its paths"
            } else {
                ""
            };
            raise(
                Id::Multibus,
                at,
                format!("{reason}, and the unit is asymmetric: {asymmetry}{handler}"),
            );
        }
        if let Some((at, reason)) = const_prio(map, effective) {
            raise(
                Id::ConstPrio,
                at,
                format!("{reason}, and the unit is asymmetric: {asymmetry}"),
            );
        }
    }
    if effective.is("failback", "immediate") && map.has_explicit_transfers() {
        let origin = effective.get("failback");
        raise(
            Id::FailbackImmediate,
            origin.and_then(line),
            FAILBACK.to_owned(),
        );
    }
    for value in effective.settings() {
        if let Some(unread) = &value.unread {
            let (keyword, runs) = (value.keyword, &value.value);
            let reason = format!("multipathd runs with {keyword} {runs}; {unread}");
            raise(Id::NotRead, None, reason);
        }
    }
    if let Some(reason) = group_not_best(map) {
        raise(Id::GroupNotBest, None, reason);
    }
    found
}

fn line(value: &Value) -> Option<Line> {
    match &value.origin {
        Origin::File(at) => Some(at.clone()),
        Origin::Multipathd | Origin::BuiltIn => None,
    }
}

/// `multibus`, unless multipath-tools replace it because of the priorities (`detect_pgpolicy`,
/// which not every version has); or one group that holds paths of different states, whoever made it.
fn multibus(map: &MapFacts, effective: &Effective) -> Option<(Option<Line>, String)> {
    let value = effective
        .get("path_grouping_policy")
        .filter(|value| value.value == "multibus");
    let is_detected = is_detected(map, effective);
    let replaced = effective.switch("detect_pgpolicy") == Some(true) && is_detected;
    if let Some(value) = value.filter(|_| !replaced) {
        let unknown = is_detected && effective.switch("detect_pgpolicy").is_none();
        let releases = if unknown {
            ", which counts before multipath-tools 0.9.6 (detect_pgpolicy)"
        } else {
            ""
        };
        let reason = format!(
            "path_grouping_policy is multibus ({}){releases}",
            value.origin
        );
        return Some((line(value), reason));
    }
    let mixed = map.groups.iter().find(|group| {
        let mut states = group.paths.iter().filter_map(|path| path.access);
        let first = states.next();
        states.any(|state| Some(state) != first)
    })?;
    let reason = format!(
        "path group {} holds paths of different states",
        mixed.number
    );
    Some((None, reason))
}

/// Whether every path's prioritizer is chosen from its TPGS.
fn is_detected(map: &MapFacts, effective: &Effective) -> bool {
    let with_tpgs = |path: &PathFacts| path.tpgs.is_some_and(|tpgs| tpgs > 0);
    effective.detects_prio() && map.paths().all(with_tpgs)
}

fn const_prio(map: &MapFacts, effective: &Effective) -> Option<(Option<Line>, String)> {
    let value = effective
        .get("prio")
        .filter(|_| effective.is("prio", "const"))?;
    (!is_detected(map, effective)).then(|| {
        let reason = format!("prio is const ({}): all its paths rank alike", value.origin);
        (line(value), reason)
    })
}

/// How good a state is for I/O; `None` for those that take none.
fn rank(state: AccessState) -> Option<u8> {
    match state {
        AccessState::OPTIMIZED => Some(3),
        AccessState::NON_OPTIMIZED => Some(2),
        AccessState::LBA_DEPENDENT => Some(1),
        _ => None,
    }
}

/// The best state among the paths of a group that can be used.
fn best(group: &GroupFacts) -> Option<(u8, AccessState)> {
    let states = group.paths.iter().filter(|path| path.usable);
    let states = states.filter_map(|path| path.access);
    states.filter_map(|state| Some((rank(state)?, state))).max()
}

fn group_not_best(map: &MapFacts) -> Option<String> {
    let active = map.groups.iter().find(|group| group.active)?;
    // A group of which no state is known is not said to be worse.
    active.paths.iter().find(|path| path.access.is_some())?;
    let chosen = best(active);
    let others = map
        .groups
        .iter()
        .filter(|group| group.number != active.number);
    let ranked = others.filter_map(|group| Some((best(group)?, group.number)));
    let ((rank, state), number) = ranked.max_by_key(|((rank, _), _)| *rank)?;
    (chosen.is_none_or(|(chosen, _)| chosen < rank)).then(|| {
        let chosen = chosen.map_or("no state that takes I/O".to_owned(), |(_, s)| s.to_string());
        format!(
            "I/O goes to path group {} ({chosen}), though group {number} has a path that is {state}",
            active.number
        )
    })
}
