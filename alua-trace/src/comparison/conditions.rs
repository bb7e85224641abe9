//! What a host did for each command of a run: what the load went through, not what is compared.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;

use crate::{evidence::Evidence, setup::Setup};

/// Something that is counted for each read and write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Frames that the interfaces of the iSCSI sessions have received and sent.
    Frames,
    /// Interrupts of the whole host.
    Interrupts,
    /// TCP segments that the host has sent again.
    Retransmits,
}

/// Means of both sides, where all their runs carry it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Went {
    /// What is counted.
    pub condition: Condition,
    /// For each command of the one side.
    pub one: f64,
    /// And of the other.
    pub other: f64,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Frames, Self::Interrupts, Self::Retransmits];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Frames => "frames per I/O",
            Self::Interrupts => "interrupts per I/O",
            Self::Retransmits => "retransmits per I/O",
        }
    }

    /// Of a run with so many reads and writes; `None` where the run does not carry it.
    pub(super) fn of(self, evidence: &Evidence, commands: u64) -> Option<f64> {
        let interfaces = interfaces(evidence);
        per_io(evidence, commands, |setup| match self {
            Self::Frames => frames(setup, &interfaces),
            Self::Interrupts => setup.cpus.interrupts,
            Self::Retransmits => setup.network.retransmits.filter(|_| !interfaces.is_empty()),
        })
    }
}

/// A count of the host for each command: the set-up is read at the beginning and at the end; what was counted in
/// between, for the commands of as much time.
pub(super) fn per_io(
    evidence: &Evidence,
    commands: u64,
    count: impl Fn(&Setup) -> Option<u64>,
) -> Option<f64> {
    let [first, last] = evidence.setups.as_slice() else {
        return None;
    };
    let counted = count(last)?.checked_sub(count(first)?)?;
    let time_ns = last.at_ns.checked_sub(first.at_ns).filter(|it| *it > 0)?;
    let share = evidence.summary.duration_ns as f64 / time_ns as f64;
    (commands > 0).then(|| counted as f64 * share / commands as f64)
}

fn frames(setup: &Setup, interfaces: &BTreeSet<String>) -> Option<u64> {
    let frames = interfaces
        .iter()
        .map(|name| setup.network.interfaces.get(name)?.frames);
    let frames: Option<Vec<u64>> = frames.collect();
    frames.filter(|it| !it.is_empty()).map(crate::stats::sum)
}

/// Those that iSCSI sessions go over.
fn interfaces(evidence: &Evidence) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for setup in &evidence.setups {
        collect(&setup.inventory, &mut found);
    }
    found
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|it| collect(it, found)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value.as_str().filter(|_| name == "interface") {
                    Some(interface) => _ = found.insert(interface.to_owned()),
                    None => collect(value, found),
                }
            }
        }
        _ => {}
    }
}
