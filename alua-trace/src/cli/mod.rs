//! The command line: what can be typed, and what it means. Owns every default and limit of an
//! argument; [`Action`] is what the rest of the tool sees.

mod compare;
mod decode;
mod experiment;
mod gate;
mod help;
mod inventory;
mod report;
mod trace;
mod values;

pub use compare::{CompareConfig, IoClass, Metric};
pub use decode::DecodePage;
pub use experiment::{ExperimentConfig, ExperimentWish};
pub use gate::{Gate, Gates, Label, Name, Operator, Quantity};
pub use inventory::{ImportConfig, ImportKind, PathsConfig, View};
pub use report::{ExportConfig, ExportTo, ReportConfig};
pub use trace::{
    GainConfig, GainOf, Placement, RecordTo, RecordWay, ReplayConfig, Rotate, RunConfig, Show,
    Span, Telling, ThresholdName,
};

use std::net::SocketAddr;
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
    Run(trace::RunArgs),
    #[command(about = help::RECORD, long_about = help::RECORD_LONG)]
    #[command(after_long_help = help::RECORD_AFTER)]
    Record(trace::RecordArgs),
    #[command(about = help::WATCH, long_about = help::WATCH_LONG, after_long_help = help::WATCH_AFTER)]
    Watch(WatchArgs),
    #[command(about = help::REPLAY, long_about = help::REPLAY_LONG)]
    #[command(after_long_help = help::REPLAY_AFTER)]
    Replay(trace::ReplayArgs),
    #[command(about = help::REPORT, long_about = help::REPORT_LONG)]
    #[command(after_long_help = help::REPORT_AFTER)]
    Report(report::ReportArgs),
    #[command(about = help::COMPARE, long_about = help::COMPARE_LONG)]
    #[command(after_long_help = help::COMPARE_AFTER)]
    Compare(compare::CompareArgs),
    #[command(about = help::EXPERIMENT, long_about = help::EXPERIMENT_LONG)]
    #[command(after_long_help = help::EXPERIMENT_AFTER)]
    Experiment(experiment::ExperimentArgs),
    /// What sets an experiment's factors back.
    #[command(hide = true)]
    ExperimentGuard(experiment::GuardArgs),
    #[command(about = help::GAIN, long_about = help::GAIN_LONG, after_long_help = help::GAIN_AFTER)]
    Gain(trace::GainArgs),
    #[command(about = help::EXPORT, long_about = help::EXPORT_LONG)]
    #[command(after_long_help = help::EXPORT_AFTER)]
    Export(report::ExportArgs),
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
struct WatchArgs {
    /// The configuration [default: /etc/alua-trace/watch.toml, or what is usual where there is none]
    #[arg(long = "config", value_name = "FILE")]
    file: Option<PathBuf>,
    /// Say whether the configuration can be used, and what its alerts are; trace nothing
    #[arg(long)]
    check: bool,
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
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Trace.
    Run(RunConfig),
    /// Trace for months.
    Watch(WatchConfig),
    /// Show what was recorded.
    Replay(ReplayConfig),
    /// Make a report of what was recorded.
    Report(ReportConfig),
    /// Compare the runs of two sides.
    Compare(CompareConfig),
    /// Say what optimized paths alone would gain.
    Gain(GainConfig),
    /// Make an experiment.
    Experiment(ExperimentConfig),
    /// Set the factors of the experiment in this directory back once standard input ends.
    ExperimentGuard(PathBuf),
    /// Make of what was recorded what other tools read.
    Export(ExportConfig),
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

/// Where metrics can be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address that only this host reaches: nothing is encrypted.
    Loopback(SocketAddr),
    /// A Unix socket, whose directory says who may ask.
    Unix(PathBuf),
}

/// A host to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchConfig {
    /// The configuration, if not the usual one.
    pub file: Option<PathBuf>,
    /// Only say whether it can be used.
    pub check: bool,
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

/// A time such as `10s`, `500ms`, `2m`, as arguments and plans have it.
///
/// # Errors
/// It is none, with what it must be.
pub fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text)
}

/// A time between reports, 100 ms to 1 h.
///
/// # Errors
/// It is none, with what it must be.
pub fn interval(text: &str) -> Result<Duration, String> {
    values::interval(text)
}

/// A size such as `64M`, in bytes.
///
/// # Errors
/// It is none, with what it must be.
pub fn size(text: &str) -> Result<u64, String> {
    values::size(text)
}

/// An address or a socket where metrics can be had.
///
/// # Errors
/// It is none, or others can reach it.
pub fn listen(text: &str) -> Result<Listen, String> {
    values::listen(text)
}

/// Numbers of processors, such as `0,2-3`.
///
/// # Errors
/// They are none, with what they must be.
pub fn cpus(text: &str) -> Result<Vec<usize>, String> {
    values::cpus(text).map(|it| it.0)
}

/// An expression over what a trace has found.
///
/// # Errors
/// It is none, with a mark where.
pub fn gate(text: &str) -> Result<Gate, String> {
    gate::of_trace(text)
}

impl Cli {
    /// What the arguments mean.
    pub fn into_action(self) -> Action {
        match self.verb {
            Verb::Run(args) => Action::Run(args.into()),
            Verb::Record(args) => Action::Run(args.into()),
            Verb::Watch(WatchArgs { file, check }) => Action::Watch(WatchConfig { file, check }),
            Verb::Replay(args) => Action::Replay(args.into()),
            Verb::Report(args) => Action::Report(args.into()),
            Verb::Compare(args) => Action::Compare(args.into()),
            Verb::Gain(args) => Action::Gain(args.into()),
            Verb::Experiment(args) => Action::Experiment(args.into()),
            Verb::ExperimentGuard(args) => Action::ExperimentGuard(args.dir()),
            Verb::Export(args) => Action::Export(args.into()),
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

#[cfg(test)]
mod tests;
