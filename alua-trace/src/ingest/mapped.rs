//! Memory of a BPF array in this process (`BPF_F_MMAPABLE`): what the probes write is there at once.

use std::{
    io,
    os::fd::BorrowedFd,
    ptr::{self, NonNull},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The values of an array, as long as this lives.
#[derive(Debug)]
pub struct Mapped<T> {
    first: NonNull<T>,
    length: usize,
}

impl<T> Mapped<T> {
    /// Maps `length` values of an array: `T` is what each of them is, of a size that is a multiple of 8.
    ///
    /// # Errors
    /// The kernel's: not such an array, a shorter one, or no memory.
    pub fn new(map: BorrowedFd<'_>, length: usize) -> io::Result<Self> {
        Self::part(map, 0, length)
    }

    /// Maps `length` values from the one with number `first` on, which begins a page.
    ///
    /// # Errors
    /// As [`Self::new`]; or `first` does not begin a page.
    pub fn part(map: BorrowedFd<'_>, first: usize, length: usize) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, wherever the kernel likes.
        let mapped = unsafe {
            mmap(
                ptr::null_mut(),
                length * size_of::<T>(),
                access,
                MapFlags::SHARED,
                map,
                (first * size_of::<T>()) as u64,
            )
        }?;
        let first = NonNull::new(mapped.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { first, length })
    }

    /// How many values.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Where a value is. Others write there, too: it is read and written as shared memory is.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<NonNull<T>> {
        // SAFETY: within the mapping.
        (index < self.length).then(|| unsafe { self.first.add(index) })
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and no reference outlives it. It cannot fail for what was mapped.
        let _ = unsafe { munmap(self.first.as_ptr().cast(), self.length * size_of::<T>()) };
    }
}

// SAFETY: the memory belongs to the mapping alone, whoever has it.
unsafe impl<T: Send> Send for Mapped<T> {}
