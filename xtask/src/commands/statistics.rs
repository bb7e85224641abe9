//! The statistics, reckoned again by scipy.

use std::process::Command;

use anyhow::Result;

use crate::paths::{Paths, create_dir, write_whole};
use crate::programs::cargo_in;
use crate::python::Python;
use crate::results::Totals;
use crate::say;
use crate::toolchain;

/// Runs it.
pub(crate) fn run(paths: &Paths, totals: &mut Totals) {
    say::step("statistics by scipy");
    let requirements = paths.root.join("tests/statistics/requirements.txt");
    match Python::with(paths, &requirements) {
        Ok(python) => {
            if let Err(error) = check(paths, &python, totals) {
                totals.fail("statistics", &format!("{error:#}"));
            }
        }
        Err(error) => totals.skip("statistics by scipy", &format!("{error:#}")),
    }
}

fn check(paths: &Paths, python: &Python, totals: &mut Totals) -> Result<()> {
    let environment = toolchain::prepare(paths)?;
    let mut run = cargo_in(paths, "run");
    run.args(["--quiet", "--package", "alua-trace"])
        .args(["--example", "statistics", "--", "values"])
        .envs(environment);
    let values = say::output(&mut run)?;
    let directory = paths.target.join("statistics");
    create_dir(&directory)?;
    let file = directory.join("values.json");
    write_whole(&file, values.as_bytes())?;
    let script = paths.root.join("tests/statistics/check.py");
    let mut command: Command = python.command(&script);
    python.count(command.arg(file), "statistics", totals)
}
