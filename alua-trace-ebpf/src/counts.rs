//! What the probes count by CPU.

use crate::{NON_OPTIMIZED_QUIET_NS, access_state};

/// Counts kept per path beside the stream; exact whatever the stream loses.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PathCounts {
    /// Block I/O dispatched, by state: index 0–4 as [`access_state`], 5 offline, 6 transitioning, 7 unknown. A cache line.
    pub dispatched_by_state: [u64; 8],
    /// Commands completed, of those that were dispatched: those that a record was taken of, and `ring_full`. The probes
    /// leave it 0; the collector, who takes the records, counts it.
    pub completed: u64,
    /// Dispatched, but no block I/O: SG_IO and the kernel's own commands.
    pub passthrough: u64,
    /// Of those, refused by the low-level driver (`scsi_dispatch_cmd_error`).
    pub failed: u64,
    /// Of those, timed out and not completed since. Goes down when a late completion arrives.
    pub timed_out: u64,
    /// Of those, never seen to end before their command block was dispatched again.
    pub superseded: u64,
    /// Of those, untracked: no slot and no room in the overflow map. Their end is not seen.
    pub untracked: u64,
    /// Completed commands that found the ring buffer full.
    pub ring_full: u64,
    /// Requests that the device handler's `prep_fn` refused: they never reach dispatch.
    pub rejected: u64,
    /// First block I/O dispatched in a known state other than active/optimized since there was
    /// none for [`NON_OPTIMIZED_QUIET_NS`], on this CPU, in monotonic ns; 0 when there was none.
    pub non_optimized_first_ns: u64,
    /// Last such dispatch, on this CPU.
    pub non_optimized_last_ns: u64,
}

/// What is in cache lines of its own: counts of one CPU.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnLines<T>(pub T);

impl PathCounts {
    /// Commands handed to the low-level driver.
    #[must_use]
    pub fn dispatched(&self) -> u64 {
        let by_state = self.dispatched_by_state.iter();
        by_state.fold(self.passthrough, |sum, more| sum.wrapping_add(*more))
    }

    /// Of those, what has ended. Wrapping, as in [`Self::plus`]: a part of it may be below zero.
    #[must_use]
    pub fn ended(&self) -> u64 {
        let ended = [
            self.completed,
            self.failed,
            self.timed_out,
            self.superseded,
            self.untracked,
        ];
        ended.into_iter().fold(0, u64::wrapping_add)
    }

    /// The sum of two: of CPUs, or of two ids of one path. Wrapping, because `timed_out` may be
    /// negative on one CPU and is right only in the sum.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let mut by_state = self.dispatched_by_state;
        for (sum, more) in by_state.iter_mut().zip(other.dispatched_by_state) {
            *sum = sum.wrapping_add(more);
        }
        let (non_optimized_first_ns, non_optimized_last_ns) = self.offences_with(other);
        Self {
            passthrough: self.passthrough.wrapping_add(other.passthrough),
            completed: self.completed.wrapping_add(other.completed),
            failed: self.failed.wrapping_add(other.failed),
            timed_out: self.timed_out.wrapping_add(other.timed_out),
            superseded: self.superseded.wrapping_add(other.superseded),
            untracked: self.untracked.wrapping_add(other.untracked),
            ring_full: self.ring_full.wrapping_add(other.ring_full),
            rejected: self.rejected.wrapping_add(other.rejected),
            non_optimized_first_ns,
            non_optimized_last_ns,
            dispatched_by_state: by_state,
        }
    }

    /// First and last of the episode that is the younger of the two, or of both when they touch.
    fn offences_with(&self, other: &Self) -> (u64, u64) {
        let (older, younger) = if self.non_optimized_last_ns <= other.non_optimized_last_ns {
            (self, other)
        } else {
            (other, self)
        };
        let apart = younger
            .non_optimized_first_ns
            .saturating_sub(older.non_optimized_last_ns);
        let first = if older.non_optimized_last_ns == 0 || apart > NON_OPTIMIZED_QUIET_NS {
            younger.non_optimized_first_ns
        } else {
            older
                .non_optimized_first_ns
                .min(younger.non_optimized_first_ns)
        };
        (first, younger.non_optimized_last_ns)
    }
}

/// Index into [`PathCounts::dispatched_by_state`] for a state byte. Without a branch: each multiplies
/// what the verifier has to look at.
#[inline(always)]
pub const fn state_index(state: u8) -> usize {
    // A digit for each code of SPC-4: 5 for offline (14), 6 for transitioning (15), 7 for reserved.
    const INDICES: u64 = 0x6577_7777_7774_3210;
    let digit = (INDICES >> ((state & access_state::MASK) * 4)) & 7;
    let unknown = (state / access_state::UNKNOWN) as u64 & 1;
    (digit | (unknown * 7)) as usize
}

/// Counts that belong to no path.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GlobalCounts {
    /// Ends of commands dispatched before the trace began, or untracked.
    pub unmatched_ends: u64,
    /// Dispatches on a device that found no room in the path table.
    pub path_table_full: u64,
    /// Commands whose route found no room in the route table.
    pub route_table_full: u64,
    /// RTPG records that found the ring buffer full.
    pub lost_records: u64,
    /// Reads of kernel memory that failed.
    pub failed_reads: u64,
    /// Commands that took the overflow map because their slot was taken.
    pub overflowed: u64,
    /// Ids given to paths: tells the collector to look for paths whose commands have not completed
    /// yet, and for ids to give back.
    pub paths: u64,
    /// Ids given to routes: tells the collector when to look for some to give back.
    pub routes: u64,
    /// Block I/O dispatched in a known state other than active/optimized: tells the collector at
    /// little cost that the paths' own counts are worth a look.
    pub not_optimized: u64,
}

const _: () = {
    assert!(size_of::<PathCounts>() == 144 && size_of::<OwnLines<PathCounts>>() == 192);
    assert!(size_of::<GlobalCounts>() == 72 && size_of::<OwnLines<GlobalCounts>>() == 128);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn episodes_of_two_cpus_are_one_when_they_touch() {
        let cpu = |first, last| PathCounts {
            non_optimized_first_ns: first,
            non_optimized_last_ns: last,
            ..PathCounts::default()
        };
        let of = |sum: PathCounts| (sum.non_optimized_first_ns, sum.non_optimized_last_ns);
        const S: u64 = NON_OPTIMIZED_QUIET_NS;
        assert_eq!(of(cpu(0, 0).plus(&cpu(5, 9))), (5, 9));
        assert_eq!(of(cpu(5, 9).plus(&cpu(S, S + 7))), (5, S + 7));
        assert_eq!(of(cpu(3 * S, 4 * S).plus(&cpu(5, 9))), (3 * S, 4 * S));
        let one = cpu(0, 0);
        let late = PathCounts {
            timed_out: 1,
            ..one
        }
        .plus(&PathCounts {
            timed_out: 1_u64.wrapping_neg(),
            ..one
        });
        assert_eq!(late.timed_out, 0);
    }

    #[test]
    fn every_state_has_its_index_and_reserved_ones_are_unknown() {
        let index = [0u8, 1, 2, 3, 4, 0xe, 0xf].map(state_index);
        assert_eq!(index, [0, 1, 2, 3, 4, 5, 6]);
        for reserved in 5..=0xd {
            assert_eq!(state_index(reserved), 7);
        }
        assert_eq!(state_index(access_state::UNKNOWN), 7);
        assert_eq!(
            state_index(access_state::PREFERRED | access_state::NON_OPTIMIZED),
            1
        );
    }
}
