//! Arguments of the verbs that trace, and of those that show what was traced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::{JsonTarget, values};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Also record the trace to this new file, for replay
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Say something of the run in its recording, such as mtu=9000; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = values::label)]
    #[arg(requires = "record")]
    labels: Vec<(String, String)>,
    /// Plain lines instead of the live view, even on a terminal
    #[arg(long)]
    no_live: bool,
    #[command(flatten)]
    trace: TraceArgs,
}

#[derive(Debug, Args)]
pub(super) struct RecordArgs {
    /// The new file to record to
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Say something of the run, such as mtu=9000; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = values::label)]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    trace: TraceArgs,
}

/// What every trace can be told.
#[derive(Debug, Args)]
struct TraceArgs {
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
    /// Size of the ring buffer: a power of two from 4K on, with K or M
    #[arg(long, value_name = "N", default_value_t, value_parser = values::ring_bytes)]
    ring_bytes: values::RingBytes,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    /// Run this command and trace until it ends
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct ReplayArgs {
    /// Write JSON lines to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Also write every single command as JSON
    #[arg(long, requires = "json")]
    commands: bool,
    /// Only this multipath map, by name, dm-N or WWID as they were; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// Print what was traced under which set-up, as JSON, instead
    #[arg(long, conflicts_with_all = ["json", "maps"])]
    setup: bool,
    /// The recording
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// What people are shown while a trace runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// The live view, if standard output turns out to be a terminal; else plain lines.
    Live,
    /// Plain lines.
    Plain,
    /// Plain lines for what happens, none for what an interval saw.
    Events,
}

/// A recording to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTo {
    /// The file, which must not be there.
    pub file: PathBuf,
    /// What the user says of the run, by name.
    pub labels: BTreeMap<String, String>,
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
    /// Size of the ring buffer: a power of two of at least 4096, perhaps below the page size.
    pub ring_bytes: u32,
    /// Directory with BTF files.
    pub btf: Option<PathBuf>,
    /// What goes to standard output, unless JSON does.
    pub show: Show,
    /// Where the trace is recorded to, if anywhere.
    pub record: Option<RecordTo>,
    /// Command to run and trace, with its arguments; empty for none.
    pub command: Vec<OsString>,
}

/// A recording to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayConfig {
    /// Where JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// Every command goes to JSON.
    pub commands: bool,
    /// The set-up as JSON, and nothing else.
    pub setup: bool,
    /// Names of maps; empty for those that the trace was of.
    pub maps: Vec<String>,
    /// The recording.
    pub file: PathBuf,
}

impl RunConfig {
    fn new(args: TraceArgs, show: Show, record: Option<RecordTo>) -> Self {
        Self {
            duration: args.duration,
            interval: args.interval,
            maps: args.maps,
            json: args.json,
            commands: args.commands,
            ring_bytes: args.ring_bytes.0,
            btf: args.btf,
            show,
            record,
            command: args.command,
        }
    }
}

impl From<RunArgs> for RunConfig {
    fn from(args: RunArgs) -> Self {
        // JSON on standard output leaves no place for the live view.
        let live = !args.no_live && args.trace.json != Some(JsonTarget::Stdout);
        let show = if live { Show::Live } else { Show::Plain };
        let labels = args.labels.into_iter().collect();
        let record = args.record.map(|file| RecordTo { file, labels });
        Self::new(args.trace, show, record)
    }
}

impl From<RecordArgs> for RunConfig {
    fn from(args: RecordArgs) -> Self {
        let record = RecordTo {
            file: args.output,
            labels: args.labels.into_iter().collect(),
        };
        Self::new(args.trace, Show::Events, Some(record))
    }
}

impl From<ReplayArgs> for ReplayConfig {
    fn from(args: ReplayArgs) -> Self {
        Self {
            json: args.json,
            commands: args.commands,
            setup: args.setup,
            maps: args.maps,
            file: args.file,
        }
    }
}
