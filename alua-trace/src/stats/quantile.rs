//! Percentiles with what their data allow to say of them: the bins they lie in, and how far another sample
//! of the same size would move them.

use crate::model::Quantile;

/// Part of samples whose quantile the interval must hold.
const MISSED: f64 = 0.05;
/// From here on e^−x is too small for what follows from it, and the binomial distribution is as good as
/// normal.
const MANY: f64 = 600.0;
/// Standard deviations that leave out [`MISSED`], half on each side.
const DEVIATIONS: f64 = 1.959_964;
/// Sub-buckets of an octave: what [`super::FIGURES`] figures give.
const SUB_BITS: u32 = 7;

/// Smallest value of the bin whose inclusive upper bound this is, in ns.
#[must_use]
pub fn bin_low_ns(bound_ns: u64) -> u64 {
    let octave = bound_ns.max(1).ilog2();
    let width = 1_u64 << octave.saturating_sub(SUB_BITS);
    bound_ns - (bound_ns & (width - 1))
}

/// The value at a quantile (0 to 1) of bins, each an inclusive upper bound in ns and its count, in order;
/// `None` where they are too few to bound it from both sides with 95 % confidence. `extremes_ns` are the
/// smallest and the largest value.
///
/// The interval is that of order statistics (D. R. Cox and D. V. Hinkley, Theoretical Statistics, 1974): no
/// shape of the distribution is assumed, but that commands are independent of each other.
#[must_use]
pub fn quantile(bins: &[(u64, u64)], extremes_ns: (u64, u64), quantile: f64) -> Option<Quantile> {
    let count = bins
        .iter()
        .fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
    let (low, high) = ranks(count, quantile)?;
    let (min_ns, max_ns) = extremes_ns;
    let bound = |rank: u64| bound_of(bins, rank);
    let value_ns = bound(rank_of(count, quantile))?;
    let middle_ns = bin_low_ns(value_ns) + (value_ns - bin_low_ns(value_ns)).div_ceil(2);
    Some(Quantile {
        quantile,
        value_ns: middle_ns.clamp(min_ns, max_ns),
        low_ns: bin_low_ns(bound(low)?).max(min_ns),
        high_ns: bound(high)?.min(max_ns),
    })
}

/// As the value of [`quantile`], but between the ends of its bin, by how many of the bin's commands are below it: of
/// runs that differ by less than a bin is wide, for comparing them. In ns; `None` where the commands are too few.
#[must_use]
pub fn between(bins: &[(u64, u64)], extremes_ns: (u64, u64), quantile: f64) -> Option<f64> {
    let count = bins
        .iter()
        .fold(0, |sum: u64, (_, n)| sum.saturating_add(*n));
    ranks(count, quantile)?;
    let (min_ns, max_ns) = extremes_ns;
    let rank = quantile * count as f64;
    let mut below = 0.0;
    for (bound, n) in bins {
        let upto = below + *n as f64;
        if upto >= rank {
            let low = bin_low_ns(*bound).max(min_ns) as f64;
            let high = (*bound).min(max_ns) as f64;
            return Some(low + (high - low).max(0.0) * (rank - below) / *n as f64);
        }
        below = upto;
    }
    None
}

/// Whether so many commands bound a quantile from both sides.
#[must_use]
pub fn is_carried(count: u64, quantile: f64) -> bool {
    ranks(count, quantile).is_some()
}

/// The quantiles that outputs tell.
pub const TOLD: [f64; 5] = [0.5, 0.9, 0.99, 0.999, 0.9999];

/// Those of [`TOLD`] that the bins carry.
#[must_use]
pub fn told(bins: &[(u64, u64)], extremes_ns: (u64, u64)) -> Vec<Quantile> {
    let told = TOLD.iter();
    told.filter_map(|it| quantile(bins, extremes_ns, *it))
        .collect()
}

/// Rank, from 1, of the value at a quantile.
fn rank_of(count: u64, quantile: f64) -> u64 {
    // 0.99 · 100 is a little more than 99.
    ((quantile * count as f64 - 1e-9).ceil() as u64).clamp(1, count.max(1))
}

fn bound_of(bins: &[(u64, u64)], rank: u64) -> Option<u64> {
    let mut seen: u64 = 0;
    bins.iter()
        .find(|(_, count)| {
            seen = seen.saturating_add(*count);
            seen >= rank
        })
        .map(|(bound, _)| *bound)
}

/// Ranks, from 1, of the values that bound a quantile; with as much left out above as below, or all of it
/// above where only the largest value bounds it.
fn ranks(count: u64, quantile: f64) -> Option<(u64, u64)> {
    let n = count as f64;
    let beyond = 1.0 - quantile;
    if count == 0 || !(0.0..1.0).contains(&quantile) {
        return None;
    }
    if n * -(-beyond).ln_1p() > MANY {
        let spread = DEVIATIONS * (n * beyond * quantile).sqrt();
        let low = (n * quantile - spread).floor().max(1.0) as u64;
        let high = ((n * quantile + spread).ceil() as u64 + 1).min(count);
        return Some((low, high));
    }
    // How many commands lie beyond the quantile is binomial: from none on.
    let mut chance = (n * (-beyond).ln_1p()).exp();
    let mut sum = 0.0;
    let (mut above, mut spent) = (None, 0.0);
    let mut k: u64 = 0;
    while k < count {
        sum += chance;
        let is_enough = if k == 0 { MISSED } else { MISSED / 2.0 };
        if sum <= is_enough {
            (above, spent) = (Some(k), sum);
        }
        if 1.0 - sum <= MISSED - spent {
            break;
        }
        chance *= (n - k as f64) / (k + 1) as f64 * beyond / quantile;
        k += 1;
    }
    let high = count - above?;
    let low = count.checked_sub(k).filter(|low| *low > 0)?;
    Some((low.min(high), high))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_those_of_the_histogram() {
        let mut histogram = super::super::LatencyHistogram::default();
        for value in [
            0,
            1,
            255,
            256,
            257,
            1000,
            100_003,
            1 << 40,
            (1 << 40) + 12345,
        ] {
            histogram.clear();
            histogram.record(value);
            let [(bound, 1)] = histogram.non_empty_buckets()[..] else {
                panic!("one bucket");
            };
            let low = bin_low_ns(bound);
            assert!(low <= value && value <= bound, "{low} {value} {bound}");
            for same in [low, bound] {
                histogram.record(same);
                assert_eq!(histogram.non_empty_buckets().len(), 1, "{same} {bound}");
            }
            histogram.record(bound + 1);
            assert_eq!(histogram.non_empty_buckets().len(), 2, "{bound}");
        }
    }

    #[test]
    fn a_quantile_needs_as_many_as_bound_it() {
        for (quantile, least) in [
            (0.5, 6),
            (0.9, 29),
            (0.99, 299),
            (0.999, 2995),
            (0.9999, 29_956),
        ] {
            assert!(!is_carried(least - 1, quantile), "{quantile}");
            assert!(is_carried(least, quantile), "{quantile}");
        }
        assert!(!is_carried(0, 0.5) && !is_carried(10, 1.0));
    }

    #[test]
    fn more_commands_carry_all_that_fewer_do() {
        for quantile in TOLD {
            let carried = (1..100_000).map(|n| is_carried(n, quantile));
            let (first, last) = carried
                .enumerate()
                .filter(|(_, it)| !it)
                .fold((0, 0), |(n, _), (at, _)| (n + 1, at));
            assert_eq!(
                first,
                last + 1,
                "{quantile}: one that is not, behind some that are"
            );
        }
    }

    /// Of every thousand samples of one distribution, at least 950 have an interval around its quantile.
    #[test]
    fn intervals_hold_the_truth() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        for (n, at) in [
            (6, 0.5),
            (100, 0.5),
            (299, 0.99),
            (3000, 0.99),
            (4000, 0.999),
        ] {
            let mut held = 0;
            for _ in 0..1000 {
                let mut values: Vec<f64> = (0..n)
                    .map(|_| {
                        seed ^= seed << 13;
                        seed ^= seed >> 7;
                        seed ^= seed << 17;
                        (seed >> 11) as f64 / (1_u64 << 53) as f64
                    })
                    .collect();
                values.sort_unstable_by(f64::total_cmp);
                let (low, high) = ranks(n, at).unwrap();
                let (low, high) = (values[low as usize - 1], values[high as usize - 1]);
                held += u32::from(low <= at && at <= high);
            }
            assert!((940..1000).contains(&held), "{n} {at}: {held}");
        }
    }

    #[test]
    fn exact_and_normal_agree_where_they_meet() {
        let n = (MANY / -0.99_f64.ln()) as u64;
        let ((low, high), (low_next, high_next)) =
            (ranks(n - 1, 0.99).unwrap(), ranks(n + 1, 0.99).unwrap());
        assert!(low.abs_diff(low_next) <= 3, "{low} {low_next}");
        assert!(high.abs_diff(high_next) <= 3, "{high} {high_next}");
    }

    #[test]
    fn a_value_lies_in_its_interval_and_that_in_the_extremes() {
        let bins: Vec<(u64, u64)> = (1..100).map(|step| (step * 1024 - 1, step)).collect();
        for at in TOLD {
            let Some(it) = quantile(&bins, (900, 99 * 1024 - 1), at) else {
                assert!(at > 0.999);
                continue;
            };
            assert!(
                it.low_ns <= it.value_ns && it.value_ns <= it.high_ns,
                "{it:?}"
            );
            assert!(it.low_ns >= 900 && it.high_ns < 99 * 1024, "{it:?}");
        }
    }
}
