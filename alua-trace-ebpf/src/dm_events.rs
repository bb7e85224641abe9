//! What dm-multipath does about paths: fails, reinstates and activates them, and what userspace
//! tells it to do. All of it is rare.

use alua_trace_ebpf::{Control, DmRecord, WATCH_WAITS_NS, dm_event, record_kind};
use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated},
    macros::kprobe,
    programs::ProbeContext,
};

use crate::{
    dm_multipath::{Target, map_of_target},
    kernel::Reader,
    maps::{CONTROL, EVENTS, NOTICED, count_globally},
};

/// `static int fail_path(struct pgpath *pgpath)`
#[kprobe]
pub fn fail_path(ctx: ProbeContext) -> u32 {
    tell_of_path(dm_event::FAIL_PATH, ctx.arg(0), 0);
    0
}

/// `static int reinstate_path(struct pgpath *pgpath)`
#[kprobe]
pub fn reinstate_path(ctx: ProbeContext) -> u32 {
    tell_of_path(dm_event::REINSTATE_PATH, ctx.arg(0), 0);
    0
}

/// `int scsi_dh_activate(struct request_queue *q, activate_complete fn, void *data)`: dm-multipath,
/// its one caller, passes the `pgpath`.
#[kprobe]
pub fn scsi_dh_activate(ctx: ProbeContext) -> u32 {
    tell_of_path(dm_event::ACTIVATE, ctx.arg(2), 0);
    0
}

/// `static void pg_init_done(void *data, int errors)`
#[kprobe]
pub fn pg_init_done(ctx: ProbeContext) -> u32 {
    tell_of_path(dm_event::ACTIVATED, ctx.arg(0), ctx.arg(1).unwrap_or(0));
    0
}

/// `int dm_resume(struct mapped_device *md)`: a new table is in its place by then (`do_resume`), and no request of the old
/// one is on its way (`dm_wait_for_completion`), while none of the new one has been sent.
#[kprobe]
pub fn dm_resume(_ctx: ProbeContext) -> u32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: a word of it.
    unsafe { (&raw mut (*NOTICED.as_ptr()).resumed_ns).write_volatile(now) };
    0
}

/// Commands that waited for this, or will, tell how long.
pub fn watch_waits(now: u64) {
    let until = now + WATCH_WAITS_NS;
    // SAFETY: a word of it.
    unsafe { (&raw mut (*NOTICED.as_ptr()).watch_waits_until_ns).write_volatile(until) };
}

fn record(event: u8, now: u64) -> DmRecord {
    DmRecord {
        kind: record_kind::DM,
        event,
        path_group: 0,
        result: 0,
        at_ns: now,
        map_major: 0,
        map_minor: 0,
        device: 0,
        pid: (bpf_get_current_pid_tgid() >> 32) as u32,
        comm: bpf_get_current_comm().unwrap_or_default(),
        words: [[0; 16]; 2],
    }
}

fn tell(record: &DmRecord) {
    if EVENTS.output::<DmRecord>(record, 0).is_err() {
        count_globally(|counts| counts.lost_records += 1);
    }
}

#[inline(always)]
fn tell_of_path(event: u8, pgpath: Option<u64>, result: u32) {
    let Some(pgpath) = pgpath else {
        return;
    };
    let control = CONTROL.get();
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    watch_waits(now);
    let dm = &control.dm;
    let mut kernel = Reader::new();
    let target = Target::read(&mut kernel, dm, pgpath);
    let dev = kernel.u64(pgpath, dm.pgpath_dev);
    let bdev = kernel.u64(dev, dm.dm_dev_bdev);
    let mut record = record(event, now);
    record.path_group = target.path_group as u16;
    record.result = result;
    record.map_major = target.major;
    record.map_minor = target.minor;
    record.device = kernel.u32(bdev, dm.bdev_dev);
    kernel.finish();
    tell(&record);
}

/// `static int multipath_message(struct dm_target *ti, unsigned argc, char **argv, …)`
#[kprobe]
pub fn multipath_message(ctx: ProbeContext) -> u32 {
    if let (Some(target), Some(arguments)) = (ctx.arg(0), ctx.arg(2)) {
        let control = CONTROL.get();
        // SAFETY: takes no arguments and cannot fail.
        let now = unsafe { bpf_ktime_get_ns() };
        watch_waits(now);
        let words = ctx.arg(1).unwrap_or(0);
        tell_of_message(control, now, target, words, arguments);
    }
    0
}

#[inline(always)]
fn tell_of_message(control: &Control, now: u64, target: u64, words: u32, arguments: u64) {
    let mut kernel = Reader::new();
    let mut record = record(dm_event::MESSAGE, now);
    (record.map_major, record.map_minor) = map_of_target(&mut kernel, &control.dm, target);
    let first = kernel.u64(arguments, 0);
    read_word(&mut record.words[0], first);
    if words > 1 {
        let second = kernel.u64(arguments, 8);
        read_word(&mut record.words[1], second);
    }
    kernel.finish();
    tell(&record);
}

#[inline(always)]
fn read_word(into: &mut [u8; 16], source: u64) {
    // SAFETY: `into` has as many bytes; the helper copes with any source address, and ends what
    // it copies with a zero byte.
    unsafe {
        generated::bpf_probe_read_kernel_str(into.as_mut_ptr().cast(), 16, source as *const _)
    };
}
