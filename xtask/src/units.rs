//! The unit tests: run by cargo, read from its output, counted like the lab's.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::programs::cargo_in;
use crate::results::Totals;
use crate::{say, toolchain};

/// Runs those whose name contains one of `filters`, or all.
pub(crate) fn run(paths: &Paths, filters: &[String]) -> Result<Totals> {
    let mut totals = Totals::default();
    let environment = match toolchain::prepare(paths) {
        Ok(environment) => environment,
        Err(error) => {
            totals.fail("(build)", &format!("{error:#}"));
            return Ok(totals);
        }
    };
    say::step("unit tests");
    let mut command = cargo_in(paths, "test");
    command
        .args(["--workspace", "--no-fail-fast", "--"])
        .args(filters)
        .envs(environment)
        .env("CARGO_TERM_COLOR", "never")
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("cannot start cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut broken = false;
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what cargo test says")?;
        if !count(&line, &mut totals) && worth_showing(&line) {
            println!("{line}");
        }
        broken |= line.starts_with("error");
    }
    let status = child.wait().context("cannot wait for cargo test")?;
    if (broken || !status.success()) && totals.failed.is_empty() {
        totals.fail(
            "(build)",
            &format!("cargo test failed ({status}); see above"),
        );
    }
    println!("  {}", totals.line());
    Ok(totals)
}

/// Counts `test NAME ... VERDICT`; false for any other line.
fn count(line: &str, totals: &mut Totals) -> bool {
    let Some((name, verdict)) = line
        .strip_prefix("test ")
        .and_then(|rest| rest.rsplit_once(" ... "))
    else {
        return false;
    };
    match verdict.split([',', ' ']).next() {
        Some("ok") => totals.passed += 1,
        Some("ignored") => totals.skip(name, verdict),
        Some("FAILED") => {
            println!("  FAILED   {name}");
            totals.fail(name, "see above");
        }
        _ => return false,
    }
    true
}

fn worth_showing(line: &str) -> bool {
    let routine = ["running ", "test result: ok", "Doc-tests"];
    !line.trim().is_empty()
        && !routine
            .iter()
            .any(|start| line.trim_start().starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_are_counted() {
        let mut totals = Totals::default();
        for line in [
            "test engine::tests::a ... ok",
            "test engine::tests::b ... FAILED",
            "test c ... ignored, needs root",
            "test src/lib.rs - x (line 3) - compile ... ok",
        ] {
            assert!(count(line, &mut totals), "{line}");
        }
        assert_eq!(totals.line(), "2 passed, 1 failed, 1 not run");
        assert_eq!(totals.not_run[0].detail, "ignored, needs root");
    }

    #[test]
    fn other_lines_are_not() {
        let mut totals = Totals::default();
        for line in [
            "test result: ok. 3 passed; 0 failed",
            "running 3 tests",
            "left: 1 ... ok",
        ] {
            assert!(!count(line, &mut totals), "{line}");
        }
        assert_eq!(totals.passed, 0);
        assert!(!worth_showing("test result: ok. 3 passed; 0 failed"));
        assert!(worth_showing("thread 'x' panicked at src/lib.rs:3:5"));
    }
}
