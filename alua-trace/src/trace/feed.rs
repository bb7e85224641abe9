//! The engine's inputs on their way to it, and to the recording.

use crate::{
    engine::{Engine, Input, Wanted},
    model::{FlagChange, Line, Start},
};

use super::recording::Recording;

/// An engine, and the recording of what it is fed.
pub(super) struct Feed {
    pub engine: Engine,
    pub recording: Option<Recording>,
}

impl Feed {
    pub fn new(wanted: Wanted, recording: Option<Recording>) -> Self {
        Self {
            engine: Engine::new(wanted),
            recording,
        }
    }

    /// Gives one input to the engine.
    // As [`Engine::take`].
    #[inline(always)]
    pub fn take(&mut self, at_ns: u64, input: Input<'_>) {
        if let Some(recording) = &mut self.recording {
            recording.recorder.take(at_ns, input);
        }
        self.engine.take(at_ns, input);
    }

    /// The line that the trace begins with. What the engine has said before is in it.
    pub fn start(&mut self, start: &Start) {
        if let Some(recording) = &mut self.recording {
            recording.recorder.start(start);
        }
    }

    /// What is to be said since the last call.
    pub fn lines(&mut self) -> Vec<Line> {
        let lines = self.engine.take_lines();
        if let Some(recording) = &mut self.recording
            && !lines.is_empty()
        {
            recording.recorder.lines(&lines);
            if lines.iter().any(is_raised) {
                recording.trigger();
            }
        }
        lines
    }
}

/// Whether it says that a flag was raised.
fn is_raised(line: &Line) -> bool {
    matches!(line, Line::Flag(event) if event.change == FlagChange::Raised)
}
