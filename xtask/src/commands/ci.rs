//! `cargo xtask ci`: what must hold beside the tests.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::commands::fuzz;
use crate::licences;
use crate::paths::Paths;
use crate::programs::cargo_in;
use crate::say;
use crate::tidy;
use crate::toolchain::{self, Compiler, cargo};

type Check = fn(&Paths) -> Result<()>;

const CHECKS: [(&str, Check); 7] = [
    ("files", |paths| tidy::check(&paths.root)),
    ("formatting", formatting),
    ("licences", licences::check),
    ("lints", lints),
    ("lints of the probes", lint_probes),
    ("fuzz targets", fuzz_targets),
    ("documentation", documentation),
];

/// Checks everything, and says at the end what does not hold.
pub(crate) fn ci(paths: &Paths) -> Result<bool> {
    let mut failed = Vec::new();
    for (name, check) in CHECKS {
        say::step(name);
        if let Err(error) = check(paths) {
            eprintln!("error: {error:#}");
            failed.push(name);
        }
    }
    if failed.is_empty() {
        println!("{} checks passed", CHECKS.len());
    } else {
        println!(
            "of {} checks, these failed: {}",
            CHECKS.len(),
            failed.join(", ")
        );
    }
    Ok(failed.is_empty())
}

fn formatting(paths: &Paths) -> Result<()> {
    let mut format = Command::new(cargo());
    format
        .current_dir(&paths.root)
        .args(["fmt", "--all", "--check"]);
    say::run(&mut format).context("run: cargo fmt --all")
}

fn lints(paths: &Paths) -> Result<()> {
    let mut lints = cargo_in(paths, "clippy");
    lints.args(["--workspace", "--all-targets", "--", "-D", "warnings"]);
    say::run(lints.envs(toolchain::prepare(paths)?))
}

fn documentation(paths: &Paths) -> Result<()> {
    let mut documentation = cargo_in(paths, "doc");
    documentation
        .args(["--workspace", "--no-deps"])
        .env("RUSTDOCFLAGS", "-D warnings");
    say::run(documentation.envs(toolchain::prepare(paths)?))
}

/// That they can be built; `cargo xtask fuzz` runs them.
fn fuzz_targets(paths: &Paths) -> Result<()> {
    let mut format = Command::new(cargo());
    format.current_dir(&paths.root).args([
        "fmt",
        "--check",
        "--manifest-path",
        "tests/fuzz/Cargo.toml",
    ]);
    say::run(&mut format).context("run: cargo fmt --manifest-path tests/fuzz/Cargo.toml")?;
    match fuzz::cannot(paths)? {
        Some(reason) => {
            say::note(&format!("NOT CHECKED: {reason}"));
            Ok(())
        }
        None => fuzz::build(paths),
    }
}

fn lint_probes(paths: &Paths) -> Result<()> {
    let environment = toolchain::prepare(paths)?;
    if toolchain::compiler(paths)? != Compiler::Nightly {
        say::note("NOT CHECKED: Debian's compiler comes without clippy");
        return Ok(());
    }
    let mut version = Command::new("rustup");
    version.args(["run", "nightly", "cargo", "clippy", "--version"]);
    if say::output(&mut version).is_err() {
        let mut add = Command::new("rustup");
        add.args(["component", "add", "clippy", "--toolchain", "nightly"]);
        if say::run(&mut add).is_err() {
            bail!("no clippy for nightly; run: rustup component add clippy --toolchain nightly");
        }
    }
    let mut lints = Command::new("rustup");
    lints
        .args([
            "run",
            "nightly",
            "cargo",
            "clippy",
            "--package",
            "alua-trace-ebpf",
            "--bins",
        ])
        .args([
            "-Z",
            "build-std=core",
            "--target",
            "bpfel-unknown-none",
            "--target-dir",
        ])
        .arg(paths.target.join("probes-lints"))
        .args(["--", "-D", "warnings"])
        .current_dir(&paths.root)
        .envs(environment)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .env("RUSTFLAGS", "--cfg bpf_target_arch=\"x86_64\"");
    say::run(&mut lints)
}
