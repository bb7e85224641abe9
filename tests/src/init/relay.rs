//! The results port: finds it, passes the task's messages on, and completes them when the task
//! did not.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::ChildStdout;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::protocol::{Message, RESULTS_PORT, Verdict};
use crate::sys;

/// Opens the virtio-serial port; without one (a guest started by hand) the console.
pub(super) fn open_port() -> Result<File> {
    let mut found = None;
    let _ = sys::wait_for(Duration::from_secs(3), RESULTS_PORT, || {
        found = find_port();
        Ok(found.is_some())
    });
    let path = found.unwrap_or_else(|| "/dev/console".to_owned());
    OpenOptions::new()
        .write(true)
        .open(&path)
        .with_context(|| format!("failed to open {path}"))
}

fn find_port() -> Option<String> {
    let class = "/sys/class/virtio-ports";
    sys::names(class)
        .into_iter()
        .find(|port| sys::read(format!("{class}/{port}/name")).is_ok_and(|it| it == RESULTS_PORT))
        .map(|port| format!("/dev/{port}"))
}

/// Passes messages on in the background.
pub(super) struct Relay(JoinHandle<Result<Seen>>);

/// What went through.
struct Seen {
    port: File,
    open_case: Option<String>,
    bye: bool,
}

/// Starts passing lines from `pipe` to `port`.
pub(super) fn start(pipe: ChildStdout, port: File) -> Relay {
    Relay(std::thread::spawn(move || {
        let mut seen = Seen {
            port,
            open_case: None,
            bye: false,
        };
        for line in BufReader::new(pipe).split(b'\n') {
            let mut line = line.context("failed to read the task's messages")?;
            seen.note(&line);
            line.push(b'\n');
            seen.port
                .write_all(&line)
                .context("failed to write to the results port")?;
        }
        Ok(seen)
    }))
}

impl Seen {
    fn note(&mut self, line: &[u8]) {
        match serde_json::from_slice(line) {
            Ok(Message::CaseStarted { name }) => self.open_case = Some(name),
            Ok(Message::Case { .. }) => self.open_case = None,
            Ok(Message::Bye { .. }) => self.bye = true,
            _ => {}
        }
    }

    /// A case without an end failed; a task without a Bye failed, too.
    fn complete(mut self, why: &str) -> Result<()> {
        let mut missing = Vec::new();
        if let Some(name) = self.open_case.take() {
            let detail = why.to_owned();
            missing.push(Message::Case {
                name,
                verdict: Verdict::Failed,
                detail,
                duration_ms: 0,
            });
        }
        if !self.bye {
            missing.push(Message::Log {
                text: why.to_owned(),
            });
            missing.push(Message::Bye { status: 1 });
        }
        for message in missing {
            super::send(&mut self.port, &message)?;
        }
        self.port
            .flush()
            .context("failed to flush the results port")
    }
}

impl Relay {
    /// Waits for the last message and adds what the task left out.
    pub(super) fn finish(self, why: &str) -> Result<()> {
        let seen = self.0.join().map_err(|_| anyhow!("the relay panicked"))??;
        seen.complete(why)
    }
}
