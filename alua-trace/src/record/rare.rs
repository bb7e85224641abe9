//! What the probes' tables say, as numbers in an order that `docs/recording.md` gives: independent of how
//! the tables lie in memory, which may change.

use alua_trace_ebpf::{GlobalCounts, PathCounts, PathSlot, RETIRED, RouteSlot};

use super::{
    error::Malformed,
    pack::{put, put_signed, take_number, take_signed},
};
use crate::engine::InFlight;

/// Appends what is told of a path: bit 0 of the first number, that its slot is not used again; its
/// address; its handler, `port_group` in place of the handler's address; state and controller; its route.
pub fn put_path(out: &mut Vec<u8>, slot: &PathSlot, port_group: u64) {
    for number in [
        u64::from(slot.sdev == RETIRED),
        slot.host.into(),
        slot.channel.into(),
        slot.target.into(),
        slot.lun,
        slot.handler.into(),
        port_group,
        slot.state_source.into(),
        slot.state.into(),
        slot.controller.into(),
        slot.route.into(),
    ] {
        put(out, number);
    }
}

/// The inverse of [`put_path`].
///
/// # Errors
/// It is cut, or a number does not fit its field.
pub fn take_path(left: &mut &[u8]) -> Result<PathSlot, Malformed> {
    let is_retired = take_number(left)? & 1 != 0;
    Ok(PathSlot {
        sdev: if is_retired { RETIRED } else { 0 },
        host: field(left)?,
        channel: field(left)?,
        target: field(left)?,
        lun: take_number(left)?,
        handler: field(left)?,
        handler_state: take_number(left)?,
        state_source: field(left)?,
        state: field(left)?,
        controller: field(left)?,
        route: field(left)?,
        ..PathSlot::FREE
    })
}

/// Appends what is told of a route: its path group, and the dm device that chose it.
pub fn put_route(out: &mut Vec<u8>, slot: &RouteSlot) {
    for number in [slot.path_group, slot.major, slot.minor] {
        put(out, number.into());
    }
}

/// The inverse of [`put_route`].
///
/// # Errors
/// As [`take_path`].
pub fn take_route(left: &mut &[u8]) -> Result<RouteSlot, Malformed> {
    Ok(RouteSlot {
        path_group: field(left)?,
        major: field(left)?,
        minor: field(left)?,
        ..RouteSlot::default()
    })
}

/// Appends what is in flight: how many paths, and of each its id, commands, and the oldest one's dispatch.
pub fn put_in_flight(out: &mut Vec<u8>, in_flight: &[InFlight]) {
    put(out, in_flight.len() as u64);
    for one in in_flight {
        for number in [one.path.into(), one.commands, one.oldest_ns] {
            put(out, number);
        }
    }
}

/// The inverse of [`put_in_flight`].
///
/// # Errors
/// As [`take_path`].
pub fn take_in_flight(left: &mut &[u8]) -> Result<Vec<InFlight>, Malformed> {
    let count = take_number(left)?;
    let mut in_flight = Vec::new();
    for _ in 0..count {
        in_flight.push(InFlight {
            path: field(left)?,
            commands: take_number(left)?,
            oldest_ns: take_number(left)?,
        });
    }
    Ok(in_flight)
}

/// Appends a path's counts as what is new since `before`.
pub fn put_path_counts(out: &mut Vec<u8>, counts: &PathCounts, before: &PathCounts) {
    put_new(out, numbers(counts), numbers(before));
}

/// The inverse of [`put_path_counts`].
///
/// # Errors
/// It is cut.
pub fn take_path_counts(left: &mut &[u8], before: &PathCounts) -> Result<PathCounts, Malformed> {
    let [
        completed,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        passthrough,
        failed,
        timed_out,
        superseded,
        untracked,
        ring_full,
        rejected,
        non_optimized_first_ns,
        non_optimized_last_ns,
    ] = take_new(left, numbers(before))?;
    Ok(PathCounts {
        completed,
        dispatched_by_state: [s0, s1, s2, s3, s4, s5, s6, s7],
        passthrough,
        failed,
        timed_out,
        superseded,
        untracked,
        ring_full,
        rejected,
        non_optimized_first_ns,
        non_optimized_last_ns,
    })
}

fn numbers(counts: &PathCounts) -> [u64; 18] {
    let [s0, s1, s2, s3, s4, s5, s6, s7] = counts.dispatched_by_state;
    [
        counts.completed,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        counts.passthrough,
        counts.failed,
        counts.timed_out,
        counts.superseded,
        counts.untracked,
        counts.ring_full,
        counts.rejected,
        counts.non_optimized_first_ns,
        counts.non_optimized_last_ns,
    ]
}

/// Appends the counts that belong to no path as what is new since `before`.
pub fn put_global_counts(out: &mut Vec<u8>, counts: &GlobalCounts, before: &GlobalCounts) {
    put_new(out, global_numbers(counts), global_numbers(before));
}

/// The inverse of [`put_global_counts`].
///
/// # Errors
/// It is cut.
pub fn take_global_counts(
    left: &mut &[u8],
    before: &GlobalCounts,
) -> Result<GlobalCounts, Malformed> {
    let [
        unmatched_ends,
        path_table_full,
        route_table_full,
        lost_records,
        failed_reads,
        overflowed,
        paths,
        routes,
        not_optimized,
    ] = take_new(left, global_numbers(before))?;
    Ok(GlobalCounts {
        unmatched_ends,
        path_table_full,
        route_table_full,
        lost_records,
        failed_reads,
        overflowed,
        paths,
        routes,
        not_optimized,
    })
}

fn global_numbers(counts: &GlobalCounts) -> [u64; 9] {
    [
        counts.unmatched_ends,
        counts.path_table_full,
        counts.route_table_full,
        counts.lost_records,
        counts.failed_reads,
        counts.overflowed,
        counts.paths,
        counts.routes,
        counts.not_optimized,
    ]
}

fn put_new<const N: usize>(out: &mut Vec<u8>, now: [u64; N], before: [u64; N]) {
    for (now, before) in now.into_iter().zip(before) {
        // Signed: `timed_out` goes down when a late completion arrives.
        put_signed(out, now.wrapping_sub(before) as i64);
    }
}

fn take_new<const N: usize>(left: &mut &[u8], before: [u64; N]) -> Result<[u64; N], Malformed> {
    let mut now = before;
    for number in &mut now {
        *number = number.wrapping_add(take_signed(left)? as u64);
    }
    Ok(now)
}

/// The next number, as what it is a number of.
///
/// # Errors
/// It is cut, or does not fit.
pub(super) fn field<T: TryFrom<u64>>(left: &mut &[u8]) -> Result<T, Malformed> {
    T::try_from(take_number(left)?).map_err(|_| Malformed("a number does not fit its field"))
}
