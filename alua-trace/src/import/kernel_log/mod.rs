//! Owns the reading of kernel logs: the handlers' and dm-multipath's lines as a timeline, and the
//! last that was said of each path.

mod line;
mod message;
mod paths;
pub(super) mod show;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::Imported;
use super::leftover::Leftover;
use super::room::Room;
use crate::inventory::model::Inventory;
use message::{Fact, Subject};
use paths::Paths;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, as the log writes it; `None` when it does not.
    pub time: Option<String>,
    /// Who says so.
    pub source: Source,
    /// The path: H:C:T:L, or the number where that is what was told; `None` if it is about none.
    pub path: Option<String>,
    /// What, in words.
    pub what: String,
}

/// Who writes a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The ALUA handler.
    Alua,
    /// The RDAC handler.
    Rdac,
    /// dm-multipath.
    DeviceMapper,
    /// The SCSI midlayer and its disk driver.
    Scsi,
}

/// Whether the kernel wrote this, and it is of interest.
pub(super) fn is_event(text: &str) -> bool {
    let parsed = message::parse(line::split(text).message);
    parsed.is_some_and(|(_, _, fact)| !matches!(fact, Fact::Named(_)))
}

/// The timeline of `text`, and the paths as they were last.
///
/// # Errors
/// No line is of interest.
pub(super) fn parse(text: &str) -> Result<Imported> {
    let mut room = Room::new(text);
    let mut timeline = Vec::new();
    let mut paths = Paths::default();
    let (mut other, mut crowd) = (Leftover::default(), Leftover::default());
    for (nth, text) in text.lines().enumerate() {
        let line = line::split(text);
        let Some((source, subject, fact)) = message::parse(line.message) else {
            if !line.message.is_empty() {
                other.add(nth, text);
            }
            continue;
        };
        if !paths.learn(subject, &fact, &mut room) {
            crowd.add(nth, text);
        }
        if let Some(what) = fact.words() {
            timeline.push(Event {
                time: line.time.map(str::to_owned),
                source,
                path: name(subject),
                what,
            });
        }
    }
    ensure!(
        !timeline.is_empty(),
        "no line of the alua and rdac handlers or of dm-multipath is in it"
    );
    let notes = [
        other.note("of other parts of the kernel left out"),
        crowd.note("of more paths than are kept, in the timeline only"),
    ];
    Ok(Imported {
        inventory: Inventory {
            unmapped: paths.into_model(),
            notes: notes.into_iter().flatten().collect(),
            ..Inventory::default()
        },
        timeline: Some(timeline),
    })
}

fn name(subject: Subject) -> Option<String> {
    match subject {
        Subject::Address(address) => Some(address.to_string()),
        Subject::Number(number) => Some(number.to_string()),
        Subject::None => None,
    }
}

#[cfg(test)]
mod tests;
