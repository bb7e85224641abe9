//! How often chance alone would make as much of a difference: if the sides were the same, any run could as well
//! be of the other one.

use super::{Blocks, Sides, mean};

/// Up to so many ways to share out the runs each is looked at; of more a sample.
const MOST_WAYS: f64 = 50_000.0;
const SAMPLES: usize = 20_000;
/// Differences that are the same but for how they were added up.
const SAME: f64 = 1e-12;

/// Share of ways to share out the runs that make as much of a difference, in either direction.
#[must_use]
pub fn p_value(sides: Sides<'_>, seed: u64) -> f64 {
    let runs = [sides.one, sides.other].concat();
    let of_one = sides.one.len();
    let ways = ways(runs.len(), of_one);
    if ways <= MOST_WAYS && runs.len() < u64::BITS as usize {
        return exact(&runs, of_one);
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut shuffled = runs.clone();
    let at_least = difference(&runs, of_one) - SAME;
    let as_much = (0..SAMPLES).filter(|_| {
        random.shuffle(&mut shuffled);
        difference(&shuffled, of_one) >= at_least
    });
    // What was seen is one of the ways.
    (as_much.count() + 1) as f64 / (SAMPLES + 1) as f64
}

/// Share of ways to turn the contrasts of some blocks around that make as much of a difference, in either
/// direction: if the treatments were the same, each could as well be the other one (R. A. Fisher, The Design of
/// Experiments, 1935, chapter 3).
#[must_use]
pub fn p_value_of_blocks(blocks: Blocks<'_>, seed: u64) -> f64 {
    let of_each = blocks.0;
    let at_least = of_each.iter().sum::<f64>().abs() * (1.0 - SAME);
    let as_much = |turned: &dyn Fn(usize) -> bool| {
        let signed = of_each.iter().enumerate();
        let signed = signed.map(|(nth, it)| if turned(nth) { -it } else { *it });
        signed.sum::<f64>().abs() >= at_least
    };
    if turns(of_each.len()) <= MOST_WAYS {
        let ways = 1_u32 << of_each.len();
        let found = (0..ways).filter(|turned| as_much(&|nth| turned >> nth & 1 == 1));
        return found.count() as f64 / f64::from(ways);
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let found = (0..SAMPLES).filter(|_| {
        let turned: Vec<bool> = of_each.iter().map(|_| random.bool()).collect();
        as_much(&|nth| turned[nth])
    });
    (found.count() + 1) as f64 / (SAMPLES + 1) as f64
}

/// How many ways there are to turn some of so many around.
pub(super) fn turns(blocks: usize) -> f64 {
    (blocks as f64).exp2()
}

fn exact(runs: &[f64], of_one: usize) -> f64 {
    let at_least = difference(runs, of_one) - SAME;
    let (mut all, mut as_much) = (0_u64, 0_u64);
    let sum: f64 = runs.iter().sum();
    // Gosper's hack: each next number with as many ones.
    let mut chosen: u64 = (1 << of_one) - 1;
    while chosen < 1 << runs.len() {
        let of_chosen = runs.iter().enumerate();
        let of_chosen = of_chosen.filter(|(nth, _)| chosen >> nth & 1 == 1);
        let one: f64 = of_chosen.map(|(_, it)| it).sum();
        let other = (sum - one) / (runs.len() - of_one) as f64;
        all += 1;
        as_much += u64::from((one / of_one as f64 - other).abs() >= at_least);
        let lowest = chosen & chosen.wrapping_neg();
        let next = chosen + lowest;
        chosen = ((chosen ^ next) / lowest) >> 2 | next;
    }
    as_much as f64 / all as f64
}

/// Between the means of the first runs and of the others.
fn difference(runs: &[f64], of_one: usize) -> f64 {
    let (one, other) = runs.split_at(of_one);
    (mean(other) - mean(one)).abs()
}

/// How many there are to choose some of all.
pub(super) fn ways(all: usize, some: usize) -> f64 {
    (0..some).fold(1.0, |ways, nth| {
        ways * (all - nth) as f64 / (nth + 1) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_is_counted() {
        let sides = Sides::new(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]).unwrap();
        assert_eq!(p_value(sides, 1), 2.0 / 20.0);
        let sides = Sides::new(&[1.0, 2.0, 6.0], &[1.0, 2.0, 6.0]).unwrap();
        assert_eq!(p_value(sides, 1), 1.0);
        assert_eq!(ways(20, 10), 184_756.0);
    }

    #[test]
    fn every_turn_is_counted() {
        let p = |of_each: &[f64]| p_value_of_blocks(Blocks::new(of_each).unwrap(), 1);
        assert_eq!(p(&[1.0, 2.0, 3.0, 4.0]), 2.0 / 16.0);
        assert_eq!(p(&[1.0, -1.0]), 1.0);
        // Of 64 sums 21 and 19, and their like.
        assert_eq!(p(&[-1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 4.0 / 64.0);
        // 2^16 ways are too many to look at all.
        let of_each: Vec<f64> = (0..16).map(|it| f64::from(it % 7) - 2.0).collect();
        let sum = |turned: u32| -> f64 {
            let signed = of_each.iter().enumerate();
            signed
                .map(|(nth, it)| if turned >> nth & 1 == 1 { -it } else { *it })
                .sum()
        };
        let as_much = (0..1 << 16).filter(|turned| sum(*turned).abs() >= sum(0).abs());
        let exact = as_much.count() as f64 / f64::from(1 << 16);
        let sampled = p(&of_each);
        assert!((sampled - exact).abs() < 0.01, "{sampled} {exact}");
    }

    #[test]
    fn a_sample_of_the_ways_is_about_as_exact() {
        let numbers = |first: f64| {
            (0..9)
                .map(|it| first + (it * it % 7) as f64)
                .collect::<Vec<_>>()
        };
        let (one, other) = (numbers(1.0), numbers(2.2));
        let sides = Sides::new(&one, &other).unwrap();
        let exact = exact(&[one.clone(), other.clone()].concat(), 9);
        // 48,620 ways are all looked at; of 184,756 some.
        assert_eq!(p_value(sides, 1), exact);
        let (mut more_one, mut more_other) = (one, other);
        more_one.push(3.0);
        more_other.push(4.2);
        let sampled = p_value(Sides::new(&more_one, &more_other).unwrap(), 1);
        let exact = super::exact(&[more_one, more_other].concat(), 10);
        assert!((sampled - exact).abs() < 0.01, "{sampled} {exact}");
    }
}
