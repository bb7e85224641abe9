//! `alua-trace replay`: what was recorded, taken by a new engine, and said again.

use std::{
    fs::File,
    io::{self, Write},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    cli::{JsonTarget, ReplayConfig},
    engine::{Engine, Input, Wanted},
    json,
    model::{Line, Start},
    record::{
        Ending, Meta, RecordingError,
        reader::{Reader, Taker},
    },
    safe,
    setup::Setup,
    sinks::{
        Sink,
        json::{Json, Target},
        view::View,
    },
    topology::{self, Topology},
};

/// It is no recording, ends early or is damaged.
const INCOMPLETE: u8 = 2;

/// Shows a recording; gives the exit status.
///
/// # Errors
/// The file cannot be opened, or is no recording that can be read here; an output cannot be written.
pub fn run(config: &ReplayConfig) -> Result<u8> {
    let name = config.file.display();
    if config.setup {
        return setups(config).with_context(|| format!("cannot replay {name}"));
    }
    let mut reader = Reader::open(&config.file).with_context(|| format!("cannot replay {name}"))?;
    let maps = if config.maps.is_empty() {
        reader.meta().maps.clone()
    } else {
        maps_of(config).with_context(|| format!("cannot replay {name}"))?
    };
    let wanted = Wanted {
        maps,
        commands: config.commands,
    };
    let mut replay = Replay::new(wanted, sinks(config)?);
    let read = read(&mut reader, &mut replay);
    replay.end()?;
    Ok(status(config, read.err()))
}

/// The exit status; says why there is no more to be read.
fn status(config: &ReplayConfig, error: Option<RecordingError>) -> u8 {
    let Some(error) = error else {
        return 0;
    };
    let text = format!("{}: {error}", config.file.display());
    eprintln!("alua-trace: {}", safe::sentence(&text));
    INCOMPLETE
}

/// Prints what was traced, by what, under which set-up: one object, with every set-up in order.
fn setups(config: &ReplayConfig) -> Result<u8> {
    let mut found = Setups(Vec::new());
    let mut reader = Reader::open(&config.file)?;
    let end = reader.read(&mut found);
    let text = json::to_line(&Printed {
        recording: reader.meta(),
        setups: &found.0,
        ending: end.as_ref().ok(),
    })?;
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        written => written?,
    }
    Ok(status(config, end.err()))
}

/// What `--setup` prints.
#[derive(Serialize)]
struct Printed<'a> {
    recording: &'a Meta,
    setups: &'a [Setup],
    /// `null` when the recording ends early.
    ending: Option<&'a Ending>,
}

struct Setups(Vec<Setup>);

impl Taker for Setups {
    fn start(&mut self, _: Start) {}

    fn input(&mut self, _: u64, _: Input<'_>) {}

    fn setup(&mut self, setup: Setup) {
        self.0.push(setup);
    }
}

/// Names of the maps that are asked for: as a trace does, by what was there when it began.
fn maps_of(config: &ReplayConfig) -> Result<Vec<String>> {
    let mut began = Began::default();
    let mut reader = Reader::open(&config.file)?;
    while !began.started && reader.next(&mut began)? {}
    let maps = topology::named(&began.topology, &config.maps)?;
    Ok(maps.into_iter().map(|map| map.name.clone()).collect())
}

/// What there was when the trace began.
#[derive(Default)]
struct Began {
    topology: Topology,
    started: bool,
}

impl Taker for Began {
    fn start(&mut self, _: Start) {
        self.started = true;
    }

    fn input(&mut self, _: u64, input: Input<'_>) {
        if let Input::Topology(topology) = input {
            self.topology = topology.clone();
        }
    }
}

/// Reads to the end, or until nobody takes any more.
fn read<R: io::Read>(reader: &mut Reader<R>, replay: &mut Replay) -> Result<(), RecordingError> {
    while replay.failed.is_none() && reader.next(replay)? {}
    Ok(())
}

fn sinks(config: &ReplayConfig) -> Result<Vec<Box<dyn Sink<Line>>>> {
    let mut sinks: Vec<Box<dyn Sink<Line>>> = Vec::new();
    match &config.json {
        Some(JsonTarget::Stdout) => sinks.push(Box::new(Json::new(Target::stdout()))),
        Some(JsonTarget::File(path)) => {
            let file = File::create(path).and_then(Target::file).with_context(|| {
                let path = path.display();
                format!("cannot write --json {path}; name a file that can be made")
            })?;
            sinks.push(Box::new(Json::new(file)));
        }
        None => {}
    }
    if config.json != Some(JsonTarget::Stdout) {
        sinks.push(Box::new(View::plain()));
    }
    Ok(sinks)
}

/// An engine that takes a recording, and who is told what it says.
struct Replay {
    engine: Engine,
    sinks: Vec<Box<dyn Sink<Line>>>,
    /// The trace had begun.
    started: bool,
    /// Why nobody is told any more.
    failed: Option<io::Error>,
}

/// Lines that are handed over at once.
const SOME_LINES: usize = 256;

impl Replay {
    fn new(wanted: Wanted, sinks: Vec<Box<dyn Sink<Line>>>) -> Self {
        Self {
            engine: Engine::new(wanted),
            sinks,
            started: false,
            failed: None,
        }
    }

    fn say(&mut self, lines: &[Line]) {
        for line in lines {
            for sink in &mut self.sinks {
                if self.failed.is_none()
                    && let Err(error) = sink.take(line)
                {
                    self.failed = Some(error);
                }
            }
        }
    }

    fn say_all(&mut self) {
        if self.started {
            let lines = self.engine.take_lines();
            self.say(&lines);
        }
    }

    /// Everything that was said goes out.
    fn end(mut self) -> Result<()> {
        self.say_all();
        for sink in &mut self.sinks {
            if self.failed.is_none()
                && let Err(error) = sink.end()
            {
                self.failed = Some(error);
            }
        }
        match self.failed {
            // A reader that closes a pipe has seen what it wanted.
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(error).context("failed to write what the recording says")
            }
            _ => Ok(()),
        }
    }
}

impl Taker for Replay {
    fn start(&mut self, start: Start) {
        // What was found before the trace began is in this line.
        self.engine.take_lines();
        self.started = true;
        self.say(&[Line::Start(start)]);
    }

    #[inline]
    fn input(&mut self, at_ns: u64, input: Input<'_>) {
        let is_turn = matches!(input, Input::Tick | Input::Topology(_));
        self.engine.take(at_ns, input);
        if is_turn {
            // As in the trace: what an engine wants is part of what drives it.
            let _ = self.engine.wants();
        }
        if self.engine.waiting_lines() >= SOME_LINES || is_turn {
            self.say_all();
        }
    }
}
