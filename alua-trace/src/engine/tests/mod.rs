//! Tests of the engine, driven as a live trace drives it.

use alua_trace_ebpf::{
    CommandRecord, Followed, RouteSlot, access_state, command_flag, record_kind, state_source,
};

use super::*;
use crate::{
    model::{self, AccessState, Flag, FlagEvent, PathChange, PathSummary},
    topology::{AccessStateText, Device, DmTable, Map},
};
use driven::{Driven, Tables};

mod connections;
mod counted;
mod driven;
mod early;
mod flags;
mod stuck;

const MS: u64 = 1_000_000;
const AO: u8 = 0;
const AN: u8 = 1;

/// Two paths to one LUN in a map: kernel ids 10 (1:0:0:0) and 11 (2:0:0:0).
struct Host;

impl Tables for Host {
    fn path(&self, id: u16) -> Option<PathSlot> {
        let host = match id {
            10 => 1,
            11 => 2,
            _ => return None,
        };
        Some(PathSlot {
            sdev: 0xffff,
            host,
            ..PathSlot::default()
        })
    }

    fn route(&self, id: u16) -> Option<RouteSlot> {
        (id == 3).then(|| RouteSlot {
            pgpath: 1 << 40,
            path_group: 2,
            major: 254,
            ..RouteSlot::default()
        })
    }
}

fn device(hctl: &str, devno: &str, state: &str) -> Device {
    Device {
        name: Some(format!("sd{devno}")),
        devno: Some(devno.parse().unwrap()),
        wwid: Some("naa.6001".into()),
        device_type: Some(0),
        handler: Some("alua".into()),
        access_state: Some(AccessStateText::new(state)),
        preferred: Some(false),
        running: true,
        vendor: Some("LIO".into()),
        ..Device::unknown(hctl.parse().unwrap())
    }
}

fn topology_with(status: &str, first: Device) -> Topology {
    topology_of(
        status,
        vec![first, device("2:0:0:0", "8:16", "active/non-optimized")],
    )
}

fn topology_of(status: &str, devices: Vec<Device>) -> Topology {
    let table = DmTable {
        name: "mpatha".into(),
        devno: "254:0".parse().unwrap(),
        uuid: None,
        status: status.into(),
        table: "0 1 alua 2 1 service-time 0 1 2 8:0 1 1 service-time 0 1 2 8:16 1 1".into(),
    };
    Topology::new(devices, vec![Map::from_dm(&table).unwrap()], Vec::new())
}

const BOTH_ACTIVE: &str = "2 0 0 0 2 1 A 0 1 2 8:0 A 0 0 1 E 0 1 2 8:16 A 0 0 1";
const FIRST_FAILED: &str = "2 0 0 0 2 1 A 0 1 2 8:0 F 1 0 1 E 0 1 2 8:16 A 0 0 1";

fn topology(status: &str) -> Topology {
    topology_with(status, device("1:0:0:0", "8:0", "active/optimized"))
}

fn engine() -> Driven {
    let mut engine = Driven::new(Wanted::default());
    engine.topology(&topology(BOTH_ACTIVE), 0);
    engine.take_lines();
    engine
}

fn read(path: u16, state: u8, dispatch_ns: u64, latency_ns: u64) -> CommandRecord {
    read_from(
        path,
        state,
        state_source::HANDLER_DATA,
        0,
        dispatch_ns,
        latency_ns,
    )
}

fn read_from(
    path: u16,
    state: u8,
    source: u8,
    flags: u8,
    dispatch_ns: u64,
    latency_ns: u64,
) -> CommandRecord {
    CommandRecord {
        kind: record_kind::COMMAND,
        sense_key: 0,
        asc: 0,
        ascq: 0,
        result: 0,
        dispatch_ns,
        completion_ns: dispatch_ns + latency_ns,
        followed: Followed::new(path, 3, state, source, flags),
        cdb: [0x28, 0, 0, 0, 0, 8, 0, 0, 8, 0, 0, 0],
        bytes: 4096,
        retries: 0,
        waited_us: 0,
    }
}

fn unknown(path: u16, dispatch_ns: u64) -> CommandRecord {
    read_from(
        path,
        access_state::UNKNOWN,
        state_source::NONE,
        0,
        dispatch_ns,
        1,
    )
}

fn dispatched(optimized: u64, non_optimized: u64) -> PathCounts {
    let mut counts = PathCounts::default();
    counts.dispatched_by_state[0] = optimized;
    counts.dispatched_by_state[1] = non_optimized;
    if non_optimized > 0 {
        counts.non_optimized_first_ns = 12 * MS;
        counts.non_optimized_last_ns = 29 * MS;
    }
    counts
}

fn not_optimized(n: u64) -> GlobalCounts {
    GlobalCounts {
        not_optimized: n,
        ..GlobalCounts::default()
    }
}

fn said_of_flags(engine: &mut Driven) -> Vec<FlagEvent> {
    let events = engine.take_lines().into_iter();
    events
        .filter_map(|event| match event {
            Line::Flag(event) => Some(event),
            _ => None,
        })
        .collect()
}

#[test]
fn a_command_is_filed_under_its_path_class_and_state() {
    let mut engine = engine();
    engine.command(&read(10, AO, 5, 1_000), &Host);
    engine.command(&read(11, AN, 6, 2_000), &Host);
    engine.command(&read(99, AO, 7, 1_000), &Host);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let of = |hctl: &str| paths.iter().find(|path| path.path.hctl == hctl).unwrap();
    assert_eq!(of("1:0:0:0").latency[0].state, AccessState::Optimized);
    assert_eq!(of("2:0:0:0").latency[0].state, AccessState::NonOptimized);
    assert_eq!(of("2:0:0:0").latency[0].mapped, 1);
    assert_eq!(of("2:0:0:0").path.path_group, Some(2));
    assert_eq!(paths.len(), 2, "an id nobody knows makes no path");
}

#[test]
fn the_slowest_commands_of_a_path_are_kept_by_class_and_state() {
    let mut engine = engine();
    let latencies = [3_000, 9_000, 1_000, 7_000, 8_000, 2_000, 9_000, 500];
    for (at_ns, latency_ns) in (100_000..).zip(latencies) {
        engine.command(&read(11, AN, at_ns, latency_ns), &Host);
    }
    engine.command(&read(11, AO, 5, 4_000), &Host);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let path = paths.iter().find(|it| it.path.hctl == "2:0:0:0").unwrap();
    let of = |state| {
        let latency = path.latency.iter().find(|it| it.state == state).unwrap();
        let slowest = latency.slowest.iter().map(|it| it.latency_ns);
        slowest.collect::<Vec<u64>>()
    };
    assert_eq!(
        of(AccessState::NonOptimized),
        [9_000, 9_000, 8_000, 7_000, 3_000]
    );
    assert_eq!(of(AccessState::Optimized), [4_000]);
    let slowest = &path.latency[1].slowest[0];
    assert_eq!(
        (slowest.dispatched_at_ns, slowest.path_group),
        (100_001, Some(2))
    );
}

#[test]
fn a_described_command_names_its_route() {
    let mut engine = engine();
    engine.wanted.commands = true;
    let record = read(11, AN | access_state::PREFERRED, 6, 2_000);
    engine.command(&record, &Host);
    let Some(Line::Command(command)) = engine.take_lines().pop() else {
        panic!("no command");
    };
    assert_eq!(command.dm_devno.as_deref(), Some("254:0"));
    assert_eq!(command.path_group, Some(2));
    assert_eq!(
        (command.state, command.lba),
        (AccessState::NonOptimized, Some(8))
    );
    assert_eq!(command.sense, None);
}

#[test]
fn completion_before_dispatch_is_counted_and_not_recorded() {
    let mut engine = engine();
    let mut record = read(10, AO, 1_000, 0);
    record.completion_ns = 999;
    engine.command(&record, &Host);
    assert_eq!(engine.losses().implausible, 1);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    assert!(paths.iter().all(|path| path.latency.is_empty()));
}

#[test]
fn an_older_dispatch_does_not_bring_back_its_state() {
    let mut engine = engine();
    engine.command(&read(10, AN, 100, 10), &Host);
    engine.command(&read(10, AO, 50, 100), &Host);
    let states: Vec<AccessState> = engine
        .take_lines()
        .into_iter()
        .filter_map(|event| match event {
            Line::Path(event) if event.change == PathChange::State => Some(event.path.state),
            _ => None,
        })
        .collect();
    assert_eq!(states, [AccessState::NonOptimized]);
}

#[test]
fn sysfs_is_believed_only_once_the_array_has_been_asked() {
    let mut engine = engine();
    let state_of = |engine: &Driven, hctl: &str| {
        engine
            .shown_paths()
            .into_iter()
            .find(|path| path.hctl == hctl)
            .unwrap()
            .state
    };
    assert_eq!(state_of(&engine, "2:0:0:0"), AccessState::Unknown);
    engine.command(&unknown(10, 1), &Host);
    engine.topology(&topology(BOTH_ACTIVE), 10);
    assert_eq!(state_of(&engine, "2:0:0:0"), AccessState::Unknown);
    engine.command(&read(10, AO, 20, 1), &Host);
    engine.topology(&topology(BOTH_ACTIVE), 30);
    assert_eq!(state_of(&engine, "2:0:0:0"), AccessState::NonOptimized);
}

#[test]
fn unknown_states_and_passthrough_raise_nothing() {
    let mut engine = engine();
    engine.command(&unknown(11, 1), &Host);
    let checker = read_from(
        11,
        AN,
        state_source::HANDLER_DATA,
        command_flag::PASSTHROUGH,
        2,
        1,
    );
    engine.command(&checker, &Host);
    engine.tick(10);
    assert!(said_of_flags(&mut engine).is_empty());
}

#[test]
fn shares_add_up_within_a_map_and_empty_intervals_are_unknown() {
    let mut engine = engine();
    for at in 0..30 {
        engine.command(
            &read(if at % 3 == 0 { 10 } else { 11 }, AO, at, 1_000),
            &Host,
        );
    }
    let interval = engine.interval(1_000 * MS);
    let shares: Vec<f64> = interval.rows.iter().map(|row| row.share).collect();
    assert!((shares[0] - 1.0 / 3.0).abs() < 1e-9 && (shares[1] - 2.0 / 3.0).abs() < 1e-9);
    assert!((interval.rows[0].iops - 10.0).abs() < 1e-9);
    let empty = engine.interval(2_000 * MS);
    assert!(
        empty
            .rows
            .iter()
            .all(|row| row.p50_ns.is_none() && row.share == 0.0)
    );
}

#[test]
fn only_the_wanted_maps_are_shown() {
    let mut engine = Driven::new(Wanted {
        thresholds: Thresholds::default(),
        maps: vec!["other".into()],
        commands: true,
    });
    engine.topology(&topology(BOTH_ACTIVE), 0);
    let record = read(11, AN, 1, 1_000);
    engine.command(&record, &Host);
    engine.tick(2);
    assert!(engine.take_lines().is_empty());
    assert!(engine.shown_paths().is_empty());
}

#[test]
fn counts_survive_a_second_id_for_the_same_path() {
    struct Twice;
    impl Tables for Twice {
        fn path(&self, _: u16) -> Option<PathSlot> {
            Some(PathSlot {
                sdev: 1,
                host: 1,
                ..PathSlot::default()
            })
        }
        fn route(&self, _: u16) -> Option<RouteSlot> {
            None
        }
    }
    let mut engine = engine();
    engine.resolve(20, &Twice);
    engine.resolve(21, &Twice);
    engine.topology(&topology(BOTH_ACTIVE), 1);
    let per_path = [(20, dispatched(5, 0)), (21, dispatched(7, 0))];
    engine.counts(GlobalCounts::default(), &per_path, 1);
    let paths = engine.finish(u64::MAX, &|id| u64::from(id)).paths;
    let path = paths
        .iter()
        .find(|path| path.path.hctl == "1:0:0:0")
        .unwrap();
    assert_eq!((path.counts.dispatched, path.counts.in_flight), (12, 41));
}
