//! The files that a recording is written to: one, one after the other, or one for each time that something
//! happened. Each begins so that it can be read alone.

use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Ending, Meta, Part,
    frame::{FrameWriter, Kind},
    inputs::Encoder,
    pack::Packer,
    state::State,
};
use crate::model::Start;

/// How a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// To one file.
    Whole,
    /// To one file after the other; each is so large, in bytes, or so long, in ns of the trace. Of those made
    /// so many stay.
    Parts {
        /// Largest size in bytes.
        bytes: Option<u64>,
        /// Longest time in ns.
        time_ns: Option<u64>,
        /// How many stay; all when `None`.
        keep: Option<usize>,
    },
    /// To memory, until something happens: then what came in the last so many ns before, and a while after,
    /// goes to a file.
    Window {
        /// How long before.
        last_ns: u64,
        /// What the window may take in memory; it is shorter where that is not enough.
        bytes: usize,
        /// How many whole files stay; all when `None`.
        keep: Option<usize>,
    },
}

/// What has become of files, for who tells the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// This one has been made.
    Made(PathBuf),
    /// What led to something could not be written, or not to its end; the next is tried again.
    GivenUp(String),
}

pub(super) type Told = Arc<Mutex<Vec<News>>>;

/// How long a file goes on after what it was made for, in ns of the trace.
const AFTER_NS: u64 = 10_000_000_000;

/// Where frames go.
pub(super) struct Files {
    base: PathBuf,
    pub(super) way: Way,
    pub(super) meta: Meta,
    told: Told,
    /// Files that are whole, the oldest first.
    older: VecDeque<PathBuf>,
    number: u32,
    pub(super) open: Option<Open>,
    packer: Packer,
}

/// A file that is written.
pub(super) struct Open {
    frames: FrameWriter<File>,
    path: PathBuf,
    began_ns: Option<u64>,
    /// When it is closed.
    until_ns: Option<u64>,
    commands: u64,
    not_recorded: u64,
}

impl Files {
    /// Makes the first file; none where a window is kept.
    pub(super) fn begin(base: &Path, way: Way, mut meta: Meta, told: Told) -> io::Result<Self> {
        if way != Way::Whole {
            let of = meta.boot_id.as_deref().unwrap_or("-");
            let of = format!("{of}-{}", crate::clock::monotonic_ns());
            meta.part = Some(Part { of, number: 0 });
        }
        let mut files = Self {
            base: base.to_owned(),
            way,
            meta,
            told,
            older: VecDeque::new(),
            number: 0,
            open: None,
            packer: Packer::new()?,
        };
        if let Way::Window { .. } = way {
            // Better now than when something has happened.
            if base.exists() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
        } else {
            files.make()?;
        }
        Ok(files)
    }

    /// Makes the next file, with what it is of.
    fn make(&mut self) -> io::Result<()> {
        self.number += 1;
        let path = self.name();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)?;
        self.open = Some(Open {
            frames: FrameWriter::begin(file)?,
            path: path.clone(),
            began_ns: None,
            until_ns: None,
            commands: 0,
            not_recorded: 0,
        });
        if let Some(part) = &mut self.meta.part {
            part.number = self.number;
        }
        let meta = self.meta.clone();
        self.json(Kind::Meta, &meta)?;
        self.tell(News::Made(path));
        Ok(())
    }

    fn tell(&self, news: News) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.push(news);
    }

    /// What is being written cannot be: it ends here, and what comes is not lost with it.
    pub(super) fn give_up(&mut self, error: &io::Error) {
        self.cut();
        if let Some(open) = self.open.take() {
            self.older.push_back(open.path);
        }
        self.tell(News::GivenUp(error.to_string()));
    }

    /// `fio.atr` alone, or of several `fio.0001.atr`; of windows the first is `fio.atr`.
    fn name(&self) -> PathBuf {
        let number = match self.way {
            Way::Whole => return self.base.clone(),
            Way::Window { .. } if self.number == 1 => return self.base.clone(),
            Way::Window { .. } => self.number.to_string(),
            Way::Parts { .. } => format!("{:04}", self.number),
        };
        let mut name = self.base.file_stem().unwrap_or_default().to_owned();
        name.push(".");
        name.push(number);
        if let Some(extension) = self.base.extension() {
            name.push(".");
            name.push(extension);
        }
        self.base.with_file_name(name)
    }

    /// Makes the next file and writes what must be known to read it alone, as of `at_ns`.
    pub(super) fn make_from(&mut self, head: Head<'_>, at_ns: u64) -> io::Result<()> {
        self.make()?;
        let mut payload = Vec::new();
        if let Some((encoder, state)) = head.inputs {
            encoder.resumed(state, at_ns, &mut payload)?;
            self.frame(Kind::Resumed, &payload)?;
        }
        if let Some(start) = head.start {
            let since = at_ns.saturating_sub(start.started_at_ns);
            let start = Start {
                started_at_ns: at_ns,
                wall_unix_ns: start.wall_unix_ns.saturating_add(since),
                ..start.clone()
            };
            self.json(Kind::Start, &start)?;
        }
        if let Some(setup) = head.setup {
            self.frame(Kind::Setup, setup)?;
        }
        if let Some(open) = &mut self.open {
            open.began_ns = Some(at_ns);
        }
        Ok(())
    }

    /// Writes a frame to the file that is open, if one is.
    pub(super) fn frame(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        match &mut self.open {
            Some(open) => open.frames.write(kind, payload),
            None => Ok(()),
        }
    }

    /// As [`Self::frame`], of a value as JSON.
    pub(super) fn json<T: serde::Serialize>(&mut self, kind: Kind, value: &T) -> io::Result<()> {
        let mut payload = Vec::new();
        self.packer
            .section(&mut payload, &serde_json::to_vec(value)?);
        self.frame(kind, &payload)
    }

    /// Counts what the file that is open has in it.
    pub(super) fn count(&mut self, commands: u64, not_recorded: u64) {
        if let Some(open) = &mut self.open {
            open.commands += commands;
            open.not_recorded += not_recorded;
        }
    }

    /// Whether the file that is open has gone on for long enough at `at_ns`.
    pub(super) fn is_full(&mut self, at_ns: u64) -> bool {
        let Some(open) = &mut self.open else {
            return false;
        };
        let began_ns = *open.began_ns.get_or_insert(at_ns);
        match self.way {
            Way::Whole => false,
            Way::Parts { bytes, time_ns, .. } => {
                bytes.is_some_and(|most| open.frames.whole_bytes() >= most)
                    || time_ns.is_some_and(|most| at_ns.saturating_sub(began_ns) >= most)
            }
            Way::Window { .. } => open.until_ns.is_some_and(|until_ns| at_ns >= until_ns),
        }
    }

    /// The file that is open is closed a while from now.
    pub(super) fn go_on_from(&mut self, at_ns: u64) {
        if let Some(open) = &mut self.open {
            open.until_ns = Some(at_ns.saturating_add(AFTER_NS));
        }
    }

    /// Ends the file that is open, if one is; old ones make room.
    pub(super) fn end(&mut self, ending: Ending) -> io::Result<()> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let ending = Ending {
            commands: open.commands,
            not_recorded: open.not_recorded,
            ..ending
        };
        self.json(Kind::Ending, &ending)?;
        if let Some(open) = self.open.take() {
            self.older.push_back(open.path);
        }
        let most = match self.way {
            // The one that comes next is one of them.
            Way::Parts { keep, .. } => keep.map(|keep| keep.max(1) - 1),
            Way::Window { keep, .. } => keep.map(|keep| keep.max(1)),
            Way::Whole => None,
        };
        while most.is_some_and(|most| self.older.len() > most) && ending.goes_on {
            if let Some(oldest) = self.older.pop_front() {
                fs::remove_file(oldest)?;
            }
        }
        Ok(())
    }

    /// What is not whole is cut from the file that is open.
    pub(super) fn cut(&mut self) {
        if let Some(open) = &mut self.open {
            // Where it cannot be cut, the reader sees where it ends.
            let _ = open.frames.target().set_len(open.frames.whole_bytes());
        }
    }
}

/// What must be known to read a file alone.
pub(super) struct Head<'a> {
    /// The encoder of what follows, and the state that it follows; none where lines are kept.
    pub(super) inputs: Option<(&'a mut Encoder, &'a State)>,
    /// The line that the trace began with.
    pub(super) start: Option<&'a Start>,
    /// The last set-up, packed.
    pub(super) setup: Option<&'a [u8]>,
}
