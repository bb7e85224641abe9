//! Flags: findings raised while the trace runs. One flag per episode, with a running count.
//!
//! `non-optimized-io` begins with the first block I/O dispatched on a path of a logical unit whose
//! state is known and not active/optimized. The probes' exact counts show it before the command
//! completes, so that a slow path is flagged as fast as a quick one. The episode ends when nothing
//! of the kind has been dispatched for [`QUIET_NS`] and nothing is in flight there. Whether it could
//! be avoided may change within an episode: the flag keeps each judgement with its time.

use alua_trace_ebpf::{NON_OPTIMIZED_QUIET_NS, PathCounts};

use super::paths::{Entry, Paths};
use crate::{
    model::{AccessState, Flag, FlagChange, FlagEvent, FlagKind},
    stats,
};
use episode::Episode;
pub(super) use episode::blank;
use judgement::is_non_optimized;

mod episode;
mod judgement;

/// Flags kept of those that have ended.
const MOST_ENDED: usize = 4096;

/// How long nothing may be dispatched over such paths before an episode is over.
pub(super) const QUIET_NS: u64 = NON_OPTIMIZED_QUIET_NS;

/// How long a transition may take before silence during it ends an episode all the same
/// (`ALUA_FAILOVER_TIMEOUT`).
const MOVING_NS: u64 = 60_000_000_000;

/// Block I/O of a command that matters to flags.
#[derive(Debug, Clone, Copy)]
pub(super) struct BlockIo {
    pub state: AccessState,
    pub dispatch_ns: u64,
    pub latency_ns: u64,
}

/// All flags.
#[derive(Debug, Default)]
pub(super) struct Flags {
    luns: Vec<Lun>,
    ended: Vec<Flag>,
    /// Ended ones that found no room.
    left_out: u64,
    next_id: u32,
    /// Units with an episode.
    episodes: usize,
}

/// What is kept per logical unit.
#[derive(Debug, Default)]
struct Lun {
    episode: Option<Box<Episode>>,
    /// Dispatches up to here belong to episodes that are over.
    over_ns: u64,
    /// Offending block I/O dispatched, and all of it, when last looked.
    offences: u64,
    total: u64,
}

impl Flags {
    fn lun(&mut self, lun: usize) -> &mut Lun {
        if self.luns.len() <= lun {
            self.luns.resize_with(lun + 1, Lun::default);
        }
        &mut self.luns[lun]
    }

    /// A command completed.
    #[inline]
    pub fn command(&mut self, entry: &Entry, io: &BlockIo) {
        let lun = self.lun(entry.lun);
        let had_episode = lun.episode.is_some();
        match io.state {
            AccessState::Unknown => {}
            // Where the I/O went is not what the handler holds it for.
            _ if entry.contradicted => {}
            AccessState::Optimized => {
                if let Some(episode) = &mut lun.episode
                    && io.dispatch_ns >= episode.flag.first_at_ns
                {
                    episode.optimized.record(io.latency_ns);
                }
            }
            _ if io.dispatch_ns <= lun.over_ns => {}
            _ => lun.non_optimized(entry, io),
        }
        let begun = !had_episode && lun.episode.is_some();
        self.episodes += usize::from(begun);
    }

    /// New counts of a path: `old` were read at `since_ns`, `new` at `now_ns`.
    pub fn counts(
        &mut self,
        entry: &Entry,
        old: &PathCounts,
        new: &PathCounts,
        since_ns: u64,
        now_ns: u64,
    ) {
        let grown = match entry.contradicted {
            true => 0,
            false => offences(new).saturating_sub(offences(old)),
        };
        let all = block_io(new).saturating_sub(block_io(old));
        let lun = self.lun(entry.lun);
        let begun = grown > 0 && lun.episode.is_none();
        if grown > 0 {
            let episode = lun.episode.get_or_insert_with(|| {
                Box::new(Episode::new(
                    since_ns.max(lun.over_ns),
                    lun.offences,
                    lun.total,
                ))
            });
            episode.active_at_ns = now_ns;
            // The kernel's episode may have begun before this one: it knows no commands in flight.
            let flag = &mut episode.flag;
            if new.non_optimized_first_ns > lun.over_ns
                && (begun || new.non_optimized_first_ns < flag.first_at_ns)
            {
                flag.first_at_ns = new.non_optimized_first_ns;
            }
            flag.last_at_ns = flag.last_at_ns.max(new.non_optimized_last_ns);
            if let Some((state, at_ns)) = last_non_optimized(old, new) {
                episode.non_optimized(&entry.label.hctl, state, at_ns);
            }
        }
        lun.offences += grown;
        lun.total += all;
        self.episodes += usize::from(begun);
    }

    /// The last id given to a flag, for others that give ids.
    pub fn last_id(&mut self) -> &mut u32 {
        &mut self.next_id
    }

    /// Whether any unit has an episode: commands on optimized paths matter then, too.
    #[inline]
    pub fn any_episode(&self) -> bool {
        self.episodes > 0
    }

    /// Whether an episode waits to be raised, or to be judged again as a command met another state: a
    /// fresh look at the topology is due first, since the states of idle paths may be old.
    pub fn pending(&self, paths: &Paths) -> bool {
        self.luns.iter().enumerate().any(|(index, lun)| {
            lun.episode
                .as_ref()
                .is_some_and(|episode| !episode.raised || paths.has_news_since_scan(index))
        })
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, now_ns: u64, say: &mut dyn FnMut(FlagEvent)) {
        for index in 0..self.luns.len() {
            let lun = &mut self.luns[index];
            let Some(episode) = &mut lun.episode else {
                continue;
            };
            if !episode.raised {
                self.next_id += 1;
                // Counts are read periodically: optimized I/O since the last reading preceded the episode.
                let offences = lun.offences.saturating_sub(episode.offences_before);
                episode.total_before = lun.total.saturating_sub(offences);
                episode.raise(paths, index, self.next_id, now_ns);
                episode.refresh(lun.offences, lun.total);
                say(FlagEvent {
                    change: FlagChange::Raised,
                    flag: episode.flag.clone(),
                });
                continue;
            }
            if !paths.has_news_since_scan(index) && episode.judge_again(paths, index) {
                episode.refresh(lun.offences, lun.total);
                say(FlagEvent {
                    change: FlagChange::Updated,
                    flag: episode.flag.clone(),
                });
            }
            let quiet_ns = now_ns.saturating_sub(episode.active_at_ns);
            let is_moving = is_moving(paths, index, episode) && quiet_ns < MOVING_NS;
            let quiet = quiet_ns >= QUIET_NS && !is_moving && !in_flight(paths, index, episode);
            if quiet {
                self.end(index, say);
            }
        }
    }

    fn end(&mut self, index: usize, say: &mut dyn FnMut(FlagEvent)) {
        let lun = &mut self.luns[index];
        let Some(mut episode) = lun.episode.take() else {
            return;
        };
        self.episodes = self.episodes.saturating_sub(1);
        episode.refresh(lun.offences, lun.total);
        lun.over_ns = episode.flag.last_at_ns;
        episode.flag.ended_at_ns = Some(lun.over_ns);
        say(FlagEvent {
            change: FlagChange::Ended,
            flag: episode.flag.clone(),
        });
        self.keep(episode.flag);
    }

    fn keep(&mut self, flag: Flag) {
        if self.ended.len() < MOST_ENDED {
            self.ended.push(flag);
        } else {
            self.left_out += 1;
        }
    }

    /// Flags that have ended and found no room.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Says how the raised ones go on.
    pub fn update(&mut self, say: &mut dyn FnMut(FlagEvent)) {
        for lun in &mut self.luns {
            if let Some(episode) = lun.episode.as_mut().filter(|episode| episode.raised) {
                let before = episode.flag.commands;
                episode.refresh(lun.offences, lun.total);
                if episode.flag.commands != before {
                    say(FlagEvent {
                        change: FlagChange::Updated,
                        flag: episode.flag.clone(),
                    });
                }
            }
        }
    }

    /// A module the trace depends on is gone.
    pub fn module_unloaded(&mut self, module: &str, now_ns: u64) -> FlagEvent {
        self.next_id += 1;
        let flag = Flag {
            id: self.next_id,
            kind: FlagKind::ModuleUnloaded,
            subject: module.into(),
            text: format!(
                "{module} was unloaded while tracing: access states are no longer known; load it \
                 again (modprobe {module}) and the trace goes on"
            ),
            ended_at_ns: Some(now_ns),
            ..blank(now_ns)
        };
        self.keep(flag.clone());
        FlagEvent {
            change: FlagChange::Raised,
            flag,
        }
    }

    /// Every flag of the trace, in the order they were raised.
    pub fn all(&mut self) -> Vec<Flag> {
        let mut flags = self.ended.clone();
        for lun in &mut self.luns {
            if let Some(episode) = lun.episode.as_mut().filter(|episode| episode.raised) {
                episode.refresh(lun.offences, lun.total);
                flags.push(episode.flag.clone());
            }
        }
        flags.sort_by_key(|flag| flag.id);
        flags
    }
}

impl Lun {
    fn non_optimized(&mut self, entry: &Entry, io: &BlockIo) {
        let (offences, total) = (self.offences, self.total);
        let episode = self
            .episode
            .get_or_insert_with(|| Box::new(Episode::new(io.dispatch_ns, offences, total)));
        let flag = &mut episode.flag;
        flag.first_at_ns = flag.first_at_ns.min(io.dispatch_ns);
        flag.last_at_ns = flag.last_at_ns.max(io.dispatch_ns);
        episode.active_at_ns = episode.active_at_ns.max(io.dispatch_ns);
        episode.offending.record(io.latency_ns);
        episode.non_optimized(&entry.label.hctl, io.state, io.dispatch_ns);
    }
}

/// Whether a path that carried the episode's I/O is in transition: commands are sent again about
/// once a second then, and silence between them says nothing.
fn is_moving(paths: &Paths, lun: usize, episode: &Episode) -> bool {
    paths.of_lun(lun).any(|entry| {
        entry.present
            && entry.label.state == AccessState::Transitioning
            && episode.has_carried(&entry.label.hctl)
    })
}

fn in_flight(paths: &Paths, lun: usize, episode: &Episode) -> bool {
    paths.of_lun(lun).any(|entry| {
        entry.in_flight() > 0
            && entry.label.state != AccessState::Optimized
            && episode.has_carried(&entry.label.hctl)
    })
}

/// The state of the last offending block I/O between two readings of a path's counts, and when it
/// was dispatched. Of two such states between them, which a quick array can have, the one with
/// more commands.
pub(super) fn last_non_optimized(old: &PathCounts, new: &PathCounts) -> Option<(AccessState, u64)> {
    let by_state = new.dispatched_by_state.iter().zip(old.dispatched_by_state);
    let grown = by_state.map(|(new, old)| new.saturating_sub(old));
    let (state, grown) = stats::STATES
        .into_iter()
        .zip(grown)
        .filter(|(state, _)| is_non_optimized(*state))
        .max_by_key(|(_, grown)| *grown)?;
    (grown > 0).then_some((state, new.non_optimized_last_ns))
}

/// Block I/O dispatched in a known state other than active/optimized.
fn offences(counts: &PathCounts) -> u64 {
    wrapping_sum(&counts.dispatched_by_state[1..7])
}

/// Block I/O dispatched.
pub(super) fn block_io(counts: &PathCounts) -> u64 {
    wrapping_sum(&counts.dispatched_by_state)
}

/// Counts of a damaged recording may be any.
fn wrapping_sum(counts: &[u64]) -> u64 {
    counts.iter().fold(0, |sum, it| sum.wrapping_add(*it))
}
