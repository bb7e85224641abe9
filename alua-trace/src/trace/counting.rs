//! Commands that the probes count: because the user wants it, once records find no room, or to compare both.

use std::collections::BTreeMap;

use alua_trace_ebpf::telling;
use anyhow::{Result, bail, ensure};

use super::session::Session;
use crate::{
    cli::Telling,
    clock::monotonic_ns,
    engine::{Engine, Input},
    ingest::inbox::Inbox,
    model::{AccessState, Class, CountingChange, Latency, Summary},
    stats::{Counted, PathStats},
};

/// How long commands are counted once records find no room, the first time; each further time twice as long.
const FIRST_NS: u64 = 10_000_000_000;
const LONGEST_NS: u64 = 600_000_000_000;

/// What becomes of commands that complete, as far as the probes have been told.
pub(super) struct Counting {
    /// They are counted.
    is_on: bool,
    /// The user has not said what is to become of them: it depends on whether records find room.
    room: Option<Room>,
    /// What was counted beside each record, by H:C:T:L, to compare.
    beside: Option<BTreeMap<String, PathStats>>,
}

/// Whether records find room.
struct Room {
    /// How many had found none when commands were last to be recorded.
    refused: u64,
    /// Until when they are counted.
    until_ns: u64,
    /// For how long the next time.
    next_ns: u64,
}

impl Room {
    /// What changes now, when so many records have found no room in all, and commands are counted or are not.
    fn look(&mut self, is_counting: bool, refused: u64, now_ns: u64) -> Option<CountingChange> {
        if is_counting {
            if now_ns < self.until_ns {
                return None;
            }
            self.refused = refused;
            return Some(CountingChange::Over);
        }
        if refused == self.refused {
            return None;
        }
        let for_ns = self.next_ns;
        self.until_ns = now_ns.saturating_add(for_ns);
        self.next_ns = (for_ns * 2).min(LONGEST_NS);
        Some(CountingChange::Begun { for_ns })
    }
}

impl Counting {
    /// Tells the probes what the user wants, before they are attached.
    ///
    /// # Errors
    /// They cannot count on this kernel.
    pub fn start(wanted: Telling, inbox: &Inbox) -> Result<Self> {
        ensure!(
            wanted == Telling::Each || inbox.can_count(),
            "this kernel's BPF lacks the atomic operations that counting takes (--aggregate): use Linux 5.12 or newer, or \
             trace without it"
        );
        inbox.tell(match wanted {
            Telling::Each => telling::EACH,
            Telling::Counted => telling::COUNTED,
            Telling::Both => telling::BOTH,
        });
        let room = (wanted == Telling::Each && inbox.can_count()).then_some(Room {
            refused: 0,
            until_ns: 0,
            next_ns: FIRST_NS,
        });
        Ok(Self {
            is_on: wanted == Telling::Counted,
            room,
            beside: (wanted == Telling::Both).then(BTreeMap::new),
        })
    }

    /// Whether commands are counted instead of recorded.
    pub fn is_on(&self) -> bool {
        self.is_on
    }
}

impl Session<'_> {
    /// Changes over where records find no room, and back after a while: the user is told.
    pub(super) fn change_over(&mut self, now_ns: u64) {
        let is_on = self.counting.is_on;
        let refused = self.inbox.refused();
        let room = self.counting.room.as_mut();
        let Some(change) = room.and_then(|room| room.look(is_on, refused, now_ns)) else {
            return;
        };
        self.counting.is_on = change != CountingChange::Over;
        self.inbox.tell(if self.counting.is_on {
            telling::COUNTED
        } else {
            telling::EACH
        });
        self.feed.take(now_ns, Input::Counting(change));
    }

    /// Takes what has been counted since the last time, and has the slowest commands recorded.
    pub(super) fn take_counted(&mut self) {
        let counted = self.inbox.counted();
        if let Some(beside) = &mut self.counting.beside {
            return put_beside(beside, &self.feed.engine, &counted);
        }
        if !counted.is_empty() {
            self.slots.count(&counted);
            self.feed.take(monotonic_ns(), Input::Counted(&counted));
        }
        if self.counting.is_on {
            let engine = &self.feed.engine;
            self.inbox
                .tell_slow_from(|path, class, state| engine.slow_from(path, class, state));
        }
    }

    /// Compares what was counted beside the records with what they have come to, and says so.
    ///
    /// # Errors
    /// They differ.
    pub(super) fn compare_counted(&self, summary: &Summary) -> Result<()> {
        let Some(beside) = &self.counting.beside else {
            return Ok(());
        };
        let refused = self.inbox.refused();
        ensure!(
            refused == 0,
            "{refused} records found no room: there is nothing to compare the counted commands with; use a larger --ring-bytes"
        );
        let mut recorded: BTreeMap<Key, Alike> = BTreeMap::new();
        for path in &summary.paths {
            for latency in &path.latency {
                recorded
                    .entry(key(&path.path.hctl, latency))
                    .or_default()
                    .add(latency);
            }
        }
        let mut counted: BTreeMap<Key, Alike> = BTreeMap::new();
        for (hctl, stats) in beside {
            for latency in stats.latencies() {
                counted
                    .entry(key(hctl, &latency))
                    .or_default()
                    .add(&latency);
            }
        }
        if let Some((hctl, class, state)) = first_difference(&recorded, &counted) {
            bail!(
                "of {hctl}, {class:?} commands in the state {state:?} differ between records and histograms in the kernel"
            );
        }
        let commands: u64 = counted.values().map(|it| it.commands).sum();
        eprintln!(
            "alua-trace: {commands} commands in {} histograms are the same in the kernel and by their records",
            counted.len()
        );
        Ok(())
    }
}

fn put_beside(beside: &mut BTreeMap<String, PathStats>, engine: &Engine, counted: &[Counted]) {
    for it in counted {
        let hctl = engine.address(it.path).unwrap_or_default();
        beside.entry(hctl).or_default().count(it);
    }
}

type Key = (String, Class, AccessState);

fn key(hctl: &str, latency: &Latency) -> Key {
    (hctl.to_owned(), latency.class, latency.state)
}

/// What has to be the same, however a command was told.
#[derive(Debug, Clone, Default, PartialEq)]
struct Alike {
    commands: u64,
    sums: [u64; 4],
    buckets: BTreeMap<u64, u64>,
}

impl Alike {
    fn add(&mut self, latency: &Latency) {
        self.commands += latency.commands;
        let sums = [
            latency.bytes,
            latency.mapped,
            latency.errors,
            latency.passthrough,
        ];
        for (sum, more) in self.sums.iter_mut().zip(sums) {
            *sum += more;
        }
        for (upper_ns, count) in &latency.buckets {
            *self.buckets.entry(*upper_ns).or_default() += count;
        }
    }
}

fn first_difference<'a>(
    recorded: &'a BTreeMap<Key, Alike>,
    counted: &'a BTreeMap<Key, Alike>,
) -> Option<&'a Key> {
    let keys = recorded.keys().chain(counted.keys());
    keys.into_iter()
        .find(|key| recorded.get(*key) != counted.get(*key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alike(commands: u64, bucket: u64) -> BTreeMap<Key, Alike> {
        let key = ("1:0:0:0".to_owned(), Class::Read, AccessState::Optimized);
        let alike = Alike {
            commands,
            sums: [4096 * commands, commands, 0, 0],
            buckets: [(bucket, commands)].into(),
        };
        [(key, alike)].into()
    }

    #[test]
    fn counting_lasts_the_longer_the_more_often_it_begins() {
        const S: u64 = 1_000_000_000;
        let mut room = Room {
            refused: 0,
            until_ns: 0,
            next_ns: FIRST_NS,
        };
        assert_eq!(room.look(false, 0, S), None);
        assert_eq!(
            room.look(false, 3, 2 * S),
            Some(CountingChange::Begun { for_ns: 10 * S })
        );
        assert_eq!(room.look(true, 9, 11 * S), None);
        assert_eq!(room.look(true, 9, 12 * S), Some(CountingChange::Over));
        // What found no room meanwhile is no reason.
        assert_eq!(room.look(false, 9, 13 * S), None);
        assert_eq!(
            room.look(false, 10, 14 * S),
            Some(CountingChange::Begun { for_ns: 20 * S })
        );
        for _ in 0..10 {
            room.look(true, 10, u64::MAX);
            room.look(false, 0, 0);
        }
        assert_eq!(room.next_ns, LONGEST_NS);
    }

    #[test]
    fn a_command_in_another_bucket_is_a_difference() {
        let none = BTreeMap::new();
        assert_eq!(first_difference(&alike(3, 255), &alike(3, 255)), None);
        assert_eq!(first_difference(&none, &none), None);
        for (recorded, counted) in [
            (alike(3, 255), alike(3, 257)),
            (alike(3, 255), alike(2, 255)),
            (alike(3, 255), none.clone()),
            (none.clone(), alike(3, 255)),
        ] {
            assert!(first_difference(&recorded, &counted).is_some());
        }
    }
}
