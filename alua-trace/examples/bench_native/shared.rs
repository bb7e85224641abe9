//! The value of a BPF array in this process's memory (`BPF_F_MMAPABLE`).

use std::{
    ops::{Deref, DerefMut},
    os::fd::{AsRawFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
};

use anyhow::{Context, Result};

/// As long as it lives, the bytes that programs see.
pub struct Shared {
    bytes: NonNull<u8>,
    length: usize,
}

impl Shared {
    /// Of an array with one value of `length` bytes, a multiple of the page size.
    pub fn new(map: &OwnedFd, length: usize) -> Result<Self> {
        // SAFETY: a new mapping, wherever the kernel likes.
        let mapped = unsafe {
            libc::mmap(
                ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                map.as_raw_fd(),
                0,
            )
        };
        if mapped == libc::MAP_FAILED {
            return Err(std::io::Error::last_os_error()).context("failed to map the array");
        }
        let bytes = NonNull::new(mapped.cast()).context("mapped at address 0")?;
        Ok(Self { bytes, length })
    }
}

impl Deref for Shared {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped until dropped; programs only read it, but for the one that stores an address
        // before anything else is there.
        unsafe { slice::from_raw_parts(self.bytes.as_ptr(), self.length) }
    }
}

impl DerefMut for Shared {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.bytes.as_ptr(), self.length) }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no reference outlives it.
        unsafe { libc::munmap(self.bytes.as_ptr().cast(), self.length) };
    }
}
