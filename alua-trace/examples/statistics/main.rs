//! The statistics against what is known: experiments that never were, as many as are asked for, each with a truth
//! that was planted. `cargo xtask soak statistics` makes 2,000, a short form is among the tests.
//!
//! A load's commands depend on the ones before them (AR(1)), are lognormal, come in bursts, and the machine drifts
//! from block to block. Each claim is told with its rate. The same number of experiments gives the same rates.

mod values;

use std::process::ExitCode;

use alua_trace::inference::{
    At, Blocks, Effect, Factorial, Sides, band, holm, interval, p_value, p_value_of_blocks, widest,
};
use anyhow::{Context, Result, ensure};

/// What a claim's rate may be.
enum Limit {
    AtMost(f64),
    AtLeast(f64),
    Between(f64, f64),
}

struct Claim {
    says: &'static str,
    limit: Limit,
    /// Whether one experiment says yes.
    experiment: fn(&mut Load, u64) -> bool,
}

const CLAIMS: [Claim; 15] = [
    Claim {
        says: "no difference, 5 runs a side: one is found",
        limit: Limit::AtMost(0.06),
        experiment: |load, seed| is_found(load, seed, 5, 1.0),
    },
    Claim {
        says: "no difference, 10 runs a side: one is found",
        limit: Limit::AtMost(0.06),
        experiment: |load, seed| is_found(load, seed, 10, 1.0),
    },
    Claim {
        says: "no difference in five metrics of 8 runs a side: one is found",
        limit: Limit::AtMost(0.06),
        experiment: |load, seed| {
            let chances: Vec<f64> = (0..5).map(|nth| chance(load, seed + nth, 8, 1.0)).collect();
            holm(&chances).iter().any(|it| *it <= 0.05)
        },
    },
    Claim {
        says: "no effect in 8 blocks: one is found",
        limit: Limit::AtMost(0.06),
        experiment: |load, seed| {
            let of_each = load.effect(8, Effect::Main(ALUA), [0.0; 4]);
            p_value_of_blocks(blocks(&of_each), seed) <= 0.05
        },
    },
    Claim {
        says: "5 %, 10 runs a side: it is found",
        limit: Limit::AtLeast(0.8),
        experiment: |load, seed| {
            load.commands = MANY_COMMANDS;
            is_found(load, seed, 10, 1.05)
        },
    },
    Claim {
        says: "5 %, 5 runs a side: the interval holds it",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| is_held(load, seed, 5),
    },
    Claim {
        says: "5 %, 10 runs a side: the interval holds it",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| is_held(load, seed, 10),
    },
    Claim {
        says: "10 %, 10 runs a side: said to be less than 10 %",
        limit: Limit::AtMost(0.06),
        experiment: |load, _| {
            let (one, other) = (load.runs(10, 1.0), load.runs(10, 1.10));
            widest(sides(&one, &other)) < 1.10_f64.ln()
        },
    },
    Claim {
        says: "5 % in 8 blocks: the interval holds it",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| holds(load, seed, 8, Effect::Main(ALUA), 0.05),
    },
    Claim {
        says: "an interaction of -3 % in 8 blocks: the interval holds it",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| holds(load, seed, 8, Effect::Interaction(MTU, ALUA), -0.03),
    },
    Claim {
        says: "an interaction of -3 % in 16 blocks: the interval holds it",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| holds(load, seed, 16, Effect::Interaction(MTU, ALUA), -0.03),
    },
    Claim {
        says: "no interaction in 8 blocks: one is found",
        limit: Limit::AtMost(0.06),
        experiment: |load, seed| {
            let of_each = load.effect(8, Effect::Interaction(MTU, ALUA), [0.0, 0.03, 0.05, 0.08]);
            p_value_of_blocks(blocks(&of_each), seed) <= 0.05
        },
    },
    Claim {
        says: "an interaction of -5 % in 10 blocks: it is found",
        limit: Limit::AtLeast(0.8),
        experiment: |load, seed| {
            load.commands = MANY_COMMANDS;
            let truths = [0.0, 0.05, 0.05, 0.05];
            let of_each = load.effect(10, Effect::Interaction(MTU, ALUA), truths);
            p_value_of_blocks(blocks(&of_each), seed) <= 0.05
        },
    },
    Claim {
        says: "six percentiles, 5 runs a side: the band holds all of them",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| is_in_band(load, seed, 5),
    },
    Claim {
        says: "six percentiles, 10 runs a side: the band holds all of them",
        limit: Limit::Between(0.93, 0.97),
        experiment: |load, seed| is_in_band(load, seed, 10),
    },
];

/// Experiments of the full proof.
const FULL: u64 = 2000;

const ALUA: At = At {
    factor: 0,
    level: 1,
};
const MTU: At = At {
    factor: 1,
    level: 1,
};

/// Commands of a run: the more, the less runs vary.
const COMMANDS: u32 = 1000;
/// Of those whose effect must be found.
const MANY_COMMANDS: u32 = 5 * COMMANDS;

/// Runs of a load.
struct Load {
    random: fastrand::Rng,
    commands: u32,
    /// What the machine does to all runs for a while.
    drift: f64,
}

impl Load {
    /// Logarithm of a run's mean latency, with `effect` added to it.
    fn run(&mut self, effect: f64) -> f64 {
        let machine = 0.01 * self.normal() + self.drift;
        let (mut level, mut burst) = (0.0, 0_u32);
        let mut sum = 0.0;
        for _ in 0..self.commands {
            level = 0.9 * level + 0.1 * self.normal();
            burst = match self.random.u8(..) {
                0 => 20,
                _ => burst.saturating_sub(1),
            };
            let late = if burst > 0 { 0.7 } else { 0.0 };
            sum += f64::exp(level + late);
        }
        (sum / f64::from(self.commands)).ln() + machine + effect
    }

    fn runs(&mut self, count: usize, ratio: f64) -> Vec<f64> {
        (0..count).map(|_| self.run(ratio.ln())).collect()
    }

    /// An effect of two factors in each of some blocks, which drift; each cell has its own truth.
    fn effect(&mut self, blocks: usize, effect: Effect, truths: [f64; 4]) -> Vec<f64> {
        let design = Factorial::new(&[2, 2]).unwrap_or_else(|| unreachable!("two levels each"));
        let of_block = |_| {
            self.drift = 0.1 * self.normal();
            let cells = truths.map(|truth| self.run(truth));
            design.value(effect, &cells)
        };
        let of_each = (0..blocks).map(of_block).collect();
        self.drift = 0.0;
        of_each
    }

    /// From −∞ to ∞, 0 in the middle, with a variance of 1.
    fn normal(&mut self) -> f64 {
        let (radius, turn) = (1.0 - self.random.f64(), self.random.f64());
        (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
    }
}

#[expect(clippy::expect_used, reason = "runs that are made here are enough")]
fn sides<'a>(one: &'a [f64], other: &'a [f64]) -> Sides<'a> {
    Sides::new(one, other).expect("at least two runs a side")
}

#[expect(clippy::expect_used, reason = "blocks that are made here are enough")]
fn blocks(of_each: &[f64]) -> Blocks<'_> {
    Blocks::new(of_each).expect("at least two blocks")
}

fn chance(load: &mut Load, seed: u64, runs: usize, ratio: f64) -> f64 {
    let (one, other) = (load.runs(runs, 1.0), load.runs(runs, ratio));
    p_value(sides(&one, &other), seed)
}

fn is_found(load: &mut Load, seed: u64, runs: usize, ratio: f64) -> bool {
    chance(load, seed, runs, ratio) <= 0.05
}

fn is_held(load: &mut Load, seed: u64, runs: usize) -> bool {
    let (one, other) = (load.runs(runs, 1.0), load.runs(runs, 1.05));
    let it = interval(sides(&one, &other), 0.95, seed);
    (it.low..=it.high).contains(&1.05_f64.ln())
}

/// Plants an effect of ALUA of 5 %, of jumbo frames of 3 %, and that they do not add up.
fn holds(load: &mut Load, seed: u64, count: usize, effect: Effect, truth: f64) -> bool {
    let interaction = match effect {
        Effect::Interaction(..) => truth,
        _ => 0.0,
    };
    let of_each = load.effect(count, effect, [0.0, 0.03, 0.05, 0.08 + interaction]);
    let it = interval(blocks(&of_each), 0.95, seed);
    (it.low..=it.high).contains(&truth)
}

/// Percentiles of a run go together: what the load was at that time is in all of them.
fn is_in_band(load: &mut Load, seed: u64, runs: usize) -> bool {
    let truths = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2];
    let mut side = |effect: f64| -> Vec<Vec<f64>> {
        let mut run = || {
            let of_all = load.run(0.0);
            let mut of_each = Vec::new();
            for (nth, truth) in truths.iter().enumerate() {
                let own = 0.01 * (nth + 1) as f64 * load.normal();
                of_each.push(of_all + own + effect * truth);
            }
            of_each
        };
        (0..runs).map(|_| run()).collect()
    };
    let (one, other) = (side(0.0), side(1.0));
    let band = band(&one, &other, 0.95, seed).unwrap_or_default();
    let mut held = band
        .iter()
        .zip(truths)
        .map(|(it, truth)| (it.low..=it.high).contains(&truth));
    band.len() == truths.len() && held.all(|it| it)
}

/// What a rate of fewer experiments than the full proof's may be off by chance beside, once in a thousand proofs.
fn leeway(rate: f64, experiments: u64) -> f64 {
    let of = |experiments: u64| 3.3 * (rate * (1.0 - rate) / experiments as f64).sqrt();
    (of(experiments) - of(FULL)).max(0.0)
}

impl Limit {
    fn ends(&self) -> (f64, f64) {
        match *self {
            Self::AtMost(high) => (0.0, high),
            Self::AtLeast(low) => (low, 1.0),
            Self::Between(low, high) => (low, high),
        }
    }

    fn is_kept(&self, rate: f64, experiments: u64) -> bool {
        let (low, high) = self.ends();
        let (below, above) = (leeway(low, experiments), leeway(high, experiments));
        (low - below..=high + above).contains(&rate)
    }
}

fn main() -> Result<ExitCode> {
    let word = std::env::args().nth(1).unwrap_or_default();
    if word == "values" {
        println!("{}", values::values());
        return Ok(ExitCode::SUCCESS);
    }
    let experiments: u64 = word
        .parse()
        .context("say how many experiments, or values")?;
    ensure!(experiments >= 50, "fewer than 50 experiments say nothing");
    let mut wrong = 0;
    for (nth, claim) in CLAIMS.iter().enumerate() {
        let mut load = Load {
            random: fastrand::Rng::with_seed(nth as u64),
            commands: COMMANDS,
            drift: 0.0,
        };
        let yes = (0..experiments)
            .filter(|seed| (claim.experiment)(&mut load, *seed))
            .count();
        let rate = yes as f64 / experiments as f64;
        let is_kept = claim.limit.is_kept(rate, experiments);
        wrong += usize::from(!is_kept);
        let (low, high) = claim.limit.ends();
        println!(
            "{} {}: {:.1} % (expected {:.0} to {:.0} %)",
            if is_kept { "ok   " } else { "WRONG" },
            claim.says,
            100.0 * rate,
            100.0 * low,
            100.0 * high,
        );
    }
    println!("{experiments} experiments of each; {wrong} claims are wrong");
    Ok(ExitCode::from(u8::from(wrong > 0)))
}
