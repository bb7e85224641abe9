//! `scsi_dh_alua`: when the kernel has the array's answer to REPORT TARGET PORT GROUPS.
//!
//! `alua_rtpg` is inlined up to 6.1, so its caller `alua_rtpg_work`, a work function in every
//! kernel, is the hook.

use alua_trace_ebpf::{Control, RtpgRecord, handler, record_kind};
use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns},
    macros::{kprobe, kretprobe, map},
    maps::HashMap,
    programs::{ProbeContext, RetProbeContext},
};

use crate::{
    dm_events::watch_waits,
    kernel::{add, fence, read},
    management,
    maps::{CONTROL, EVENTS, NOTICED, count_globally},
};

/// The RTPG work that a worker thread runs.
#[repr(C)]
#[derive(Clone, Copy)]
struct Work {
    port_group: u64,
    entry_ns: u64,
    state_before: u64,
}

/// A hash map because its key is a thread id; used a few times a second at most.
#[map]
static RTPG_WORKERS: HashMap<u64, Work> = HashMap::with_max_entries(1024, 0);

/// `static void alua_rtpg_work(struct work_struct *work)`
#[kprobe]
pub fn alua_rtpg_work(ctx: ProbeContext) -> u32 {
    if let Some(work) = ctx.arg::<u64>(0) {
        let control = CONTROL.get();
        let port_group = work.wrapping_sub(u64::from(control.alua.pg_rtpg_work));
        // SAFETY: takes no arguments and cannot fail.
        let now = unsafe { bpf_ktime_get_ns() };
        watch_waits(now);
        management::work_begins(handler::ALUA);
        let work = Work {
            port_group,
            entry_ns: now,
            state_before: u64::from(read::<u32>(port_group, control.alua.pg_state).unwrap_or(0)),
        };
        let worker = bpf_get_current_pid_tgid();
        // A return that was missed: its work counts as one that is filing already.
        // SAFETY: only this thread inserts and removes its own entry.
        let missed = unsafe { RTPG_WORKERS.get(worker) }.is_some();
        if RTPG_WORKERS.insert(worker, work, 0).is_err() {
            count_globally(|counts| counts.lost_records += 1);
        } else if missed {
            count_globally(|counts| counts.lost_records += 1);
        } else {
            states_change(1);
        }
    }
    0
}

/// States are being filed by one worker more, or have been by one. The number comes first: a slot
/// that is refreshed in between is out of date at once.
#[inline(always)]
fn states_change(workers: u64) {
    // SAFETY: a word of it.
    add(
        unsafe { &raw mut (*NOTICED.as_ptr()).states_changing },
        workers,
    );
    fence();
    read_states_again();
}

/// What slots have cached is out of date.
#[inline(always)]
fn read_states_again() {
    // SAFETY: a word of it; the collector raises it by more than one.
    add(unsafe { &raw mut (*CONTROL.as_ptr()).generation }, 1);
}

/// `static enum scsi_disposition alua_check_sense(…)`: has a port group's state set to
/// transitioning when a command was answered so (`alua_handle_state_transition`).
#[kretprobe]
pub fn alua_check_sense_return(_ctx: RetProbeContext) -> u32 {
    read_states_again();
    0
}

#[kretprobe]
pub fn alua_rtpg_work_return(_ctx: RetProbeContext) -> u32 {
    let worker = bpf_get_current_pid_tgid();
    // SAFETY: only this thread inserts and removes its own entry.
    let begun = unsafe { RTPG_WORKERS.get(worker) }.copied();
    management::work_ends();
    if let Some(work) = begun {
        let control = CONTROL.get();
        let _ = RTPG_WORKERS.remove(worker);
        returned(control, &work);
    }
    0
}

fn returned(control: &Control, work: &Work) {
    states_change(u64::MAX);
    let port_group = work.port_group;
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    watch_waits(now);
    let alua = &control.alua;
    let record = RtpgRecord {
        kind: record_kind::RTPG,
        state: read::<u32>(port_group, alua.pg_state).unwrap_or(0) as u8,
        preferred: read::<u32>(port_group, alua.pg_pref).unwrap_or(0) as u8,
        state_before: work.state_before as u8,
        group: read::<u32>(port_group, alua.pg_group_id).unwrap_or(0),
        port_group,
        entry_ns: work.entry_ns,
        return_ns: now,
    };
    if EVENTS.output::<RtpgRecord>(record, 0).is_err() {
        count_globally(|counts| counts.lost_records += 1);
    }
}
