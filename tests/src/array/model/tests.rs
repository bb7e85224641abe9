//! Tests of the model: what commands are answered while controllers change their part.

use super::super::changes::ChangedBy;
use super::*;

const READ: Request = Request::Read { lba: 8, blocks: 8 };
const GROUPS: Request = Request::ReportGroups {
    extended: false,
    allocation: 255,
};
/// STPG: group 2 optimized, as Linux sends it.
const B_OPTIMIZED: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 2];

fn alua() -> Model {
    Model::new(&Options::default())
}

fn rdac(mode: Mode) -> Model {
    Model::new(&Options {
        rdac: Some(mode),
        luns: 2,
        owners: vec![Controller::A, Controller::B],
        ..Options::default()
    })
}

fn nexus(path: &str, lun: u8) -> Nexus {
    let path = path.parse().unwrap();
    Nexus { path, lun }
}

fn refused(model: &mut Model, path: &str, now_ns: u64) -> Option<Sense> {
    let refused = model.admit(nexus(path, 0), READ, now_ns).refused;
    refused.and_then(|reply| reply.sense)
}

fn ask(model: &mut Model, line: &str, now_ns: u64) -> Result<()> {
    match line.parse().unwrap() {
        super::super::control::Control::Lun(lun, change) => model.change_luns(lun, &change, now_ns),
        super::super::control::Control::Array(change) => model.change_array(change),
        other => panic!("{other:?} changes nothing"),
    }
}

fn said(model: &mut Model, line: &str, now_ns: u64) {
    ask(model, line, now_ns).unwrap();
}

fn lines(model: &mut Model, now_ns: u64) -> Vec<String> {
    let changes = model.changes(now_ns).unwrap();
    changes.iter().map(ToString::to_string).collect()
}

/// MODE SELECT(10) for these LUNs, as `scsi_dh_rdac` sends it.
fn mode_select(model: &mut Model, path: &str, luns: &[usize], now_ns: u64) -> Reply {
    let mut data = vec![0; 308];
    data[8..12].copy_from_slice(&[0x6c, 1, 0x01, 0x28]);
    data[45] = 2;
    for lun in luns {
        data[50 + lun] = 0x81;
    }
    let request = Request::ModeSelect {
        form: super::super::scsi::ModeForm::Ten,
        length: 308,
    };
    model.answer(nexus(path, 0), request, &data, now_ns)
}

#[test]
fn a_swap_is_told_once_on_every_path() {
    let mut model = alua();
    said(&mut model, "swap", 5);
    for path in ["A1", "B1", "A2", "B2"] {
        let first = refused(&mut model, path, 5);
        assert_eq!(first, Some(Sense::STATE_CHANGED), "{path}");
        assert_eq!(refused(&mut model, path, 5), None, "{path}");
    }
    assert_eq!(
        lines(&mut model, 5),
        ["5 0 group 1 AO AN implicit", "5 0 group 2 AN AO implicit"]
    );
}

#[test]
fn the_port_that_asked_for_a_transfer_gets_no_attention() {
    let mut model = alua();
    let wish = Request::SetGroups { length: 8 };
    let reply = model.answer(nexus("B1", 0), wish, &B_OPTIMIZED, 7);
    assert_eq!(reply, Reply::good());
    assert_eq!(refused(&mut model, "B1", 8), None);
    assert_eq!(refused(&mut model, "B2", 8), Some(Sense::STATE_CHANGED));
    assert_eq!(
        lines(&mut model, 8),
        ["7 0 group 1 AO AN stpg B1", "7 0 group 2 AN AO stpg B1"]
    );
}

#[test]
fn an_array_that_is_only_implicit_takes_no_stpg() {
    let mut model = Model::new(&Options {
        tpgs: 1,
        ..Options::default()
    });
    let wish = Request::SetGroups { length: 8 };
    let reply = model.answer(nexus("B1", 0), wish, &B_OPTIMIZED, 0);
    assert_eq!(reply, Reply::check(Sense::INVALID_OPCODE));
    assert!(lines(&mut model, 0).is_empty());
}

#[test]
fn another_hosts_stpg_is_told_to_every_port_with_its_status_code() {
    let mut model = alua();
    said(&mut model, "other-host B", 3);
    assert_eq!(refused(&mut model, "A1", 3), Some(Sense::STATE_CHANGED));
    assert_eq!(refused(&mut model, "B1", 3), Some(Sense::STATE_CHANGED));
    let report = model.answer(nexus("A1", 0), GROUPS, &[], 3);
    assert_eq!(
        (report.data[4], report.data[9]),
        (1, ChangedBy::Explicit as u8)
    );
    assert_eq!(lines(&mut model, 3)[1], "3 0 group 2 AN AO other-host");
}

#[test]
fn a_transfer_that_takes_its_time_transitions_and_keeps_its_cause() {
    let mut model = alua();
    said(&mut model, "transfer-time 10ns", 0);
    let wish = Request::SetGroups { length: 8 };
    model.answer(nexus("B1", 0), wish, &B_OPTIMIZED, 100);
    assert_eq!(refused(&mut model, "B2", 109), Some(Sense::TRANSITION));
    assert_eq!(refused(&mut model, "B1", 130), None, "it asked");
    assert_eq!(refused(&mut model, "B2", 130), Some(Sense::STATE_CHANGED));
    assert_eq!(
        lines(&mut model, 130),
        [
            "100 0 group 1 AO transitioning stpg B1",
            "100 0 group 2 AN transitioning stpg B1",
            "110 0 group 1 transitioning AN stpg B1",
            "110 0 group 2 transitioning AO stpg B1",
        ]
    );
}

#[test]
fn a_standby_port_refuses_data_but_answers_about_groups() {
    let mut model = alua();
    said(&mut model, "state B standby", 0);
    let b1 = nexus("B1", 0);
    assert!(
        model.admit(b1, GROUPS, 0).refused.is_some(),
        "attention first"
    );
    assert_eq!(model.admit(b1, GROUPS, 0).refused, None);
    assert_eq!(refused(&mut model, "B1", 0), Some(Sense::STANDBY));
}

#[test]
fn a_transition_ends_with_an_attention() {
    let mut model = alua();
    said(&mut model, "transition 10ns A AN", 100);
    assert_eq!(refused(&mut model, "A1", 109), Some(Sense::TRANSITION));
    assert_eq!(refused(&mut model, "A1", 110), Some(Sense::STATE_CHANGED));
    assert_eq!(refused(&mut model, "A1", 111), None);
}

#[test]
fn only_reads_and_writes_are_delayed() {
    let mut model = alua();
    said(&mut model, "delay B 2ms", 0);
    let delay = |model: &mut Model, path, request| model.admit(nexus(path, 0), request, 0).delay_ns;
    assert_eq!(delay(&mut model, "B2", READ), 2_000_000);
    assert_eq!(delay(&mut model, "B2", GROUPS), 0);
    assert_eq!(delay(&mut model, "A2", READ), 0);
    said(&mut model, "shipping 1ms", 0);
    assert_eq!(delay(&mut model, "B2", READ), 3_000_000);
    assert_eq!(delay(&mut model, "A2", READ), 0);
}

#[test]
fn what_is_said_of_one_lun_leaves_the_other_alone() {
    let mut model = rdac(Mode::Ioship);
    said(&mut model, "lun 1 delay all 1ms", 0);
    said(&mut model, "lun 1 plant 1 at 5ms among 1", 0);
    let delay = |model: &mut Model, lun| model.admit(nexus("A1", lun), READ, 0).delay_ns;
    assert_eq!(delay(&mut model, 0), 0);
    assert_eq!(delay(&mut model, 1), 5_000_000);
    assert_eq!(delay(&mut model, 1), 1_000_000);
    said(&mut model, "lun 1 own A", 9);
    assert_eq!(lines(&mut model, 9), ["9 1 owner B A implicit"]);
    assert!(ask(&mut model, "lun 2 swap", 0).is_err());
    assert!(ask(&mut model, "state A AO", 0).is_err());
}

#[test]
fn the_mode_decides_what_the_other_controller_does() {
    let mut model = rdac(Mode::Rdac);
    assert_eq!(refused(&mut model, "A1", 0), None);
    assert_eq!(refused(&mut model, "B1", 0), Some(Sense::NOT_THE_OWNER));
    said(&mut model, "mode ioship", 0);
    assert_eq!(refused(&mut model, "B1", 1), None);
    said(&mut model, "mode avt", 0);
    let probe = Request::Read { lba: 0, blocks: 8 };
    assert_eq!(model.admit(nexus("B1", 0), probe, 2).refused, None);
    assert!(lines(&mut model, 2).is_empty());
    assert_eq!(refused(&mut model, "B2", 3), None);
    assert_eq!(lines(&mut model, 3), ["3 0 owner A B avt B2"]);
    assert!(ask(&mut alua(), "mode avt", 0).is_err());
}

#[test]
fn one_mode_select_moves_several_luns() {
    let mut model = rdac(Mode::Rdac);
    said(&mut model, "contention 1", 0);
    let locked = mode_select(&mut model, "A2", &[0, 1], 4);
    assert_eq!(locked, Reply::check(Sense::LOCK_VIOLATION));
    assert_eq!(mode_select(&mut model, "A2", &[0, 1], 5), Reply::good());
    assert_eq!(lines(&mut model, 5), ["5 1 owner B A mode-select A2"]);
    said(&mut model, "transfer-time 10ns", 0);
    assert_eq!(mode_select(&mut model, "B1", &[0, 1], 20), Reply::good());
    assert_eq!(refused(&mut model, "B1", 29), Some(Sense::QUIESCING));
    assert_eq!(refused(&mut model, "B1", 30), None);
    assert_eq!(refused(&mut model, "A1", 30), Some(Sense::NOT_THE_OWNER));
    assert_eq!(lines(&mut model, 30).len(), 3);
}

#[test]
fn a_quiesced_lun_refuses_data_for_a_while() {
    let mut model = rdac(Mode::Rdac);
    said(&mut model, "lun 0 quiesce 10ns", 100);
    assert_eq!(refused(&mut model, "A1", 109), Some(Sense::QUIESCENCE));
    assert_eq!(model.admit(nexus("B1", 1), READ, 109).refused, None);
    assert_eq!(refused(&mut model, "A1", 110), None);
}

#[test]
fn rdac_pages_follow_the_owner() {
    let mut model = rdac(Mode::Ioship);
    let page = |model: &mut Model, path, lun, page| {
        let request = Request::Inquiry {
            page: Some(page),
            allocation: 255,
        };
        model.answer(nexus(path, lun), request, &[], 0).data
    };
    assert_eq!(
        page(&mut model, "A1", 0, 0x00)[4..],
        super::super::rdac::PAGES
    );
    assert_eq!(page(&mut model, "A1", 0, 0xc9)[8..10], [0xf1, 1]);
    assert_eq!(page(&mut model, "A1", 1, 0xc9)[8..10], [0xf0, 2]);
    said(&mut model, "lun 1 own A", 0);
    assert_eq!(page(&mut model, "A1", 1, 0xc9)[8..10], [0xf1, 2]);
    assert_eq!(
        model.answer(nexus("A1", 0), GROUPS, &[], 0).sense,
        Some(Sense::INVALID_OPCODE)
    );
    let standard = Request::Inquiry {
        page: None,
        allocation: 255,
    };
    let data = model.answer(nexus("A1", 0), standard, &[], 0).data;
    assert_eq!((data[5] & 0x30, &data[8..23]), (0, &b"DELL    MD36xxi"[..]));
}
