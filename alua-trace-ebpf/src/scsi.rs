//! Dispatch and end of SCSI commands: the four `scsi_dispatch_cmd_*` raw tracepoints.
//!
//! `scsi_dispatch_cmd` itself is inlined in every kernel looked at, so its tracepoints are its
//! probes. `_start` comes right before the low-level driver's `queuecommand`; then exactly one of
//! `_done`, `_error` (refused, to be dispatched again) or `_timeout` follows, except that a
//! command whose timer the driver resets completes after its `_timeout`.

use alua_trace_ebpf::{
    CommandRecord, CommandSlot, Control, MAX_WINDOW, NO_ROUTE, command_flag, record_kind,
    state_index,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    helpers::{bpf_ktime_get_ns, generated::bpf_probe_read_kernel},
    macros::raw_tracepoint,
    programs::RawTracePointContext,
};

use crate::{
    dm_multipath,
    in_flight::{self, End},
    kernel::{field, layout, read},
    maps::{CONTROL, EVENTS, count_globally},
    path,
};

/// `REQ_OP_DRV_IN` and `REQ_OP_DRV_OUT`: 34 and 35 in every kernel that has them; and the mask of
/// the operation in `request.cmd_flags` (`REQ_OP_MASK`).
const REQ_OP_DRV: (u32, u32, u32) = (34, 35, 0xff);

/// Status byte CHECK CONDITION (SAM-5 5.3.1): sense data is there.
const CHECK_CONDITION: u32 = 0x02;

/// Indices of [`state_index`].
const OPTIMIZED: usize = 0;
const UNKNOWN: usize = 7;

/// A window of a request's tail and its `scsi_cmnd`, aligned for every field in it.
type Window = [u64; MAX_WINDOW as usize / 8];

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_start")]
pub fn scsi_dispatch_cmd_start(ctx: RawTracePointContext) -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    if let Some(control) = CONTROL.get(0) {
        dispatched(&ctx, control, ctx.arg::<u64>(0), now);
    }
    0
}

#[inline(always)]
fn dispatched(ctx: &RawTracePointContext, control: &Control, cmd: u64, now: u64) -> Option<()> {
    let mut window: Window = [0; MAX_WINDOW as usize / 8];
    let request = cmd.wrapping_sub(u64::from(layout!(request_size)));
    // `end_io` and `end_io_data` are the last members of a request: one read covers all.
    let head = layout!(request_size) - layout!(request_end_io);
    let source = request.wrapping_add(u64::from(layout!(request_end_io)));
    read_window(&mut window, source, head + layout!(cmnd_sdb_length) + 4)?;
    let window = window.as_ptr().cast::<u8>();

    // SAFETY: the collector checked that every field lies within the window.
    let (sdev, bytes, retries, end_io, end_io_data) = unsafe {
        (
            field::<u64>(window, head + layout!(cmnd_device)),
            field::<u32>(window, head + layout!(cmnd_sdb_length)),
            field::<u32>(window, head + layout!(cmnd_retries)),
            field::<u64>(window, 0),
            field::<u64>(window, layout!(request_end_io_data) - layout!(request_end_io)),
        )
    };
    let cdb = cdb(window, head)?;
    let path = path::find(ctx, control, sdev);
    let (pgpath, mut flags) = pgpath(control, request, end_io, end_io_data);
    let route = if pgpath == 0 { NO_ROUTE } else { dm_multipath::find(ctx, control, pgpath) };
    if pgpath == 0 && is_passthrough(request) {
        flags |= command_flag::PASSTHROUGH;
    }
    count_dispatch(&path, flags);
    in_flight::insert(&CommandSlot {
        cmd,
        dispatch_ns: now,
        lba: lba(&cdb),
        bytes,
        path: path.id,
        route,
        opcode: cdb[0] as u8,
        state: path.state,
        state_source: path.source,
        flags,
        retries: if retries > 255 { 255 } else { retries as u8 },
        cdb1: (cdb[0] >> 8) as u8,
        cdb2: (cdb[0] >> 16) as u8,
        timed_out: 0,
    });
    Some(())
}

#[inline(always)]
fn count_dispatch(path: &path::Known, flags: u8) {
    let state = state_index(path.state) & 7;
    let block_io = flags & command_flag::PASSTHROUGH == 0;
    path::count(path.id, |counts| {
        counts.dispatched += 1;
        if block_io {
            counts.dispatched_by_state[state] += 1;
        }
    });
    if block_io && state != OPTIMIZED && state != UNKNOWN {
        count_globally(|counts| counts.not_optimized += 1);
    }
}

#[inline(always)]
fn read_window(window: &mut Window, source: u64, length: u32) -> Option<()> {
    // A layout the window cannot hold is refused at load; this is for the verifier.
    if length > MAX_WINDOW {
        return None;
    }
    // SAFETY: `length` bytes of `window` are ours; the helper copes with any source address.
    let failed = unsafe {
        bpf_probe_read_kernel(window.as_mut_ptr().cast(), length, source as *const _)
    };
    if failed != 0 {
        count_globally(|counts| counts.failed_reads += 1);
        return None;
    }
    Some(())
}

/// The first 12 bytes of the CDB as little-endian words.
#[inline(always)]
fn cdb(window: *const u8, head: u32) -> Option<[u32; 3]> {
    let offset = head + layout!(cmnd_cdb);
    if layout!(cmnd_cdb_is_pointer) != 0 {
        // SAFETY: as in `dispatched`.
        return read::<[u32; 3]>(unsafe { field::<u64>(window, offset) }, 0);
    }
    // SAFETY: as in `dispatched`; the CDB is 4-byte aligned, which the collector checked.
    Some(unsafe { field::<[u32; 3]>(window, offset) })
}

/// Logical block address of the CDB (SBC-4 5), 0 for commands without one.
#[inline(always)]
fn lba(cdb: &[u32; 3]) -> u64 {
    let opcode = cdb[0] as u8;
    // Bytes 2 to 9, big-endian.
    let long = (u64::from(cdb[0] >> 16) | u64::from(cdb[1]) << 16 | u64::from(cdb[2]) << 48)
        .swap_bytes();
    match opcode {
        // READ(6), WRITE(6): 21 bits from byte 1.
        0x08 | 0x0a => u64::from(cdb[0].swap_bytes() & 0x1f_ffff),
        // (10) and (12): READ, WRITE, WRITE AND VERIFY, VERIFY, SYNCHRONIZE CACHE, WRITE SAME.
        0x28 | 0x2a | 0x2e | 0x2f | 0x35 | 0x41 | 0xa8 | 0xaa | 0xae | 0xaf => long >> 32,
        // (16): the same, and COMPARE AND WRITE.
        0x88 | 0x89 | 0x8a | 0x8e | 0x8f | 0x91 | 0x93 => long,
        _ => 0,
    }
}

/// The `pgpath` a request was routed by, or 0, and the flags that say how it was found.
#[inline(always)]
fn pgpath(control: &Control, request: u64, end_io: u64, end_io_data: u64) -> (u64, u8) {
    if control.end_clone_request != 0 && end_io == control.end_clone_request {
        return (dm_multipath::pgpath_of_request(control, end_io_data), 0);
    }
    if control.bio_based != 0 {
        let pgpath = dm_multipath::pgpath_of_bio(control, request);
        if pgpath != 0 {
            return (pgpath, command_flag::BIO_BASED);
        }
    }
    (0, 0)
}

#[inline(always)]
fn is_passthrough(request: u64) -> bool {
    let flags = read::<u32>(request, layout!(request_cmd_flags)).unwrap_or(0);
    let operation = flags & REQ_OP_DRV.2;
    operation == REQ_OP_DRV.0 || operation == REQ_OP_DRV.1
}

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_done")]
pub fn scsi_dispatch_cmd_done(ctx: RawTracePointContext) -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    completed(ctx.arg::<u64>(0), now);
    0
}

#[inline(always)]
fn completed(cmd: u64, now: u64) {
    let Some(command) = in_flight::take(cmd, End::Free) else {
        count_globally(|counts| counts.unmatched_ends += 1);
        return;
    };
    let reserved = EVENTS.reserve::<CommandRecord>(0);
    path::count(command.path, |counts| {
        counts.completed += 1;
        counts.timed_out = counts.timed_out.wrapping_sub(u64::from(command.timed_out));
        match reserved {
            Some(_) => counts.recorded += 1,
            None => counts.ring_full += 1,
        }
    });
    if let Some(mut entry) = reserved {
        entry.write(record(&command, cmd, now));
        // The collector reads on a timer: waking it for each command would cost more than all
        // the rest of this program.
        entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    }
}

#[inline(always)]
fn record(command: &CommandSlot, cmd: u64, now: u64) -> CommandRecord {
    let result = read::<u32>(cmd, layout!(cmnd_result)).unwrap_or(0);
    let sense = if result & 0xff == CHECK_CONDITION { sense(cmd) } else { None };
    let mut flags = command.flags;
    if command.timed_out != 0 {
        flags |= command_flag::LATE;
    }
    if sense.is_some() {
        flags |= command_flag::SENSE;
    }
    let [sense_key, asc, ascq] = sense.unwrap_or([0; 3]);
    CommandRecord {
        kind: record_kind::COMMAND,
        opcode: command.opcode,
        state: command.state,
        state_source: command.state_source,
        flags,
        sense_key,
        asc,
        ascq,
        path: command.path,
        route: command.route,
        bytes: command.bytes,
        dispatch_ns: command.dispatch_ns,
        completion_ns: now,
        lba: command.lba,
        result,
        retries: command.retries,
        cdb1: command.cdb1,
        cdb2: command.cdb2,
        reserved: 0,
    }
}

/// Key, asc and ascq of fixed (SPC-4 4.5.3) or descriptor (4.5.2) sense data.
#[inline(always)]
fn sense(cmd: u64) -> Option<[u8; 3]> {
    let buffer = read::<u64>(cmd, layout!(cmnd_sense_buffer))?;
    let sense = read::<[u8; 16]>(buffer, 0)?;
    match sense[0] & 0x7f {
        0x70 | 0x71 => Some([sense[2] & 0xf, sense[12], sense[13]]),
        0x72 | 0x73 => Some([sense[1] & 0xf, sense[2], sense[3]]),
        _ => None,
    }
}

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_error")]
pub fn scsi_dispatch_cmd_error(ctx: RawTracePointContext) -> i32 {
    match in_flight::take(ctx.arg::<u64>(0), End::Free) {
        Some(command) => path::count(command.path, |counts| counts.failed += 1),
        None => count_globally(|counts| counts.unmatched_ends += 1),
    }
    0
}

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_timeout")]
pub fn scsi_dispatch_cmd_timeout(ctx: RawTracePointContext) -> i32 {
    match in_flight::take(ctx.arg::<u64>(0), End::MarkTimedOut) {
        // A timer that the driver resets may fire more than once for one command.
        Some(command) if command.timed_out == 0 => {
            path::count(command.path, |counts| counts.timed_out += 1);
        }
        Some(_) => {}
        None => count_globally(|counts| counts.unmatched_ends += 1),
    }
    0
}
