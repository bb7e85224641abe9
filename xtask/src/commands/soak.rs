//! `cargo xtask soak`: proofs that take long, on this machine's kernel; and their short form, which is
//! among the tests.

use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

use crate::cli::SoakArgs;
use crate::paths::Paths;
use crate::programs::cargo_in;
use crate::results::Totals;
use crate::say;
use crate::toolchain;

/// A proof: a word of the `bench_native` example, and how much of it.
struct Proof {
    name: &'static str,
    what: &'static str,
    long: &'static str,
    short: &'static str,
}

const PROOFS: [Proof; 2] = [
    Proof {
        name: "stress",
        what: "commands of several CPUs in few slots, each record compared (about 40 minutes)",
        long: "1000000000",
        short: "500000",
    },
    Proof {
        name: "churn",
        what: "4,096 paths whose tables are reloaded and whose devices are replaced",
        long: "100",
        short: "3",
    },
];

/// Runs those named, or all.
pub(crate) fn soak(paths: &Paths, args: &SoakArgs) -> Result<bool> {
    let chosen = |proof: &&Proof| args.names.is_empty() || args.names.contains(&proof.name.into());
    let chosen: Vec<&Proof> = PROOFS.iter().filter(chosen).collect();
    if chosen.is_empty() {
        let names = PROOFS.map(|proof| proof.name).join(", ");
        bail!("no such proof: give some of {names}");
    }
    for proof in chosen {
        say::step(proof.what);
        run(paths, proof.name, proof.long, true)?;
    }
    Ok(true)
}

/// The short form of all, if this process may load programs.
pub(crate) fn short(paths: &Paths, totals: &mut Totals) {
    if !may_load_probes() {
        say::note("not run, as this process may not load probes: sudo cargo xtask soak");
        return;
    }
    for proof in &PROOFS {
        say::step(&format!("{} {}", proof.name, proof.short));
        match run(paths, proof.name, proof.short, false) {
            Ok(()) => totals.pass(proof.name),
            Err(error) => totals.fail(proof.name, &format!("{error:#}")),
        }
    }
}

fn may_load_probes() -> bool {
    let needed = CapabilitySet::BPF | CapabilitySet::PERFMON;
    capabilities(None).is_ok_and(|own| {
        own.effective.contains(CapabilitySet::SYS_ADMIN) || own.effective.contains(needed)
    })
}

fn run(paths: &Paths, name: &str, number: &str, optimized: bool) -> Result<()> {
    let environment = toolchain::prepare(paths)?;
    let mut command: Command = cargo_in(paths, "run");
    command.args(optimized.then_some("--release"));
    command
        .args(["--package", "alua-trace", "--example", "bench_native"])
        .args(["--", name, number])
        .envs(environment);
    say::run(&mut command).with_context(|| format!("{name} failed"))
}
