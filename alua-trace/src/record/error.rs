//! What can be wrong with a recording.

use std::io;

use thiserror::Error;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, Error)]
pub enum RecordingError {
    /// The file is empty, or is something else.
    #[error("not a recording of alua-trace: {0}")]
    Foreign(&'static str),
    /// Made by a version that came later, or on a machine of the other byte order.
    #[error("made {0}; read it with that")]
    NotReadableHere(String),
    /// The file ends within a frame, or without the frame that ends a recording.
    #[error("it ends early, at byte {offset} after {frames} whole frames: {why}")]
    CutShort {
        /// Where the last whole frame ends.
        offset: u64,
        /// Whole frames before it.
        frames: u32,
        /// What is missing there.
        why: &'static str,
    },
    /// The bytes of a frame are not those that were written.
    #[error("frame {frame} at byte {offset} is damaged: {why}; what comes before it is whole")]
    Damaged {
        /// Where the frame begins.
        offset: u64,
        /// Its number, from 0.
        frame: u32,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It does not go on where the file before it ends.
    #[error(
        "it does not go on where the file before it ends; name one recording, its files in order"
    )]
    OtherRecording,
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Something in a frame's payload is not as it should be, whatever its checksum says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Malformed(
    /// What is wrong.
    pub &'static str,
);
