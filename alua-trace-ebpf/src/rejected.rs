//! I/O that a device handler refuses before it is dispatched (`alua_prep_fn`, `rdac_prep_fn`): no
//! tracepoint tells of it.
//!
//! These functions run for every command. The collector attaches the probes only while a path is in
//! a state in which its handler refuses.

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_get_smp_processor_id},
    macros::{kprobe, kretprobe, map},
    maps::LruHashMap,
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    maps::{CONTROL, count_globally},
    path,
};

/// The `scsi_device` a thread prepares a command for: the block layer dispatches in the context of
/// a thread (`blk_mq_run_hw_queue`), which may go to another CPU meanwhile. The least recent goes
/// when there is no room: that of a thread whose return was missed.
#[map]
static PREPARING: LruHashMap<u64, u64> = LruHashMap::with_max_entries(1024, 0);

fn key() -> u64 {
    match bpf_get_current_pid_tgid() {
        // Every CPU has an idle thread of this number, which stays on it.
        // SAFETY: takes no arguments and cannot fail.
        0 => u64::from(unsafe { bpf_get_smp_processor_id() }),
        thread => thread,
    }
}

/// `static blk_status_t alua_prep_fn(struct scsi_device *sdev, struct request *req)`
#[kprobe]
pub fn alua_prep_fn(ctx: ProbeContext) -> u32 {
    prepare(&ctx);
    0
}

#[kretprobe]
pub fn alua_prep_fn_return(ctx: RetProbeContext) -> u32 {
    prepared(&ctx);
    0
}

/// `static blk_status_t rdac_prep_fn(struct scsi_device *sdev, struct request *req)`
#[kprobe]
pub fn rdac_prep_fn(ctx: ProbeContext) -> u32 {
    prepare(&ctx);
    0
}

#[kretprobe]
pub fn rdac_prep_fn_return(ctx: RetProbeContext) -> u32 {
    prepared(&ctx);
    0
}

#[inline(always)]
fn prepare(ctx: &ProbeContext) {
    if let Some(sdev) = ctx.arg::<u64>(0)
        && PREPARING.insert(key(), sdev, 0).is_err()
    {
        count_globally(|counts| counts.lost_records += 1);
    }
}

#[inline(always)]
fn prepared(ctx: &RetProbeContext) {
    let key = key();
    // SAFETY: the value is copied at once; only this thread has this key.
    let Some(sdev) = (unsafe { PREPARING.get(key) }).copied() else {
        return;
    };
    let _ = PREPARING.remove(key);
    // `blk_status_t` is a byte; 0 is BLK_STS_OK.
    if ctx.ret::<u8>() != 0 {
        let path = path::find(ctx, CONTROL.get(), sdev);
        path::count(path.path(), |counts| counts.rejected += 1);
    }
}
