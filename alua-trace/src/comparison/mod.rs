//! `alua-trace compare`: by how much do the runs of two sides differ, and could they have shown it. The unit is the
//! run: commands of a run depend on each other.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result, bail};

use crate::{
    cli::{CompareConfig, JsonTarget},
    gates, json,
};

mod conditions;
mod facts;
mod findings;
mod metrics;
mod runs;
mod text;

pub use conditions::{Condition, Went};
pub use facts::{Differs, Facts};
pub use findings::{Change, Comparison, Finding, RunOf, Shift, Verdict, worse_by};
pub use metrics::Metric;
pub use runs::{Run, run as run_of};

/// No verdict from so few runs.
const TOO_FEW: u8 = 2;

/// Compares; gives the exit status.
///
/// # Errors
/// A recording cannot be read, or an output not be written; a side has one run, which tells nothing of another.
pub fn run(config: &CompareConfig) -> Result<u8> {
    let comparison = compare(config)?;
    let text = text::text(&comparison);
    match &config.json {
        Some(JsonTarget::Stdout) => print(&json::to_line(&comparison)?)?,
        Some(JsonTarget::File(file)) => {
            fs::write(file, json::to_line(&comparison)?).with_context(|| {
                let file = file.display();
                format!("cannot write --json {file}; name a file that can be made")
            })?;
            print(&text)?;
        }
        None => print(&text)?,
    }
    let outcomes = findings::outcomes(&config.gates, &comparison);
    Ok(
        match (
            gates::told(&config.gates, "compare", &outcomes)?,
            comparison.runs_needed,
        ) {
            (0, None) => 0,
            (0, Some(_)) => TOO_FEW,
            (failed, _) => failed,
        },
    )
}

/// The comparison itself.
///
/// # Errors
/// A recording cannot be read; a side has one run.
pub fn compare(config: &CompareConfig) -> Result<Comparison> {
    let one = runs::runs(&config.one, config)?;
    let other = runs::runs(&config.other, config)?;
    if one.len() < 2 || other.len() < 2 {
        let needed = crate::inference::runs_for_verdict(match config.metrics.len() {
            0 => Metric::ALL.len(),
            some => some,
        });
        bail!(
            "cannot compare {} with {}: one run tells nothing of what another would be; record {needed} runs of each side",
            runs_of(one.len()),
            runs_of(other.len()),
        );
    }
    Ok(findings::compare(&one, &other, config))
}

fn runs_of(count: usize) -> String {
    crate::format::plural(count as u64, "run")
}

fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // The reader has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
