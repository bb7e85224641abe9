//! Keeps the SCSI dispatch tracepoints in use from the start, so that attaching the tool under load
//! patches no kernel code.
//!
//! QEMU's translator, with a thread per processor, may go on executing its translation of the
//! breakpoint that the kernel puts where it patches (`smp_text_poke_batch_finish`): 7.3 said "Oops:
//! int3" in `scsi_queue_rq`; 6.1 hung in the worker that dispatches, most likely in the same place.
//! A tracepoint's first two users
//! switch a static key and a static call; from the third on only a pointer changes
//! (`tracepoint_add_func`). Two instances of ftrace that record nothing are the first two.

use anyhow::Result;

use crate::sys;

const INSTANCES: &str = "/sys/kernel/tracing/instances";
const EVENTS: [&str; 4] = ["start", "done", "error", "timeout"];

/// Takes the first two places at each tracepoint.
pub(super) fn hold() -> Result<()> {
    for instance in ["hold-1", "hold-2"] {
        let dir = format!("{INSTANCES}/{instance}");
        std::fs::create_dir_all(&dir)?;
        sys::write(format!("{dir}/tracing_on"), "0")?;
        for event in EVENTS {
            let enable = format!("{dir}/events/scsi/scsi_dispatch_cmd_{event}/enable");
            sys::write(enable, "1")?;
        }
    }
    Ok(())
}
