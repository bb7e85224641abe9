//! What xtask tells the person who typed it: steps, progress with sizes, and commands that run
//! under them. Steps go to stderr, results to stdout.

use std::fs::{self, File};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Says what is being done now.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}

/// A detail of the step.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// A size as a person reads it.
pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    if tenths < 100 {
        format!("{}.{} MB", tenths / 10, tenths % 10)
    } else {
        format!("{} MB", tenths / 10)
    }
}

/// One line that is rewritten on a terminal and repeated now and then elsewhere.
#[derive(Debug)]
pub(crate) struct Progress {
    terminal: bool,
    last: Option<Instant>,
}

impl Progress {
    /// Nothing shown yet.
    pub(crate) fn new() -> Self {
        Self {
            terminal: std::io::stderr().is_terminal(),
            last: None,
        }
    }

    /// Shows `text` if it is time to.
    pub(crate) fn show(&mut self, text: &str) {
        let every = Duration::from_millis(if self.terminal { 200 } else { 10_000 });
        let last = *self.last.get_or_insert_with(Instant::now);
        if last.elapsed() < every {
            return;
        }
        self.last = Some(Instant::now());
        if self.terminal {
            eprint!("\r\x1b[K    {text}");
            std::io::stderr().flush().ok();
        } else {
            note(text);
        }
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.terminal && self.last.is_some() {
            eprint!("\r\x1b[K");
        }
    }
}

/// Runs `command` with its output in `log`, showing what `text` says until it ends.
pub(crate) fn watched(
    command: &mut Command,
    log: &Path,
    mut text: impl FnMut() -> String,
) -> Result<()> {
    let shown = shown(command);
    let out = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let err = out
        .try_clone()
        .with_context(|| format!("cannot share {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut progress = Progress::new();
    let status = loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("cannot wait for `{shown}`"))?
        {
            break status;
        }
        progress.show(&text());
        thread::sleep(Duration::from_millis(50));
    };
    progress.end();
    if !status.success() {
        bail!("`{shown}` failed ({status}):\n{}", tail(log, 12));
    }
    Ok(())
}

/// Runs `command` to its end and returns its stdout.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        bail!(
            "`{shown}` failed ({}):\n{}",
            out.status,
            last_lines(&text, 12).join("\n")
        );
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs `command` on the user's terminal.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})");
    }
    Ok(())
}

/// The command as one could type it, without its directories.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program
        .file_name()
        .unwrap_or(program.as_os_str())
        .to_string_lossy()
        .into_owned();
    let arguments = command
        .get_args()
        .map(|argument| argument.to_string_lossy().into_owned());
    let line = std::iter::once(name)
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ");
    if line.chars().count() <= 160 {
        return line;
    }
    format!("{}…", line.chars().take(160).collect::<String>())
}

/// The last `count` lines of a file.
pub(crate) fn tail(path: &Path, count: usize) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    last_lines(&String::from_utf8_lossy(&bytes), count).join("\n")
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_well() {
        assert_eq!(megabytes(0), "0.0 MB");
        assert_eq!(megabytes(1_250_000), "1.2 MB");
        assert_eq!(megabytes(98_765_432), "98 MB");
    }

    #[test]
    fn failing_command_shows_its_last_words() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo first; echo the reason >&2; exit 3"]);
        let error = watched(&mut command, &dir.path().join("log"), String::new).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }

    #[test]
    fn last_lines_takes_the_end() {
        assert_eq!(last_lines("a\nb\nc", 2), ["b", "c"]);
        assert_eq!(last_lines("a", 2), ["a"]);
    }
}
