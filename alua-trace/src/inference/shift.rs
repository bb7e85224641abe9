//! The shift function: by how much each percentile is another one, and a band that holds all of them at once
//! (K. Doksum, The Annals of Statistics 2, 1974, of runs here).

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Contrast, Interval, Sides, bootstrap::quantile, mean, normal};

/// Samples that are drawn.
const SAMPLES: usize = 4000;

/// The difference of each percentile, with a band that holds all the true ones with this confidence. A run is a
/// list with its percentiles; all are as long. `None` for fewer than two runs a side.
///
/// Percentiles of a run go together. How far the one that is furthest off is, in its own deviations, is drawn from
/// what the runs differ by (a multivariate t: T. Hothorn, F. Bretz and P. Westfall, Biometrical Journal 50, 2008).
#[must_use]
pub fn band(
    one: &[Vec<f64>],
    other: &[Vec<f64>],
    confidence: f64,
    seed: u64,
) -> Option<Vec<Interval>> {
    let columns = one.first()?.len();
    let column = |side: &[Vec<f64>], nth: usize| -> Vec<f64> {
        side.iter()
            .filter_map(|run| run.get(nth).copied())
            .collect()
    };
    let columns: Vec<(Vec<f64>, Vec<f64>)> = (0..columns)
        .map(|nth| (column(one, nth), column(other, nth)))
        .collect();
    let sides: Option<Vec<Sides<'_>>> = columns
        .iter()
        .map(|(one, other)| Sides::new(one, other))
        .collect();
    let sides = sides?;
    let deviations = furthest(&sides, confidence, seed);
    let band = sides.iter().map(|sides| {
        let difference = sides.difference();
        let off = deviations * sides.spread().0.sqrt();
        Interval {
            difference,
            low: difference - off,
            high: difference + off,
        }
    });
    Some(band.collect())
}

/// How many deviations off the furthest percentile is at most, with this confidence.
fn furthest(sides: &[Sides<'_>], confidence: f64, seed: u64) -> f64 {
    let freedom = sides.iter().map(|it| it.spread().1);
    let freedom = freedom.fold(f64::INFINITY, f64::min).max(1.0);
    let terms: Vec<Vec<f64>> = sides.iter().map(|sides| terms(*sides)).collect();
    let runs = terms.first().map_or(0, Vec::len);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut weights = vec![0.0; runs];
    let mut drawn: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            weights.fill_with(|| normal(&mut random));
            let off = |terms: &Vec<f64>| -> f64 {
                let sum: f64 = terms.iter().zip(&weights).map(|(it, by)| it * by).sum();
                sum.abs()
            };
            let furthest = terms.iter().map(off).fold(0.0, f64::max);
            furthest / (chi_squared(freedom, &mut random) / freedom).sqrt()
        })
        .collect();
    drawn.sort_unstable_by(f64::total_cmp);
    let drawn = quantile(&drawn, confidence);
    // Of one percentile alone it is Student's t: never less.
    let alone = StudentsT::new(0.0, 1.0, freedom);
    alone.map_or(drawn, |it| {
        drawn.max(it.inverse_cdf((1.0 + confidence) / 2.0))
    })
}

/// What each run has to do with the difference, in deviations of it: weighed by chance they add up to one that
/// varies like it.
fn terms(sides: Sides<'_>) -> Vec<f64> {
    let deviation = sides.spread().0.sqrt();
    let of = |side: &[f64], sign: f64| -> Vec<f64> {
        let (mean, runs) = (mean(side), side.len() as f64);
        let by = sign / (runs * (runs - 1.0)).sqrt();
        side.iter().map(|it| by * (it - mean)).collect()
    };
    let mut terms = [of(sides.one, -1.0), of(sides.other, 1.0)].concat();
    for term in &mut terms {
        *term = if deviation > 0.0 {
            *term / deviation
        } else {
            0.0
        };
    }
    terms
}

/// With so many degrees of freedom: the squares of as many normal numbers, the last one in part.
fn chi_squared(freedom: f64, random: &mut fastrand::Rng) -> f64 {
    let whole = freedom.floor();
    let mut sum = 0.0;
    for _ in 0..whole as usize {
        sum += normal(random).powi(2);
    }
    sum + (freedom - whole) * normal(random).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_percentile_it_is_students() {
        let side = |from: f64| -> Vec<Vec<f64>> {
            (0..6).map(|it| vec![from + f64::from(it % 3)]).collect()
        };
        let band = band(&side(0.0), &side(1.0), 0.95, 1).unwrap();
        let [it] = band.as_slice() else {
            panic!("{band:?}");
        };
        // By R: t.test of the same, from -0.1505 to 2.1505.
        assert!((it.difference - 1.0).abs() < 1e-12);
        assert!(
            (it.low + 0.1505).abs() < 0.06 && (it.high - 2.1505).abs() < 0.06,
            "{it:?}"
        );
    }

    #[test]
    fn percentiles_that_go_together_take_less_than_ones_that_do_not() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut side = |alike: bool| -> Vec<Vec<f64>> {
            let mut run = || {
                let first = normal(&mut random);
                let mut next = || if alike { first } else { normal(&mut random) };
                (0..10).map(|_| next()).collect()
            };
            (0..10).map(|_| run()).collect()
        };
        let width = |one: &[Vec<f64>], other: &[Vec<f64>]| {
            let band = band(one, other, 0.95, 2).unwrap();
            let columns = |side: &[Vec<f64>]| side.iter().map(|run| run[0]).collect::<Vec<f64>>();
            let (one, other) = (columns(one), columns(other));
            let deviation = Sides::new(&one, &other).unwrap().spread().0.sqrt();
            (band[0].high - band[0].low) / deviation
        };
        let alike = width(&side(true), &side(true));
        let apart = width(&side(false), &side(false));
        assert!(alike < 4.5 && apart > 5.2, "{alike} {apart}");
    }

    #[test]
    fn runs_without_percentiles_have_no_band() {
        assert!(band(&[], &[vec![1.0]], 0.95, 1).is_none());
        assert!(band(&[vec![1.0]], &[vec![1.0], vec![2.0]], 0.95, 1).is_none());
    }
}
