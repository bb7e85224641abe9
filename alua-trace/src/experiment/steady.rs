//! Whether a load is steady: by the conditions of SNIA's Solid State Storage Performance Test Specification 2.0.2,
//! 2.1.24, on IOPS and on latencies. Pure.

use serde::{Deserialize, Serialize};

use crate::comparison::Metric;

/// Rounds that are looked at.
pub const ROUNDS: usize = 5;
/// Between the largest and the smallest of them, as a part of their mean.
const MOST_RANGE: f64 = 0.20;
/// What the line that fits them best rises or falls from the first to the last, as a part of their mean.
const MOST_SLOPE: f64 = 0.10;

/// What is looked at, where a plan names nothing.
pub const MEASURES: [Metric; 3] = [Metric::Iops, Metric::P50Ns, Metric::P99Ns];
/// What can be looked at.
pub const KNOWN: [Metric; 4] = [Metric::Iops, Metric::MeanNs, Metric::P50Ns, Metric::P99Ns];

/// What a round saw; a percentile is `None` where its commands were too few.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// Reads and writes per second.
    pub iops: Option<f64>,
    /// Their mean latency.
    pub mean_ns: Option<f64>,
    /// Their median latency.
    pub p50_ns: Option<f64>,
    /// Their 99th percentile.
    pub p99_ns: Option<f64>,
}

/// How steady something is over [`ROUNDS`] rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Largest less smallest, as a part of the mean.
    pub range: f64,
    /// Rise of the best line, as a part of the mean.
    pub slope: f64,
}

/// The last rounds of a load.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Steadiness {
    /// How many rounds there were.
    pub rounds: usize,
    /// Of each measure, by its name: of the last five rounds; `None` where not all of them carry it.
    pub measures: Vec<(String, Option<Spread>)>,
}

impl Round {
    fn of(&self, measure: Metric) -> Option<f64> {
        match measure {
            Metric::Iops => self.iops,
            Metric::MeanNs => self.mean_ns,
            Metric::P50Ns => self.p50_ns,
            Metric::P99Ns => self.p99_ns,
            _ => None,
        }
    }
}

impl Spread {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), it| {
            (low.min(*it), high.max(*it))
        });
        // Least squares: the rise for each round is Σ(x − x̄)(y − ȳ) / Σ(x − x̄)².
        let middle = (count - 1.0) / 2.0;
        let points = values
            .iter()
            .zip(0_u32..)
            .map(|(y, x)| (f64::from(x) - middle, y - mean));
        let (up, square) = points.fold((0.0, 0.0), |(up, square), (x, y)| {
            (up + x * y, square + x * x)
        });
        Self {
            range: (high - low) / mean,
            slope: up / square * (count - 1.0) / mean,
        }
    }

    fn is_steady(self) -> bool {
        self.range <= MOST_RANGE && self.slope.abs() <= MOST_SLOPE
    }
}

impl Steadiness {
    /// Of all rounds of a load so far; `None` for fewer than [`ROUNDS`].
    #[must_use]
    pub fn of(rounds: &[Round], measures: &[Metric]) -> Option<Self> {
        let last = rounds.get(rounds.len().checked_sub(ROUNDS)?..)?;
        let measures = measures.iter().map(|measure| {
            let values: Option<Vec<f64>> = last.iter().map(|it| it.of(*measure)).collect();
            let name = measure.name().to_owned();
            (name, values.map(|values| Spread::of(&values)))
        });
        Some(Self {
            rounds: rounds.len(),
            measures: measures.collect(),
        })
    }

    /// Whether all of it is.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        let mut measures = self.measures.iter();
        measures.all(|(_, spread)| spread.is_some_and(Spread::is_steady))
    }

    /// `IOPS ±2.1 % rising 0.3 %, p50 …`; with what is not steady, and why.
    #[must_use]
    pub fn words(&self) -> String {
        let measures = self.measures.iter().map(|(name, spread)| match spread {
            None => format!("{name} unknown: too few commands in a round"),
            Some(spread) => {
                let mark = if spread.is_steady() {
                    ""
                } else {
                    " (too much)"
                };
                let (range, slope) = (100.0 * spread.range, 100.0 * spread.slope);
                format!("{name} range {range:.1} %, slope {slope:+.1} %{mark}")
            }
        });
        measures.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(iops: &[f64]) -> Vec<Round> {
        let round = |iops: &f64| Round {
            iops: Some(*iops),
            mean_ns: None,
            p50_ns: Some(1e5),
            p99_ns: Some(1e6),
        };
        iops.iter().map(round).collect()
    }

    #[test]
    fn both_conditions_hold_for_all_measures() {
        let is_steady =
            |iops: &[f64]| Steadiness::of(&rounds(iops), &MEASURES).map(|it| it.is_steady());
        assert_eq!(is_steady(&[100.0; 4]), None);
        assert_eq!(is_steady(&[100.0; 5]), Some(true));
        // What was before the last five does not count.
        assert_eq!(
            is_steady(&[1.0, 100.0, 100.0, 100.0, 100.0, 100.0]),
            Some(true)
        );
        // A range of 20 % is steady, of 21 % it is not.
        assert_eq!(is_steady(&[90.0, 110.0, 100.0, 110.0, 90.0]), Some(true));
        assert_eq!(is_steady(&[89.0, 110.0, 101.0, 110.0, 90.0]), Some(false));
        // A range of 12 % that is all rise.
        assert_eq!(is_steady(&[94.0, 97.0, 100.0, 103.0, 106.0]), Some(false));
        assert_eq!(is_steady(&[106.0, 103.0, 100.0, 97.0, 94.0]), Some(false));
        assert_eq!(is_steady(&[0.0; 5]), Some(false), "nothing was done");
        let mut unknown = rounds(&[100.0; 5]);
        unknown[2].p99_ns = None;
        // What is not looked at need not be there.
        let of_others = Steadiness::of(&unknown, &[Metric::Iops, Metric::P50Ns]);
        assert!(of_others.is_some_and(|it| it.is_steady()));
        let unknown = Steadiness::of(&unknown, &MEASURES).unwrap();
        assert!(!unknown.is_steady());
        assert!(
            unknown.words().contains("p99 unknown: too few"),
            "{}",
            unknown.words()
        );
    }

    #[test]
    fn range_and_slope_are_those_of_the_specification() {
        let steadiness =
            Steadiness::of(&rounds(&[95.0, 100.0, 105.0, 100.0, 100.0]), &MEASURES).unwrap();
        let (name, spread) = &steadiness.measures[0];
        let spread = spread.unwrap();
        assert_eq!(name, "IOPS");
        // Σxy = −2·−5 + −1·0 + 0·5 = 10, Σx² = 10: a rise of 1 each round, 4 from the first to the last.
        assert!((spread.range - 0.10).abs() < 1e-12 && (spread.slope - 0.04).abs() < 1e-12);
    }
}
