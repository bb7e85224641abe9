//! What a process uses of memory and processors, as the kernel accounts it.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

/// The most memory that process `pid` has had resident, in KiB (`VmHWM`).
pub(crate) fn peak_memory_kib(pid: u32) -> Result<u64> {
    memory(pid, "VmHWM:")
}

/// The memory that process `pid` has resident, in KiB (`VmRSS`).
pub(crate) fn resident_kib(pid: u32) -> Result<u64> {
    memory(pid, "VmRSS:")
}

fn memory(pid: u32, name: &str) -> Result<u64> {
    let status = super::read(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.with_context(|| format!("no {name} of {pid}"))?
        .parse()
        .with_context(|| format!("bad {name} of {pid}"))
}

/// CPU time of the threads of process `pid` by their name, in ns (`/proc/PID/task/TID/schedstat`).
pub(crate) fn threads_ns(pid: u32) -> Result<BTreeMap<String, u64>> {
    let tasks = format!("/proc/{pid}/task");
    let mut threads = BTreeMap::new();
    for thread in super::names(&tasks) {
        let name = super::read(format!("{tasks}/{thread}/comm"))?;
        let account = super::read(format!("{tasks}/{thread}/schedstat"))?;
        let on_cpu = account.split_whitespace().next().context("no schedstat")?;
        *threads.entry(name.trim().to_owned()).or_default() += on_cpu.parse::<u64>()?;
    }
    Ok(threads)
}
