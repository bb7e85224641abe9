//! A recording, played to somebody: a new engine takes what was recorded, and says what the trace said.

use std::{
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use alua_trace_ebpf::record_kind;
use anyhow::{Context, Result, bail};

use crate::{
    cli::Span,
    engine::{End, Engine, Input, Thresholds, Wanted},
    model::{Line, Start},
    record::{
        Ending, Holds, Meta, RecordingError,
        reader::{Reader, Taker},
        state::State,
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

/// What to play of a recording.
#[derive(Debug, Clone, Default)]
pub struct Playing {
    /// Maps to report on, as the user names them; those that the trace was of when empty.
    pub maps: Vec<String>,
    /// A line for each command.
    pub commands: bool,
    /// What of the trace.
    pub span: Span,
    /// What findings are judged by.
    pub thresholds: Thresholds,
}

/// What was played.
#[derive(Debug)]
pub struct Played {
    /// What the first file is of.
    pub meta: Meta,
    /// What the last file ends with; `None` where it ends early.
    pub ending: Option<Ending>,
    /// Why it ends early.
    pub missing: Option<Missing>,
}

/// Where a recording ends early, and why.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {error}")]
pub struct Missing {
    /// The file, as it was named.
    pub file: String,
    /// Why.
    pub error: RecordingError,
}

/// Lines that are handed over at once.
const SOME_LINES: usize = 256;

/// Plays a recording, its files in order, to its end; where it ends early, up to there, and then a summary
/// that says so.
///
/// # Errors
/// It cannot be opened, or is no recording that can be read here, or the files are not those of one in order;
/// a map that is named was not there; what is wanted is not in it; the audience fails.
pub fn play(files: &[PathBuf], playing: &Playing, audience: &mut dyn Audience) -> Result<Played> {
    let Some((first, others)) = files.split_first() else {
        bail!("no recording is named");
    };
    let mut reader = Reader::open(first)?;
    let meta = reader.meta().clone();
    check(&meta, playing)?;
    audience.meta(&meta);
    let wanted = wanted(first, &meta, playing)?;
    let mut player = Player::new(wanted, playing.span, audience);
    let mut progress = Progress::new(first);
    let mut missing = player
        .read(&mut reader, &mut progress)
        .err()
        .map(|error| (first, error));
    for file in others {
        if missing.is_some() || player.is_done() {
            break;
        }
        let next = Reader::open(file).and_then(|next| next.behind(&reader));
        reader = next.with_context(|| safe::name(&file.to_string_lossy()))?;
        progress.goes_on(file);
        missing = player
            .read(&mut reader, &mut progress)
            .err()
            .map(|error| (file, error));
    }
    progress.end();
    let missing = missing.map(|(file, error)| Missing {
        file: safe::name(&file.to_string_lossy()),
        error,
    });
    player.end(missing.as_ref())?;
    Ok(Played {
        meta,
        ending: reader.ending().cloned(),
        missing,
    })
}

/// Whether a recording has what is wanted of it.
fn check(meta: &Meta, playing: &Playing) -> Result<()> {
    if meta.holds == Holds::Commands {
        return Ok(());
    }
    let engine_is_asked = [
        (playing.commands, "a line for each command"),
        (!playing.maps.is_empty(), "--map"),
        (playing.span != Span::default(), "--from and --to"),
        (playing.thresholds != Thresholds::default(), "--threshold"),
    ];
    for (is, what) in engine_is_asked {
        if is {
            bail!("{what}: it holds histograms only; record it without --histograms-only");
        }
    }
    Ok(())
}

fn wanted(file: &Path, meta: &Meta, playing: &Playing) -> Result<Wanted> {
    let maps = match playing.maps.as_slice() {
        [] => meta.maps.clone(),
        maps => super::maps_of(file, maps)?,
    };
    Ok(Wanted {
        maps,
        commands: playing.commands,
        thresholds: playing.thresholds,
    })
}

/// An engine that takes a recording, and who is told what it says.
struct Player<'a> {
    engine: Engine,
    audience: &'a mut dyn Audience,
    /// The line that the trace began with, once it has.
    start: Option<Start>,
    span: Span,
    /// When the recording begins.
    began_ns: Option<u64>,
    /// Followed until what is wanted begins; nothing is told until then.
    before: Option<Box<State>>,
    /// The recording begins in the middle of a trace.
    resumed: bool,
    /// It has lines in it, and no inputs that could be summed up.
    has_lines: bool,
    last_ns: u64,
    ended: bool,
    /// Why nobody is told any more.
    failed: Option<io::Error>,
}

impl<'a> Player<'a> {
    fn new(wanted: Wanted, span: Span, audience: &'a mut dyn Audience) -> Self {
        Self {
            engine: Engine::new(wanted),
            audience,
            start: None,
            span,
            began_ns: None,
            before: span.from.map(|_| Box::default()),
            resumed: false,
            has_lines: false,
            last_ns: 0,
            ended: false,
            failed: None,
        }
    }

    /// Nothing more is wanted.
    fn is_done(&self) -> bool {
        self.ended || self.failed.is_some()
    }

    /// Reads a file to its end, or until nothing more is wanted.
    fn read<R: io::Read>(
        &mut self,
        reader: &mut Reader<R>,
        progress: &mut Progress,
    ) -> Result<(), RecordingError> {
        loop {
            // Behind the end of a trace comes what its command printed.
            if self.failed.is_some() || (self.ended && self.span.to.is_some()) {
                return Ok(());
            }
            if !reader.next(self)? {
                return Ok(());
            }
            progress.at(reader.offset());
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
        if self.start.is_some() && self.before.is_none() {
            let lines = self.engine.take_lines();
            self.say(lines);
        }
    }

    /// Nothing more will be read: a trace that went on is summed up.
    fn end(mut self, missing: Option<&Missing>) -> Result<()> {
        if self.before.is_some() && self.failed.is_none() {
            bail!("the recording ends before --from; it may be in the next file");
        }
        let why = missing.map(|missing| format!("the recording ends early: {}", missing.error));
        if !self.has_lines {
            self.sum_up(self.last_ns, why);
        }
        self.say_all();
        self.failed.map_or(Ok(()), |error| Err(error.into()))
    }

    /// What there is of a trace that goes on.
    fn sum_up(&mut self, at_ns: u64, ends_early: Option<String>) {
        let Some(start) = self.start.as_ref().filter(|_| !self.ended) else {
            return;
        };
        let end = End {
            ended_at_ns: at_ns,
            probes: start.probes.clone(),
            goes_on: true,
            ends_early,
            ..End::default()
        };
        self.ended = true;
        self.engine.take(at_ns, Input::End(&end));
    }

    fn rare(&mut self, at_ns: u64, input: Input<'_>) {
        self.last_ns = self.last_ns.max(at_ns);
        self.ended |= matches!(input, Input::End(_));
        self.resumed |= matches!(input, Input::Resumed(..));
        if matches!(input, Input::Tick | Input::Topology(_)) {
            // As in the trace: what an engine wants is part of what drives it.
            let _ = self.engine.wants();
            self.say_all();
        }
    }

    /// A time since the start of the recording, on the monotonic clock.
    fn at(&self, since: Option<Duration>) -> Option<u64> {
        let since_ns = u64::try_from(since?.as_nanos()).unwrap_or(u64::MAX);
        Some(self.began_ns?.saturating_add(since_ns))
    }

    /// What is wanted begins with this input.
    fn begin(&mut self, at_ns: u64) {
        let Some(state) = self.before.take() else {
            return;
        };
        let engine = &mut self.engine;
        state.give(at_ns, &mut |at_ns, input| engine.take(at_ns, input));
        self.resumed = true;
        if let Some(mut start) = self.start.take() {
            let since = at_ns.saturating_sub(start.started_at_ns);
            start.wall_unix_ns = start.wall_unix_ns.saturating_add(since);
            start.started_at_ns = at_ns;
            self.start_at(start);
        }
    }

    fn start_at(&mut self, mut start: Start) {
        // What was found before the trace began is in this line.
        self.engine.take_lines();
        if self.resumed {
            start.paths = self.engine.shown_paths();
        }
        self.start = Some(start.clone());
        self.say(vec![Line::Start(start)]);
    }

    /// Follows what comes before that which is wanted; whether it was that.
    fn skips(&mut self, at_ns: u64, input: Input<'_>) -> bool {
        let from_ns = self.at(self.span.from);
        let Some(state) = &mut self.before else {
            return false;
        };
        match input {
            Input::Record(record) => {
                if record.first() == Some(&record_kind::COMMAND) {
                    state.record(record);
                }
            }
            _ if from_ns.is_some_and(|from_ns| at_ns >= from_ns) => {
                self.begin(at_ns);
                return false;
            }
            _ => state.follow(at_ns, input),
        }
        true
    }
}

impl Taker for Player<'_> {
    fn start(&mut self, start: Start) {
        self.began_ns = Some(start.started_at_ns);
        if self.before.is_some() {
            self.start = Some(start);
        } else {
            self.start_at(start);
        }
    }

    fn setup(&mut self, setup: Setup) {
        self.audience.setup(setup);
    }

    fn lines(&mut self, lines: Vec<Line>) {
        self.has_lines = true;
        self.ended |= lines.iter().any(|line| matches!(line, Line::Summary(_)));
        if self.start.is_some() {
            self.say(lines);
        }
    }

    #[inline]
    fn input(&mut self, at_ns: u64, input: Input<'_>) {
        if self.before.is_some() && self.skips(at_ns, input) || self.ended {
            return;
        }
        if let Some(to_ns) = self.at(self.span.to).filter(|to_ns| at_ns > *to_ns) {
            self.sum_up(to_ns, None);
            return;
        }
        self.engine.take(at_ns, input);
        if !matches!(input, Input::Record(_)) {
            self.rare(at_ns, input);
        }
        if self.engine.waiting_lines() >= SOME_LINES {
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

    /// The next file.
    fn goes_on(&mut self, file: &Path) {
        self.bytes = file.metadata().map_or(0, |it| it.len());
        self.name = safe::name(&file.to_string_lossy());
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
