//! The task's process (`guest task`): reads the task, does it, and owns the only way to send
//! messages.

use std::fs::File;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context, Result, bail};

use crate::protocol::{Message, TASK_PATH, Task};
use crate::{bench, cases, console, iscsi, sys};

/// Sends messages to the host. Standard output is the pipe to PID 1 when the process starts; it
/// is taken away at once so that nothing but messages can get into it.
pub(crate) struct Reporter(Mutex<File>);

impl Reporter {
    fn take_stdout() -> Result<Reporter> {
        let pipe = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)
            .context("failed to keep the message pipe")?;
        rustix::stdio::dup2_stdout(rustix::stdio::stderr())
            .context("failed to redirect standard output")?;
        Ok(Reporter(Mutex::new(File::from(pipe))))
    }

    /// Sends one message. A pipe that is gone means PID 1 is: nobody is left to tell.
    pub(crate) fn send(&self, message: &Message) {
        let Ok(mut line) = serde_json::to_string(message) else {
            return;
        };
        line.push('\n');
        if let Ok(mut pipe) = self.0.lock() {
            let _ = pipe.write_all(line.as_bytes());
        }
    }

    /// Sends something a person should read.
    pub(crate) fn log(&self, text: impl Into<String>) {
        self.send(&Message::Log { text: text.into() });
    }
}

/// Does the task.
pub(crate) fn main() -> ExitCode {
    let reporter = match Reporter::take_stdout() {
        Ok(reporter) => reporter,
        Err(error) => {
            eprintln!("guest task: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let status = match run(&reporter) {
        Ok(status) => status,
        Err(error) => {
            reporter.log(format!("{error:#}"));
            1
        }
    };
    reporter.send(&Message::Bye { status });
    ExitCode::SUCCESS
}

fn run(reporter: &Reporter) -> Result<i32> {
    let text = sys::read(TASK_PATH)?;
    let task = serde_json::from_str(&text).with_context(|| format!("bad task: {text}"))?;
    match task {
        Task::Test { group, filters } => cases::run_group(reporter, &group, &filters),
        Task::Experiment { terminal, plan } => console::experiment(reporter, &terminal, &plan),
        Task::Array => iscsi::serve(reporter),
        Task::Bench { name, rounds } => bench::run(reporter, &name, rounds),
        Task::Shell(terminal) => console::shell(reporter, &terminal, false),
        Task::IscsiShell(terminal) => console::shell(reporter, &terminal, true),
        Task::Demo { terminal, seconds } => console::demo(reporter, &terminal, seconds),
        Task::List => bail!("the list is made on the host"),
    }
}
