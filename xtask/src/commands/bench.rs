//! `cargo xtask bench`: what the tool costs, natively and in a guest that counts instructions.

use std::time::Duration;

use alua_trace_tests::protocol::Task;
use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::cli::BenchArgs;
use crate::lab::{Job, Lab};
use crate::paths::Paths;
use crate::programs::{Build, Programs, cargo_in};
use crate::say;
use crate::toolchain;
use crate::userland::Set;

const NATIVE: &str = "native";
const RECORD: &str = "record";
const COST: &str = "cost";
const PROFILE: &str = "profile";
const LIMIT: Duration = Duration::from_secs(3600);

/// Runs them; false when a guest failed.
pub(crate) fn bench(paths: &Paths, args: &BenchArgs) -> Result<bool> {
    let defaults = [NATIVE, RECORD, COST].map(str::to_owned);
    let names = if args.names.is_empty() {
        &defaults[..]
    } else {
        &args.names
    };
    let mut good = true;
    for name in names {
        good &= match name.as_str() {
            NATIVE => example(paths, "bench_native"),
            RECORD => example(paths, "bench_record"),
            _ => in_guest(paths, name, args),
        }?;
    }
    Ok(good)
}

/// Benchmarks on this machine: an example of the tool's crate.
fn example(paths: &Paths, name: &str) -> Result<bool> {
    let environment = toolchain::prepare(paths)?;
    say::step(&format!("benchmarks on this machine: {name}"));
    let mut command = cargo_in(paths, "run");
    command
        .args(["--release", "--package", "alua-trace", "--example", name])
        .envs(environment);
    say::run(&mut command).with_context(|| format!("{name} failed"))?;
    Ok(true)
}

fn in_guest(paths: &Paths, name: &str, args: &BenchArgs) -> Result<bool> {
    let lab = Lab::prepare(
        paths,
        Arch::HOST,
        Set::Bench,
        &args.kernel,
        args.fetching.refresh,
    )?;
    let build = if name == PROFILE {
        Build::Profiled
    } else {
        Build::Release
    };
    let programs = Programs::build(paths, Arch::HOST, build)?;
    say::step(&format!(
        "benchmark {name} on Linux {}: guest time counts instructions, so it is repeatable, and \
         takes minutes",
        lab.kernel.release
    ));
    let task = Task::Bench {
        name: name.to_owned(),
        rounds: args.rounds,
    };
    let job = Job {
        name: &format!("bench-{}-{name}", lab.kernel.release),
        task: &task,
        limit: Some(LIMIT),
        counted: true,
        interactive: false,
        array: false,
    };
    let report = lab.run(&programs, &job)?;
    report.print_figures();
    let totals = report.totals;
    if !totals.failed.is_empty() || !totals.not_run.is_empty() {
        totals.print();
    }
    Ok(totals.failed.is_empty())
}
