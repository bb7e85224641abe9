//! The ownership engine: who owns each logical unit, each transfer of it, who moved it, why, how
//! long it took and what it cost. Pure: driven by observations and ticks; no clock, no I/O.
//!
//! The owner of an ALUA unit is the set of its active/optimized port groups; that of an RDAC unit
//! is a controller. A **transfer** happens when the owner changes.
//!
//! Two times of it differ: when the *array* did it, and when this *host* could know. The array's is
//! taken from what is nearest to it: the dispatch and end of a command of this host that asked for
//! it; else the first command that the array answered with the change, a transition, or "not the
//! owner", and the first it served afterwards. The host's is the first answer, or the first state
//! filed by the handler, that names the new owner.
//!
//! Observations wait for [`REORDER_NS`] and are taken in the order of their times, so that the end
//! of a command cannot come after the answer that it explains. I/O does not wait: it is counted as
//! it comes, by [`Ownership::io`].

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use self::unit::Unit;
use super::{Thresholds, book::Book};
use crate::model::{self, Flag, Line};
use crate::topology::Hctl;

pub use observation::{
    GroupAnswer, Io, Issuer, Moves, Observation, RdacMode, SenseAt, Side, Source,
};

mod command;
mod conditions;
mod history;
mod lifecycle;
mod meter;
mod moves;
mod notes;
mod observation;
mod owner;
mod sides;
mod signals;
mod signs;
#[cfg(test)]
mod tests;
mod transfer;
mod unit;
mod verdict;

/// Observations may come out of order by this much: records are drained every 50 ms.
pub const REORDER_NS: u64 = 100_000_000;
/// Logical units followed.
const MOST_UNITS: usize = 4096;
/// Observations that may wait.
const MOST_WAITING: usize = 65_536;
/// Port groups or LUNs in one observation that count.
const MOST_PARTS: usize = 256;

/// What is left at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Who owned what when, of the units whose owner was ever told.
    pub units: Vec<model::Ownership>,
    /// Every flag, by id.
    pub flags: Vec<Flag>,
    /// Flags left out because there were too many.
    pub flags_left_out: u64,
    /// Observations left out because too many came at once.
    pub observations_left_out: u64,
}

/// Who owns what.
#[derive(Debug, Default)]
pub struct Ownership {
    units: Units,
    /// Unit and path of an address, for a MODE SELECT that moves several units.
    by_hctl: HashMap<Hctl, (usize, u32)>,
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
    next_transfer: u32,
    suspected: bool,
    book: Book,
}

/// The logical units, by number.
#[derive(Debug, Default)]
struct Units {
    list: Vec<Option<Box<Unit>>>,
    /// What was about units beyond [`MOST_UNITS`], or came when too much waited.
    left_out: u64,
}

impl Units {
    #[inline]
    fn at(&mut self, lun: usize) -> Option<&mut Unit> {
        if self.list.get(lun).is_none_or(Option::is_none) {
            self.make(lun);
        }
        self.list.get_mut(lun)?.as_deref_mut()
    }

    #[cold]
    fn make(&mut self, lun: usize) {
        if lun >= MOST_UNITS {
            self.left_out += 1;
            return;
        }
        if self.list.len() <= lun {
            self.list.resize_with(lun + 1, || None);
        }
        self.list[lun] = Some(Box::new(Unit::new(lun)));
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Unit> {
        self.list.iter_mut().flatten().map(Box::as_mut)
    }
}

/// What a unit shares with the others while it takes an observation.
struct Context<'a> {
    book: &'a mut Book,
    next_transfer: &'a mut u32,
    now_ns: u64,
}

#[derive(Debug)]
struct Waiting {
    at_ns: u64,
    arrived: u64,
    observation: Observation,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ns, self.arrived).cmp(&(other.at_ns, other.arrived))
    }
}

impl Ownership {
    /// One that judges by these.
    #[must_use]
    pub(super) fn new(thresholds: Thresholds) -> Self {
        Self {
            book: Book::new(thresholds),
            ..Self::default()
        }
    }

    /// What was noted about a unit in a time, as seen from `zero_ns`.
    pub(super) fn noted(
        &self,
        lun: usize,
        (from_ns, to_ns): (u64, u64),
        zero_ns: u64,
    ) -> Vec<String> {
        let unit = self.units.list.get(lun).and_then(Option::as_ref);
        unit.map_or_else(Vec::new, |unit| {
            unit.notes.evidence(from_ns, zero_ns, to_ns)
        })
    }

    /// Whether a transfer may be near somewhere: every I/O counts. Otherwise one may stand for some.
    #[inline]
    #[must_use]
    pub fn transfer_suspected(&self) -> bool {
        self.suspected
    }

    /// Takes one I/O that ended. Costs a few ns as long as no transfer is near.
    #[inline]
    pub fn io(&mut self, io: &Io) {
        if let Some(unit) = self.units.at(io.lun) {
            unit.io(io);
        }
    }

    /// Takes one observation. What it means is worked out by a later [`Self::tick`].
    pub fn observe(&mut self, observation: Observation) {
        if self.waiting.len() >= MOST_WAITING {
            self.units.left_out += 1;
            return;
        }
        // What I/O is measured against cannot wait.
        match &observation {
            Observation::Unit { .. } | Observation::Path { .. } => {
                self.take(observation, 0);
                return;
            }
            Observation::Controller { lun, mode, .. } => {
                if let Some(unit) = self.units.at(*lun) {
                    unit.mode_is(*mode);
                    self.suspected |= unit.transfer_suspected();
                }
            }
            _ => {}
        }
        // From the first hint on, every I/O is kept.
        let hint_ns = match &observation {
            Observation::Issued { dispatch_ns, .. } => Some(*dispatch_ns),
            Observation::Sense { sense, .. } => {
                signs::Sign::of(sense.sense).map(|_| sense.dispatch_ns)
            }
            _ => None,
        };
        if let (Some(at_ns), Some(unit)) = (hint_ns, self.units.at(observation.lun())) {
            unit.watch(at_ns);
            self.suspected = true;
        }
        self.arrived += 1;
        self.waiting.push(Reverse(Waiting {
            at_ns: observation.at_ns(),
            arrived: self.arrived,
            observation,
        }));
    }

    /// Works out what was observed until [`REORDER_NS`] before `now_ns`, and raises and ends flags.
    /// `last_flag_id` is the last id given to a flag, by whomever.
    pub fn tick(&mut self, now_ns: u64, last_flag_id: &mut u32) {
        self.book.number_from(*last_flag_id);
        self.take_until(now_ns.saturating_sub(REORDER_NS), now_ns);
        for unit in self.units.all() {
            unit.tick(&mut Context {
                book: &mut self.book,
                next_transfer: &mut self.next_transfer,
                now_ns,
            });
        }
        self.suspected = self.units.all().any(|unit| unit.transfer_suspected());
        *last_flag_id = self.book.last_id();
    }

    /// The sides that own a unit, by whatever told last; `None` if nothing has.
    pub fn owner_of(&self, lun: usize) -> Option<&[Side]> {
        let unit = self.units.list.get(lun)?.as_ref()?;
        unit.owner.as_deref()
    }

    /// What is to be said since the last call.
    pub fn take_lines(&mut self) -> Vec<Line> {
        self.book.take_lines()
    }

    /// The end at `now_ns`: nothing waits any longer. Call [`Self::take_lines`] once more.
    pub fn finish(&mut self, now_ns: u64, last_flag_id: &mut u32) -> Outcome {
        self.book.number_from(*last_flag_id);
        self.take_until(u64::MAX, now_ns);
        let mut units = Vec::new();
        for unit in self.units.all() {
            let mut cx = Context {
                book: &mut self.book,
                next_transfer: &mut self.next_transfer,
                now_ns,
            };
            unit.tick(&mut cx);
            units.extend(unit.finish(&mut cx));
        }
        *last_flag_id = self.book.last_id();
        let (flags, flags_left_out) = self.book.all();
        Outcome {
            units,
            flags,
            flags_left_out,
            observations_left_out: self.units.left_out,
        }
    }

    fn take_until(&mut self, until_ns: u64, now_ns: u64) {
        while self
            .waiting
            .peek()
            .is_some_and(|Reverse(next)| next.at_ns <= until_ns)
            && let Some(Reverse(next)) = self.waiting.pop()
        {
            self.take(next.observation, now_ns);
        }
    }

    fn take(&mut self, mut observation: Observation, now_ns: u64) {
        match &mut observation {
            Observation::Path {
                lun, path, hctl, ..
            } if *lun < MOST_UNITS && self.by_hctl.len() < MOST_UNITS * 16 => {
                self.by_hctl.insert(*hctl, (*lun, *path));
            }
            Observation::Groups { groups, .. } => groups.truncate(MOST_PARTS),
            Observation::Issued { lun, .. } => {
                let lun = *lun;
                self.issued_to_others(lun, &observation);
            }
            Observation::Ended {
                path,
                dispatch_ns,
                completion_ns,
                ok,
                sense,
                ..
            } => {
                let end = (*completion_ns, *ok);
                self.ended((*path, *dispatch_ns), end, *sense, now_ns);
                return;
            }
            _ => {}
        }
        if let Some(unit) = self.units.at(observation.lun()) {
            let mut cx = Context {
                book: &mut self.book,
                next_transfer: &mut self.next_transfer,
                now_ns,
            };
            unit.take(observation, &mut cx);
        }
    }

    /// One MODE SELECT may move several units of a controller: its LUN table names them.
    fn issued_to_others(&mut self, lun: usize, observation: &Observation) {
        let Observation::Issued {
            path,
            what: what @ Moves::ModeSelect(luns),
            issuer,
            dispatch_ns,
            ..
        } = observation
        else {
            return;
        };
        let sent_on = self.units.at(lun).and_then(|unit| unit.path_of(*path));
        let Some((at, side)) = sent_on.map(|path| (path.hctl, path.side)) else {
            return;
        };
        for number in luns.iter().take(MOST_PARTS) {
            let hctl = Hctl { lun: *number, ..at };
            let Some((other, own)) = self.by_hctl.get(&hctl).copied() else {
                continue;
            };
            if other != lun
                && let Some(unit) = self.units.at(other)
            {
                let side = unit.path_of(own).and_then(|path| path.side).or(side);
                unit.issued(
                    *path,
                    Some((hctl, side)),
                    what,
                    issuer.clone(),
                    *dispatch_ns,
                );
            }
        }
    }

    fn ended(
        &mut self,
        command: (u32, u64),
        end: (u64, bool),
        sense: Option<[u8; 3]>,
        now_ns: u64,
    ) {
        for unit in self.units.all() {
            let mut cx = Context {
                book: &mut self.book,
                next_transfer: &mut self.next_transfer,
                now_ns,
            };
            unit.ended(command, end, sense, &mut cx);
        }
    }
}
