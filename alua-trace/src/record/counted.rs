//! What the kernel has counted, as numbers in an order that `docs/recording.md` gives.

use super::{
    error::Malformed,
    pack::{put, take_number},
    rare::field,
};
use crate::{model::CountingChange, stats::Counted};

/// Appends what becomes of commands: 0 counted by the user's wish, 1 counted for a while, and for how long, 2 recorded again.
pub fn put_change(out: &mut Vec<u8>, change: CountingChange) {
    match change {
        CountingChange::Asked => put(out, 0),
        CountingChange::Begun { for_ns } => {
            put(out, 1);
            put(out, for_ns);
        }
        CountingChange::Over => put(out, 2),
    }
}

/// The inverse of [`put_change`].
///
/// # Errors
/// It is cut, or none of them.
pub fn take_change(left: &mut &[u8]) -> Result<CountingChange, Malformed> {
    match take_number(left)? {
        0 => Ok(CountingChange::Asked),
        1 => Ok(CountingChange::Begun {
            for_ns: take_number(left)?,
        }),
        2 => Ok(CountingChange::Over),
        _ => Err(Malformed("commands become nothing that is known")),
    }
}

/// Appends how many there are, and of each: path id, class, state, bytes, sum of latencies, commands through a map, errors,
/// commands that are no block I/O, and how many buckets; of each of those how much its smallest latency is above that of the
/// one before, and its count.
pub fn put_counted(out: &mut Vec<u8>, counted: &[Counted]) {
    put(out, counted.len() as u64);
    for it in counted {
        for number in [
            it.path.into(),
            it.class.into(),
            it.state.into(),
            it.bytes,
            it.sum_ns,
            it.mapped,
            it.errors,
            it.passthrough,
            it.buckets.len() as u64,
        ] {
            put(out, number);
        }
        let mut before_ns = 0;
        for (latency_ns, count) in &it.buckets {
            put(out, latency_ns.wrapping_sub(before_ns));
            put(out, u64::from(*count));
            before_ns = *latency_ns;
        }
    }
}

/// The inverse of [`put_counted`].
///
/// # Errors
/// It is cut, or a number does not fit its field.
pub fn take_counted(left: &mut &[u8]) -> Result<Vec<Counted>, Malformed> {
    let mut counted = Vec::new();
    for _ in 0..take_number(left)? {
        counted.push(take_one(left)?);
    }
    Ok(counted)
}

fn take_one(left: &mut &[u8]) -> Result<Counted, Malformed> {
    let mut one = Counted {
        path: field(left)?,
        class: field(left)?,
        state: field(left)?,
        bytes: take_number(left)?,
        sum_ns: take_number(left)?,
        mapped: take_number(left)?,
        errors: take_number(left)?,
        passthrough: take_number(left)?,
        buckets: Vec::new(),
    };
    let mut at_ns = 0_u64;
    for _ in 0..take_number(left)? {
        at_ns = at_ns.wrapping_add(take_number(left)?);
        one.buckets.push((at_ns, field(left)?));
    }
    Ok(one)
}
