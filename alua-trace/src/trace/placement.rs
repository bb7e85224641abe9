//! Keeps the tool's own threads where the user wants them. A COMMAND that runs already is left alone.

use anyhow::{Context, Result};
use rustix::{
    io::Errno,
    process::{Pid, setpriority_process},
    thread::{CpuSet, sched_setaffinity},
};

use crate::{cli::Placement, sysroot};

/// Puts every thread of this process there; those that they start will be there, too.
///
/// # Errors
/// Processors none of which this host has, a level that this user may not have.
pub(super) fn apply(placement: &Placement) -> Result<()> {
    if *placement == Placement::default() {
        return Ok(());
    }
    let threads = sysroot::own_threads().context("cannot list the tool's own threads")?;
    for thread in threads.into_iter().filter_map(Pid::from_raw) {
        match place(placement, thread) {
            // It has ended since.
            Err(error) if error.downcast_ref() == Some(&Errno::SRCH) => {}
            placed => placed?,
        }
    }
    Ok(())
}

fn place(placement: &Placement, thread: Pid) -> Result<()> {
    let cpus = &placement.cpus;
    if !cpus.is_empty() {
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu));
        sched_setaffinity(Some(thread), &set).with_context(|| {
            format!("cannot keep to CPUs {cpus:?} (--cpu): is one of them online?")
        })?;
    }
    if let Some(nice) = placement.nice {
        setpriority_process(Some(thread), nice).with_context(|| {
            format!("cannot have nice level {nice} (--nice): below 0 takes CAP_SYS_NICE")
        })?;
    }
    Ok(())
}
