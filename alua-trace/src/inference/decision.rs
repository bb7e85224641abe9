//! What follows from intervals and chances: which of several differences stand, how large one could be that was
//! not seen, and how many runs another one needs.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Interval, Sides, permutation::ways};

/// How likely a difference that is there is to be found.
const POWER: f64 = 0.8;
/// And how likely one that is not there.
const CHANCE: f64 = 0.05;
/// More runs than anybody makes.
const MOST_RUNS: usize = 1000;

/// Each chance as it is among all that were looked at (S. Holm, Scandinavian Journal of Statistics 6, 1979):
/// what is below 0.05 then stands, with at most 5 % for any to be wrong.
#[must_use]
pub fn holm(chances: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..chances.len()).collect();
    order.sort_by(|one, other| chances[*one].total_cmp(&chances[*other]));
    let mut adjusted = vec![1.0; chances.len()];
    let mut before: f64 = 0.0;
    for (rank, nth) in order.iter().enumerate() {
        before = before
            .max(chances[*nth] * (chances.len() - rank) as f64)
            .min(1.0);
        adjusted[*nth] = before;
    }
    adjusted
}

/// The largest difference, in either direction, that an interval of 90 % leaves: two one-sided tests at 5 % each
/// (D. J. Schuirmann, 1987) find the sides the same to within it.
#[must_use]
pub fn widest(interval_90: Interval) -> f64 {
    interval_90.low.abs().max(interval_90.high.abs())
}

/// The smallest difference that as many runs, varying like these, would show in four of five experiments.
/// Infinite where there is none.
#[must_use]
pub fn detectable(sides: Sides<'_>) -> f64 {
    let (spread, freedom) = sides.spread();
    needed_deviations(freedom) * spread.sqrt()
}

/// Whether so many runs of two sides can show that they differ, if so many metrics are looked at: chance is no
/// less than one of all ways to share out the runs, in either direction.
#[must_use]
pub fn is_enough(one: usize, other: usize, metrics: usize) -> bool {
    2.0 / ways(one + other, one) * metrics.max(1) as f64 <= CHANCE
}

/// How many runs a side that takes.
#[must_use]
pub fn runs_for_verdict(metrics: usize) -> usize {
    let enough = |runs: &usize| is_enough(*runs, *runs, metrics);
    (2..MOST_RUNS).find(enough).unwrap_or(MOST_RUNS)
}

/// How many runs a side show such a difference in four of five experiments, if they vary as these do, and if
/// `metrics` are looked at: `None` for more than anybody makes.
#[must_use]
pub fn runs_needed(sides: Sides<'_>, difference: f64, metrics: usize) -> Option<usize> {
    let of_a_run = sides.one.len().min(sides.other.len()) as f64 * sides.spread().0;
    let enough = |runs: &usize| {
        let spread = of_a_run / *runs as f64;
        let freedom = 2.0 * (*runs as f64 - 1.0);
        is_enough(*runs, *runs, metrics) && needed_deviations(freedom) * spread.sqrt() <= difference
    };
    (2..=MOST_RUNS).find(enough)
}

/// Between nothing and a difference that is found, of its own deviation.
fn needed_deviations(freedom: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom).map_or(f64::INFINITY, |student| {
        student.inverse_cdf(1.0 - CHANCE / 2.0) + student.inverse_cdf(POWER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_unlikely_of_several_counts_most() {
        // By R: p.adjust(c(0.01, 0.04, 0.03), "holm").
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }

    #[test]
    fn the_end_that_is_further_from_nothing_is_the_widest() {
        let interval = |low, high| Interval {
            difference: 0.0,
            low,
            high,
        };
        assert_eq!(widest(interval(-0.01, 0.03)), 0.03);
        assert_eq!(widest(interval(-0.04, 0.01)), 0.04);
    }

    #[test]
    fn more_runs_show_less() {
        let one: Vec<f64> = (0..8).map(|it| f64::from(it % 4) * 0.01).collect();
        let sides = Sides::new(&one, &one).unwrap();
        let fewer = Sides::new(&one[..4], &one[..4]).unwrap();
        assert!(detectable(sides) < detectable(fewer));
        let of_part = |part| runs_needed(sides, part, 1).unwrap();
        assert!(of_part(0.01) > of_part(0.02) && of_part(0.02) > of_part(0.2));
        // However large it is: 2 of 20 ways are too many, 2 of 70 are not; with eight metrics 2 of 924.
        assert_eq!((of_part(9.0), runs_needed(sides, 9.0, 8)), (4, Some(6)));
        assert_eq!(runs_needed(sides, 1e-9, 1), None);
        assert_eq!((runs_for_verdict(1), runs_for_verdict(8)), (4, 6));
        assert!(is_enough(3, 6, 1) && !is_enough(1, 30, 1));
    }
}
