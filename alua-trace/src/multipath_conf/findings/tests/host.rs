//! Findings about hosts, their maps and their paths.

use super::*;
use crate::multipath_conf::facts::{GroupFacts, MapFacts, Modules, Network, PathFacts};
use crate::scsi::AccessState;
use crate::scsi::rdac::Mode;

fn of_host(conf: &str, host: &Host) -> Vec<Id> {
    let found = findings(&configuration(conf), Some(host));
    found.iter().map(|finding| finding.id).collect()
}

/// A path as an explicit ALUA array has it, in state `state` of port group `group`.
fn alua(address: &str, group: u16, state: AccessState) -> PathFacts {
    PathFacts {
        address: address.to_owned(),
        device: Some("sda".to_owned()),
        vendor: Some("NONAME".to_owned()),
        product: Some("ARRAY".to_owned()),
        usable: true,
        handler: Some("alua".to_owned()),
        tpgs: Some(3),
        lists_c9: Some(false),
        access: Some(state),
        port_group: Some(group),
        ..PathFacts::default()
    }
}

/// A path of an RDAC array; `product` tells whether the built-in table knows it.
fn rdac(address: &str, product: &str) -> PathFacts {
    PathFacts {
        vendor: Some("DELL".to_owned()),
        product: Some(product.to_owned()),
        handler: Some("rdac".to_owned()),
        tpgs: Some(0),
        lists_c9: Some(true),
        access: None,
        port_group: None,
        ..alua(address, 0, AccessState::OPTIMIZED)
    }
}

/// A disk that has but one path to take.
fn plain(address: &str) -> PathFacts {
    PathFacts {
        handler: Some(String::new()),
        tpgs: Some(0),
        access: None,
        ..alua(address, 1, AccessState::OPTIMIZED)
    }
}

/// A map of two groups of one path each; I/O goes to the first.
fn map(paths: [PathFacts; 2]) -> MapFacts {
    let groups = (1..).zip(paths).map(|(number, path)| GroupFacts {
        number,
        active: number == 1,
        paths: vec![path],
    });
    MapFacts {
        name: "mpatha".to_owned(),
        wwid: Some("3600a".to_owned()),
        handler: Some("alua".to_owned()),
        groups: groups.collect(),
    }
}

fn host(maps: Vec<MapFacts>) -> Host {
    Host {
        maps,
        unmapped: Vec::new(),
        modules: Modules {
            alua: Some(true),
            rdac: Some(true),
        },
    }
}

fn alua_map() -> MapFacts {
    map([
        alua("1:0:0:1", 1, AccessState::OPTIMIZED),
        alua("2:0:0:1", 2, AccessState::NON_OPTIMIZED),
    ])
}

fn rdac_map(product: &str) -> MapFacts {
    map([rdac("1:0:0:1", product), rdac("2:0:0:1", product)])
}

fn changed(mut map: MapFacts, change: impl Fn(&mut PathFacts)) -> MapFacts {
    let paths = map.groups.iter_mut().flat_map(|group| &mut group.paths);
    paths.for_each(change);
    map
}

/// A finding, a configuration and a host that raise it, and such that do not.
type Case = (Id, (&'static str, Host), (&'static str, Host));

fn ok() -> Host {
    host(vec![alua_map()])
}

fn symmetric() -> MapFacts {
    map([plain("1:0:0:1"), plain("2:0:0:1")])
}

fn one(map: MapFacts) -> (&'static str, Host) {
    ("", host(vec![map]))
}

fn handlers() -> Vec<Case> {
    let no_module = |maps| Host {
        modules: Modules {
            alua: Some(false),
            rdac: Some(false),
        },
        ..host(maps)
    };
    let detached = |map| changed(map, |path| path.handler = Some(String::new()));
    let unmapped = |path| Host {
        unmapped: vec![path],
        ..host(vec![])
    };
    let lost = PathFacts {
        handler: Some(String::new()),
        ..rdac("1:0:0:0", "X")
    };
    let undemanding = MapFacts {
        handler: Some(String::new()),
        ..symmetric()
    };
    let unknown = changed(detached(alua_map()), |path| path.tpgs = None);
    let module = Id::HandlerModule;
    let missing = Id::HandlerMissing;
    vec![
        (missing, one(detached(alua_map())), ("", ok())),
        (missing, one(detached(alua_map())), one(unknown)),
        (missing, one(detached(rdac_map("X"))), one(symmetric())),
        (
            missing,
            ("", unmapped(lost)),
            ("", unmapped(plain("1:0:0:0"))),
        ),
        (module, ("", no_module(vec![alua_map()])), ("", ok())),
        (
            module,
            ("", no_module(vec![rdac_map("X")])),
            one(rdac_map("X")),
        ),
        (
            module,
            ("", no_module(vec![symmetric()])),
            ("", no_module(vec![undemanding])),
        ),
    ]
}

const MULTIBUS: &str = "defaults {\npath_grouping_policy multibus\n}";
const NOT_REPLACED: &str = "defaults {\npath_grouping_policy multibus\ndetect_pgpolicy no\n}";
const REPLACED: &str = "defaults {\npath_grouping_policy multibus\ndetect_pgpolicy yes\n}";

/// Only priorities that were detected replace it.
const NOT_REPLACED_EITHER: &str =
    "defaults {\npath_grouping_policy multibus\ndetect_pgpolicy yes\ndetect_prio no\n}";

fn grouping() -> Vec<Case> {
    let mixed = || {
        let mut map = alua_map();
        let second = map.groups.remove(1);
        map.groups[0].paths.extend(second.paths);
        map
    };
    let alike = changed(mixed(), |path| path.access = Some(AccessState::OPTIMIZED));
    let one_group = host(vec![changed(alua_map(), |path| path.port_group = Some(1))]);
    let known = || host(vec![rdac_map("MD36xxi")]);
    let multibus = Id::Multibus;
    let prio = Id::ConstPrio;
    vec![
        (multibus, (MULTIBUS, ok()), ("", ok())),
        (multibus, (MULTIBUS, ok()), (MULTIBUS, one_group)),
        (
            multibus,
            (MULTIBUS, ok()),
            (MULTIBUS, host(vec![symmetric()])),
        ),
        (multibus, (NOT_REPLACED, ok()), (REPLACED, ok())),
        (multibus, (NOT_REPLACED_EITHER, ok()), (REPLACED, ok())),
        (multibus, one(mixed()), one(alike)),
        (prio, one(rdac_map("X")), ("", known())),
        (prio, ("defaults {\ndetect_prio no\n}", ok()), ("", ok())),
        (
            prio,
            ("overrides {\nprio const\n}", known()),
            ("overrides {\nprio rdac\n}", host(vec![rdac_map("X")])),
        ),
    ]
}

/// A map that does I/O on a path of `state` while the other is optimized.
fn worse(state: AccessState) -> MapFacts {
    let mut map = alua_map();
    map.groups[0].paths[0].access = Some(state);
    map.groups[1].paths[0].access = Some(AccessState::OPTIMIZED);
    map
}

fn choice() -> Vec<Case> {
    let broken = changed(worse(AccessState::STANDBY), |path| {
        path.usable = path.access != Some(AccessState::OPTIMIZED);
    });
    let mut unknown = worse(AccessState::STANDBY);
    unknown.groups[0].paths[0].access = None;
    let mut idle = worse(AccessState::STANDBY);
    idle.groups[0].active = false;
    let not_best = Id::GroupNotBest;
    vec![
        (not_best, one(worse(AccessState::NON_OPTIMIZED)), ("", ok())),
        (not_best, one(worse(AccessState::STANDBY)), one(broken)),
        (not_best, one(worse(AccessState::STANDBY)), one(unknown)),
        (not_best, one(worse(AccessState::TRANSITIONING)), one(idle)),
        (
            not_best,
            one(worse(AccessState::LBA_DEPENDENT)),
            one(worse(AccessState::OPTIMIZED)),
        ),
    ]
}

fn network() -> Vec<Case> {
    let of = |mtu, mss| Network {
        mtu: Some(mtu),
        mss,
        ..Network::default()
    };
    let through = |interface: &str, portal: &str| Network {
        interface: Some(interface.to_owned()),
        portal: Some(portal.to_owned()),
        ..Network::default()
    };
    let over = |first, second: Network| {
        let mut map = alua_map();
        map.groups[0].paths[0].network = first;
        map.groups[1].paths[0].network = second;
        one(map)
    };
    let unknown = Network::default;
    let (mtu, mss) = (Id::MtuDiffers, Id::MssBelowMtu);
    vec![
        (
            mtu,
            over(of(9000, None), of(1500, None)),
            over(of(9000, None), unknown()),
        ),
        (
            mtu,
            over(of(9000, None), of(8000, None)),
            over(of(1500, None), of(1500, None)),
        ),
        (
            mss,
            over(of(9000, Some(1448)), of(9000, Some(8948))),
            over(of(9000, Some(8948)), of(9000, None)),
        ),
        (
            mss,
            over(of(9000, Some(536)), unknown()),
            over(of(1500, Some(536)), of(1500, Some(1448))),
        ),
        (
            Id::OneWay,
            over(through("eth0", "a:3260"), through("eth0", "b:3260")),
            over(through("eth0", "a:3260"), through("eth1", "b:3260")),
        ),
        (
            Id::OneWay,
            over(through("eth0", "a:3260"), through("eth1", "a:3260")),
            over(through("eth0", "a:3260"), unknown()),
        ),
    ]
}

fn others() -> Vec<Case> {
    let ioship = changed(rdac_map("MD36xxi"), |path| {
        (path.lists_c9, path.rdac_mode) = (None, Some(Mode::IoShip));
    });
    let honest = changed(rdac_map("MD36xxi"), |path| path.tpgs = Some(3));
    let known = || one(rdac_map("MD36xxi"));
    let implicit = host(vec![changed(alua_map(), |path| path.tpgs = Some(1))]);
    let immediate = "defaults {\nfailback immediate\n}";
    let manual = "overrides {\nfailback manual\n}";
    let rr_min_io = "defaults {\nrr_min_io 9\n}";
    vec![
        (Id::RrMinIo, (rr_min_io, ok()), ("", ok())),
        (
            Id::FailbackImmediate,
            (immediate, ok()),
            (immediate, implicit),
        ),
        (
            Id::FailbackImmediate,
            known(),
            (manual, host(vec![rdac_map("MD36xxi")])),
        ),
        (Id::TpgsZero, known(), ("", ok())),
        (Id::TpgsZero, one(ioship), one(symmetric())),
        (Id::TpgsZero, known(), one(honest)),
    ]
}

fn cases() -> Vec<Case> {
    [handlers(), grouping(), choice(), network(), others()].concat()
}

#[test]
fn hosts_raise_their_findings_and_others_do_not() {
    for (number, (id, raises, does_not)) in cases().into_iter().enumerate() {
        let found = of_host(raises.0, &raises.1);
        assert!(found.contains(&id), "case {number}: {found:?} lacks {id:?}");
        let found = of_host(does_not.0, &does_not.1);
        assert!(!found.contains(&id), "case {number}: {found:?} has {id:?}");
    }
}

#[test]
fn a_host_in_order_has_no_findings() {
    assert_eq!(of_host("", &host(vec![alua_map()])), []);
    assert_eq!(of_host("", &Host::default()), []);
}

#[test]
fn what_multipathd_has_not_read_is_a_finding() {
    let conf = "defaults {\nfailback immediate\n}";
    for (running, expected) in [("manual", true), ("immediate", false)] {
        let mut configuration = configuration(conf);
        let text = format!("defaults {{\nfailback \"{running}\"\n}}");
        configuration.running = Some(Tables::of_multipathd(&text));
        let found = findings(&configuration, Some(&host(vec![alua_map()])));
        let not_read = found.iter().any(|finding| finding.id == Id::NotRead);
        assert_eq!(not_read, expected, "{found:?}");
    }
}

#[test]
fn findings_that_differ_in_their_maps_only_are_one() {
    let second = MapFacts {
        name: "mpathb".to_owned(),
        ..rdac_map("MD36xxi")
    };
    let host = host(vec![rdac_map("MD36xxi"), second]);
    let conf = "devices {\ndevice {\nvendor DELL\nproduct MD\nfailback immediate\n}\n}";
    let found = findings(&configuration(conf), Some(&host));
    let [failback, tpgs] = &found[..] else {
        panic!("{found:?}")
    };
    let lines: Vec<u32> = failback.at.iter().map(|at| at.line).collect();
    assert_eq!(lines, [5]);
    assert_eq!(failback.subjects, ["mpatha", "mpathb"]);
    assert_eq!(tpgs.subjects.len(), 4);
    assert_eq!(tpgs.subjects[3], "mpathb 2:0:0:1 sda");
    assert_eq!(tpgs.severity, Severity::Advice);
}

#[test]
fn every_finding_has_cases_and_is_documented() {
    let docs = include_str!("../../../../../docs/findings.md");
    let covered: Vec<Id> = cases().iter().map(|case| case.0).collect();
    let by_line = [
        Id::FileRefused,
        Id::PatternInvalid,
        Id::PathCheckerAlua,
        Id::PrioCallout,
        Id::GetuidCallout,
        Id::MpathPrioProgram,
        Id::RetainHandler,
        Id::NotRead,
        Id::DetectPrioDefault,
    ];
    for id in Id::ALL {
        assert!(
            covered.contains(&id) || by_line.contains(&id),
            "{id:?} has no case"
        );
        assert!(
            docs.contains(&format!("### `{}`", id.name())),
            "{id:?} is not documented"
        );
        let severity = serde_json::to_value(id.severity()).unwrap();
        let heading = format!("### `{}` ({})", id.name(), severity.as_str().unwrap());
        assert!(
            docs.contains(&heading),
            "{heading} is not in the documentation"
        );
        assert_eq!(serde_json::to_value(id).unwrap(), id.name());
    }
}
