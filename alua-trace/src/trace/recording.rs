//! The recording of a trace: made when the user wants one, and what is said about it.

use std::ffi::OsString;

use anyhow::{Context, Result};

use super::{outputs::wait, signals::EndSignals};
use crate::{
    cli::{RecordTo, RecordWay, Rotate},
    format,
    record::{
        Holds, Meta, Snapshots,
        recorder::{News, Recorder, Way},
    },
    safe,
    sysroot::Sysroot,
};

/// A recording and its name.
pub(super) struct Recording {
    pub recorder: Recorder,
    /// As the user named it.
    name: String,
    /// That it ends early has been said.
    said: bool,
    /// Only what leads to something is written.
    window: bool,
    /// Files that have been made.
    made: Vec<String>,
}

impl Recording {
    /// Makes the file.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    pub fn create(
        to: &RecordTo,
        root: &Sysroot,
        maps: &[String],
        command: &[OsString],
    ) -> Result<Self> {
        let path = &to.file;
        let words = command
            .iter()
            .map(|word| word.to_string_lossy().into_owned());
        let meta = Meta {
            host: root.host_name().ok(),
            boot_id: root.boot_id().ok(),
            holds: match to.histograms_only {
                true => Holds::Histograms,
                false => Holds::Commands,
            },
            labels: to.labels.clone(),
            command: words.collect(),
            ..Meta::new(maps)
        };
        let recorder = Recorder::create(path, way(to.way), meta).with_context(|| {
            let path = path.display();
            format!("cannot record to {path}; name a file that is not there yet and can be made")
        })?;
        Ok(Self {
            recorder,
            name: safe::name(&path.to_string_lossy()),
            said: false,
            window: matches!(to.way, RecordWay::Last { .. }),
            made: Vec::new(),
        })
    }

    /// Something happened that the window should be written for, if there is one.
    pub fn trigger(&mut self) {
        if self.window {
            self.recorder.trigger();
        }
    }

    /// Whether only what leads to something is written.
    pub fn is_window(&self) -> bool {
        self.window
    }

    /// What is said of files since the last call; nothing of one that the user named.
    pub fn news(&mut self, snapshots: &Snapshots) -> Vec<String> {
        let mut said = Vec::new();
        for news in self.recorder.news() {
            match news {
                News::GivenUp(why) => said.push(format!(
                    "what led to this cannot be written beside {}: {why}; make room, the next is tried again",
                    self.name
                )),
                News::Made(file) => {
                    let name = safe::name(&file.to_string_lossy());
                    if self.window {
                        said.push(format!("what led to this is written to {name}"));
                        snapshots.made_file(file);
                    }
                    self.made.push(name);
                }
            }
        }
        said
    }

    /// That it cannot be written any more: once.
    pub fn new_failure(&mut self) -> Option<String> {
        let error = self.recorder.failure().filter(|_| !self.said)?;
        self.said = true;
        Some(format!("the recording {} ends here: {error}", self.name))
    }

    /// Waits until it is written; gives what is missing in it, and why.
    pub async fn close(mut self, signals: &mut EndSignals) -> Option<String> {
        if let Some(ended) = self.recorder.close() {
            let name = format!("the recording {}", self.name);
            if !wait(ended, signals, &format!("writing of {name}")).await {
                return Some(format!("{name} was not written to its end"));
            }
        }
        self.news(&Snapshots::default());
        if self.window && self.recorder.failure().is_none() {
            match self.made.as_slice() {
                [] => eprintln!("alua-trace: no flag was raised, so that nothing is written"),
                files => eprintln!("alua-trace: what led to flags is in {}", files.join(", ")),
            }
        }
        let missing = format::plural(self.recorder.not_recorded(), "command");
        if let Some(error) = self.recorder.failure() {
            return Some(format!(
                "the recording {} ends early, {missing} are missing: {error}; make room, or name \
                 another file",
                self.name
            ));
        }
        (self.recorder.not_recorded() > 0).then(|| {
            format!(
                "the recording {} lacks {missing}: its disk was too slow; name a file on another",
                self.name
            )
        })
    }
}

fn way(way: RecordWay) -> Way {
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match way {
        RecordWay::Whole => Way::Whole,
        RecordWay::Parts { rotate, keep } => Way::Parts {
            bytes: match rotate {
                Rotate::Size(bytes) => Some(bytes),
                Rotate::Time(_) => None,
            },
            time_ns: match rotate {
                Rotate::Size(_) => None,
                Rotate::Time(time) => Some(ns(time)),
            },
            keep,
        },
        RecordWay::Last { time, memory, keep } => Way::Window {
            last_ns: ns(time),
            bytes: usize::try_from(memory).unwrap_or(usize::MAX),
            keep,
        },
    }
}
