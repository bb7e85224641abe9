//! A contrast in each of several blocks: what drifts between blocks is in none of them.

use super::{Contrast, influences, is_told, mean, mean_of_drawn, variance};

/// A contrast (by how much one treatment is more than another) in each block, of which there are at least two.
#[derive(Debug, Clone, Copy)]
pub struct Blocks<'a>(pub(super) &'a [f64]);

impl<'a> Blocks<'a> {
    /// `None` for fewer than two blocks, or where a number is none.
    #[must_use]
    pub fn new(of_each: &'a [f64]) -> Option<Self> {
        is_told(of_each).then_some(Self(of_each))
    }
}

impl Contrast for Blocks<'_> {
    fn difference(&self) -> f64 {
        mean(self.0)
    }

    fn spread(&self) -> (f64, f64) {
        let blocks = self.0.len() as f64;
        (variance(self.0) / blocks, blocks - 1.0)
    }

    fn influences(&self) -> Vec<f64> {
        influences(self.0).collect()
    }

    fn draw(&self, random: &mut fastrand::Rng) -> f64 {
        mean_of_drawn(self.0, random)
    }
}
