//! Commands that the kernel has counted.

use super::*;
use crate::{
    model::{Class, CountingChange},
    stats::Counted,
};

const US: u64 = 1000;

fn counted(path: u16, state: u8, commands: u32) -> Counted {
    Counted {
        path,
        class: 0,
        state,
        bytes: 4096 * u64::from(commands),
        sum_ns: 100 * US * u64::from(commands),
        mapped: u64::from(commands),
        errors: 1,
        buckets: vec![(99_840, commands)],
        ..Counted::default()
    }
}

#[test]
fn what_is_counted_adds_up_with_what_is_recorded() {
    let mut engine = engine();
    engine.take(0, Input::Counting(CountingChange::Asked));
    for at in 0..6 {
        engine.command(&read(10, AO, at * MS, (200 + at) * US), &Host);
    }
    engine.take(9 * MS, Input::Counted(&[counted(10, 0, 40)]));
    let interval = engine.interval(10 * MS);
    let row = interval.rows.iter().find(|row| row.commands > 0).unwrap();
    assert_eq!(
        (row.commands, row.cells[0].commands, row.cells[0].errors),
        (46, 46, 1)
    );
    engine.take(
        19 * MS,
        Input::Counted(&[counted(10, 0, 2), counted(99, 0, 7)]),
    );
    let summary = engine.finish(20 * MS, &|_| 0);
    let path = summary
        .paths
        .iter()
        .find(|it| it.counts.recorded > 0)
        .unwrap();
    assert_eq!((path.counts.recorded, path.counts.counted), (48, 42));
    let latency = &path.latency[0];
    assert_eq!(
        (latency.class, latency.state),
        (Class::Read, AccessState::Optimized)
    );
    assert_eq!(latency.commands, 48);
    let told: u64 = latency.buckets.iter().map(|it| it.1).sum();
    assert_eq!(told, 48);
    // The slowest ones have records.
    assert_eq!((latency.max_ns, latency.slowest.len()), (205 * US, 5));
    // Of a path that nobody has introduced.
    assert_eq!(summary.losses.undecodable, 7);
    let counting = summary.counting.unwrap();
    assert_eq!((counting.since_ns, counting.asked), (0, true));
}

#[test]
fn a_record_is_wanted_of_what_would_be_among_the_slowest() {
    let mut engine = engine();
    assert_eq!(engine.slow_from(10, 0, 0), u64::MAX);
    engine.command(&read(10, AO, 0, 300 * US), &Host);
    // Fewer than are kept.
    assert_eq!(engine.slow_from(10, 0, 0), 0);
    for at in 1..9 {
        engine.command(&read(10, AO, at * MS, (300 + at) * US), &Host);
    }
    assert_eq!(engine.slow_from(10, 0, 0), 304 * US + 1);
    assert_eq!(engine.slow_from(10, 1, 0), 0);
    assert_eq!(engine.slow_from(10, 200, 200), 0);
}

#[test]
fn changing_over_is_noted_once() {
    let mut engine = engine();
    engine.take(
        5 * MS,
        Input::Counting(CountingChange::Begun { for_ns: MS }),
    );
    engine.take(
        7 * MS,
        Input::Counting(CountingChange::Begun { for_ns: MS }),
    );
    let counting = engine.finish(20 * MS, &|_| 0).counting.unwrap();
    assert_eq!((counting.since_ns, counting.asked), (5 * MS, false));
}
