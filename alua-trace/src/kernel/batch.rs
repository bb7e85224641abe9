//! Whole maps in one system call, where the kernel can: `BPF_MAP_LOOKUP_BATCH` (arrays since Linux
//! 5.6, arrays by CPU since 5.13). aya has no such call.

use std::{
    io,
    mem::{MaybeUninit, size_of},
    os::fd::{AsRawFd, BorrowedFd},
};

/// `enum bpf_cmd` (include/uapi/linux/bpf.h).
const BPF_MAP_LOOKUP_BATCH: i32 = 24;

/// `union bpf_attr`, its `batch` member.
#[repr(C)]
#[derive(Default)]
struct Batch {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// The first `entries` values of an array map, in order. A map by CPU gives the values of every
/// possible CPU for one index after the other: `per_entry` is their number, 1 for other maps.
///
/// # Errors
/// The kernel does not offer this for the map (`EINVAL`, `ENOTSUPP`), or not to this process.
///
/// # Safety
/// `T` is the map's value, its size a multiple of 8, and any bytes are valid for it.
pub(super) unsafe fn values<T: Copy>(
    map: BorrowedFd<'_>,
    entries: u32,
    per_entry: usize,
) -> io::Result<Vec<T>> {
    let length = entries as usize * per_entry;
    let mut keys = vec![0_u32; entries as usize];
    let mut values: Vec<MaybeUninit<T>> = Vec::with_capacity(length);
    let (mut read, mut next) = (0, 0_u32);
    while read < entries {
        let mut batch = Batch {
            in_batch: if read == 0 { 0 } else { &raw const next as u64 },
            out_batch: &raw mut next as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.spare_capacity_mut().as_mut_ptr() as u64,
            count: entries - read,
            map_fd: u32::try_from(map.as_raw_fd()).unwrap_or(u32::MAX),
            ..Batch::default()
        };
        // SAFETY: the pointers are to memory of ours, of the lengths that `count` says.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                BPF_MAP_LOOKUP_BATCH,
                &raw mut batch,
                size_of::<Batch>(),
            )
        };
        let error = io::Error::last_os_error();
        // With ENOENT the map is at its end, and `count` values were read.
        let ended = result != 0 && error.raw_os_error() == Some(libc::ENOENT);
        if result != 0 && !ended || batch.count == 0 {
            return Err(error);
        }
        // SAFETY: the kernel has written so many values.
        unsafe { values.set_len(values.len() + batch.count as usize * per_entry) };
        read += batch.count;
    }
    // SAFETY: all have been written, and any bytes are valid for `T`.
    Ok(values
        .into_iter()
        .map(|it| unsafe { it.assume_init() })
        .collect())
}
