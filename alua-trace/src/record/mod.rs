//! Recordings: what a trace took in, kept in a file, and taken again from it.
//!
//! The format is specified in `docs/recording.md`: frames with number and checksum (`frame`), inputs of the
//! engine in them (`inputs`), commands in rows (`commands`, `rows`). A recording is written by a thread of its
//! own and never holds up the trace ([`recorder`]); it is read up to the first byte that is not as it was
//! written ([`reader`]). Whatever a file says, reading it does not panic, and takes no more memory than a
//! frame may have.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod chunk;
mod commands;
mod counted;
mod error;
mod files;
mod frame;
mod inputs;
mod kept;
mod pack;
mod rare;
pub mod reader;
pub mod recorder;
mod rows;
mod snapshots;
pub mod state;
#[cfg(test)]
mod tests;
mod window;
mod writing;

pub use error::{Malformed, RecordingError};
pub use frame::VERSION;
pub use inputs::Decoder;
pub use snapshots::Snapshots;

/// Version of the records' layout ([`alua_trace_ebpf`]), for those that are recorded as the probes made
/// them.
const WIRE: u32 = 5;
/// Of this machine.
const BYTE_ORDER: &str = if cfg!(target_endian = "little") {
    "little"
} else {
    "big"
};

/// What a recording is of, and how it was made: its first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Version of alua-trace.
    pub version: String,
    /// Version of the records' layout.
    pub wire: u32,
    /// Byte order of numbers in the probes' records: `little` or `big`.
    pub byte_order: String,
    /// Name of the host.
    #[serde(default)]
    pub host: Option<String>,
    /// The kernel's id of this boot: monotonic times of two recordings are of one clock if it is the same.
    #[serde(default)]
    pub boot_id: Option<String>,
    /// What is kept of the trace.
    #[serde(default)]
    pub holds: Holds,
    /// Which part of a recording in several files this is; none of one that is whole.
    #[serde(default)]
    pub part: Option<Part>,
    /// Maps that were reported on, by name; all when empty. Everything is recorded, whatever they are.
    pub maps: Vec<String>,
    /// What the user says of the run, by name.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The words of the command that was traced; none when there was none.
    #[serde(default)]
    pub command: Vec<String>,
}

impl Meta {
    /// Of a recording that begins now.
    pub fn new(maps: &[String]) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wire: WIRE,
            byte_order: BYTE_ORDER.to_owned(),
            host: None,
            boot_id: None,
            holds: Holds::default(),
            part: None,
            maps: maps.to_vec(),
            labels: BTreeMap::new(),
            command: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), RecordingError> {
        if self.wire != WIRE {
            return Err(RecordingError::NotReadableHere(format!(
                "by alua-trace {}, whose records have layout {} (this one knows {WIRE})",
                self.version, self.wire
            )));
        }
        if self.byte_order != BYTE_ORDER {
            return Err(RecordingError::NotReadableHere(
                "on a machine of the other byte order".to_owned(),
            ));
        }
        Ok(())
    }
}

/// What a recording keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holds {
    /// Every input, and so every command.
    #[default]
    Commands,
    /// What the engine said: intervals with their histograms, transfers, flags, the slowest commands.
    Histograms,
}

/// A file of a recording that is in several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The same for all files of the recording, and for no other.
    pub of: String,
    /// From 1 in the order of time.
    pub number: u32,
}

/// What was recorded: the last frame of a recording that ended as it should.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// Commands in it.
    pub commands: u64,
    /// Commands that found no room on their way to the file.
    pub not_recorded: u64,
    /// The trace goes on, and so may the recording, in another file.
    #[serde(default)]
    pub goes_on: bool,
    /// What the command that was traced printed; `None` when there was none.
    #[serde(default)]
    pub printed: Option<Printed>,
}

/// The end of what a command printed, standard output and standard error as they came.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Printed {
    /// As text; what is no UTF-8 is replaced.
    pub text: String,
    /// Bytes before it that there was no room for.
    pub left_out_bytes: u64,
}
