//! Owns what priorities tell: multipath-tools' `alua` and `rdac` prioritizers give a number to each
//! combination of state and preference (libmultipath/prioritizers/alua.c, rdac.c).

use crate::inventory::model::{Access, AccessSource, Map, Path, Rdac};
use crate::scsi::AccessState;

/// What `alua` adds for a group that the array prefers.
const PREFERRED: i32 = 80;
/// What `alua` gives to each state. It gives 0 to all others, which tells nothing.
const STATES: [(i32, AccessState); 4] = [
    (50, AccessState::OPTIMIZED),
    (10, AccessState::NON_OPTIMIZED),
    (5, AccessState::LBA_DEPENDENT),
    (1, AccessState::STANDBY),
];
/// The parts of a priority of `rdac`.
const PARTS: [(i32, &str); 4] = [
    (2, "owned"),
    (4, "preferred"),
    (1, "secondary"),
    (8, "IOSHIP"),
];

/// Gives the paths of `map` the reasons for their priorities, and what those tell, as far as the
/// map's handler says which prioritizer it was.
pub(super) fn explain(map: &mut Map) {
    let told = match map.handler.as_deref() {
        Some("alua") => alua_path,
        Some("rdac") => rdac_path,
        _ => return,
    };
    // `const`, the default of old, gives 1 to every path: a 1 tells something beside others only.
    let value = |path: &Path| path.priority.as_ref().map_or(0, |priority| priority.value);
    if map.paths().all(|path| value(path) <= 1) {
        return;
    }
    for path in map.groups.iter_mut().flat_map(|group| &mut group.paths) {
        told(path);
    }
}

/// The state that `alua` gives a priority to, and whether it is preferred; `None` if it tells not.
pub(super) fn alua(value: i32) -> Option<(AccessState, Option<bool>)> {
    let state = |value| {
        STATES
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, state)| *state)
    };
    match (state(value), state(value - PREFERRED)) {
        // Nothing is added to an optimized one, unless the option exclusive_pref_bit is set.
        (Some(AccessState::OPTIMIZED), _) => Some((AccessState::OPTIMIZED, None)),
        (Some(state), _) => Some((state, Some(false))),
        (None, Some(state)) => Some((state, Some(true))),
        (None, None) => None,
    }
}

fn alua_path(path: &mut Path) {
    let Some(priority) = &mut path.priority else {
        return;
    };
    let Some((state, preferred)) = alua(priority.value) else {
        return;
    };
    priority.reason = match preferred {
        Some(true) => format!(
            "{} = {} {state} + {PREFERRED} preferred",
            priority.value,
            priority.value - PREFERRED
        ),
        _ => format!("{} = {state}", priority.value),
    };
    path.preferred = path.preferred.or(preferred);
    path.access.get_or_insert(Access {
        state,
        source: AccessSource::Priority,
        age_ms: None,
    });
}

/// The reason for a priority of `rdac`; `None` if it never gives such a one.
pub(super) fn rdac(value: i32) -> Option<String> {
    let possible = (1..=14).contains(&value) && value & 5 != 5;
    let parts = PARTS.iter().filter(|(bit, _)| value & bit != 0);
    let parts: Vec<_> = parts.map(|(bit, name)| format!("{bit} {name}")).collect();
    possible.then(|| format!("{value} = {}", parts.join(" + ")))
}

fn rdac_path(path: &mut Path) {
    let Some(priority) = &mut path.priority else {
        return;
    };
    let Some(reason) = rdac(priority.value) else {
        return;
    };
    priority.reason = reason;
    let has = |bit: i32| priority.value & bit != 0;
    path.rdac = Some(Rdac {
        mode: has(8).then(|| "IOSHIP".to_owned()),
        owned: Some(has(2)),
        preferred: (has(4) || has(1)).then_some(has(4)),
        ..Rdac::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{PathGroup, Priority};

    fn map(handler: &str, priorities: &[i32]) -> Map {
        let path = |value: &i32| Path {
            priority: Some(Priority {
                value: *value,
                reason: String::new(),
                prioritizer: None,
            }),
            ..Path::default()
        };
        let mut map = Map {
            handler: Some(handler.to_owned()),
            groups: vec![PathGroup {
                paths: priorities.iter().map(path).collect(),
                ..PathGroup::default()
            }],
            ..Map::default()
        };
        explain(&mut map);
        map
    }

    fn reasons(map: &Map) -> Vec<&str> {
        map.paths()
            .map(|path| path.priority.as_ref().unwrap().reason.as_str())
            .collect()
    }

    #[test]
    fn priorities_of_alua_tell_states() {
        let map = map("alua", &[50, 10, 5, 1, 90, 130, 0, 14]);
        assert_eq!(
            reasons(&map),
            [
                "50 = active/optimized",
                "10 = active/non-optimized",
                "5 = lba-dependent",
                "1 = standby",
                "90 = 10 active/non-optimized + 80 preferred",
                "130 = 50 active/optimized + 80 preferred",
                "",
                "",
            ]
        );
        let states: Vec<_> = map
            .paths()
            .map(|path| path.access.as_ref().map(|a| (a.state.code(), a.source)))
            .collect();
        let by = |code| Some((code, AccessSource::Priority));
        assert_eq!(
            states,
            [by(0), by(1), by(4), by(2), by(1), by(0), None, None]
        );
        let preferred: Vec<_> = map.paths().map(|path| path.preferred).collect();
        let no = Some(false);
        assert_eq!(
            preferred,
            [None, no, no, no, Some(true), Some(true), None, None]
        );
    }

    #[test]
    fn priorities_of_rdac_tell_owner_and_preference_but_no_state() {
        let map = map("rdac", &[14, 9, 6, 3, 50, 13, 0]);
        assert_eq!(
            reasons(&map),
            [
                "14 = 2 owned + 4 preferred + 8 IOSHIP",
                "9 = 1 secondary + 8 IOSHIP",
                "6 = 2 owned + 4 preferred",
                "3 = 2 owned + 1 secondary",
                "",
                "",
                "",
            ]
        );
        assert!(map.paths().all(|path| path.access.is_none()));
        let rdac: Vec<_> = map
            .paths()
            .map(|path| {
                path.rdac
                    .as_ref()
                    .map(|r| (r.mode.as_deref(), r.owned, r.preferred))
            })
            .collect();
        assert_eq!(rdac[0], Some((Some("IOSHIP"), Some(true), Some(true))));
        assert_eq!(rdac[1], Some((Some("IOSHIP"), Some(false), Some(false))));
        assert_eq!(rdac[2], Some((None, Some(true), Some(true))));
        assert_eq!(rdac[4], None);
    }

    /// A constant prioritizer's 1 is not standby, nor the secondary controller.
    #[test]
    fn constant_priorities_tell_nothing() {
        for handler in ["alua", "rdac"] {
            assert_eq!(reasons(&map(handler, &[1, 1, 0])), ["", "", ""]);
        }
        assert_eq!(reasons(&map("", &[50, 10])), ["", ""]);
    }
}
