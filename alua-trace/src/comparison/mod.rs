//! `alua-trace compare`: by how much do the runs of two sides differ, and could they have shown it. The unit is the
//! run: commands of a run depend on each other.

use anyhow::{Result, bail};

use crate::{cli::CompareConfig, gates, out};

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
    out::tell(config.json.as_ref(), &comparison, &text::text(&comparison))?;
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
