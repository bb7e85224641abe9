//! The recording of a trace: made when the user wants one, and what is said about it.

use std::ffi::OsString;

use anyhow::{Context, Result};

use super::{outputs::wait, signals::EndSignals};
use crate::{
    cli::RecordTo,
    format,
    record::{Meta, recorder::Recorder},
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
            labels: to.labels.clone(),
            command: words.collect(),
            ..Meta::new(maps)
        };
        let recorder = Recorder::create(path, meta).with_context(|| {
            let path = path.display();
            format!("cannot record to {path}; name a file that is not there yet and can be made")
        })?;
        Ok(Self {
            recorder,
            name: safe::name(&path.to_string_lossy()),
            said: false,
        })
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
