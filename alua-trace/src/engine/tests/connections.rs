//! Tests of iSCSI connections: frames that do not get through, and what is told of the network.

use super::*;
use crate::iscsi::{Connection, Tcp, Timers};
use crate::model::{FlagChange, FlagKind};

const S: u64 = 1_000 * MS;
const HALF: u64 = 500 * MS;
/// DID_TRANSPORT_DISRUPTED.
const LOST: u32 = 0xe_0000;

/// A connection that does well.
fn tcp() -> Tcp {
    Tcp {
        local_port: 40_000,
        mss: Some(8948),
        rtt_us: Some(310),
        retransmits: Some(7),
        backoff: Some(0),
        sacked: Some(0),
        segments_in: Some(50),
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
        timers: Timers {
            recv_s: Some(2),
            ..Timers::default()
        },
        tcp,
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

/// One that has been busy until 2 s.
fn busy() -> Driven {
    let mut engine = engine();
    engine.resolve(10, &Host);
    let well = |nth| {
        Some(Tcp {
            received: Some(nth),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, S, 3, well).is_empty());
    engine
}

#[test]
fn what_lies_behind_a_hole_shows_that_large_frames_are_dropped() {
    let hole = |segments_in| {
        Some(Tcp {
            parked: Some(2304),
            segments_in,
            ..tcp()
        })
    };
    let mut engine = busy();
    let more = |nth| hole(Some(60 + nth as u32));
    // What arrived at the first look is in order: it lasts from the next one on.
    assert!(follow(&mut engine, 2_500 * MS, 6, more).is_empty());
    let raised = follow(&mut engine, 5_500 * MS, 2, |nth| more(nth + 6));
    assert_eq!(raised.len(), 1);
    let flag = &raised[0].flag;
    assert_eq!((flag.kind, flag.paths.len()), (FlagKind::MtuMismatch, 1));
    for part in [
        "1:0:0:0 over eth0 (MTU 9000) to 10.0.0.1:3260 (MTU 9000 or more)",
        "behind one that has been missing",
        "ping -M do -s 8972 -I eth0 10.0.0.1",
    ] {
        assert!(flag.text.contains(part), "{}", flag.text);
    }
    // It is over when a large command completes.
    let well = |_| Some(tcp());
    assert!(follow(&mut engine, 7 * S, 4, well).is_empty());
    engine.command(&read(10, AO, 9 * S, MS), &Host);
    let ended = follow(&mut engine, 9 * S, 2, well);
    assert_eq!((ended.len(), ended[0].change), (1, FlagChange::Ended));
    // A link that died while a segment was missing: nothing arrives behind it.
    let mut engine = busy();
    assert!(follow(&mut engine, 2_500 * MS, 30, |_| hole(Some(60))).is_empty());
}

#[test]
fn loss_and_idleness_are_no_mismatch() {
    let mut engine = engine();
    // A hole that is filled within 2 s, again and again; then nothing to do for a minute, and a short hole.
    let lossy = |nth: u64| {
        Some(Tcp {
            parked: Some(if nth.is_multiple_of(5) { 0 } else { 9000 }),
            received: Some(nth / 5),
            segments_in: Some(nth as u32),
            retransmits: Some(nth as u32),
            backoff: Some(3),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, S, 60, lossy).is_empty());
    assert!(follow(&mut engine, 40 * S, 120, |_| Some(tcp())).is_empty());
    let short = |nth| {
        Some(Tcp {
            parked: Some(9000),
            sacked: Some(2),
            backoff: Some(2),
            segments_in: Some(60 + nth as u32),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, 110 * S, 5, short).is_empty());
    // A link that is down: nothing arrives, and nothing is acknowledged. TCP tries smaller segments on its way.
    let down = |nth: u64| {
        Some(Tcp {
            backoff: Some(6),
            mss: Some(if nth < 6 { 8948 } else { 1024 }),
            ..tcp()
        })
    };
    engine.in_flight(119 * S, &[(10, 2, 119 * S)]);
    engine.in_flight(120 * S, &[(10, 2, 119 * S)]);
    assert!(follow(&mut engine, 120 * S, 20, down).is_empty());
}

#[test]
fn a_segment_that_the_array_never_gets_shows_it_too() {
    let behind = |segments_in| {
        Some(Tcp {
            sacked: Some(3),
            backoff: Some(4),
            segments_in,
            ..tcp()
        })
    };
    let mut engine = busy();
    let raised = follow(&mut engine, 2_500 * MS, 9, |nth| {
        behind(Some(60 + nth as u32))
    });
    assert_eq!(raised.len(), 1);
    let text = &raised[0].flag.text;
    assert!(text.contains("behind one that it has missed"), "{text}");
    let mut engine = busy();
    assert!(follow(&mut engine, 2_500 * MS, 30, |_| behind(Some(60))).is_empty());
}

/// The array's TCP acknowledges the NOP-Out that iSCSI sends after 2 s of silence at 2.5 s of it; `of` makes what else
/// there is at each look.
fn asks(engine: &mut Driven, of: impl Fn(u64, Tcp) -> Tcp) -> Vec<FlagEvent> {
    let since = 2 * S - MS;
    for at in [2 * S, 3 * S] {
        engine.in_flight(at, &[(10, 2, since)]);
    }
    follow(engine, 2_500 * MS, 8, |nth| {
        let tcp = Tcp {
            acked: Some(if nth < 4 { 1000 } else { 1048 }),
            received: Some(2),
            ..tcp()
        };
        Some(of(nth, tcp))
    })
}

#[test]
fn a_question_acknowledged_and_not_answered_shows_it() {
    let mut engine = busy();
    let raised = asks(&mut engine, |_, tcp| tcp);
    assert_eq!(raised.len(), 1, "{raised:?}");
    let flag = &raised[0].flag;
    // The silence began at 2 s, and the connection would be given up at 6 s.
    assert_eq!(
        (flag.first_at_ns, flag.raised_at_ns),
        (2 * S, 5_500 * MS + 1)
    );
    assert!(flag.text.contains("NOP-Out"), "{}", flag.text);
    // A slow array answers.
    let mut engine = busy();
    let answered = |nth, tcp: Tcp| Tcp {
        received: Some(if nth < 5 { 2 } else { 50 }),
        ..tcp
    };
    assert!(asks(&mut engine, answered).is_empty());
    // A small MTU drops nothing that is larger.
    let mut engine = busy();
    let small = |_, tcp: Tcp| Tcp {
        mss: Some(1448),
        ..tcp
    };
    assert!(asks(&mut engine, small).is_empty());
    // Without a command in flight nobody waits.
    let mut engine = busy();
    let idle = |nth: u64| {
        Some(Tcp {
            acked: Some(1000 + nth),
            received: Some(2),
            ..tcp()
        })
    };
    assert!(follow(&mut engine, 2_500 * MS, 20, idle).is_empty());
}

#[test]
fn a_segment_size_that_collapses_is_told_until_it_is_back() {
    let mut engine = busy();
    let small = |nth| {
        Some(Tcp {
            mss: Some(1024),
            acked: Some(2000 + nth),
            ..tcp()
        })
    };
    let raised = follow(&mut engine, 2_500 * MS, 3, small);
    assert_eq!(raised.len(), 1);
    let text = &raised[0].flag.text;
    assert!(text.contains("MSS from 8948 to 1024"), "{text}");
    let ended = follow(&mut engine, 4 * S, 2, |_| Some(tcp()));
    assert_eq!(ended[0].change, FlagChange::Ended);
}

/// Writes of 4 KiB die with the connection at 5 s; on the next one the same segment is sent again from 6 s on.
fn dies_and_stalls(
    engine: &mut Driven,
    result: u32,
    between: Option<CommandRecord>,
    backoff: u8,
) -> Vec<FlagEvent> {
    follow(engine, S, 8, |_| Some(tcp()));
    let mut dead = read(10, AO, S, 4 * S);
    dead.result = result;
    engine.command(&dead, &Host);
    follow(engine, 5 * S, 2, |_| None);
    if let Some(record) = between {
        engine.command(&record, &Host);
    }
    let next = |_| {
        Some(Tcp {
            local_port: 40_001,
            received: Some(400),
            backoff: Some(backoff),
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
    let raised = dies_and_stalls(&mut engine, LOST, None, 2);
    assert_eq!(raised.len(), 1, "{raised:?}");
    let flag = &raised[0].flag;
    assert_eq!((flag.kind, flag.first_at_ns), (FlagKind::MtuMismatch, S));
    assert!(flag.raised_at_ns <= 8 * S);
    assert!(flag.text.contains("re-established"), "{}", flag.text);
    // The session is gone, and so is what is wrong with it.
    engine.take(10 * S, Input::Connections(&[]));
    engine.tick(10 * S);
    let ended = said_of_flags(&mut engine);
    assert_eq!((ended.len(), ended[0].change), (1, FlagChange::Ended));
}

#[test]
fn a_connection_that_died_otherwise_is_no_mismatch() {
    // A large command has completed since; an array that holds I/O after a takeover; a unit attention.
    let large = read(10, AO, 6 * S + MS / 2, MS);
    assert!(dies_and_stalls(&mut engine(), LOST, Some(large), 2).is_empty());
    assert!(dies_and_stalls(&mut engine(), LOST, None, 0).is_empty());
    assert!(dies_and_stalls(&mut engine(), 2, None, 2).is_empty());
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
        let rows = interval.rows.iter().map(|it| it.network);
        rows.collect::<Vec<_>>()
    };
    let told = |retransmits| {
        let network = model::Network {
            rtt_us: Some(310),
            retransmits,
        };
        vec![Some(network), None]
    };
    // From before the trace.
    assert_eq!(at(&mut engine, 1, 40_000, 7), told(0));
    assert_eq!(at(&mut engine, 2, 40_000, 9), told(2));
    assert_eq!(at(&mut engine, 3, 40_000, 9), told(0));
    // Of the next connection.
    assert_eq!(at(&mut engine, 4, 40_001, 3), told(3));
    let paths = engine.finish(5 * S, &|_| 0).paths;
    assert_eq!(paths[0].network.unwrap().retransmits, 5);
}

/// An adapter that has TCP of its own: the kernel knows nothing of it, which is not zero.
#[test]
fn what_the_kernel_does_not_know_is_not_told() {
    let mut engine = engine();
    engine.take(S, Input::Connections(&[session(None)]));
    let interval = engine.interval(2 * S);
    assert!(interval.rows.iter().all(|it| it.network.is_none()));
}
