//! What a tracer may leave behind in the kernel: BPF programs, pins, kprobe events.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use crate::sys;

const BPF_PROG_GET_NEXT_ID: libc::c_long = 11;
const BPF_LINK_GET_NEXT_ID: libc::c_long = 31;

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
            programs: ids(BPF_PROG_GET_NEXT_ID),
            links: ids(BPF_LINK_GET_NEXT_ID),
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

/// Walks the ids of one kind of BPF object.
fn ids(command: libc::c_long) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    // `union bpf_attr` of the GET_NEXT_ID commands: start_id, next_id, open_flags.
    let mut attribute = [0u32; 4];
    for _ in 0..100_000 {
        // SAFETY: the attribute is 16 bytes of our own, and its size is passed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                command,
                attribute.as_mut_ptr(),
                size_of_val(&attribute),
            )
        };
        if result != 0 {
            break;
        }
        found.insert(attribute[1]);
        attribute[0] = attribute[1];
    }
    found
}
