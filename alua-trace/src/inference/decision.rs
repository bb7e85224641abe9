//! What follows from intervals and chances: which of several differences stand, how large one could be that was
//! not seen, and how many runs another one needs.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{
    Blocks, Contrast, Sides,
    permutation::{turns, ways},
};

/// How likely a difference that is there is to be found.
const POWER: f64 = 0.8;
/// And how likely one that is not there.
const CHANCE: f64 = 0.05;
/// A test by Student's t at this level is wrong in 5 % of experiments whose runs are as skewed as latencies are.
const CHANCE_OF_SKEWED: f64 = 0.04;
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

/// The largest difference, in either direction, that these runs leave: two one-sided t tests find that there is none
/// beyond it, and are wrong in at most 5 % of experiments (D. J. Schuirmann, Journal of Pharmacokinetics and
/// Biopharmaceutics 15, 1987).
#[must_use]
pub fn widest(contrast: impl Contrast) -> f64 {
    let (spread, freedom) = contrast.spread();
    let deviations = StudentsT::new(0.0, 1.0, freedom);
    let deviations = deviations.map_or(f64::INFINITY, |it| it.inverse_cdf(1.0 - CHANCE_OF_SKEWED));
    contrast.difference().abs() + deviations * spread.sqrt()
}

/// The smallest difference that as many runs, varying like these, would show in four of five experiments.
/// Infinite where there is none.
#[must_use]
pub fn detectable(contrast: impl Contrast) -> f64 {
    let (spread, freedom) = contrast.spread();
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

/// How many blocks can show that a contrast is there, if so many metrics are looked at.
#[must_use]
pub fn blocks_for_verdict(metrics: usize) -> usize {
    let enough = |blocks: &usize| 2.0 / turns(*blocks) * metrics.max(1) as f64 <= CHANCE;
    (2..MOST_RUNS).find(enough).unwrap_or(MOST_RUNS)
}

/// How many blocks show such a contrast in four of five experiments, if they vary as these do, and if `metrics` are
/// looked at: `None` for more than anybody makes.
#[must_use]
pub fn blocks_needed(blocks: Blocks<'_>, difference: f64, metrics: usize) -> Option<usize> {
    let of_a_block = blocks.0.len() as f64 * blocks.spread().0;
    let enough = |blocks: &usize| {
        let (spread, freedom) = (of_a_block / *blocks as f64, *blocks as f64 - 1.0);
        needed_deviations(freedom) * spread.sqrt() <= difference
    };
    (blocks_for_verdict(metrics)..=MOST_RUNS).find(enough)
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
        let of = |contrasts: &[f64]| widest(Blocks::new(contrasts).unwrap());
        // Mean 1, deviation of it 1, and 3.320 of these with two degrees of freedom.
        let deviation = 3.0_f64.sqrt();
        let up = [1.0 - deviation, 1.0, 1.0 + deviation];
        assert!((of(&up) - 4.320).abs() < 1e-3, "{}", of(&up));
        assert_eq!(of(&up.map(|it| -it)), of(&up));
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
        // 2 of 64 ways are few enough; with eight metrics 2 of 512.
        assert_eq!((blocks_for_verdict(1), blocks_for_verdict(8)), (6, 9));
        let blocks = Blocks::new(&one).unwrap();
        let of_part = |part| blocks_needed(blocks, part, 1).unwrap();
        assert!(of_part(0.005) > of_part(0.01) && of_part(9.0) == 6);
        assert_eq!(blocks_needed(blocks, 1e-9, 1), None);
    }
}
