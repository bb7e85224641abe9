//! Tests of iSCSI connections: frames that do not get through, and what is told of the network.

use super::*;
use crate::iscsi::{Connection, Tcp};
use crate::model::{FlagChange, FlagKind};

const S: u64 = 1_000 * MS;
const HALF: u64 = 500 * MS;

/// A connection that does well.
fn tcp() -> Tcp {
    Tcp {
        local_port: 40_000,
        mss: Some(8948),
        rtt_us: Some(310),
        retransmits: Some(7),
        backoff: Some(0),
        sacked: Some(0),
        acked: Some(1000),
        received: Some(1000),
        parked: Some(0),
    }
}

fn session(tcp: Option<Tcp>) -> Connection {
    Connection {
        target: (1, 0, 0),
        portal: Some("10.0.0.1:3260".into()),
        interface: Some("eth0".into()),
        mtu: Some(9000),
        tcp,
        ..Connection::default()
    }
}

/// Looks twice a second, from `from` on, each time at what `of` makes of it.
fn follow(
    engine: &mut Driven,
    from: u64,
    looks: u64,
    of: impl Fn(u64) -> Option<Tcp>,
) -> Vec<FlagEvent> {
    for nth in 0..looks {
        let at = from + nth * HALF;
        engine.take(at, Input::Connections(&[session(of(nth))]));
        engine.tick(at + 1);
    }
    said_of_flags(engine)
}

#[test]
fn what_lies_behind_a_hole_shows_that_large_frames_are_dropped() {
    let mut engine = engine();
    let hole = |_| {
        Some(Tcp {
            parked: Some(2304),
            ..tcp()
        })
    };
    assert!(
        follow(&mut engine, S, 2, |nth| Some(Tcp {
            received: Some(nth),
            ..tcp()
        }))
        .is_empty()
    );
    assert!(follow(&mut engine, 2 * S, 6, hole).is_empty());
    let raised = follow(&mut engine, 5 * S, 2, hole);
    assert_eq!(raised.len(), 1);
    let flag = &raised[0].flag;
    assert_eq!((flag.kind, flag.paths.len()), (FlagKind::MtuMismatch, 1));
    assert_eq!(flag.paths, ["1:0:0:0"]);
    for part in [
        "1:0:0:0 over eth0 (MTU 9000) to",
        "10.0.0.1:3260 (MTU 9000 or more)",
        "2304 bytes",
        "ping -M do -s 8972 -I eth0 10.0.0.1",
    ] {
        assert!(flag.text.contains(part), "{}", flag.text);
    }
    // It is over when a large command completes.
    let well = |_| Some(tcp());
    assert!(follow(&mut engine, 6 * S, 4, well).is_empty());
    engine.command(&read(10, AO, 8 * S, MS), &Host);
    let ended = follow(&mut engine, 8 * S, 2, well);
    assert_eq!((ended.len(), ended[0].change), (1, FlagChange::Ended));
}

#[test]
fn loss_and_idleness_are_no_mismatch() {
    let mut engine = engine();
    // A hole that is filled within 2 s, again and again; then nothing to do for a minute, and a short hole.
    let lossy = |nth: u64| {
        Some(Tcp {
            parked: Some(if nth.is_multiple_of(5) { 0 } else { 9000 }),
            received: Some(nth / 5),
            retransmits: Some(nth as u32),
            backoff: Some(3),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, S, 60, lossy).is_empty());
    assert!(follow(&mut engine, 40 * S, 120, |_| Some(tcp())).is_empty());
    let short = |_| {
        Some(Tcp {
            parked: Some(9000),
            sacked: Some(2),
            backoff: Some(2),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, 110 * S, 5, short).is_empty());
    // A link that is down: nothing arrives, and nothing is acknowledged.
    let down = |_| {
        Some(Tcp {
            backoff: Some(6),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, 120 * S, 20, down).is_empty());
}

#[test]
fn a_segment_that_the_array_never_gets_shows_it_too() {
    let mut engine = engine();
    follow(&mut engine, S, 2, |_| Some(tcp()));
    let behind = |_| {
        Some(Tcp {
            sacked: Some(3),
            backoff: Some(4),
            ..tcp()
        })
    };
    let raised = follow(&mut engine, 2 * S, 9, behind);
    assert_eq!(raised.len(), 1);
    assert!(
        raised[0].flag.text.contains("3 segments behind"),
        "{}",
        raised[0].flag.text
    );
}

#[test]
fn a_segment_size_that_collapses_is_told_until_it_is_back() {
    let mut engine = engine();
    follow(&mut engine, S, 2, |_| Some(tcp()));
    let small = |_| {
        Some(Tcp {
            mss: Some(1024),
            ..tcp()
        })
    };
    let raised = follow(&mut engine, 2 * S, 2, small);
    assert_eq!(raised.len(), 1);
    assert!(
        raised[0]
            .flag
            .text
            .contains("from segments of 8948 bytes to 1024")
    );
    let ended = follow(&mut engine, 4 * S, 2, |_| Some(tcp()));
    assert_eq!(ended[0].change, FlagChange::Ended);
}

/// Reads of 4 KiB die with the connection at 5 s; the next one stands still from 6 s on.
fn dies_and_stands_still(engine: &mut Driven, between: Option<CommandRecord>) -> Vec<FlagEvent> {
    follow(engine, S, 8, |_| Some(tcp()));
    let mut dead = read(10, AO, S, 4 * S);
    dead.result = 0xe_0000;
    engine.command(&dead, &Host);
    follow(engine, 5 * S, 2, |_| None);
    if let Some(record) = between {
        engine.command(&record, &Host);
    }
    let next = |_| {
        Some(Tcp {
            local_port: 40_001,
            received: Some(400),
            ..tcp()
        })
    };
    let mut events = Vec::new();
    for nth in 0..6 {
        let at = 6 * S + nth * HALF;
        engine.in_flight(at, &[(10, 2, 6 * S + MS)]);
        events.extend(follow(engine, at, 1, next));
    }
    events
}

#[test]
fn a_connection_that_dies_again_and_again_shows_it() {
    let mut engine = engine();
    let raised = dies_and_stands_still(&mut engine, None);
    assert_eq!(raised.len(), 1, "{raised:?}");
    let flag = &raised[0].flag;
    assert_eq!((flag.kind, flag.first_at_ns), (FlagKind::MtuMismatch, S));
    assert!(flag.raised_at_ns <= 8 * S);
    assert!(flag.text.contains("was made anew"), "{}", flag.text);
}

#[test]
fn a_link_that_was_down_and_is_slow_is_no_mismatch() {
    let mut engine = engine();
    let large = read(10, AO, 6 * S + MS / 2, MS);
    assert!(dies_and_stands_still(&mut engine, Some(large)).is_empty());
}

#[test]
fn rows_have_what_was_sent_again_in_their_interval() {
    let mut engine = engine();
    let at = |engine: &mut Driven, s: u64, port: u16, again: u32| {
        let tcp = Tcp {
            local_port: port,
            retransmits: Some(again),
            ..tcp()
        };
        engine.take(s * S, Input::Connections(&[session(Some(tcp))]));
        let interval = engine.interval(s * S + 1);
        interval
            .rows
            .iter()
            .map(|it| it.network)
            .collect::<Vec<_>>()
    };
    let told = |retransmits| {
        let network = model::Network {
            rtt_us: Some(310),
            retransmits,
        };
        vec![Some(network), None]
    };
    assert_eq!(
        at(&mut engine, 1, 40_000, 7),
        told(0),
        "from before the trace"
    );
    assert_eq!(at(&mut engine, 2, 40_000, 9), told(2));
    assert_eq!(at(&mut engine, 3, 40_000, 9), told(0));
    assert_eq!(
        at(&mut engine, 4, 40_001, 3),
        told(3),
        "of the next connection"
    );
    let paths = engine.finish(5 * S, &|_| 0).paths;
    assert_eq!(paths[0].network.unwrap().retransmits, 5);
}
