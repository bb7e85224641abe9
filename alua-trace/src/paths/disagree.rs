//! Owns where the array, the kernel's copies in sysfs, and device-mapper contradict each other.
//! Pure.

use std::collections::BTreeMap;

use crate::inventory::model::{Disagreement, Map, Path};

/// What the kernel's own accounts contradict each other about, without asking the array.
pub(super) fn kernel(map: &Map) -> Vec<Disagreement> {
    let mut found = Vec::new();
    found.extend(units(map));
    found.extend(group_states(map));
    found.extend(map.paths().filter_map(offline_but_used));
    found
}

fn disagreement(about: String, claims: Vec<(String, String)>) -> Disagreement {
    Disagreement { about, claims }
}

/// Paths of one map that lead to several units: data loss, if it is so.
fn units(map: &Map) -> Option<Disagreement> {
    let mut claims: Vec<(String, String)> = Vec::new();
    for path in map.paths() {
        if let Some(wwid) = &path.wwid
            && !claims.iter().any(|(_, other)| other == wwid)
        {
            claims.push((format!("sysfs of {}", path.address), wwid.clone()));
        }
    }
    (claims.len() > 1).then(|| disagreement(format!("unit behind {}", map.name), claims))
}

/// Paths of one port group for which sysfs has several states: some have not heard of a change.
fn group_states(map: &Map) -> Vec<Disagreement> {
    let mut groups: BTreeMap<u16, Vec<(String, String)>> = BTreeMap::new();
    for path in map.paths() {
        if let (Some(group), Some(access)) = (path.port_group, &path.access) {
            let claims = groups.entry(group).or_default();
            let state = access.state.to_string();
            if !claims.iter().any(|(_, other)| *other == state) {
                claims.push((format!("sysfs of {}", path.address), state));
            }
        }
    }
    groups
        .into_iter()
        .filter(|(_, claims)| claims.len() > 1)
        .map(|(id, claims)| disagreement(format!("access state of port group {id}"), claims))
        .collect()
}

/// dm would send I/O to a device that takes none.
fn offline_but_used(path: &Path) -> Option<Disagreement> {
    let state = path.device_state.as_deref()?;
    let dead = matches!(
        state,
        "offline" | "transport-offline" | "deleted" | "cancel"
    );
    (dead && path.dm_state.as_deref() == Some("active")).then(|| {
        let claims = [("device-mapper", "active"), ("sysfs", state)];
        let claims = claims.map(|(who, what)| (who.to_owned(), what.to_owned()));
        disagreement(format!("path {}", path.address), claims.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{Access, AccessSource, PathGroup};
    use crate::scsi::AccessState;

    fn path(address: &str, wwid: &str, state: AccessState) -> Path {
        Path {
            address: address.to_owned(),
            wwid: Some(wwid.to_owned()),
            dm_state: Some("active".to_owned()),
            device_state: Some("running".to_owned()),
            port_group: Some(1),
            access: Some(Access {
                state,
                source: AccessSource::Sysfs,
                age_ms: None,
            }),
            ..Path::default()
        }
    }

    fn map(paths: Vec<Path>) -> Map {
        Map {
            name: "mpatha".to_owned(),
            groups: vec![PathGroup {
                paths,
                ..PathGroup::default()
            }],
            ..Map::default()
        }
    }

    #[test]
    fn who_agrees_is_not_mentioned() {
        let paths = ["0:0:0:0", "1:0:0:0"]
            .map(|address| path(address, "naa.a", AccessState::OPTIMIZED))
            .to_vec();
        assert_eq!(kernel(&map(paths)), []);
    }

    #[test]
    fn each_contradiction_names_who_says_what() {
        let mut paths = vec![
            path("0:0:0:0", "naa.a", AccessState::OPTIMIZED),
            path("1:0:0:0", "naa.b", AccessState::STANDBY),
        ];
        paths[1].device_state = Some("offline".to_owned());
        let found = kernel(&map(paths));
        let abouts: Vec<&str> = found.iter().map(|found| found.about.as_str()).collect();
        assert_eq!(
            abouts,
            [
                "unit behind mpatha",
                "access state of port group 1",
                "path 1:0:0:0"
            ]
        );
        assert_eq!(
            found[1].claims[1],
            ("sysfs of 1:0:0:0".to_owned(), "standby".to_owned())
        );
    }

    #[test]
    fn a_failed_path_may_be_offline() {
        let mut failed = path("0:0:0:0", "naa.a", AccessState::OPTIMIZED);
        failed.device_state = Some("offline".to_owned());
        failed.dm_state = Some("failed".to_owned());
        assert_eq!(kernel(&map(vec![failed])), []);
    }
}
