//! What a few runs of two sides tell of a difference between them. Pure, and repeatable by a seed.
//!
//! The unit is the run: commands of a run depend on each other, and however many they are they tell of no
//! other run. A metric whose ratio is wanted is told by its logarithm: then a difference is a ratio.

mod bootstrap;
mod decision;
mod permutation;
mod shift;
#[cfg(test)]
mod simulation;

pub use bootstrap::interval;
pub use decision::{detectable, holm, is_enough, runs_for_verdict, runs_needed, widest};
pub use permutation::p_value;
pub use shift::band;

/// A difference, the other side less the one, with the interval that holds the true one with the confidence that
/// was asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// What was seen.
    pub difference: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

impl Interval {
    /// Of logarithms, as ratios: 1.05 is 5 % more.
    #[must_use]
    pub fn ratio(self) -> Self {
        Self {
            difference: self.difference.exp(),
            low: self.low.exp(),
            high: self.high.exp(),
        }
    }
}

/// A metric of the runs of two sides, at least two of each.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    one: &'a [f64],
    other: &'a [f64],
}

impl<'a> Sides<'a> {
    /// `None` where a side has fewer than two runs, or a number is none.
    #[must_use]
    pub fn new(one: &'a [f64], other: &'a [f64]) -> Option<Self> {
        let is_told = |side: &[f64]| side.len() >= 2 && side.iter().all(|it| it.is_finite());
        (is_told(one) && is_told(other)).then_some(Self { one, other })
    }

    /// By how much the other side's mean is more.
    fn difference(self) -> f64 {
        mean(self.other) - mean(self.one)
    }

    /// Variance of [`Self::difference`], and the degrees of freedom that it is known with (B. L. Welch,
    /// Biometrika 34, 1947): the sides need not vary alike.
    fn spread(self) -> (f64, f64) {
        let of_mean = |side: &[f64]| variance(side) / side.len() as f64;
        let (one, other) = (of_mean(self.one), of_mean(self.other));
        let sum = one + other;
        let freedom = |part: f64, side: &[f64]| part * part / (side.len() - 1) as f64;
        let terms = freedom(one, self.one) + freedom(other, self.other);
        let least = self.one.len().min(self.other.len()) - 1;
        let freedom = if terms > 0.0 {
            sum * sum / terms
        } else {
            least as f64
        };
        (sum, freedom)
    }
}

/// Mean of numbers, of which there is at least one.
#[must_use]
pub fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// Of what the numbers are a sample of.
fn variance(numbers: &[f64]) -> f64 {
    let mean = mean(numbers);
    let squares = numbers.iter().map(|it| (it - mean) * (it - mean));
    squares.sum::<f64>() / (numbers.len() - 1) as f64
}

/// Numbers from −∞ to ∞ that are 0 in the middle, with a variance of 1 (G. E. P. Box and M. E. Muller, 1958).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let (radius, turn) = (1.0 - random.f64(), random.f64());
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * turn).cos()
}
