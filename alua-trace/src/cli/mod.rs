//! The command line: what can be typed, and what it means. Owns every default and limit of an
//! argument; [`Action`] is what the rest of the tool sees.

mod decode;
mod help;
mod inventory;
mod values;

pub use decode::DecodePage;
pub use inventory::{ImportConfig, ImportKind, PathsConfig, View};

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// What was typed. Get it with `Cli::parse()`, which ends the process with status 2 on bad input.
#[derive(Debug, Parser)]
#[command(name = "alua-trace", version, about = help::ABOUT, after_long_help = help::EXIT)]
#[command(long_about = help::LONG_ABOUT, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(about = help::RUN, long_about = help::RUN_LONG, after_long_help = help::RUN_AFTER)]
    Run(RunArgs),
    #[command(about = help::DOCTOR, after_long_help = help::DOCTOR_AFTER)]
    Doctor(DoctorArgs),
    #[command(about = help::DECODE, long_about = help::DECODE_LONG)]
    #[command(after_long_help = help::DECODE_AFTER)]
    Decode(DecodeArgs),
    #[command(about = help::PATHS, long_about = help::PATHS_LONG, after_long_help = help::PATHS_AFTER)]
    Paths(inventory::PathsArgs),
    #[command(about = help::IMPORT, long_about = help::IMPORT_LONG)]
    #[command(after_long_help = help::IMPORT_AFTER)]
    Import(inventory::ImportArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// End after this time, such as 10s, 500ms, 2m or 1h
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    duration: Option<Duration>,
    /// How often to report: 100ms to 1h
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::interval)]
    interval: Duration,
    /// Only this multipath map, by name, dm-N or WWID; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// Write JSON lines to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Also write every single command as JSON
    #[arg(long, requires = "json")]
    commands: bool,
    /// Take the trace's inputs again at the end, and fail unless they give the same lines
    #[arg(long, hide = true)]
    check_replay: bool,
    /// Size of the ring buffer: a power of two from 4K on, with K or M
    #[arg(long, value_name = "N", default_value_t, value_parser = values::ring_bytes)]
    ring_bytes: values::RingBytes,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    /// Plain lines instead of the live view, even on a terminal
    #[arg(long)]
    no_live: bool,
    /// Run this command and trace until it ends
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Write one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// Show every probe and module by itself
    #[arg(long, short)]
    verbose: bool,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    /// Examine this multipath configuration alone, and nothing of this host
    #[arg(long, value_name = "FILE", conflicts_with = "btf")]
    multipath_conf: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DecodeArgs {
    /// What it is
    #[arg(long, value_name = "PAGE", value_enum)]
    page: DecodePage,
    /// Write one JSON object instead of text
    #[arg(long)]
    json: bool,
    /// A dump in hexadecimal, or the bytes themselves; standard input with "-"
    #[arg(value_name = "FILE|-", default_value = "-", value_parser = values::decode_input())]
    input: DecodeInput,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Trace.
    Run(RunConfig),
    /// Say what a trace on this host could tell.
    Doctor(DoctorConfig),
    /// Show what a page says.
    Decode(DecodeConfig),
    /// Show the paths of this host.
    Paths(PathsConfig),
    /// Show the paths that somebody's tools printed.
    Import(ImportConfig),
}

/// Where JSON goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonTarget {
    /// Standard output.
    Stdout,
    /// A file, which is replaced.
    File(PathBuf),
}

/// A trace to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunConfig {
    /// End after this time.
    pub duration: Option<Duration>,
    /// Time between reports: 100 ms to 1 h.
    pub interval: Duration,
    /// Names of maps (name, dm-N or WWID); empty for all paths.
    pub maps: Vec<String>,
    /// Where JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// Every command goes to JSON.
    pub commands: bool,
    /// At the end the trace's inputs are taken again, to see that they give the same lines.
    pub check_replay: bool,
    /// Size of the ring buffer: a power of two of at least 4096, perhaps below the page size.
    pub ring_bytes: u32,
    /// Directory with BTF files.
    pub btf: Option<PathBuf>,
    /// The live view is wanted, if standard output turns out to be a terminal.
    pub live: bool,
    /// Command to run and trace, with its arguments; empty for none.
    pub command: Vec<OsString>,
}

/// A host to examine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorConfig {
    /// JSON instead of text.
    pub json: bool,
    /// Every probe and module by itself.
    pub verbose: bool,
    /// Directory with BTF files.
    pub btf: Option<PathBuf>,
    /// A multipath configuration to examine instead of this host.
    pub multipath_conf: Option<PathBuf>,
}

/// A dump to decode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecodeConfig {
    /// What it is a dump of.
    pub page: DecodePage,
    /// JSON instead of text.
    pub json: bool,
    /// Where it is.
    pub input: DecodeInput,
}

/// Where a dump comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecodeInput {
    /// Standard input.
    Stdin,
    /// A file.
    File(PathBuf),
}

impl Cli {
    /// What the arguments mean.
    pub fn into_action(self) -> Action {
        match self.verb {
            Verb::Run(args) => Action::Run(args.into()),
            Verb::Doctor(DoctorArgs {
                json,
                verbose,
                btf,
                multipath_conf,
            }) => Action::Doctor(DoctorConfig {
                json,
                verbose,
                btf,
                multipath_conf,
            }),
            Verb::Decode(DecodeArgs { page, json, input }) => {
                Action::Decode(DecodeConfig { page, json, input })
            }
            Verb::Paths(args) => Action::Paths(args.into()),
            Verb::Import(args) => Action::Import(args.into()),
        }
    }
}

impl From<RunArgs> for RunConfig {
    fn from(args: RunArgs) -> Self {
        Self {
            duration: args.duration,
            interval: args.interval,
            maps: args.maps,
            // JSON on standard output leaves no place for the live view.
            live: !args.no_live && args.json != Some(JsonTarget::Stdout),
            json: args.json,
            commands: args.commands,
            check_replay: args.check_replay,
            ring_bytes: args.ring_bytes.0,
            btf: args.btf,
            command: args.command,
        }
    }
}

#[cfg(test)]
mod tests;
