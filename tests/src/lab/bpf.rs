//! What a tracer may leave behind in the kernel: BPF programs, pins, kprobe events.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::sys::{
    self,
    bpf::{Command, ids},
};

/// Everything of BPF's and tracefs's that could be left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Traces {
    programs: BTreeSet<u32>,
    links: BTreeSet<u32>,
    pins: Vec<String>,
    kprobe_events: String,
}

impl Traces {
    /// What is there now.
    pub(crate) fn now() -> Traces {
        Traces {
            programs: ids(Command::ProgGetNextId).into_iter().collect(),
            links: ids(Command::LinkGetNextId).into_iter().collect(),
            pins: sys::names("/sys/fs/bpf"),
            kprobe_events: sys::read("/sys/kernel/tracing/kprobe_events").unwrap_or_default(),
        }
    }

    /// Fails when more is there now. Programs are freed after a grace period, so it waits a bit.
    pub(crate) fn same_as_before(&self) -> Result<()> {
        let mut now = Traces::now();
        let _ = sys::wait_for(
            std::time::Duration::from_secs(3),
            "BPF programs to go",
            || {
                now = Traces::now();
                Ok(now == *self)
            },
        );
        if now != *self {
            bail!("something was left in the kernel: before {self:?}, now {now:?}");
        }
        Ok(())
    }

    /// Number of BPF programs.
    pub(crate) fn programs(&self) -> usize {
        self.programs.len()
    }
}
