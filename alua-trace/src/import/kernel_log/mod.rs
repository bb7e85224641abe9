//! Owns the reading of kernel logs: the handlers' and dm-multipath's lines as a timeline, and the
//! last that was said of each path.

mod failure;
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
use crate::topology::Hctl;
use failure::{Failure, Part};
use line::Writer;
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
    /// multipathd, in syslog.
    Multipathd,
    /// Another device handler: emc, hp_sw.
    Handler,
    /// iSCSI sessions and connections, and remote ports of Fibre Channel.
    Transport,
}

/// Whether the kernel wrote this, and it is of interest.
pub(super) fn is_event(text: &str) -> bool {
    let line = line::split(text);
    let parsed = message::parse(line.message).filter(|_| line.writer == Writer::Kernel);
    parsed.is_some_and(|(_, _, fact)| !matches!(fact, Fact::Named(_)))
}

/// The timeline of `text`, and the paths as they were last.
///
/// # Errors
/// No line is of interest.
pub(super) fn parse(text: &str) -> Result<Imported> {
    let lines = line::unwrapped(text);
    let mut reading = Reading {
        room: Room::new(text),
        timeline: Vec::new(),
        paths: Paths::default(),
        failure: None,
        other: Leftover::default(),
        crowd: Leftover::default(),
    };
    for (nth, text) in &lines {
        reading.line(*nth, text);
    }
    reading.finish()
}

struct Reading<'a> {
    room: Room,
    timeline: Vec<(Event, Subject)>,
    paths: Paths,
    /// The command whose account is read.
    failure: Option<Failure>,
    other: Leftover<'a>,
    crowd: Leftover<'a>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, nth: usize, text: &'a str) {
        let line = line::split(text);
        let parsed = match line.writer {
            Writer::Kernel => message::parse(line.message),
            Writer::Multipathd => Some(message::of_multipathd(line.message)),
        };
        let Some((source, subject, fact)) = parsed else {
            if !line.message.is_empty() {
                self.other.add(nth, text);
            }
            return;
        };
        if !self.paths.learn(subject, &fact, &mut self.room) {
            self.crowd.add(nth, text);
        }
        let what = match (&fact, subject) {
            (Fact::Failure(_, part), Subject::Address(address)) => {
                self.failed(address, *part, line.time);
                return;
            }
            (fact, _) => fact.words(),
        };
        match what {
            Some(what) => self.push(line.time, source, subject, what),
            // What names a disk only is no event.
            None => self.other.add(nth, text),
        }
    }

    fn push(&mut self, time: Option<&str>, source: Source, subject: Subject, what: String) {
        let event = Event {
            time: time.map(str::to_owned),
            source,
            path: None,
            what,
        };
        self.timeline.push((event, subject));
    }

    /// A line on a command that failed: of the one before, or of the next.
    fn failed(&mut self, address: Hctl, part: Part<'_>, time: Option<&str>) {
        let open = self.failure.take().filter(|it| it.takes(address, part));
        let mut failure = open.unwrap_or_else(|| {
            let subject = Subject::Address(address);
            self.push(time, Source::Scsi, subject, String::new());
            Failure::new(address, self.timeline.len() - 1)
        });
        failure.learn(part);
        if let Some((event, _)) = self.timeline.get_mut(failure.at) {
            event.what = failure.words();
        }
        self.failure = Some(failure);
    }

    fn finish(self) -> Result<Imported> {
        ensure!(
            !self.timeline.is_empty(),
            "no line of the alua and rdac handlers, of dm-multipath or multipathd is in it"
        );
        let notes = [
            self.other.note("of other parts of the kernel left out"),
            self.crowd
                .note("of more paths than are kept, in the timeline only"),
        ];
        // A number is a path of which an address is known once some line has told its name.
        let named = |(mut event, subject): (Event, Subject)| {
            event.path = match subject {
                Subject::Number(number) => match self.paths.address_of(number) {
                    Some(address) => {
                        event.what = format!("{} ({number})", event.what);
                        Some(address.to_string())
                    }
                    None => name(subject),
                },
                _ => name(subject),
            };
            event
        };
        let timeline = self.timeline.into_iter().map(named).collect();
        Ok(Imported {
            inventory: Inventory {
                unmapped: self.paths.into_model(),
                notes: notes.into_iter().flatten().collect(),
                ..Inventory::default()
            },
            timeline: Some(timeline),
            configuration: Vec::new(),
        })
    }
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
