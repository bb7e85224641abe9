//! Going on in the middle of a trace: what has been counted before is not counted again.

use alua_trace_ebpf::{GlobalCounts, PathCounts};

use super::Engine;

impl Engine {
    /// What follows is counted from these counts on. Commands that were in flight belong to it.
    pub(super) fn resumed(&mut self, global: &GlobalCounts, per_path: &[(u16, PathCounts)]) {
        self.global = *global;
        self.global_before = *global;
        for (id, counts) in per_path {
            if let Some(index) = self.ids.path(*id) {
                self.paths.set_counts(index, *id, counts);
                self.stuck.unsettle();
                self.paths.forget_counts(index, &taken_off(counts));
            }
        }
    }

    /// Counts that belong to no path, of this trace or this part of one.
    pub(super) fn global_counts(&self) -> GlobalCounts {
        let (now, before) = (&self.global, &self.global_before);
        GlobalCounts {
            unmatched_ends: now.unmatched_ends.saturating_sub(before.unmatched_ends),
            path_table_full: now.path_table_full.saturating_sub(before.path_table_full),
            route_table_full: now.route_table_full.saturating_sub(before.route_table_full),
            lost_records: now.lost_records.saturating_sub(before.lost_records),
            failed_reads: now.failed_reads.saturating_sub(before.failed_reads),
            ..*now
        }
    }
}

/// What makes later counts those since these: each less than nothing, in two's complement.
fn taken_off(counts: &PathCounts) -> PathCounts {
    let in_flight = counts.dispatched().wrapping_sub(counts.ended());
    PathCounts {
        completed: counts.completed.wrapping_neg(),
        dispatched_by_state: counts.dispatched_by_state.map(u64::wrapping_neg),
        passthrough: counts.passthrough.wrapping_neg().wrapping_add(in_flight),
        failed: counts.failed.wrapping_neg(),
        timed_out: counts.timed_out.wrapping_neg(),
        superseded: counts.superseded.wrapping_neg(),
        untracked: counts.untracked.wrapping_neg(),
        ring_full: counts.ring_full.wrapping_neg(),
        rejected: counts.rejected.wrapping_neg(),
        non_optimized_first_ns: 0,
        non_optimized_last_ns: 0,
    }
}
