//! Packages a binary of alua-trace: what `cargo xtask dist` runs, once for each processor. The same binary gives the same
//! packages, byte for byte: every time in them is that of the commit.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Parser;

mod contents;
mod deb;
mod rpm;
mod sbom;

/// What to package.
#[derive(Debug, Parser)]
struct Wanted {
    /// The repository
    #[arg(long)]
    root: PathBuf,
    /// The static binary
    #[arg(long)]
    binary: PathBuf,
    /// Debian's name of its processor
    #[arg(long)]
    arch: String,
    /// When the commit was made, in seconds since the epoch
    #[arg(long)]
    time: u32,
    /// What `cargo metadata` says
    #[arg(long)]
    metadata: PathBuf,
    /// Where packages go
    #[arg(long)]
    out: PathBuf,
}

/// What is the same in all packages.
struct Package {
    version: &'static str,
    /// Debian's name of the processor.
    arch: String,
    time: u32,
}

const NAME: &str = "alua-trace";
const SUMMARY: &str = "Multipath SCSI path tracer";
const DESCRIPTION: &str = "Which path did every SCSI command take, in which ALUA access state was that path, and how long did the \
command take? alua-trace watches the kernel's own SCSI dispatch with eBPF: latency histograms per path and access state, flags \
for I/O over non-optimized ports, and ownership transfers with who caused them.";
const LICENCE: &str = "MIT OR Apache-2.0";
const MAINTAINER: &str = "The alua-trace developers <alua-trace@localhost>";

fn main() -> Result<()> {
    let wanted = Wanted::parse();
    let package = Package {
        version: env!("CARGO_PKG_VERSION"),
        arch: wanted.arch.clone(),
        time: wanted.time,
    };
    let files = contents::all(&wanted.root, &wanted.binary)?;
    let name = |extension: &str| {
        let Package { version, arch, .. } = &package;
        wanted
            .out
            .join(format!("{NAME}-{version}-{arch}.{extension}"))
    };
    write(&name("deb"), &deb::make(&package, &files)?)?;
    write(&name("rpm"), &rpm::make(&package, &files)?)?;
    write(&name("spdx.json"), &sbom::make(&package, &wanted.metadata)?)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}
