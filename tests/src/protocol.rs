//! What host and guest say to each other: the task the guest is given, and the messages it
//! returns. Owns the formats and nothing that sends them.
//!
//! The host packs a [`Task`] into the initramfs as [`TASK_PATH`]. The guest answers with one JSON
//! [`Message`] per line on the virtio-serial port [`RESULTS_PORT`], never on the console: kernel
//! messages cannot break a result, and a result cannot be mistaken for one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where the guest finds its [`Task`].
pub const TASK_PATH: &str = "/etc/alua-trace/task.json";

/// Where the guest finds type information of its kernel's modules, if the kernel has none itself.
pub const BTF_DIR: &str = "/etc/alua-trace/btf";

/// Name of the virtio-serial port that carries [`Message`]s
/// (`/dev/virtio-ports/<name>` or `/sys/class/virtio-ports/*/name`).
pub const RESULTS_PORT: &str = "org.alua-trace.results";

/// What the guest does after it has booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Task {
    /// Run every test case of `group` whose name contains one of `filters` (all when empty).
    Test {
        /// Name of the group: one guest boot each.
        group: String,
        /// Substrings of case names.
        filters: Vec<String>,
    },
    /// List the groups and cases to stdout; used by the host without a guest.
    List,
    /// A shell on the interactive console, with an array set up.
    Shell(Terminal),
    /// The same with the array of another guest.
    IscsiShell(Terminal),
    /// The demonstration behind `cargo xtask run`: array, load, live table, forced move, summary.
    Demo {
        /// The user's terminal.
        terminal: Terminal,
        /// How long the load runs, in seconds.
        seconds: u32,
    },
    /// The experiment behind `cargo xtask lab experiment`, with the array of another guest.
    Experiment {
        /// The user's terminal.
        terminal: Terminal,
        /// Its plan.
        plan: String,
    },
    /// The array of another guest, over networks, for as long as that one lives.
    Array,
    /// One benchmark that prints [`Message::Figure`]s.
    Bench {
        /// Name of the benchmark.
        name: String,
        /// How often what is compared is run; as the benchmark likes if not given.
        rounds: Option<usize>,
    },
}

/// The terminal behind the interactive console `hvc0`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminal {
    /// Lines.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// `$TERM`.
    pub term: String,
    /// False when the host's stdout is no terminal: the tool must print plain lines.
    pub is_terminal: bool,
}

/// How a test case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Every assertion held.
    Passed,
    /// An assertion did not hold.
    Failed,
    /// The case could not run here; never counted as passed.
    NotRun,
}

/// One line from guest to host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "kebab-case")]
pub enum Message {
    /// PID 1 runs. Sent first; a guest that never says it is started again once.
    Hello {
        /// `uname -r`.
        kernel: String,
    },
    /// A case begins.
    CaseStarted {
        /// Name of the case.
        name: String,
    },
    /// A case ended.
    Case {
        /// Name of the case.
        name: String,
        /// How it ended.
        verdict: Verdict,
        /// Why, when it failed or did not run.
        detail: String,
        /// How long it took, in milliseconds of guest time.
        duration_ms: u64,
    },
    /// A measured number.
    Figure {
        /// Case or benchmark it belongs to.
        source: String,
        /// What was measured.
        name: String,
        /// The number.
        value: f64,
        /// Its unit.
        unit: String,
    },
    /// A row of a benchmark's table: column name to text.
    Row {
        /// Benchmark it belongs to.
        source: String,
        /// The cells.
        cells: BTreeMap<String, String>,
    },
    /// Something a person should read.
    Log {
        /// The text.
        text: String,
    },
    /// A file for the host's artefact directory. Text only.
    File {
        /// File name without a directory.
        name: String,
        /// Contents.
        text: String,
    },
    /// The task is over; the guest powers off.
    Bye {
        /// Exit status of the task.
        status: i32,
    },
}
