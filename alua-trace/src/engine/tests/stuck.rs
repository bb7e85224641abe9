//! Tests of paths that complete nothing.

use alua_trace_ebpf::{DmRecord, dm_event};

use super::*;
use crate::iscsi::{Connection, Timers};
use crate::model::{FlagChange, FlagKind};

const S: u64 = 1_000 * MS;
/// When the first path goes silent.
const SILENT: u64 = 2 * S;

/// Both paths have completed reads of 1 ms until [`SILENT`], one each ms.
fn busy() -> Driven {
    let mut engine = engine();
    engine.counts(GlobalCounts::default(), &[(10, dispatched(0, 0))], 1);
    for at in (0..SILENT / MS).step_by(2) {
        engine.command(&read(10, AO, at * MS, MS), &Host);
        engine.command(&read(11, AO, at * MS, MS), &Host);
    }
    engine
}

/// Time goes on from the silence to `until`; in each 50 ms the other path completes what it is given, and the slots are read
/// where that is wanted.
fn go_on(
    engine: &mut Driven,
    until: u64,
    other: bool,
    in_flight: &[(u16, u64, u64)],
) -> Vec<FlagEvent> {
    let mut events = Vec::new();
    for at in (SILENT..until).step_by(50 * MS as usize) {
        if other {
            engine.command(&read(11, AO, at, MS), &Host);
        }
        if engine.wants().in_flight {
            engine.in_flight(at, in_flight);
        }
        engine.tick(at);
        events.extend(said_of_flags(engine));
    }
    events
}

#[test]
fn a_silent_path_is_stuck_while_the_other_goes_on() {
    let mut engine = busy();
    let since = SILENT - MS;
    let events = go_on(&mut engine, SILENT + 3 * S, true, &[(10, 4, since)]);
    assert_eq!(events.len(), 1, "{events:?}");
    let flag = &events[0].flag;
    assert_eq!(
        (events[0].change, flag.kind),
        (FlagChange::Raised, FlagKind::StuckPath)
    );
    assert_eq!(flag.paths, ["1:0:0:0"]);
    assert_eq!((flag.subject.as_str(), flag.first_at_ns), ("mpatha", since));
    let waited = flag.raised_at_ns - SILENT;
    assert!((S..S + 200 * MS).contains(&waited), "{waited}");
    assert!(flag.text.contains("4 commands in flight"), "{}", flag.text);
    assert!(flag.text.contains("2:0:0:0 goes on"), "{}", flag.text);
    assert!(
        flag.text.contains("SCSI command timer aborts them"),
        "{}",
        flag.text
    );
    // One of them completes.
    engine.command(&read(10, AO, since, 4 * S), &Host);
    engine.tick(SILENT + 5 * S);
    let ended = said_of_flags(&mut engine);
    assert_eq!(ended[0].change, FlagChange::Ended);
    let flag = &ended[0].flag;
    assert_eq!(flag.ended_at_ns, Some(since + 4 * S));
    assert!(flag.text.contains("nothing for 4"), "{}", flag.text);
}

#[test]
fn a_slow_array_has_no_stuck_path() {
    let mut engine = busy();
    let all = [(10, 4, SILENT - MS), (11, 4, SILENT - MS)];
    assert!(go_on(&mut engine, SILENT + 3 * S, false, &all).is_empty());
    // Nor where all that is in flight is on one path, and the others are given nothing.
    let mut engine = busy();
    let one = [(10, 4, SILENT - MS)];
    assert!(go_on(&mut engine, SILENT + 3 * S, false, &one).is_empty());
}

/// The load has a bound, and all of it ends up on the silent path.
#[test]
fn a_path_is_stuck_though_the_load_has_come_to_a_stop() {
    let mut engine = busy();
    let since = SILENT - 20 * MS;
    for at in 0..4 {
        engine.command(&read(11, AO, since + at * MS + 1, MS), &Host);
    }
    let events = go_on(&mut engine, SILENT + 2 * S, false, &[(10, 8, since)]);
    assert_eq!(events.len(), 1, "{events:?}");
}

/// The others completed some after it before they became as slow.
#[test]
fn what_is_in_flight_elsewhere_must_be_younger() {
    let mut engine = busy();
    let since = SILENT - 20 * MS;
    for at in 0..4 {
        engine.command(&read(11, AO, since + at * MS + 1, MS), &Host);
    }
    let all = [(10, 4, since), (11, 4, since + 10 * MS)];
    assert!(go_on(&mut engine, SILENT + 3 * S, false, &all).is_empty());
}

#[test]
fn silence_is_measured_by_what_the_path_is_used_to() {
    let mut engine = busy();
    for at in 0..100 {
        engine.command(&read(10, AO, at * MS, 300 * MS), &Host);
    }
    let on = [(10, 1, SILENT - MS)];
    assert!(go_on(&mut engine, SILENT + 2_500 * MS, true, &on).is_empty());
    assert_eq!(go_on(&mut engine, SILENT + 4 * S, true, &on).len(), 1);
}

#[test]
fn an_idle_path_is_looked_at_once() {
    let mut engine = busy();
    assert!(go_on(&mut engine, SILENT + 2 * S, true, &[]).is_empty());
    assert!(!engine.wants().in_flight);
    // Until something is dispatched there again, and nothing comes of it.
    engine.counts(
        GlobalCounts::default(),
        &[(10, dispatched(3_000, 0))],
        SILENT + 2 * S,
    );
    engine.tick(SILENT + 3 * S);
    assert!(engine.wants().in_flight);
}

/// A slot that changes hands while it is read may show another command's time.
#[test]
fn one_reading_is_none() {
    let mut engine = busy();
    for (nth, at) in (SILENT..SILENT + 3 * S)
        .step_by(100 * MS as usize)
        .enumerate()
    {
        engine.command(&read(11, AO, at, MS), &Host);
        engine.in_flight(at, &[(10, 1, SILENT - nth as u64)]);
        engine.tick(at);
    }
    assert!(said_of_flags(&mut engine).is_empty());
}

/// dm fails the first path.
fn dm_failed() -> DmRecord {
    DmRecord {
        kind: record_kind::DM,
        event: dm_event::FAIL_PATH,
        device: 8 << 20,
        at_ns: 0,
        path_group: 1,
        result: 0,
        map_major: 254,
        map_minor: 0,
        pid: 0,
        comm: [0; 16],
        words: [[0; 16]; 2],
    }
}

#[test]
fn it_ends_when_dm_fails_the_path() {
    let mut engine = busy();
    go_on(&mut engine, SILENT + 2 * S, true, &[(10, 4, SILENT - MS)]);
    let mut failed = dm_failed();
    failed.at_ns = SILENT + 2 * S;
    engine.take(0, Input::Record(&crate::ingest::bytes_of(&failed)));
    engine.tick(SILENT + 3 * S);
    let ended = said_of_flags(&mut engine);
    assert_eq!(ended[0].flag.ended_at_ns, Some(SILENT + 2 * S));
    assert!(ended[0].flag.text.contains("dm failed the path"));
}

/// multipathd may fail and reinstate a path whose commands still hang: it is told again after a second, not each tick.
#[test]
fn a_path_that_comes_back_stuck_is_told_once_more() {
    let mut engine = busy();
    let on = [(10, 4, SILENT - MS)];
    assert_eq!(go_on(&mut engine, SILENT + 2 * S, true, &on).len(), 1);
    let mut failed = dm_failed();
    failed.at_ns = SILENT + 2 * S;
    engine.take(0, Input::Record(&crate::ingest::bytes_of(&failed)));
    let events: Vec<FlagEvent> = (0..60)
        .flat_map(|nth| {
            let at = SILENT + 2 * S + nth * 50 * MS;
            engine.command(&read(11, AO, at, MS), &Host);
            engine.in_flight(at, &on);
            engine.tick(at);
            said_of_flags(&mut engine)
        })
        .collect();
    let changes: Vec<FlagChange> = events.iter().map(|it| it.change).collect();
    assert_eq!(changes, [FlagChange::Ended, FlagChange::Raised]);
    let again_ns = events[1].flag.raised_at_ns;
    assert!(again_ns >= SILENT + 3 * S, "a second after dm gave it up");
}

/// Commands that hung say nothing of what a path is used to.
#[test]
fn a_stall_before_does_not_hide_the_next() {
    let mut engine = busy();
    engine.tick(SILENT);
    // 60 of some 1,000 have hung for 9 s.
    for nth in 0..60 {
        engine.command(&read(10, AO, SILENT, 9 * S + nth), &Host);
    }
    for at in (SILENT + 9 * S..SILENT + 9_500 * MS).step_by(MS as usize) {
        engine.command(&read(11, AO, at, MS), &Host);
        engine.command(&read(10, AO, at, MS), &Host);
    }
    let since = SILENT + 9_500 * MS;
    let mut events = Vec::new();
    for at in (since..since + 3 * S).step_by(50 * MS as usize) {
        engine.command(&read(11, AO, at, MS), &Host);
        engine.in_flight(at, &[(10, 4, since)]);
        engine.tick(at);
        events.extend(said_of_flags(&mut engine));
    }
    assert_eq!(events.len(), 1, "{events:?}");
}

#[test]
fn the_timer_that_ends_it_is_named() {
    let mut engine = busy();
    let session = Connection {
        target: (1, 0, 0),
        timers: Timers {
            recv_s: Some(5),
            ping_s: Some(6),
            recovery_s: Some(120),
        },
        ..Connection::default()
    };
    engine.take(SILENT, Input::Connections(&[session]));
    let events = go_on(&mut engine, SILENT + 2 * S, true, &[(10, 4, SILENT - MS)]);
    let text = &events[0].flag.text;
    for part in [
        "5 s of silence (recv_tmo)",
        "6 s later (ping_tmo)",
        "120 s later (recovery_tmo)",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
