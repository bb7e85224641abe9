//! The tool as a user runs it: started as a process, stopped by SIGINT, judged by its output.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::recording::{self, RECORDING};
use super::report::{Replay, Report, parse_lines};
use super::schema::Line;
use crate::protocol::BTF_DIR;
use crate::sys;
use crate::sys::process::{Background, Output};

/// Where the guest has the tool.
pub(crate) const TOOL: &str = "/usr/bin/alua-trace";
const JSON: &str = "/tmp/alua-trace.jsonl";
/// The tool attaches within this time, also under TCG, where the verifier of Linux 5.10 alone takes ten
/// seconds.
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// The option for a kernel that has no type information for its modules, where the guest was given
/// some.
pub(crate) fn btf() -> impl Iterator<Item = &'static str> {
    let given = Path::new(BTF_DIR).is_dir();
    ["--btf", BTF_DIR].into_iter().filter(move |_| given)
}

/// How the tool is run.
#[derive(Debug, Clone, Default)]
pub(crate) struct TraceOptions {
    /// `--commands`.
    pub(crate) commands: bool,
    /// `--aggregate`, or `--check-aggregate`.
    pub(crate) telling: Telling,
    /// `--ring-bytes`.
    pub(crate) ring_bytes: Option<u32>,
    /// `--map`.
    pub(crate) map: Option<String>,
    /// `--duration`, in milliseconds.
    pub(crate) duration_ms: Option<u64>,
    /// `--interval`, in milliseconds.
    pub(crate) interval_ms: Option<u64>,
    /// Without `--record`: for those that look at memory.
    pub(crate) unrecorded: bool,
    /// `-- COMMAND…`.
    pub(crate) command: Vec<String>,
}

/// What becomes of commands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Each has a record.
    #[default]
    Each,
    /// They are counted in the kernel.
    Counted,
    /// Both; the tool fails unless they agree.
    Both,
}

impl Telling {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Each => None,
            Self::Counted => Some("--aggregate"),
            Self::Both => Some("--check-aggregate"),
        }
    }
}

impl TraceOptions {
    /// With a line a command.
    pub(crate) fn with_commands() -> TraceOptions {
        TraceOptions {
            commands: true,
            ..TraceOptions::default()
        }
    }

    /// The words of its command line, without the tool's name.
    fn arguments(&self) -> Vec<String> {
        let mut words: Vec<String> = ["run", "--json", JSON].map(str::to_owned).to_vec();
        if !self.unrecorded {
            words.extend(["--record", RECORDING].map(str::to_owned));
        }
        words.extend(btf().map(str::to_owned));
        if self.commands {
            words.push("--commands".to_owned());
        }
        words.extend(self.telling.word().map(str::to_owned));
        let mut pair = |name: &str, value: Option<String>| {
            words.extend(
                value
                    .map(|value| [name.to_owned(), value])
                    .into_iter()
                    .flatten(),
            );
        };
        pair(
            "--ring-bytes",
            self.ring_bytes.map(|bytes| bytes.to_string()),
        );
        pair("--map", self.map.clone());
        pair(
            "--duration",
            self.duration_ms.map(|time| format!("{time}ms")),
        );
        pair(
            "--interval",
            self.interval_ms.map(|time| format!("{time}ms")),
        );
        if !self.command.is_empty() {
            words.push("--".to_owned());
            words.extend(self.command.clone());
        }
        words
    }
}

/// A running trace.
#[derive(Debug)]
pub(crate) struct Trace {
    process: Background,
    /// Bytes of its output that [`Trace::new_lines`] has given.
    followed: u64,
    options: TraceOptions,
}

impl Trace {
    /// Starts it and waits until it says that it watches.
    pub(crate) fn start(options: &TraceOptions) -> Result<Trace> {
        let mut trace = Trace::launch(options)?;
        let started = sys::wait_for(START_LIMIT, "the tracer's first line", || {
            if !trace.process.is_running()? {
                bail!("the tracer ended before its first line");
            }
            let text = std::fs::read_to_string(JSON).unwrap_or_default();
            Ok(text.lines().next().is_some_and(|line| line.ends_with('}')))
        });
        match started {
            Ok(()) => Ok(trace),
            Err(error) => {
                let said = trace.process.finish(Duration::from_millis(200));
                let said = said.map_or_else(|error| error.to_string(), |output| output.stderr);
                Err(error).context(format!("the tracer said: {said}"))
            }
        }
    }

    fn launch(options: &TraceOptions) -> Result<Trace> {
        let _ = std::fs::remove_file(JSON);
        recording::forget();
        let mut command = Command::new(TOOL);
        command.args(options.arguments());
        Ok(Trace {
            process: Background::start(&mut command)?,
            followed: 0,
            options: options.clone(),
        })
    }

    /// Runs it to its own end: with `--duration` or a command.
    pub(crate) fn run(options: &TraceOptions, limit: Duration) -> Result<Report> {
        Trace::launch(options)?.finish(limit)
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// True while it runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        self.process.is_running()
    }

    /// What it has written so far; a last line that is not whole is left out.
    pub(crate) fn lines_so_far(&self) -> Result<Vec<Line>> {
        let text = std::fs::read_to_string(JSON).context("failed to read the trace")?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        parse_lines(whole)
    }

    /// What it has written since the last call, without a last line that is not whole.
    pub(crate) fn new_lines(&mut self) -> Result<Vec<Line>> {
        let mut file = File::open(JSON).context("failed to open the trace")?;
        file.seek(SeekFrom::Start(self.followed))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)
            .context("failed to read the trace")?;
        text.truncate(
            text.iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |end| end + 1),
        );
        self.followed += text.len() as u64;
        parse_lines(&String::from_utf8(text)?)
    }

    /// Sends it a signal.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)
    }

    /// Ends it as a user does, with Ctrl-C.
    pub(crate) fn stop(mut self) -> Result<Report> {
        self.process.signal(Signal::INT)?;
        self.finish(STOP_LIMIT)
    }

    /// Ends it without a chance to clean up.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.process.signal(Signal::KILL)?;
        sys::wait_for(Duration::from_secs(5), "a killed tracer", || {
            Ok(!self.process.is_running()?)
        })
    }

    /// Waits for its end.
    pub(crate) fn finish(self, limit: Duration) -> Result<Report> {
        let output = self.process.finish(limit)?;
        let raw = std::fs::read_to_string(JSON)
            .with_context(|| format!("no trace was written: {}", output.stderr.trim()))?;
        let mut report = Report::parse(raw, output)?;
        if !self.options.unrecorded {
            let gave = recording::Gave {
                json: &report.raw,
                stdout: self.options.command.is_empty().then_some(&report.stdout),
                commands: self.options.commands,
            };
            report.replay = Replay::of(recording::check(&gave));
        }
        Ok(report)
    }
}

/// Runs the tool with any words and returns what it said, whatever the status.
pub(crate) fn say(arguments: &[&str], limit: Duration) -> Result<Output> {
    let mut command = Command::new(TOOL);
    command.args(arguments);
    Background::start_with(&mut command, Stdio::piped())?.finish(limit)
}
