//! Reading kernel memory: the layout the collector resolved and typed reads; and what several CPUs need to agree.

use core::{
    arch::asm,
    intrinsics::{AtomicOrdering, atomic_xadd},
    mem::MaybeUninit,
    sync::atomic::{Ordering, compiler_fence},
};

use aya_ebpf::helpers::{bpf_probe_read_kernel, generated};

use crate::maps::count_globally_interrupted;

/// The mark of a field of [`ScsiLayout`](alua_trace_ebpf::ScsiLayout).
macro_rules! offset_mark {
    ($field:ident) => {{
        alua_trace_ebpf::LAYOUT_MARK
            + core::mem::offset_of!(alua_trace_ebpf::ScsiLayout, $field) as i32
    }};
}
pub(crate) use offset_mark;

/// One field of the running kernel's [`ScsiLayout`](alua_trace_ebpf::ScsiLayout).
macro_rules! layout {
    ($field:ident) => {
        $crate::kernel::constant::<{ $crate::kernel::offset_mark!($field) }>() as u32
    };
}
pub(crate) use layout;

/// One field of what this kernel and processor offer, [`Machine`](alua_trace_ebpf::Machine): as wide as a register, which is
/// what the compiler makes the fewest instructions of.
macro_rules! machine {
    ($field:ident) => {
        $crate::kernel::constant::<
            {
                alua_trace_ebpf::MACHINE_MARK
                    + core::mem::offset_of!(alua_trace_ebpf::Machine, $field) as i32
            },
        >()
    };
}
pub(crate) use machine;

/// The number that the collector puts in the place of `MARK` before it loads the program: one instruction, whose value
/// the verifier knows, so that it leaves out what can never be reached.
#[inline(always)]
pub fn constant<const MARK: i32>() -> u64 {
    let number: u64;
    // SAFETY: sets a register. The collector refuses numbers that an immediate operand would extend by its sign.
    unsafe {
        asm!("{0} = {1}", out(reg) number, const MARK, options(pure, nomem, nostack, preserves_flags));
        core::hint::assert_unchecked(number <= i32::MAX as u64);
    }
    number
}

/// A load of what lies `AT` bytes behind the offset that `MARK` stands for, from `place`: the collector puts the offset into
/// the load itself, and nothing in the place of the mark (`kernel::code`).
macro_rules! load {
    ($name:ident, $number:ident, $type:literal) => {
        /// A number at a marked offset from `place`, and `AT` bytes more.
        ///
        /// # Safety
        /// The verifier finds one there.
        #[inline(always)]
        pub unsafe fn $name<const MARK: i32, const AT: i32>(place: *const u8) -> $number {
            let number: u64;
            // SAFETY: as promised by the caller. The mark is gone before the program is loaded: its register may be
            // `place`'s.
            unsafe {
                asm!(
                    "{number} = {mark}",
                    concat!("{number} = *(", $type, " *)({place} + {at})"),
                    number = lateout(reg) number,
                    place = in(reg) place,
                    mark = const MARK,
                    at = const AT,
                    options(readonly, nostack, preserves_flags),
                );
                core::hint::assert_unchecked(number <= $number::MAX as u64);
            }
            number as $number
        }
    };
}

load!(load_word, u32, "u32");
load!(load_byte, u8, "u8");

/// The kernel's memory at `address`, to be loaded from without a helper: what cannot be read is 0. Where
/// [`Machine::cast_type`](alua_trace_ebpf::Machine) is not 0, for the first [`CAST_BYTES`](alua_trace_ebpf::CAST_BYTES).
#[inline(always)]
pub fn cast(address: u64) -> *const u8 {
    let place: u64;
    // SAFETY: a call of `bpf_rdonly_cast`, whose number the collector puts in, which gives the address back.
    unsafe {
        asm!(
            ".8byte {call}",
            call = const alua_trace_ebpf::CAST_CALL,
            in("r1") address,
            in("r2") machine!(cast_type),
            lateout("r0") place,
            lateout("r1") _, lateout("r2") _, lateout("r3") _, lateout("r4") _, lateout("r5") _,
            options(pure, nomem, nostack),
        );
    }
    place as *const u8
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
    if machine!(weakly_ordered) != 0 {
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
