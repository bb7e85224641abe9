//! What is wrong with a multipath set-up: a pure function of its configuration and of what is known
//! of the host's maps and paths. `docs/findings.md` lists all findings.

mod lone;
mod map;
mod options;
mod path;

use std::collections::HashMap;

use serde::Serialize;

use super::effective::{Answers, Configuration};
use super::facts::Host;
use super::section::Line;
use super::tables::Tables;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// I/O takes worse paths than it could, or stops when it need not.
    Problem,
    /// Something does not do what somebody meant it to do.
    Warning,
    /// It may be meant so; it is good to know.
    Advice,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Id {
    /// No device handler is attached to a path that needs one.
    HandlerMissing,
    /// A device handler's module is not loaded.
    HandlerModule,
    /// All paths of an asymmetric unit in one group.
    Multibus,
    /// All paths of an asymmetric unit have one priority.
    ConstPrio,
    /// I/O goes to a group whose state is not the best there is.
    GroupNotBest,
    /// A line for which multipath-tools refuse the whole file.
    FileRefused,
    /// A vendor, product or revision that is no regular expression.
    PatternInvalid,
    /// `path_checker alua`.
    PathCheckerAlua,
    /// `prio_callout`.
    PrioCallout,
    /// `getuid_callout`.
    GetuidCallout,
    /// `mpath_prio_alua`, `mpath_prio_emc` and their like.
    MpathPrioProgram,
    /// `rr_min_io`, `rr_min_io_rq`, `rr_weight`.
    RrMinIo,
    /// `retain_attached_hw_handler`.
    RetainHandler,
    /// A file says something else than multipathd runs with.
    NotRead,
    /// Paths of one map with different MTU.
    MtuDiffers,
    /// All paths of a map through one interface or to one portal.
    OneWay,
    /// Packets that are far smaller than the MTU.
    MssBelowMtu,
    /// `failback immediate` on a unit that moves by command.
    FailbackImmediate,
    /// `detect_prio yes`.
    DetectPrioDefault,
    /// An asymmetric array that says TPGS 0.
    TpgsZero,
}

impl Id {
    /// All of them.
    #[cfg(test)]
    const ALL: [Self; 20] = [
        Self::HandlerMissing,
        Self::HandlerModule,
        Self::Multibus,
        Self::ConstPrio,
        Self::GroupNotBest,
        Self::FileRefused,
        Self::PatternInvalid,
        Self::PathCheckerAlua,
        Self::PrioCallout,
        Self::GetuidCallout,
        Self::MpathPrioProgram,
        Self::RrMinIo,
        Self::RetainHandler,
        Self::NotRead,
        Self::MtuDiffers,
        Self::OneWay,
        Self::MssBelowMtu,
        Self::FailbackImmediate,
        Self::DetectPrioDefault,
        Self::TpgsZero,
    ];

    /// Its name in JSON, in the report and in `docs/findings.md`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::HandlerMissing => "handler-missing",
            Self::HandlerModule => "handler-module",
            Self::Multibus => "multibus",
            Self::ConstPrio => "const-prio",
            Self::GroupNotBest => "group-not-best",
            Self::FileRefused => "file-refused",
            Self::PatternInvalid => "pattern-invalid",
            Self::PathCheckerAlua => "path-checker-alua",
            Self::PrioCallout => "prio-callout",
            Self::GetuidCallout => "getuid-callout",
            Self::MpathPrioProgram => "mpath-prio-program",
            Self::RrMinIo => "rr-min-io",
            Self::RetainHandler => "retain-handler",
            Self::NotRead => "not-read",
            Self::MtuDiffers => "mtu-differs",
            Self::OneWay => "one-way",
            Self::MssBelowMtu => "mss-below-mtu",
            Self::FailbackImmediate => "failback-immediate",
            Self::DetectPrioDefault => "detect-prio-default",
            Self::TpgsZero => "tpgs-zero",
        }
    }

    /// How bad it is.
    pub const fn severity(self) -> Severity {
        match self {
            Self::HandlerMissing
            | Self::HandlerModule
            | Self::Multibus
            | Self::ConstPrio
            | Self::GroupNotBest
            | Self::FileRefused
            | Self::PatternInvalid
            | Self::PathCheckerAlua => Severity::Problem,
            Self::PrioCallout
            | Self::GetuidCallout
            | Self::MpathPrioProgram
            | Self::RrMinIo
            | Self::RetainHandler
            | Self::NotRead
            | Self::MtuDiffers
            | Self::OneWay
            | Self::MssBelowMtu => Severity::Warning,
            Self::FailbackImmediate | Self::DetectPrioDefault | Self::TpgsZero => Severity::Advice,
        }
    }

    /// What to do.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::HandlerMissing => {
                "load the handler's module before the array is scanned (an initramfs with it, or \
                 /etc/modules-load.d), or attach it: echo alua or rdac to the device's dh_state"
            }
            Self::HandlerModule => {
                "modprobe it, and have it loaded before the array is scanned: in the initramfs, or \
                 from /etc/modules-load.d"
            }
            Self::Multibus => {
                "path_grouping_policy group_by_prio, with a prio that knows the array"
            }
            Self::ConstPrio => {
                "prio rdac for RDAC arrays, prio emc for CLARiiON without ALUA; for ALUA arrays \
                 leave detect_prio on"
            }
            Self::GroupNotBest => {
                "see why: a failed path, failback manual, or another host; `multipathd show maps` \
                 and the transfers that alua-trace run shows. dmsetup message MAP 0 switch_group N \
                 moves I/O by hand"
            }
            Self::FileRefused => {
                "mend the line: in a blacklist .* stands for anything; a leading ! negates"
            }
            Self::PatternInvalid => {
                "write a POSIX extended regular expression: .* stands for anything"
            }
            Self::PathCheckerAlua => {
                "remove the line: tur is the checker for ALUA arrays, rdac for RDAC"
            }
            Self::PrioCallout => "remove the line; prio names the prioritizer",
            Self::GetuidCallout => "remove the line; uid_attribute names the udev attribute",
            Self::MpathPrioProgram => "prio alua, or prio emc, without a program",
            Self::RrMinIo => "remove the line; path_selector decides",
            Self::RetainHandler => "remove the line",
            Self::NotRead => "multipathd reconfigure",
            Self::MtuDiffers => "give all interfaces and switch ports of the map one MTU",
            Self::OneWay => {
                "log in to portals of both controllers, from an interface of its own for each"
            }
            Self::MssBelowMtu => {
                "give the array's port and every switch port between the same MTU, then log in \
                 again: ping -M do -s (MTU - 28) shows how far it reaches"
            }
            Self::FailbackImmediate => {
                "if several hosts use the unit: failback followover on all of them, or manual; if \
                 only this one does, it is fine"
            }
            Self::DetectPrioDefault => "remove the line, or leave it",
            Self::TpgsZero => {
                "nothing, if handler, prio and checker are rdac; detection from TPGS does not work \
                 here, so do not rely on it. Some arrays say TPGS after a change of host type"
            }
        }
    }
}

/// Something to know about the set-up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is.
    pub id: Id,
    /// How bad it is.
    pub severity: Severity,
    /// The lines that cause it; empty when none does.
    pub at: Vec<Line>,
    /// Maps and paths it is about: `mpatha`, `mpatha 1:0:0:1 sdb`.
    pub subjects: Vec<String>,
    /// Why it was raised.
    pub reason: String,
    /// What to do.
    pub remedy: &'static str,
}

impl Finding {
    fn new(id: Id, at: Option<Line>, subject: Option<String>, reason: impl Into<String>) -> Self {
        Self {
            id,
            severity: id.severity(),
            at: at.into_iter().collect(),
            subjects: subject.into_iter().collect(),
            reason: reason.into(),
            remedy: id.remedy(),
        }
    }
}

/// All findings, the worst first; of `configuration` alone without a host.
pub fn findings(configuration: &Configuration, host: Option<&Host>) -> Vec<Finding> {
    let mut found: Vec<Finding> = options::refusals(configuration).collect();
    found.extend(of_files(&configuration.files, host));
    if let Some(meant) = &configuration.meant {
        found.extend(as_meant(of_files(meant, host), &found));
    }
    if let Some(host) = host {
        let mut answers = Answers::new(configuration);
        for map in &host.maps {
            found.extend(map::findings(map, &answers.of(map.subject())));
        }
        found.extend(path::findings(host));
    }
    let mut found = merged(found);
    found.sort_by_key(|finding| (finding.severity, finding.id));
    found
}

/// Findings that the text of the files alone gives.
fn of_files(files: &Tables, host: Option<&Host>) -> Vec<Finding> {
    let mut found = options::findings(files);
    if host.is_none() {
        found.extend(lone::findings(files));
    }
    found
}

/// Findings of a text as it may be meant, without those it has as it is read.
fn as_meant(meant: Vec<Finding>, read: &[Finding]) -> Vec<Finding> {
    let is_new = |it: &Finding| {
        !read
            .iter()
            .any(|known| (known.id, &known.at) == (it.id, &it.at))
    };
    let new = meant.into_iter().filter(is_new);
    new.map(|finding| Finding {
        reason: format!(
            "as it may be meant (multipath-tools do not read the line so: see the notes): {}",
            finding.reason
        ),
        ..finding
    })
    .collect()
}

/// Findings that differ in their lines, maps or paths only become one.
fn merged(found: Vec<Finding>) -> Vec<Finding> {
    let mut places = HashMap::new();
    let mut merged: Vec<Finding> = Vec::new();
    for finding in found {
        let key = (finding.id, finding.reason.clone());
        let place = *places.entry(key).or_insert(merged.len());
        let Some(same) = merged.get_mut(place) else {
            merged.push(finding);
            continue;
        };
        same.subjects.extend(finding.subjects);
        // The maps that a line is for come one after the other.
        if finding.at.first() != same.at.last() {
            same.at.extend(finding.at);
        }
    }
    merged
}

#[cfg(test)]
mod tests;
