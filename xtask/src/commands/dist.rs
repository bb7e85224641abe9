//! `cargo xtask dist`: static binaries for both processors, Debian and RPM packages of them, what they are made of, and
//! checksums. Two builds of one commit are equal, byte for byte.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::arch::Arch;
use crate::cli::DistArgs;
use crate::cross;
use crate::paths::{Paths, create_dir, remove_dir, write_whole};
use crate::programs::cargo_in;
use crate::say;
use crate::toolchain::{self, cargo};

/// What a binary may be large: it is to become 10 MB again.
const MOST_BYTES: u64 = 13 << 20;
const ARCHES: [Arch; 2] = [Arch::Amd64, Arch::Arm64];

/// Makes them; false where two builds differ.
pub(crate) fn dist(paths: &Paths, args: &DistArgs) -> Result<bool> {
    let out = paths.target.join("dist");
    make(paths, paths, &args.arch, &out)?;
    if !args.twice {
        return Ok(true);
    }
    say::step("the same again, in another directory");
    let again = tempfile::tempdir()?;
    let root = again.path().join("elsewhere");
    let mut clone = Command::new("git");
    clone.args(["clone", "--quiet"]).arg(&paths.root).arg(&root);
    say::output(&mut clone)?;
    let there = Paths {
        target: root.join("target"),
        root,
        ..paths.clone()
    };
    let other = there.target.join("dist");
    make(paths, &there, &args.arch, &other)?;
    equal(&out, &other)
}

/// Builds what is at `at`, with the tools of `paths`.
fn make(paths: &Paths, at: &Paths, arches: &[Arch], out: &Path) -> Result<()> {
    let time =
        say::output(
            Command::new("git")
                .current_dir(&at.root)
                .args(["log", "-1", "--format=%ct"]),
        )
        .context("the time of the commit is not known")?;
    remove_dir(out)?;
    create_dir(out)?;
    let arches = if arches.is_empty() {
        &ARCHES[..]
    } else {
        arches
    };
    for arch in arches {
        let binary = binary(paths, at, *arch)?;
        let size = fs::metadata(&binary)?.len();
        say::note(&format!("alua-trace for {arch}: {}", say::megabytes(size)));
        ensure!(
            size <= MOST_BYTES,
            "alua-trace for {arch} has {size} bytes, {MOST_BYTES} are allowed"
        );
        package(paths, at, *arch, (&binary, time.trim()), out)?;
    }
    sums(out)
}

/// A static binary that says nothing of where it was built.
fn binary(paths: &Paths, at: &Paths, arch: Arch) -> Result<PathBuf> {
    say::step(&format!("building alua-trace for {arch}, static"));
    let target = arch.musl();
    let built = at.target.join("dist-build");
    let names = names_of(at);
    let flags: Vec<String> = names
        .iter()
        .map(|(from, to)| format!("--remap-path-prefix={from}={to}"))
        .collect();
    let of_c: Vec<String> = names
        .iter()
        .map(|(from, to)| format!("-ffile-prefix-map={from}={to}"))
        .collect();
    let lower = target.replace('-', "_");
    let mut command = Command::new(cargo());
    command
        .current_dir(&at.root)
        .args([
            "build",
            "--release",
            "--package",
            "alua-trace",
            "--bin",
            "alua-trace",
        ])
        .args(["--target", target, "--target-dir"])
        .arg(&built)
        .envs(toolchain::prepare(paths)?)
        .envs(cross::prepare(paths, arch)?)
        .env(
            format!("CARGO_TARGET_{}_RUSTFLAGS", lower.to_uppercase()),
            flags.join(" "),
        )
        .env(format!("CFLAGS_{lower}"), of_c.join(" "));
    say::run(&mut command).with_context(|| format!("cannot build alua-trace for {arch}"))?;
    Ok(built.join(target).join("release/alua-trace"))
}

/// Directories of this machine, and what stands for them.
fn names_of(at: &Paths) -> Vec<(String, &'static str)> {
    let home = std::env::var_os("HOME").unwrap_or_else(|| OsString::from("/root"));
    let cargo_home = std::env::var_os("CARGO_HOME")
        .map_or_else(|| Path::new(&home).join(".cargo"), PathBuf::from);
    [(cargo_home, "cargo"), (at.root.clone(), "alua-trace")]
        .map(|(from, to)| (from.display().to_string(), to))
        .into()
}

fn package(
    paths: &Paths,
    at: &Paths,
    arch: Arch,
    (binary, time): (&Path, &str),
    out: &Path,
) -> Result<()> {
    let metadata = at.target.join("dist-metadata.json");
    let mut ask = Command::new(cargo());
    ask.current_dir(&at.root).args([
        "metadata",
        "--format-version",
        "1",
        "--filter-platform",
        arch.musl(),
    ]);
    write_whole(&metadata, say::output(&mut ask)?.as_bytes())?;
    let mut packages = cargo_in(paths, "run");
    packages
        .args(["--quiet", "--package", "alua-trace-dist", "--", "--root"])
        .arg(&at.root)
        .arg("--binary")
        .arg(binary)
        .args(["--arch", arch.debian(), "--time", time, "--metadata"])
        .arg(&metadata)
        .arg("--out")
        .arg(out)
        .envs(toolchain::prepare(paths)?);
    say::run(&mut packages).context("cannot make the packages")?;
    let name = format!("alua-trace-{}", arch.debian());
    fs::copy(binary, out.join(&name)).with_context(|| format!("cannot copy {name}"))?;
    Ok(())
}

/// `SHA256SUMS` of all that is there.
fn sums(out: &Path) -> Result<()> {
    let names = names(out)?;
    let text = say::output(Command::new("sha256sum").current_dir(out).args(&names))?;
    write_whole(&out.join("SHA256SUMS"), text.as_bytes())?;
    say::step(&format!("{} files in {}", names.len() + 1, out.display()));
    Ok(())
}

fn names(directory: &Path) -> Result<Vec<OsString>> {
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let mut names: Vec<OsString> = entries.flatten().map(|it| it.file_name()).collect();
    names.sort();
    Ok(names)
}

fn equal(one: &Path, other: &Path) -> Result<bool> {
    let names = names(one)?;
    if names != self::names(other)? {
        bail!("the two builds have other files");
    }
    let mut differ = Vec::new();
    for name in &names {
        if fs::read(one.join(name))? != fs::read(other.join(name))? {
            differ.push(name.to_string_lossy().into_owned());
        }
    }
    if differ.is_empty() {
        say::note("both builds are equal, byte for byte");
    } else {
        println!("not equal: {}", differ.join(", "));
    }
    Ok(differ.is_empty())
}
