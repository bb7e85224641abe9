//! What is read of a command when it has ended, and how.

use core::{arch::asm, mem::MaybeUninit, ptr};

use alua_trace_ebpf::MAX_WINDOW;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;

use crate::kernel::{
    Reader, constant, count_failed_read, layout, load_byte, load_word, offset_mark,
};

/// A `scsi_cmnd` that has ended, by the way its members are read. What cannot be read is 0.
pub trait Ended {
    /// The member at `offset` of the window, which lies in it and is aligned for `T`: the collector has checked that when
    /// it made the layout. All zeroes are a valid `T`.
    fn member<T: Copy>(&self, offset: u32) -> T;

    /// The word at the offset that `MARK` stands for.
    #[inline(always)]
    fn word<const MARK: i32>(&self) -> u32 {
        self.member(constant::<MARK>() as u32)
    }

    /// The byte there.
    #[inline(always)]
    fn byte<const MARK: i32>(&self) -> u8 {
        self.member(constant::<MARK>() as u32)
    }

    /// Reads the command at `cmd`, before its members are asked for.
    #[inline(always)]
    fn read(&mut self, _cmd: u64) {}

    /// `scsi_cmnd.cmnd`, where it is an array.
    #[inline(always)]
    fn cmnd(&self) -> Cdb {
        self.member(layout!(window_cdb))
    }

    /// `scsi_cmnd.result`.
    #[inline(always)]
    fn result(&self) -> u32 {
        self.word::<{ offset_mark!(window_result) }>()
    }

    /// `scsi_cmnd.sdb.length`.
    #[inline(always)]
    fn bytes(&self) -> u32 {
        self.word::<{ offset_mark!(window_sdb_length) }>()
    }

    /// `scsi_cmnd.retries`.
    #[inline(always)]
    fn retries(&self) -> u32 {
        self.word::<{ offset_mark!(window_retries) }>()
    }

    /// The first 12 bytes of the CDB.
    #[inline(always)]
    fn cdb(&self) -> [u8; 12] {
        let cdb = if layout!(cmnd_cdb_is_pointer) != 0 {
            Cdb::behind(self.member(layout!(window_cdb)))
        } else {
            self.cmnd()
        };
        cdb.bytes()
    }

    /// The CDB's operation code.
    #[inline(always)]
    fn operation(&self) -> u8 {
        if layout!(cmnd_cdb_is_pointer) == 0 {
            return self.byte::<{ offset_mark!(window_cdb) }>();
        }
        let mut kernel = Reader::new();
        // SAFETY: 0 is an operation code.
        let operation = unsafe { kernel.get(self.member(layout!(window_cdb)), 0) };
        kernel.finish();
        operation
    }

    /// `scsi_cmnd.sense_buffer`.
    #[inline(always)]
    fn sense_buffer(&self) -> u64 {
        self.member(layout!(window_sense_buffer))
    }
}

/// The first 12 bytes of a CDB, moved by words: `scsi_cmnd.cmnd` is 4-byte aligned, which the collector checks.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Cdb([u32; 3]);

impl Cdb {
    #[inline(always)]
    fn bytes(self) -> [u8; 12] {
        // SAFETY: both are twelve bytes for which any value is valid.
        unsafe { core::mem::transmute(self.0) }
    }

    /// Where `scsi_cmnd.cmnd` is a pointer.
    #[inline(always)]
    fn behind(pointer: u64) -> Self {
        let mut kernel = Reader::new();
        // SAFETY: zeroes are a CDB.
        let cdb = unsafe { kernel.get(pointer, 0) };
        kernel.finish();
        cdb
    }
}

/// All of it in one go: a read costs more than the bytes it copies.
pub struct Window([MaybeUninit<u64>; MAX_WINDOW as usize / 8]);

impl Window {
    /// Room for a window, not zeroed: the helper fills what is used.
    #[inline(always)]
    pub fn new() -> Self {
        Self([MaybeUninit::uninit(); MAX_WINDOW as usize / 8])
    }
}

impl Ended for Window {
    #[inline(always)]
    fn member<T: Copy>(&self, offset: u32) -> T {
        let words = self.0.as_ptr().cast::<u8>();
        // SAFETY: within what was read, which the verifier checks again.
        unsafe { ptr::read(words.add(offset as usize).cast::<T>()) }
    }

    /// All of the window: zeroes, and counted, when that fails.
    #[inline(always)]
    fn read(&mut self, cmd: u64) {
        let length = layout!(window_length);
        if length > MAX_WINDOW {
            // Refused at load; this is for the verifier.
            return;
        }
        let source = window_of(cmd);
        // SAFETY: `length` bytes of `self` are ours; the helper copes with any source address.
        let failed = unsafe {
            bpf_probe_read_kernel(self.0.as_mut_ptr().cast(), length, source as *const _)
        };
        if failed != 0 {
            count_failed_read();
        }
    }
}

/// Where the window of the command at `cmd` begins.
#[inline(always)]
pub fn window_of(cmd: u64) -> u64 {
    cmd.wrapping_add(u64::from(layout!(window_start)))
}

/// Loads from a pointer whose type the verifier knows: no helper, and nothing is copied that is not used.
pub struct Typed(*const u8);

impl Typed {
    /// Of the window at `window`.
    #[inline(always)]
    pub fn new(window: *const u8) -> Self {
        Self(window)
    }

    /// Of the `scsi_cmnd` at `cmd`.
    #[inline(always)]
    pub fn of(cmd: *const u8) -> Self {
        Self(cmd.wrapping_add(layout!(window_start) as usize))
    }
}

impl Ended for Typed {
    #[inline(always)]
    fn member<T: Copy>(&self, offset: u32) -> T {
        // SAFETY: the verifier has checked that a number is there; a load that faults gives 0
        // (`BPF_PROBE_MEM`).
        unsafe { self.0.add(offset as usize).cast::<T>().read_volatile() }
    }

    #[inline(always)]
    fn word<const MARK: i32>(&self) -> u32 {
        // SAFETY: as in `member`.
        unsafe { load_word::<MARK, 0>(self.0) }
    }

    #[inline(always)]
    fn byte<const MARK: i32>(&self) -> u8 {
        // SAFETY: as in `member`.
        unsafe { load_byte::<MARK, 0>(self.0) }
    }

    #[inline(always)]
    fn cmnd(&self) -> Cdb {
        const CDB: i32 = offset_mark!(window_cdb);
        // SAFETY: as in `member`. A load is at most a word.
        unsafe {
            Cdb([
                load_word::<CDB, 0>(self.0),
                load_word::<CDB, 4>(self.0),
                load_word::<CDB, 8>(self.0),
            ])
        }
    }
}

/// A pointer's number. The verifier forbids all arithmetic on a typed pointer but adding to it; negated, it is a number
/// like any other (`check_alu_op`, where kernel addresses may be seen).
#[inline(always)]
pub fn number_of(pointer: *const u8) -> u64 {
    let mut number = pointer as u64;
    // SAFETY: changes a register, and changes it back.
    unsafe {
        asm!("{0} = -{0}", "{0} = -{0}", inout(reg) number, options(pure, nomem, nostack));
    }
    number
}

/// One by one, which needs no room on the stack: for what is rarely run.
pub struct Each(
    /// Address of the `scsi_cmnd`.
    pub u64,
);

impl Ended for Each {
    #[inline(always)]
    fn member<T: Copy>(&self, offset: u32) -> T {
        let mut kernel = Reader::new();
        // SAFETY: all zeroes are a valid `T`.
        let member = unsafe { kernel.get(self.0, layout!(window_start).wrapping_add(offset)) };
        kernel.finish();
        member
    }
}
