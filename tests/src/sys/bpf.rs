//! `bpf(2)`, as far as watching a watcher needs it: ids and run times of programs, and loading a small one.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Commands of `enum bpf_cmd`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Command {
    ProgLoad = 5,
    ProgGetNextId = 11,
    ProgGetFdById = 13,
    ObjGetInfoByFd = 15,
    RawTracepointOpen = 17,
    LinkGetNextId = 31,
}

/// Calls it with attributes as the command expects them.
///
/// # Errors
/// The kernel's.
fn call(command: Command, attributes: &mut [u64]) -> io::Result<RawFd> {
    // SAFETY: the attributes are laid out as the command expects them, their pointers outlive the call, and the
    // size is the array's.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            attributes.as_mut_ptr(),
            size_of_val(attributes),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as RawFd)
}

fn open(command: Command, attributes: &mut [u64]) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: these commands give a descriptor, which is nobody else's yet.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Loads a raw tracepoint program.
pub(crate) fn load(program: &[u64]) -> io::Result<OwnedFd> {
    const RAW_TRACEPOINT: u64 = 17;
    let license = c"GPL";
    // prog_type and insn_cnt, insns, license, log_level and log_size, log_buf, kern_version and prog_flags
    let mut attributes = [
        RAW_TRACEPOINT | (program.len() as u64) << 32,
        program.as_ptr() as u64,
        license.as_ptr() as u64,
        0,
        0,
        0,
    ];
    open(Command::ProgLoad, &mut attributes)
}

/// Attaches a program to a raw tracepoint, for as long as the descriptor lives.
pub(crate) fn attach(program: &OwnedFd, tracepoint: &std::ffi::CStr) -> io::Result<OwnedFd> {
    let mut attributes = [tracepoint.as_ptr() as u64, program.as_raw_fd() as u64];
    open(Command::RawTracepointOpen, &mut attributes)
}

/// Ids of one kind of object, by its GET_NEXT_ID command.
pub(crate) fn ids(command: Command) -> Vec<u32> {
    let mut found = Vec::new();
    // start_id and next_id, open_flags
    let mut attributes = [0; 2];
    while call(command, &mut attributes).is_ok() {
        let next = (attributes[0] >> 32) as u32;
        found.push(next);
        attributes = [u64::from(next), 0];
    }
    found
}

/// What the kernel tells of a program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) id: u32,
    /// While `kernel.bpf_stats_enabled` is 1.
    pub(crate) run_time_ns: u64,
    /// As above.
    pub(crate) runs: u64,
}

/// Every program there is.
pub(crate) fn programs() -> io::Result<Vec<Program>> {
    let ids = ids(Command::ProgGetNextId).into_iter();
    ids.map(program).collect()
}

fn program(id: u32) -> io::Result<Program> {
    let fd = open(Command::ProgGetFdById, &mut [u64::from(id), 0])?;
    // `struct bpf_prog_info`: `run_time_ns` is at 192, `run_cnt` at 200. All have the same first letters of a name.
    let mut info = [0_u64; 28];
    let length = size_of_val(&info) as u64;
    let mut attributes = [
        fd.as_raw_fd() as u64 | length << 32,
        info.as_mut_ptr() as u64,
    ];
    call(Command::ObjGetInfoByFd, &mut attributes)?;
    Ok(Program {
        id,
        run_time_ns: info[24],
        runs: info[25],
    })
}
