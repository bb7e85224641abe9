//! Builds the probes for the BPF target and hands their object file to `kernel::attach`.
//!
//! A cargo of its own, because the probes need nightly, `core` built from source and another
//! target. `cargo xtask` sets what is used:
//! - `ALUA_TRACE_BPF_CARGO`: the cargo to run; `cargo` with rustup's nightly when unset;
//! - `ALUA_TRACE_BPF_RUSTC`: a stable compiler to use with `RUSTC_BOOTSTRAP` instead of nightly.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "bpfel-unknown-none";
const BINARY: &str = "alua-trace-probes";

fn main() -> Result<(), String> {
    let probes = Path::new("../alua-trace-ebpf");
    for input in ["src", "Cargo.toml"] {
        println!("cargo:rerun-if-changed={}", probes.join(input).display());
    }
    for variable in ["ALUA_TRACE_BPF_CARGO", "ALUA_TRACE_BPF_RUSTC"] {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?);
    let target_dir = out.join("probes");
    let mut command = cargo();
    command
        .current_dir(probes)
        .arg("--target-dir")
        .arg(&target_dir);
    let status = command
        .status()
        .map_err(|error| format!("failed to run {command:?}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "building the probes failed ({status}); they need nightly with rust-src and \
             bpf-linker, which `cargo xtask doctor` looks for and `cargo xtask run` installs"
        ));
    }
    let object = target_dir.join(TARGET).join("release").join(BINARY);
    println!("cargo:rustc-env=ALUA_TRACE_PROBES={}", object.display());
    Ok(())
}

fn cargo() -> Command {
    let mut command =
        Command::new(env::var_os("ALUA_TRACE_BPF_CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo sets for build scripts describes the host's build, not this one.
    for variable in [
        "RUSTC",
        "RUSTC_WRAPPER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
    ] {
        command.env_remove(variable);
    }
    match env::var_os("ALUA_TRACE_BPF_RUSTC") {
        Some(rustc) => {
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
        }
        None => {
            command
                .env("RUSTUP_TOOLCHAIN", "nightly")
                .env_remove("CARGO");
        }
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", rustflags()).args([
        "build",
        "--release",
        "--bin",
        BINARY,
        "--target",
        TARGET,
        "-Z",
        "build-std=core",
    ]);
    command
}

fn rustflags() -> OsString {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    // aya-ebpf reads registers by `bpf_target_arch`. Without debug information there is no BTF of the probes', which the
    // kernel does not need, and which takes more of a start, and of memory, than all else in the object.
    format!("--cfg=bpf_target_arch=\"{arch}\"\x1f-Cdebuginfo=0").into()
}
