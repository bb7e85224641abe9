//! What a trace needs to be allowed to do: the one table of it. `README.md` names the same.

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};
use serde::Serialize;

/// A capability, and what a trace cannot tell without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Right {
    /// Its name (capabilities(7)).
    pub capability: &'static str,
    /// What is lost without it.
    pub lost_without: &'static str,
}

/// Everything a complete trace needs, and the capabilities that each give it.
const RIGHTS: [(Right, &[CapabilitySet]); 3] = [
    (
        Right {
            capability: "CAP_SYS_ADMIN",
            lost_without: "multipath maps, which device-mapper tells nobody else (drivers/md/\
                           dm-ioctl.c ctl_ioctl); and the probes on functions, where \
                           kernel.perf_event_paranoid is above 2, as Debian has it",
        },
        &[CapabilitySet::SYS_ADMIN],
    ),
    (
        Right {
            capability: "CAP_SYSLOG",
            lost_without: "the addresses of kernel functions (kallsyms_show_value): which map and \
                           path group a command came through",
        },
        &[CapabilitySet::SYSLOG],
    ),
    (
        Right {
            capability: "CAP_DAC_READ_SEARCH",
            lost_without: "multipath maps, as /dev/mapper/control is root's",
        },
        &[CapabilitySet::DAC_READ_SEARCH, CapabilitySet::DAC_OVERRIDE],
    ),
];

/// What older kernels need besides.
const LOCKED_MEMORY: Right = Right {
    capability: "CAP_SYS_RESOURCE",
    lost_without: "everything: before Linux 5.11 the maps of probes are locked memory \
                   (kernel/bpf/syscall.c bpf_charge_memlock), whose limit only it lifts",
};
/// The first kernel that counts the memory of maps otherwise.
const NOT_LOCKED: (u32, u32) = (5, 11);

/// The rights that this process lacks for a trace of the kernel of this release. Root's files are
/// root's own.
///
/// # Errors
/// The process' capabilities cannot be read.
pub fn missing(release: &str) -> Result<Vec<Right>> {
    let (own, is_root) = (effective()?, rustix::process::geteuid().is_root());
    let mut missing = missing_of(own, is_root);
    if locks_memory(release) && !own.contains(CapabilitySet::SYS_RESOURCE) {
        missing.push(LOCKED_MEMORY);
    }
    Ok(missing)
}

/// Whether a kernel counts the maps of probes as locked memory.
fn locks_memory(release: &str) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < NOT_LOCKED,
        _ => false,
    }
}

/// Lifts the limit of locked memory as far as this process may: nothing on kernels that do not count
/// the maps of probes.
pub fn lift_memory_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let none = Rlimit {
        current: None,
        maximum: None,
    };
    if setrlimit(Resource::Memlock, none).is_err() {
        let own = getrlimit(Resource::Memlock);
        let most = Rlimit {
            current: own.maximum,
            ..own
        };
        // Its own maximum is any process' to take; if it is too low, creating the maps says so.
        let _ = setrlimit(Resource::Memlock, most);
    }
}

fn missing_of(own: CapabilitySet, is_root: bool) -> Vec<Right> {
    let lacks = |any: &[CapabilitySet]| !any.iter().any(|one| own.contains(*one));
    let reads = |any: &[CapabilitySet]| is_root && any.contains(&CapabilitySet::DAC_READ_SEARCH);
    let rights = RIGHTS.iter();
    rights
        .filter(|(_, any)| lacks(any) && !reads(any))
        .map(|(right, _)| *right)
        .collect()
}

/// Checks that this process may load and attach probes (`bpf_capable`, `perfmon_capable`), without
/// which there is no trace.
///
/// # Errors
/// It may not; says what to do.
pub fn check() -> Result<()> {
    let own = effective()?;
    let narrow = CapabilitySet::BPF | CapabilitySet::PERFMON;
    if own.contains(CapabilitySet::SYS_ADMIN) || own.contains(narrow) {
        return Ok(());
    }
    bail!(
        "not permitted to load probes: run it as root (sudo alua-trace …), or with the \
         capabilities {}",
        RIGHTS.map(|(right, _)| right.capability).join(", ")
    )
}

fn effective() -> Result<CapabilitySet> {
    Ok(capabilities(None)
        .context("failed to read this process' capabilities")?
        .effective)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_names_every_right_and_no_other() {
        let readme = include_str!("../../../README.md");
        let needs = readme.split("### What it needs").nth(1).unwrap();
        let sentence = needs.split("CAP_BPF").next().unwrap();
        let named: Vec<&str> = sentence
            .split(|it: char| !it.is_ascii_uppercase() && it != '_')
            .filter(|word| word.starts_with("CAP_"))
            .collect();
        assert_eq!(named, RIGHTS.map(|(right, _)| right.capability));
    }

    #[test]
    fn older_kernels_lock_the_memory_of_maps() {
        for (release, locks) in [
            ("5.10.0-46-amd64", true),
            ("4.18.0", true),
            ("5.11.0", false),
            ("6.1.0-50-amd64", false),
            ("", false),
        ] {
            assert_eq!(locks_memory(release), locks, "{release}");
        }
        let readme = include_str!("../../../README.md");
        assert!(readme.contains(LOCKED_MEMORY.capability));
    }

    #[test]
    fn what_is_missing_is_named() {
        let all = CapabilitySet::SYS_ADMIN | CapabilitySet::SYSLOG;
        let names = |own, is_root| -> Vec<&str> {
            let missing = missing_of(own, is_root).into_iter();
            missing.map(|right| right.capability).collect()
        };
        assert_eq!(names(all, true), [""; 0]);
        assert_eq!(names(all, false), ["CAP_DAC_READ_SEARCH"]);
        assert_eq!(names(all | CapabilitySet::DAC_OVERRIDE, false), [""; 0]);
        let narrow = CapabilitySet::BPF | CapabilitySet::PERFMON;
        assert_eq!(names(narrow, true), ["CAP_SYS_ADMIN", "CAP_SYSLOG"]);
    }
}
