//! `cargo xtask doctor`: what is here, what is missing, and the remedy. Changes nothing.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::arch::Arch;
use crate::kernels::{DEFAULT, Kernel, NEWEST};
use crate::paths::{Paths, size_below};
use crate::qemu::Qemu;
use crate::say;
use crate::sources::Mirror;
use crate::toolchain;
use crate::userland::{Set, Userland};

/// How something is.
enum State {
    Here(String),
    /// Fetched or made when it is needed.
    Later(String),
    /// Somebody must do something.
    Missing(String),
}

/// Says it all; false when something is missing that xtask cannot get by itself.
pub(crate) fn doctor(paths: &Paths) -> Result<bool> {
    let mut findings = vec![
        ("nightly Rust for the probes", compiler(paths)),
        ("bpf-linker", linker(paths)),
        ("Debian mirror", mirror()),
        ("QEMU", qemu_here(paths)),
        ("KVM", kvm(paths)),
    ];
    findings.extend(programs().map(|(name, state)| (name, state)));
    findings.push(("guests' programs", set(paths, Set::Common)));
    findings.push(("bench programs", set(paths, Set::Bench)));
    findings.push(("kernel 6.1", kernel(paths, DEFAULT)));
    findings.push(("newest kernel", kernel(paths, NEWEST)));
    let mut good = true;
    for (name, state) in &findings {
        let (word, text) = match state {
            State::Here(text) => ("ok", text),
            State::Later(text) => ("later", text),
            State::Missing(text) => ("MISSING", text),
        };
        good &= word != "MISSING";
        println!("{word:8} {name:28} {text}");
    }
    println!(
        "\n{} holds {}, {} holds {}; both may be deleted",
        paths.lab.display(),
        say::megabytes(size_below(&paths.lab)),
        paths.toolchain.display(),
        say::megabytes(size_below(&paths.toolchain))
    );
    Ok(good)
}

fn compiler(paths: &Paths) -> State {
    if toolchain::nightly_is_ready() {
        return State::Here("rustup's nightly with rust-src".into());
    }
    match toolchain::debian_rustc(paths) {
        Some(path) => State::Here(format!("Debian's compiler, {}", path.display())),
        None => State::Later(
            "rustup fetches it, or Debian's compiler takes its place; by hand: rustup toolchain \
             install nightly --profile minimal --component rust-src"
                .into(),
        ),
    }
}

fn linker(paths: &Paths) -> State {
    let own = toolchain::own_programs(paths).join("bpf-linker");
    for program in [Path::new("bpf-linker"), &own] {
        match toolchain::linker_version(program) {
            Some(version) if toolchain::suits(&version) => return State::Here(version),
            _ => {}
        }
    }
    State::Later(format!(
        "built from crates.io; by hand: cargo install bpf-linker --version ^{} --locked",
        toolchain::LINKER_SERIES
    ))
}

fn mirror() -> State {
    match Mirror::find(Path::new("/etc/apt")) {
        Ok(mirror) if mirror.security.is_none() => {
            State::Here(format!("{} (no security archive)", mirror.main))
        }
        Ok(mirror) => State::Here(mirror.main),
        Err(error) => State::Missing(format!("{error:#}")),
    }
}

fn qemu_here(paths: &Paths) -> State {
    match Qemu::find(paths, Arch::HOST) {
        Ok(qemu) => State::Here(qemu.version),
        Err(_) => State::Here("none; it is fetched for the lab alone, below target/".into()),
    }
}

fn kvm(paths: &Paths) -> State {
    let open = File::options().read(true).write(true).open("/dev/kvm");
    if let Err(error) = open {
        return State::Here(format!(
            "not used (/dev/kvm: {error}); guests are only slower"
        ));
    }
    let known = fs::read_to_string(paths.lab.join("accel")).unwrap_or_default();
    match known.lines().nth(1) {
        Some("kvm") => State::Here("starts guests".into()),
        Some(_) => State::Here("does not start guests here; they are only slower".into()),
        None => State::Later("tried with the first guest".into()),
    }
}

fn programs() -> [(&'static str, State); 4] {
    let here =
        |program: &str, remedy: &str| match say::output(Command::new(program).arg("--version")) {
            Ok(text) => State::Here(text.lines().next().unwrap_or_default().to_owned()),
            Err(_) => State::Missing(format!("run as root: apt-get install {remedy}")),
        };
    [
        ("apt-get", here("apt-get", "apt")),
        ("dpkg", here("dpkg", "dpkg")),
        ("setpriv", here("setpriv", "util-linux")),
        ("cc, to link", here("cc", "gcc libc6-dev")),
    ]
}

fn set(paths: &Paths, set: Set) -> State {
    match Userland::known(&paths.lab, Arch::HOST, set) {
        Some(userland) => State::Here(userland.root.display().to_string()),
        None => State::Later("fetched from the mirror (about 70 MB each)".into()),
    }
}

fn kernel(paths: &Paths, request: &str) -> State {
    match Kernel::known(&paths.lab, Arch::HOST, request) {
        Some(kernel) => State::Here(kernel.release),
        None => State::Later("fetched from the mirror (about 100 MB)".into()),
    }
}
