//! Owns where the array, the kernel's copies in sysfs, and device-mapper contradict each other.
//! Pure.

use std::collections::BTreeMap;

use crate::inventory::model::{AccessSource, Disagreement, Map, Path};
use crate::scsi::AccessState;
use crate::topology::Device;

/// What the kernel's own accounts contradict each other about, without asking the array.
pub(super) fn kernel(map: &Map) -> Vec<Disagreement> {
    let mut found = Vec::new();
    found.extend(units(map));
    found.extend(group_states(map));
    found.extend(map.paths().filter_map(offline_but_used));
    found
}

/// Where the kernel's account of a path differs from the array's, which the path has by now. Its
/// identity only counts if the path itself was `asked`.
pub(super) fn array(path: &Path, device: &Device, asked: bool) -> Vec<Disagreement> {
    let mut found = Vec::new();
    let mut compare = |what: &str, array: Option<String>, sysfs: Option<String>| {
        if let (Some(array), Some(sysfs)) = (array, sysfs)
            && array != sysfs
        {
            let claims = vec![("array".to_owned(), array), ("sysfs".to_owned(), sysfs)];
            found.push(disagreement(format!("{what} of {}", path.address), claims));
        }
    };
    let access = path.access.as_ref();
    let access = access.filter(|access| access.source == AccessSource::Array);
    if let Some(access) = access {
        let claimed = device.access_state.as_ref().map(ToString::to_string);
        compare("access state", Some(access.state.to_string()), claimed);
        let words = |preferred: bool| if preferred { "yes" } else { "no" }.to_owned();
        let (array, sysfs) = (path.preferred.map(words), device.preferred.map(words));
        compare("preference", array, sysfs);
    }
    if asked {
        let number = |number: Option<u16>| number.map(|number| number.to_string());
        compare("unit", path.wwid.clone(), device.wwid.clone());
        compare(
            "port group",
            number(path.port_group),
            number(device.port_group),
        );
        compare(
            "relative port",
            number(path.relative_port),
            number(device.relative_port),
        );
        let tpgs = |tpgs: Option<u8>| tpgs.map(|tpgs| tpgs.to_string());
        compare("TPGS", tpgs(path.tpgs), tpgs(device.tpgs));
    }
    found.extend(access.and_then(|access| with_dm(path, access.state, asked)));
    found
}

/// dm has failed a path that answers, or would use one that the array does not serve.
fn with_dm(path: &Path, state: AccessState, asked: bool) -> Option<Disagreement> {
    let usable = asked && matches!(state, AccessState::OPTIMIZED | AccessState::NON_OPTIMIZED);
    let dead = matches!(state, AccessState::UNAVAILABLE | AccessState::OFFLINE);
    let dm_state = path.dm_state.as_deref()?;
    ((usable && dm_state == "failed") || (dead && dm_state == "active")).then(|| {
        let claims = vec![
            ("array".to_owned(), state.to_string()),
            ("device-mapper".to_owned(), dm_state.to_owned()),
        ];
        disagreement(format!("path {}", path.address), claims)
    })
}

/// What the array says of one thing through two of its ports, if that is not the same.
pub(super) fn ports(
    about: String,
    claims: [(&String, Option<AccessState>); 2],
) -> Option<Disagreement> {
    let [(_, one), (_, other)] = &claims;
    (one != other).then(|| {
        let word = |state: Option<AccessState>| {
            state.map_or_else(|| "unknown".to_owned(), |state| state.to_string())
        };
        let claims = claims.map(|(via, state)| (format!("array through {via}"), word(state)));
        disagreement(about, claims.to_vec())
    })
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
