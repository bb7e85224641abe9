//! Assertions that say what was seen and what was expected.

use anyhow::{Result, ensure};

use crate::lab::load::rank;
use crate::lab::report::Report;
use crate::lab::report::merge_buckets;
use crate::lab::schema::{Class, Latency, State};

/// Both numbers are the same.
pub(super) fn same(what: &str, left: (&str, u64), right: (&str, u64)) -> Result<()> {
    ensure!(
        left.1 == right.1,
        "{what}: {} {}, {} {} (difference {})",
        left.0,
        left.1,
        right.0,
        right.1,
        left.1.abs_diff(right.1)
    );
    Ok(())
}

/// `value` is within `percent` of `reference`.
pub(super) fn close(what: &str, value: f64, reference: f64, percent: f64) -> Result<()> {
    let off = 100.0 * (value - reference).abs() / reference.abs().max(f64::MIN_POSITIVE);
    ensure!(
        off <= percent,
        "{what}: tool {value:.0}, reference {reference:.0}: {off:.2} % apart, allowed {percent} %"
    );
    Ok(())
}

/// Histograms of one class and state, over all paths.
pub(super) fn latencies(report: &Report, class: Class, state: State) -> Vec<&Latency> {
    report
        .summary
        .paths
        .iter()
        .flat_map(|path| &path.latency)
        .filter(|latency| latency.class == class && latency.state == state)
        .collect()
}

/// Percentile over several histograms: the upper bound of the bucket it falls into.
pub(super) fn percentile(latencies: &[&Latency], percent: f64) -> Result<u64> {
    let buckets = merge_buckets(latencies.iter().copied());
    let total: u64 = buckets.values().sum();
    ensure!(total > 0, "no commands of this kind were traced");
    let rank = rank(percent, total);
    let mut below = 0;
    for (bound, count) in buckets {
        below += count;
        if below >= rank {
            return Ok(bound);
        }
    }
    Ok(0)
}

/// Mean over several histograms.
pub(super) fn mean(latencies: &[&Latency]) -> f64 {
    let commands: u64 = latencies.iter().map(|latency| latency.commands).sum();
    let sum: f64 = latencies
        .iter()
        .map(|latency| latency.mean_ns * latency.commands as f64)
        .sum();
    sum / commands.max(1) as f64
}

/// Commands over all paths that came through a map and did not have to be sent again: what dm
/// counts as completed.
pub(super) fn mapped_once(report: &Report) -> u64 {
    report
        .summary
        .paths
        .iter()
        .flat_map(|path| &path.latency)
        .filter(|latency| latency.class != Class::Other)
        .map(|latency| latency.mapped - latency.errors.min(latency.mapped))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latency(buckets: &[(u64, u64)]) -> Latency {
        Latency {
            class: Class::Read,
            state: State::Optimized,
            commands: buckets.iter().map(|bucket| bucket.1).sum(),
            passthrough: 0,
            mapped: 0,
            errors: 0,
            bytes: 0,
            min_ns: 0,
            mean_ns: 10.0,
            p50_ns: None,
            p90_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: 0,
            quantiles: Vec::new(),
            buckets: buckets.to_vec(),
            slowest: Vec::new(),
        }
    }

    #[test]
    fn percentiles_of_two_paths_are_those_of_all_their_commands() {
        let (one, two) = (latency(&[(10, 5), (30, 1)]), latency(&[(20, 4)]));
        assert_eq!(percentile(&[&one, &two], 50.0).unwrap(), 10);
        assert_eq!(percentile(&[&one, &two], 51.0).unwrap(), 20);
        assert_eq!(percentile(&[&one, &two], 99.0).unwrap(), 30);
        assert!(percentile(&[], 50.0).is_err());
    }

    #[test]
    fn a_difference_is_told_with_both_numbers() {
        let error = same("reads", ("fio", 1000), ("tool", 998))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "reads: fio 1000, tool 998 (difference 2)");
        assert!(close("p50", 102.0, 100.0, 2.0).is_ok());
        assert!(close("p50", 103.0, 100.0, 2.0).is_err());
    }
}
