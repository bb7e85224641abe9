//! Loads that never were, with a cost that is known.

use super::*;

const US: u64 = 1_000;

struct Load {
    random: fastrand::Rng,
    commands: Commands,
}

impl Load {
    fn new(seed: u64) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            commands: Commands::default(),
        }
    }

    /// Commands of a second, of which so many per cent are not optimized and take so much longer.
    fn second(&mut self, at_s: u64, percent: u8, cost_ns: u64, bytes: [u32; 2]) {
        for nth in 0..400 {
            let other = self.random.u8(..100) < percent;
            let base = 150 * US + self.random.u64(..100 * US);
            self.commands.add(Command {
                class: if nth % 3 == 0 {
                    Class::Write
                } else {
                    Class::Read
                },
                bytes: bytes[usize::from(other)],
                at_ns: at_s * SLICE_NS + nth * 2_000 * US,
                latency_ns: base + if other { cost_ns } else { 0 },
                optimized: Some(!other),
            });
        }
    }
}

fn estimate(commands: &Commands) -> Estimate {
    match commands.gain() {
        Gain::Estimate(estimate) => estimate,
        other => panic!("{other:?}"),
    }
}

fn why(commands: &Commands) -> String {
    match commands.gain() {
        Gain::CannotTell { why } => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_planted_cost_is_in_the_interval() {
    let mut held = 0;
    for seed in 0..100 {
        let mut load = Load::new(seed);
        (0..20).for_each(|at_s| load.second(at_s, 50, 200 * US, [4096; 2]));
        let found = estimate(&load.commands);
        assert_eq!(found.compared, Compared::SameTime);
        assert!((found.costs_ns.value / 2e5 - 1.0).abs() < 0.05, "{found:?}");
        held += usize::from(found.costs_ns.low <= 2e5 && 2e5 <= found.costs_ns.high);
        // A half took 200 µs longer than 200 µs: a mean of 300 µs, a third of which is gained.
        assert!((found.gain.value - 1.0 / 3.0).abs() < 0.02, "{found:?}");
    }
    assert!(held >= 88, "{held}");
}

#[test]
fn before_and_after_is_compared_where_the_load_is_the_same() {
    let mut load = Load::new(1);
    (0..10).for_each(|at_s| load.second(at_s, 0, 0, [4096; 2]));
    (10..20).for_each(|at_s| load.second(at_s, 100, 30 * US, [4096; 2]));
    let found = estimate(&load.commands);
    assert_eq!(found.compared, Compared::BeforeAndAfter);
    assert!((found.costs_ns.value / 3e4 - 1.0).abs() < 0.1, "{found:?}");
    let mut other = Load::new(1);
    (0..10).for_each(|at_s| other.second(at_s, 0, 0, [4096; 2]));
    (10..20).for_each(|at_s| (0..3).for_each(|_| other.second(at_s, 100, 30 * US, [4096; 2])));
    assert!(
        why(&other.commands).contains("the load was another one"),
        "{}",
        why(&other.commands)
    );
}

#[test]
fn what_cannot_be_compared_is_told() {
    let mut load = Load::new(1);
    (0..20).for_each(|at_s| load.second(at_s, 50, 200 * US, [4096, 65_536]));
    let said = why(&load.commands);
    assert!(
        said.contains("no like") && said.contains("64 KiB") && said.contains("4 KiB"),
        "{said}"
    );
    let mut load = Load::new(1);
    (0..4).for_each(|at_s| load.second(at_s, 50, 200 * US, [4096; 2]));
    assert!(why(&load.commands).contains("too short"));
    let mut load = Load::new(1);
    (0..20).for_each(|at_s| load.second(at_s, 100, 200 * US, [4096; 2]));
    assert!(why(&load.commands).contains("nothing went over optimized"));
    let mut load = Load::new(1);
    (0..20).for_each(|at_s| load.second(at_s, 0, 0, [4096; 2]));
    assert_eq!(load.commands.gain(), Gain::Nothing);
    assert!(why(&Commands::default()).contains("nothing was read"));
}

/// The trace begins and ends in a second of few commands, some of which waited for that.
#[test]
fn seconds_that_are_not_whole_do_not_count() {
    let mut load = Load::new(1);
    (1..13).for_each(|at_s| load.second(at_s, 50, 200 * US, [4096; 2]));
    for (at_s, nth) in [(0, 0), (0, 1), (13, 0), (13, 1)] {
        for optimized in [true, false] {
            for _ in 0..10 {
                load.commands.add(Command {
                    class: Class::Read,
                    bytes: 4096,
                    at_ns: at_s * SLICE_NS + nth,
                    latency_ns: if optimized { 300 * US } else { 10_000 * US },
                    optimized: Some(optimized),
                });
            }
        }
    }
    let found = estimate(&load.commands).costs_ns;
    assert!(
        (found.value / 2e5 - 1.0).abs() < 0.05 && found.high < 2.2e5,
        "{found:?}"
    );
}

#[test]
fn blocks_weigh_the_same() {
    let mut slices = vec![(100.0, 100.0); 10];
    slices.push((50.0, 1.0));
    // The odd one of one command is a part of the last one: 150 of 101.
    let found = blocks(&slices).unwrap();
    assert_eq!(found.len(), 10);
    assert!((found[9] - 150.0 / 101.0).abs() < 1e-9, "{found:?}");
    assert!(blocks(&slices[..4]).is_err());
}

#[test]
fn sizes_are_alike_to_an_eighth() {
    assert_eq!(size(4096), 4096);
    assert_eq!((size(4097), size(4608)), (4096, 4608));
    assert_eq!((size(0), size(7), size(u32::MAX)), (0, 7, 0xf000_0000));
}
