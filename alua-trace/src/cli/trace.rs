//! Arguments of the verbs that trace, and of those that show what was traced.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Gates, JsonTarget, Listen, gate::TraceGateArgs, values};

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    /// Also record the trace to this new file, for replay
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Say something of the run in its recording, such as mtu=9000; may be given several times
    #[arg(long = "label", value_name = "NAME=VALUE", value_parser = values::label)]
    #[arg(requires = "record")]
    labels: Vec<(String, String)>,
    #[command(flatten)]
    way: WayArgs,
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
    way: WayArgs,
    #[command(flatten)]
    trace: TraceArgs,
}

/// How a recording is written.
#[derive(Debug, Args)]
struct WayArgs {
    /// Go on in another file, FILE.0001 and so on, after so much (500M, 2G) or so long (1h)
    #[arg(long, value_name = "SIZE|TIME", value_parser = values::rotate)]
    rotate: Option<Rotate>,
    /// Of the files of --rotate or --last keep only the last N
    #[arg(long, value_name = "N", value_parser = values::count)]
    keep: Option<usize>,
    /// Keep no commands: intervals with their histograms, transfers, flags and the slowest commands
    #[arg(long)]
    histograms_only: bool,
    /// Write nothing until a flag is raised or SIGUSR1 comes; then what came in this time before, and
    /// ten seconds after
    #[arg(long, value_name = "TIME", conflicts_with = "rotate", value_parser = values::duration)]
    last: Option<Duration>,
    /// What that may take in memory until then
    #[arg(long, value_name = "SIZE", requires = "last", default_value = "256M")]
    #[arg(value_parser = values::size)]
    last_memory: u64,
}

/// When a recording goes on in another file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// After so many bytes.
    Size(u64),
    /// After so long.
    Time(Duration),
}

/// How a recording is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordWay {
    /// To one file.
    Whole,
    /// To one file after the other.
    Parts {
        /// How much or how long each is.
        rotate: Rotate,
        /// How many stay; all when `None`.
        keep: Option<usize>,
    },
    /// Only what led to a flag, or to SIGUSR1.
    Last {
        /// How long before.
        time: Duration,
        /// Bytes it may take in memory.
        memory: u64,
        /// How many whole files stay; all when `None`.
        keep: Option<usize>,
    },
}

impl WayArgs {
    fn way(&self) -> RecordWay {
        match (self.rotate, self.last) {
            (Some(rotate), _) => RecordWay::Parts {
                rotate,
                keep: self.keep,
            },
            (None, Some(time)) => RecordWay::Last {
                time,
                memory: self.last_memory,
                keep: self.keep,
            },
            (None, None) => RecordWay::Whole,
        }
    }
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
    /// Give metrics to Prometheus at this address of this host's own, such as 127.0.0.1:9909, or at unix:PATH
    #[arg(long, value_name = "ADDR", value_parser = values::listen)]
    metrics: Option<Listen>,
    /// Size of each CPU's ring buffer: a power of two from 4K on, with K or M [default: 512K on most hosts]
    #[arg(long, value_name = "N", value_parser = values::ring_bytes)]
    ring_bytes: Option<u32>,
    /// Count commands in the kernel, which costs less: only those that are slow, rare or not optimized, and samples, have a
    /// record of their own. Without it this begins by itself once records find no room (Linux 5.12)
    #[arg(long, conflicts_with = "commands")]
    aggregate: bool,
    /// Count each command in the kernel beside its record, and fail unless both agree at the end
    #[arg(long, hide = true, conflicts_with = "aggregate")]
    check_aggregate: bool,
    /// Say what each probe took: the kernel measures them, which costs a little itself
    #[arg(long)]
    cost: bool,
    /// Keep the tool's own threads to these CPUs, such as 0,2-3
    #[arg(long = "cpu", value_name = "LIST", value_parser = values::cpus)]
    cpus: Option<values::Cpus>,
    /// Nice level of the tool's own threads: -20 to 19
    #[arg(long, value_name = "N", allow_hyphen_values = true, value_parser = clap::value_parser!(i32).range(-20..=19))]
    nice: Option<i32>,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    #[command(flatten)]
    gates: TraceGateArgs,
    /// Run this command and trace until it ends
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
pub(super) struct GainArgs {
    /// Trace this host for so long [default: 30s, or as long as COMMAND runs]
    #[arg(long, value_name = "TIME", conflicts_with = "files", value_parser = values::duration)]
    duration: Option<Duration>,
    /// Only this multipath map, by name, dm-N or WWID; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    /// Write it as one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Directory with BTF files named like their modules, for kernels without module BTF
    #[arg(long, value_name = "DIR")]
    btf: Option<PathBuf>,
    /// A recording; the files of one that is in several, in order; none to trace this host
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Run this command and trace until it ends
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "files")]
    command: Vec<OsString>,
}

/// What a gain is of.
#[derive(Debug, Clone, PartialEq)]
pub enum GainOf {
    /// A recording, its files in order.
    Recording(Vec<PathBuf>),
    /// This host; what it records to is for the one who traces to say.
    Trace(Box<RunConfig>),
}

/// A gain to estimate.
#[derive(Debug, Clone, PartialEq)]
pub struct GainConfig {
    /// Of what.
    pub of: GainOf,
    /// Names of maps; empty for all.
    pub maps: Vec<String>,
    /// Where the JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
}

impl From<GainArgs> for GainConfig {
    fn from(args: GainArgs) -> Self {
        const DEFAULT: Duration = Duration::from_secs(30);
        let of = if args.files.is_empty() {
            let forever = !args.command.is_empty();
            GainOf::Trace(Box::new(RunConfig {
                duration: args.duration.or((!forever).then_some(DEFAULT)),
                interval: Duration::from_secs(1),
                maps: args.maps.clone(),
                json: None,
                commands: false,
                metrics: None,
                ring_bytes: None,
                telling: Telling::Each,
                cost: false,
                placement: Placement::default(),
                btf: args.btf,
                show: Show::Nothing,
                record: Some(RecordTo {
                    file: PathBuf::new(),
                    labels: BTreeMap::new(),
                    way: RecordWay::Whole,
                    histograms_only: false,
                }),
                gates: Gates::default(),
                command: args.command,
            }))
        } else {
            GainOf::Recording(args.files)
        };
        Self {
            of,
            maps: args.maps,
            json: args.json,
        }
    }
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
    /// Begin so long after the start of the trace, such as 90s
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    from: Option<Duration>,
    /// End so long after the start of the trace
    #[arg(long, value_name = "TIME", value_parser = values::duration)]
    to: Option<Duration>,
    /// Judge by another threshold, such as thrash-transfers=2; may be given several times
    #[arg(long = "threshold", value_name = "NAME=VALUE", value_parser = values::threshold)]
    thresholds: Vec<(ThresholdName, u64)>,
    #[command(flatten)]
    gates: TraceGateArgs,
    /// The recording; the files of one that is in several, in order
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
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
    /// Nothing at all.
    Nothing,
}

/// A recording to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordTo {
    /// The file, which must not be there.
    pub file: PathBuf,
    /// What the user says of the run, by name.
    pub labels: BTreeMap<String, String>,
    /// How it is written.
    pub way: RecordWay,
    /// Lines instead of inputs.
    pub histograms_only: bool,
}

/// Where the tool's own threads run, and how they rank.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Numbers of processors; empty for all of them.
    pub cpus: Vec<usize>,
    /// Nice level, -20 to 19; that of who started the tool when `None`.
    pub nice: Option<i32>,
}

/// What becomes of commands that complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Telling {
    /// Each has a record.
    #[default]
    Each,
    /// They are counted in the kernel.
    Counted,
    /// Both, to compare.
    Both,
}

/// A trace to run.
#[derive(Debug, Clone, PartialEq)]
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
    /// Where metrics can be had, if anywhere.
    pub metrics: Option<Listen>,
    /// Bytes of each CPU's log: a power of two of at least 4096, perhaps below the page size.
    pub ring_bytes: Option<u32>,
    /// What becomes of commands that complete.
    pub telling: Telling,
    /// The kernel measures each probe.
    pub cost: bool,
    /// Where the tool's own threads run.
    pub placement: Placement,
    /// Directory with BTF files.
    pub btf: Option<PathBuf>,
    /// What goes to standard output, unless JSON does.
    pub show: Show,
    /// Where the trace is recorded to, if anywhere.
    pub record: Option<RecordTo>,
    /// What must not be true at the end.
    pub gates: Gates,
    /// Command to run and trace, with its arguments; empty for none.
    pub command: Vec<OsString>,
}

/// A recording to show.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplayConfig {
    /// Where JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// Every command goes to JSON.
    pub commands: bool,
    /// The set-up as JSON, and nothing else.
    pub setup: bool,
    /// Names of maps; empty for those that the trace was of.
    pub maps: Vec<String>,
    /// What of the trace.
    pub span: Span,
    /// Thresholds that are not the trace's own.
    pub thresholds: Vec<(ThresholdName, u64)>,
    /// What must not be true at the end.
    pub gates: Gates,
    /// The recording, its files in order.
    pub files: Vec<PathBuf>,
}

/// A part of a trace, in time since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// From here on.
    pub from: Option<Duration>,
    /// Up to here.
    pub to: Option<Duration>,
}

/// A threshold of the engine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ThresholdName {
    /// Transfers of a unit that are thrash
    ThrashTransfers,
    /// The time within which they are
    ThrashTime,
    /// How long a path is transitioning before that is stuck, where the array does not say
    TransitionStuck,
    /// How long a MODE SELECT has no answer before that is told
    ModeSelectOutstanding,
    /// How long states contradict each other before that is told
    StateDisagrees,
    /// How long a unit is owned by the wrong side before that is told
    NotPreferredOwner,
    /// How long a path completes nothing before it is stuck; its p99 counts, too
    StuckPath,
    /// From when on a wait in dm counts as held
    Held,
}

impl RunConfig {
    fn new(args: TraceArgs, show: Show, record: Option<RecordTo>) -> Self {
        Self {
            duration: args.duration,
            interval: args.interval,
            maps: args.maps,
            json: args.json,
            commands: args.commands,
            metrics: args.metrics,
            ring_bytes: args.ring_bytes,
            telling: match (args.aggregate, args.check_aggregate) {
                (true, _) => Telling::Counted,
                (_, true) => Telling::Both,
                _ => Telling::Each,
            },
            cost: args.cost,
            placement: Placement {
                cpus: args.cpus.map(|it| it.0).unwrap_or_default(),
                nice: args.nice,
            },
            btf: args.btf,
            show,
            record,
            gates: args.gates.into(),
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
        let record = args.record.map(|file| RecordTo {
            file,
            labels,
            way: args.way.way(),
            histograms_only: args.way.histograms_only,
        });
        Self::new(args.trace, show, record)
    }
}

impl From<RecordArgs> for RunConfig {
    fn from(args: RecordArgs) -> Self {
        let record = RecordTo {
            file: args.output,
            labels: args.labels.into_iter().collect(),
            way: args.way.way(),
            histograms_only: args.way.histograms_only,
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
            span: Span {
                from: args.from,
                to: args.to,
            },
            thresholds: args.thresholds,
            gates: args.gates.into(),
            files: args.files,
        }
    }
}
