//! Owns what one path tells of the picture: its two ends, its name, and how its line is drawn.

use super::{HostPort, Stroke};
use crate::inventory::model::{Path, Transport};
use crate::scsi::AccessState;

pub(super) const fn stroke_of_state(state: AccessState) -> Stroke {
    match state {
        AccessState::OPTIMIZED => Stroke::Solid,
        AccessState::NON_OPTIMIZED => Stroke::Dashed,
        _ => Stroke::Dotted,
    }
}

fn is_failed(path: &Path) -> bool {
    let is = |word: &Option<String>, bad: &[&str]| {
        word.as_deref().is_some_and(|word| bad.contains(&word))
    };
    is(&path.dm_state, &["failed"])
        || is(&path.checker_state, &["faulty", "shaky", "down"])
        || is(
            &path.device_state,
            &["offline", "transport-offline", "deleted"],
        )
}

/// Where no state is known, RDAC's owner stands for it.
pub(super) fn stroke(path: &Path) -> Stroke {
    if is_failed(path) {
        return Stroke::Failed;
    }
    if let Some(access) = &path.access {
        return stroke_of_state(access.state);
    }
    let rdac = path.rdac.as_ref();
    match rdac.map(|rdac| (rdac.owned, rdac.mode.as_deref())) {
        Some((Some(true), _)) => Stroke::Solid,
        Some((Some(false), Some("IOSHIP"))) => Stroke::Dashed,
        _ => Stroke::Dotted,
    }
}

pub(super) fn state_words(path: &Path) -> String {
    if let Some(access) = &path.access {
        return access.state.to_string();
    }
    let mode = path.rdac.as_ref().and_then(|rdac| rdac.mode.as_ref());
    mode.map(|mode| format!("mode {mode}")).unwrap_or_default()
}

pub(super) fn state_short(path: &Path) -> &'static str {
    if is_failed(path) {
        return "failed";
    }
    if let Some(access) = &path.access {
        return access.state.abbreviation();
    }
    match path.rdac.as_ref().and_then(|rdac| rdac.owned) {
        Some(true) => "owner",
        Some(false) => "other",
        None => "?",
    }
}

pub(super) fn path_name(path: &Path) -> String {
    let address = (!path.address.is_empty()).then_some(path.address.as_str());
    let names = [path.device.as_deref(), address];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    if name.is_empty() {
        path.devno.clone().unwrap_or_else(|| "path".to_owned())
    } else {
        name
    }
}

/// By its address on the network; else by the number that the host gives it.
pub(super) fn host_port(path: &Path) -> HostPort {
    let number = path
        .address
        .split_once(':')
        .map(|(host, _)| match host.parse::<u32>() {
            Ok(number) => format!("host {number}"),
            Err(_) => host.to_owned(),
        });
    let detail = match &path.transport {
        Some(Transport::Iscsi(iscsi)) => {
            let parts = [iscsi.local_address.clone(), iscsi.interface.clone()];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| parts.join(" "))
        }
        Some(Transport::Fc { local_port, .. }) => local_port.clone(),
        Some(Transport::Sas { local_address, .. }) => local_address.clone(),
        Some(Transport::Other { .. }) | None => None,
    };
    let key = detail.clone().or(number.clone()).unwrap_or_default();
    HostPort {
        key,
        name: number.unwrap_or_else(|| "host port".to_owned()),
        detail,
    }
}

/// By relative number, or by address; else by what the host calls it, which is no other path's.
pub(super) fn array_port(path: &Path) -> String {
    let remote = match &path.transport {
        Some(Transport::Iscsi(iscsi)) => iscsi.portal.clone(),
        Some(Transport::Fc { remote_port, .. }) => remote_port.clone(),
        Some(Transport::Sas { remote_address, .. }) => remote_address.clone(),
        Some(Transport::Other { .. }) | None => None,
    };
    match (path.relative_port, remote) {
        (Some(port), Some(remote)) => format!("port {port}  {remote}"),
        (Some(port), None) => format!("port {port}"),
        (None, Some(remote)) => remote,
        (None, None) => match path.address.rsplit_once(':') {
            Some((target, _)) => format!("target of {target}"),
            None => {
                let name = path.device.as_ref().or(path.devno.as_ref());
                name.map_or_else(
                    || "port unknown".to_owned(),
                    |name| format!("target of {name}"),
                )
            }
        },
    }
}

/// What the paths run over; "network" where they differ or nobody told.
pub(super) const fn network(before: &'static str, path: &Path) -> &'static str {
    let this = match &path.transport {
        Some(Transport::Iscsi(_)) => "IP network",
        Some(Transport::Fc { .. }) => "FC fabric",
        Some(Transport::Sas { .. }) => "SAS",
        Some(Transport::Other { .. }) | None => "network",
    };
    // Names differ in length where they differ at all.
    if before.is_empty() || before.len() == this.len() {
        this
    } else {
        "network"
    }
}
