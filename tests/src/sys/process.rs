//! Child processes: run to the end with a time limit, or in the background with a handle that
//! kills what it still owns when it is dropped.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal};

/// How a process ended and what it said.
#[derive(Debug)]
pub(crate) struct Output {
    /// Exit status.
    pub(crate) status: ExitStatus,
    /// Standard output.
    pub(crate) stdout: String,
    /// Standard error.
    pub(crate) stderr: String,
}

impl Output {
    /// Exit code, or 128 + signal as a shell would say.
    pub(crate) fn code(&self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }
}

/// A process in the background.
#[derive(Debug)]
pub(crate) struct Background {
    name: String,
    child: Child,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    ended: Option<ExitStatus>,
}

impl Background {
    /// Starts `command` in a process group of its own and collects what it prints.
    pub(crate) fn start(command: &mut Command) -> Result<Background> {
        Self::start_with(command, Stdio::piped())
    }

    /// Like [`Background::start`] with standard output sent elsewhere.
    pub(crate) fn start_with(command: &mut Command, stdout: Stdio) -> Result<Background> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("failed to start {name}"))?;
        let stdout = child.stdout.take().map(collect);
        let stderr = child.stderr.take().map(collect);
        Ok(Background {
            name,
            child,
            stdout,
            stderr,
            ended: None,
        })
    }

    /// Process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// True while it runs.
    pub(crate) fn is_running(&mut self) -> Result<bool> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended.is_none())
    }

    /// Sends a signal to the process itself, not to its children.
    pub(crate) fn signal(&mut self, signal: Signal) -> Result<()> {
        if self.is_running()? {
            let pid = Pid::from_child(&self.child);
            rustix::process::kill_process(pid, signal)
                .with_context(|| format!("failed to signal {}", self.name))?;
        }
        Ok(())
    }

    /// Waits for the end, at most `limit`; then it is killed and an error.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Output> {
        let started = Instant::now();
        while self.is_running()? {
            if started.elapsed() >= limit {
                self.kill();
                let (_, stderr) = self.take_output();
                bail!(
                    "{} did not end within {} s: {stderr}",
                    self.name,
                    limit.as_secs()
                );
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (stdout, stderr) = self.take_output();
        let status = self.ended.context("ended without a status")?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }

    fn take_output(&mut self) -> (String, String) {
        let text = |reader: Option<JoinHandle<Vec<u8>>>| {
            let bytes = reader
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        (text(self.stdout.take()), text(self.stderr.take()))
    }

    fn kill(&mut self) {
        let group = Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let _ = self.child.kill();
        if let Ok(status) = self.child.wait() {
            self.ended = Some(status);
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.is_running(), Ok(true)) {
            self.kill();
        }
    }
}

fn collect(mut from: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        bytes
    })
}

/// A command from words.
pub(crate) fn command(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// Runs to the end within 30 s, whatever the status.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<Output> {
    Background::start(&mut command(program, arguments))?.finish(Duration::from_secs(30))
}

/// Runs to the end within 30 s; a status other than 0 is an error. Returns standard output.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = output(program, arguments)?;
    if output.code() != 0 {
        bail!(
            "{program} {} ended with {}: {}{}",
            arguments.join(" "),
            output.code(),
            output.stderr.trim(),
            output.stdout.trim()
        );
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_and_both_streams_come_back() {
        let output = output("sh", &["-c", "echo out; echo err >&2; exit 3"]).unwrap();
        assert_eq!(
            (
                output.code(),
                output.stdout.as_str(),
                output.stderr.as_str()
            ),
            (3, "out\n", "err\n")
        );
    }

    #[test]
    fn a_process_that_does_not_end_is_killed_and_an_error() {
        let sleeper = Background::start(&mut command("sleep", &["60"])).unwrap();
        let error = sleeper.finish(Duration::from_millis(50)).unwrap_err();
        assert!(error.to_string().contains("did not end"), "{error}");
    }
}
