//! How long the array takes: fixed or drawn at random, and delays planted among many commands.

use std::str::FromStr;

use anyhow::{Context, Error, Result, bail};

use super::access::{Nexus, PathName};

/// xorshift64*: small, fast, repeatable.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// Seeded; 0 is a seed like any other.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d);
        ((u128::from(drawn) * u128::from(bound)) >> 64) as u64
    }
}

/// Delay of a path's reads and writes: uniform between two bounds, or fixed when they are equal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Delay {
    /// Smallest.
    pub(crate) low_ns: u64,
    /// Largest.
    pub(crate) high_ns: u64,
}

impl Delay {
    /// Draws one.
    pub(crate) fn draw(self, random: &mut Random) -> u64 {
        self.low_ns + random.below(self.high_ns.saturating_sub(self.low_ns) + 1)
    }
}

impl FromStr for Delay {
    type Err = Error;

    /// `2ms`, `0`, `1ms..10ms`.
    fn from_str(text: &str) -> Result<Self> {
        let (low, high) = text.split_once("..").unwrap_or((text, text));
        let delay = Delay {
            low_ns: parse_duration(low)?,
            high_ns: parse_duration(high)?,
        };
        if delay.low_ns > delay.high_ns {
            bail!("{text:?} ends before it begins");
        }
        Ok(delay)
    }
}

/// `250us`, `2ms`, `1s`, `0` in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Result<u64> {
    if text == "0" {
        return Ok(0);
    }
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        _ => bail!("{text:?} is no time such as 250us, 2ms or 1s"),
    };
    let number: u64 = digits
        .parse()
        .with_context(|| format!("{text:?} is no time"))?;
    number
        .checked_mul(scale)
        .with_context(|| format!("{text:?} is too long"))
}

/// Exactly so many commands with a long delay among the next so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plant {
    /// Where; everywhere when `None`.
    pub(crate) path: Option<PathName>,
    /// To which LUN; to every one when `None`.
    pub(crate) lun: Option<u8>,
    /// Commands still to be delayed.
    pub(crate) count: u64,
    /// Commands still to come.
    pub(crate) among: u64,
    /// The delay.
    pub(crate) delay_ns: u64,
}

impl Plant {
    /// The delay of the next command of `nexus`, if it is one of the planted ones. Selection
    /// sampling: every subset is equally likely, and the number comes out exactly.
    pub(crate) fn next(&mut self, nexus: Nexus, random: &mut Random) -> Option<u64> {
        let elsewhere = self.path.is_some_and(|only| only != nexus.path)
            || self.lun.is_some_and(|only| only != nexus.lun);
        if self.among == 0 || elsewhere {
            return None;
        }
        let chosen = random.below(self.among) < self.count;
        self.among -= 1;
        self.count -= u64::from(chosen);
        chosen.then_some(self.delay_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("2ms").unwrap(), 2_000_000);
        assert_eq!(parse_duration("0").unwrap(), 0);
        for wrong in ["", "2", "ms", "2min", "-1ms", "99999999999999999999s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn drawn_delays_fill_their_range_and_stay_in_it() {
        let delay: Delay = "1ms..10ms".parse().unwrap();
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..10_000).map(|_| delay.draw(&mut random)).collect();
        assert!(drawn.iter().all(|it| (1_000_000..=10_000_000).contains(it)));
        let mean = drawn.iter().sum::<u64>() / 10_000;
        assert!((5_300_000..5_700_000).contains(&mean), "{mean}");
        assert_eq!("2ms".parse::<Delay>().unwrap().draw(&mut random), 2_000_000);
        assert!("2ms..1ms".parse::<Delay>().is_err());
    }

    fn nexus(path: &str, lun: u8) -> Nexus {
        let path = path.parse().unwrap();
        Nexus { path, lun }
    }

    #[test]
    fn the_planted_number_comes_out_exactly() {
        for seed in 0..20 {
            let mut random = Random::new(seed);
            let mut plant = Plant {
                path: None,
                lun: None,
                count: 30,
                among: 1000,
                delay_ns: 5,
            };
            let planted = (0..2000)
                .filter(|_| plant.next(nexus("A1", 0), &mut random).is_some())
                .count();
            assert_eq!(planted, 30);
        }
    }

    #[test]
    fn a_plant_on_one_nexus_leaves_the_others_alone() {
        let mut random = Random::new(1);
        let mut plant = Plant {
            path: Some("A1".parse().unwrap()),
            lun: Some(1),
            count: 5,
            among: 5,
            delay_ns: 5,
        };
        assert_eq!(plant.next(nexus("B1", 1), &mut random), None);
        assert_eq!(plant.next(nexus("A1", 0), &mut random), None);
        assert_eq!(plant.next(nexus("A1", 1), &mut random), Some(5));
    }
}
