//! What the blocks of an experiment tell: of each metric what every factor changes, where another one is at each of
//! its levels, and whether they add up.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::{
    journal::{Done, Try},
    notes::{Note, notes},
    plan::Plan,
};
use crate::{
    cli::{Gates, Label, Quantity},
    comparison::{self, Change, Condition, Facts, Metric, Verdict},
    gates::Outcome,
    inference::{
        self, At, Blocks, Effect, Factorial, blocks_for_verdict, blocks_needed, detectable, holm,
        interval, p_value_of_blocks, widest,
    },
};

/// The same runs give the same numbers.
const SEED: u64 = 12;

/// An experiment, as far as it has been made.
#[derive(Debug, Serialize)]
pub struct Results {
    /// What it is about.
    pub title: String,
    /// What is switched.
    pub factors: Vec<FactorOf>,
    /// Names of the cells.
    pub cells: Vec<String>,
    /// Blocks of the plan.
    pub planned: usize,
    /// Those in which every cell has a result: what is told is of these.
    pub blocks: usize,
    /// How many a verdict takes, where these are too few.
    pub blocks_needed: Option<usize>,
    /// What the order was drawn by.
    pub seed: u64,
    /// A difference that would matter, as a part of 1.
    pub within: f64,
    /// The plan's metrics.
    pub looked_at: Vec<Metric>,
    /// Runs, in the order in which they were made.
    pub runs: Vec<RunOf>,
    /// Tries that are no result.
    pub failed: Vec<FailedOf>,
    /// Of each metric that all runs carry.
    pub metrics: Vec<MetricOf>,
    /// Metrics that not all runs carry.
    pub not_carried: Vec<Metric>,
    /// How much longer an I/O takes over a path that is not optimized, in ns: means of runs that have both.
    pub not_optimized_costs_ns: Option<Change>,
    /// What the host did for each command: means of the cells.
    pub conditions: Vec<ConditionOf>,
    /// What of the set-up is not the same in all runs.
    pub notes: Vec<Note>,
}

/// A factor.
#[derive(Debug, Clone, Serialize)]
pub struct FactorOf {
    /// Its name.
    pub name: String,
    /// What its second level stands for.
    pub called: Option<String>,
    /// Names of its levels.
    pub levels: Vec<String>,
}

/// A run.
#[derive(Debug, Serialize)]
pub struct RunOf {
    /// Block, cell and try.
    #[serde(flatten)]
    pub of: Try,
    /// Its recording, in the experiment's directory.
    pub recording: String,
    /// How many rounds its warm-up took.
    pub rounds: usize,
    /// Of each of the plan's metrics; `null` where the run does not carry it.
    pub values: Vec<Option<f64>>,
    /// Frames, interrupts and retransmits for each command; `null` where the run does not carry it.
    pub conditions: Vec<Option<f64>>,
    /// By how much the mean of its commands over paths that are not optimized is more than that of the others, in ns.
    pub not_optimized_costs_ns: Option<f64>,
    #[serde(skip)]
    pub(super) facts: Facts,
}

/// A try that is no result.
#[derive(Debug, Clone, Serialize)]
pub struct FailedOf {
    /// Block, cell and try.
    #[serde(flatten)]
    pub of: Try,
    /// Why.
    pub why: String,
}

/// What is found of a metric.
#[derive(Debug, Serialize)]
pub struct MetricOf {
    /// The metric.
    pub metric: Metric,
    /// Means of the cells; geometric ones where a ratio is told.
    pub of_cells: Vec<f64>,
    /// Main effects and interactions.
    pub effects: Vec<EffectOf>,
    /// Effects of each factor where another one has a level.
    pub each: Vec<EffectOf>,
}

/// What the host did for each command.
#[derive(Debug, Serialize)]
pub struct ConditionOf {
    /// What is counted.
    pub condition: Condition,
    /// Means of the cells.
    pub of_cells: Vec<f64>,
}

/// An effect.
#[derive(Debug, Clone, Serialize)]
pub struct EffectOf {
    #[serde(skip)]
    pub(super) effect: Effect,
    /// What is changed: `MTU=9000`.
    pub of: String,
    /// Where another factor has this level; `null` whatever it has.
    pub r#where: Option<String>,
    /// Of an interaction: by how much the effect is another where this is so.
    pub with: Option<String>,
    /// As a part of what it is without (0.03 is 3 % more), or as a difference where the metric is a part itself;
    /// with an interval of 95 %.
    pub change: Change,
    /// How likely chance alone makes as much of it.
    pub p: f64,
    /// The same among all metrics that are looked at (Holm).
    pub p_adjusted: f64,
    /// The one-sided tests leave no larger one, in either direction.
    pub at_most: f64,
    /// The smallest one that blocks like these show in four of five experiments.
    pub detectable: f64,
    /// What follows.
    pub verdict: Verdict,
    /// Of each block: logarithms where a ratio is told.
    #[serde(skip)]
    contrasts: Vec<f64>,
}

impl EffectOf {
    /// `MTU=9000`, `MTU=9000, where ALUA=on`, `ALUA=on × MTU=9000`.
    #[must_use]
    pub fn name(&self) -> String {
        match (&self.r#where, &self.with) {
            (Some(place), _) => format!("{}, where {place}", self.of),
            (None, Some(with)) => format!("{} × {with}", self.of),
            (None, None) => self.of.clone(),
        }
    }
}

/// What a journal's runs come to; their recordings are in `dir`.
///
/// # Errors
/// A recording cannot be read.
pub fn results(plan: &Plan, done: &Done, dir: &Path) -> Result<Results> {
    let factorial = plan.factorial()?;
    let mut runs = Vec::new();
    for run in &done.runs {
        let read = comparison::run_of(&[dir.join(&run.recording)], &plan.maps, None)?;
        runs.push(RunOf {
            of: run.of,
            recording: run.recording.clone(),
            rounds: run.warm_up.rounds,
            values: plan.metrics.iter().map(|it| read.metric(*it)).collect(),
            conditions: Condition::ALL.map(|it| read.condition(it)).to_vec(),
            not_optimized_costs_ns: read.not_optimized_costs_ns,
            facts: read.facts,
        });
    }
    Ok(of_runs(plan, &factorial, done, runs))
}

fn of_runs(plan: &Plan, factorial: &Factorial, done: &Done, runs: Vec<RunOf>) -> Results {
    let cells = factorial.cells();
    let blocks = whole_blocks(&runs, cells);
    let (mut metrics, mut not_carried) = (Vec::new(), Vec::new());
    for (nth, metric) in plan.metrics.iter().enumerate() {
        match values(&runs, &blocks, |run| run.values[nth]) {
            Some(values) => metrics.extend(metric_of(plan, factorial, *metric, &values)),
            None => not_carried.push(*metric),
        }
    }
    let looked_at = metrics.len();
    let needed = blocks_for_verdict(looked_at);
    let enough = blocks.len() >= needed;
    judge(&mut metrics, enough, plan.within / 100.0);
    let conditions = Condition::ALL.into_iter().enumerate();
    let conditions = conditions.filter_map(|(nth, condition)| {
        let values = values(&runs, &blocks, |run| run.conditions[nth])?;
        Some(ConditionOf {
            condition,
            of_cells: means(&values, |it| it),
        })
    });
    Results {
        title: plan.title.clone(),
        factors: plan.factors.iter().map(FactorOf::of).collect(),
        cells: (0..cells).map(|cell| plan.name_of(cell, " ")).collect(),
        planned: done.schedule.len(),
        blocks: blocks.len(),
        blocks_needed: (!enough).then_some(needed),
        seed: done.seed,
        within: plan.within / 100.0,
        looked_at: plan.metrics.clone(),
        failed: done.failed.iter().map(FailedOf::of).collect(),
        not_optimized_costs_ns: not_optimized_costs(&runs, &blocks),
        metrics,
        not_carried,
        conditions: conditions.collect(),
        notes: notes(plan, factorial, &runs),
        runs,
    }
}

impl FactorOf {
    fn of(factor: &super::plan::Factor) -> Self {
        Self {
            name: factor.name.clone(),
            called: factor.called.clone(),
            levels: factor.levels.iter().map(|it| it.name.clone()).collect(),
        }
    }
}

impl FailedOf {
    fn of((of, why): &(Try, String)) -> Self {
        Self {
            of: *of,
            why: why.clone(),
        }
    }
}

/// Runs of the blocks that have all cells: of each, the nth run for each cell.
fn whole_blocks(runs: &[RunOf], cells: usize) -> Vec<Vec<usize>> {
    let blocks = runs.iter().map(|run| run.of.block + 1).max().unwrap_or(0);
    let of_block = |block: usize| {
        let of_cell = |cell: usize| {
            let mut runs = runs.iter();
            runs.position(|run| (run.of.block, run.of.cell) == (block, cell))
        };
        (0..cells).map(of_cell).collect()
    };
    (0..blocks).filter_map(of_block).collect()
}

/// Of each block and cell; `None` where a run does not carry it, or there is no block.
fn values(
    runs: &[RunOf],
    blocks: &[Vec<usize>],
    of: impl Fn(&RunOf) -> Option<f64>,
) -> Option<Vec<Vec<f64>>> {
    let blocks = blocks.iter().map(|runs_of| {
        let values = runs_of.iter().map(|nth| of(runs.get(*nth)?));
        values.collect()
    });
    let blocks: Option<Vec<Vec<f64>>> = blocks.collect();
    blocks.filter(|it| !it.is_empty())
}

fn means(blocks: &[Vec<f64>], shown: impl Fn(f64) -> f64) -> Vec<f64> {
    let cells = blocks.first().map_or(0, Vec::len);
    let of_cell = |cell: usize| {
        let values: Vec<f64> = blocks.iter().map(|block| block[cell]).collect();
        shown(inference::mean(&values))
    };
    (0..cells).map(of_cell).collect()
}

/// `None` where nothing is to be told: a part that is zero in all runs; a single block.
fn metric_of(
    plan: &Plan,
    factorial: &Factorial,
    metric: Metric,
    values: &[Vec<f64>],
) -> Option<MetricOf> {
    let is_ratio = metric.is_ratio();
    if !is_ratio && values.iter().flatten().all(|it| *it == 0.0) {
        return None;
    }
    let told: Vec<Vec<f64>> = values
        .iter()
        .map(|block| {
            let cells = block.iter();
            cells
                .map(|it| if is_ratio { it.ln() } else { *it })
                .collect()
        })
        .collect();
    let of = |effect: Effect| effect_of(plan, factorial, effect, is_ratio, &told);
    let main = factorial.effects().into_iter().filter_map(of);
    let each = each(factorial, plan).into_iter().filter_map(of);
    Some(MetricOf {
        metric,
        of_cells: means(&told, |it| if is_ratio { it.exp() } else { it }),
        effects: main.collect(),
        each: each.collect(),
    })
}

/// Effects of each level, at each level of each other factor.
fn each(factorial: &Factorial, plan: &Plan) -> Vec<Effect> {
    let main = factorial
        .effects()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Main(at) => Some(at),
            _ => None,
        });
    let each = main.flat_map(|at| {
        let others = plan.factors.iter().enumerate();
        let others = others.filter(move |(factor, _)| *factor != at.factor);
        others.flat_map(move |(factor, it)| {
            let levels = 0..it.levels.len();
            levels.map(move |level| Effect::Where(at, At { factor, level }))
        })
    });
    each.collect()
}

fn effect_of(
    plan: &Plan,
    factorial: &Factorial,
    effect: Effect,
    is_ratio: bool,
    told: &[Vec<f64>],
) -> Option<EffectOf> {
    let contrasts: Vec<f64> = told
        .iter()
        .map(|cells| factorial.value(effect, cells))
        .collect();
    let blocks = Blocks::new(&contrasts)?;
    let part = |difference: f64| {
        if is_ratio {
            difference.exp_m1()
        } else {
            difference
        }
    };
    let name = |at: At| {
        let factor = plan.factors.get(at.factor)?;
        Some(format!(
            "{}={}",
            factor.name,
            factor.levels.get(at.level)?.name
        ))
    };
    let (at, place, with) = match effect {
        Effect::Main(at) => (at, None, None),
        Effect::Where(at, place) => (at, Some(place), None),
        Effect::Interaction(at, with) => (at, None, Some(with)),
    };
    Some(EffectOf {
        effect,
        of: name(at)?,
        r#where: place.and_then(name),
        with: with.and_then(name),
        change: Change::of(interval(blocks, 0.95, SEED), is_ratio),
        p: p_value_of_blocks(blocks, SEED),
        p_adjusted: 1.0,
        at_most: part(widest(blocks)),
        detectable: part(detectable(blocks)),
        verdict: Verdict::TooFew,
        contrasts,
    })
}

/// Of each block that has runs with both sorts of paths the mean of what they say; `None` for fewer than two blocks.
fn not_optimized_costs(runs: &[RunOf], blocks: &[Vec<usize>]) -> Option<Change> {
    let of_block = |runs_of: &Vec<usize>| {
        let costs = runs_of
            .iter()
            .filter_map(|nth| runs.get(*nth)?.not_optimized_costs_ns);
        let costs: Vec<f64> = costs.collect();
        (!costs.is_empty()).then(|| inference::mean(&costs))
    };
    let costs: Vec<f64> = blocks.iter().filter_map(of_block).collect();
    Some(Change::of(
        interval(Blocks::new(&costs)?, 0.95, SEED),
        false,
    ))
}

/// Each effect is a question of its own, which is asked of all metrics.
fn judge(metrics: &mut [MetricOf], enough: bool, within: f64) {
    for of in [
        (|it| &mut it.effects) as fn(&mut MetricOf) -> &mut Vec<EffectOf>,
        |it| &mut it.each,
    ] {
        let count = metrics.iter_mut().map(|it| of(it).len()).max();
        for nth in 0..count.unwrap_or(0) {
            let of_each = metrics.iter_mut().filter_map(|it| of(it).get_mut(nth));
            judge_one(of_each, enough, within);
        }
    }
}

fn judge_one<'a>(of_each: impl Iterator<Item = &'a mut EffectOf>, enough: bool, within: f64) {
    let of_each: Vec<&mut EffectOf> = of_each.collect();
    let chances: Vec<f64> = of_each.iter().map(|it| it.p).collect();
    for (effect, p_adjusted) in of_each.into_iter().zip(holm(&chances)) {
        effect.p_adjusted = p_adjusted;
        let is_small = effect.at_most <= within;
        effect.verdict = Verdict::of(enough, p_adjusted, effect.change.value, is_small);
    }
}

/// How many blocks find an effect of this size, by each metric's worst: `None` for more than anybody makes.
#[must_use]
pub fn power(results: &Results, part: f64) -> Vec<(Metric, Option<usize>)> {
    let looked_at = results.metrics.len();
    let needed = results.metrics.iter().map(|it| {
        let looked_for = if it.metric.is_ratio() {
            part.ln_1p()
        } else {
            part
        };
        let of_each = it.effects.iter().map(|effect| {
            let blocks = Blocks::new(&effect.contrasts)?;
            blocks_needed(blocks, looked_for, looked_at)
        });
        // Where one takes more than anybody makes, so does the metric.
        let needed: Option<Vec<usize>> = of_each.collect();
        (it.metric, needed.and_then(|it| it.into_iter().max()))
    });
    needed.collect()
}

/// What becomes of gates: of the main effects, or of one factor's, the one that is worst.
#[must_use]
pub fn outcomes(gates: &Gates, results: &Results) -> Vec<Outcome> {
    let outcomes = gates.gates.iter().map(|gate| {
        let metric = results
            .metrics
            .iter()
            .find(|it| gate.quantity == Quantity::Regression(it.metric));
        let value = metric.and_then(|metric| {
            let main = metric.effects.iter().filter(|it| it.with.is_none());
            let wanted = main.filter(|it| {
                let factor = it.of.split('=').next().unwrap_or_default();
                gate.labels
                    .iter()
                    .all(|(label, value)| *label != Label::Factor || value == factor)
            });
            let worse: Option<Vec<f64>> = wanted
                .map(|it| comparison::worse_by(metric.metric, it.change, it.verdict, gate.limit))
                .collect();
            worse?.into_iter().reduce(f64::max)
        });
        Outcome::of(gate, value)
    });
    outcomes.collect()
}
