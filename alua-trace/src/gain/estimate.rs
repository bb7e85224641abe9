//! By how much a logical unit's I/O would be faster if all of it had gone over optimized paths. Pure.
//!
//! What is compared is like with like: reads with reads and writes with writes, of one size, within the same second
//! where both kinds of paths carried them, else before with after, where the load was the same. The unit is a stretch
//! of time, as commands depend on each other.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    inference::{Blocks, Interval, Sides, interval, mean},
    model::Class,
};

/// Commands are compared within this time.
const SLICE_NS: u64 = 1_000_000_000;
/// Fewer commands of a kind in a slice tell nothing of their mean.
const LEAST_COMMANDS: u64 = 5;
/// Stretches of time that the slices are put together to.
const BLOCKS: usize = 20;
const LEAST_BLOCKS: usize = 5;
/// Of the commands that were not optimized, so many must have their like.
const LEAST_COVERED: f64 = 0.8;
/// By so much the load before and after may differ, as a part.
const MOST_SHIFT: f64 = 0.25;
/// The same commands give the same numbers.
const SEED: u64 = 12;

/// Commands that are alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    class: Class,
    /// Bytes, to an eighth of a power of two.
    size: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    commands: u64,
    sum_ns: f64,
}

impl Seen {
    fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.sum_ns += other.sum_ns;
    }

    fn mean_ns(self) -> f64 {
        self.sum_ns / self.commands as f64
    }
}

/// Of one kind in one slice: what went over optimized paths, and what did not.
#[derive(Debug, Clone, Copy, Default)]
struct Both {
    optimized: Seen,
    other: Seen,
}

/// Commands of one logical unit.
#[derive(Debug, Clone, Default)]
pub struct Commands {
    seen: BTreeMap<(u64, Kind), Both>,
    unknown: u64,
}

/// A command, as far as this is concerned.
#[derive(Debug, Clone, Copy)]
pub struct Command {
    /// Read or write.
    pub class: Class,
    /// Bytes of data.
    pub bytes: u32,
    /// Dispatch, in ns of any clock.
    pub at_ns: u64,
    /// Dispatch to completion.
    pub latency_ns: u64,
    /// Whether its path was active/optimized; `None` where nobody knows.
    pub optimized: Option<bool>,
}

/// What was found of a logical unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Gain {
    /// It would be faster by this.
    Estimate(Estimate),
    /// All of it went over optimized paths.
    Nothing,
    /// What was seen does not carry an estimate.
    CannotTell {
        /// Why, and what would.
        why: String,
    },
}

/// An estimate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Part of the commands that was not optimized.
    pub not_optimized_share: f64,
    /// How much longer each of them took than its like.
    pub costs_ns: Ends,
    /// Mean latency of all commands.
    pub mean_ns: f64,
    /// By which part of it that mean would be less.
    pub gain: Ends,
    /// How it was compared.
    pub compared: Compared,
    /// Part of the commands that were not optimized that have their like.
    pub covered: f64,
}

/// A value with its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ends {
    /// What was seen.
    pub value: f64,
    /// Where the interval begins.
    pub low: f64,
    /// Where it ends.
    pub high: f64,
}

/// How commands were compared with their like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Within the same second.
    SameTime,
    /// Before with after, under the same load.
    BeforeAndAfter,
}

impl Ends {
    fn of(interval: Interval, times: f64) -> Self {
        Self {
            value: interval.difference * times,
            low: interval.low * times,
            high: interval.high * times,
        }
    }
}

impl Commands {
    /// Adds one.
    pub fn add(&mut self, command: Command) {
        let Some(optimized) = command.optimized else {
            self.unknown += 1;
            return;
        };
        let kind = Kind {
            class: command.class,
            size: size(command.bytes),
        };
        let both = self
            .seen
            .entry((command.at_ns / SLICE_NS, kind))
            .or_default();
        let seen = if optimized {
            &mut both.optimized
        } else {
            &mut both.other
        };
        seen.add(Seen {
            commands: 1,
            sum_ns: command.latency_ns as f64,
        });
    }

    /// Adds those of another path of the same unit.
    pub fn add_all(&mut self, other: &Self) {
        for (key, both) in &other.seen {
            let sum = self.seen.entry(*key).or_default();
            sum.optimized.add(both.optimized);
            sum.other.add(both.other);
        }
        self.unknown += other.unknown;
    }

    /// Reads and writes.
    #[must_use]
    pub fn count(&self) -> u64 {
        let all = self.all();
        all.optimized.commands + all.other.commands + self.unknown
    }

    /// Without the first and the last slice, which are not whole: the trace begins and ends there.
    fn whole(&self) -> impl Iterator<Item = (&(u64, Kind), &Both)> {
        let slice = |key: Option<&(u64, Kind)>| key.map_or(0, |(slice, _)| *slice);
        let first = slice(self.seen.keys().next());
        let last = slice(self.seen.keys().next_back());
        let seen = self.seen.iter();
        seen.filter(move |((slice, _), _)| first < *slice && *slice < last)
    }

    fn all(&self) -> Both {
        let mut all = Both::default();
        for both in self.seen.values() {
            all.optimized.add(both.optimized);
            all.other.add(both.other);
        }
        all
    }

    /// What they tell.
    #[must_use]
    pub fn gain(&self) -> Gain {
        let all = self.all();
        let known = all.optimized.commands + all.other.commands;
        let cannot = |why: String| Gain::CannotTell { why };
        if self.unknown > known {
            return cannot("nobody knows the access state of most of the paths".to_owned());
        }
        if known == 0 {
            return cannot("nothing was read or written".to_owned());
        }
        if all.other.commands == 0 {
            return Gain::Nothing;
        }
        if all.optimized.commands == 0 {
            return cannot(
                "nothing went over optimized paths, to compare with: trace for longer, or move the load there for a while"
                    .to_owned(),
            );
        }
        match self
            .same_time()
            .map_or_else(|_| self.before_and_after(), Ok)
        {
            Ok(found) => Gain::Estimate(found.estimate(all)),
            Err(why) => cannot(why),
        }
    }

    /// Of each slice the difference that its kinds show, by how many were not optimized.
    fn same_time(&self) -> Result<Found, String> {
        let mut slices: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
        let mut covered = 0;
        for ((slice, _), both) in self.whole() {
            if both.optimized.commands < LEAST_COMMANDS || both.other.commands < LEAST_COMMANDS {
                continue;
            }
            let weight = both.other.commands as f64;
            let (sum, weights) = slices.entry(*slice).or_default();
            *sum += weight * (both.other.mean_ns() - both.optimized.mean_ns());
            *weights += weight;
            covered += both.other.commands;
        }
        let covered = self.covered(covered)?;
        let slices: Vec<(f64, f64)> = slices.into_values().collect();
        let blocks = blocks(&slices)?;
        let blocks = Blocks::new(&blocks).ok_or_else(too_short)?;
        Ok(Found {
            costs: interval(blocks, 0.95, SEED),
            compared: Compared::SameTime,
            covered,
        })
    }

    /// Slices of one sort with those of the other, where kinds and load are the same.
    fn before_and_after(&self) -> Result<Found, String> {
        let mut kinds: BTreeMap<Kind, Both> = BTreeMap::new();
        for ((_, kind), both) in self.whole() {
            let sum = kinds.entry(*kind).or_default();
            sum.optimized.add(both.optimized);
            sum.other.add(both.other);
        }
        let enough = |both: &Both| {
            let least = LEAST_COMMANDS * LEAST_BLOCKS as u64;
            both.optimized.commands >= least && both.other.commands >= least
        };
        let alike = kinds.iter().filter(|(_, both)| enough(both));
        let alike: BTreeMap<Kind, f64> = alike
            .map(|(kind, both)| (*kind, both.other.commands as f64))
            .collect();
        let covered: u64 = alike.keys().map(|kind| kinds[kind].other.commands).sum();
        let covered = self.covered(covered)?;
        let (one, other) = (self.slices_of(&alike, true), self.slices_of(&alike, false));
        let (one_means, other_means) = (blocks(&one.means)?, blocks(&other.means)?);
        // A load sends as many at once, or as many a second, however long they take.
        let is_same = |one: f64, other: f64| (other / one - 1.0).abs() <= MOST_SHIFT;
        if !is_same(one.in_flight, other.in_flight) && !is_same(one.rate, other.rate) {
            return Err(format!(
                "the load was another one when it went over optimized paths: {:.1} commands in flight and {:.0} a second, \
                 then {:.1} and {:.0}",
                one.in_flight, one.rate, other.in_flight, other.rate
            ));
        }
        let sides = Sides::new(&one_means, &other_means).ok_or_else(too_short)?;
        Ok(Found {
            costs: interval(sides, 0.95, SEED),
            compared: Compared::BeforeAndAfter,
            covered,
        })
    }

    /// Slices in which nearly all went over the one sort of paths: their means, with the kinds weighted as those that
    /// were not optimized are.
    fn slices_of(&self, alike: &BTreeMap<Kind, f64>, optimized: bool) -> Slices {
        let mut by_slice: BTreeMap<u64, BTreeMap<Kind, Both>> = BTreeMap::new();
        for ((slice, kind), both) in self.whole() {
            by_slice.entry(*slice).or_default().insert(*kind, *both);
        }
        let mut slices = Slices::default();
        let (mut busy, mut rates) = (Vec::new(), Vec::new());
        for kinds in by_slice.values() {
            let (mut own, mut all) = (Seen::default(), Seen::default());
            let (mut sum, mut weights) = (0.0, 0.0);
            for (kind, both) in kinds {
                let seen = if optimized {
                    both.optimized
                } else {
                    both.other
                };
                own.add(seen);
                all.add(both.optimized);
                all.add(both.other);
                if let (Some(weight), true) = (alike.get(kind), seen.commands >= LEAST_COMMANDS) {
                    sum += weight * seen.mean_ns();
                    weights += weight;
                }
            }
            let mostly = own.commands as f64 >= 0.95 * all.commands as f64;
            if mostly && weights > 0.0 {
                slices.means.push((sum, weights));
                busy.push(all.sum_ns / SLICE_NS as f64);
                rates.push(all.commands as f64);
            }
        }
        if !busy.is_empty() {
            (slices.in_flight, slices.rate) = (mean(&busy), mean(&rates));
        }
        slices
    }

    fn covered(&self, commands: u64) -> Result<f64, String> {
        let of_whole = self.whole().map(|(_, both)| both.other.commands);
        let part = commands as f64 / of_whole.sum::<u64>().max(1) as f64;
        if part >= LEAST_COVERED {
            return Ok(part);
        }
        Err(format!(
            "what went over the other paths has no like on optimized ones: {} against {}",
            self.kinds(false),
            self.kinds(true)
        ))
    }

    /// The most frequent kinds: `reads of 4 KiB`.
    fn kinds(&self, optimized: bool) -> String {
        let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
        for ((_, kind), both) in &self.seen {
            let seen = if optimized {
                both.optimized
            } else {
                both.other
            };
            *kinds.entry(*kind).or_default() += seen.commands;
        }
        let mut kinds: Vec<(Kind, u64)> =
            kinds.into_iter().filter(|(_, count)| *count > 0).collect();
        kinds.sort_by_key(|(kind, count)| (std::cmp::Reverse(*count), *kind));
        let words = kinds.iter().take(2).map(|(kind, _)| {
            let class = match kind.class {
                Class::Read => "reads",
                Class::Write => "writes",
                Class::Other => "other commands",
            };
            format!("{class} of {:.0} KiB", f64::from(kind.size) / 1024.0)
        });
        words.collect::<Vec<_>>().join(" and ")
    }
}

#[derive(Debug, Default)]
struct Slices {
    /// Sum and weight of each.
    means: Vec<(f64, f64)>,
    /// Commands at once, by J. D. C. Little's law: the sum of their latencies in a second.
    in_flight: f64,
    /// Commands a second.
    rate: f64,
}

struct Found {
    costs: Interval,
    compared: Compared,
    covered: f64,
}

impl Found {
    fn estimate(&self, all: Both) -> Estimate {
        let known = (all.optimized.commands + all.other.commands) as f64;
        let share = all.other.commands as f64 / known;
        let mean_ns = (all.optimized.sum_ns + all.other.sum_ns) / known;
        Estimate {
            not_optimized_share: share,
            costs_ns: Ends::of(self.costs, 1.0),
            mean_ns,
            gain: Ends::of(self.costs, share / mean_ns),
            compared: self.compared,
            covered: self.covered,
        }
    }
}

fn too_short() -> String {
    format!(
        "it was too short, or too little: it takes {LEAST_BLOCKS} seconds with commands on both kinds of paths"
    )
}

/// Weighted means of stretches of slices, each of about the same weight: one of few commands must not count as one of
/// many.
fn blocks(slices: &[(f64, f64)]) -> Result<Vec<f64>, String> {
    let count = slices.len().min(BLOCKS);
    if count < LEAST_BLOCKS {
        return Err(too_short());
    }
    let whole = slices.iter().map(|(_, weight)| weight).sum::<f64>() / count as f64;
    let mut blocks: Vec<(f64, f64)> = vec![(0.0, 0.0)];
    for (sum, weight) in slices {
        match blocks.last_mut() {
            Some(last) if last.1 < 0.75 * whole => *last = (last.0 + sum, last.1 + weight),
            _ => blocks.push((*sum, *weight)),
        }
    }
    // What is left over belongs to the one before.
    if let Some((sum, weight)) = blocks.pop_if(|last| last.1 < 0.75 * whole)
        && let Some(last) = blocks.last_mut()
    {
        *last = (last.0 + sum, last.1 + weight);
    }
    match blocks.len() {
        LEAST_BLOCKS.. => Ok(blocks.iter().map(|(sum, weight)| sum / weight).collect()),
        _ => Err(too_short()),
    }
}

/// To an eighth of a power of two.
fn size(bytes: u32) -> u32 {
    let bits = bytes.checked_ilog2().unwrap_or(0).saturating_sub(3);
    bytes >> bits << bits
}

#[cfg(test)]
mod tests;
