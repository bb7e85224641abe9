//! Owns what a path checker of multipath-tools would find, as far as it follows from what is known
//! without sending the checker's command. Pure.

use super::model::{Path, Rdac};
use crate::scsi::AccessState;

/// The checker's word for a path: what was told, or else what follows from the states of device, dm
/// and array; `undef`, which is the tools' own word, when nothing does.
///
/// The rules are those of the checkers `tur` and `rdac` (libmultipath/checkers/). A path that dm has
/// failed counts as faulty: its checker may find it repaired already, which only a command can tell.
pub fn word(path: &Path) -> &str {
    if let Some(word) = &path.checker_state {
        return word;
    }
    match path.device_state.as_deref() {
        // `path_offline` (libmultipath/discovery.c): the kernel holds commands back for a while.
        Some("blocked" | "quiesce") => return "i/o pending",
        Some("running") => {}
        None if !path.address.is_empty() => {}
        _ => return "faulty",
    }
    if path.dm_state.as_deref() == Some("failed") {
        return "faulty";
    }
    let state = path.access.as_ref().map(|access| access.state);
    if let Some(word) = path.rdac.as_ref().and_then(|rdac| of_rdac(rdac, state)) {
        return word;
    }
    state.map_or("undef", of_state)
}

/// Whether multipathd counts the path when it sums up its group: `ready` or `ghost`, and those of
/// which it is not known.
pub fn usable(path: &Path) -> bool {
    matches!(word(path), "ready" | "ghost" | "undef")
}

/// TEST UNIT READY succeeds when active; standby is a passive path, a ghost.
fn of_state(state: AccessState) -> &'static str {
    match state {
        AccessState::OPTIMIZED | AccessState::NON_OPTIMIZED | AccessState::LBA_DEPENDENT => "ready",
        AccessState::STANDBY => "ghost",
        AccessState::TRANSITIONING => "i/o pending",
        AccessState::UNAVAILABLE | AccessState::OFFLINE => "faulty",
        _ => "undef",
    }
}

/// Paths to the controller that does not own the volume are ghosts, unless it ships I/O. One that
/// says unavailable is none; a transition may be the array's or the controller's alone.
fn of_rdac(rdac: &Rdac, state: Option<AccessState>) -> Option<&'static str> {
    let ships = rdac.mode.as_deref()? == "IOSHIP";
    Some(match state {
        Some(AccessState::UNAVAILABLE) => "faulty",
        Some(AccessState::TRANSITIONING) => "undef",
        _ if rdac.owned? || ships => "ready",
        _ => "ghost",
    })
}

#[cfg(test)]
mod tests {
    use super::super::model::{Access, AccessSource};
    use super::*;

    fn path(state: Option<AccessState>) -> Path {
        Path {
            device_state: Some("running".to_owned()),
            dm_state: Some("active".to_owned()),
            access: state.map(|state| Access {
                state,
                source: AccessSource::Sysfs,
                age_ms: None,
            }),
            ..Path::default()
        }
    }

    #[test]
    fn a_state_says_what_the_checker_would_find() {
        let words = AccessState::DEFINED.map(|state| word(&path(Some(state))).to_owned());
        let expected = [
            "ready",
            "ready",
            "ghost",
            "faulty",
            "ready",
            "faulty",
            "i/o pending",
        ];
        assert_eq!(words, expected);
        assert_eq!(word(&path(None)), "undef");
    }

    #[test]
    fn what_failed_is_faulty_whatever_the_array_says() {
        let mut failed = path(Some(AccessState::OPTIMIZED));
        failed.dm_state = Some("failed".to_owned());
        assert!(word(&failed) == "faulty" && !usable(&failed));
        let mut offline = path(Some(AccessState::OPTIMIZED));
        offline.device_state = Some("offline".to_owned());
        assert_eq!(word(&offline), "faulty");
        offline.device_state = Some("blocked".to_owned());
        assert_eq!(word(&offline), "i/o pending");
        assert_eq!(word(&Path::default()), "faulty", "the device is gone");
        offline.checker_state = Some("ready".to_owned());
        assert_eq!(word(&offline), "ready");
    }

    #[test]
    fn an_rdac_path_is_a_ghost_when_its_controller_neither_owns_nor_ships() {
        for (mode, owned, expected) in [
            ("RDAC", true, "ready"),
            ("RDAC", false, "ghost"),
            ("AVT", false, "ghost"),
            ("IOSHIP", false, "ready"),
        ] {
            let mut path = path(Some(AccessState::STANDBY));
            path.rdac = Some(Rdac {
                mode: Some(mode.to_owned()),
                owned: Some(owned),
                ..Rdac::default()
            });
            assert_eq!(word(&path), expected, "{mode} {owned}");
            path.access.as_mut().unwrap().state = AccessState::UNAVAILABLE;
            assert_eq!(word(&path), "faulty", "{mode} {owned}");
        }
    }
}
