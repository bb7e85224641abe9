//! Paths: the table from `scsi_device` address to path id, the access state, exact counts.
//!
//! A slot caches what does not change with every command. When the generation has moved on, the
//! next command on the path reads the kernel again, so that a freed and reused `scsi_device` or a
//! handler attached later is noticed.

use alua_trace_ebpf::{
    ABSENT, Control, MAX_PATHS, NO_CONTROLLER, NO_PATH, PROBE_LENGTH, PathCounts, PathSlot,
    RETIRED, access_state, handler, state_source,
};
use aya_ebpf::EbpfContext;
use aya_log_ebpf::warn;

use crate::{
    kernel::{Reader, layout, read},
    maps::{CONTROL, PATH_COUNTS, PATHS, STATES_CHANGING, claimed, count_globally, home_slot},
};

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
    const NONE: Self = Self {
        id: NO_PATH,
        state: access_state::UNKNOWN,
        source: state_source::NONE,
    };
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
pub fn find(ctx: &impl EbpfContext, control: &Control, sdev: u64) -> Known {
    let home = home_slot(sdev, MAX_PATHS);
    if let Some(slot) = PATHS.get(home)
        && slot.sdev == sdev
        && slot.generation == control.generation
    {
        return known(control, slot, home as u16);
    }
    let id = search(sdev);
    match PATHS.get(id) {
        Some(slot) => known(control, slot, id as u16),
        None => table_full(ctx),
    }
}

/// Finds, makes or refreshes a device's slot: its id, or an id past the table when it is full.
/// Not inlined: rarely run, and it would double what the verifier has to look at.
#[inline(never)]
fn search(sdev: u64) -> u32 {
    let Some(control) = CONTROL.get(0) else {
        return MAX_PATHS;
    };
    let mut kernel = Reader::new();
    let address = Address::read(&mut kernel, sdev);
    let id = slot_of(sdev, &address);
    let Some(slot) = PATHS.get_ptr_mut(id) else {
        return MAX_PATHS;
    };
    // SAFETY: `slot` points into the array; concurrent refreshes write the same values.
    let slot = unsafe { &mut *slot };
    // Before the state is read: a generation raised meanwhile makes it read again.
    // SAFETY: a reference is valid to read.
    let generation = unsafe { (&raw const control.generation).read_volatile() };
    let changing = STATES_CHANGING.get(0).copied().unwrap_or(1);
    refresh(&mut kernel, control, slot, sdev);
    slot.state = access_state::LIVE;
    let may_cache = control.cache_states != 0 && changing == 0 && slot.handler == handler::ALUA;
    if may_cache && slot.state_source != state_source::NONE {
        slot.state = live_state(control, slot);
    }
    kernel.finish();
    if slot.generation == 0 {
        count_globally(|counts| counts.paths += 1);
    }
    slot.host = address.host;
    slot.channel = address.channel;
    slot.target = address.target;
    slot.lun = address.lun;
    slot.generation = generation;
    id
}

/// H:C:T:L of a device.
struct Address {
    host: u32,
    channel: u32,
    target: u32,
    lun: u64,
}

impl Address {
    #[inline(always)]
    fn read(kernel: &mut Reader, sdev: u64) -> Self {
        let host = kernel.u64(sdev, layout!(sdev_host));
        Self {
            host: kernel.u32(host, layout!(host_no)),
            channel: kernel.u32(sdev, layout!(sdev_channel)),
            target: kernel.u32(sdev, layout!(sdev_id)),
            lun: kernel.u64(sdev, layout!(sdev_lun)),
        }
    }

    #[inline(always)]
    fn is_of(&self, slot: &PathSlot) -> bool {
        // One comparison: each branch in the loop multiplies what the verifier has to look at.
        let differs = u64::from(slot.host ^ self.host)
            | u64::from(slot.channel ^ self.channel)
            | u64::from(slot.target ^ self.target)
            | slot.lun ^ self.lun;
        differs == 0 || slot.generation == 0
    }
}

/// The slot that belongs to this device, claimed if need be: its id, or one past the table. A slot
/// whose `scsi_device` was freed and its memory given to another is retired.
#[inline(always)]
fn slot_of(sdev: u64, address: &Address) -> u32 {
    let home = home_slot(sdev, MAX_PATHS);
    for step in 0..PROBE_LENGTH {
        let id = (home + step) & (MAX_PATHS - 1);
        let Some(slot) = PATHS.get_ptr_mut(id) else {
            break;
        };
        // SAFETY: `slot` points into the array; another CPU may be writing.
        if unsafe { claimed(id, &raw mut (*slot).sdev, sdev) } {
            // SAFETY: as above.
            let slot = unsafe { &mut *slot };
            if address.is_of(slot) {
                return id;
            }
            slot.sdev = RETIRED;
        }
    }
    MAX_PATHS
}

/// The state of a path now, as its handler has it.
#[inline(always)]
fn known(control: &Control, slot: &PathSlot, id: u16) -> Known {
    if slot.state_source == state_source::NONE {
        return Known { id, ..Known::NONE };
    }
    let state = if slot.state == access_state::LIVE {
        live_state(control, slot)
    } else {
        slot.state
    };
    if state == access_state::UNKNOWN {
        return Known { id, ..Known::NONE };
    }
    Known {
        id,
        state,
        source: slot.state_source,
    }
}

/// State byte of a path at this moment, as its handler has it. Not inlined: needed only while an
/// ALUA state may change, and for RDAC, whose handler has no one place where it does.
#[inline(never)]
fn live_state(control: &Control, slot: &PathSlot) -> u8 {
    if slot.handler == handler::RDAC {
        return rdac_state(control, slot);
    }
    // `state` and `pref` are neighbours in every kernel looked at, and checked to be at load.
    let Some([state, preferred]) = read::<[u32; 2]>(slot.state_keeper, control.alua.pg_state)
    else {
        return access_state::UNKNOWN;
    };
    let preferred = if preferred != 0 {
        access_state::PREFERRED
    } else {
        0
    };
    (state as u8 & access_state::MASK) | preferred
}

/// `rdac_dh_data.state`: the handler lets no I/O through (`RDAC_STATE_PASSIVE`).
const RDAC_STATE_PASSIVE: u8 = 1;
/// `rdac_dh_data.mode`: only the owner serves I/O (`RDAC_MODE`).
const RDAC_MODE: u8 = 0;

/// What `rdac_prep_fn` goes by. In RDAC mode a path is made active by VPD page C9h, or by the MODE
/// SELECT that moved the unit here, after which the page is not read again.
#[inline(always)]
fn rdac_state(control: &Control, slot: &PathSlot) -> u8 {
    let read = read::<[u8; 4]>(slot.state_keeper, control.rdac.dh_mode);
    let Some([mode, state, owned, preferred]) = read else {
        return access_state::UNKNOWN;
    };
    let access = if state == RDAC_STATE_PASSIVE {
        access_state::STANDBY
    } else if owned != 0 || mode == RDAC_MODE {
        access_state::OPTIMIZED
    } else {
        access_state::NON_OPTIMIZED
    };
    if preferred != 0 {
        access | access_state::PREFERRED
    } else {
        access
    }
}

/// Handler of a path, what keeps its state, and whether that is known.
#[inline(always)]
fn refresh(kernel: &mut Reader, control: &Control, slot: &mut PathSlot, sdev: u64) {
    slot.handler = handler_of(kernel, sdev);
    let data = kernel.u64(sdev, layout!(sdev_handler_data));
    let mut keeper = 0;
    slot.controller = NO_CONTROLLER;
    if slot.handler == handler::ALUA && control.alua.dh_pg != ABSENT && data != 0 {
        keeper = kernel.u64(data, control.alua.dh_pg);
    }
    if slot.handler == handler::RDAC && control.rdac.dh_mode != ABSENT {
        keeper = data;
        let controller = kernel.u64(data, control.rdac.dh_controller);
        // SAFETY: 0 is a number.
        let index = unsafe { kernel.get::<u8>(controller, control.rdac.controller_index) };
        // SAFETY: 0 is a number.
        let mode = unsafe { kernel.get::<u8>(data, control.rdac.dh_mode) };
        slot.controller = (index & 0x3f) | mode << 6;
    }
    if keeper != slot.state_keeper {
        slot.state_keeper = keeper;
        slot.state_source = state_source::NONE;
    }
    if keeper == 0 || slot.state_source != state_source::NONE {
        return;
    }
    if slot.handler == handler::RDAC {
        // `rdac_bus_attach` fails when it cannot read the page.
        slot.state_source = state_source::HANDLER_DATA;
        return;
    }
    // SAFETY: 0 is a number.
    let timeout = unsafe { kernel.get::<u8>(keeper, control.alua.pg_transition_tmo) };
    if u32::from(timeout) | kernel.u32(keeper, control.alua.pg_state) != 0 {
        let first = slot.generation == 0;
        slot.state_source = if first {
            state_source::HANDLER_DATA
        } else {
            state_source::RTPG_SEEN
        };
    }
}

/// Which handler is attached, by the first letters of its name.
#[inline(always)]
fn handler_of(kernel: &mut Reader, sdev: u64) -> u8 {
    const ALUA: u32 = u32::from_le_bytes(*b"alua");
    const RDAC: u32 = u32::from_le_bytes(*b"rdac");
    let attached = kernel.u64(sdev, layout!(sdev_handler));
    if attached == 0 {
        return handler::NONE;
    }
    let name = kernel.u64(attached, layout!(handler_name));
    match kernel.u32(name, 0) {
        ALUA => handler::ALUA,
        RDAC => handler::RDAC,
        _ => handler::OTHER,
    }
}

/// Not inlined: a complaint takes more instructions than all the rest.
#[inline(never)]
fn complain(ctx: &impl EbpfContext) {
    warn!(
        ctx,
        "path table full: commands on further devices are not traced"
    );
}

#[inline(always)]
fn table_full(ctx: &impl EbpfContext) -> Known {
    let mut first = false;
    count_globally(|counts| {
        counts.path_table_full += 1;
        first = counts.path_table_full == 1;
    });
    // Once per CPU: a full table does not empty again.
    if first {
        complain(ctx);
    }
    Known::NONE
}
