//! An empty program on the dispatch of every command and another one on its end: what any tracer of both pays
//! before it does anything.

use anyhow::{Context, Result};

use crate::sys::bpf;

/// `r0 = 0; exit`.
const RETURN_0: [u64; 2] = [0xb7, 0x95];

/// Attaches them until it is killed.
pub(crate) fn main() -> Result<()> {
    let program = bpf::load(&RETURN_0).context("failed to load an empty program")?;
    let ends = [c"scsi_dispatch_cmd_done", c"scsi_dispatch_cmd_start"];
    let attached = ends.map(|tracepoint| bpf::attach(&program, tracepoint));
    for attached in &attached {
        if let Err(error) = attached {
            anyhow::bail!("failed to attach an empty program: {error}");
        }
    }
    loop {
        std::thread::park();
    }
}
