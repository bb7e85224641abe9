//! What the runs of two sides tell: of each metric whether it differs, by how much, and what they could not have
//! shown.

use serde::Serialize;

use super::{
    conditions::{Condition, Went},
    facts::{Differs, differing},
    metrics::{Metric, SHIFTED},
    runs::Run,
};
use crate::{
    cli::{CompareConfig, Gates, Quantity},
    gates::Outcome,
    inference::{
        self, Interval, Sides, band, detectable, holm, interval, is_enough, p_value,
        runs_for_verdict, runs_needed, widest,
    },
};

/// The same runs give the same numbers.
const SEED: u64 = 12;
/// What a verdict may be wrong by.
const CHANCE: f64 = 0.05;

/// A comparison of two sides: `other` less `one`.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Runs of the one side.
    pub one: Vec<RunOf>,
    /// Runs of the other.
    pub other: Vec<RunOf>,
    /// Of each metric that all runs carry.
    pub metrics: Vec<Finding>,
    /// Metrics that not all runs carry.
    pub not_carried: Vec<Metric>,
    /// By how much each percentile of the latency differs, with a band that holds all at once.
    pub shift: Vec<Shift>,
    /// What the host did for each command.
    pub conditions: Vec<Went>,
    /// What is not the same in all runs.
    pub differs: Vec<Differs>,
    /// How many runs a side a verdict takes, where these are too few.
    pub runs_needed: Option<usize>,
    /// Differences up to this part are looked for.
    pub within: f64,
}

/// A run as it is told.
#[derive(Debug, Serialize)]
pub struct RunOf {
    /// Its recording.
    pub recording: String,
    /// Reads and writes that are compared.
    pub commands: u64,
    /// Why it is not whole, if it is not.
    pub incomplete: Option<String>,
}

/// What is found of a metric.
#[derive(Debug, Serialize)]
pub struct Finding {
    /// The metric.
    pub metric: Metric,
    /// Its value in each run of the one side.
    pub of_one: Vec<f64>,
    /// And of the other.
    pub of_other: Vec<f64>,
    /// Mean of the one side; the geometric one where a ratio is told.
    pub one: f64,
    /// Mean of the other side.
    pub other: f64,
    /// The other to the one, with its interval of 95 %: as a part of the one side (0.03 is 3 % more), or as a
    /// difference where the metric is a part itself.
    pub change: Change,
    /// How likely chance alone makes as much of a difference.
    pub p: f64,
    /// The same among all metrics that are looked at (Holm).
    pub p_adjusted: f64,
    /// Two one-sided t tests leave no larger change, in either direction.
    pub at_most: f64,
    /// The smallest change that runs like these show in four of five comparisons.
    pub detectable: f64,
    /// How many runs a side show a change of `within`, if they vary as these do; `null` for more than anybody makes.
    pub runs_needed: Option<usize>,
    /// What follows.
    pub verdict: Verdict,
}

/// A change with its interval.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Change {
    /// What was seen.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// What follows of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The other side has more.
    Higher,
    /// The other side has less.
    Lower,
    /// They differ by no more than is looked for.
    Same,
    /// These runs can tell neither.
    CannotTell,
    /// There are too few runs for a verdict.
    TooFew,
}

/// A percentile of both sides.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Shift {
    /// Which, 0 to 1.
    pub quantile: f64,
    /// Geometric mean of the one side, in ns.
    pub one_ns: f64,
    /// Of the other.
    pub other_ns: f64,
    /// The other to the one; the band holds those of all percentiles at once.
    pub change: Change,
}

impl Verdict {
    /// Of a change that chance makes with this probability, among all that is looked at; `is_small` says that the
    /// one-sided tests leave none that would matter.
    #[must_use]
    pub fn of(enough: bool, p_adjusted: f64, change: f64, is_small: bool) -> Self {
        match (enough, p_adjusted <= CHANCE) {
            (false, _) => Self::TooFew,
            (true, true) if change > 0.0 => Self::Higher,
            (true, true) => Self::Lower,
            (true, false) if is_small => Self::Same,
            (true, false) => Self::CannotTell,
        }
    }
}

impl Change {
    /// Of a difference, which is one of logarithms where a ratio is told.
    #[must_use]
    pub fn of(interval: Interval, is_ratio: bool) -> Self {
        let Interval {
            difference,
            low,
            high,
        } = interval;
        let part = |log: f64| if is_ratio { log.exp_m1() } else { log };
        Self {
            value: part(difference),
            low: part(low),
            high: part(high),
        }
    }
}

/// What the runs of two sides tell; at least two of each.
pub(super) fn compare(one: &[Run], other: &[Run], config: &CompareConfig) -> Comparison {
    let wanted = |metric: &Metric| config.metrics.is_empty() || config.metrics.contains(metric);
    let mut not_carried = Vec::new();
    let mut metrics: Vec<Finding> = Vec::new();
    for metric in Metric::ALL.into_iter().filter(wanted) {
        let of = |side: &[Run]| -> Option<Vec<f64>> {
            side.iter().map(|run| run.metric(metric)).collect()
        };
        match (of(one), of(other)) {
            (Some(of_one), Some(of_other)) => {
                metrics.extend(finding(metric, of_one, of_other, config.within));
            }
            _ => not_carried.push(metric),
        }
    }
    let chances: Vec<f64> = metrics.iter().map(|it| it.p).collect();
    let looked_at = metrics.len();
    let enough = is_enough(one.len(), other.len(), looked_at);
    for (finding, p_adjusted) in metrics.iter_mut().zip(holm(&chances)) {
        finding.p_adjusted = p_adjusted;
        let change = finding.change.value;
        finding.verdict = Verdict::of(enough, p_adjusted, change, finding.at_most <= config.within);
    }
    Comparison {
        one: one.iter().map(RunOf::of).collect(),
        other: other.iter().map(RunOf::of).collect(),
        metrics,
        not_carried,
        shift: shift(one, other),
        conditions: went(one, other),
        differs: differing(one, other, &config.meant),
        runs_needed: (!enough).then(|| runs_for_verdict(looked_at)),
        within: config.within,
    }
}

impl RunOf {
    fn of(run: &Run) -> Self {
        Self {
            recording: run.name.clone(),
            commands: run.commands,
            incomplete: run.incomplete.clone(),
        }
    }
}

/// What becomes of gates.
pub(super) fn outcomes(gates: &Gates, comparison: &Comparison) -> Vec<Outcome> {
    let outcomes = gates.gates.iter().map(|gate| {
        let metrics = &comparison.metrics;
        let of_gate = |it: &&Finding| gate.quantity == Quantity::Regression(it.metric);
        let finding = metrics.iter().find(of_gate);
        let value = finding.and_then(|it| worse_by(it.metric, it.change, it.verdict, gate.limit));
        Outcome::of(gate, value)
    });
    outcomes.collect()
}

/// By how much a metric has become worse. A difference that stands has its value; where there is none, or none that
/// could be beyond the limit, it is 0; else nobody can tell.
#[must_use]
pub fn worse_by(metric: Metric, change: Change, verdict: Verdict, limit: f64) -> Option<f64> {
    let Change { value, low, high } = change;
    let (value, most) = match metric.is_better_higher() {
        true => (-value, -low),
        false => (value, high),
    };
    match verdict {
        Verdict::Higher | Verdict::Lower => Some(value),
        Verdict::Same => Some(0.0),
        Verdict::CannotTell => (most <= limit).then_some(0.0),
        Verdict::TooFew => None,
    }
}

/// `None` where nothing is to be told: a part that is zero in all runs.
fn finding(metric: Metric, of_one: Vec<f64>, of_other: Vec<f64>, within: f64) -> Option<Finding> {
    let is_ratio = metric.is_ratio();
    if !is_ratio && of_one.iter().chain(&of_other).all(|it| *it == 0.0) {
        return None;
    }
    let told = |values: &[f64]| -> Vec<f64> {
        let values = values.iter();
        values
            .map(|it| if is_ratio { it.ln() } else { *it })
            .collect()
    };
    let (logs_one, logs_other) = (told(&of_one), told(&of_other));
    let sides = Sides::new(&logs_one, &logs_other)?;
    let mean = |values: &[f64]| {
        let mean = inference::mean(values);
        if is_ratio { mean.exp() } else { mean }
    };
    let part = |difference: f64| {
        if is_ratio {
            difference.exp_m1()
        } else {
            difference
        }
    };
    let looked_for = if is_ratio { within.ln_1p() } else { within };
    Some(Finding {
        metric,
        one: mean(&logs_one),
        other: mean(&logs_other),
        change: Change::of(interval(sides, 0.95, SEED), is_ratio),
        p: p_value(sides, SEED),
        p_adjusted: 1.0,
        at_most: part(widest(sides)),
        detectable: part(detectable(sides)),
        runs_needed: runs_needed(sides, looked_for, 1),
        verdict: Verdict::TooFew,
        of_one,
        of_other,
    })
}

/// Of what all runs carry.
fn went(one: &[Run], other: &[Run]) -> Vec<Went> {
    let mean = |side: &[Run], condition: Condition| -> Option<f64> {
        let of_each: Option<Vec<f64>> = side.iter().map(|run| run.condition(condition)).collect();
        Some(inference::mean(&of_each?))
    };
    let carried = Condition::ALL.into_iter().filter_map(|condition| {
        Some(Went {
            condition,
            one: mean(one, condition)?,
            other: mean(other, condition)?,
        })
    });
    carried.collect()
}

/// Of the percentiles that all runs carry.
fn shift(one: &[Run], other: &[Run]) -> Vec<Shift> {
    let carried = |nth: &usize| {
        let mut runs = one.iter().chain(other);
        runs.all(|run| run.percentiles[*nth].is_some_and(|it| it > 0.0))
    };
    let carried: Vec<usize> = (0..SHIFTED.len()).filter(carried).collect();
    let logs = |side: &[Run]| -> Vec<Vec<f64>> {
        let log = |run: &Run, nth: usize| run.percentiles[nth].map_or(0.0, f64::ln);
        side.iter()
            .map(|run| carried.iter().map(|nth| log(run, *nth)).collect())
            .collect()
    };
    let (of_one, of_other) = (logs(one), logs(other));
    let mean = |side: &[Vec<f64>], at: usize| {
        let logs: Vec<f64> = side.iter().map(|run| run[at]).collect();
        inference::mean(&logs).exp()
    };
    let band = band(&of_one, &of_other, 0.95, SEED).unwrap_or_default();
    let carried = carried.iter().zip(band).enumerate();
    carried
        .map(|(at, (nth, interval))| Shift {
            quantile: SHIFTED[*nth],
            one_ns: mean(&of_one, at),
            other_ns: mean(&of_other, at),
            change: Change::of(interval, true),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_regression_is_what_people_would_call_worse() {
        let one = [100.0, 101.0, 99.0, 100.5, 98.5, 101.5];
        let less = one.map(|it| 0.9 * it);
        let of = |metric, other: &[f64], verdict, limit| {
            let found = finding(metric, one.to_vec(), other.to_vec(), 0.05).unwrap();
            worse_by(metric, found.change, verdict, limit).map(|it| (1000.0 * it).round() / 1000.0)
        };
        // Fewer I/O are worse, shorter latencies are not.
        assert_eq!(of(Metric::Iops, &less, Verdict::Lower, 0.02), Some(0.1));
        assert_eq!(of(Metric::P99Ns, &less, Verdict::Lower, 0.02), Some(-0.1));
        assert_eq!(of(Metric::P99Ns, &one, Verdict::Same, 0.02), Some(0.0));
        assert_eq!(of(Metric::P99Ns, &less, Verdict::TooFew, 0.02), None);
        // Whatever it is, it is no more than the limit; or nobody can tell.
        for (metric, limit, expected) in [
            (Metric::P99Ns, 0.02, Some(0.0)),
            (Metric::Iops, 0.02, None),
            (Metric::Iops, 0.2, Some(0.0)),
        ] {
            assert_eq!(of(metric, &less, Verdict::CannotTell, limit), expected);
        }
    }
}
