//! Dispatch and end of SCSI commands: the four `scsi_dispatch_cmd_*` raw tracepoints.
//!
//! `scsi_dispatch_cmd` itself is inlined in every kernel looked at, so its tracepoints are its
//! probes. `_start` comes right before the low-level driver's `queuecommand`; then exactly one of
//! `_done`, `_error` (refused, to be dispatched again) or `_timeout` follows, except that a
//! command whose timer the driver resets completes after its `_timeout`.

use alua_trace_ebpf::{
    CommandRecord, CommandSlot, Control, Followed, NO_ROUTE, NON_OPTIMIZED_QUIET_NS, command_flag,
    record_kind, telling,
};
use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP, helpers::bpf_ktime_get_ns, macros::raw_tracepoint,
    programs::RawTracePointContext,
};

use crate::{
    dm_multipath,
    ended::{Each, Ended, Typed, Window, number_of, window_of},
    histograms::{Place, Sample, count_unlogged},
    in_flight::{self, End},
    kernel::{Reader, cast, layout, machine, read},
    logs::Log,
    management,
    maps::{CONTROL, EVENTS, NOTICED, count_globally, count_globally_interrupted},
    path::{self, count_interrupted},
    shortcuts,
};

/// `REQ_OP_DRV_IN` and `REQ_OP_DRV_OUT` are 34 and 35 in every kernel that has them; `REQ_OP_SCSI_IN`
/// and `REQ_OP_SCSI_OUT`, which SCSI used before 5.16, are 32 and 33, which nothing else ever was.
const PASSTHROUGH: u32 = 32;
/// These four among the operations in `request.cmd_flags` (`REQ_OP_MASK`).
const PASSTHROUGH_MASK: u32 = 0xff & !3;

/// Status byte CHECK CONDITION (SAM-5 5.3.1): sense data is there.
const CHECK_CONDITION: u32 = 0x02;

/// Indices of [`state_index`].
const OPTIMIZED: usize = 0;
const UNKNOWN: usize = 7;

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_start")]
pub fn scsi_dispatch_cmd_start(ctx: RawTracePointContext) -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    dispatched(&ctx, ctx.arg::<u64>(0), now);
    0
}

#[inline(always)]
fn dispatched(ctx: &RawTracePointContext, cmd: u64, now: u64) -> Option<()> {
    let tail = Tail::read(cmd)?;
    let place = in_flight::claim(cmd);
    let control = CONTROL.get();
    let path = path::find(ctx, control, tail.sdev);
    let mut command = CommandSlot {
        cmd,
        dispatch_ns: now,
        followed: path,
    };
    if now < NOTICED.get().watch_waits_until_ns {
        command.followed = path.with(command_flag::WAITED);
    }
    // Most commands: what comes from a map through dm's requests is block I/O.
    if is_of_dm_request(control, &tail) && has_known_route(control, path) {
        count_block_io(path, now);
        in_flight::keep(place, &command);
        return Some(());
    }
    let (mpath_io, flags) = mpath_io(control, cmd, &tail);
    let route = if mpath_io == 0 {
        NO_ROUTE
    } else if has_known_route(control, path) {
        path.route()
    } else {
        route(ctx, control, path, (tail.sdev, mpath_io))
    };
    command.followed = command.followed.with_route(route).with_all(flags);
    if mpath_io == 0 && is_passthrough(request_of(cmd)) {
        command.followed = command.followed.with(command_flag::PASSTHROUGH);
        path::count(path.path(), |counts| counts.passthrough += 1);
        in_flight::keep(place, &command);
        management::dispatched(cmd, u64::from(path.path()), now);
        return Some(());
    }
    count_block_io(path, now);
    in_flight::keep(place, &command);
    Some(())
}

/// The route of a command by what dm has chosen for it, or [`NO_ROUTE`].
#[inline(always)]
fn route(
    ctx: &RawTracePointContext,
    control: &Control,
    path: Followed,
    (sdev, mpath_io): (u64, u64),
) -> u16 {
    let pgpath = dm_multipath::pgpath(control, mpath_io);
    if pgpath == 0 {
        return NO_ROUTE;
    }
    let route = dm_multipath::find(ctx, control, pgpath, path.route());
    if route != NO_ROUTE && route != path.route() {
        path::remember_route(u64::from(path.path()), u64::from(route));
        shortcuts::set_route(sdev, control.generation, u64::from(route));
    }
    route
}

/// The end of a request and the beginning of its `scsi_cmnd`, which follows it: in every kernel
/// looked at they are `end_io`, `end_io_data` and `device`, which the collector checks.
#[repr(C)]
struct Tail {
    end_io: u64,
    end_io_data: u64,
    sdev: u64,
}

impl Tail {
    #[inline(always)]
    fn read(cmd: u64) -> Option<Self> {
        let (request, end_io) = (request_of(cmd), layout!(request_end_io));
        if layout!(cmnd_device) == 0 && machine!(cast_type) != 0 {
            let tail = cast(request.wrapping_add(u64::from(end_io))).cast::<Self>();
            // SAFETY: a load that faults gives 0 (`BPF_PROBE_MEM`). One by one: each is one instruction.
            return unsafe {
                Some(Self {
                    end_io: (&raw const (*tail).end_io).read_volatile(),
                    end_io_data: (&raw const (*tail).end_io_data).read_volatile(),
                    sdev: (&raw const (*tail).sdev).read_volatile(),
                })
            };
        }
        if layout!(cmnd_device) == 0 {
            return read::<Self>(request, end_io);
        }
        // Before 5.16 `device` is further down.
        let [end_io, end_io_data] = read::<[u64; 2]>(request, end_io)?;
        Some(Self {
            end_io,
            end_io_data,
            sdev: read::<u64>(cmd, layout!(cmnd_device))?,
        })
    }
}

/// The request a `scsi_cmnd` belongs to (`scsi_cmd_to_rq`, `blk_mq_rq_from_pdu`).
#[inline(always)]
fn request_of(cmd: u64) -> u64 {
    cmd.wrapping_sub(u64::from(layout!(request_size)))
}

#[inline(always)]
fn count_block_io(path: Followed, now: u64) {
    let state = usize::from(path.state_index());
    let offence = state != OPTIMIZED && state != UNKNOWN;
    path::count(path.path(), |counts| {
        counts.dispatched_by_state[state] += 1;
        if offence {
            if now.wrapping_sub(counts.non_optimized_last_ns) > NON_OPTIMIZED_QUIET_NS {
                counts.non_optimized_first_ns = now;
            }
            counts.non_optimized_last_ns = now;
        }
    });
    if offence {
        count_globally(|counts| counts.not_optimized += 1);
    }
}

/// Whether the route of the path's last command is that of each: the path has one, and no map has got a new table since.
#[inline(always)]
fn has_known_route(control: &Control, path: Followed) -> bool {
    // SAFETY: a word of it. Volatile, so that the compiler does not load it before the rest is known to hold.
    let resumed_ns = || unsafe { (&raw const (*NOTICED.as_ptr()).resumed_ns).read_volatile() };
    path.route() != NO_ROUTE && control.routes_known_ns > resumed_ns()
}

/// Whether a request is dm's clone of another one (`dm_mq_queue_rq`, `map_request`): its end tells.
#[inline(always)]
fn is_of_dm_request(control: &Control, tail: &Tail) -> bool {
    control.end_clone_request != 0 && tail.end_io == control.end_clone_request
}

/// Where a request has the `dm_mpath_io` it was routed by, or 0, and the flags that say how it was found.
#[inline(always)]
fn mpath_io(control: &Control, cmd: u64, tail: &Tail) -> (u64, u64) {
    if is_of_dm_request(control, tail) {
        return (
            dm_multipath::mpath_io_of_request(control, tail.end_io_data),
            0,
        );
    }
    if control.bio_based != 0 {
        let mpath_io = dm_multipath::mpath_io_of_bio(control, request_of(cmd));
        if mpath_io != 0 {
            return (mpath_io, u64::from(command_flag::BIO_BASED));
        }
    }
    (0, 0)
}

#[inline(always)]
fn is_passthrough(request: u64) -> bool {
    let flags = read::<u32>(request, layout!(request_cmd_flags)).unwrap_or(0);
    flags & PASSTHROUGH_MASK == PASSTHROUGH
}

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_done")]
pub fn scsi_dispatch_cmd_done(ctx: RawTracePointContext) -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    let cmd = ctx.arg::<u64>(0);
    if machine!(cast_type) != 0 {
        completed(cmd, now, Typed::new(cast(window_of(cmd))));
    } else {
        completed(cmd, now, Window::new());
    }
    0
}

/// The same for a kernel that tells the verifier what the tracepoint's argument is. Loaded by
/// `kernel::typed` as `BPF_PROG_TYPE_TRACING`; the section is one that it finds.
#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_done_typed")]
pub fn scsi_dispatch_cmd_done_typed(ctx: RawTracePointContext) -> i32 {
    // SAFETY: takes no arguments and cannot fail.
    let now = unsafe { bpf_ktime_get_ns() };
    let cmd = ctx.arg::<u64>(0) as *const u8;
    // To the verifier what a module's tracepoint passes may be null (`btf_ctx_access`, since Linux 6.14).
    if !cmd.is_null() {
        completed(number_of(cmd), now, Typed::of(cmd));
    }
    0
}

#[inline(always)]
fn completed(cmd: u64, now: u64, mut ended: impl Ended) {
    let Some(command) = in_flight::take(cmd, End::Free) else {
        count_unmatched();
        return;
    };
    let told = match Log::claim() {
        Some(log) => {
            ended.read(cmd);
            let told = tell(&log, &command, now, &ended);
            log.release();
            told
        }
        None => tell_interrupted(cmd, command.dispatch_ns, command.followed.0, now),
    };
    if !told {
        // SAFETY: a field of the element.
        count_interrupted(command.followed.path(), 1, |it| unsafe {
            &raw mut (*it).ring_full
        });
    }
    // One test for most commands.
    if command
        .followed
        .has(command_flag::LATE | command_flag::PASSTHROUGH)
    {
        let path = command.followed.path();
        if command.followed.has(command_flag::LATE) {
            // SAFETY: a field of the element.
            count_interrupted(path, u64::MAX, |it| unsafe { &raw mut (*it).timed_out });
        }
        if command.followed.has(command_flag::PASSTHROUGH) {
            management::completed(cmd, u64::from(path), command.dispatch_ns, now);
        }
    }
}

/// Writes a record of the command, or counts it, as the collector wants; whether there was room for that.
#[inline(always)]
fn tell(log: &Log, command: &CommandSlot, now: u64, ended: &impl Ended) -> bool {
    let telling = log.telling();
    if telling != telling::EACH {
        let sample = Sample::new(command, now, ended);
        if let Some(place) = Place::find(log.cpu, &sample)
            && (telling == telling::BOTH || !place.wants_record(&sample, now))
            && place.count(&sample, telling != telling::BOTH)
            && telling != telling::BOTH
        {
            return true;
        }
    }
    if let Some(place) = log.place() {
        // SAFETY: nobody else uses the place now; every field is written.
        describe(unsafe { &mut *place.record }, command, now, ended);
        log.wrote(&place);
        return true;
    }
    telling == telling::BOTH || count_unlogged(log.cpu, &Sample::new(command, now, ended))
}

/// Tells of a command whose end interrupted the telling of another one, by the ring buffer: whether there was room. Not inlined:
/// rarely run. By value, as what it would be given a pointer to would lie on the stack for every command.
#[inline(never)]
fn tell_interrupted(cmd: u64, dispatch_ns: u64, followed: u64, now: u64) -> bool {
    let Some(mut entry) = EVENTS.reserve::<CommandRecord>(0) else {
        return false;
    };
    let command = CommandSlot {
        cmd,
        dispatch_ns,
        followed: Followed(followed),
    };
    // SAFETY: the entry is a record's memory; every field is written.
    let record = unsafe { &mut *entry.as_mut_ptr() };
    describe(record, &command, now, &Each(cmd));
    entry.submit(u64::from(BPF_RB_NO_WAKEUP));
    true
}

/// The end of a command that is not followed.
#[inline(always)]
fn count_unmatched() {
    // SAFETY: a field of the element.
    count_globally_interrupted(|it| unsafe { &raw mut (*it).unmatched_ends });
}

/// Writes the record of a command that has completed.
#[inline(always)]
fn describe(record: &mut CommandRecord, command: &CommandSlot, now: u64, ended: &impl Ended) {
    record.result = ended.result();
    record.bytes = ended.bytes();
    record.retries = ended.retries();
    record.cdb = ended.cdb();
    record.kind = record_kind::COMMAND;
    record.sense_key = 0;
    record.asc = 0;
    record.ascq = 0;
    record.dispatch_ns = command.dispatch_ns;
    record.completion_ns = now;
    record.followed = command.followed;
    record.waited_us = 0;
    if command.followed.has(command_flag::WAITED) {
        record.waited_us = waited_us(
            command.cmd,
            u64::from(command.followed.route()),
            command.dispatch_ns,
        );
    }
    if record.result & 0xff == CHECK_CONDITION
        && let Some([key, asc, ascq]) = sense(ended.sense_buffer())
    {
        record.followed = command.followed.with(command_flag::SENSE);
        (record.sense_key, record.asc, record.ascq) = (key, asc, ascq);
    }
}

/// From a command's submission to its dispatch, in µs: submission to the map (`dm_rq_target_io.orig`)
/// when it came through one, else to the disk. 0 when the block layer keeps no times
/// (`queue/iostats`), and for bio-based maps, whose requests are younger than their bios. Not
/// inlined: rarely run.
#[inline(never)]
fn waited_us(cmd: u64, route: u64, dispatch_ns: u64) -> u32 {
    let control = CONTROL.get();
    let mut kernel = Reader::new();
    let mut request = request_of(cmd);
    if route != u64::from(NO_ROUTE) {
        if kernel.u64(request, layout!(request_end_io)) != control.end_clone_request {
            return 0;
        }
        let tio = kernel.u64(request, layout!(request_end_io_data));
        request = kernel.u64(tio, control.dm.tio_orig);
    }
    let submitted_ns = kernel.u64(request, layout!(request_start_time_ns));
    kernel.finish();
    if submitted_ns == 0 || submitted_ns > dispatch_ns {
        return 0;
    }
    let waited_us = (dispatch_ns - submitted_ns) / 1000;
    if waited_us > u64::from(u32::MAX) {
        u32::MAX
    } else {
        waited_us as u32
    }
}

/// Key, asc and ascq of fixed (SPC-4 4.5.3) or descriptor (4.5.2) sense data.
#[inline(always)]
fn sense(buffer: u64) -> Option<[u8; 3]> {
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
        Some(command) => path::count(command.followed.path(), |counts| counts.failed += 1),
        None => count_unmatched(),
    }
    0
}

#[raw_tracepoint(tracepoint = "scsi_dispatch_cmd_timeout")]
pub fn scsi_dispatch_cmd_timeout(ctx: RawTracePointContext) -> i32 {
    match in_flight::take(ctx.arg::<u64>(0), End::MarkTimedOut) {
        // A timer that the driver resets may fire more than once for one command.
        Some(command) if !command.followed.has(command_flag::LATE) => {
            // SAFETY: a field of the element.
            count_interrupted(command.followed.path(), 1, |it| unsafe {
                &raw mut (*it).timed_out
            });
        }
        Some(_) => {}
        None => count_unmatched(),
    }
    0
}
