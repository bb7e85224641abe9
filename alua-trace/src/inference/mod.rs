//! What a few runs tell of a difference: between two sides, or within blocks. Pure, and repeatable by a seed.
//!
//! The unit is the run: commands of a run depend on each other, and however many they are they tell of no
//! other run. A metric whose ratio is wanted is told by its logarithm: then a difference is a ratio.

mod blocks;
mod bootstrap;
mod decision;
mod factorial;
mod permutation;
mod shift;
mod sides;

pub use blocks::Blocks;
pub use bootstrap::interval;
pub use decision::{
    blocks_for_verdict, blocks_needed, detectable, holm, is_enough, runs_for_verdict, runs_needed,
    widest,
};
pub use factorial::{At, Effect, Factorial};
pub use permutation::{p_value, p_value_of_blocks};
pub use shift::band;
pub use sides::Sides;

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

/// A difference as runs tell it, and how exactly they do.
pub trait Contrast {
    /// The difference.
    fn difference(&self) -> f64;
    /// Variance of [`Self::difference`], and the degrees of freedom that it is known with.
    fn spread(&self) -> (f64, f64);
    /// What each run has to do with the difference: their sum is 0.
    fn influences(&self) -> Vec<f64>;
    /// The difference of as many runs drawn of these, with replacement.
    fn draw(&self, random: &mut fastrand::Rng) -> f64;
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

/// Mean of as many numbers drawn of these, with replacement.
fn mean_of_drawn(numbers: &[f64], random: &mut fastrand::Rng) -> f64 {
    let drawn = numbers
        .iter()
        .map(|_| numbers[random.usize(..numbers.len())]);
    drawn.sum::<f64>() / numbers.len() as f64
}

/// What each number has to do with the mean.
fn influences(numbers: &[f64]) -> impl Iterator<Item = f64> {
    let (mean, count) = (mean(numbers), numbers.len() as f64);
    numbers.iter().map(move |it| (it - mean) / count)
}

/// At least two numbers, each of them one.
fn is_told(numbers: &[f64]) -> bool {
    numbers.len() >= 2 && numbers.iter().all(|it| it.is_finite())
}
