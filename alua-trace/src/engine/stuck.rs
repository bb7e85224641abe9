//! Stuck paths: commands in flight, none completes, dm still sends I/O there, and the LUN's other paths go on.
//!
//! A path that has been silent for a while is a suspicion, which only the probes' slots confirm: an idle path is
//! silent, too. A slow array is slow on every path, and no path of it is stuck.

use std::collections::BTreeMap;

use alua_trace_ebpf::PathCounts;

use super::{
    book::{Book, Subject},
    connections::Connections,
    input::InFlight,
    paths::{Entry, Paths},
};
use crate::{
    format,
    iscsi::Timers,
    model::{FlagKind, Severity},
    stats::{self, LatencyHistogram},
};

/// After such a silence the slots are worth a look.
const SUSPICIOUS_NS: u64 = 500_000_000;
/// How often paths are looked over for silence.
const EVERY_NS: u64 = 50_000_000;
/// Completed since by the other paths: fewer may have been on their way already.
const OTHERS_DONE: usize = 3;
/// What is in flight elsewhere is younger than this part of the silence where others go on.
const OTHERS_YOUNGER: u64 = 2;
/// Without a command in flight for so long it is over, however these ended.
const EMPTY_NS: u64 = 5_000_000_000;

/// A path that is stuck.
#[derive(Debug)]
struct Open {
    flag: u32,
    first_ns: u64,
    /// When it was raised.
    raised_ns: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    open: BTreeMap<usize, Open>,
    wants_look: bool,
    checked_ns: u64,
}

impl Stuck {
    /// Whether the probes' slots should be read.
    pub fn wants_look(&self) -> bool {
        self.wants_look
    }

    /// Takes what the slots said.
    pub fn looked(paths: &mut Paths, in_flight: &BTreeMap<usize, InFlight>, at_ns: u64) {
        for (index, entry) in paths.entries_mut().enumerate() {
            let its = in_flight.get(&index);
            let dispatched = entry.counts().dispatched();
            let found = its.map_or((None, 0), |it| (Some(it.oldest_ns), it.commands));
            entry.watched.looked(found, at_ns, dispatched);
        }
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, connections: &Connections, book: &mut Book, now_ns: u64) {
        if now_ns.saturating_sub(self.checked_ns) < EVERY_NS {
            return;
        }
        self.checked_ns = now_ns;
        self.end_those_over(paths, book, now_ns);
        self.wants_look = !self.open.is_empty();
        let least_ns = book.thresholds.stuck_ns;
        for (index, entry) in paths.entries().iter().enumerate() {
            if !is_suspicious(entry, now_ns) {
                continue;
            }
            self.wants_look = true;
            if self.open.contains_key(&index) {
                continue;
            }
            let Some(found) = look_closer(paths, entry, least_ns, now_ns) else {
                continue;
            };
            let subject = subject(entry);
            let text = found.text(entry, connections.timers(entry));
            let kind = (FlagKind::StuckPath, Severity::Warning);
            let flag = book.raise(kind, &subject, (found.since_ns, now_ns), text);
            let open = Open {
                flag,
                first_ns: found.since_ns,
                raised_ns: now_ns,
            };
            self.open.insert(index, open);
        }
    }

    fn end_those_over(&mut self, paths: &Paths, book: &mut Book, now_ns: u64) {
        self.open.retain(|index, open| {
            let Some((at_ns, how)) = paths.get(*index).and_then(|it| over(it, open, now_ns)) else {
                return true;
            };
            let hctl = paths.get(*index).map_or("", |it| it.label.hctl.as_str());
            let took = format::duration(at_ns.saturating_sub(open.first_ns));
            let text = format!("{hctl} completed nothing for {took}, until {how}");
            book.end_as(open.flag, at_ns, Some(text));
            false
        });
    }
}

fn subject(entry: &Entry) -> Subject {
    let label = &entry.label;
    Subject {
        name: label.map.as_ref().unwrap_or(&label.hctl).clone(),
        wwid: label.wwid.clone(),
        paths: vec![label.hctl.clone()],
    }
}

/// A path of a map that dm sends I/O to, with some in flight as far as is known, and silent.
fn is_suspicious(entry: &Entry, now_ns: u64) -> bool {
    let watched = &entry.watched;
    let is_used = entry.present && entry.dm_active;
    if !is_used || now_ns.saturating_sub(watched.completed_ns) < SUSPICIOUS_NS {
        return false;
    }
    let counts = entry.counts();
    let has_begun = watched.completed_ns > 0 || block_io(&counts) > 0;
    let since_look = watched.completed_ns > watched.clear_ns
        || watched.oldest_ns.is_some()
        || counts.dispatched() > watched.clear_dispatched;
    has_begun && since_look
}

fn block_io(counts: &PathCounts) -> u64 {
    counts.dispatched_by_state.iter().sum()
}

/// A path found stuck.
struct Found {
    /// Dispatch of the oldest command in flight.
    since_ns: u64,
    silent_ns: u64,
    p99_ns: Option<u64>,
    others: Vec<String>,
}

fn look_closer(paths: &Paths, entry: &Entry, least_ns: u64, now_ns: u64) -> Option<Found> {
    let since_ns = entry.watched.waiting_since_ns()?;
    // The last completion may be of a command before it, or of one that overtook it.
    let silent_ns = now_ns.saturating_sub(since_ns.max(entry.watched.completed_ns));
    if silent_ns < least_ns {
        return None;
    }
    let p99_ns = p99_ns(entry);
    if p99_ns.is_some_and(|p99| silent_ns < p99.saturating_mul(10)) {
        return None;
    }
    let goes_on = |other: &&Entry| {
        let oldest = other.watched.oldest_ns.unwrap_or(now_ns);
        other.hctl != entry.hctl
            && other.present
            && other.usable
            && other.label.map == entry.label.map
            && now_ns.saturating_sub(oldest) < silent_ns / OTHERS_YOUNGER
            && other.watched.done_since(since_ns) > 0
    };
    let others: Vec<&Entry> = paths.of_lun(entry.lun).filter(goes_on).collect();
    let done = others.iter().map(|it| it.watched.done_since(since_ns));
    if done.sum::<usize>() < OTHERS_DONE {
        return None;
    }
    Some(Found {
        since_ns,
        silent_ns,
        p99_ns,
        others: others.iter().map(|it| it.label.hctl.clone()).collect(),
    })
}

/// Of the path's reads and writes so far.
fn p99_ns(entry: &Entry) -> Option<u64> {
    let mut all = LatencyHistogram::default();
    for state in stats::STATES {
        entry.stats.add_block_io(state, &mut all);
    }
    all.percentile_ns(0.99)
}

impl Found {
    fn text(&self, entry: &Entry, timers: Option<Timers>) -> String {
        let silence = format::duration(self.silent_ns);
        let against = match self.p99_ns {
            Some(p99) if p99 > 0 => {
                let times = format::count(self.silent_ns / p99);
                format!(" ({times} times its p99)")
            }
            _ => String::new(),
        };
        let in_flight = match entry.watched.in_flight {
            1 => "a command".to_owned(),
            many => format!("{many} commands"),
        };
        format!(
            "{} has {in_flight} in flight and has completed none for {silence}{against}, while {} \
             {}; dm still sends I/O there. {}",
            entry.label.hctl,
            self.others.join(" "),
            if self.others.len() == 1 {
                "goes on"
            } else {
                "go on"
            },
            ending(entry, timers)
        )
    }
}

/// Which timer ends it, and what it is set to.
fn ending(entry: &Entry, timers: Option<Timers>) -> String {
    if let Some(timers) = timers
        && let (Some(recv_s @ 1..), Some(ping_s)) = (timers.recv_s, timers.ping_s)
    {
        let recovery = timers.recovery_s.map_or_else(String::new, |it| {
            format!("; without a new one dm learns of it {it} s later (recovery_tmo)")
        });
        return format!(
            "iSCSI ends it: a NOP-Out after {recv_s} s of silence (recv_tmo), and without an answer \
             the connection is given up {ping_s} s later (ping_tmo){recovery}"
        );
    }
    let device = entry.label.device.as_deref().unwrap_or("sdX");
    let is_set = entry.timeout_s.map_or_else(
        || "the SCSI command timer ends it".to_owned(),
        |it| format!("The SCSI command timer ends it after {it} s"),
    );
    format!("{is_set} (/sys/block/{device}/device/timeout)")
}

/// When and how a stuck path was over, if it is.
fn over(entry: &Entry, open: &Open, now_ns: u64) -> Option<(u64, &'static str)> {
    let watched = &entry.watched;
    if watched.failed_ns > open.first_ns {
        return Some((watched.failed_ns, "dm failed the path"));
    }
    if watched.done_ns > open.raised_ns {
        return Some((watched.done_ns, "it went on"));
    }
    if !entry.present {
        return Some((now_ns, "the device was gone"));
    }
    if !entry.dm_active {
        return Some((now_ns, "dm had failed the path"));
    }
    // What a blocked device was given waits in its queue.
    let is_empty = entry.usable && watched.oldest_ns.is_none() && watched.clear_ns > open.raised_ns;
    let quiet_ns = now_ns.saturating_sub(watched.completed_ns.max(open.raised_ns));
    (is_empty && quiet_ns >= EMPTY_NS).then_some((
        watched.completed_ns.max(open.raised_ns),
        "its commands had ended",
    ))
}
