//! Attaching a program to a raw tracepoint or to a function, for as long as a descriptor lives.

use std::{
    ffi::CString,
    io, mem,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

use anyhow::{Context, Result};
use aya_obj::generated::{PERF_FLAG_FD_CLOEXEC, bpf_cmd, perf_event_attr};

use super::bpf::{nothing, open};
use crate::sysroot;

/// `PERF_EVENT_IOC_ENABLE` and `PERF_EVENT_IOC_SET_BPF` (include/uapi/linux/perf_event.h).
const ENABLE: libc::Ioctl = 0x2400;
const SET_BPF: libc::Ioctl = 0x4004_2408;

/// To a raw tracepoint; to the one that a typed program says where `name` is `None`.
///
/// # Errors
/// The kernel's: there is no such tracepoint.
pub(super) fn raw_tracepoint(program: BorrowedFd<'_>, name: Option<&str>) -> Result<OwnedFd> {
    let name = name.map(CString::new).transpose()?;
    let mut attributes = nothing();
    attributes.raw_tracepoint.name = name.as_ref().map_or(0, |it| it.as_ptr() as u64);
    attributes.raw_tracepoint.prog_fd = program.as_raw_fd() as u32;
    open(bpf_cmd::BPF_RAW_TRACEPOINT_OPEN, &mut attributes)
        .context("the tracepoint cannot be attached to")
}

/// To a function, or to its return: by the bare name, which works on kernels whatever the module is called, then with the
/// module's, which tells functions of equal name apart.
///
/// # Errors
/// The kernel's: there is no such function, or it must not be probed.
pub(super) fn function(
    program: BorrowedFd<'_>,
    name: &str,
    module: &str,
    is_return: bool,
) -> Result<OwnedFd> {
    let probe = sysroot::function_probe().context("the kernel has no probes of functions")?;
    let config = if is_return { 1 << probe.return_bit } else { 0 };
    let bare = match event(probe.kind, config, name) {
        Ok(event) => Ok(event),
        Err(bare) => event(probe.kind, config, &format!("{module}:{name}")).map_err(|_| bare),
    };
    let event = bare.context("the function cannot be probed")?;
    control(&event, SET_BPF, program.as_raw_fd()).context("the function cannot be probed")?;
    control(&event, ENABLE, 0).context("the function cannot be probed")?;
    Ok(event)
}

/// `perf_event_open(2)` for every task on all CPUs: a probe of a function is not one CPU's, whichever is given.
fn event(kind: u32, config: u64, function: &str) -> io::Result<OwnedFd> {
    let function = CString::new(function)?;
    // SAFETY: all zeroes are valid.
    let mut attributes: perf_event_attr = unsafe { mem::zeroed() };
    attributes.type_ = kind;
    attributes.size = size_of::<perf_event_attr>() as u32;
    attributes.config = config;
    attributes.__bindgen_anon_3.config1 = function.as_ptr() as u64;
    // SAFETY: the attributes and the name in them outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            -1,
            0,
            -1,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    match RawFd::try_from(result) {
        // SAFETY: the kernel has just given it to us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn control(event: &OwnedFd, request: libc::Ioctl, argument: RawFd) -> io::Result<()> {
    // SAFETY: both requests take a number.
    match unsafe { libc::ioctl(event.as_raw_fd(), request, argument) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
