//! `bpf(2)`, for what aya does not offer.

use std::{
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd};

/// Attributes that say nothing.
pub(super) fn nothing() -> bpf_attr {
    // SAFETY: all zeroes are valid for each of its members.
    unsafe { mem::zeroed() }
}

/// Calls it with a command that gives a descriptor.
///
/// # Errors
/// The kernel's.
pub(super) fn open(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    // SAFETY: the kernel has just given it to us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Writes the value of an array that has one, and keeps it from being written again.
///
/// # Errors
/// The kernel's.
pub(super) fn set_value(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let (key, map) = (0_u32, map.as_raw_fd() as u32);
    let mut attributes = nothing();
    // SAFETY: this member is what BPF_MAP_UPDATE_ELEM takes, and all zeroes are valid for it.
    let element = unsafe { &mut attributes.__bindgen_anon_2 };
    element.map_fd = map;
    element.key = &raw const key as u64;
    element.__bindgen_anon_1.value = value.as_ptr() as u64;
    call(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes)?;
    let mut attributes = nothing();
    attributes.__bindgen_anon_2.map_fd = map;
    call(bpf_cmd::BPF_MAP_FREEZE, &mut attributes).map(drop)
}

/// Calls it.
///
/// # Errors
/// The kernel's.
pub(super) fn call(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: the attributes are those of the command, their pointers outlive the call, and the size is theirs.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw mut *attributes,
            size_of::<bpf_attr>(),
        )
    };
    match RawFd::try_from(result) {
        Ok(fd) if fd >= 0 => Ok(fd),
        _ => Err(io::Error::last_os_error()),
    }
}
