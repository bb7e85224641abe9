//! `cargo xtask soak`: proofs that take long, on this machine's kernel; and their short form, which is
//! among the tests.

use std::process::Command;

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

use crate::arch::Arch;
use crate::cli::SoakArgs;
use crate::multipath;
use crate::paths::Paths;
use crate::programs::cargo_in;
use crate::results::Totals;
use crate::say;
use crate::toolchain;
use crate::userland::{Set, Userland};

/// A proof: an example of the tool's crate, and how much of it.
struct Proof {
    name: &'static str,
    what: &'static str,
    long: &'static str,
    short: &'static str,
    needs: Needs,
}

/// What a proof runs on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    /// Programs in this machine's kernel: the example `bench_native`.
    Kernel,
    /// Two releases of multipath-tools: the example `multipath_conf`.
    MultipathTools,
    /// sg3_utils of the guests' programs: the example `sg_pages`.
    Sg3Utils,
    /// The example with the proof's name.
    Nothing,
}

const PROOFS: [Proof; 6] = [
    Proof {
        name: "stress",
        what: "commands of several CPUs in few slots, each record compared (about 40 minutes)",
        long: "1000000000",
        short: "500000",
        needs: Needs::Kernel,
    },
    Proof {
        name: "churn",
        what: "4,096 paths whose tables are reloaded and whose devices are replaced",
        long: "100",
        short: "3",
        needs: Needs::Kernel,
    },
    Proof {
        name: "sustained",
        what: "1.2 million commands a second for a minute from all cores, the collector beside them: none lost",
        long: "60@1200000",
        short: "3@100000",
        needs: Needs::Kernel,
    },
    Proof {
        name: "multipath-conf",
        what: "configurations as two releases of multipath-tools read them, and as alua-trace does",
        long: "2000",
        short: "100",
        needs: Needs::MultipathTools,
    },
    Proof {
        name: "sg-pages",
        what: "pages as sg3_utils decode them, and as alua-trace does",
        long: "10000",
        short: "300",
        needs: Needs::Sg3Utils,
    },
    Proof {
        name: "statistics",
        what: "intervals, chances and bands of experiments whose truth was planted",
        long: "2000",
        short: "100",
        needs: Needs::Nothing,
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
        run(paths, proof, proof.long, true)?;
    }
    Ok(true)
}

/// The short form of all that this process may run.
pub(crate) fn short(paths: &Paths, totals: &mut Totals) {
    let may_load_probes = may_load_probes();
    for proof in &PROOFS {
        if proof.needs == Needs::Kernel && !may_load_probes {
            let name = proof.name;
            say::note(&format!(
                "not run, as this process may not load probes: sudo cargo xtask soak {name}"
            ));
            continue;
        }
        say::step(&format!("{} {}", proof.name, proof.short));
        match run(paths, proof, proof.short, false) {
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

fn run(paths: &Paths, proof: &Proof, number: &str, optimized: bool) -> Result<()> {
    let environment = toolchain::prepare(paths)?;
    let mut command: Command = cargo_in(paths, "run");
    // The collector must not be what is slow.
    let optimized = optimized || proof.name == "sustained";
    command.args(optimized.then_some("--profile=quick"));
    command.args(["--package", "alua-trace", "--example"]);
    match proof.needs {
        Needs::Kernel => command.args(["bench_native", "--", proof.name, number]),
        Needs::MultipathTools => {
            let roots = multipath::roots(&paths.lab)?;
            command.args(["multipath_conf", "--", number]).args(roots)
        }
        Needs::Sg3Utils => {
            let userland = Userland::get(paths, Arch::HOST, Set::Common, false)?;
            command.args(["sg_pages", "--", number]).arg(userland.root)
        }
        Needs::Nothing => command.args([proof.name, "--", number]),
    };
    command.envs(environment);
    say::run(&mut command).with_context(|| format!("{} failed", proof.name))
}
