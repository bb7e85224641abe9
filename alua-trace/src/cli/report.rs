//! Arguments of the verbs that make something of a recording.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Gates, JsonTarget, gate::TraceGateArgs, values};

#[derive(Debug, Args)]
pub(super) struct ReportArgs {
    /// Make an HTML page of it, one file that needs nothing else
    #[arg(long, short, value_name = "FILE.html")]
    output: Option<PathBuf>,
    /// Write the report as one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Only this multipath map, by name, dm-N or WWID as they were; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    #[command(flatten)]
    gates: TraceGateArgs,
    /// The recording; the files of one that is in several, in order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// A recording to report on.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportConfig {
    /// Where the page goes, if one is wanted.
    pub output: Option<PathBuf>,
    /// Where the JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// What must not be true.
    pub gates: Gates,
    /// Names of maps; empty for those that the trace was of.
    pub maps: Vec<String>,
    /// The recording, its files in order.
    pub files: Vec<PathBuf>,
}

impl From<ReportArgs> for ReportConfig {
    fn from(args: ReportArgs) -> Self {
        Self {
            output: args.output,
            json: args.json,
            gates: args.gates.into(),
            maps: args.maps,
            files: args.files,
        }
    }
}

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// What to make of it
    #[arg(long, value_enum, value_name = "FORM")]
    to: ExportTo,
    /// The file to make, or for csv and parquet the directory [default: named after the recording]
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Leave the table of commands empty (csv, parquet): intervals have their histograms
    #[arg(long)]
    no_commands: bool,
    /// Only this multipath map, by name, dm-N or WWID as they were; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// The recording; the files of one that is in several, in order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// A form that other tools read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExportTo {
    /// An HdrHistogram log, with a tag for each path, class and state
    Hlog,
    /// Tables as CSV, in a directory
    Csv,
    /// Tables as Parquet, in a directory
    Parquet,
    /// Latencies as in fio's JSON, a job for each path and state
    Fio,
    /// A trace for Perfetto: a track for each path, a slice for each command
    Perfetto,
}

/// A recording to export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportConfig {
    /// What to make of it.
    pub to: ExportTo,
    /// Where to; named after the recording when `None`.
    pub output: Option<PathBuf>,
    /// With a row for each command, where there are rows.
    pub commands: bool,
    /// Names of maps; empty for those that the trace was of.
    pub maps: Vec<String>,
    /// The recording, its files in order.
    pub files: Vec<PathBuf>,
}

impl From<ExportArgs> for ExportConfig {
    fn from(args: ExportArgs) -> Self {
        Self {
            to: args.to,
            output: args.output,
            commands: !args.no_commands,
            maps: args.maps,
            files: args.files,
        }
    }
}
