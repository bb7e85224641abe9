//! The collector's end of the CPUs' logs: no lock and no system call between it and the probes.

use std::{
    cmp::Ordering as Order,
    collections::BinaryHeap,
    io,
    mem::offset_of,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use alua_trace_ebpf::{CommandRecord, LogEnds, LoggedCommand};

use super::mapped::Mapped;

/// So many places at once.
const GIVEN_BACK: u64 = 64;
const RECORD_BYTES: usize = size_of::<CommandRecord>();

/// Logs of all CPUs.
#[derive(Debug)]
pub struct Logs {
    ends: Mapped<LogEnds>,
    places: Mapped<LoggedCommand>,
    cpus: usize,
    /// Records in each log; a power of two.
    records: u32,
}

/// What there is in a CPU's log. The greatest is the one whose next record is the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    cpu: usize,
    next: u64,
    end: u64,
    /// When the next one's command completed.
    pub at_ns: u64,
}

impl Lane {
    pub fn waiting(&self) -> u64 {
        self.end.wrapping_sub(self.next)
    }
}

impl Ord for Lane {
    fn cmp(&self, other: &Self) -> Order {
        (other.at_ns, other.cpu).cmp(&(self.at_ns, self.cpu))
    }
}

impl PartialOrd for Lane {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

/// Where a CPU's log is, and the number of its last place, one less than a power of two.
#[derive(Clone, Copy)]
struct Log {
    first: NonNull<LoggedCommand>,
    last: usize,
}

impl Log {
    #[inline]
    fn place(self, number: u64) -> NonNull<LoggedCommand> {
        // SAFETY: within the log.
        unsafe { self.first.add(number as usize & self.last) }
    }

    /// When the command of the lane's next record completed. The last moment is for those that are not there.
    #[inline]
    fn next_at(self, lane: &Lane) -> u64 {
        if lane.next == lane.end {
            return u64::MAX;
        }
        let place = self.place(lane.next).as_ptr();
        // SAFETY: a whole record, which nobody writes before it has been read.
        let at_ns = unsafe { (&raw const (*place).record.completion_ns).read() };
        at_ns.min(u64::MAX - 1)
    }
}

impl Logs {
    /// Maps the logs of `cpus` CPUs, each of `records` records, a power of two.
    ///
    /// # Errors
    /// The maps are others than the probes'.
    pub fn new(
        ends: BorrowedFd<'_>,
        places: BorrowedFd<'_>,
        cpus: usize,
        records: u32,
    ) -> io::Result<Self> {
        Ok(Self {
            ends: Mapped::new(ends, cpus)?,
            places: Mapped::new(places, cpus * records as usize)?,
            cpus,
            records,
        })
    }

    /// Says what becomes of commands that complete from now on: one of [`alua_trace_ebpf::telling`].
    pub(super) fn tell(&self, telling: u64) {
        for word in (0..self.cpus).filter_map(|cpu| self.telling(cpu)) {
            word.store(telling, Ordering::Relaxed);
        }
    }

    /// Records that found no room.
    pub(super) fn refused(&self) -> u64 {
        let refused = (0..self.cpus).filter_map(|cpu| self.refused_by(cpu));
        refused.map(|it| it.load(Ordering::Relaxed)).sum()
    }

    /// Records that a CPU's log has room for.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// The logs that have records now.
    pub(super) fn look(&self, lanes: &mut BinaryHeap<Lane>) {
        lanes.clear();
        for cpu in 0..self.cpus {
            let (Some(written), Some(read)) = (self.written(cpu), self.read(cpu)) else {
                continue;
            };
            let (next, end) = (
                read.load(Ordering::Relaxed),
                written.load(Ordering::Acquire),
            );
            if next != end {
                let mut lane = Lane {
                    cpu,
                    next,
                    end,
                    at_ns: 0,
                };
                if let Some(log) = self.log(cpu) {
                    lane.at_ns = log.next_at(&lane);
                    lanes.push(lane);
                }
            }
        }
    }

    /// Hands over the records of a log in their order: up to `limit` of them, none that completed after `until_ns`.
    /// Gives how many. The probes may have their places now and then, so that a full log has room before it is read to
    /// its end, and for the last of them after [`Self::give_back`]: the word they read it from is theirs most of the time.
    #[inline]
    pub(super) fn take(
        &self,
        lane: &mut Lane,
        until_ns: u64,
        limit: usize,
        each: &mut impl FnMut(&[u8]),
    ) -> usize {
        let mut taken = 0;
        let Some(log) = self.log(lane.cpu) else {
            return 0;
        };
        while taken < limit && lane.at_ns <= until_ns && lane.next != lane.end {
            // SAFETY: a whole record of integers without padding, which nobody writes before `read` is raised.
            let bytes: &[u8; RECORD_BYTES] = unsafe { log.place(lane.next).cast().as_ref() };
            each(bytes);
            taken += 1;
            lane.next = lane.next.wrapping_add(1);
            lane.at_ns = log.next_at(lane);
            if lane.next.is_multiple_of(GIVEN_BACK) {
                self.give_back(lane);
            }
        }
        taken
    }

    /// Lets the probes have the places of what has been handed over.
    pub(super) fn give_back(&self, lane: &Lane) {
        if let Some(read) = self.read(lane.cpu) {
            read.store(lane.next, Ordering::Release);
        }
    }

    fn log(&self, cpu: usize) -> Option<Log> {
        let records = self.records as usize;
        let first = self.places.at(cpu * records)?;
        // It is there as a whole.
        self.places.at(cpu * records + records - 1)?;
        Some(Log {
            first,
            last: records - 1,
        })
    }

    fn written(&self, cpu: usize) -> Option<&AtomicU64> {
        self.word(cpu, offset_of!(LogEnds, written))
    }

    fn read(&self, cpu: usize) -> Option<&AtomicU64> {
        self.word(cpu, offset_of!(LogEnds, read))
    }

    fn refused_by(&self, cpu: usize) -> Option<&AtomicU64> {
        self.word(cpu, offset_of!(LogEnds, refused))
    }

    fn telling(&self, cpu: usize) -> Option<&AtomicU64> {
        self.word(cpu, offset_of!(LogEnds, telling))
    }

    /// The word at `offset` of a log's ends, which the probes and the collector share.
    #[inline]
    fn word(&self, cpu: usize, offset: usize) -> Option<&AtomicU64> {
        let ends = self.ends.at(cpu)?;
        // SAFETY: callers pass the offset of a `u64`, so that this is an aligned word of the mapping.
        Some(unsafe { AtomicU64::from_ptr(ends.as_ptr().byte_add(offset).cast()) })
    }
}
