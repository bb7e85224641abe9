//! Writing a command's record into the log of this CPU: no lock, no helper but the CPU's number.

use alua_trace_ebpf::{CommandRecord, LogEnds};
use aya_ebpf::helpers::bpf_get_smp_processor_id;

use crate::{
    kernel::{MACHINE, fence, load},
    maps::{LOG_ENDS, LOGS},
};

/// Why a command is not told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There is no room for it.
    Full,
    /// This runs in an interrupt over the telling of another one, on a kernel that lets it.
    Interrupted,
}

/// This CPU's log, which nobody else writes to now.
pub struct Log {
    pub cpu: u32,
    ends: *mut LogEnds,
}

/// Has `tell` tell of a command while nothing else on this CPU does: whether it could.
#[inline(always)]
pub fn alone(tell: impl FnOnce(&Log) -> bool) -> Result<(), Refused> {
    // SAFETY: takes no arguments and cannot fail.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(ends) = LOG_ENDS.get_ptr_mut(cpu) else {
        return Err(Refused::Full);
    };
    // SAFETY: `ends` points into the array. Only this CPU writes `written` and `writing`. An interrupt has ended before
    // this goes on; where a program could be preempted, the kernel does not let it run a second time on the same CPU
    // (`recursion_misses`).
    unsafe {
        let writing = &raw mut (*ends).writing;
        if writing.read_volatile() != 0 {
            return Err(Refused::Interrupted);
        }
        writing.write_volatile(1);
        let told = tell(&Log { cpu, ends });
        writing.write_volatile(0);
        if told { Ok(()) } else { Err(Refused::Full) }
    }
}

impl Log {
    /// What becomes of commands: [`alua_trace_ebpf::telling`].
    #[inline(always)]
    pub fn telling(&self) -> u64 {
        // SAFETY: `ends` points into the array.
        unsafe { (&raw const (*self.ends).telling).read_volatile() }
    }

    /// Has `fill` write a record at the end: false where the collector is too far behind, which is counted.
    #[inline(always)]
    pub fn write(&self, fill: impl FnOnce(&mut CommandRecord)) -> bool {
        let records = load(&MACHINE.log_records);
        // SAFETY: `ends` points into the array.
        let (written, read) = unsafe {
            (
                (&raw const (*self.ends).written).read_volatile(),
                (&raw const (*self.ends).read).read_volatile(),
            )
        };
        if written.wrapping_sub(read) >= u64::from(records) {
            self.refuse();
            return false;
        }
        let place = self
            .cpu
            .wrapping_mul(records)
            .wrapping_add(written as u32 & records.wrapping_sub(1));
        let Some(place) = LOGS.get_ptr_mut(place) else {
            return false;
        };
        // SAFETY: the place is this CPU's, and the collector does not read it before `written` says so.
        unsafe {
            fill(&mut (*place).record);
            // It is whole before it is said to be there.
            fence();
            (&raw mut (*self.ends).written).write_volatile(written.wrapping_add(1));
        }
        true
    }

    #[inline(always)]
    fn refuse(&self) {
        // SAFETY: `ends` points into the array, and only this CPU writes the word.
        unsafe {
            let refused = &raw mut (*self.ends).refused;
            refused.write_volatile(refused.read_volatile().wrapping_add(1));
        }
    }
}
