//! Our own programs: the tool, and the static program that is the guests' PID 1.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::cross;
use crate::paths::Paths;
use crate::say;
use crate::toolchain::{self, cargo};

const QUICK: &str = "quick";
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
    pub(crate) fn build(paths: &Paths, arch: Arch, build: Build) -> Result<Self> {
        Ok(Self {
            guest: guest(paths, arch)?,
            tool: tool(paths, arch, build)?,
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

/// Builds the tool with its probes. For another processor than this machine's it is linked statically.
pub(crate) fn tool(paths: &Paths, arch: Arch, build: Build) -> Result<PathBuf> {
    let environment = toolchain::prepare(paths)?;
    let mut built = paths.target.clone();
    let mut command = cargo_in(paths, "build");
    if arch.is_host() {
        say::step("building alua-trace and its probes");
    } else {
        command.envs(cross::prepare(paths, arch)?);
        say::step(&format!("building alua-trace and its probes for {arch}"));
        command.args(["--target", arch.musl()]);
        built.push(arch.musl());
    }
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
    Ok(built.join(build.profile()).join("alua-trace"))
}

/// Builds the guests' PID 1: static, as it runs before there is a library to load.
pub(crate) fn guest(paths: &Paths, arch: Arch) -> Result<PathBuf> {
    let own = paths.target.join("guest");
    let mut command = Command::new(cargo());
    let target = if arch.is_host() {
        arch.gnu()
    } else {
        command.envs(cross::prepare(paths, arch)?);
        arch.musl()
    };
    say::step("building the guests' first program");
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
        .args(["--target", target, "--target-dir"])
        .arg(&own)
        .env("RUSTFLAGS", "-C target-feature=+crt-static");
    say::run(&mut command).context("cannot build the guests' first program")?;
    Ok(own.join(target).join(QUICK).join("guest"))
}
