//! `alua-trace replay`: what was recorded, taken by a new engine, and said again.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    cli::{JsonTarget, ReplayConfig, ThresholdName},
    engine::{Input, Thresholds},
    gates, json,
    model::{Line, Start, Summary},
    record::{
        Ending, Meta,
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

mod play;

pub use play::{Audience, Missing, Played, Playing, play};

/// It is no recording, ends early or is damaged.
const INCOMPLETE: u8 = 2;

/// Shows a recording; gives the exit status.
///
/// # Errors
/// The file cannot be opened, or is no recording that can be read here; an output cannot be written.
pub fn run(config: &ReplayConfig) -> Result<u8> {
    let name = config.files.first().map(|file| file.display().to_string());
    let context = || format!("cannot replay {}", name.clone().unwrap_or_default());
    if config.setup {
        return setups(config).with_context(context);
    }
    let playing = Playing {
        maps: config.maps.clone(),
        commands: config.commands,
        span: config.span,
        thresholds: thresholds(config),
    };
    let mut told = Told {
        sinks: sinks(config)?,
        summary: None,
    };
    let played = match play(&config.files, &playing, &mut told) {
        // A reader that closes a pipe has seen what it wanted.
        Err(error) if is_closed(&error) => return Ok(0),
        played => played.with_context(context)?,
    };
    match told.end() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("failed to write what the recording says");
        }
        _ => {}
    }
    let outcomes = match &told.summary {
        Some(summary) => gates::outcomes(&config.gates, summary),
        None => Vec::new(),
    };
    let of = format!("replay {}", name.unwrap_or_default());
    Ok(match gates::told(&config.gates, &of, &outcomes)? {
        0 => status(played.missing.as_ref()),
        failed => failed,
    })
}

fn is_closed(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn thresholds(config: &ReplayConfig) -> Thresholds {
    let mut thresholds = Thresholds::default();
    for (name, value) in &config.thresholds {
        let ns = match name {
            ThresholdName::ThrashTransfers => {
                thresholds.thrash_transfers = usize::try_from(*value).unwrap_or(usize::MAX);
                continue;
            }
            ThresholdName::ThrashTime => &mut thresholds.thrash_ns,
            ThresholdName::TransitionStuck => &mut thresholds.transition_stuck_ns,
            ThresholdName::ModeSelectOutstanding => &mut thresholds.mode_select_ns,
            ThresholdName::StateDisagrees => &mut thresholds.disagrees_ns,
            ThresholdName::NotPreferredOwner => &mut thresholds.not_preferred_ns,
            ThresholdName::StuckPath => &mut thresholds.stuck_ns,
            ThresholdName::Held => &mut thresholds.held_ns,
        };
        *ns = *value;
    }
    thresholds
}

/// The exit status; says why there is no more to be read.
pub fn status(missing: Option<&Missing>) -> u8 {
    let Some(missing) = missing else {
        return 0;
    };
    eprintln!("alua-trace: {}", safe::sentence(&missing.to_string()));
    INCOMPLETE
}

/// Prints what was traced, by what, under which set-up: one object, with every set-up in order.
fn setups(config: &ReplayConfig) -> Result<u8> {
    let mut found = Setups(Vec::new());
    let playing = Playing::default();
    let played = play(&config.files, &playing, &mut found)?;
    let text = json::to_line(&Printed {
        recording: &played.meta,
        setups: &found.0,
        ending: played.ending.as_ref(),
    })?;
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
        written => written?,
    }
    Ok(status(played.missing.as_ref()))
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

impl Audience for Setups {
    fn line(&mut self, _: Line) -> io::Result<()> {
        Ok(())
    }

    fn setup(&mut self, setup: Setup) {
        self.0.push(setup);
    }
}

/// Names of the maps that are asked for: as a trace does, by what was there when it began.
///
/// # Errors
/// The file cannot be read so far; a map was not there.
pub fn maps_of(file: &Path, maps: &[String]) -> Result<Vec<String>> {
    let mut began = Began::default();
    let mut reader = Reader::open(file)?;
    while !began.started && reader.next(&mut began)? {}
    let maps = topology::named(&began.topology, maps)?;
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

/// Sinks that are told, and what the trace ended with.
struct Told {
    sinks: Vec<Box<dyn Sink<Line>>>,
    summary: Option<Summary>,
}

impl Audience for Told {
    fn line(&mut self, line: Line) -> io::Result<()> {
        self.sinks
            .iter_mut()
            .try_for_each(|sink| sink.take(&line))?;
        if let Line::Summary(summary) = line {
            self.summary = Some(summary);
        }
        Ok(())
    }
}

impl Told {
    /// Everything that was said goes out.
    fn end(&mut self) -> io::Result<()> {
        self.sinks.iter_mut().try_for_each(|sink| sink.end())
    }
}
