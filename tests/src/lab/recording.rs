//! Recordings of the lab's traces: replayed, they give what the trace gave, byte for byte.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::report::{Replay, Report};
use super::tracer;
use crate::sys::process::Output;

/// Where a trace is recorded to.
pub(crate) const RECORDING: &str = "/tmp/alua-trace.atr";
const JSON: &str = "/tmp/alua-trace-again.jsonl";
const LIMIT: Duration = Duration::from_secs(120);

/// Makes room for the next recording: the tool replaces none.
pub(crate) fn forget() {
    let _ = std::fs::remove_file(RECORDING);
}

/// What a trace gave.
#[derive(Debug)]
pub(crate) struct Gave<'a> {
    /// Its JSON, all of it.
    pub(crate) json: &'a str,
    /// What it printed, unless a command printed there, too.
    pub(crate) stdout: Option<&'a str>,
    /// With a line a command.
    pub(crate) commands: bool,
}

/// Replays the recording.
pub(crate) fn check(gave: &Gave<'_>) -> Result<()> {
    let mut words = vec!["replay", RECORDING, "--json", JSON];
    if gave.commands {
        words.push("--commands");
    }
    let output = tracer::say(&words, LIMIT)?;
    ensure!(
        output.code() == 0 && output.stderr.is_empty(),
        "the replay ended with {}: {}",
        output.code(),
        output.stderr
    );
    let json = std::fs::read_to_string(JSON).context("the replay wrote nothing")?;
    same("JSON", gave.json, &json)?;
    if let Some(stdout) = gave.stdout {
        same("text", stdout, &output.stdout)?;
    }
    Ok(())
}

fn same(what: &str, live: &str, again: &str) -> Result<()> {
    let mut again_lines = again.lines();
    for (number, line) in (1..).zip(live.lines()) {
        let other = again_lines.next();
        ensure!(
            other == Some(line),
            "line {number} of the {what} is {line}\nand in the replay {other:?}"
        );
    }
    ensure!(
        live == again,
        "the replay's {what} goes on: {again_lines:?}"
    );
    Ok(())
}

/// A recorded trace that is over.
pub(crate) fn parsed(raw: String, output: Output, commands: bool) -> Result<Report> {
    let mut report = Report::parse(raw, output)?;
    report.replay = Replay::of(check(&Gave {
        json: &report.raw,
        stdout: Some(&report.stdout),
        commands,
    }));
    Ok(report)
}

/// Bytes of the recording.
pub(crate) fn size() -> Result<u64> {
    Ok(Path::new(RECORDING)
        .metadata()
        .context("nothing was recorded")?
        .len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_shown() {
        same("text", "a\nb\n", "a\nb\n").unwrap();
        for other in ["a\n", "a\nb\nc\n", "a\nc\n", "a\nb"] {
            same("text", "a\nb\n", other).unwrap_err();
        }
    }
}
