//! Memory that the probes address directly: one instruction, where a look-up in an array takes ten.
//!
//! Each is a section of the object, which is loaded as an array with one element.

use core::{arch::asm, cell::UnsafeCell, mem::MaybeUninit};

/// A variable of the probes.
#[repr(transparent)]
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: what is in it are numbers, of which each user says who else may be writing them.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// All zeroes, as the kernel makes it.
    ///
    /// # Safety
    /// All zeroes are a valid `T`.
    pub const unsafe fn zeroed() -> Self {
        // SAFETY: as promised by the caller.
        Self(UnsafeCell::new(unsafe {
            MaybeUninit::zeroed().assume_init()
        }))
    }

    /// Its place.
    #[inline(always)]
    pub fn as_ptr(&self) -> *mut T {
        let mut place = self.0.get() as usize;
        // The collector writes some of them, which the compiler must not take for constants.
        // SAFETY: does nothing.
        unsafe {
            asm!("/* {0} */", inout(reg) place, options(pure, nomem, nostack, preserves_flags));
        }
        place as *mut T
    }

    /// What is in it, whoever writes it meanwhile.
    #[inline(always)]
    pub fn get(&self) -> &T {
        // SAFETY: it is always there, and valid.
        unsafe { &*self.as_ptr() }
    }
}

impl<T, const N: usize> Global<[T; N]> {
    /// The place of one of them, `N` of which, a power of two, are numbered in a circle.
    #[inline(always)]
    pub fn at(&self, index: u32) -> *mut T {
        const { assert!(N.is_power_of_two()) };
        self.as_ptr()
            .cast::<T>()
            .wrapping_add(index as usize & (N - 1))
    }
}

impl<T> Global<[T; 1]> {
    /// The place of one of as many as the collector has made room for, numbered in a circle: `last` is the highest
    /// number, one less than a power of two.
    #[inline(always)]
    pub fn of(&self, index: u64, last: u64) -> *mut T {
        self.as_ptr()
            .cast::<T>()
            .wrapping_add((index & last) as usize)
    }
}
