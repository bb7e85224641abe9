//! One latency histogram.

use hdrhistogram::Histogram;

use super::quantile;

/// Significant figures of every histogram.
const FIGURES: u8 = 2;

/// A latency histogram with exact extremes.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    buckets: Histogram<u64>,
    pub(super) min_ns: u64,
    pub(super) max_ns: u64,
    pub(super) sum_ns: u128,
}

/// A histogram of `hdrhistogram`'s own, with the bins of all others here.
#[must_use]
pub fn empty() -> Histogram<u64> {
    #[expect(
        clippy::expect_used,
        reason = "the figures are a constant that new() accepts"
    )]
    Histogram::new(FIGURES).expect("0 to 5 figures are valid")
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self {
            buckets: empty(),
            min_ns: u64::MAX,
            max_ns: 0,
            sum_ns: 0,
        }
    }
}

impl LatencyHistogram {
    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        // A histogram that resizes itself takes any value up to its own limit of 2^62 ns.
        if self.buckets.record(latency_ns).is_err() {
            self.buckets.saturating_record(latency_ns);
        }
        self.min_ns = self.min_ns.min(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.sum_ns += u128::from(latency_ns);
    }

    /// Adds one latency for `count` alike.
    pub fn record_n(&mut self, latency_ns: u64, count: u64) {
        if self.buckets.record_n(latency_ns, count).is_err() {
            self.buckets.saturating_record_n(latency_ns, count);
        }
        self.min_ns = self.min_ns.min(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.sum_ns += u128::from(latency_ns) * u128::from(count);
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        // Both resize themselves: the sum always fits.
        let _ = self.buckets.add(&other.buckets);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns += other.sum_ns;
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.buckets.reset();
        (self.min_ns, self.max_ns, self.sum_ns) = (u64::MAX, 0, 0);
    }

    /// How many latencies.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.buckets.len()
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// The percentile that is told: [`Self::quantile_ns`], `None` where the latencies are too few to bound
    /// it ([`quantile::is_carried`]).
    #[must_use]
    pub fn percentile_ns(&self, quantile: f64) -> Option<u64> {
        self.quantile_ns(quantile)
            .filter(|_| quantile::is_carried(self.len(), quantile))
    }

    /// The latency below or at which a part `quantile` (0 to 1) of all lie; `None` without any.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        if self.is_empty() {
            return None;
        }
        let bucket = self.buckets.value_at_quantile(quantile);
        Some(
            self.buckets
                .median_equivalent(bucket)
                .clamp(self.min_ns, self.max_ns),
        )
    }

    /// The largest; `None` without any.
    #[must_use]
    pub fn max_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.max_ns)
    }

    /// The smallest; `None` without any.
    #[must_use]
    pub fn min_ns(&self) -> Option<u64> {
        (!self.is_empty()).then_some(self.min_ns)
    }

    /// Mean; 0 without any.
    #[must_use]
    pub fn mean_ns(&self) -> f64 {
        if self.is_empty() {
            0.0
        } else {
            self.sum_ns as f64 / self.len() as f64
        }
    }

    /// Inclusive upper bound and count of every bucket that is not empty.
    #[must_use]
    pub fn non_empty_buckets(&self) -> Vec<(u64, u64)> {
        self.buckets
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deterministic pseudo-random latencies from 1 µs to 17 s.
    fn latencies() -> Vec<u64> {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        (0..20_000)
            .map(|_| {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                1_000 + (seed >> 8) % (1 << (10 + seed % 25))
            })
            .collect()
    }

    #[test]
    fn every_percentile_is_within_eight_tenths_of_a_percent() {
        let mut exact = latencies();
        let mut histogram = LatencyHistogram::default();
        exact.iter().for_each(|latency| histogram.record(*latency));
        exact.sort_unstable();
        for quantile in [0.0, 0.01, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let rank = ((quantile * exact.len() as f64).ceil() as usize).clamp(1, exact.len());
            let want = exact[rank - 1] as f64;
            let got = histogram.quantile_ns(quantile).unwrap() as f64;
            assert!(
                (got - want).abs() / want <= 0.008,
                "p{quantile}: {got} for {want}"
            );
        }
        assert_eq!(histogram.max_ns(), exact.last().copied());
    }

    #[test]
    fn nothing_recorded_is_unknown_not_zero() {
        let histogram = LatencyHistogram::default();
        assert_eq!(histogram.quantile_ns(0.5), None);
        assert_eq!(histogram.max_ns(), None);
    }

    #[test]
    fn absurd_latencies_do_not_panic() {
        let mut histogram = LatencyHistogram::default();
        for latency in [0, 1, u64::MAX / 2, u64::MAX] {
            histogram.record(latency);
        }
        assert_eq!(histogram.len(), 4);
        assert_eq!(histogram.max_ns(), Some(u64::MAX));
    }
}
