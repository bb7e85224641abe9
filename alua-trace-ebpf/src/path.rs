//! Paths: the table from `scsi_device` address to path id, the access state, exact counts.
//!
//! A slot caches what does not change with every command. When the generation has moved on, the
//! next command on the path reads the kernel again, so that a freed and reused `scsi_device` or a
//! handler attached later is noticed.

use alua_trace_ebpf::{
    ABSENT, Control, MAX_PATHS, NO_PATH, PROBE_LENGTH, PathCounts, PathSlot, access_state,
    handler, state_source,
};
use aya_ebpf::programs::RawTracePointContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{claim, layout, read},
    maps::{CONTROL, PATH_COUNTS, PATHS, count_globally, generation, home_slot},
};

/// A slot that is not used again.
const RETIRED: u64 = 1;

/// A path and its access state at this moment.
#[derive(Clone, Copy)]
pub struct Known {
    /// Path id, or [`NO_PATH`].
    pub id: u16,
    /// State byte of the wire.
    pub state: u8,
    /// [`state_source`] of `state`.
    pub source: u8,
}

impl Known {
    const NONE: Self =
        Self { id: NO_PATH, state: access_state::UNKNOWN, source: state_source::NONE };
}

/// Adds to one of this CPU's counts of a path.
#[inline(always)]
pub fn count(path: u16, add: impl FnOnce(&mut PathCounts)) {
    if let Some(counts) = PATH_COUNTS.get_ptr_mut(u32::from(path)) {
        // SAFETY: this CPU's element of a per-CPU array.
        add(unsafe { &mut *counts });
    }
}

/// The path of a `scsi_device`, found or made.
#[inline(always)]
pub fn find(ctx: &RawTracePointContext, control: &Control, sdev: u64) -> Known {
    let mut id = home_slot(sdev, MAX_PATHS);
    if !is_fresh(control, id, sdev) {
        id = search(sdev);
    }
    match PATHS.get(id) {
        Some(slot) => known(control, slot, id as u16),
        None => table_full(ctx),
    }
}

/// The slot belongs to this device, and what it caches is not out of date.
#[inline(always)]
fn is_fresh(control: &Control, id: u32, sdev: u64) -> bool {
    PATHS.get(id).is_some_and(|slot| slot.sdev == sdev && slot.generation == generation(control))
}

/// Finds, makes or refreshes a device's slot: its id, or an id past the table when it is full.
/// Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(sdev: u64) -> u32 {
    let Some(control) = CONTROL.get(0) else { return MAX_PATHS };
    let home = home_slot(sdev, MAX_PATHS);
    for step in 0..PROBE_LENGTH {
        let id = (home + step) & (MAX_PATHS - 1);
        let Some(slot) = PATHS.get_ptr_mut(id) else { break };
        // SAFETY: `slot` points into the array; another CPU may be writing, which is what the
        // compare-and-swap is for.
        let mut current = unsafe { (&raw const (*slot).sdev).read_volatile() };
        if current == 0 {
            // Another CPU may take the slot first, for this very device.
            // SAFETY: as above.
            current = match claim(unsafe { &raw mut (*slot).sdev }, sdev) {
                0 => sdev,
                taken => taken,
            };
        }
        if current == sdev {
            // SAFETY: as above; concurrent refreshes write the same values.
            let slot = unsafe { &mut *slot };
            if slot.generation == generation(control) || refresh(control, slot, sdev) {
                return id;
            }
        }
    }
    MAX_PATHS
}

/// The state of a path's port group now.
#[inline(always)]
fn known(control: &Control, slot: &PathSlot, id: u16) -> Known {
    if slot.state_source == state_source::NONE {
        return Known { id, ..Known::NONE };
    }
    // `state` and `pref` are neighbours in every kernel looked at, and checked to be at load.
    let Some([state, preferred]) = read::<[u32; 2]>(slot.port_group, control.alua.pg_state) else {
        return Known { id, ..Known::NONE };
    };
    let preferred = if preferred != 0 { access_state::PREFERRED } else { 0 };
    Known { id, state: (state as u8 & access_state::MASK) | preferred, source: slot.state_source }
}

/// Reads again what a slot caches. False when the slot now belongs to the past: the address has
/// been given to another device.
#[inline(always)]
fn refresh(control: &Control, slot: &mut PathSlot, sdev: u64) -> bool {
    let first = slot.generation == 0;
    let target = read::<u32>(sdev, layout!(sdev_id)).unwrap_or(0);
    let channel = read::<u32>(sdev, layout!(sdev_channel)).unwrap_or(0);
    let lun = read::<u64>(sdev, layout!(sdev_lun)).unwrap_or(0);
    let host = read::<u64>(sdev, layout!(sdev_host))
        .and_then(|host| read::<u32>(host, layout!(host_no)))
        .unwrap_or(0);
    let same = slot.host == host
        && slot.channel == channel
        && slot.target == target
        && slot.lun == lun;
    if !first && !same {
        slot.sdev = RETIRED;
        return false;
    }
    slot.host = host;
    slot.channel = channel;
    slot.target = target;
    slot.lun = lun;
    refresh_state(control, slot, sdev, first);
    slot.generation = generation(control);
    true
}

/// Handler and port group of a path, and whether the state of the group is known.
#[inline(always)]
fn refresh_state(control: &Control, slot: &mut PathSlot, sdev: u64, first: bool) {
    slot.handler = handler_of(sdev);
    let port_group = if slot.handler == handler::ALUA && control.alua.dh_pg != ABSENT {
        read::<u64>(sdev, layout!(sdev_handler_data))
            .filter(|data| *data != 0)
            .and_then(|data| read::<u64>(data, control.alua.dh_pg))
            .unwrap_or(0)
    } else {
        0
    };
    if port_group != slot.port_group || port_group == 0 {
        slot.port_group = port_group;
        slot.state_source = state_source::NONE;
    }
    if port_group != 0 && slot.state_source == state_source::NONE {
        let asked = read::<u8>(port_group, control.alua.pg_transition_tmo).unwrap_or(0) != 0
            || read::<u32>(port_group, control.alua.pg_state).unwrap_or(0) != 0;
        if asked {
            slot.state_source =
                if first { state_source::HANDLER_DATA } else { state_source::RTPG_SEEN };
        }
    }
}

/// Which handler is attached, by the first letters of its name.
#[inline(always)]
fn handler_of(sdev: u64) -> u8 {
    let pointer = read::<u64>(sdev, layout!(sdev_handler)).unwrap_or(0);
    if pointer == 0 {
        return handler::NONE;
    }
    let name = read::<u64>(pointer, layout!(handler_name))
        .and_then(|name| read::<[u8; 4]>(name, 0))
        .unwrap_or([0; 4]);
    match &name {
        b"alua" => handler::ALUA,
        b"rdac" => handler::RDAC,
        _ => handler::OTHER,
    }
}

#[cold]
#[inline(always)]
fn table_full(ctx: &RawTracePointContext) -> Known {
    let mut first = false;
    count_globally(|counts| {
        counts.path_table_full += 1;
        first = counts.path_table_full == 1;
    });
    // Once per CPU: a full table does not empty again.
    if first {
        warn!(ctx, "path table full: commands on further devices are not traced");
    }
    Known::NONE
}
