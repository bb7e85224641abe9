//! What builds the probes: a nightly compiler with the library's source, or Debian's compiler in
//! its place, and bpf-linker. Found, else fetched, and told to the tool's `build.rs` by environment.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::packages::Apt;
use crate::paths::{Paths, create_dir, write_whole};
use crate::say;

/// The series of bpf-linker that matches the compiler's LLVM.
pub(crate) const LINKER_SERIES: &str = "0.10";
const NIGHTLY: &str = "nightly";
/// Debian's newest compiler, kept current for browsers, its library's source, and what links both.
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "rust-web-src", "libstd-rust-web-dev"];
const DEBIAN_SUITES: [&str; 4] = ["trixie", "bookworm", "trixie-backports", "sid"];

/// The compiler that the probes are built with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Compiler {
    /// rustup's nightly.
    Nightly,
    /// A stable compiler that is told to act as nightly.
    Bootstrap(PathBuf),
}

/// Environment variables for a cargo that builds the tool.
pub(crate) type Environment = Vec<(&'static str, OsString)>;

/// Makes sure that the probes can be built, and says how.
pub(crate) fn prepare(paths: &Paths) -> Result<Environment> {
    let compiler = compiler(paths)?;
    let linker_dir = linker(paths)?;
    environment(&compiler, linker_dir.as_deref())
}

/// The one place that knows what `alua-trace/build.rs` reads.
fn environment(compiler: &Compiler, linker_dir: Option<&Path>) -> Result<Environment> {
    let mut variables = Environment::new();
    if let Some(dir) = linker_dir {
        let path = env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(dir.to_path_buf()).chain(env::split_paths(&path));
        variables.push(("PATH", env::join_paths(all).context("cannot extend PATH")?));
    }
    if let Compiler::Bootstrap(rustc) = compiler {
        variables.push(("ALUA_TRACE_BPF_RUSTC", rustc.into()));
    }
    Ok(variables)
}

/// The compiler for the probes, fetched if there is none.
pub(crate) fn compiler(paths: &Paths) -> Result<Compiler> {
    if nightly_is_ready() {
        return Ok(Compiler::Nightly);
    }
    if let Some(rustc) = debian_rustc(paths) {
        return Ok(Compiler::Bootstrap(rustc));
    }
    let by_rustup = fetch_nightly();
    if nightly_is_ready() {
        return Ok(Compiler::Nightly);
    }
    if let Err(error) = by_rustup {
        say::note(&format!("no nightly by rustup: {}", first_line(&error)));
    }
    say::step("using Debian's compiler for the probes instead");
    fetch_debian(paths).map(Compiler::Bootstrap).context(
        "no compiler for the probes; with rustup: \
         rustup toolchain install nightly --profile minimal --component rust-src",
    )
}

/// Whether rustup has a nightly with the library's source. Fetches nothing.
pub(crate) fn nightly_is_ready() -> bool {
    let mut command = Command::new("rustup");
    command.args(["run", NIGHTLY, "rustc", "--print", "sysroot"]);
    say::output(&mut command).is_ok_and(|root| {
        Path::new(root.trim())
            .join("lib/rustlib/src/rust/library/core")
            .is_dir()
    })
}

fn fetch_nightly() -> Result<()> {
    say::step("fetching Rust nightly with the library's source, for the probes (about 120 MB)");
    let mut install = Command::new("rustup");
    install.args(["toolchain", "install", NIGHTLY, "--profile", "minimal"]);
    install.args(["--component", "rust-src", "--no-self-update"]);
    say::run(&mut install)
}

fn first_line(error: &anyhow::Error) -> String {
    format!("{error:#}")
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}

fn wrapper(paths: &Paths) -> PathBuf {
    paths.toolchain.join("debian/bin/rustc")
}

/// Debian's compiler, if it was fetched before.
pub(crate) fn debian_rustc(paths: &Paths) -> Option<PathBuf> {
    Some(wrapper(paths)).filter(|path| path.exists())
}

fn fetch_debian(paths: &Paths) -> Result<PathBuf> {
    let _lock = paths.lock()?;
    for suite in DEBIAN_SUITES {
        let Ok(apt) = Apt::open(&paths.lab, suite, false) else {
            continue;
        };
        if apt.names(DEBIAN_PACKAGES[0])?.is_empty() {
            continue;
        }
        create_dir(&paths.toolchain)?;
        let what = format!("Debian's compiler ({suite})");
        let root = apt.tree(&paths.toolchain, &what, &DEBIAN_PACKAGES)?;
        return write_wrapper(paths, &root);
    }
    bail!(
        "no suite of this machine's mirror has {}",
        DEBIAN_PACKAGES[0]
    )
}

/// The compiler needs the libraries it was built with, wherever it is unpacked.
fn write_wrapper(paths: &Paths, root: &Path) -> Result<PathBuf> {
    let path = wrapper(paths);
    let usr = root.join("usr");
    let usr = usr.display();
    let script = format!(
        "#!/bin/sh\n\
         # Written by cargo xtask: Debian's rustc, run from where it was unpacked.\n\
         exec '{usr}/lib64/ld-linux-x86-64.so.2' --argv0 rustc \\\n  \
         --library-path '{usr}/lib/x86_64-linux-gnu' '{usr}/bin/rustc' --sysroot '{usr}' \"$@\"\n"
    );
    create_dir(
        path.parent()
            .context("the compiler's wrapper has no directory")?,
    )?;
    write_whole(&path, script.as_bytes())?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("cannot make {} executable", path.display()))?;
    Ok(path)
}

/// The directory to put before `PATH` for bpf-linker; none when it is on `PATH` already.
fn linker(paths: &Paths) -> Result<Option<PathBuf>> {
    let place = LinkerPlace::of(paths);
    if place == LinkerPlace::Missing {
        say::step("building bpf-linker from crates.io, once (about two minutes)");
        say::run(&mut linker_install(paths)).context(
            "cannot build bpf-linker, which the probes are linked with; it needs crates.io once",
        )?;
    }
    Ok((place != LinkerPlace::OnPath).then(|| own_programs(paths)))
}

/// Where a bpf-linker is that suits.
#[derive(PartialEq)]
enum LinkerPlace {
    OnPath,
    Built,
    Missing,
}

impl LinkerPlace {
    fn of(paths: &Paths) -> Self {
        let suitable =
            |program: &Path| linker_version(program).is_some_and(|version| suits(&version));
        if suitable(Path::new("bpf-linker")) {
            Self::OnPath
        } else if suitable(&own_programs(paths).join("bpf-linker")) {
            Self::Built
        } else {
            Self::Missing
        }
    }
}

fn linker_install(paths: &Paths) -> Command {
    let mut install = Command::new(cargo());
    install
        .args(["install", "bpf-linker", "--locked", "--force"])
        .args(["--version", &format!("^{LINKER_SERIES}"), "--root"])
        .arg(&paths.toolchain);
    install
}

/// bpf-linker being built while something else waits for the network. Ends with this value.
pub(crate) struct LinkerBuild(Child);

impl LinkerBuild {
    /// Begins to build it if it is missing. That it fails shows when [`prepare`] builds it again.
    pub(crate) fn begin(paths: &Paths) -> Option<Self> {
        if LinkerPlace::of(paths) != LinkerPlace::Missing {
            return None;
        }
        let mut install = linker_install(paths);
        install.stdin(Stdio::null());
        install.stdout(Stdio::null()).stderr(Stdio::null());
        let build = install.spawn().ok()?;
        say::step("building bpf-linker from crates.io, once, beside what follows");
        Some(Self(build))
    }

    /// Waits for its end.
    pub(crate) fn finish(mut self) {
        let start = Instant::now();
        let mut progress = say::Progress::new();
        while let Ok(None) = self.0.try_wait() {
            let seconds = start.elapsed().as_secs();
            progress.show(&format!("bpf-linker is still being built ({seconds} s)"));
            thread::sleep(Duration::from_millis(50));
        }
        progress.end();
    }
}

impl Drop for LinkerBuild {
    fn drop(&mut self) {
        // Both fail only if it has ended.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Where programs lie that were built here: bpf-linker, cargo-fuzz.
pub(crate) fn own_programs(paths: &Paths) -> PathBuf {
    paths.toolchain.join("bin")
}

/// The version that a bpf-linker says it has.
pub(crate) fn linker_version(program: &Path) -> Option<String> {
    let text = say::output(Command::new(program).arg("--version")).ok()?;
    text.split_whitespace().nth(1).map(str::to_owned)
}

/// Whether a version of bpf-linker is of the series that matches the compiler.
pub(crate) fn suits(version: &str) -> bool {
    version
        .strip_prefix(LINKER_SERIES)
        .is_some_and(|rest| rest.starts_with('.'))
}

/// The cargo that started this, or the one on `PATH`.
pub(crate) fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_series_decides() {
        assert!(suits("0.10.4"));
        assert!(!suits("0.1.0"));
        assert!(!suits("0.101.0"));
        assert!(!suits("0.9.13"));
    }

    #[test]
    fn nightly_on_path_needs_no_environment() {
        assert_eq!(environment(&Compiler::Nightly, None).unwrap(), []);
    }

    #[test]
    fn fallback_and_own_linker_are_told() {
        let compiler = Compiler::Bootstrap("/t/rustc".into());
        let variables = environment(&compiler, Some(Path::new("/t/bin"))).unwrap();
        assert!(variables.contains(&("ALUA_TRACE_BPF_RUSTC", "/t/rustc".into())));
        let path = &variables
            .iter()
            .find(|(name, _)| *name == "PATH")
            .unwrap()
            .1;
        assert!(path.to_string_lossy().starts_with("/t/bin:"));
    }
}
