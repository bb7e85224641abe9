//! The calls of `bpf(2)` that aya does not offer: programs of a few instructions, and runs of a
//! program by `BPF_PROG_TEST_RUN`.

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use anyhow::{Result, bail};
use aya::Pod;

#[repr(transparent)]
#[derive(Clone, Copy)]
pub struct Wire<T>(pub T);
// SAFETY: wire structures are integers without padding.
unsafe impl<T: Copy + 'static> Pod for Wire<T> {}

/// `bpf(2)` commands and constants of `include/uapi/linux/bpf.h` that aya does not offer.
pub mod sys {
    pub const MAP_CREATE: u32 = 0;
    pub const PROG_LOAD: u32 = 5;
    pub const PROG_TEST_RUN: u32 = 10;
    pub const OBJ_GET_INFO_BY_FD: u32 = 15;
    pub const MAP_TYPE_ARRAY: u32 = 2;
    pub const F_MMAPABLE: u64 = 1 << 10;
    pub const PROG_TYPE_RAW_TRACEPOINT: u32 = 17;
}

pub fn bpf(command: u32, attributes: &mut [u64]) -> Result<i64> {
    // SAFETY: every attribute used here is laid out as the kernel expects it, its pointers
    // outlive the call, and the size is the array's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            std::mem::size_of_val(attributes),
        )
    };
    if result < 0 {
        bail!("bpf({command}): {}", std::io::Error::last_os_error());
    }
    Ok(result)
}

/// An array with one value of so many bytes, which can be mapped.
pub fn array(bytes: usize) -> Result<i64> {
    let mut attributes = [
        words(sys::MAP_TYPE_ARRAY, 4),
        words(u32::try_from(bytes)?, 1),
        sys::F_MMAPABLE,
        0,
        0,
        0,
        0,
        0,
    ];
    bpf(sys::MAP_CREATE, &mut attributes)
}

pub fn owned(descriptor: i64) -> OwnedFd {
    // SAFETY: bpf(2) has just given it to us.
    unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) }
}

pub const fn words(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// One instruction: opcode, registers, offset, immediate.
pub const fn instruction(code: u8, registers: u8, immediate: i32) -> u64 {
    code as u64 | (registers as u64) << 8 | (immediate as u32 as u64) << 32
}

pub fn load(program: &[u64]) -> Result<OwnedFd> {
    let license = c"GPL";
    let mut log = vec![0_u8; 1 << 16];
    let mut attributes = [
        words(sys::PROG_TYPE_RAW_TRACEPOINT, program.len() as u32),
        program.as_ptr() as u64,
        license.as_ptr() as u64,
        words(1, log.len() as u32),
        log.as_mut_ptr() as u64,
        0,
    ];
    match bpf(sys::PROG_LOAD, &mut attributes) {
        Ok(descriptor) => Ok(owned(descriptor)),
        Err(error) => bail!(
            "{error}: {}",
            String::from_utf8_lossy(&log).trim_matches('\0')
        ),
    }
}

/// A program that does nothing.
pub fn empty() -> Result<OwnedFd> {
    load(&[instruction(0xb7, 0, 0), instruction(0x95, 0, 0)])
}

/// A program that reads the clock, as each probe of a command does once.
pub fn clock() -> Result<OwnedFd> {
    const KTIME_GET_NS: i32 = 5;
    load(&[
        instruction(0x85, 0, KTIME_GET_NS),
        instruction(0xb7, 0, 0),
        instruction(0x95, 0, 0),
    ])
}

pub fn run(program: RawFd, argument: u64) -> Result<()> {
    let context = [argument];
    // prog_fd and retval, four words of data, repeat, ctx_size_in, ctx_in, ctx_out, flags, batch
    let mut attributes = [
        words(program as u32, 0),
        0,
        0,
        0,
        0,
        words(8, 0),
        context.as_ptr() as u64,
        0,
        0,
        0,
    ];
    bpf(sys::PROG_TEST_RUN, &mut attributes).map(drop)
}

/// Run time in ns and runs, by the kernel's statistics.
pub fn run_time(program: RawFd) -> Result<(u64, u64)> {
    // `struct bpf_prog_info`; `run_time_ns` and `run_cnt` are at 192 and 200.
    let mut info = [0_u64; 30];
    let size = std::mem::size_of_val(&info) as u32;
    let mut attributes = [words(program as u32, size), info.as_mut_ptr() as u64];
    bpf(sys::OBJ_GET_INFO_BY_FD, &mut attributes)?;
    Ok((info[24], info[25]))
}
