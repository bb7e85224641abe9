//! Writing a recording while a trace runs: what the engine is given goes into a bounded queue as well, and a
//! thread packs and writes it. A slow disk costs recorded commands, which are counted; never the trace.

use std::{
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alua_trace_ebpf::{CommandRecord, record_kind};
use tokio::sync::oneshot;

pub use super::files::{News, Way};
use super::{
    Holds, Meta, Printed,
    chunk::Chunk,
    files::{Files, Told},
    kept::Kept,
    writing::Writing,
};
use crate::{
    engine::Input,
    model::{Line, Start},
    setup::Setup,
    sinks::queue::{Item, MOST_BYTES as FULL_BYTES, Output},
    topology::Topology,
};

const COMMAND_BYTES: usize = size_of::<CommandRecord>();
/// What was taken is written at least so often, in time of the inputs, and at the end of each interval: a tool
/// that is killed has lost no more. Not much more often: to wake the thread takes from the load that is
/// measured.
const WRITTEN_EACH_NS: u64 = 1_000_000_000;
/// What a path takes in the line that a trace begins with, and a disk in a set-up, about.
const PATH_BYTES: usize = 512;
const SETUP_BYTES: usize = 4096;

/// A recording that is being made, as the trace sees it. Nothing here waits.
pub struct Recorder {
    output: Output<Recorded>,
    chunk: Chunk,
    topology: Option<Arc<Topology>>,
    handed_over_ns: u64,
    /// Commands that found no room on their way to the file.
    lost: u64,
    spare: Spare,
    holds: Holds,
    told: Told,
}

/// Chunks that the thread has written, to be filled again: they are in memory already.
pub(super) type Spare = Arc<Mutex<Vec<Chunk>>>;
pub(super) const MOST_SPARE: usize = 4;

impl Recorder {
    /// Makes the file, or the first one; none yet where a window is kept.
    ///
    /// # Errors
    /// It is there already, cannot be made, or no thread can be started.
    pub fn create(path: &Path, way: Way, meta: Meta) -> io::Result<Self> {
        let holds = meta.holds;
        // One is filled while the other is written.
        let (spare, told) = (Spare::new(Mutex::new(vec![Chunk::new()])), Told::default());
        let files = Files::begin(path, way, meta, Arc::clone(&told))?;
        let of_thread = Arc::clone(&spare);
        let output = Output::start("recording", move || Writing::begin(files, of_thread));
        Ok(Self {
            output: output.map_err(io::Error::other)?,
            holds,
            told,
            chunk: Chunk::new(),
            topology: None,
            handed_over_ns: 0,
            lost: 0,
            spare,
        })
    }

    /// The line that the trace begins with.
    pub fn start(&mut self, start: &Start) {
        self.hand_over_in_any_case();
        self.output
            .items([Recorded::Start(Box::new(start.clone()))]);
    }

    /// What the engine says: kept where inputs are not.
    pub fn lines(&mut self, lines: &[Line]) {
        if self.holds == Holds::Histograms {
            let lines = lines
                .iter()
                .filter(|line| !matches!(line, Line::Command(_)));
            let lines: Vec<Line> = lines.cloned().collect();
            self.output.items([Recorded::Lines(lines)]);
        }
    }

    /// Something happened that the window should be written for.
    pub fn trigger(&mut self) {
        self.hand_over_in_any_case();
        self.output.items([Recorded::Trigger]);
    }

    /// What has become of files since the last call.
    pub fn news(&self) -> Vec<News> {
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the trace is made under.
    pub fn setup(&mut self, setup: Setup) {
        self.hand_over_in_any_case();
        self.output.items([Recorded::Setup(Box::new(setup))]);
    }

    /// What the command that was traced printed.
    pub fn printed(&mut self, printed: Printed) {
        self.output.items([Recorded::Printed(printed)]);
    }

    /// Takes an input of the engine.
    #[inline]
    pub fn take(&mut self, at_ns: u64, input: Input<'_>) {
        if self.holds == Holds::Histograms {
            return;
        }
        if let Input::Record(bytes) = input
            && let Ok(record) = <&[u8; COMMAND_BYTES]>::try_from(bytes)
            && record[0] == record_kind::COMMAND
        {
            if !self.chunk.command(record) {
                self.hand_over();
            }
        } else {
            self.take_rare(at_ns, input);
        }
    }

    #[inline(never)]
    fn take_rare(&mut self, at_ns: u64, input: Input<'_>) {
        let is_due = match input {
            // Nothing more of a chunk may be about an id that is given back.
            Input::Interval | Input::End(_) | Input::PathRetired(..) => true,
            Input::Tick => at_ns.saturating_sub(self.handed_over_ns) >= WRITTEN_EACH_NS,
            _ => false,
        };
        let kept = self.keep(input);
        self.chunk.rare(at_ns, kept);
        if is_due {
            self.handed_over_ns = at_ns;
        }
        if is_due || self.chunk.is_full() {
            self.hand_over();
        }
    }

    fn keep(&mut self, input: Input<'_>) -> Kept {
        let Input::Topology(topology) = input else {
            return Kept::of(input);
        };
        // A scan finds the same, mostly.
        let known = self.topology.take().filter(|known| **known == *topology);
        let topology = known.unwrap_or_else(|| Arc::new(topology.clone()));
        self.topology = Some(Arc::clone(&topology));
        Kept::Topology(topology)
    }

    /// Hands the chunk over, if there is room; else its commands are lost, and the rest goes with the next.
    #[inline(never)]
    fn hand_over(&mut self) {
        if self.output.waiting_bytes() + self.chunk.bytes() > FULL_BYTES {
            self.lost += self.chunk.commands();
            self.chunk.lose_commands();
        } else {
            self.hand_over_in_any_case();
        }
    }

    fn hand_over_in_any_case(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let spare = lock(&self.spare).pop();
        let mut next = spare.unwrap_or_else(Chunk::new);
        self.chunk.settle();
        next.go_on_from(&mut self.chunk);
        let chunk = std::mem::replace(&mut self.chunk, next);
        self.output.items([Recorded::Chunk(Box::new(chunk))]);
    }

    /// Whether much waits to be written: who can wait for it loses nothing.
    pub fn is_behind(&self) -> bool {
        self.output.waiting_bytes() > FULL_BYTES / 2
    }

    /// Nothing more will come; gives what tells when everything is written.
    pub fn close(&mut self) -> Option<oneshot::Receiver<()>> {
        self.hand_over_in_any_case();
        self.output.close()
    }

    /// Why it is written no more, if it is not.
    pub fn failure(&self) -> Option<String> {
        self.output.failure()
    }

    /// Commands that are not in it: the disk was too slow, or could take no more.
    pub fn not_recorded(&self) -> u64 {
        self.lost + self.output.unwritten()
    }
}

/// What waits to be written. Nothing of it may be left out: where there is no room, a chunk leaves its
/// commands out before.
pub(super) enum Recorded {
    Start(Box<Start>),
    Setup(Box<Setup>),
    Printed(Printed),
    Chunk(Box<Chunk>),
    Lines(Vec<Line>),
    Trigger,
}

impl Item for Recorded {
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Start(start) => start.paths.len() * PATH_BYTES,
            Self::Setup(setup) => setup.queues.len() * SETUP_BYTES,
            Self::Printed(printed) => printed.text.len(),
            Self::Chunk(chunk) => chunk.bytes(),
            Self::Lines(lines) => lines.iter().map(Item::bytes).sum(),
            Self::Trigger => 0,
        };
        size_of::<Self>() + more
    }

    fn count(&self) -> u64 {
        match self {
            Self::Chunk(chunk) => chunk.commands(),
            _ => 0,
        }
    }

    fn is_vital(&self) -> bool {
        true
    }

    fn gap(_: u64) -> Option<Self> {
        None
    }
}

pub(super) fn lock(spare: &Spare) -> MutexGuard<'_, Vec<Chunk>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}
