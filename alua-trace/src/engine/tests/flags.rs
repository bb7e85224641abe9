//! Tests of flags: one for each episode, judged by the states of one moment.

use super::*;
use crate::engine::ownership::Side;
use crate::model::{Baseline, FlagChange, FlagKind, Verdict};

const S: u64 = 1_000 * MS;
const TRANSITIONING: u8 = 0xf;

#[test]
fn a_flag_is_raised_before_the_first_command_completes() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 100), &Host);
    engine.resolve(11, &Host);
    engine.counts(GlobalCounts::default(), &[(11, dispatched(0, 0))], 10 * MS);
    engine.counts(
        not_optimized(2),
        &[(10, dispatched(50, 0)), (11, dispatched(0, 2))],
        30 * MS,
    );
    assert!(engine.wants().scan);
    engine.topology(&topology(BOTH_ACTIVE), 30 * MS);
    engine.tick(31 * MS);
    let raised = said_of_flags(&mut engine);
    assert_eq!(raised.len(), 1);
    let flag = &raised[0].flag;
    assert_eq!(
        (raised[0].change, flag.kind),
        (FlagChange::Raised, FlagKind::NonOptimizedIo)
    );
    assert_eq!(flag.avoidable, Some(true));
    assert_eq!((flag.commands, flag.subject.as_str()), (2, "mpatha"));
    assert_eq!((flag.raised_at_ns, flag.p50_ns), (31 * MS, None));
    assert_eq!(flag.share, 1.0, "what came before is not of the episode");
    assert_eq!((flag.first_at_ns, flag.last_at_ns), (12 * MS, 29 * MS));
    assert!(!engine.wants().scan);
}

#[test]
fn one_episode_is_one_flag_with_count_cost_and_end() {
    let mut engine = engine();
    for at in 0..100 {
        engine.command(&read(10, AO, at * MS, 1_000), &Host);
    }
    for at in 100..200 {
        engine.command(&read(11, AN, at * MS, 5_000), &Host);
        engine.tick((at + 1) * MS);
    }
    engine.tick(250 * MS);
    engine.tick(1_500 * MS);
    let events = said_of_flags(&mut engine);
    let changes: Vec<FlagChange> = events.iter().map(|event| event.change).collect();
    assert_eq!(changes, [FlagChange::Raised, FlagChange::Ended]);
    let flag = &events[1].flag;
    assert_eq!((flag.first_at_ns, flag.last_at_ns), (100 * MS, 199 * MS));
    assert_eq!((flag.commands, flag.ended_at_ns), (100, Some(199 * MS)));
    assert_eq!(flag.baseline, Some(Baseline::Before));
    let cost = flag.p50_ns.unwrap() as f64 - flag.optimized_p50_ns.unwrap() as f64;
    assert!((cost - 4_000.0).abs() < 40.0, "{cost}");
    assert_eq!(engine.finish(u64::MAX, &|_| 0).flags.len(), 1);
    // What completes after the end but was dispatched before belongs to it.
    engine.command(&read(11, AN, 150 * MS, 2_000 * MS), &Host);
    engine.tick(2_200 * MS);
    assert!(said_of_flags(&mut engine).is_empty());
}

/// While the array is in transition commands are sent again about once a second.
#[test]
fn a_gap_within_a_transition_does_not_end_an_episode() {
    let mut engine = engine();
    for at in [10, 1_200, 2_400] {
        engine.command(&read(10, TRANSITIONING, at * MS, 1_000), &Host);
        engine.tick((at + 1) * MS);
        engine.tick((at + 1_150) * MS);
    }
    assert_eq!(said_of_flags(&mut engine).len(), 1, "raised, and not ended");
    engine.tick(70 * S);
    let said = said_of_flags(&mut engine);
    assert_eq!(said[0].change, FlagChange::Ended, "it takes too long");
}

/// The judgements of the one flag there is.
fn judgements(engine: &mut Driven) -> Vec<model::Judgement> {
    let flags = engine.finish(u64::MAX, &|_| 0).flags;
    assert_eq!(flags.len(), 1, "{flags:?}");
    flags[0].judgements.clone()
}

fn two_paths(first: &str, second: &str) -> Topology {
    topology_of(
        BOTH_ACTIVE,
        vec![
            device("1:0:0:0", "8:0", first),
            device("2:0:0:0", "8:16", second),
        ],
    )
}

#[test]
fn what_could_have_been_avoided_changes_within_one_flag() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Host);
    engine.command(&read(11, AN, 2, 1_000), &Host);
    engine.tick(3);
    engine.topology(&topology(FIRST_FAILED), 4);
    engine.tick(5);
    engine.command(&read(11, AN, 6, 1_000), &Host);
    engine.tick(7);
    let said: Vec<(FlagChange, u32, Option<bool>)> = said_of_flags(&mut engine)
        .iter()
        .map(|event| (event.change, event.flag.id, event.flag.avoidable))
        .collect();
    assert_eq!(
        said,
        [
            (FlagChange::Raised, 1, Some(true)),
            (FlagChange::Updated, 1, Some(false)),
        ]
    );
    let judged = judgements(&mut engine);
    assert_eq!(judged[0].alternatives, ["1:0:0:0"]);
    assert_eq!(
        (judged[1].verdict, judged[1].at_ns),
        (Verdict::Unavoidable, 6)
    );
    assert!(judged[1].alternatives.is_empty());
}

/// The array says 02/04/0A: the port group is transitioning, and `access_state` in sysfs is still
/// what it was.
#[test]
fn a_path_in_transition_is_never_its_own_alternative() {
    let mut engine = engine();
    engine.command(&read(10, AO, MS, 1_000), &Host);
    engine.topology(
        &two_paths("active/optimized", "active/non-optimized"),
        2 * MS,
    );
    engine.command(&read(10, TRANSITIONING, 10 * MS, 1_000), &Host);
    engine.topology(
        &two_paths("active/optimized", "active/non-optimized"),
        11 * MS,
    );
    // Nor after a scan that finds no I/O since the one before.
    engine.topology(
        &two_paths("active/optimized", "active/non-optimized"),
        12 * MS,
    );
    assert_eq!(engine.shown_paths()[0].state, AccessState::Transitioning);
    engine.tick(13 * MS);
    let raised = &said_of_flags(&mut engine)[0].flag;
    assert_eq!(raised.avoidable, None);
    assert!(
        raised.text.starts_with("the array is in transition"),
        "{}",
        raised.text
    );
    assert_eq!(raised.optimized_p50_ns, None, "compared with itself");
    // The new states, and I/O that goes on over the old path.
    engine.topology(&two_paths("active/non-optimized", "active/optimized"), S);
    engine.command(&read(10, AN, S + MS, 1_000), &Host);
    engine.tick(S + 2 * MS);
    let judged = judgements(&mut engine);
    assert_eq!(
        judged.iter().map(|it| it.verdict).collect::<Vec<_>>(),
        [Verdict::InTransition, Verdict::Avoidable]
    );
    assert_eq!(judged[1].paths[0].state, AccessState::NonOptimized);
    assert_eq!(judged[1].alternatives, ["2:0:0:0"]);
}

/// What is known of idle paths is as old as the last scan.
#[test]
fn a_new_state_is_judged_only_after_a_fresh_look() {
    let mut engine = engine();
    engine.command(&read(11, TRANSITIONING, 10 * MS, 1_000), &Host);
    engine.topology(&two_paths("active/optimized", "transitioning"), 11 * MS);
    engine.tick(12 * MS);
    assert!(!engine.wants().scan);
    engine.command(&read(11, AN, 20 * MS, 1_000), &Host);
    engine.tick(21 * MS);
    assert!(engine.wants().scan);
    engine.topology(&two_paths("standby", "active/non-optimized"), 22 * MS);
    engine.command(&read(11, AN, 23 * MS, 1_000), &Host);
    engine.tick(24 * MS);
    let judged = judgements(&mut engine);
    assert_eq!(
        judged.iter().map(|it| it.verdict).collect::<Vec<_>>(),
        [Verdict::InTransition, Verdict::Unavoidable]
    );
    assert!(!engine.wants().scan);
}

#[test]
fn a_transition_that_is_over_before_the_flag_is_raised_is_told_as_that() {
    let mut engine = engine();
    engine.command(&read(10, AO, MS, 1_000), &Host);
    engine.command(&read(10, TRANSITIONING, 10 * MS, 1_000), &Host);
    engine.command(&read(10, AO, 20 * MS, 1_000), &Host);
    engine.tick(30 * MS);
    let judged = judgements(&mut engine);
    assert_eq!(
        (judged[0].verdict, judged[0].at_ns),
        (Verdict::InTransition, 10 * MS)
    );
    assert!(judged[0].alternatives.is_empty(), "{judged:?}");
}

/// The optimized path has failed; another to the unit comes and goes twice a second and is in no
/// map.
#[test]
fn a_path_that_flaps_beside_the_map_makes_no_second_flag() {
    let mut engine = engine();
    engine.command(&read(10, AO, 1, 1_000), &Host);
    let with_third = |there: bool| {
        let mut devices = vec![
            device("1:0:0:0", "8:0", "active/optimized"),
            device("2:0:0:0", "8:16", "active/non-optimized"),
        ];
        if there {
            devices.push(device("3:0:0:0", "8:32", "active/optimized"));
        }
        topology_of(FIRST_FAILED, devices)
    };
    for half in 0..64 {
        engine.topology(&with_third(half % 2 == 1), half * 500 * MS + 1);
        for at in 0..10 {
            let at_ns = half * 500 * MS + at * 50 * MS + 2;
            engine.command(&read(11, AN, at_ns, 1_000), &Host);
            engine.tick(at_ns + 1);
        }
    }
    let said = said_of_flags(&mut engine);
    let raised = said.iter().filter(|it| it.change == FlagChange::Raised);
    assert_eq!((raised.count(), said.len()), (1, 2), "{said:?}");
    let text = said[1].flag.text.clone();
    assert!(
        text.ends_with(
            "3:0:0:0 is active/optimized, but not in mpatha: multipathd has not added it"
        ),
        "{text}"
    );
    let judged = judgements(&mut engine);
    assert_eq!((judged.len(), judged[0].verdict), (1, Verdict::Unavoidable));
    assert_eq!(judged[0].outside_map, ["3:0:0:0"]);
}

/// Counts are read before the record comes, and after it.
#[test]
fn a_state_that_only_counts_have_told_does_not_stay() {
    let mut engine = engine();
    engine.command(&read(10, AO, MS, 1_000), &Host);
    let mut counts = dispatched(1, 1);
    engine.counts(GlobalCounts::default(), &[(10, dispatched(1, 0))], 2 * MS);
    counts.non_optimized_last_ns = 12 * MS;
    engine.counts(not_optimized(1), &[(10, counts)], 13 * MS);
    assert_eq!(engine.shown_paths()[0].state, AccessState::NonOptimized);
    engine.command(&read(10, AO, 11 * MS, 1_000), &Host);
    assert_eq!(
        engine.shown_paths()[0].state,
        AccessState::NonOptimized,
        "older"
    );
    engine.command(&read(10, AO, 14 * MS, 1_000), &Host);
    assert_eq!(engine.shown_paths()[0].state, AccessState::Optimized);
}

/// Of a short offence only the counts have told when it is judged, and commands have told of the
/// states before and after it.
#[test]
fn an_offence_between_two_optimized_commands_is_no_alternative_to_itself() {
    let mut engine = engine();
    engine.command(&read(10, AO, 10 * MS, 1_000), &Host);
    engine.counts(GlobalCounts::default(), &[(10, dispatched(1, 0))], 11 * MS);
    engine.command(&read(10, AO, 30 * MS, 1_000), &Host);
    let mut counts = dispatched(2, 1);
    counts.non_optimized_last_ns = 25 * MS;
    engine.counts(not_optimized(1), &[(10, counts)], 31 * MS);
    engine.tick(32 * MS);
    let judged = judgements(&mut engine);
    assert_eq!(judged[0].paths[0].hctl, "1:0:0:0");
    assert!(judged[0].alternatives.is_empty(), "{judged:?}");
}

/// Small numbers in no order, the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

/// Whatever happens: no path is offence and alternative at once, states in the lists are those of
/// their time, and a flag tells one verdict after another.
#[test]
fn no_judgement_contradicts_itself() {
    for seed in 0..100 {
        let mut random = Random(seed);
        let mut engine = engine();
        let mut now_ns = MS;
        let mut states = [AO, AN];
        for _ in 0..200 {
            now_ns += 1 + random.below(40 * MS);
            match random.below(6) {
                0 => states = states.map(|_| [AO, AN, TRANSITIONING][random.below(3) as usize]),
                1 => {
                    let sysfs = states.map(|state| if state == TRANSITIONING { AO } else { state });
                    let word = |state| {
                        if state == AO {
                            "active/optimized"
                        } else {
                            "active/non-optimized"
                        }
                    };
                    let status = if random.below(3) == 0 {
                        FIRST_FAILED
                    } else {
                        BOTH_ACTIVE
                    };
                    let devices = vec![
                        device("1:0:0:0", "8:0", word(sysfs[0])),
                        device("2:0:0:0", "8:16", word(sysfs[1])),
                    ];
                    engine.topology(&topology_of(status, devices), now_ns);
                }
                2 => engine.tick(now_ns),
                _ => {
                    let path = random.below(2) as usize;
                    let record = read(10 + path as u16, states[path], now_ns, 1 + random.below(MS));
                    engine.command(&record, &Host);
                }
            }
        }
        engine.tick(now_ns);
        for flag in engine.finish(u64::MAX, &|_| 0).flags {
            if flag.kind == FlagKind::NonOptimizedIo {
                assert_consistent(&flag, seed);
            }
        }
    }
}

fn assert_consistent(flag: &Flag, seed: u64) {
    assert!(!flag.judgements.is_empty(), "{seed}: {flag:?}");
    for judgement in &flag.judgements {
        assert!(!judgement.paths.is_empty(), "{seed}: {judgement:?}");
        for offender in &judgement.paths {
            let lists = [&judgement.alternatives, &judgement.outside_map];
            assert!(
                lists.iter().all(|list| !list.contains(&offender.hctl)),
                "{seed}: {judgement:?}"
            );
            assert!(
                !matches!(
                    offender.state,
                    AccessState::Optimized | AccessState::Unknown
                ),
                "{seed}: {judgement:?}"
            );
        }
        let expected = judgement.verdict == Verdict::Avoidable;
        assert!(
            !expected || !judgement.alternatives.is_empty(),
            "{seed}: {judgement:?}"
        );
    }
    let times: Vec<u64> = flag.judgements.iter().map(|it| it.at_ns).collect();
    assert!(times.is_sorted(), "{seed}: {times:?}");
}

/// Two paths of an RDAC array in IOSHIP mode, to controllers A and B.
struct Ioship;

impl Tables for Ioship {
    fn path(&self, id: u16) -> Option<PathSlot> {
        const IOSHIP: u8 = 2;
        let slot = Host.path(id)?;
        Some(PathSlot {
            handler: alua_trace_ebpf::handler::RDAC,
            controller: IOSHIP << 6 | u8::from(id == 11),
            ..slot
        })
    }

    fn route(&self, id: u16) -> Option<RouteSlot> {
        Host.route(id)
    }
}

/// `scsi_dh_rdac` has A for the owner still: its own MODE SELECT does not renew what it has filed.
#[test]
fn what_the_array_has_told_since_counts_before_what_the_handler_has_filed() {
    let judged = |owner: Option<&'static [Side]>| {
        let mut engine = engine();
        engine.command(&read(10, AO, MS, 1_000), &Ioship);
        engine.command(&read(11, AN, 2 * MS, 1_000), &Ioship);
        engine.paths.contradict(|_| owner);
        engine.command(&read(11, AN, 3 * MS, 1_000), &Ioship);
        engine.tick(4 * MS);
        let flag = said_of_flags(&mut engine).remove(0).flag;
        let judgement = flag.judgements[0].clone();
        (flag.commands, judgement.verdict, judgement.alternatives)
    };
    let a = ["1:0:0:0".to_owned()].to_vec();
    assert_eq!(judged(None), (2, Verdict::Avoidable, a.clone()));
    assert_eq!(
        judged(Some(&[Side::Controller(0)])),
        (2, Verdict::Avoidable, a)
    );
    assert_eq!(
        judged(Some(&[Side::Controller(1)])),
        (1, Verdict::Unavoidable, Vec::new())
    );
}
