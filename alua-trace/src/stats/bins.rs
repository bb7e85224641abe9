//! A histogram as the bins that have something in them: what is told of an interval, and what such add up to.

use std::collections::BTreeMap;

use super::quantile;
use crate::model::{Cell, Latency, Quantile};

/// Bins of the width that [`super::LatencyHistogram`] has, by their inclusive upper bound in ns, with exact
/// extremes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bins {
    counts: BTreeMap<u64, u64>,
    commands: u64,
    sum_ns: u128,
    min_ns: u64,
    max_ns: u64,
}

impl Default for Bins {
    fn default() -> Self {
        Self {
            counts: BTreeMap::new(),
            commands: 0,
            sum_ns: 0,
            min_ns: u64::MAX,
            max_ns: 0,
        }
    }
}

impl Bins {
    /// Adds what an interval saw.
    pub fn add_cell(&mut self, cell: &Cell) {
        self.add_counts(&cell.buckets);
        self.sum_ns = self.sum_ns.saturating_add(u128::from(cell.sum_ns));
        self.bound(cell.min_ns, cell.max_ns);
    }

    /// What a whole trace saw of several.
    pub fn of_latencies<'a>(latencies: impl IntoIterator<Item = &'a Latency>) -> Self {
        let mut bins = Self::default();
        for latency in latencies.into_iter().filter(|it| it.commands > 0) {
            bins.add_latency(latency);
        }
        bins
    }

    /// Adds what a whole trace saw.
    pub fn add_latency(&mut self, latency: &Latency) {
        self.add_counts(&latency.buckets);
        let sum_ns = (latency.mean_ns * latency.commands as f64) as u128;
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
        self.bound(latency.min_ns, latency.max_ns);
    }

    /// Adds other bins.
    pub fn add(&mut self, other: &Self) {
        for (bound, count) in &other.counts {
            self.count(*bound, *count);
        }
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.bound(other.min_ns, other.max_ns);
    }

    fn add_counts(&mut self, buckets: &[(u64, u64)]) {
        for (bound, count) in buckets {
            self.count(*bound, *count);
        }
    }

    fn count(&mut self, bound: u64, count: u64) {
        let sum = self.counts.entry(bound).or_default();
        *sum = sum.saturating_add(count);
        self.commands = self.commands.saturating_add(count);
    }

    fn bound(&mut self, min_ns: u64, max_ns: u64) {
        self.min_ns = self.min_ns.min(min_ns);
        self.max_ns = self.max_ns.max(max_ns);
    }

    /// Commands in it.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.commands
    }

    /// Sum of the latencies.
    #[must_use]
    pub fn sum_ns(&self) -> u128 {
        self.sum_ns
    }

    /// Mean in ns; `None` without commands.
    #[must_use]
    pub fn mean_ns(&self) -> Option<f64> {
        (self.commands > 0).then(|| self.sum_ns as f64 / self.commands as f64)
    }

    /// The smallest; `None` without commands.
    #[must_use]
    pub fn min_ns(&self) -> Option<u64> {
        (self.commands > 0).then_some(self.min_ns)
    }

    /// The largest; `None` without commands.
    #[must_use]
    pub fn max_ns(&self) -> Option<u64> {
        (self.commands > 0).then_some(self.max_ns)
    }

    /// A percentile with its interval; `None` where the commands are too few.
    #[must_use]
    pub fn quantile(&self, quantile: f64) -> Option<Quantile> {
        quantile::quantile(&self.to_vec(), (self.min_ns, self.max_ns), quantile)
    }

    /// A percentile between the ends of its bin ([`quantile::between`]), in ns.
    #[must_use]
    pub fn between(&self, quantile: f64) -> Option<f64> {
        quantile::between(&self.to_vec(), (self.min_ns, self.max_ns), quantile)
    }

    /// Those of [`quantile::TOLD`] that the commands carry.
    #[must_use]
    pub fn quantiles(&self) -> Vec<Quantile> {
        quantile::told(&self.to_vec(), (self.min_ns, self.max_ns))
    }

    /// Inclusive upper bound and count of each, in order.
    #[must_use]
    pub fn to_vec(&self) -> Vec<(u64, u64)> {
        self.iter().collect()
    }

    /// Inclusive upper bound and count of each, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.counts.iter().map(|(bound, count)| (*bound, *count))
    }
}
