//! The CPUs' logs of commands: a record is written by the CPU that its command completed on, and read by the
//! collector in the same memory, so that no two of them ever wait for each other.

use core::mem::{align_of, offset_of, size_of};

use crate::CommandRecord;

/// Both ends of a CPU's log, each in a cache line of its own. They count records since the beginning: a record's place
/// is its number modulo the log's length.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogEnds {
    /// Records written; only the probes on this CPU raise it, when a record is whole.
    pub written: u64,
    /// 1 while one is being written. On the same CPU only an interrupt can see that, which leaves it as it was.
    pub writing: u64,
    /// Records that found no room; only the probes on this CPU raise it.
    pub refused: u64,
    /// Zero.
    pub reserved: [u64; 5],
    /// Records read; only the collector raises it.
    pub read: u64,
    /// What becomes of the commands that complete on this CPU: one of [`crate::telling`]. The collector says.
    pub telling: u64,
    /// Zero.
    pub reserved2: [u64; 6],
}

/// A place in a log: a cache line.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedCommand {
    /// What is told of the command.
    pub record: CommandRecord,
    /// Anything.
    pub reserved: u64,
}

const _: () = {
    assert!(size_of::<LogEnds>() == 128 && offset_of!(LogEnds, read) == 64);
    assert!(size_of::<LoggedCommand>() == 64 && align_of::<LoggedCommand>() == 8);
};
