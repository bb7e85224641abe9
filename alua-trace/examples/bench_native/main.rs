//! The probes and the collector on this machine's kernel, without a SCSI device.
//!
//! The probes run by `BPF_PROG_TEST_RUN` over commands laid out in a map's memory as a real kernel
//! lays them out (request, scsi_cmnd, scsi_device, port group, dm's target I/O). Needs root.
//!
//! - Without a word: what they cost (`cargo xtask bench native`). The probes' cost is what the
//!   kernel's own run-time statistics say, less an empty program's in the same run; the collector
//!   drains the logs they fill, into histograms. Prints `name value unit` lines.
//! - `stress COMMANDS`: several CPUs over few slots and few addresses, each record compared with what
//!   was dispatched (`cargo xtask soak stress`).
//! - `sustained SECONDS@COMMANDS`: a producer on each core and the collector beside them: nothing may be lost
//!   (`cargo xtask soak sustained`).
//! - `start`: what a start takes, alone.
//! - `churn ROUNDS`: 4,096 paths whose tables are reloaded and whose devices are replaced
//!   (`cargo xtask soak churn`).

use anyhow::{Context, Result, bail};

mod bpf;
mod churn;
mod cost;
mod memory;
mod probes;
mod producers;
mod shared;
mod start;
mod stress;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize| -> Result<u64> {
        let word = words.get(at).context("say how many")?;
        word.parse().with_context(|| format!("{word} is no number"))
    };
    match words.first().map(String::as_str) {
        None => cost::measure(),
        Some("stress") => stress::stress(number(1)?),
        Some("start") => start::start(),
        Some("churn") => churn::churn(number(1)?),
        Some("sustained") => producers::sustained(words.get(1).context("say SECONDS@COMMANDS")?),
        Some(other) => {
            bail!(
                "{other}: say nothing, start, stress COMMANDS, churn ROUNDS or sustained SECONDS@COMMANDS"
            )
        }
    }
}
