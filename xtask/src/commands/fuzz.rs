//! `cargo xtask fuzz`: the fuzz targets of `tests/fuzz`, one or all, each for a while. What it learns
//! goes below `target`; the corpora in the repository are where it begins.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::cli::FuzzArgs;
use crate::paths::{Paths, create_dir};
use crate::say;
use crate::toolchain::{self, Compiler, cargo};

/// What every decoder and importer must keep to: no input of 64 KiB that takes long.
const LIMITS: [&str; 3] = ["-max_len=65536", "-timeout=10", "-print_final_stats=1"];

/// The largest allocation, in MiB: a frame of a recording may be 64 MiB when it is unpacked.
fn malloc_limit_mib(target: &str) -> u32 {
    if target == "recording" { 80 } else { 1 }
}
/// What builds libFuzzer.
const CXX_COMPILERS: [&str; 3] = ["c++", "g++", "clang++"];

/// Runs the targets; false if one failed.
pub(crate) fn fuzz(paths: &Paths, args: &FuzzArgs) -> Result<bool> {
    let all = targets(&dir(paths))?;
    let chosen: Vec<&String> = match &args.target {
        Some(name) => vec![all.iter().find(|target| *target == name).with_context(|| {
            format!("no target {name}; those that there are: {}", all.join(", "))
        })?],
        None => all.iter().collect(),
    };
    if let Some(reason) = cannot(paths)? {
        bail!("{reason}");
    }
    build(paths)?;
    let mut failed = Vec::new();
    for target in chosen {
        say::step(&format!("{target}, {} s", args.seconds));
        if let Err(error) = run(paths, target, args.seconds) {
            eprintln!("error: {error:#}");
            failed.push(target.as_str());
        }
    }
    if !failed.is_empty() {
        println!("failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// Builds all targets.
pub(crate) fn build(paths: &Paths) -> Result<()> {
    say::run(&mut cargo_fuzz(paths, "build")?).context("cannot build the fuzz targets")
}

/// Why nothing can be fuzzed on this machine; `None` if it can.
pub(crate) fn cannot(paths: &Paths) -> Result<Option<&'static str>> {
    if toolchain::compiler(paths)? != Compiler::Nightly {
        return Ok(Some(
            "fuzzing needs rustup's nightly; Debian's compiler has no sanitizers",
        ));
    }
    let answers = |program: &&str| say::output(Command::new(program).arg("--version")).is_ok();
    let has_cxx = std::env::var_os("CXX").is_some() || CXX_COMPILERS.iter().any(answers);
    Ok((!has_cxx).then_some("fuzzing needs a C++ compiler for libFuzzer: apt-get install g++"))
}

fn dir(paths: &Paths) -> PathBuf {
    paths.root.join("tests/fuzz")
}

/// The targets by name: a file each.
fn targets(dir: &Path) -> Result<Vec<String>> {
    let sources = dir.join("fuzz_targets");
    let entries =
        fs::read_dir(&sources).with_context(|| format!("cannot list {}", sources.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            entry
                .file_name()
                .to_str()?
                .strip_suffix(".rs")
                .map(str::to_owned)
        })
        .collect();
    names.sort();
    Ok(names)
}

fn run(paths: &Paths, target: &str, seconds: u32) -> Result<()> {
    let learned = paths.target.join("fuzz-corpus").join(target);
    let artifacts = paths.target.join("fuzz-artifacts").join(target);
    create_dir(&learned)?;
    create_dir(&artifacts)?;
    let mut prefix = OsString::from("-artifact_prefix=");
    prefix.push(artifacts.join(""));
    let mut command = cargo_fuzz(paths, "run")?;
    command
        .arg(target)
        .arg(&learned)
        .arg(dir(paths).join("corpus").join(target))
        .arg("--")
        .args(LIMITS)
        .arg(format!("-malloc_limit_mb={}", malloc_limit_mib(target)))
        .arg(format!("-max_total_time={seconds}"))
        .arg(prefix);
    say::run(&mut command)
        .with_context(|| format!("{target} failed; the input is in {}", artifacts.display()))
}

/// `cargo fuzz` by nightly, which is installed if it is missing.
fn cargo_fuzz(paths: &Paths, verb: &str) -> Result<Command> {
    install(paths)?;
    let mut environment = toolchain::prepare(paths)?;
    let mut path = toolchain::own_programs(paths).into_os_string();
    let before = environment.iter().find(|(name, _)| *name == "PATH");
    let before = before.map(|(_, value)| value.clone());
    path.push(":");
    path.push(
        before
            .or_else(|| std::env::var_os("PATH"))
            .unwrap_or_default(),
    );
    environment.retain(|(name, _)| *name != "PATH");
    let mut command = Command::new("rustup");
    command
        .args(["run", "nightly", "cargo", "fuzz", verb, "--fuzz-dir"])
        .arg(dir(paths))
        .arg("--target-dir")
        .arg(paths.target.join("fuzz"))
        .current_dir(&paths.root)
        .envs(environment)
        .env("PATH", path)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO");
    Ok(command)
}

fn install(paths: &Paths) -> Result<()> {
    let own = toolchain::own_programs(paths).join("cargo-fuzz");
    let has = |program: &Path| say::output(Command::new(program).arg("--version")).is_ok();
    if has(Path::new("cargo-fuzz")) || has(&own) {
        return Ok(());
    }
    say::step("building cargo-fuzz from crates.io, once (about a minute)");
    let mut install = Command::new(cargo());
    install
        .args(["install", "cargo-fuzz", "--locked", "--root"])
        .arg(&paths.toolchain);
    say::run(&mut install).context("cannot build cargo-fuzz; it needs crates.io once")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_dir() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz")
    }

    #[test]
    fn every_target_is_in_the_manifest_and_has_a_corpus() {
        let dir = own_dir();
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        let names = targets(&dir).unwrap();
        assert_eq!(names.len(), manifest.matches("[[bin]]").count());
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name}");
            let seeds = fs::read_dir(dir.join("corpus").join(&name)).unwrap();
            assert!(seeds.count() > 0, "{name}");
        }
    }
}
