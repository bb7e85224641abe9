//! Tests of the ownership engine: every scenario is a file, and one that is all chance.

use super::*;
use crate::{model::Transfer, report::words};
use scenario::{Expected, Scenario, ZERO_NS};

mod chance;
mod scenario;

fn ms(at_ns: u64) -> f64 {
    at_ns.saturating_sub(ZERO_NS) as f64 / 1e6
}

/// What a transfer has where a scenario expects something.
fn found(transfer: &Transfer, key: &str) -> String {
    let impact = transfer.impact.unwrap_or_default();
    match key {
        "unit" => transfer.subject.clone(),
        "from" => transfer.from.join("+"),
        "to" => transfer.to.join("+"),
        "cause" => transfer.cause.name().to_owned(),
        "by" => transfer.actor.replace('_', " "),
        "start" => ms(transfer.started_at_ns).to_string(),
        "end" => ms(transfer.ended_at_ns).to_string(),
        "known" => ms(transfer.known_at_ns).to_string(),
        "uncertain" => transfer
            .start_uncertain_ns
            .map_or_else(|| "unknown".to_owned(), |ns| (ns as f64 / 1e6).to_string()),
        "delayed" => impact.delayed.to_string(),
        "retried" => impact.retried.to_string(),
        "failed" => impact.failed.to_string(),
        "held" => impact.held_in_dm.to_string(),
        "added" => (impact.added_ns / 1_000_000).to_string(),
        "longest" => (impact.longest_ns / 1_000_000).to_string(),
        _ => panic!("nothing is called {key}"),
    }
}

fn check(text: &str) -> Outcome {
    let scenario = Scenario::read(text);
    let (expected, flags) = (scenario.transfers.clone(), scenario.flags.clone());
    let (transfers, outcome) = scenario.run();
    let shown: Vec<Expected> = transfers
        .iter()
        .enumerate()
        .map(|(n, transfer)| match expected.get(n) {
            Some(expected) => expected
                .keys()
                .map(|key| (key.clone(), found(transfer, key)))
                .collect(),
            None => [("unexpected".to_owned(), format!("{transfer:?}"))].into(),
        })
        .collect();
    assert_eq!(shown, expected, "\n{transfers:#?}");
    let mut kinds: Vec<&str> = outcome
        .flags
        .iter()
        .map(|flag| words::kind(flag.kind))
        .filter(|kind| *kind != "ownership-transfer")
        .collect();
    kinds.dedup();
    assert_eq!(kinds, flags, "\n{:#?}", outcome.flags);
    let told = outcome
        .flags
        .iter()
        .filter(|flag| flag.kind == crate::model::FlagKind::OwnershipTransfer);
    assert_eq!(told.count(), transfers.len());
    outcome
}

macro_rules! scenarios {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            check(include_str!(concat!("../scenarios/", stringify!($name), ".txt")));
        })*
    };
}

scenarios!(
    alua_handler_through_group_switch,
    alua_process_sg_stpg,
    alua_array_alone,
    alua_array_transition_of_3_s,
    alua_held_beyond_its_end,
    alua_other_host,
    alua_polled_only,
    alua_filed_for_all_groups,
    alua_group_without_path,
    alua_path_gone,
    alua_filed_only,
    alua_failed_stpg_is_no_cause,
    alua_old_command_is_no_cause,
    alua_out_of_order,
    alua_unknown,
    alua_first_answers_move_nothing,
    alua_stuck_transition,
    alua_follow_over_own_failover,
    alua_follow_over_own_loss,
    alua_follow_over_violation,
    alua_follow_over_judged_when_certain,
    alua_belated_attention,
    alua_taken_after_own_failover,
    alua_thrash,
    alua_twenty_failovers_are_no_thrash,
    alua_array_failovers_are_no_thrash,
    alua_not_preferred_and_disagreeing,
    rdac_mode_select_by_handler,
    rdac_taken_by_other_host,
    rdac_avt,
    rdac_mixed_owners,
    rdac_one_command_moves_two,
    rdac_outstanding_mode_select,
    rdac_two_hosts_thrash,
);

#[test]
fn the_timeline_has_tenures_and_loads() {
    let outcome = check(include_str!("../scenarios/alua_process_sg_stpg.txt"));
    let [unit] = outcome.units.as_slice() else {
        panic!("{:?}", outcome.units);
    };
    let owners: Vec<String> = unit.tenures.iter().map(|it| it.owner.join("+")).collect();
    assert_eq!(owners, ["TPG 1", "TPG 2"]);
    let [before, after] = [&unit.tenures[0], &unit.tenures[1]];
    assert_eq!(
        (ms(before.ended_at_ns), ms(after.began_at_ns)),
        (1000.0, 1001.0)
    );
    assert!((before.load.iops - 1000.0).abs() < 20.0, "{before:?}");
    assert!((after.load.iops - 1000.0).abs() < 20.0, "{after:?}");
    let p50 = |load: crate::model::Load| load.p50_ns.unwrap() / 10_000;
    assert_eq!((p50(before.load), p50(after.load)), (30, 60));
    let transfer = &unit.transfers[0];
    assert_eq!(
        (p50(transfer.before.unwrap()), p50(transfer.after.unwrap())),
        (30, 60)
    );
    assert!(transfer.evidence[0].starts_with("+0 ns: sg_stpg[123] sent SET TARGET PORT GROUPS"));
}

/// A unit about which nothing was observed for a while is looked at again once something is.
#[test]
fn a_unit_that_has_been_still_is_heard() {
    const S: u64 = 1_000_000_000;
    let mut ownership = Ownership::new(Thresholds::default());
    let mut last_flag_id = 0;
    let mut flags = |ownership: &mut Ownership, from_s: u64, to_s: u64| {
        for step in from_s * 20..to_s * 20 {
            ownership.tick(step * S / 20, &mut last_flag_id);
        }
        let lines = ownership.take_lines().into_iter();
        lines.filter(|line| matches!(line, Line::Flag(_))).count()
    };
    let (lun, path) = (0, 1);
    ownership.observe(Observation::Unit {
        lun,
        name: "mpatha".into(),
        wwid: None,
    });
    ownership.observe(Observation::Path {
        lun,
        path,
        hctl: "1:0:0:0".parse().unwrap(),
        side: Some(Side::Group(1)),
    });
    ownership.observe(Observation::Groups {
        lun,
        asked_at_ns: S,
        answered_at_ns: S + 1,
        transition_time_s: None,
        groups: vec![GroupAnswer {
            group: 1,
            state: model::AccessState::Optimized,
            preferred: false,
            status: 0,
        }],
    });
    assert_eq!(flags(&mut ownership, 1, 30), 0);
    assert!(ownership.units.all().all(|unit| unit.is_still));
    ownership.observe(Observation::Sysfs {
        lun,
        path,
        at_ns: 30 * S,
        state: model::AccessState::Standby,
    });
    assert_eq!(flags(&mut ownership, 31, 40), 1);
}
