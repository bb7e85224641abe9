//! Writing a command's record into the log of this CPU: no lock, no helper but the CPU's number.

use alua_trace_ebpf::{CommandRecord, LogEnds};
use aya_ebpf::helpers::bpf_get_smp_processor_id;

use crate::{
    kernel::{MACHINE, fence, load},
    maps::{LOG_ENDS, LOGS},
};

/// Why a record was not written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The collector is too far behind.
    Full,
    /// This runs in an interrupt over the writing of another record, on a kernel that lets it.
    Interrupted,
}

/// Has `fill` write a record at the end of this CPU's log.
#[inline(always)]
pub fn write(fill: impl FnOnce(&mut CommandRecord)) -> Result<(), Refused> {
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
        let written = append(cpu, ends, fill);
        writing.write_volatile(0);
        written
    }
}

/// # Safety
/// `ends` are those of this CPU's log, and nobody else writes to it now.
#[inline(always)]
unsafe fn append(
    cpu: u32,
    ends: *mut LogEnds,
    fill: impl FnOnce(&mut CommandRecord),
) -> Result<(), Refused> {
    let records = load(&MACHINE.log_records);
    // SAFETY: as promised by the caller.
    let (written, read) = unsafe {
        (
            (&raw const (*ends).written).read_volatile(),
            (&raw const (*ends).read).read_volatile(),
        )
    };
    if written.wrapping_sub(read) >= u64::from(records) {
        return Err(Refused::Full);
    }
    let place = cpu
        .wrapping_mul(records)
        .wrapping_add(written as u32 & records.wrapping_sub(1));
    let Some(place) = LOGS.get_ptr_mut(place) else {
        return Err(Refused::Full);
    };
    // SAFETY: the place is this CPU's, and the collector does not read it before `written` says so.
    unsafe {
        fill(&mut (*place).record);
        // It is whole before it is said to be there.
        fence();
        (&raw mut (*ends).written).write_volatile(written.wrapping_add(1));
    }
    Ok(())
}
