//! Commands in flight: a direct-indexed slot array checked by pointer, and a hash map for those
//! whose slot another command holds. A hash map alone would cost more than all the rest.

use core::ptr::NonNull;

use alua_trace_ebpf::{CommandSlot, Followed, InFlightSlot, command_flag};

use crate::{
    kernel::{add, fence, machine, replace},
    maps::{IN_FLIGHT, IN_FLIGHT_OVERFLOW, count_globally, home},
    path,
};

/// Where a command is kept, as far as there is a slot for it.
pub struct Kept(Option<NonNull<CommandSlot>>);

/// Makes room for a command that is being dispatched. Before its path is looked up: a compare and swap waits for every load
/// before it, and what is loaded for a path comes from far away where there are many.
#[inline(always)]
pub fn claim(cmd: u64) -> Kept {
    let slot = IN_FLIGHT.at(home(cmd));
    // SAFETY: `slot` points into the array; another CPU may be claiming it.
    let held = unsafe { &raw mut (*slot).command };
    // SAFETY: as above.
    let current = unsafe { (&raw const (*held).cmd).read_volatile() };
    if current == cmd {
        // SAFETY: this command owns the slot, and its hooks do not run concurrently.
        count_superseded(&unsafe { kept(held, current) });
    // SAFETY: `slot` points into the array.
    } else if current != 0 || !unsafe { take_slot(slot, cmd) } {
        return Kept(None);
    }
    Kept(NonNull::new(held))
}

/// Keeps a dispatched command; counts it as untracked when there is no room.
#[inline(always)]
pub fn keep(place: Kept, command: &CommandSlot) {
    match place.0 {
        // SAFETY: `slot` points into the array, and this command owns it.
        Some(slot) => unsafe { fill(slot.as_ptr(), command) },
        None => overflow(command.cmd, command.dispatch_ns, command.followed.0),
    }
}

/// Writes what is kept of a command that already owns the slot; its `cmd` stands there.
///
/// Volatile, so that the compiler neither splits nor moves the stores. Nothing more is needed: only this command's own end
/// relies on them, which the block layer orders after its dispatch. The time is written last: as long as it is 0, the
/// collector does not take what stands there for this command's.
///
/// # Safety
/// `slot` points into the array, and `command` owns it.
#[inline(always)]
unsafe fn fill(slot: *mut CommandSlot, command: &CommandSlot) {
    // SAFETY: as promised by the caller.
    unsafe {
        (&raw mut (*slot).followed).write_volatile(command.followed);
        (&raw mut (*slot).dispatch_ns).write_volatile(command.dispatch_ns);
    }
}

/// Reads what is kept of a command. Volatile, so that the loads stay before the store that frees
/// the slot: after it another CPU, or an interrupt on this one, may fill it for another command.
///
/// # Safety
/// `slot` points into the array, and `cmd` owns it.
#[inline(always)]
unsafe fn kept(slot: *const CommandSlot, cmd: u64) -> CommandSlot {
    // SAFETY: as promised by the caller.
    unsafe {
        CommandSlot {
            cmd,
            dispatch_ns: (&raw const (*slot).dispatch_ns).read_volatile(),
            followed: (&raw const (*slot).followed).read_volatile(),
        }
    }
}

/// Claims a free slot for `cmd`. Where BPF has no cmpxchg, a claimant that is alone wins; if two race, either may fall
/// back to the overflow map. That needs atomic adds to be full barriers, as on x86.
///
/// # Safety
/// `slot` points into the array.
#[inline(always)]
unsafe fn take_slot(slot: *mut InFlightSlot, cmd: u64) -> bool {
    // SAFETY: as promised by the caller.
    let (claimants, owner) = unsafe { (&raw mut (*slot).claimants, &raw mut (*slot).command.cmd) };
    if machine!(has_fetch) != 0 {
        // SAFETY: as promised by the caller.
        return unsafe { replace(owner, 0, cmd) };
    }
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
    let slot = IN_FLIGHT.at(home(cmd));
    // SAFETY: `slot` points into the array; another CPU may be claiming it.
    let slot = unsafe { &raw mut (*slot).command };
    // SAFETY: as above.
    if unsafe { (&raw const (*slot).cmd).read_volatile() } != cmd {
        return take_overflow(cmd, end);
    }
    // SAFETY: this command owns the slot until `cmd` is cleared.
    let command = unsafe { kept(slot, cmd) };
    match end {
        End::Free => {
            // The copy above is complete: the next owner may have the slot.
            fence();
            // SAFETY: as above.
            unsafe {
                (&raw mut (*slot).dispatch_ns).write_volatile(0);
                (&raw mut (*slot).cmd).write_volatile(0);
            }
        }
        End::MarkTimedOut => {
            let late = command.followed.with(command_flag::LATE);
            // SAFETY: as above.
            unsafe { (&raw mut (*slot).followed).write_volatile(late) };
        }
    }
    Some(command)
}

/// Not inlined: rarely run. By value: what a function is given a pointer to lies on the stack whether it is called or not.
#[inline(never)]
fn overflow(cmd: u64, dispatch_ns: u64, followed: u64) {
    let command = CommandSlot {
        cmd,
        dispatch_ns,
        followed: Followed(followed),
    };
    if let Some(old) = IN_FLIGHT_OVERFLOW.get_ptr(cmd) {
        // SAFETY: an element of the map; only this command's hooks change it.
        count_superseded(unsafe { &*old });
    }
    count_globally(|counts| counts.overflowed += 1);
    if IN_FLIGHT_OVERFLOW.insert(cmd, command, 0).is_err() {
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
