//! Writing a command's record into the log of this CPU: no lock, no helper but the CPU's number.

use alua_trace_ebpf::{CommandRecord, LogEnds};

use crate::{
    kernel::{fence, machine},
    maps::{LOG_ENDS, LOGS, cpu},
};

/// A place in a log, which is this CPU's until it is said to be written.
pub struct Place {
    pub record: *mut CommandRecord,
    written: u64,
}

/// This CPU's log, which nobody else writes to now.
pub struct Log {
    pub cpu: u64,
    ends: *mut LogEnds,
}

impl Log {
    /// This CPU's log, until it is released; `None` where this runs in an interrupt over the telling of another command, on
    /// a kernel that lets it.
    #[inline(always)]
    pub fn claim() -> Option<Self> {
        let cpu = cpu();
        let ends = LOG_ENDS.of(cpu, machine!(last_cpu));
        // SAFETY: `ends` points into the array. Only this CPU writes `written` and `writing`. An interrupt has ended before
        // this goes on; where a program could be preempted, the kernel does not let it run a second time on the same CPU
        // (`recursion_misses`).
        unsafe {
            let writing = &raw mut (*ends).writing;
            if writing.read_volatile() != 0 {
                return None;
            }
            writing.write_volatile(1);
        }
        Some(Self { cpu, ends })
    }

    /// Gives it back.
    #[inline(always)]
    pub fn release(self) {
        // SAFETY: `ends` points into the array.
        unsafe { (&raw mut (*self.ends).writing).write_volatile(0) };
    }

    /// What becomes of commands: [`alua_trace_ebpf::telling`].
    #[inline(always)]
    pub fn telling(&self) -> u64 {
        // SAFETY: `ends` points into the array.
        unsafe { (&raw const (*self.ends).telling).read_volatile() }
    }

    /// The place for one more record; `None` where the collector is too far behind, which is counted.
    #[inline(always)]
    pub fn place(&self) -> Option<Place> {
        let records = machine!(log_records);
        // SAFETY: `ends` points into the array.
        let (written, read) = unsafe {
            (
                (&raw const (*self.ends).written).read_volatile(),
                (&raw const (*self.ends).read).read_volatile(),
            )
        };
        if written.wrapping_sub(read) >= records {
            self.refuse();
            return None;
        }
        let place = self
            .cpu
            .wrapping_mul(records)
            .wrapping_add(written & records.wrapping_sub(1));
        let logged = LOGS.get_ptr_mut(place as u32)?;
        // SAFETY: the element is a record's memory.
        let record = unsafe { &raw mut (*logged).record };
        Some(Place { record, written })
    }

    /// Lets the collector have the record, which is whole.
    #[inline(always)]
    pub fn wrote(&self, place: &Place) {
        fence();
        // SAFETY: `ends` points into the array.
        unsafe {
            (&raw mut (*self.ends).written).write_volatile(place.written.wrapping_add(1));
        }
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
