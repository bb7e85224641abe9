//! Commands in flight: a direct-indexed slot array checked by pointer, and a hash map for those
//! whose slot another command holds. A hash map alone would cost more than all the rest.

use alua_trace_ebpf::{CommandSlot, IN_FLIGHT_SLOTS, InFlightSlot, command_flag};

use crate::{
    kernel::add,
    maps::{IN_FLIGHT, IN_FLIGHT_OVERFLOW, count_globally, home_slot},
    path,
};

/// Keeps a dispatched command; counts it as untracked when there is no room.
#[inline(always)]
pub fn insert(command: &CommandSlot) {
    let Some(slot) = IN_FLIGHT.get_ptr_mut(home_slot(command.cmd, IN_FLIGHT_SLOTS)) else {
        return;
    };
    // SAFETY: `slot` points into the array; another CPU may be claiming it.
    let held = unsafe { &raw mut (*slot).command };
    // SAFETY: as above.
    let current = unsafe { (&raw const (*held).cmd).read_volatile() };
    if current == command.cmd {
        // SAFETY: this command owns the slot, and its hooks do not run concurrently.
        count_superseded(unsafe { &*held });
    // SAFETY: `slot` points into the array.
    } else if current != 0 || !unsafe { claim(slot, command.cmd) } {
        return overflow(command);
    }
    // SAFETY: this command owns the slot now.
    unsafe { held.write(*command) };
}

/// Takes a free slot for `cmd`. Who finds itself alone among the claimants has it; when two come at
/// once, neither may. An add orders what is around it on x86, the only architecture that this runs on.
///
/// # Safety
/// `slot` points into the array.
#[inline(always)]
unsafe fn claim(slot: *mut InFlightSlot, cmd: u64) -> bool {
    // SAFETY: as promised by the caller.
    let (claimants, owner) = unsafe { (&raw mut (*slot).claimants, &raw mut (*slot).command.cmd) };
    add(claimants, 1);
    // SAFETY: as promised by the caller.
    let ours = unsafe { claimants.read_volatile() == 1 && owner.read_volatile() == 0 };
    if ours {
        // SAFETY: as promised by the caller, and nobody else may write it now.
        unsafe { owner.write_volatile(cmd) };
    }
    add(claimants, u64::MAX);
    ours
}

/// What becomes of a command's slot.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The command ended: free the slot.
    Free,
    /// It timed out: keep the slot, a late completion may follow.
    MarkTimedOut,
}

/// Finds a command and ends or marks it. `None` when it was not followed.
#[inline(always)]
pub fn take(cmd: u64, end: End) -> Option<CommandSlot> {
    let slot = IN_FLIGHT.get_ptr_mut(home_slot(cmd, IN_FLIGHT_SLOTS))?;
    // SAFETY: `slot` points into the array; another CPU may be claiming it.
    let slot = unsafe { &raw mut (*slot).command };
    // SAFETY: as above.
    if unsafe { (&raw const (*slot).cmd).read_volatile() } != cmd {
        return take_overflow(cmd, end);
    }
    // SAFETY: this command owns the slot until `cmd` is cleared.
    let command = unsafe { *slot };
    match end {
        // The copy above is complete: the next owner may have the slot.
        // SAFETY: as above.
        End::Free => unsafe { (&raw mut (*slot).cmd).write_volatile(0) },
        // SAFETY: as above.
        End::MarkTimedOut => unsafe {
            (*slot).followed = command.followed.with(command_flag::LATE)
        },
    }
    Some(command)
}

#[inline(never)]
fn overflow(command: &CommandSlot) {
    if let Some(old) = IN_FLIGHT_OVERFLOW.get_ptr(command.cmd) {
        // SAFETY: an element of the map; only this command's hooks change it.
        count_superseded(unsafe { &*old });
    }
    count_globally(|counts| counts.overflowed += 1);
    if IN_FLIGHT_OVERFLOW.insert(command.cmd, command, 0).is_err() {
        path::count(command.followed.path(), |counts| counts.untracked += 1);
    }
}

#[inline(always)]
fn take_overflow(cmd: u64, end: End) -> Option<CommandSlot> {
    let slot = IN_FLIGHT_OVERFLOW.get_ptr_mut(cmd)?;
    // SAFETY: an element of the map; only this command's hooks change it.
    let command = unsafe { *slot };
    match end {
        End::Free => {
            let _ = IN_FLIGHT_OVERFLOW.remove(cmd);
        }
        // SAFETY: as above.
        End::MarkTimedOut => unsafe {
            (*slot).followed = command.followed.with(command_flag::LATE)
        },
    }
    Some(command)
}

/// The end of the command that held this slot was never seen.
#[inline(always)]
fn count_superseded(old: &CommandSlot) {
    // A command that timed out has been counted as that.
    if !old.followed.has(command_flag::LATE) {
        path::count(old.followed.path(), |counts| counts.superseded += 1);
    }
}
