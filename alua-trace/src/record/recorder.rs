//! Writing a recording while a trace runs: what the engine is given goes into a bounded queue as well, and a
//! thread packs and writes it. A slow disk costs recorded commands, which are counted; never the trace.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alua_trace_ebpf::{CommandRecord, GlobalCounts, PathCounts, PathSlot, RouteSlot, record_kind};
use anyhow::Result;
use tokio::sync::oneshot;

use super::{
    Ending, Meta, Printed,
    frame::{FrameWriter, Kind},
    inputs::Encoder,
    pack::Packer,
};
use crate::{
    engine::{End, Input},
    model::Start,
    setup::Setup,
    sinks::{
        Sink,
        queue::{Item, MOST_BYTES as FULL_BYTES, Output},
    },
    topology::Topology,
};

const COMMAND_BYTES: usize = size_of::<CommandRecord>();
/// Commands that are one item of the queue.
const SOME_COMMANDS: usize = 1024;
/// Items that are handed over at once, and how long fewer of them wait: to wake the thread takes from the
/// load that is measured.
const SOME_ITEMS: usize = 64;
const HANDED_OVER_EACH_NS: u64 = 500_000_000;
/// What was recorded is written at least so often, in time of the inputs: a tool that is killed has lost no
/// more.
const WRITTEN_EACH_NS: u64 = 1_000_000_000;
/// What a topology takes for each of its devices, about.
const DEVICE_BYTES: usize = 512;
/// What a set-up takes for each of its disks, about.
const SETUP_BYTES: usize = 4096;

/// A recording that is being made, as the trace sees it. Nothing here waits.
pub struct Recorder {
    output: Output<Recorded>,
    /// Records of commands that have not been handed over.
    commands: Vec<u8>,
    items: Vec<Recorded>,
    topology: Option<Arc<Topology>>,
    handed_over_ns: u64,
    spare: Spare,
}

/// Buffers that the thread has written, to be filled again: they are in memory already.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;
const MOST_SPARE: usize = 2 * SOME_ITEMS;

impl Recorder {
    /// Makes the file.
    ///
    /// # Errors
    /// It is there already, cannot be made, or no thread can be started.
    pub fn create(path: &Path, meta: Meta) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Self::to(file, meta).map_err(io::Error::other)
    }

    fn to(file: File, meta: Meta) -> Result<Self> {
        let spare = Spare::default();
        let of_thread = Arc::clone(&spare);
        Ok(Self {
            output: Output::start("recording", move || Writing::begin(file, &meta, of_thread))?,
            commands: Vec::new(),
            items: Vec::new(),
            topology: None,
            handed_over_ns: 0,
            spare,
        })
    }

    /// The line that the trace begins with.
    pub fn start(&mut self, start: &Start) {
        self.hand_over_commands();
        self.items.push(Recorded::Start(Box::new(start.clone())));
    }

    /// What the trace is made under.
    pub fn setup(&mut self, setup: Setup) {
        self.hand_over_commands();
        self.items.push(Recorded::Setup(Box::new(setup)));
    }

    /// What the command that was traced printed.
    pub fn printed(&mut self, printed: Printed) {
        self.items.push(Recorded::Printed(printed));
    }

    /// Takes an input of the engine.
    #[inline]
    pub fn take(&mut self, at_ns: u64, input: Input<'_>) {
        if let Input::Record(bytes) = input
            && let Ok(record) = <&[u8; COMMAND_BYTES]>::try_from(bytes)
            && record[0] == record_kind::COMMAND
        {
            self.commands.extend_from_slice(record);
            if self.commands.len() >= SOME_COMMANDS * COMMAND_BYTES {
                self.hand_over_commands();
                if self.items.len() >= SOME_ITEMS {
                    self.hand_over();
                }
            }
        } else {
            self.take_rare(at_ns, input);
        }
    }

    #[inline(never)]
    fn take_rare(&mut self, at_ns: u64, input: Input<'_>) {
        let is_due = match input {
            Input::Interval | Input::End(_) => true,
            Input::Tick => at_ns.saturating_sub(self.handed_over_ns) >= HANDED_OVER_EACH_NS,
            _ => self.items.len() >= SOME_ITEMS,
        };
        let kept = self.keep(input);
        self.hand_over_commands();
        self.items.push(Recorded::Rare(at_ns, kept));
        if is_due {
            self.handed_over_ns = at_ns;
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

    fn hand_over_commands(&mut self) {
        if !self.commands.is_empty() {
            let spare = lock(&self.spare).pop();
            let room = spare.unwrap_or_else(|| Vec::with_capacity(SOME_COMMANDS * COMMAND_BYTES));
            let commands = std::mem::replace(&mut self.commands, room);
            self.items.push(Recorded::Commands(commands));
        }
    }

    fn hand_over(&mut self) {
        self.hand_over_commands();
        if !self.items.is_empty() {
            self.output.items(self.items.drain(..));
        }
    }

    /// Whether much waits to be written: who can wait for it loses nothing.
    pub fn is_behind(&self) -> bool {
        self.output.waiting_bytes() > FULL_BYTES / 2
    }

    /// Nothing more will come; gives what tells when everything is written.
    pub fn close(&mut self) -> Option<oneshot::Receiver<()>> {
        self.hand_over();
        self.output.close()
    }

    /// Why it is written no more, if it is not.
    pub fn failure(&self) -> Option<String> {
        self.output.failure()
    }

    /// Commands that are not in it: the disk was too slow, or could take no more.
    pub fn not_recorded(&self) -> u64 {
        self.output.unwritten()
    }
}

/// What waits to be written.
enum Recorded {
    Start(Box<Start>),
    Setup(Box<Setup>),
    Printed(Printed),
    /// Records of commands, one after the other.
    Commands(Vec<u8>),
    Rare(u64, Kept),
}

/// An input that is no command's record, kept.
enum Kept {
    Begin,
    Record(Box<[u8]>),
    Path(u16, PathSlot),
    PathRetired(u16, Box<PathCounts>),
    Route(u16, RouteSlot),
    Counts(Box<GlobalCounts>, Vec<(u16, PathCounts)>),
    Topology(Arc<Topology>),
    MissedRuns(u64),
    ModuleUnloaded(String),
    Tick,
    Interval,
    End(Box<End>),
    NotRecorded(u64),
}

impl Kept {
    fn of(input: Input<'_>) -> Self {
        match input {
            Input::Begin => Self::Begin,
            Input::Record(bytes) => Self::Record(bytes.into()),
            Input::Path(id, slot) => Self::Path(id, *slot),
            Input::PathRetired(id, counts) => Self::PathRetired(id, Box::new(*counts)),
            Input::Route(id, slot) => Self::Route(id, *slot),
            Input::Counts(global, per_path) => Self::Counts(Box::new(*global), per_path.to_vec()),
            Input::Topology(topology) => Self::Topology(Arc::new(topology.clone())),
            Input::MissedRuns(runs) => Self::MissedRuns(runs),
            Input::ModuleUnloaded(module) => Self::ModuleUnloaded(module.to_owned()),
            Input::Tick => Self::Tick,
            Input::Interval => Self::Interval,
            Input::End(end) => Self::End(Box::new(end.clone())),
            Input::NotRecorded(commands) => Self::NotRecorded(commands),
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Begin => Input::Begin,
            Self::Record(bytes) => Input::Record(bytes),
            Self::Path(id, slot) => Input::Path(*id, slot),
            Self::PathRetired(id, counts) => Input::PathRetired(*id, counts),
            Self::Route(id, slot) => Input::Route(*id, slot),
            Self::Counts(global, per_path) => Input::Counts(global, per_path),
            Self::Topology(topology) => Input::Topology(topology),
            Self::MissedRuns(runs) => Input::MissedRuns(*runs),
            Self::ModuleUnloaded(module) => Input::ModuleUnloaded(module),
            Self::Tick => Input::Tick,
            Self::Interval => Input::Interval,
            Self::End(end) => Input::End(end),
            Self::NotRecorded(commands) => Input::NotRecorded(*commands),
        }
    }
}

impl Item for Recorded {
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Start(start) => start.paths.len() * DEVICE_BYTES,
            Self::Printed(printed) => printed.text.len(),
            Self::Setup(setup) => setup.queues.len() * SETUP_BYTES,
            Self::Commands(records) => records.capacity(),
            Self::Rare(_, Kept::Record(bytes)) => bytes.len(),
            Self::Rare(_, Kept::Counts(_, per_path)) => size_of_val(per_path.as_slice()),
            Self::Rare(_, Kept::Topology(topology)) => topology.devices().len() * DEVICE_BYTES,
            Self::Rare(..) => 0,
        };
        size_of::<Self>() + more
    }

    fn count(&self) -> u64 {
        match self {
            Self::Commands(records) => (records.len() / COMMAND_BYTES) as u64,
            _ => 0,
        }
    }

    fn is_vital(&self) -> bool {
        !matches!(self, Self::Commands(_))
    }

    fn gap(commands: u64) -> Self {
        Self::Rare(0, Kept::NotRecorded(commands))
    }
}

/// The file as its thread sees it.
struct Writing {
    frames: FrameWriter<File>,
    encoder: Encoder,
    packer: Packer,
    payload: Vec<u8>,
    /// Time of the last input, and of the one that was last written after.
    now_ns: u64,
    written_ns: u64,
    ending: Ending,
    spare: Spare,
}

fn lock(spare: &Spare) -> MutexGuard<'_, Vec<Vec<u8>>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writing {
    fn begin(file: File, meta: &Meta, spare: Spare) -> io::Result<Self> {
        let mut writing = Self {
            frames: FrameWriter::begin(file)?,
            encoder: Encoder::new()?,
            packer: Packer::new()?,
            payload: Vec::new(),
            now_ns: 0,
            written_ns: 0,
            ending: Ending::default(),
            spare,
        };
        writing.json(Kind::Meta, meta)?;
        Ok(writing)
    }

    fn json<T: serde::Serialize>(&mut self, kind: Kind, value: &T) -> io::Result<()> {
        self.payload.clear();
        let text = serde_json::to_vec(value)?;
        self.packer.section(&mut self.payload, &text);
        self.frames.write(kind, &self.payload)
    }

    fn inputs(&mut self) -> io::Result<()> {
        if self.encoder.is_empty() {
            return Ok(());
        }
        self.payload.clear();
        self.encoder.pack(&mut self.payload);
        self.written_ns = self.now_ns;
        self.frames.write(Kind::Inputs, &self.payload)
    }

    fn room(&mut self) -> io::Result<()> {
        if self.encoder.is_full() {
            self.inputs()?;
        }
        Ok(())
    }
}

impl Sink<Recorded> for Writing {
    fn take(&mut self, item: &Recorded) -> io::Result<()> {
        match item {
            Recorded::Start(start) => {
                self.inputs()?;
                self.json(Kind::Start, start)
            }
            Recorded::Printed(printed) => {
                self.ending.printed = Some(printed.clone());
                Ok(())
            }
            Recorded::Setup(setup) => {
                self.inputs()?;
                self.json(Kind::Setup, setup)
            }
            Recorded::Commands(records) => {
                for record in records.as_chunks().0 {
                    self.room()?;
                    self.encoder.command(record);
                }
                self.ending.commands += item.count();
                Ok(())
            }
            Recorded::Rare(at_ns, kept) => {
                if let Kept::NotRecorded(commands) = kept {
                    self.ending.not_recorded += commands;
                } else {
                    self.now_ns = *at_ns;
                }
                self.room()?;
                self.encoder.rare(self.now_ns, kept.input())?;
                let is_due = self.now_ns.saturating_sub(self.written_ns) >= WRITTEN_EACH_NS;
                if is_due || matches!(kept, Kept::Interval) {
                    self.inputs()?;
                }
                Ok(())
            }
        }
    }

    fn done(&mut self, items: Vec<Recorded>) {
        let mut spare = lock(&self.spare);
        for item in items {
            if let Recorded::Commands(mut buffer) = item
                && spare.len() < MOST_SPARE
            {
                buffer.clear();
                spare.push(buffer);
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.inputs()?;
        let ending = std::mem::take(&mut self.ending);
        self.json(Kind::Ending, &ending)
    }

    fn cut(&mut self) {
        // Whoever reads it finds whole frames only; where it cannot be cut, the reader sees where it ends.
        let _ = self.frames.target().set_len(self.frames.whole_bytes());
    }
}
