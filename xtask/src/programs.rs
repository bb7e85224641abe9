//! Our own programs: the tool, and the static program that is the guests' PID 1.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::Paths;
use crate::say;
use crate::toolchain::{self, cargo};

const QUICK: &str = "quick";
const GUEST_TARGET: &str = "x86_64-unknown-linux-gnu";

/// What goes into a guest.
#[derive(Debug)]
pub(crate) struct Programs {
    /// `alua-trace`.
    pub(crate) tool: PathBuf,
    /// PID 1.
    pub(crate) guest: PathBuf,
}

/// How the tool is built, by the name of cargo's profile.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Build {
    /// As users have it.
    Release,
    /// In half the time, for who waits to see it at work: without whole-program optimisation.
    Quick,
    /// As users have it, but with symbols and frame pointers.
    Profiled,
}

impl Build {
    fn profile(self) -> &'static str {
        match self {
            Self::Release => "release",
            Self::Quick => QUICK,
            Self::Profiled => "profiled",
        }
    }
}

impl Programs {
    /// Both, built.
    pub(crate) fn build(paths: &Paths, build: Build) -> Result<Self> {
        Ok(Self {
            guest: guest(paths)?,
            tool: tool(paths, build)?,
        })
    }
}

/// A cargo in the workspace, building where this xtask's cargo builds.
pub(crate) fn cargo_in(paths: &Paths, verb: &str) -> Command {
    let mut command = Command::new(cargo());
    command
        .current_dir(&paths.root)
        .arg(verb)
        .arg("--target-dir")
        .arg(&paths.target);
    command
}

/// Builds the tool with its probes.
pub(crate) fn tool(paths: &Paths, build: Build) -> Result<PathBuf> {
    let environment = toolchain::prepare(paths)?;
    say::step("building alua-trace and its probes");
    let mut command = cargo_in(paths, "build");
    command
        .args([
            "--profile",
            build.profile(),
            "--package",
            "alua-trace",
            "--bin",
            "alua-trace",
        ])
        .envs(environment);
    if matches!(build, Build::Quick) {
        // What writes Parquet takes a third of the build; nobody exports in a demonstration.
        command.arg("--no-default-features");
    }
    if matches!(build, Build::Profiled) {
        command.env("RUSTFLAGS", "-C force-frame-pointers=yes");
    }
    say::run(&mut command).context("cannot build alua-trace")?;
    Ok(paths.target.join(build.profile()).join("alua-trace"))
}

/// Builds the guests' PID 1: static, as it runs before there is a library to load.
pub(crate) fn guest(paths: &Paths) -> Result<PathBuf> {
    say::step("building the guests' first program");
    let own = paths.target.join("guest");
    let mut command = Command::new(cargo());
    command
        .current_dir(&paths.root)
        .args([
            "build",
            "--profile",
            QUICK,
            "--package",
            "alua-trace-tests",
            "--bin",
            "guest",
        ])
        .args(["--target", GUEST_TARGET, "--target-dir"])
        .arg(&own)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    say::run(&mut command).context("cannot build the guests' first program")?;
    Ok(guest_path(&own))
}

fn guest_path(target: &Path) -> PathBuf {
    target.join(GUEST_TARGET).join(QUICK).join("guest")
}
