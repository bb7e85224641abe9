//! Memory of a BPF array in this process (`BPF_F_MMAPABLE`): what the probes write is there at once.

use std::{
    cell::RefCell,
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    ptr::{self, NonNull},
    sync::Arc,
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

/// The values of an array from one on, of which only those are mapped that were asked for, and some more: all that is mapped
/// counts as memory of this process, used or not.
#[derive(Debug)]
pub struct Growing<T> {
    map: Arc<OwnedFd>,
    first: usize,
    most: usize,
    mapped: RefCell<Option<Mapped<T>>>,
}

impl<T> Growing<T> {
    /// `most` values from the one with number `first` on, which begins a page; `T` as in [`Mapped::new`].
    #[must_use]
    pub fn new(map: Arc<OwnedFd>, first: usize, most: usize) -> Self {
        Self {
            map,
            first,
            most,
            mapped: RefCell::default(),
        }
    }

    /// How many values.
    #[must_use]
    pub fn length(&self) -> usize {
        self.most
    }

    /// As [`Mapped::at`], until the next call. `None`, too, where there is no memory for a mapping.
    #[must_use]
    pub fn at(&self, index: usize) -> Option<NonNull<T>> {
        if index >= self.most {
            return None;
        }
        let mut mapped = self.mapped.borrow_mut();
        if mapped.as_ref().is_none_or(|it| it.length() <= index) {
            let length = (index + 1).next_power_of_two().min(self.most);
            *mapped = Mapped::part(self.map.as_fd(), self.first, length).ok();
        }
        mapped.as_ref()?.at(index)
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn what_is_asked_for_is_mapped_and_no_more() {
        let values = 4 * rustix::param::page_size() / size_of::<u64>();
        let map = memfd_create("array", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&map, (values * size_of::<u64>()) as u64).unwrap();
        let all = Mapped::<u64>::new(map.as_fd(), values).unwrap();
        let first = values / 2;
        for index in 0..values {
            // SAFETY: within the mapping.
            unsafe { all.at(index).unwrap().write(index as u64) };
        }
        let half = Growing::<u64>::new(Arc::new(map), first, first);
        for index in [0, 5, first - 1, 6] {
            // SAFETY: within the mapping.
            let value = unsafe { half.at(index).unwrap().read() };
            assert_eq!(value, (first + index) as u64);
        }
        assert_eq!(half.at(first), None);
        let mapped = |growing: &Growing<u64>| growing.mapped.borrow().as_ref().unwrap().length();
        assert_eq!(mapped(&half), first);
        let few = Growing::<u64>::new(Arc::clone(&half.map), 0, values);
        let _ = few.at(5);
        assert_eq!(mapped(&few), 8);
    }
}
