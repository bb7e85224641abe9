//! `alua-trace gain`: by how much the I/O of each map would be faster if all of it had gone over optimized paths; of a
//! recording, or of what this host does now. An estimate without an experiment, where there is a fair one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{
    cli::{GainConfig, GainOf},
    format,
    model::{self, AccessState, Class, Line},
    out,
    replay::{Audience, Playing, play},
    safe,
    scsi::opcode,
    trace,
};

mod estimate;
mod text;

pub use estimate::{Commands, Compared, Ends, Estimate, Gain};

/// What is said of one map.
#[derive(Debug, Serialize)]
pub struct OfMap {
    /// The map; `null` for paths without one.
    pub map: Option<String>,
    /// Reads and writes that were seen.
    pub commands: u64,
    /// What they tell.
    #[serde(flatten)]
    pub gain: Gain,
}

/// Everything that is said.
#[derive(Debug, Serialize)]
pub struct Told {
    /// Maps, by name.
    pub maps: Vec<OfMap>,
    /// Why not all of the trace is there, where it is not.
    pub incomplete: Option<String>,
}

/// Tells it; gives the exit status.
///
/// # Errors
/// The recording cannot be read, this host cannot be traced, or the output not be written.
pub fn run(config: &GainConfig) -> Result<u8> {
    match &config.of {
        GainOf::Recording(files) => {
            let first = files.first().map_or(Path::new("-"), PathBuf::as_path);
            let told = gain(files, &config.maps)
                .with_context(|| format!("no gain of {}", safe::name(&first.to_string_lossy())))?;
            out::tell(config.json.as_ref(), &told, &text::text(&told))?;
            Ok(0)
        }
        GainOf::Trace(tracing) => {
            // Its recording is of no use to anybody else.
            let dir = tempfile::tempdir().context("no room for a recording; set TMPDIR")?;
            let file = dir.path().join("gain.atr");
            let mut tracing = tracing.clone();
            if let Some(record) = &mut tracing.record {
                record.file.clone_from(&file);
            }
            let how_long = match tracing.duration {
                Some(time) => format!("for {} s; Ctrl-C ends it sooner", time.as_secs_f64()),
                None => "while COMMAND runs".to_owned(),
            };
            eprintln!("tracing this host {how_long}");
            let status = trace::run(&tracing)?;
            let told = gain(std::slice::from_ref(&file), &[])?;
            let _ = fs::remove_file(&file);
            out::tell(config.json.as_ref(), &told, &text::text(&told))?;
            Ok(status)
        }
    }
}

/// What a recording tells of each of its maps, or of those that are named.
///
/// # Errors
/// It cannot be read, or keeps no commands.
pub fn gain(files: &[PathBuf], maps: &[String]) -> Result<Told> {
    let mut gathering = Gathering::default();
    let playing = Playing {
        maps: maps.to_vec(),
        commands: true,
        ..Playing::default()
    };
    let played = play(files, &playing, &mut gathering)?;
    let mut told = gathering.told();
    if let Some(missing) = played.missing {
        told.incomplete = Some(missing.to_string());
    }
    Ok(told)
}

/// Commands without a record are missing on one side more than on the other: those that are not optimized have one.
fn only_counted(commands: u64) -> Gain {
    let commands = format::plural(commands, "command");
    let why = format!(
        "{commands} were counted in the kernel and have no record of their own: trace without --aggregate, and with a larger \
         --ring-bytes where records found no room"
    );
    Gain::CannotTell { why }
}

/// Commands of every path.
#[derive(Default)]
struct Gathering {
    paths: BTreeMap<u16, Commands>,
    maps: BTreeMap<u16, Option<String>>,
    /// Commands that have no record of their own, by map.
    counted: BTreeMap<Option<String>, u64>,
    incomplete: Option<String>,
}

impl Gathering {
    fn told(self) -> Told {
        let mut maps: BTreeMap<Option<String>, Commands> = BTreeMap::new();
        for (id, commands) in &self.paths {
            let map = self.maps.get(id).cloned().flatten();
            maps.entry(map).or_default().add_all(commands);
        }
        let maps = maps.into_iter().map(|(map, commands)| OfMap {
            commands: commands.count(),
            gain: match self.counted.get(&map) {
                Some(counted) => only_counted(*counted),
                None => commands.gain(),
            },
            map,
        });
        Told {
            maps: maps.collect(),
            incomplete: self.incomplete,
        }
    }

    fn take(&mut self, command: &model::Command) {
        let class = match opcode::class(command.opcode) {
            opcode::Class::Read => Class::Read,
            opcode::Class::Write => Class::Write,
            opcode::Class::Other => return,
        };
        // What ends with an error, or a process sends itself, says nothing of how fast a path is.
        if command.result != 0 || command.passthrough {
            return;
        }
        self.paths
            .entry(command.path)
            .or_default()
            .add(estimate::Command {
                class,
                bytes: command.bytes,
                at_ns: command.dispatched_at_ns,
                latency_ns: command.latency_ns,
                optimized: match command.state {
                    AccessState::Unknown => None,
                    state => Some(state == AccessState::Optimized),
                },
            });
    }
}

impl Audience for Gathering {
    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Command(command) => self.take(&command),
            Line::Summary(summary) => {
                if !summary.complete {
                    self.incomplete = Some(summary.incomplete_because.join("; "));
                }
                for it in summary.paths {
                    if it.counts.counted > 0 {
                        let counted = self.counted.entry(it.path.map.clone()).or_default();
                        *counted = counted.saturating_add(it.counts.counted);
                    }
                    self.maps.insert(it.path.id, it.path.map);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
