//! Small things every part needs: files with context in errors, bounded waiting, the clock.

pub(crate) mod bpf;
pub(crate) mod process;
pub(crate) mod terminal;
pub(crate) mod usage;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Writes a file, sysfs and configfs attributes above all.
pub(crate) fn write(path: impl AsRef<Path>, text: &str) -> Result<()> {
    let path = path.as_ref();
    std::fs::write(path, text)
        .with_context(|| format!("failed to write {text:?} to {}", path.display()))
}

/// Reads a file without the white space around its text.
pub(crate) fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = path.as_ref();
    let bytes =
        std::fs::read(path).with_context(|| format!("failed to read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Makes a directory, which configfs understands as an object.
pub(crate) fn make_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if path.is_dir() {
        return Ok(());
    }
    std::fs::create_dir(path).with_context(|| format!("failed to make {}", path.display()))
}

/// Removes a directory if it is there.
pub(crate) fn remove_dir(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    if !path.exists() {
        return Ok(());
    }
    std::fs::remove_dir(path).with_context(|| format!("failed to remove {}", path.display()))
}

/// Names in a directory, sorted; none when it is not there.
pub(crate) fn names(path: impl AsRef<Path>) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Asks `ready` until it says yes, at most for `limit`.
pub(crate) fn wait_for(
    limit: Duration,
    what: &str,
    mut ready: impl FnMut() -> Result<bool>,
) -> Result<()> {
    let started = Instant::now();
    loop {
        if ready()? {
            return Ok(());
        }
        if started.elapsed() >= limit {
            bail!("waited {} ms in vain for {what}", limit.as_millis());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// CLOCK_MONOTONIC, the clock of the kernel's probes, in ns.
pub(crate) fn monotonic_ns() -> u64 {
    nanoseconds(rustix::time::ClockId::Monotonic)
}

fn nanoseconds(clock: rustix::time::ClockId) -> u64 {
    let now = rustix::time::clock_gettime(clock);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// What `CLOCK_MONOTONIC` was, in ns, at a moment of the wall clock in ms since 1970.
pub(crate) fn monotonic_of_unix_ms(unix_ms: u64) -> u64 {
    let booted_at_ns = nanoseconds(rustix::time::ClockId::Realtime).saturating_sub(monotonic_ns());
    (unix_ms * 1_000_000).saturating_sub(booted_at_ns)
}

/// Sleeps `milliseconds`.
pub(crate) fn sleep_ms(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}

/// `uname -r`.
pub(crate) fn kernel_release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}
