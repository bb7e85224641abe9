//! Reading kernel memory: the layout the collector resolved and typed reads; and what several CPUs need to agree.

use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_xadd},
    mem::MaybeUninit,
    ptr,
    sync::atomic::{Ordering, compiler_fence},
};

use alua_trace_ebpf::{Machine, ScsiLayout};
use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

use crate::maps::count_globally_interrupted;

/// Offsets of the running kernel. Overridden at load and frozen: the verifier sees constants.
// The name is `alua_trace_ebpf::SCSI_LAYOUT_GLOBAL`; attributes take no constants.
#[unsafe(export_name = "SCSI_LAYOUT_8")]
pub static SCSI_LAYOUT: ScsiLayout = ScsiLayout {
    request_size: 0,
    request_cmd_flags: 0,
    request_end_io: 0,
    request_end_io_data: 0,
    request_bio: 0,
    cmnd_device: 0,
    cmnd_cdb_is_pointer: 0,
    window_start: 0,
    window_length: 0,
    window_cdb: 0,
    window_retries: 0,
    window_sdb_length: 0,
    window_result: 0,
    window_sense_buffer: 0,
    sdev_host: 0,
    sdev_id: 0,
    sdev_channel: 0,
    sdev_lun: 0,
    sdev_handler: 0,
    sdev_handler_data: 0,
    handler_name: 0,
    host_no: 0,
    request_start_time_ns: 0,
    cmnd_issued_cdb: 0,
};

/// What the kernel and the processor offer. Overridden at load and frozen.
// The name is `alua_trace_ebpf::MACHINE_GLOBAL`; attributes take no constants.
#[unsafe(export_name = "MACHINE")]
pub static MACHINE: Machine = Machine {
    log_records: 0,
    has_fetch: 0,
    weakly_ordered: 0,
    lanes: 0,
    lanes_are_shared: 0,
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
            count_failed_read();
            None
        }
    }
}

/// Reads several things and counts failures once, without a branch after each: every branch
/// doubles what the verifier has to look at.
pub struct Reader {
    failed: i64,
}

impl Reader {
    /// A reader that has not failed.
    #[inline(always)]
    pub fn new() -> Self {
        Self { failed: 0 }
    }

    /// Reads a `T` at `address + offset`; all zeroes when that fails.
    ///
    /// # Safety
    /// All zeroes are a valid `T`.
    #[inline(always)]
    pub unsafe fn get<T: Copy>(&mut self, address: u64, offset: u32) -> T {
        let source = address.wrapping_add(u64::from(offset)) as *const _;
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper copes with any source address, and fills `value` even when it
        // fails: with zeroes (`bpf_probe_read_kernel_common`).
        unsafe {
            self.failed |= generated::bpf_probe_read_kernel(
                value.as_mut_ptr().cast(),
                size_of::<T>() as u32,
                source,
            );
            value.assume_init()
        }
    }

    /// Reads a number.
    #[inline(always)]
    pub fn u64(&mut self, address: u64, offset: u32) -> u64 {
        // SAFETY: 0 is a number.
        unsafe { self.get(address, offset) }
    }

    /// Reads a number.
    #[inline(always)]
    pub fn u32(&mut self, address: u64, offset: u32) -> u32 {
        // SAFETY: 0 is a number.
        unsafe { self.get(address, offset) }
    }

    /// Counts a failure, if there was one.
    #[inline(always)]
    pub fn finish(self) {
        if self.failed != 0 {
            count_failed_read();
        }
    }
}

/// `word`, of which the verifier knows nothing any more: it goes on once with what several ways have come to, instead of
/// once for each. `unknown` is a number of which it knows nothing. For ways that are rarely taken.
#[inline(always)]
pub fn forget(mut word: u64, unknown: u64) -> u64 {
    // SAFETY: changes a register, and changes it back.
    unsafe {
        asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) word, in(reg) unknown, options(pure, nomem, nostack));
    }
    word
}

/// Adds to `*word`, wrapping around: `u64::MAX` takes 1 away. Nothing is fetched, because BPF
/// fetches, and compares and swaps, only since Linux 5.12.
#[inline(always)]
pub fn add(word: *mut u64, number: u64) {
    // SAFETY: callers pass a pointer into a map element.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(word, number) };
}

/// Adds 1 to a bucket, as [`add`] does.
#[inline(always)]
pub fn add_to_bucket(word: *mut u32) {
    // SAFETY: callers pass a pointer into a map element.
    unsafe { atomic_xadd::<u32, u32, { AtomicOrdering::Relaxed }>(word, 1) };
}

/// Adds 1 to `*word`, where [`Machine::has_fetch`], and gives what it was. A full barrier.
///
/// # Safety
/// `word` points into a map element.
#[inline(always)]
pub unsafe fn take_number(word: *mut u64) -> u64 {
    let mut number = 1;
    // SAFETY: as promised by the caller.
    unsafe {
        asm!(
            "{number} = atomic_fetch_add((u64 *)({word} + 0), {number})",
            word = in(reg) word,
            number = inout(reg) number,
            options(nostack),
        );
    }
    number
}

/// Puts `new` in the place of `old`, where [`Machine::has_fetch`]: whether `old` was there. A full barrier.
///
/// # Safety
/// `word` points into a map element.
#[inline(always)]
pub unsafe fn replace(word: *mut u64, old: u64, new: u64) -> bool {
    let mut found = old;
    // SAFETY: as promised by the caller. The instruction has its operand in r0.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({word} + 0, r0, {new})",
            word = in(reg) word,
            new = in(reg) new,
            inout("r0") found,
            options(nostack),
        );
    }
    found == old
}

/// Keeps loads, and stores, before it before those after it, for every other CPU. x86 does so by itself, for all but a
/// load after a store: there it is for the compiler alone, and where such a load matters an atomic add comes before.
#[inline(always)]
pub fn fence() {
    compiler_fence(Ordering::SeqCst);
    if load(&MACHINE.weakly_ordered) != 0 {
        let mut word = 0_u64;
        // An atomic operation that fetches is fully ordered (Documentation/bpf/standardization).
        // SAFETY: a word on the stack.
        unsafe {
            asm!(
                "{none} = atomic_fetch_add((u64 *)({word} + 0), {none})",
                word = in(reg) &raw mut word,
                none = inout(reg) 0_u64 => _,
            );
        }
    }
}

/// Counts a read of kernel memory that failed.
#[inline(always)]
pub fn count_failed_read() {
    // SAFETY: a field of the element.
    count_globally_interrupted(|it| unsafe { &raw mut (*it).failed_reads });
}
