//! Devices that come, go and change while traced, and what is told before topology knows them.

use alua_trace_ebpf::{MANAGEMENT_DATA, ManagementRecord, RtpgRecord};

use super::*;
use crate::model::FlagKind;

/// A host on which 1:0:0:0 came back, or another device came there: kernel id 20.
struct Again;

impl Tables for Again {
    fn path(&self, id: u16) -> Option<PathSlot> {
        Host.path(if id == 20 { 10 } else { id })
    }

    fn route(&self, id: u16) -> Option<RouteSlot> {
        Host.route(id)
    }
}

#[test]
fn a_device_that_returns_is_the_same_path_and_another_lun_is_not() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Host);
    let id = |engine: &Driven| engine.shown_paths()[0].id;
    let before = id(&engine);
    let only_second = Topology::new(
        vec![device("2:0:0:0", "8:16", "active/non-optimized")],
        Vec::new(),
        Vec::new(),
    );
    engine.topology(&only_second, 2);
    engine.topology(&topology(BOTH_ACTIVE), 3);
    assert_eq!(id(&engine), before);
    engine.topology(&topology_with(BOTH_ACTIVE, other_lun()), 4);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let same_address: Vec<&PathSummary> = paths
        .iter()
        .filter(|path| path.path.hctl == "1:0:0:0")
        .collect();
    assert_eq!(same_address.len(), 2);
    assert_eq!(same_address.iter().filter(|path| path.present).count(), 1);
}

/// The scan of a device's target sends commands before sysfs has the device.
#[test]
fn a_device_met_before_topology_knows_it_is_the_path_that_returns() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Again);
    let without = || {
        let second = device("2:0:0:0", "8:16", "active/non-optimized");
        Topology::new(vec![second], Vec::new(), Vec::new())
    };
    engine.topology(&without(), 2);
    engine.take_lines();
    engine.command(&read(20, AO, 3, 1_000), &Again);
    engine.topology(&without(), 4);
    let vanished =
        |event: &Line| matches!(event, Line::Path(event) if event.change == PathChange::Vanished);
    assert!(
        !engine.take_lines().iter().any(vanished),
        "it was not there"
    );
    engine.command(&read(20, AO, 5, 1_000), &Again);
    let unnamed = Device {
        wwid: None,
        ..device("1:0:0:0", "8:32", "active/optimized")
    };
    engine.topology(&topology_with(BOTH_ACTIVE, unnamed), 6);
    engine.topology(&topology(BOTH_ACTIVE), 7);
    engine.command(&read(20, AO, 8, 1_000), &Again);
    let per_path = [(10, dispatched(1, 0)), (20, dispatched(3, 0))];
    engine.counts(GlobalCounts::default(), &per_path, 9);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let same_address: Vec<&PathSummary> = paths
        .iter()
        .filter(|path| path.path.hctl == "1:0:0:0")
        .collect();
    let [path] = same_address[..] else {
        panic!("{same_address:?}");
    };
    assert!(path.present);
    assert_eq!((path.counts.dispatched, path.counts.recorded), (4, 4));
    assert_eq!(path.latency[0].commands, 4);
    assert_eq!(path.path.map.as_deref(), Some("mpatha"));
}

/// Deleted, mapped anew and scanned before anyone looked.
#[test]
fn another_lun_at_an_address_gets_its_commands() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Again);
    engine.command(&read(20, AO, 2, 1_000), &Again);
    engine.topology(&topology_with(BOTH_ACTIVE, other_lun()), 3);
    engine.command(&read(20, AO, 4, 1_000), &Again);
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let of = |wwid: &str| {
        let mut same = paths
            .iter()
            .filter(|path| path.path.hctl == "1:0:0:0" && path.path.wwid.as_deref() == Some(wwid));
        let path = same.next().unwrap();
        assert!(same.next().is_none());
        (path.present, path.counts.recorded)
    };
    assert_eq!((of("naa.6001"), of("naa.6002")), ((false, 1), (true, 2)));
}

fn other_lun() -> Device {
    Device {
        wwid: Some("naa.6002".into()),
        ..device("1:0:0:0", "8:0", "active/optimized")
    }
}

/// The array maps another unit there, and the host looks again (`scsi_rescan_device`): the same
/// `scsi_device`, or its memory used again.
#[test]
fn another_lun_under_the_same_id_gets_an_id_of_its_own() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Again);
    engine.topology(&topology(BOTH_ACTIVE), 2);
    assert!(engine.wants().retire.is_empty());
    engine.take_lines();
    engine.topology(&topology_with(BOTH_ACTIVE, other_lun()), 3);
    assert_eq!(engine.wants().retire, [10]);
    let changes: Vec<(PathChange, Option<String>)> = engine
        .take_lines()
        .into_iter()
        .filter_map(|event| match event {
            Line::Path(event) => Some((event.change, event.path.wwid)),
            _ => None,
        })
        .collect();
    let naa = |last: u8| Some(format!("naa.600{last}"));
    assert_eq!(
        changes,
        [
            (PathChange::Vanished, naa(1)),
            (PathChange::Appeared, naa(2))
        ]
    );
    engine.command(&read(20, AO, 4, 1_000), &Again);
    engine.topology(&topology_with(BOTH_ACTIVE, other_lun()), 5);
    assert!(engine.wants().retire.is_empty(), "what is its own stays");
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let recorded = |last: u8| {
        let path = paths.iter().find(|path| path.path.wwid == naa(last));
        path.unwrap().counts.recorded
    };
    assert_eq!((recorded(1), recorded(2)), (1, 1));
}

/// The device was there before the trace and had no command in it.
#[test]
fn a_lun_that_takes_the_address_of_an_idle_one_gets_an_id_of_its_own() {
    let mut engine = engine();
    engine.command(&read(20, AO, 1, 1_000), &Again);
    engine.topology(&topology_with(BOTH_ACTIVE, other_lun()), 2);
    assert_eq!(engine.wants().retire, [20]);
}

/// An INQUIRY fails, and the next attempt of the scan has another `scsi_device`.
#[test]
fn two_ids_met_before_topology_knows_the_path_are_one_path() {
    let mut engine = Driven::new(Wanted::default());
    engine.command(&read(10, AO, 1, 1_000), &Again);
    engine.command(&read(20, AO, 2, 1_000), &Again);
    assert!(engine.wants_scan_before_end());
    engine.topology(&topology(BOTH_ACTIVE), 3);
    assert!(!engine.wants_scan_before_end());
    let paths = engine.finish(u64::MAX, &|_| 0).paths;
    let recorded: Vec<u64> = paths.iter().map(|path| path.counts.recorded).collect();
    assert_eq!(recorded, [2, 0]);
}

/// The partitions of a device are read before sysfs has it.
#[test]
fn io_before_topology_knows_the_path_raises_no_flag_of_a_unit_that_is_none() {
    let mut engine = Driven::new(Wanted::default());
    engine.command(&read(11, AN, MS, 1_000), &Host);
    let per_path = [(11, dispatched(0, 1))];
    engine.counts(not_optimized(1), &per_path, 2 * MS);
    engine.tick(3 * MS);
    assert!(said_of_flags(&mut engine).is_empty());
    engine.topology(&topology(BOTH_ACTIVE), 4 * MS);
    engine.command(&read(11, AN, 5 * MS, 1_000), &Host);
    engine.tick(6 * MS);
    let raised = said_of_flags(&mut engine);
    let subjects: Vec<&str> = raised.iter().map(|it| it.flag.subject.as_str()).collect();
    assert_eq!(subjects, ["mpatha"]);
}

/// One whose path has an `alua_port_group` at this address.
struct Keeper(u64);

impl Tables for Keeper {
    fn path(&self, id: u16) -> Option<PathSlot> {
        Some(PathSlot {
            handler_state: self.0,
            handler: alua_trace_ebpf::handler::ALUA,
            ..Again.path(id)?
        })
    }

    fn route(&self, id: u16) -> Option<RouteSlot> {
        Host.route(id)
    }
}

/// The memory of a port group is used again for that of another unit's path, which topology does
/// not know yet.
#[test]
fn a_state_filed_before_topology_knows_the_path_is_of_its_unit_alone() {
    const PORT_GROUP: u64 = 0xffff_8880_0000_1000;
    let mut engine = Driven::new(Wanted::default());
    let second = device("2:0:0:0", "8:16", "active/non-optimized");
    engine.topology(&Topology::new(vec![second], Vec::new(), Vec::new()), 0);
    engine.management(&answer(11, MS, [AO, AN]), &Keeper(PORT_GROUP));
    engine.topology(&Topology::new(Vec::new(), Vec::new(), Vec::new()), 100 * MS);
    engine.management(&answer(20, 200 * MS, [AN, AO]), &Keeper(PORT_GROUP));
    engine.filed(&filed(2, AO, PORT_GROUP, 205 * MS), &Keeper(PORT_GROUP));
    engine.tick(400 * MS);
    let other = Device {
        port_group: Some(2),
        ..other_lun()
    };
    engine.topology(&topology_with(BOTH_ACTIVE, other), 500 * MS);
    engine.tick(9_000 * MS);
    let finished = engine.finish(9_000 * MS, &|_| 0);
    let owners: Vec<(Option<&str>, &[String])> = finished
        .ownership
        .iter()
        .map(|unit| {
            (
                unit.wwid.as_deref(),
                &unit.tenures.last().unwrap().owner[..],
            )
        })
        .collect();
    assert_eq!(
        owners,
        [
            (Some("naa.6001"), &["TPG 1".to_owned()][..]),
            (Some("naa.6002"), &["TPG 2".to_owned()][..])
        ]
    );
    assert!(finished.flags.is_empty(), "{:?}", finished.flags);
}

/// The answer to the work of a path that is being added has all groups, and so has what it files.
#[test]
fn what_is_filed_before_topology_knows_the_path_holds_for_all_groups() {
    let device = |hctl: &str, devno: &str, state: &str, group: u16| Device {
        port_group: Some(group),
        ..device(hctl, devno, state)
    };
    let mut engine = Driven::new(Wanted::default());
    let first = device("1:0:0:0", "8:0", "active/optimized", 1);
    engine.topology(&Topology::new(vec![first], Vec::new(), Vec::new()), 0);
    let (one, two) = (Keeper(0xffff_8880_0000_1000), Keeper(0xffff_8880_0000_2000));
    engine.management(&answer(10, MS, [AO, AN]), &one);
    engine.filed(&filed(1, AO, one.0, 3 * MS), &one);
    engine.tick(200 * MS);
    engine.management(&answer(11, 201 * MS, [AN, AO]), &two);
    engine.filed(&filed(2, AO, two.0, 205 * MS), &two);
    engine.tick(210 * MS);
    let first = device("1:0:0:0", "8:0", "active/non-optimized", 1);
    let second = device("2:0:0:0", "8:16", "active/optimized", 2);
    let both = Topology::new(vec![first, second], Vec::new(), Vec::new());
    engine.topology(&both, 250 * MS);
    engine.tick(1_000 * MS);
    engine.tick(9_000 * MS);
    let flags = engine.finish(9_000 * MS, &|_| 0).flags;
    let disagrees = |flag: &&Flag| flag.kind == FlagKind::StateDisagrees;
    assert_eq!(flags.iter().find(disagrees), None);
}

/// A handler takes a unit over while its path is being added.
#[test]
fn a_mode_select_that_ends_before_topology_knows_the_path_has_its_end() {
    let mut engine = Driven::new(Wanted::default());
    let mut sent = answer(10, MS, [AO, AN]);
    sent.completion_ns = 0;
    sent.cdb[..2].copy_from_slice(&[0x55, 0x01]);
    sent.length = 308;
    sent.data = [0; MANAGEMENT_DATA];
    sent.data[8..12].copy_from_slice(&[0x6c, 0x01, 0x01, 0x28]);
    // A transfer, of 20 s at most, with a list of LUNs: 0.
    (sent.data[45], sent.data[48], sent.data[49], sent.data[50]) = (0x02, 20, 0x02, 0x81);
    engine.management(&sent, &Host);
    let flags = command_flag::PASSTHROUGH;
    let mut end = read_from(10, AO, state_source::HANDLER_DATA, flags, MS, 5 * MS);
    end.cdb = sent.cdb;
    engine.command(&end, &Host);
    engine.tick(500 * MS);
    engine.topology(&topology(BOTH_ACTIVE), 600 * MS);
    engine.tick(40_000 * MS);
    engine.tick(41_000 * MS);
    let kinds: Vec<FlagKind> = engine
        .finish(42_000 * MS, &|_| 0)
        .flags
        .iter()
        .map(|flag| flag.kind)
        .collect();
    assert!(
        !kinds.contains(&FlagKind::ModeSelectOutstanding),
        "{kinds:?}"
    );
}

/// An answer to REPORT TARGET PORT GROUPS, 1 ms after the question: states of groups 1 and 2.
fn answer(path: u16, asked_ns: u64, [first, second]: [u8; 2]) -> ManagementRecord {
    let mut data = [0; MANAGEMENT_DATA];
    data[..20].copy_from_slice(&[
        0, 0, 0, 16, // length
        first, 0x83, 0, 1, 0, 0, 0, 0, // group 1
        second, 0x83, 0, 2, 0, 0, 0, 0, // group 2
    ]);
    ManagementRecord {
        kind: record_kind::MANAGEMENT,
        handler: alua_trace_ebpf::handler::ALUA,
        path,
        length: 20,
        dispatch_ns: asked_ns,
        completion_ns: asked_ns + MS,
        pid: 0,
        result: 0,
        comm: [0; 16],
        cdb: [0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        reserved: 0,
        data,
    }
}

/// `alua_rtpg_work` returned after 5 ms and had filed a state.
fn filed(group: u32, state: u8, port_group: u64, return_ns: u64) -> RtpgRecord {
    RtpgRecord {
        kind: record_kind::RTPG,
        state,
        preferred: 0,
        state_before: AN,
        group,
        port_group,
        entry_ns: return_ns.saturating_sub(5 * MS),
        return_ns,
    }
}

/// Handlers ask while a device is added.
#[test]
fn an_answer_before_topology_knows_the_path_is_the_logical_units() {
    let mut engine = Driven::new(Wanted::default());
    engine.management(&answer(10, MS, [AO, AN]), &Host);
    engine.topology(&topology(BOTH_ACTIVE), 3 * MS);
    engine.tick(2_000 * MS);
    let units = engine.finish(3_000 * MS, &|_| 0).ownership;
    let [unit] = &units[..] else {
        panic!("{units:?}");
    };
    assert_eq!(unit.wwid.as_deref(), Some("naa.6001"));
    assert_eq!(unit.tenures[0].owner, ["TPG 1"]);
}

/// The probes give an id back and to another device: what it counted stays with the first.
#[test]
fn an_id_that_is_given_again_counts_for_its_new_path_alone() {
    struct Given(u32);
    impl Tables for Given {
        fn path(&self, _: u16) -> Option<PathSlot> {
            Some(PathSlot {
                sdev: 0xffff,
                host: self.0,
                ..PathSlot::default()
            })
        }

        fn route(&self, id: u16) -> Option<RouteSlot> {
            Host.route(id).map(|slot| RouteSlot {
                path_group: self.0,
                ..slot
            })
        }
    }
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Given(1));
    engine.take(2, Input::PathRetired(10, &dispatched(5, 0)));
    engine.command(&read(10, AO, 3, 1_000), &Given(2));
    engine.counts(GlobalCounts::default(), &[(10, dispatched(2, 0))], 4);
    let paths = engine.finish(5, &|_| 1).paths;
    let of = |hctl: &str| {
        let path = paths.iter().find(|path| path.path.hctl == hctl).unwrap();
        let counts = &path.counts;
        (counts.dispatched, counts.recorded, counts.in_flight)
    };
    assert_eq!((of("1:0:0:0"), of("2:0:0:0")), ((5, 1, 0), (2, 1, 1)));
}

/// What the last command said by a route is news again once its id leads elsewhere.
#[test]
fn a_route_that_leads_elsewhere_is_looked_at_again() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Host);
    assert_eq!(engine.paths.get(0).map(|it| it.path_group), Some(2));
    let other = RouteSlot {
        pgpath: 2 << 40,
        path_group: 1,
        ..RouteSlot::default()
    };
    engine.take(2, Input::Route(3, &other));
    engine.take(
        3,
        Input::Record(&crate::ingest::bytes_of(&read(10, AO, 3, 1_000))),
    );
    assert_eq!(engine.paths.get(0).map(|it| it.path_group), Some(1));
}
