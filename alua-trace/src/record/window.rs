//! The last minutes of a trace in memory, packed, in segments that can each be read alone.

use std::collections::VecDeque;

use super::{frame::Kind, state::State};

/// Segments of a window: it is longer than asked for by at most one.
const SEGMENTS: u64 = 60;
/// Segments of one that is shorter, as there is no room.
const LEAST_SEGMENTS: usize = 16;
const SHORTEST_NS: u64 = 1_000_000_000;
/// What a state takes in memory for each of its paths, about, and a frame beside its bytes.
const STATE_BYTES: usize = 4096;
const FRAME_BYTES: usize = 64;

/// The window.
pub(super) struct Window {
    last_ns: u64,
    most_bytes: usize,
    segments: VecDeque<Segment>,
    bytes: usize,
}

/// Frames from a time on, and what was the state then.
pub(super) struct Segment {
    /// Since when.
    pub(super) from_ns: u64,
    /// What had been told before.
    pub(super) state: State,
    /// In order.
    pub(super) frames: Vec<Frame>,
    bytes: usize,
}

/// A frame that may be written.
pub(super) struct Frame {
    pub(super) kind: Kind,
    pub(super) payload: Vec<u8>,
    pub(super) commands: u64,
    pub(super) not_recorded: u64,
}

impl Window {
    pub(super) fn new(last_ns: u64, most_bytes: usize) -> Self {
        Self {
            last_ns,
            most_bytes,
            segments: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Keeps a frame; those that are too old, or find no room any more, go.
    pub(super) fn push(&mut self, frame: Frame) {
        let bytes = frame.payload.len() + FRAME_BYTES;
        let Some(segment) = self.segments.back_mut() else {
            return;
        };
        segment.frames.push(frame);
        segment.bytes += bytes;
        self.bytes += bytes;
        while self.bytes > self.most_bytes && self.segments.len() > 1 {
            self.pop();
        }
    }

    /// An interval has ended at `at_ns`, in this state: a segment may begin here.
    pub(super) fn boundary(&mut self, at_ns: u64, state: &State) {
        let shortest_ns = (self.last_ns / SEGMENTS).max(SHORTEST_NS);
        let is_full = |last: &Segment| {
            at_ns.saturating_sub(last.from_ns) >= shortest_ns
                || last.bytes >= self.most_bytes / LEAST_SEGMENTS
        };
        if self.segments.back().is_none_or(is_full) {
            let bytes = STATE_BYTES + state.bytes();
            self.bytes += bytes;
            self.segments.push_back(Segment {
                from_ns: at_ns,
                state: state.clone(),
                frames: Vec::new(),
                bytes,
            });
        }
        let from_ns = at_ns.saturating_sub(self.last_ns);
        // The second one reaches back far enough.
        while self.segments.get(1).is_some_and(|it| it.from_ns <= from_ns) {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.segments.pop_front() {
            self.bytes -= oldest.bytes;
        }
    }

    /// From the oldest on.
    pub(super) fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter()
    }
}
