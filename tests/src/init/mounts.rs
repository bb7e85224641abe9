//! The file systems of a guest.

use std::path::Path;

use anyhow::{Context, Result};
use rustix::mount::MountFlags;

/// Before modules are loaded.
pub(super) fn early() -> Result<()> {
    mount("proc", "/proc")?;
    mount("sysfs", "/sys")?;
    mount("devtmpfs", "/dev")?;
    console()?;
    for (kind, at) in [
        ("devpts", "/dev/pts"),
        ("tmpfs", "/dev/shm"),
        ("tmpfs", "/run"),
        ("tmpfs", "/tmp"),
    ] {
        mount(kind, at)?;
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/var/run", "/run"),
    ] {
        let _ = std::os::unix::fs::symlink(target, link);
    }
    let _ = std::fs::create_dir_all("/run/lock");
    Ok(())
}

/// After modules are loaded: some of these are modules, and none is needed to report.
pub(super) fn late() {
    for (kind, at) in [
        ("configfs", "/sys/kernel/config"),
        ("debugfs", "/sys/kernel/debug"),
        ("tracefs", "/sys/kernel/tracing"),
        ("bpf", "/sys/fs/bpf"),
    ] {
        if let Err(error) = mount(kind, at) {
            eprintln!("init: {error:#}");
        }
    }
}

fn mount(kind: &str, at: &str) -> Result<()> {
    if !Path::new(at).is_dir() {
        std::fs::create_dir_all(at).with_context(|| format!("failed to make {at}"))?;
    }
    match rustix::mount::mount(kind, at, kind, MountFlags::empty(), None) {
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("failed to mount {kind} at {at}")),
    }
}

/// The kernel finds no `/dev/console` in an initramfs without device nodes: PID 1 then starts
/// without standard streams.
fn console() -> Result<()> {
    let console = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/console")
        .context("failed to open /dev/console")?;
    rustix::stdio::dup2_stdin(&console)?;
    rustix::stdio::dup2_stdout(&console)?;
    rustix::stdio::dup2_stderr(&console)?;
    Ok(())
}
