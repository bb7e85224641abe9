//! The statistics against what is known: experiments that never were, thousands of them by
//! `cargo xtask soak`, some of them among the tests.

use super::{Sides, band, holm, interval, normal, p_value, widest};

/// Experiments; more where `ALUA_TRACE_SIMULATIONS` says so.
fn experiments() -> usize {
    let more = std::env::var("ALUA_TRACE_SIMULATIONS").ok();
    more.and_then(|it| it.parse().ok()).unwrap_or(100)
}

/// Runs of a load: the logarithm of the mean latency of commands that depend on the ones before them, lognormal,
/// in bursts, on a machine that drifts.
struct Load {
    random: fastrand::Rng,
    /// Commands of a run: the more, the less runs vary.
    commands: u32,
}

impl Load {
    /// The metric of a run, times `effect`.
    fn run(&mut self, effect: f64) -> f64 {
        let machine = 0.01 * normal(&mut self.random);
        let (mut level, mut burst) = (0.0, 0);
        let sum: f64 = (0..self.commands)
            .map(|_| {
                level = 0.9 * level + 0.2 * normal(&mut self.random);
                burst = if self.random.u8(..) == 0 {
                    20
                } else {
                    burst - (burst > 0) as u32
                };
                let late = if burst > 0 { 0.7 } else { 0.0 };
                (level + late).exp()
            })
            .sum();
        (sum / f64::from(self.commands)).ln() + machine + effect.ln()
    }

    fn runs(&mut self, count: usize, effect: f64) -> Vec<f64> {
        (0..count).map(|_| self.run(effect)).collect()
    }
}

/// How many of the experiments say yes.
fn share(seed: u64, mut experiment: impl FnMut(&mut Load, u64) -> bool) -> f64 {
    let count = experiments();
    let mut load = Load {
        random: fastrand::Rng::with_seed(seed),
        commands: 300,
    };
    let yes = (0..count)
        .filter(|nth| experiment(&mut load, *nth as u64))
        .count();
    yes as f64 / count as f64
}

/// What a share of as many experiments may be off by chance, once in a thousand.
fn leeway(share: f64) -> f64 {
    3.3 * (share * (1.0 - share) / experiments() as f64).sqrt()
}

#[test]
fn chance_is_no_difference() {
    for runs in [5, 10] {
        let found = share(1, |load, seed| {
            let (one, other) = (load.runs(runs, 1.0), load.runs(runs, 1.0));
            p_value(Sides::new(&one, &other).unwrap(), seed) <= 0.05
        });
        assert!(found <= 0.05 + leeway(0.05), "{runs} runs a side: {found}");
    }
}

#[test]
fn the_interval_holds_the_truth() {
    for runs in [5, 10] {
        let held = share(2, |load, seed| {
            let (one, other) = (load.runs(runs, 1.0), load.runs(runs, 1.05));
            let it = interval(Sides::new(&one, &other).unwrap(), 0.95, seed);
            it.low <= 1.05_f64.ln() && 1.05_f64.ln() <= it.high
        });
        assert!(
            (held - 0.95).abs() <= 0.02 + leeway(0.95),
            "{runs} runs a side: {held}"
        );
    }
}

#[test]
fn several_metrics_are_no_more_likely_to_mislead_than_one() {
    let misled = share(3, |load, seed| {
        let chances: Vec<f64> = (0..5)
            .map(|nth| {
                let (one, other) = (load.runs(8, 1.0), load.runs(8, 1.0));
                p_value(Sides::new(&one, &other).unwrap(), seed + nth)
            })
            .collect();
        holm(&chances).iter().any(|chance| *chance <= 0.05)
    });
    assert!(misled <= 0.05 + leeway(0.05), "{misled}");
}

#[test]
fn what_is_said_to_be_the_same_is() {
    let wrong = share(4, |load, seed| {
        let (one, other) = (load.runs(10, 1.0), load.runs(10, 1.10));
        widest(interval(Sides::new(&one, &other).unwrap(), 0.9, seed)) < 1.10_f64.ln()
    });
    assert!(wrong <= 0.05 + leeway(0.05), "{wrong}");
}

#[test]
fn a_difference_of_5_percent_is_found() {
    let found = share(5, |load, seed| {
        load.commands = 5000;
        let (one, other) = (load.runs(10, 1.0), load.runs(10, 1.05));
        p_value(Sides::new(&one, &other).unwrap(), seed) <= 0.05
    });
    assert!(found >= 0.8, "{found}");
}

/// Percentiles of a run go together: what the load was at that time is in all of them.
#[test]
fn the_band_holds_all_percentiles_at_once() {
    let effects = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2];
    for runs in [5, 10] {
        let held = share(6, |load, seed| {
            let mut side = |effect: f64| -> Vec<Vec<f64>> {
                let mut run = || {
                    let of_all = load.run(1.0);
                    let of_each = effects.iter().enumerate().map(|(nth, more)| {
                        let own = 0.01 * (nth + 1) as f64 * normal(&mut load.random);
                        of_all + own + effect * more
                    });
                    of_each.collect()
                };
                (0..runs).map(|_| run()).collect()
            };
            let (one, other) = (side(0.0), side(1.0));
            let band = band(&one, &other, 0.95, seed).unwrap();
            let mut all = band.iter().zip(effects);
            all.all(|(it, truth)| it.low <= truth && truth <= it.high)
        });
        assert!(held >= 0.95 - leeway(0.95), "{runs} runs a side: {held}");
        // Nor so wide that it says nothing.
        assert!(
            held < 1.0 || experiments() < 500,
            "{runs} runs a side: {held}"
        );
    }
}
