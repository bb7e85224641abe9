//! What the next command on a device goes by: its path, route and state, where the device's address hashes to. One cache
//! line for each dispatch; the tables behind it ([`crate::path`]) are only looked at when it does not know.
//!
//! An entry is one device's for as long as a generation lasts: what is found in it is that device's, and what changes within
//! a generation, the route, is written to no other's.

use alua_trace_ebpf::{Followed, SHORTCUT_WAYS, Shortcut};

use crate::{
    kernel::{add, fence, machine},
    maps::{SHORTCUTS, home},
};

/// What is known of the device at `sdev` since `generation`.
#[inline(always)]
pub fn find(sdev: u64, generation: u64) -> Option<Followed> {
    let set = set_of(sdev);
    for way in 0..SHORTCUT_WAYS {
        // SAFETY: within the set; others may be writing, whose writes `generation` shows.
        unsafe {
            let entry = &raw const (*set)[way];
            if (&raw const (*entry).sdev).read_volatile() != sdev
                || (&raw const (*entry).generation).read_volatile() != generation
            {
                continue;
            }
            fence();
            let followed = (&raw const (*entry).followed).read_volatile();
            fence();
            if (&raw const (*entry).generation).read_volatile() == generation {
                return Some(followed);
            }
        }
    }
    None
}

/// Has the next command on the device at `sdev` go by `followed`, where there is room. Not inlined: rarely run.
#[inline(never)]
pub fn make(sdev: u64, generation: u64, followed: u64) {
    let set = set_of(sdev);
    for way in 0..SHORTCUT_WAYS {
        // SAFETY: within the set; writers take turns.
        unsafe {
            let entry = &raw mut (*set)[way];
            let writers = &raw mut (*entry).writers;
            add(writers, 1);
            fence();
            let is_alone = writers.read_volatile() == 1;
            let is_others = (&raw const (*entry).generation).read_volatile() == generation
                && (&raw const (*entry).sdev).read_volatile() != sdev;
            if is_alone && !is_others {
                (&raw mut (*entry).generation).write_volatile(0);
                fence();
                (&raw mut (*entry).sdev).write_volatile(sdev);
                (&raw mut (*entry).followed).write_volatile(Followed(followed));
                fence();
                (&raw mut (*entry).generation).write_volatile(generation);
            }
            fence();
            add(writers, u64::MAX);
            if !is_others {
                return;
            }
        }
    }
}

/// Has the next command on the device at `sdev` go by this route. Not inlined: rarely run.
#[inline(never)]
pub fn set_route(sdev: u64, generation: u64, route: u64) {
    let set = set_of(sdev);
    for way in 0..SHORTCUT_WAYS {
        // SAFETY: within the set; the route is written whole.
        unsafe {
            let entry = &raw mut (*set)[way];
            if (&raw const (*entry).sdev).read_volatile() == sdev
                && (&raw const (*entry).generation).read_volatile() == generation
            {
                let followed = (&raw mut (*entry).followed).cast::<[u16; 4]>();
                (&raw mut (*followed)[Followed::ROUTE]).write_volatile(route as u16);
                return;
            }
        }
    }
}

#[inline(always)]
fn set_of(sdev: u64) -> *mut [Shortcut; SHORTCUT_WAYS] {
    SHORTCUTS.of(u64::from(home(sdev)), machine!(last_shortcut))
}
