//! A recording, played to somebody: a new engine takes what was recorded, and says what the trace said.

use std::{
    io::{self, IsTerminal},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    engine::{End, Engine, Input, Wanted},
    model::{Line, Start},
    record::{
        Ending, Meta, RecordingError,
        reader::{Reader, Taker},
    },
    safe,
    setup::Setup,
};

/// Who is told what a recording says.
pub trait Audience {
    /// What the recording is of: before any line.
    fn meta(&mut self, _: &Meta) {}

    /// A line, as the trace said it.
    ///
    /// # Errors
    /// It cannot be told any further: no more is read.
    fn line(&mut self, line: Line) -> io::Result<()>;

    /// What the trace was made under, at the start and when it changed.
    fn setup(&mut self, _: Setup) {}
}

/// What was played.
#[derive(Debug)]
pub struct Played {
    /// What it is of.
    pub meta: Meta,
    /// What it ends with; `None` where it ends early.
    pub ending: Option<Ending>,
    /// Why it ends early.
    pub missing: Option<RecordingError>,
}

/// Lines that are handed over at once.
const SOME_LINES: usize = 256;

/// Plays a recording to its end; where it ends early, up to there, and then a summary that says so.
///
/// # Errors
/// It cannot be opened, or is no recording that can be read here; the audience fails.
pub fn play(
    file: &Path,
    wanted: impl FnOnce(&Meta) -> Wanted,
    audience: &mut dyn Audience,
) -> Result<Played, PlayError> {
    let mut reader = Reader::open(file)?;
    let meta = reader.meta().clone();
    audience.meta(&meta);
    let mut player = Player::new(wanted(&meta), audience);
    let mut progress = Progress::new(file);
    let read = loop {
        if player.failed.is_some() {
            break Ok(false);
        }
        match reader.next(&mut player) {
            Ok(true) => progress.at(reader.offset()),
            other => break other,
        }
    };
    progress.end();
    let missing = read.err();
    if let Some(error) = &missing {
        player.cut(&error.to_string());
    }
    player.say_all();
    match player.failed {
        Some(error) => Err(PlayError::Told(error)),
        None => Ok(Played {
            meta,
            ending: reader.ending().cloned(),
            missing,
        }),
    }
}

/// Why a recording was not played.
#[derive(Debug, thiserror::Error)]
pub enum PlayError {
    /// It is none that can be read here.
    #[error(transparent)]
    Recording(#[from] RecordingError),
    /// Who was told failed.
    #[error(transparent)]
    Told(io::Error),
}

/// An engine that takes a recording, and who is told what it says.
struct Player<'a> {
    engine: Engine,
    audience: &'a mut dyn Audience,
    /// The line that the trace began with, once it has.
    start: Option<Start>,
    last_ns: u64,
    ended: bool,
    /// Why nobody is told any more.
    failed: Option<io::Error>,
}

impl<'a> Player<'a> {
    fn new(wanted: Wanted, audience: &'a mut dyn Audience) -> Self {
        Self {
            engine: Engine::new(wanted),
            audience,
            start: None,
            last_ns: 0,
            ended: false,
            failed: None,
        }
    }

    fn say(&mut self, lines: Vec<Line>) {
        for line in lines {
            if self.failed.is_none()
                && let Err(error) = self.audience.line(line)
            {
                self.failed = Some(error);
            }
        }
    }

    fn say_all(&mut self) {
        if self.start.is_some() {
            let lines = self.engine.take_lines();
            self.say(lines);
        }
    }

    /// The recording ends here, before the trace did.
    fn cut(&mut self, why: &str) {
        let Some(start) = self.start.as_ref().filter(|_| !self.ended) else {
            return;
        };
        let end = End {
            ended_at_ns: self.last_ns,
            probes: start.probes.clone(),
            ends_early: Some(format!("the recording ends early: {why}")),
            ..End::default()
        };
        self.engine.take(self.last_ns, Input::End(&end));
    }
}

impl Taker for Player<'_> {
    fn start(&mut self, start: Start) {
        // What was found before the trace began is in this line.
        self.engine.take_lines();
        self.start = Some(start.clone());
        self.say(vec![Line::Start(start)]);
    }

    fn setup(&mut self, setup: Setup) {
        self.audience.setup(setup);
    }

    #[inline]
    fn input(&mut self, at_ns: u64, input: Input<'_>) {
        self.engine.take(at_ns, input);
        if !matches!(input, Input::Record(_)) {
            self.rare(at_ns, input);
        }
        if self.engine.waiting_lines() >= SOME_LINES {
            self.say_all();
        }
    }
}

impl Player<'_> {
    fn rare(&mut self, at_ns: u64, input: Input<'_>) {
        self.last_ns = self.last_ns.max(at_ns);
        self.ended |= matches!(input, Input::End(_));
        if matches!(input, Input::Tick | Input::Topology(_)) {
            // As in the trace: what an engine wants is part of what drives it.
            let _ = self.engine.wants();
            self.say_all();
        }
    }
}

/// A line on a terminal about how far reading is, once it takes its time.
struct Progress {
    name: String,
    bytes: u64,
    began: Instant,
    /// When to say something next; never where nobody looks.
    next: Option<Duration>,
    shown: bool,
}

const PATIENCE: Duration = Duration::from_secs(2);
const EACH: Duration = Duration::from_millis(200);

impl Progress {
    fn new(file: &Path) -> Self {
        let bytes = file.metadata().map_or(0, |it| it.len());
        Self {
            name: safe::name(&file.to_string_lossy()),
            bytes,
            began: Instant::now(),
            next: (bytes > 0 && io::stderr().is_terminal()).then_some(PATIENCE),
            shown: false,
        }
    }

    fn at(&mut self, offset: u64) {
        let elapsed = self.began.elapsed();
        if let Some(next) = self.next.filter(|next| elapsed >= *next) {
            self.next = Some(next + EACH);
            self.shown = true;
            let percent = 100 * offset.min(self.bytes) / self.bytes.max(1);
            eprint!("\r\x1b[Kreading {}: {percent} %", self.name);
        }
    }

    fn end(&mut self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
