//! What builds programs for another processor than this machine's: Rust's library for it, Rust's own linker, and Zig's C
//! compiler for the one crate that is C.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::arch::Arch;
use crate::paths::{Paths, create_dir, write_whole};
use crate::python::Python;
use crate::say;
use crate::toolchain::cargo;

/// Python's package of Zig: programs that need nothing else.
const REQUIREMENTS: &str = "xtask/requirements-cross.txt";

/// Environment variables for a cargo that builds for [`Arch::musl`].
///
/// # Errors
/// Something cannot be fetched: says what does so by hand.
pub(crate) fn prepare(paths: &Paths, arch: Arch) -> Result<Vec<(String, OsString)>> {
    let target = arch.musl();
    library(target)?;
    let python = Python::with(paths, &paths.root.join(REQUIREMENTS))?;
    let zig = python.file("ziglang/zig");
    let dir = paths.toolchain.join(format!("cross-{arch}"));
    create_dir(&dir)?;
    let c = format!(
        "cc -target {}-linux-musl -fno-sanitize=undefined",
        arch.rust()
    );
    let compiler = script(&dir.join("cc"), &zig, &c)?;
    let archiver = script(&dir.join("ar"), &zig, "ar")?;
    let lower = target.replace('-', "_");
    Ok(vec![
        (format!("CC_{lower}"), compiler),
        (format!("AR_{lower}"), archiver),
        (
            format!("CARGO_TARGET_{}_LINKER", lower.to_uppercase()),
            "rust-lld".into(),
        ),
    ])
}

/// Rust's library for the target, fetched if it is not here.
fn library(target: &str) -> Result<()> {
    let installed = say::output(Command::new("rustup").args(["target", "list", "--installed"]));
    if installed.is_ok_and(|list| list.lines().any(|line| line == target)) {
        return Ok(());
    }
    say::step(&format!("fetching Rust's library for {target}"));
    let mut add = Command::new("rustup");
    add.args(["target", "add", target]);
    say::run(&mut add).with_context(|| {
        format!(
            "no library for {target} for {}; with rustup: rustup target add {target}",
            cargo().to_string_lossy()
        )
    })
}

fn script(path: &Path, zig: &Path, arguments: &str) -> Result<OsString> {
    let zig = zig.display();
    // Zig has names of its own for targets.
    let text = format!(
        "#!/bin/sh\nfor word; do shift; case $word in --target=*) ;; *) set -- \"$@\" \"$word\" ;; esac; done\n\
         exec '{zig}' {arguments} \"$@\"\n"
    );
    write_whole(path, text.as_bytes())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", path.display()))?;
    Ok(path.into())
}
