//! Owns why a path has its priority: the rules of multipath-tools' prioritizers. Pure.

use super::checker;
use super::model::{Path, Priority};
use crate::scsi::AccessState;
use crate::scsi::rdac::VolumeAccess;

/// What a preferred path gets that is not active/optimized anyway (libmultipath/prioritizers/alua.c;
/// with the option `exclusive_pref_bit` an optimized one gets it, too).
const PREFERRED: i32 = 80;

/// The priority that the prioritizers `alua` and `sysfs` give a path in `state`: both have the same
/// rule, and ask the array and sysfs in turn. Which one it was, `prioritizer` says.
pub fn of_state(state: AccessState, preferred: Option<bool>, prioritizer: &str) -> Priority {
    let base = match state {
        AccessState::OPTIMIZED => 50,
        AccessState::NON_OPTIMIZED => 10,
        AccessState::LBA_DEPENDENT => 5,
        AccessState::STANDBY => 1,
        _ => 0,
    };
    let bonus = preferred == Some(true) && state != AccessState::OPTIMIZED;
    let (value, reason) = if bonus {
        let value = base + PREFERRED;
        (
            value,
            format!("{value} = {base} {state} + {PREFERRED} preferred"),
        )
    } else {
        (base, format!("{base} = {state}"))
    };
    Priority {
        value,
        reason,
        prioritizer: Some(prioritizer.to_owned()),
    }
}

/// The priority that the prioritizer `rdac` gives a path with this page C9h.
pub fn of_volume_access(page: &VolumeAccess) -> Priority {
    let priority = page.priority();
    Priority {
        value: i32::from(priority.value),
        reason: format!("{} = {}", priority.value, priority.reason),
        prioritizer: Some("rdac".to_owned()),
    }
}

/// The priority of a path group: the mean of its usable paths' (libmultipath/switchgroup.c
/// `path_group_prio_update`), 0 when none is usable; `None` when one that counts is unknown.
pub fn of_group(paths: &[Path]) -> Option<i32> {
    let usable = paths.iter().filter(|path| checker::usable(path));
    let values: Option<Vec<i32>> = usable
        .map(|path| path.priority.as_ref().map(|priority| priority.value))
        .collect();
    let values = values?;
    let count = i32::try_from(values.len()).ok()?;
    Some(values.iter().sum::<i32>().checked_div(count).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_state_has_its_value() {
        let values = AccessState::DEFINED.map(|state| of_state(state, Some(false), "alua").value);
        assert_eq!(values, [50, 10, 1, 0, 5, 0, 0]);
        let reserved = AccessState::from_nibble(9);
        assert_eq!(of_state(reserved, None, "alua").value, 0);
    }

    #[test]
    fn being_preferred_only_counts_for_paths_that_are_not_optimized() {
        let optimized = of_state(AccessState::OPTIMIZED, Some(true), "sysfs");
        assert_eq!(
            (optimized.value, &*optimized.reason),
            (50, "50 = active/optimized")
        );
        let other = of_state(AccessState::NON_OPTIMIZED, Some(true), "sysfs");
        assert_eq!(other.value, 90);
        assert_eq!(other.reason, "90 = 10 active/non-optimized + 80 preferred");
        assert_eq!(of_state(AccessState::STANDBY, None, "sysfs").value, 1);
    }

    #[test]
    fn an_rdac_path_says_what_its_priority_is_the_sum_of() {
        let page = b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01";
        let priority = of_volume_access(&VolumeAccess::parse(page).unwrap());
        assert_eq!(priority.reason, "14 = 2 owned + 4 preferred + 8 IOSHIP");
        assert_eq!(priority.value, 14);
    }

    fn path(value: Option<i32>, dm_state: &str) -> Path {
        Path {
            dm_state: Some(dm_state.to_owned()),
            device_state: Some("running".to_owned()),
            priority: value.map(|value| Priority {
                value,
                reason: String::new(),
                prioritizer: None,
            }),
            ..Path::default()
        }
    }

    #[test]
    fn a_group_has_the_mean_of_its_usable_paths() {
        let paths = [
            path(Some(50), "active"),
            path(Some(11), "active"),
            path(Some(1), "failed"),
        ];
        assert_eq!(of_group(&paths), Some(30));
        assert_eq!(of_group(&paths[2..]), Some(0));
        assert_eq!(of_group(&[path(None, "active")]), None);
        assert_eq!(of_group(&[path(None, "failed")]), Some(0));
    }
}
