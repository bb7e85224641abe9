//! Reading kernel memory: the layout the collector resolved, typed reads, and the atomic
//! operations that `core::sync::atomic` leaves out on this target.

use core::{
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_xadd},
    ptr,
};

use alua_trace_ebpf::ScsiLayout;
use aya_ebpf::helpers::bpf_probe_read_kernel;

use crate::maps::count_globally;

/// Offsets of the running kernel. Overridden at load and frozen: the verifier sees constants.
// The name is `alua_trace_ebpf::SCSI_LAYOUT_GLOBAL`; attributes take no constants.
#[unsafe(export_name = "SCSI_LAYOUT_1")]
pub static SCSI_LAYOUT: ScsiLayout = ScsiLayout {
    request_size: 0,
    request_cmd_flags: 0,
    request_end_io: 0,
    request_end_io_data: 0,
    request_bio: 0,
    cmnd_device: 0,
    cmnd_cdb: 0,
    cmnd_cdb_is_pointer: 0,
    cmnd_retries: 0,
    cmnd_sdb_length: 0,
    cmnd_result: 0,
    cmnd_sense_buffer: 0,
    sdev_host: 0,
    sdev_id: 0,
    sdev_channel: 0,
    sdev_lun: 0,
    sdev_handler: 0,
    sdev_handler_data: 0,
    handler_name: 0,
    host_no: 0,
};

/// One field of [`SCSI_LAYOUT`].
macro_rules! layout {
    ($field:ident) => {
        $crate::kernel::load(&$crate::kernel::SCSI_LAYOUT.$field)
    };
}
pub(crate) use layout;

/// Reads what the loader may have overridden: the compiler must not fold the zeroes above.
#[inline(always)]
pub fn load(field: &u32) -> u32 {
    // SAFETY: a reference is valid to read.
    unsafe { ptr::read_volatile(field) }
}

/// Reads a `T` at `address + offset`; counts a failure and gives `None`.
#[inline(always)]
pub fn read<T>(address: u64, offset: u32) -> Option<T> {
    let source = address.wrapping_add(u64::from(offset)) as *const T;
    // SAFETY: the helper copes with any address and reports a fault.
    match unsafe { bpf_probe_read_kernel(source) } {
        Ok(value) => Some(value),
        Err(_) => {
            count_globally(|counts| counts.failed_reads += 1);
            None
        }
    }
}

/// A field of type `T` in a window read earlier.
///
/// # Safety
/// `offset + size_of::<T>()` lies within `window`, and `offset` is aligned for `T`.
#[inline(always)]
pub unsafe fn field<T: Copy>(window: *const u8, offset: u32) -> T {
    // SAFETY: as promised by the caller; the verifier checks it again.
    unsafe { ptr::read(window.add(offset as usize).cast::<T>()) }
}

/// Claims `*word` for `new` if it is 0. Gives what was there before: 0 when the claim succeeded.
#[inline(always)]
pub fn claim(word: *mut u64, new: u64) -> u64 {
    const RELAXED: AtomicOrdering = AtomicOrdering::Relaxed;
    // SAFETY: callers pass a pointer into a map element; BPF has `cmpxchg` since Linux 5.12.
    unsafe { atomic_cxchg::<u64, RELAXED, RELAXED>(word, 0, new) }.0
}

/// Adds 1 to `*word`.
#[inline(always)]
pub fn increment(word: *mut u64) {
    // SAFETY: callers pass a pointer into a map element.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word, 1) };
}
