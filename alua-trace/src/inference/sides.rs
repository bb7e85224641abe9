//! Runs of two sides, drawn by lot or taken in turn.

use super::{Contrast, influences, is_told, mean, mean_of_drawn, variance};

/// A metric of the runs of two sides, at least two of each.
#[derive(Debug, Clone, Copy)]
pub struct Sides<'a> {
    pub(super) one: &'a [f64],
    pub(super) other: &'a [f64],
}

impl<'a> Sides<'a> {
    /// `None` where a side has fewer than two runs, or a number is none.
    #[must_use]
    pub fn new(one: &'a [f64], other: &'a [f64]) -> Option<Self> {
        (is_told(one) && is_told(other)).then_some(Self { one, other })
    }
}

impl Contrast for Sides<'_> {
    /// By how much the other side's mean is more.
    fn difference(&self) -> f64 {
        mean(self.other) - mean(self.one)
    }

    /// By B. L. Welch (Biometrika 34, 1947): the sides need not vary alike.
    fn spread(&self) -> (f64, f64) {
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

    fn influences(&self) -> Vec<f64> {
        let one = influences(self.one).map(|it| -it);
        one.chain(influences(self.other)).collect()
    }

    fn draw(&self, random: &mut fastrand::Rng) -> f64 {
        mean_of_drawn(self.other, random) - mean_of_drawn(self.one, random)
    }
}
