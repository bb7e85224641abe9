//! Benchmarks: one guest with one CPU that counts instructions (`-icount`), so that guest time is
//! work done and the host's load does not matter.

mod breakdown;
mod cost;
mod empty;
mod observers;
mod profile;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::runner::Reporter;

/// Runs one by name.
pub(crate) fn run(reporter: &Reporter, name: &str, rounds: Option<usize>) -> Result<i32> {
    match name {
        "cost" => cost::run(reporter, rounds).map(|()| 0),
        "profile" => profile::run(reporter).map(|()| 0),
        _ => bail!("no benchmark {name}"),
    }
}

/// Watches every command and does nothing.
pub(crate) fn empty_programs() -> ExitCode {
    match empty::main() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
