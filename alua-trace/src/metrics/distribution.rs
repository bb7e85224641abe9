//! Latencies as Prometheus has them: classic buckets, whose bounds are ends of our own bins, so that their counts are exact,
//! and a native histogram of schema 5.

use std::{collections::BTreeMap, sync::LazyLock};

use crate::model::Cell;
use crate::stats::bin_end_ns;

/// Classic buckets without that of infinity.
pub const BOUNDS: usize = 19;
/// Buckets of a native histogram are 2^(2^-5) wide: 2.2 %. A bin of ours is counted where its middle lies, so that a quantile is
/// off by that and half a bin at most: by 2.7 %.
pub const SCHEMA: i32 = 5;
/// Buckets in an octave.
const PER_OCTAVE: f64 = 32.0;

/// Inclusive upper bounds in ns: the ends of the bins that 10, 20, 50 µs and so on up to 10 s lie in.
static ENDS_NS: LazyLock<[u64; BOUNDS]> = LazyLock::new(|| {
    let mut decade_ns = 10_000;
    std::array::from_fn(|index| {
        let step = [1, 2, 5][index % 3];
        let end_ns = bin_end_ns(step * decade_ns);
        if index % 3 == 2 {
            decade_ns *= 10;
        }
        end_ns
    })
});

/// Latencies of one path, class and state since the start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Distribution {
    classic: [u64; BOUNDS],
    native: BTreeMap<i32, u64>,
    /// Commands.
    pub count: u64,
    sum_ns: u128,
}

/// A native histogram's buckets: spans of an offset to the end of the span before and a length, and the difference of each
/// count to that before.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Native {
    /// Offsets and lengths.
    pub spans: Vec<(i32, u32)>,
    /// Differences.
    pub deltas: Vec<i64>,
}

impl Distribution {
    /// Adds what an interval saw.
    pub fn add(&mut self, cell: &Cell) {
        self.add_buckets(&cell.buckets, u128::from(cell.sum_ns));
    }

    /// Of bins by their inclusive upper bounds in ns, and the sum of all that is in them.
    #[must_use]
    pub fn of(buckets: &[(u64, u64)], sum_ns: u128) -> Self {
        let mut distribution = Self::default();
        distribution.add_buckets(buckets, sum_ns);
        distribution
    }

    fn add_buckets(&mut self, buckets: &[(u64, u64)], sum_ns: u128) {
        for (end_ns, commands) in buckets {
            let bound = ENDS_NS.partition_point(|bound_ns| bound_ns < end_ns);
            if let Some(classic) = self.classic.get_mut(bound) {
                *classic = classic.saturating_add(*commands);
            }
            let native = self.native.entry(native_index(*end_ns)).or_default();
            *native = native.saturating_add(*commands);
            self.count = self.count.saturating_add(*commands);
        }
        self.sum_ns = self.sum_ns.saturating_add(sum_ns);
    }

    /// Upper bounds in seconds, the last of which is infinity, and how many commands are in each bucket and in none
    /// below it.
    pub fn classic(&self) -> impl Iterator<Item = (f64, u64)> {
        let below = self.classic.iter().copied().fold(0, u64::saturating_add);
        let bounds = ENDS_NS.iter().map(|ns| seconds(u128::from(*ns)));
        let rest = (f64::INFINITY, self.count.saturating_sub(below));
        bounds.zip(self.classic).chain([rest])
    }

    /// Sum of all latencies, in seconds.
    #[must_use]
    pub fn sum_seconds(&self) -> f64 {
        seconds(self.sum_ns)
    }

    /// The native histogram's buckets.
    #[must_use]
    pub fn native(&self) -> Native {
        let mut native = Native::default();
        // The first offset is the index itself.
        let (mut end, mut before) = (0, 0);
        for (index, count) in &self.native {
            match native.spans.last_mut() {
                Some((_, length)) if *index == end => *length += 1,
                _ => native.spans.push((index - end, 1)),
            }
            let count = i64::try_from(*count).unwrap_or(i64::MAX);
            native.deltas.push(count - before);
            (end, before) = (index + 1, count);
        }
        native
    }
}

/// Bucket i of a native histogram is of values above 2^((i-1)/32) and up to 2^(i/32) seconds; here that of the middle of the
/// bin that ends with `end_ns`.
fn native_index(end_ns: u64) -> i32 {
    // Bins are at most 1/128 of their end wide.
    let half_ns = if end_ns < 256 { 0 } else { end_ns / 512 };
    let middle = seconds(u128::from((end_ns - half_ns).max(1)));
    #[expect(
        clippy::cast_possible_truncation,
        reason = "64 bits of ns have logarithms of -30 to 35"
    )]
    let index = (middle.log2() * PER_OCTAVE).ceil() as i32;
    index
}

fn seconds(ns: u128) -> f64 {
    ns as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccessState, Class};
    use crate::stats::LatencyHistogram;

    /// What a quantile of a native histogram is off by at most, as a part of itself.
    const NATIVE_ERROR: f64 = 0.027;

    fn cell(latencies_ns: &[u64]) -> Cell {
        let mut histogram = LatencyHistogram::default();
        latencies_ns.iter().for_each(|ns| histogram.record(*ns));
        Cell {
            class: Class::Read,
            state: AccessState::Optimized,
            commands: latencies_ns.len() as u64,
            errors: 0,
            bytes: 0,
            sum_ns: latencies_ns.iter().sum(),
            min_ns: 0,
            max_ns: 0,
            buckets: histogram.non_empty_buckets(),
        }
    }

    #[test]
    fn bounds_are_ends_of_bins_next_to_round_numbers() {
        let round = [1, 2, 5].map(|step| step * 1_000_000);
        for (bound, ns) in ENDS_NS[6..9].iter().zip(round) {
            assert!(*bound >= ns && *bound < ns + ns / 128, "{bound}");
        }
        assert_eq!(ENDS_NS[BOUNDS - 1] / 1_000_000_000, 10);
    }

    #[test]
    fn classic_counts_are_exact() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut latency_ns = || {
            let octave_ns: u64 = 1 << random.u32(8..36);
            octave_ns + random.u64(..octave_ns)
        };
        let latencies: Vec<u64> = (0..10_000).map(|_| latency_ns()).collect();
        let mut distribution = Distribution::default();
        for some in latencies.chunks(100) {
            distribution.add(&cell(some));
        }
        let mut cumulative = 0;
        for ((_, count), bound_ns) in distribution.classic().zip(*ENDS_NS) {
            cumulative += count;
            let below = latencies.iter().filter(|ns| **ns <= bound_ns).count();
            assert_eq!(cumulative, below as u64, "{bound_ns}");
        }
        assert_eq!(distribution.count, 10_000);
        let sum: u64 = latencies.iter().sum();
        assert!((distribution.sum_seconds() - sum as f64 / 1e9).abs() < 1e-6);
    }

    #[test]
    fn native_buckets_hold_what_is_in_them_within_the_stated_error() {
        for ns in [
            1,
            2,
            255,
            256,
            1_000,
            99_840,
            1_000_000,
            5_000_000_000,
            u64::MAX / 2,
        ] {
            let mut distribution = Distribution::default();
            distribution.add(&cell(&[ns]));
            let native = distribution.native();
            assert_eq!((native.spans.len(), &native.deltas[..]), (1, &[1][..]));
            let index = native.spans[0].0;
            let high = 2f64.powf(f64::from(index) / PER_OCTAVE);
            let low = 2f64.powf(f64::from(index - 1) / PER_OCTAVE);
            let value = ns as f64 / 1e9;
            assert!(low <= value * (1.0 + NATIVE_ERROR), "{ns}: {low}..{high}");
            assert!(high >= value * (1.0 - NATIVE_ERROR), "{ns}: {low}..{high}");
            assert!((high - low) / value < NATIVE_ERROR, "{ns}");
        }
    }

    #[test]
    fn spans_and_deltas_add_up_to_the_counts() {
        let distribution = Distribution {
            native: BTreeMap::from([(-3, 5), (-2, 2), (4, 2), (5, 9)]),
            ..Distribution::default()
        };
        let native = distribution.native();
        assert_eq!(native.spans, [(-3, 2), (5, 2)]);
        assert_eq!(native.deltas, [5, -3, 0, 7]);
    }
}
