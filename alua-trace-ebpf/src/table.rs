//! Ids of kernel objects by their address. A set of candidates, where the address hashes to, is
//! looked at for every command; a hash map behind it has all of them.
//!
//! An id is taken from a queue that the collector fills, by one CPU: the hash map lets one of several
//! enter it for an address. The candidates are guesses that the address in the slot confirms: they
//! may be written by several at once.

use alua_trace_ebpf::{Candidates, RETIRED, WAYS};
use aya_ebpf::{
    bindings::BPF_NOEXIST,
    maps::{HashMap, Queue},
};

use crate::{globals::Global, maps::home};

/// The ids of one kind of object.
pub struct Ids<const SETS: usize> {
    pub candidates: &'static Global<[Candidates; SETS]>,
    pub given: &'static HashMap<u64, u32>,
    pub free: &'static Queue<u32>,
}

impl<const SETS: usize> Ids<SETS> {
    /// A candidate for the id of the object at `address`.
    #[inline(always)]
    pub fn candidate(&self, address: u64, way: usize) -> u32 {
        let set = self.candidates.at(home(address));
        // SAFETY: within the set; another CPU may be writing a candidate, whole.
        u32::from(unsafe { (&raw const (*set)[way & (WAYS - 1)]).read_volatile() })
    }

    /// The id that `address` was given.
    #[inline(always)]
    pub fn of(&self, address: u64) -> Option<u32> {
        // SAFETY: an element is written before it is in the map, and copied at once.
        unsafe { self.given.get(address) }.copied()
    }

    /// Takes an id that is nobody's.
    #[inline(always)]
    pub fn take(&self) -> Option<u32> {
        self.free.pop().ok().flatten()
    }

    /// Gives `id`, whose slot is filled, to `address`: whether nobody was quicker.
    #[inline(always)]
    pub fn give(&self, address: u64, id: u32) -> bool {
        let new = u64::from(BPF_NOEXIST);
        self.given.insert(address, id, new).is_ok()
    }

    /// Puts back an id that was taken and not given.
    #[inline(always)]
    pub fn put_back(&self, id: u32) {
        // There is room for every id.
        let _ = self.free.push(id, 0);
    }

    /// The object at `address` is another one than that of `id`: whoever is next gets an id of its own.
    ///
    /// # Safety
    /// `word` points to the address in the slot of `id`.
    #[inline(always)]
    pub unsafe fn retire(&self, address: u64, word: *mut u64) {
        // SAFETY: as promised by the caller.
        unsafe { word.write_volatile(RETIRED) };
        // Should another CPU have given it a new id meanwhile, it gets one more, which is no harm.
        let _ = self.given.remove(address);
    }

    /// Makes `id` a candidate for `address`. `address_of` gives the address in the slot of an id.
    #[inline(always)]
    pub fn remember(&self, address: u64, id: u32, address_of: impl Fn(u32) -> u64) {
        let set = self.candidates.at(home(address));
        // Where all are in use here, one of them is looked up in the hash map from now on.
        let mut way = id as usize & (WAYS - 1);
        for other in 0..WAYS {
            let held = address_of(self.candidate(address, other));
            if held == address || self.candidates.at(home(held)) != set {
                way = other;
                break;
            }
        }
        // SAFETY: within the set; candidates are written whole.
        unsafe { (&raw mut (*set)[way & (WAYS - 1)]).write_volatile(id as u16) };
    }
}
