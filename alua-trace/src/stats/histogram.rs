//! One latency histogram.

use std::ops::Range;

use alua_trace_ebpf::{BUCKETS, bucket_ns, octave_and_bucket};
use hdrhistogram::Histogram;

use super::quantile;

/// Significant figures of every histogram.
const FIGURES: u8 = 2;

/// A latency histogram with exact extremes. Its buckets are those of an HdrHistogram of two figures, which the probes count
/// in as well; a latency is put into its own by a few instructions, because it is done for every command.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    /// By octave and bucket, up to the highest octave that has any.
    counts: Vec<u64>,
    len: u64,
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
            counts: Vec::new(),
            len: 0,
            min_ns: u64::MAX,
            max_ns: 0,
            sum_ns: 0,
        }
    }
}

/// Index of a latency's bucket.
#[inline]
fn index(latency_ns: u64) -> usize {
    let (octave, bucket) = octave_and_bucket(latency_ns);
    octave * BUCKETS + bucket
}

/// The smallest latency in a bucket, in ns.
fn low_ns(index: usize) -> u64 {
    bucket_ns(index / BUCKETS, index % BUCKETS)
}

/// The largest one.
fn high_ns(index: usize) -> u64 {
    low_ns(index).saturating_add(width_ns(index) - 1)
}

/// The largest latency in the bin that `latency_ns` is in, in ns.
#[must_use]
pub fn bin_end_ns(latency_ns: u64) -> u64 {
    high_ns(index(latency_ns))
}

fn width_ns(index: usize) -> u64 {
    1 << (index / BUCKETS).saturating_sub(1).min(63)
}

impl LatencyHistogram {
    /// Adds one latency.
    #[inline]
    pub fn record(&mut self, latency_ns: u64) {
        self.put(latency_ns, 1);
        self.min_ns = self.min_ns.min(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.sum_ns += u128::from(latency_ns);
    }

    /// Adds one latency, if its octave has been met before: false for one that has not, and nothing is added.
    #[inline]
    pub fn record_known(&mut self, latency_ns: u64) -> bool {
        let Some(its) = self.counts.get_mut(index(latency_ns)) else {
            return false;
        };
        *its = its.wrapping_add(1);
        self.len = self.len.wrapping_add(1);
        self.min_ns = self.min_ns.min(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.sum_ns += u128::from(latency_ns);
        true
    }

    /// Adds one latency for `count` alike.
    pub fn record_n(&mut self, latency_ns: u64, count: u64) {
        self.put(latency_ns, count);
        self.min_ns = self.min_ns.min(latency_ns);
        self.max_ns = self.max_ns.max(latency_ns);
        self.sum_ns = self
            .sum_ns
            .saturating_add(u128::from(latency_ns) * u128::from(count));
    }

    /// Adds counts of buckets, each by its smallest latency, and what all of the latencies come to. The extremes are as
    /// exact as buckets are: the smallest is put at the lower end of its bucket, the largest at the upper.
    pub fn count(&mut self, buckets: &[(u64, u32)], sum_ns: u64) {
        for (latency_ns, count) in buckets {
            self.put(*latency_ns, u64::from(*count));
            self.min_ns = self.min_ns.min(*latency_ns);
            self.max_ns = self.max_ns.max(high_ns(index(*latency_ns)));
        }
        self.sum_ns = self.sum_ns.saturating_add(u128::from(sum_ns));
    }

    #[inline]
    fn put(&mut self, latency_ns: u64, count: u64) {
        let index = index(latency_ns);
        match self.counts.get_mut(index) {
            Some(its) => *its = its.saturating_add(count),
            None => self.grow(index, count),
        }
        self.len = self.len.saturating_add(count);
    }

    #[cold]
    fn grow(&mut self, index: usize, count: u64) {
        self.counts.resize((index / BUCKETS + 1) * BUCKETS, 0);
        self.counts[index] = count;
    }

    /// Buckets outside of it are empty: the latencies of a path are in a few octaves of many.
    fn used(&self) -> Range<usize> {
        if self.min_ns > self.max_ns {
            return 0..0;
        }
        index(self.min_ns)..self.counts.len().min(index(self.max_ns) + 1)
    }

    /// Index and count of every bucket that may not be empty.
    fn buckets(&self) -> impl Iterator<Item = (usize, u64)> {
        let used = self.used();
        let counts = self.counts.get(used.clone()).unwrap_or_default();
        used.zip(counts.iter().copied())
    }

    /// Adds another histogram.
    pub fn add(&mut self, other: &Self) {
        if self.counts.len() < other.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for index in other.used() {
            if let (Some(its), Some(more)) = (self.counts.get_mut(index), other.counts.get(index)) {
                *its = its.saturating_add(*more);
            }
        }
        self.len = self.len.saturating_add(other.len);
        self.min_ns = self.min_ns.min(other.min_ns);
        self.max_ns = self.max_ns.max(other.max_ns);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        let used = self.used();
        if let Some(counts) = self.counts.get_mut(used) {
            counts.fill(0);
        }
        self.len = 0;
        (self.min_ns, self.max_ns, self.sum_ns) = (u64::MAX, 0, 0);
    }

    /// How many latencies.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// None at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The percentile that is told: [`Self::quantile_ns`], `None` where the latencies are too few to bound
    /// it ([`quantile::is_carried`]).
    #[must_use]
    pub fn percentile_ns(&self, quantile: f64) -> Option<u64> {
        self.quantile_ns(quantile)
            .filter(|_| quantile::is_carried(self.len(), quantile))
    }

    /// The latency below or at which a part `quantile` (0 to 1) of all lie: the middle of its bucket; `None` without any.
    #[must_use]
    pub fn quantile_ns(&self, quantile: f64) -> Option<u64> {
        let rank = ((quantile * self.len as f64).ceil() as u64).clamp(1, self.len.max(1));
        let mut seen = 0_u64;
        let (index, _) = self.buckets().find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })?;
        let middle_ns = low_ns(index).saturating_add(width_ns(index) / 2);
        Some(middle_ns.clamp(self.min_ns, self.max_ns))
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
        self.buckets()
            .filter(|(_, count)| *count > 0)
            .map(|(index, count)| (high_ns(index), count))
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
    fn buckets_and_percentiles_are_those_of_an_hdr_histogram() {
        let mut histogram = LatencyHistogram::default();
        let mut hdr = empty();
        for latency_ns in latencies()
            .into_iter()
            .chain([0, 1, 127, 128, 255, 256, 257, 1 << 50])
        {
            histogram.record(latency_ns);
            hdr.record(latency_ns).unwrap();
        }
        let buckets: Vec<(u64, u64)> = hdr
            .iter_recorded()
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect();
        assert_eq!(histogram.non_empty_buckets(), buckets);
        for quantile in [0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            let (low, high) = (histogram.min_ns, histogram.max_ns);
            let expected = hdr.median_equivalent(hdr.value_at_quantile(quantile));
            assert_eq!(
                histogram.quantile_ns(quantile),
                Some(expected.clamp(low, high))
            );
        }
    }

    #[test]
    fn counts_of_buckets_are_as_good_as_their_latencies() {
        let (mut one_by_one, mut counted) =
            (LatencyHistogram::default(), LatencyHistogram::default());
        let mut buckets = std::collections::BTreeMap::new();
        for latency_ns in latencies() {
            one_by_one.record(latency_ns);
            *buckets.entry(low_ns(index(latency_ns))).or_insert(0_u32) += 1;
        }
        let sum_ns = u64::try_from(one_by_one.sum_ns).unwrap();
        counted.count(&buckets.into_iter().collect::<Vec<_>>(), sum_ns);
        assert_eq!(counted.non_empty_buckets(), one_by_one.non_empty_buckets());
        assert_eq!(
            (counted.len(), counted.mean_ns()),
            (one_by_one.len(), one_by_one.mean_ns())
        );
        for (told, exact) in [
            (counted.min_ns, one_by_one.min_ns),
            (counted.max_ns, one_by_one.max_ns),
        ] {
            assert!(told.abs_diff(exact) * 128 <= exact, "{told} for {exact}");
        }
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
