//! The moves of one logical unit, and what their order says: thrash, and violations of follow-over.
//!
//! **Thrash** is a logical unit that goes A, B, A, B for no reason that this host knows: the third
//! alternation within [`Thresholds::thrash_ns`] raises it. One failover and its failback are two moves, so a
//! pair never is thrash by itself; but many pairs in a row would be. What tells them apart is the
//! reason. A move away is *excused* when this host has lost a path to the side that was left; the
//! move back is excused when the move away was and a path to the old side is there again. Excused
//! moves do not count; the next move away needs an excuse of its own. A path that dm failed because
//! the array *refused* the command on account of ownership (05/94/01, standby, transition) is not lost: there the failure follows from the move,
//! as when two hosts pull a LUN to and fro.
//!
//! **Follow-over**: a host may pull a LUN back to its preferred side only if the host had moved it
//! away, or had lost its own paths to that side. Pulling back what another host or the array moved
//! is a violation.

use std::collections::VecDeque;

use super::{
    super::thresholds::Thresholds,
    observation::Side,
    sides::{Owner, names},
};
use crate::{format, model::Cause};

/// A path that is lost so soon after a move explains it.
const LOST_NS: u64 = 60_000_000_000;
/// Moves kept.
const KEPT: usize = 64;

/// One move.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub at_ns: u64,
    pub from: Owner,
    pub to: Owner,
    pub cause: Cause,
    pub actor: String,
    /// What explains it.
    pub excuse: Option<Excuse>,
}

/// Why a move is no pull in a tug-of-war.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Excuse {
    /// This host lost a path to the side that was left.
    Lost,
    /// It goes back after that, where there is a path again.
    Regained,
}

impl Move {
    fn reverses(&self, other: &Self) -> bool {
        self.from == other.to && self.to == other.from
    }

    /// The sides that were left.
    pub fn left(&self) -> impl Iterator<Item = Side> + '_ {
        let left = self.from.iter().filter(|side| !self.to.contains(side));
        left.copied()
    }
}

/// The moves of one logical unit, oldest first.
#[derive(Debug, Default)]
pub(super) struct Moves(VecDeque<Move>);

impl Moves {
    /// Adds a move. `lost`: this host has lost a path to a side that was left. `served`: it has a
    /// path to a side that was gained.
    pub fn push(&mut self, mut next: Move, lost: bool, served: bool) {
        let left = |away: &Move| away.excuse == Some(Excuse::Lost) && next.reverses(away);
        next.excuse = if lost {
            Some(Excuse::Lost)
        } else if served && self.0.back().is_some_and(left) {
            Some(Excuse::Regained)
        } else {
            None
        };
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(next);
    }

    pub fn last(&self) -> Option<&Move> {
        self.0.back()
    }

    /// What is known of the last one has changed.
    pub fn last_mut(&mut self) -> Option<&mut Move> {
        self.0.back_mut()
    }

    /// This host lost a path to `side` at `at_ns`. When the array or another host was faster than
    /// dm to see that the side is gone, this explains their move.
    pub fn lost_path(&mut self, side: Side, at_ns: u64) {
        if let Some(last) = self.0.back_mut()
            && last.cause != Cause::LocalExplicit
            && at_ns.saturating_sub(last.at_ns) < LOST_NS
            && last.left().any(|left| left == side)
        {
            last.excuse = Some(Excuse::Lost);
        }
    }

    /// One sentence when the last moves are thrash, and when it began.
    pub fn thrash(&self, thresholds: &Thresholds) -> Option<(u64, String)> {
        let last = self.0.back()?;
        let mut run: Vec<&Move> = Vec::new();
        for earlier in self.0.iter().rev() {
            let near = last.at_ns.saturating_sub(earlier.at_ns) <= thresholds.thrash_ns;
            if !near || run.last().is_some_and(|later| !later.reverses(earlier)) {
                break;
            }
            run.push(earlier);
        }
        run.retain(|one| one.excuse.is_none());
        let first = run.last()?;
        if run.len() < thresholds.thrash_transfers {
            return None;
        }
        let mut actors: Vec<&str> = run.iter().map(|one| one.actor.as_str()).collect();
        actors.sort_unstable();
        actors.dedup();
        let span_ns = last.at_ns.saturating_sub(first.at_ns);
        let per_min = run.len().saturating_sub(1) as f64 * 60e9 / span_ns.max(1) as f64;
        let text = format!(
            "{} moves in {} between {} and {} ({per_min:.1} per minute), the last to {}; moved by {}",
            run.len(),
            format::duration(span_ns),
            names(&last.from),
            names(&last.to),
            names(&last.to),
            actors.join(" and "),
        );
        Some((first.at_ns, text))
    }

    /// One sentence when the last move breaks follow-over.
    pub fn follow_over(&self, preferred: &[Side]) -> Option<String> {
        let back = self.0.back()?;
        let is_preferred = |owner: &Owner| owner.iter().any(|side| preferred.contains(side));
        let left = |one: &&Move| is_preferred(&one.from) && !is_preferred(&one.to);
        let away = self.0.iter().rev().skip(1).find(left)?;
        let pulled_back = back.cause == Cause::LocalExplicit
            && is_preferred(&back.to)
            && !is_preferred(&back.from);
        let by_others = matches!(away.cause, Cause::RemoteExplicit | Cause::ArrayImplicit);
        (pulled_back && by_others && away.excuse.is_none()).then(|| {
            format!(
                "{} pulled it back to its preferred {}, but it was {}, not this host, that had \
                 moved it to {} {} before",
                back.actor,
                names(&back.to),
                away.actor,
                names(&away.to),
                format::duration(back.at_ns.saturating_sub(away.at_ns)),
            )
        })
    }
}
