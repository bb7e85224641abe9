//! The slowest commands of a path, by class and state: a percentile says that there were some, these say
//! which.

use std::collections::{BTreeMap, VecDeque};

use alua_trace_ebpf::{CommandRecord, command_flag};

use super::{Engine, commands, ids::Route, ownership::REORDER_NS, paths::Entry};
use crate::{
    model::{Class, Command, Latency},
    scsi::cdb,
    stats,
};

/// How many of each class and state.
const KEPT: usize = 5;

/// Class, and index into [`stats::STATES`].
type Key = (Class, usize);

/// The slowest commands of one path.
#[derive(Debug, Default)]
pub(super) struct Slowest(BTreeMap<Key, Vec<Slow>>);

/// A command, and where it came from: a route's id may be another one's later.
#[derive(Debug, Clone)]
struct Slow {
    record: CommandRecord,
    route: Option<Route>,
    /// What was noted about its unit around it; `None` until that has been told.
    around: Option<Vec<String>>,
}

/// Commands among the slowest around which it is still to be noted what happened.
#[derive(Debug, Default)]
pub(super) struct Unnoted(VecDeque<(usize, Key, u64)>);

/// How many wait for that; a path's first commands are its slowest, too, and there may be many paths.
const MOST_UNNOTED: usize = 4096;
/// What happens comes out of the ring in order, but is put in order by time before it is noted.
const NOTED_AFTER_NS: u64 = 3 * REORDER_NS;
/// So long before its dispatch something may have slowed a command.
const BEFORE_NS: u64 = 1_000_000_000;

impl Slow {
    fn latency_ns(&self) -> u64 {
        latency_ns(&self.record)
    }
}

fn latency_ns(record: &CommandRecord) -> u64 {
    record.completion_ns.saturating_sub(record.dispatch_ns)
}

impl Slowest {
    /// Keeps a command, if it is slow enough; gives from which latency on the next one is.
    fn keep(&mut self, key: Key, slow: Slow) -> u64 {
        let kept = self.0.entry(key).or_default();
        // Of commands that are equally slow the first ones stay.
        let at = kept.partition_point(|it| it.latency_ns() >= slow.latency_ns());
        kept.insert(at, slow);
        kept.truncate(KEPT);
        match kept.get(KEPT - 1) {
            Some(last) => last.latency_ns().saturating_add(1),
            None => 0,
        }
    }

    /// Takes over what another path kept; gives from which latency on commands of each class and state
    /// are slow.
    pub fn add(&mut self, other: Self) -> Vec<(Key, u64)> {
        let mut from = BTreeMap::new();
        for (key, slow) in other.0 {
            for it in slow {
                from.insert(key, self.keep(key, it));
            }
        }
        from.into_iter().collect()
    }
}

impl Engine {
    /// A command that may be among the slowest of its path.
    #[cold]
    pub(super) fn keep_slow(&mut self, index: usize, record: &CommandRecord, key: Key) {
        let route = self.ids.route(record.followed.route());
        if let Some(entry) = self.paths.get_mut(index) {
            let slow = Slow {
                record: *record,
                route,
                around: None,
            };
            let from_ns = entry.slowest.keep(key, slow);
            entry.stats.slow_from(key.0, key.1, from_ns);
            if self.unnoted.0.len() < MOST_UNNOTED {
                self.unnoted.0.push_back((index, key, record.completion_ns));
            }
        }
    }

    /// Notes what happened around the slowest commands that ended long enough before `now_ns`.
    pub(super) fn note_around(&mut self, now_ns: u64) {
        while let Some((index, key, ended_ns)) = self.unnoted.0.front().copied() {
            if ended_ns.saturating_add(NOTED_AFTER_NS) > now_ns {
                return;
            }
            self.unnoted.0.pop_front();
            let Some(entry) = self.paths.get_mut(index) else {
                continue;
            };
            let lun = entry.lun;
            let slow = entry.slowest.0.get_mut(&key).into_iter().flatten();
            for slow in slow.filter(|it| it.around.is_none() && it.record.completion_ns == ended_ns)
            {
                let (from_ns, to_ns) = (slow.record.dispatch_ns, slow.record.completion_ns);
                let noted =
                    self.ownership
                        .noted(lun, (from_ns.saturating_sub(BEFORE_NS), to_ns), from_ns);
                slow.around = Some(noted);
            }
        }
    }
}

/// Latencies of a path with its slowest commands.
pub(super) fn latencies(entry: &Entry) -> Vec<Latency> {
    let mut latencies = entry.stats.latencies();
    for latency in &mut latencies {
        let of = |((class, state), _): &(&Key, _)| {
            *class == latency.class && stats::STATES.get(*state) == Some(&latency.state)
        };
        let kept = entry.slowest.0.iter().find(of);
        latency.slowest = kept
            .into_iter()
            .flat_map(|(_, slow)| slow)
            .map(|slow| Command {
                around: slow.around.clone().unwrap_or_default(),
                ..command(entry, &slow.record, slow.route)
            })
            .collect();
    }
    latencies
}

/// A command as it is told.
pub(super) fn command(entry: &Entry, record: &CommandRecord, route: Option<Route>) -> Command {
    let followed = record.followed;
    Command {
        path: entry.label.id,
        hctl: entry.label.hctl.clone(),
        dm_devno: route.map(|route| route.dm.to_string()),
        path_group: route.map(|route| route.path_group),
        opcode: record.cdb[0],
        cdb1: record.cdb[1],
        cdb2: record.cdb[2],
        bytes: record.bytes,
        lba: cdb::first_block(&record.cdb),
        dispatched_at_ns: record.dispatch_ns,
        latency_ns: latency_ns(record),
        state: stats::access_state(followed.state()),
        state_source: commands::state_source_of(followed.state_source()),
        result: record.result,
        sense: followed.has(command_flag::SENSE).then_some([
            record.sense_key,
            record.asc,
            record.ascq,
        ]),
        retries: u8::try_from(record.retries).unwrap_or(u8::MAX),
        passthrough: followed.has(command_flag::PASSTHROUGH),
        around: Vec::new(),
    }
}
