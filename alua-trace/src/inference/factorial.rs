//! Effects of several factors, each with levels, when every combination of levels (a *cell*) is in each block.

/// Factors by how many levels each has; cells are counted with the last factor first: of 2 × 2 they are (0, 0), (0, 1),
/// (1, 0), (1, 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Factorial {
    levels: Vec<usize>,
}

/// A factor at a level above its first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Which factor.
    pub factor: usize,
    /// Which of its levels; 0 is what the others are compared with.
    pub level: usize,
}

/// What is told of the cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// A level against the first one of its factor, whatever the others are.
    Main(At),
    /// The same where another factor has this level.
    Where(At, At),
    /// By how much the effect of one level is more where another factor has its level than where that has its first one.
    Interaction(At, At),
}

impl Factorial {
    /// `None` where a factor has fewer than two levels, or there is none.
    #[must_use]
    pub fn new(levels: &[usize]) -> Option<Self> {
        (!levels.is_empty() && levels.iter().all(|it| *it >= 2)).then(|| Self {
            levels: levels.to_vec(),
        })
    }

    /// How many cells there are.
    #[must_use]
    pub fn cells(&self) -> usize {
        self.levels.iter().product()
    }

    /// The level of each factor in a cell.
    #[must_use]
    pub fn levels_of(&self, cell: usize) -> Vec<usize> {
        let mut rest = cell;
        let mut levels: Vec<usize> = Vec::new();
        for count in self.levels.iter().rev() {
            levels.push(rest % count);
            rest /= count;
        }
        levels.reverse();
        levels
    }

    /// The effects of all levels, and of all pairs of factors whether they add up.
    #[must_use]
    pub fn effects(&self) -> Vec<Effect> {
        let main = self.at_all().map(Effect::Main);
        main.chain(
            self.pairs()
                .map(|(one, other)| Effect::Interaction(one, other)),
        )
        .collect()
    }

    fn at_all(&self) -> impl Iterator<Item = At> + Clone {
        let factors = self.levels.iter().enumerate();
        factors.flat_map(|(factor, levels)| (1..*levels).map(move |level| At { factor, level }))
    }

    fn pairs(&self) -> impl Iterator<Item = (At, At)> {
        let all = self.at_all();
        let one = all.clone();
        one.flat_map(move |one| {
            let others = all.clone().filter(move |other| other.factor > one.factor);
            others.map(move |other| (one, other))
        })
    }

    /// An effect in a block, of the values of its cells: a difference of their means.
    #[must_use]
    pub fn value(&self, effect: Effect, cells: &[f64]) -> f64 {
        match effect {
            Effect::Main(at) => self.difference(at, None, cells),
            Effect::Where(at, other) => self.difference(at, Some(other), cells),
            Effect::Interaction(at, other) => {
                let first = At { level: 0, ..other };
                self.difference(at, Some(other), cells) - self.difference(at, Some(first), cells)
            }
        }
    }

    fn difference(&self, at: At, only: Option<At>, cells: &[f64]) -> f64 {
        let first = At { level: 0, ..at };
        let mean = |at: At| {
            let cells = cells.iter().enumerate().filter(|(cell, _)| {
                let levels = self.levels_of(*cell);
                let is_at = |at: At| levels.get(at.factor) == Some(&at.level);
                is_at(at) && only.is_none_or(is_at)
            });
            let (sum, count) = cells.fold((0.0, 0), |(sum, count), (_, it)| (sum + it, count + 1));
            sum / f64::from(count)
        };
        mean(at) - mean(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALUA: At = At {
        factor: 0,
        level: 1,
    };
    const MTU: At = At {
        factor: 1,
        level: 1,
    };

    #[test]
    fn effects_of_two_factors_and_whether_they_add_up() {
        let design = Factorial::new(&[2, 2]).unwrap();
        assert_eq!(design.cells(), 4);
        assert_eq!(design.levels_of(2), [1, 0]);
        // Neither, jumbo frames, ALUA, both.
        let cells = [10.0, 13.0, 20.0, 21.0];
        let value = |effect| design.value(effect, &cells);
        assert_eq!(value(Effect::Main(ALUA)), 9.0);
        assert_eq!(value(Effect::Main(MTU)), 2.0);
        let off = At { level: 0, ..ALUA };
        assert_eq!(value(Effect::Where(MTU, off)), 3.0);
        assert_eq!(value(Effect::Where(MTU, ALUA)), 1.0);
        assert_eq!(value(Effect::Interaction(MTU, ALUA)), -2.0);
        assert_eq!(value(Effect::Interaction(ALUA, MTU)), -2.0);
        let all = [
            Effect::Main(ALUA),
            Effect::Main(MTU),
            Effect::Interaction(ALUA, MTU),
        ];
        assert_eq!(design.effects(), all);
    }

    #[test]
    fn factors_have_any_levels() {
        let design = Factorial::new(&[2, 3, 2]).unwrap();
        assert_eq!(design.cells(), 12);
        assert_eq!(design.levels_of(11), [1, 2, 1]);
        // 4 levels above the first ones; 2 + 1 + 2 pairs.
        assert_eq!(design.effects().len(), 4 + 5);
        let cells: Vec<f64> = (0..12)
            .map(|cell| {
                let levels = design.levels_of(cell);
                (100 * levels[0] + 10 * levels[1] + levels[2] + 5 * levels[0] * levels[2]) as f64
            })
            .collect();
        let value = |effect| design.value(effect, &cells);
        let at = |factor, level| At { factor, level };
        assert_eq!(value(Effect::Main(at(0, 1))), 102.5);
        assert_eq!(value(Effect::Main(at(1, 2))), 20.0);
        assert_eq!(value(Effect::Interaction(at(0, 1), at(2, 1))), 5.0);
        assert_eq!(value(Effect::Interaction(at(0, 1), at(1, 2))), 0.0);
        assert_eq!(Factorial::new(&[2, 1]), None);
        assert_eq!(Factorial::new(&[]), None);
    }
}
