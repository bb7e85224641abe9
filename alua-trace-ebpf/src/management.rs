//! Commands about ownership, overheard with their data: who asks the array for which states, and
//! what the array answers, whoever asked.
//!
//! A command is dispatched by whatever thread runs the queue, so its issuer is noted in
//! `blk_execute_rq`, which every passthrough command goes through in the issuer's own context.

use core::hint::black_box;

use alua_trace_ebpf::{Control, MANAGEMENT_DATA, ManagementRecord, NO_PATH, handler, record_kind};
use aya_ebpf::{
    helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_probe_read_kernel, generated},
    macros::{kprobe, map},
    maps::{HashMap, LruHashMap, PerCpuArray},
    programs::ProbeContext,
};

use crate::{
    kernel::{Reader, layout, read},
    maps::{CONTROL, EVENTS, count_globally},
};

/// Who sent a command.
#[repr(C)]
#[derive(Clone, Copy)]
struct Issuer {
    pid: u32,
    handler: u32,
    comm: [u8; 16],
}

/// Issuers by request. Entries are never removed: a request is sent again through the same hook,
/// which replaces them.
#[map]
static ISSUERS: LruHashMap<u64, Issuer> = LruHashMap::with_max_entries(512, 0);

/// [`handler`] whose work a thread is doing, by thread.
#[map]
static HANDLER_WORKERS: HashMap<u64, u32> = HashMap::with_max_entries(1024, 0);

/// Room for a record while it is made: it is too large for the stack. One for commands that are
/// dispatched and one for those that end, because an end may interrupt a dispatch.
#[map]
static DRAFTS: PerCpuArray<ManagementRecord> = PerCpuArray::with_max_entries(2, 0);

/// `page_link` has two flags in its lowest bits (`SG_PAGE_LINK_MASK`).
const PAGE_LINK_FLAGS: u64 = 3;

/// The current thread works for a handler from now on.
pub fn work_begins(of: u8) {
    let _ = HANDLER_WORKERS.insert(bpf_get_current_pid_tgid(), u32::from(of), 0);
}

/// The current thread's work is done.
pub fn work_ends() {
    let _ = HANDLER_WORKERS.remove(bpf_get_current_pid_tgid());
}

/// `blk_status_t blk_execute_rq(struct request *rq, bool at_head)`; before 5.17 the request comes
/// later among the arguments.
#[kprobe]
pub fn blk_execute_rq(ctx: ProbeContext) -> u32 {
    issue(&ctx);
    0
}

/// `void blk_execute_rq_nowait(struct request *rq, bool at_head)`
#[kprobe]
pub fn blk_execute_rq_nowait(ctx: ProbeContext) -> u32 {
    issue(&ctx);
    0
}

#[inline(always)]
fn issue(ctx: &ProbeContext) -> Option<()> {
    let control = CONTROL.get();
    // All are read, and kept from being merged into one read at a computed offset, which the
    // verifier does not allow in a context.
    let arguments: [u64; 3] = [
        black_box(ctx.arg(0)?),
        black_box(ctx.arg(1)?),
        black_box(ctx.arg(2)?),
    ];
    let request = match control.execute_rq_argument {
        0 => arguments[0],
        1 => arguments[1],
        _ => arguments[2],
    };
    let cmd = request.wrapping_add(u64::from(layout!(request_size)));
    Direction::of(&issued_cdb(cmd)?)?;
    let worker = bpf_get_current_pid_tgid();
    // SAFETY: the value is copied at once.
    let handler = unsafe { HANDLER_WORKERS.get(worker) }.copied().unwrap_or(0);
    let issuer = Issuer {
        pid: (worker >> 32) as u32,
        handler,
        comm: bpf_get_current_comm().unwrap_or_default(),
    };
    let _ = ISSUERS.insert(request, issuer, 0);
    Some(())
}

/// Which way a command's data goes that tells of ownership.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// To the array: SET TARGET PORT GROUPS, MODE SELECT(6) and (10).
    Out,
    /// From the array: REPORT TARGET PORT GROUPS, INQUIRY of VPD page C9h.
    In,
}

impl Direction {
    #[inline(always)]
    fn of(cdb: &[u8; 12]) -> Option<Self> {
        let action = cdb[1] & 0x1f;
        match cdb[0] {
            0xa4 if action == 0x0a => Some(Self::Out),
            0x15 | 0x55 => Some(Self::Out),
            0xa3 if action == 0x0a => Some(Self::In),
            0x12 if cdb[1] & 1 != 0 && cdb[2] == 0xc9 => Some(Self::In),
            _ => None,
        }
    }
}

/// The first 12 bytes of the CDB of a command that is not prepared yet. Requests of other drivers
/// arrive here as well: a CDB that cannot be read is theirs and not counted as a failed read, and one
/// that looks like a command of ours is never matched with a dispatch.
#[inline(always)]
fn issued_cdb(cmd: u64) -> Option<[u8; 12]> {
    let mut source = cmd.wrapping_add(u64::from(in_window(layout!(window_cdb))));
    if layout!(cmnd_cdb_is_pointer) != 0 {
        let pointer = cmd.wrapping_add(u64::from(layout!(cmnd_issued_cdb)));
        // SAFETY: the helper copes with any address and reports a fault.
        source = unsafe { bpf_probe_read_kernel(pointer as *const u64) }.ok()?;
    }
    // SAFETY: as above.
    unsafe { bpf_probe_read_kernel(source as *const [u8; 12]) }.ok()
}

/// The first 12 bytes of a command's CDB.
#[inline(always)]
fn cdb(cmd: u64) -> Option<[u8; 12]> {
    let offset = in_window(layout!(window_cdb));
    if layout!(cmnd_cdb_is_pointer) != 0 {
        return read::<[u8; 12]>(read::<u64>(cmd, offset)?, 0);
    }
    read::<[u8; 12]>(cmd, offset)
}

/// Offset in `scsi_cmnd` of what lies there in the window.
#[inline(always)]
fn in_window(offset: u32) -> u32 {
    layout!(window_start).wrapping_add(offset)
}

/// A passthrough command is dispatched. Not inlined: rarely run.
#[inline(never)]
pub fn dispatched(cmd: u64, path: u64, dispatch_ns: u64) -> u32 {
    if let Some(cdb) = cdb(cmd)
        && Direction::of(&cdb) == Some(Direction::Out)
    {
        tell(0, cmd, &cdb, path, dispatch_ns, 0);
    }
    0
}

/// A passthrough command has ended. Not inlined: rarely run.
#[inline(never)]
pub fn completed(cmd: u64, path: u64, dispatch_ns: u64, completion_ns: u64) -> u32 {
    if let Some(cdb) = cdb(cmd)
        && Direction::of(&cdb) == Some(Direction::In)
    {
        tell(1, cmd, &cdb, path, dispatch_ns, completion_ns);
    }
    0
}

#[inline(always)]
fn tell(
    draft: u32,
    cmd: u64,
    cdb: &[u8; 12],
    path: u64,
    dispatch_ns: u64,
    completion_ns: u64,
) -> Option<()> {
    let control = CONTROL.get();
    let record = DRAFTS.get_ptr_mut(draft)?;
    // SAFETY: this CPU's draft, which only this program uses.
    let record = unsafe { &mut *record };
    let request = cmd.wrapping_sub(u64::from(layout!(request_size)));
    record.kind = record_kind::MANAGEMENT;
    record.handler = handler::NONE;
    record.path = if path > u64::from(NO_PATH) {
        NO_PATH
    } else {
        path as u16
    };
    record.dispatch_ns = dispatch_ns;
    record.completion_ns = completion_ns;
    record.pid = 0;
    record.comm = [0; 16];
    record.cdb = *cdb;
    record.reserved = 0;
    // SAFETY: the entry is not removed while it is read; at worst it is replaced.
    if let Some(issuer) = unsafe { ISSUERS.get(request) } {
        record.handler = issuer.handler as u8;
        record.pid = issuer.pid;
        record.comm = issuer.comm;
    }
    record.result = if completion_ns == 0 {
        0
    } else {
        read::<u32>(cmd, in_window(layout!(window_result))).unwrap_or(0)
    };
    record.length = copy_data(control, cmd, &mut record.data);
    if EVENTS.output::<ManagementRecord>(&*record, 0).is_err() {
        count_globally(|counts| counts.lost_records += 1);
    }
    Some(())
}

/// Copies the first bytes of a command's data: what its first scatterlist entry holds of them.
#[inline(always)]
fn copy_data(control: &Control, cmd: u64, into: &mut [u8; MANAGEMENT_DATA]) -> u32 {
    let buffer = &control.buffer;
    if buffer.page_offset_base | buffer.page_offset == 0 || buffer.page_struct_size == 0 {
        return 0;
    }
    let mut kernel = Reader::new();
    let list = kernel.u64(cmd, buffer.cmnd_sgl);
    let bytes = kernel.u32(cmd, in_window(layout!(window_sdb_length)));
    let page = kernel.u64(list, buffer.sg_page_link) & !PAGE_LINK_FLAGS;
    let offset = kernel.u32(list, buffer.sg_offset);
    let in_entry = kernel.u32(list, buffer.sg_offset + 4);
    let (first_page, first_byte) = if buffer.page_offset == 0 {
        (
            kernel.u64(buffer.vmemmap_base, 0),
            kernel.u64(buffer.page_offset_base, 0),
        )
    } else {
        (buffer.vmemmap, buffer.page_offset)
    };
    let number = page.wrapping_sub(first_page) / u64::from(buffer.page_struct_size);
    let source = first_byte
        .wrapping_add(number << (buffer.page_shift & 63))
        .wrapping_add(u64::from(offset));
    let mut length = if bytes < in_entry { bytes } else { in_entry };
    if length > MANAGEMENT_DATA as u32 {
        length = MANAGEMENT_DATA as u32;
    }
    // SAFETY: `length` bytes of `into` are ours; the helper copes with any source address.
    let failed = unsafe {
        generated::bpf_probe_read_kernel(into.as_mut_ptr().cast(), length, source as *const _)
    };
    kernel.finish();
    if failed != 0 { 0 } else { length }
}
