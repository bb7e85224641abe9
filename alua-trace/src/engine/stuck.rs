//! Stuck paths: commands in flight, none completes, dm counts the path as active, and the LUN's other paths go on.
//!
//! A path that has been silent for a while is a suspicion, which only the probes' slots confirm: an idle path is
//! silent, too. A slow array is slow on every path, and no path of it is stuck.

use std::collections::BTreeMap;

use super::{
    book::{Book, Subject},
    connections::Connections,
    flags::block_io,
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
    raised_ns: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Stuck {
    open: BTreeMap<usize, Open>,
    wants_look: bool,
    checked_ns: u64,
    /// Nothing is in flight on any path, as far as is known: none can be silent.
    is_settled: bool,
}

/// Paths by logical unit.
type ByLun<'a> = BTreeMap<usize, Vec<&'a Entry>>;

impl Stuck {
    /// Whether the probes' slots should be read.
    pub fn wants_look(&self) -> bool {
        self.wants_look
    }

    /// Something may be in flight: a command was dispatched or has ended, or paths have changed.
    #[inline]
    pub fn unsettle(&mut self) {
        self.is_settled = false;
    }

    /// Takes what the slots said.
    pub fn looked(&mut self, paths: &mut Paths, in_flight: &BTreeMap<usize, InFlight>, at_ns: u64) {
        self.unsettle();
        for (index, entry) in paths.entries_mut().enumerate() {
            let its = in_flight.get(&index);
            let dispatched = block_io(entry.counts());
            let found = its.map_or((None, 0), |it| (Some(it.oldest_ns), it.commands));
            entry.watched.looked(found, at_ns, dispatched);
        }
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, connections: &Connections, book: &mut Book, now_ns: u64) {
        if self.is_settled || now_ns.saturating_sub(self.checked_ns) < EVERY_NS {
            return;
        }
        self.checked_ns = now_ns;
        self.end_those_over(paths, book, now_ns);
        self.wants_look = !self.open.is_empty();
        self.is_settled = self.open.is_empty();
        let least_ns = book.thresholds.stuck_ns;
        // Made when the first path is silent for long enough: most ticks need none.
        let mut by_lun: Option<ByLun<'_>> = None;
        for (index, entry) in paths.entries().iter().enumerate() {
            if !may_be_busy(entry) {
                continue;
            }
            self.is_settled = false;
            if now_ns.saturating_sub(entry.watched.completed_ns) < SUSPICIOUS_NS {
                continue;
            }
            self.wants_look = true;
            let Some(silence) = silence(entry, least_ns, now_ns) else {
                continue;
            };
            if self.open.contains_key(&index) {
                continue;
            }
            let by_lun = by_lun.get_or_insert_with(|| by_lun_of(paths));
            let its = by_lun.get(&entry.lun).map_or(&[][..], Vec::as_slice);
            let Some(found) = look_closer(its, entry, silence, now_ns) else {
                continue;
            };
            let text = found.text(entry, connections.timers(entry, silence.since_ns));
            let kind = (FlagKind::StuckPath, Severity::Warning);
            let flag = book.raise(kind, &subject(entry), (silence.since_ns, now_ns), text);
            let open = Open {
                flag,
                first_ns: silence.since_ns,
                raised_ns: now_ns,
            };
            self.open.insert(index, open);
        }
    }

    fn end_those_over(&mut self, paths: &Paths, book: &mut Book, now_ns: u64) {
        self.open.retain(|index, open| {
            let Some(entry) = paths.get(*index) else {
                return false;
            };
            let Some((at_ns, how)) = over(entry, open, now_ns) else {
                return true;
            };
            let took = format::duration(at_ns.saturating_sub(open.first_ns));
            let text = format!(
                "{} completed nothing for {took}, until {how}",
                entry.label.hctl
            );
            book.end_as(open.flag, at_ns, Some(text));
            false
        });
    }
}

fn by_lun_of(paths: &Paths) -> ByLun<'_> {
    let mut by_lun = ByLun::new();
    for entry in paths.entries() {
        by_lun.entry(entry.lun).or_default().push(entry);
    }
    by_lun
}

fn subject(entry: &Entry) -> Subject {
    let label = &entry.label;
    Subject {
        name: label.map.as_ref().unwrap_or(&label.hctl).clone(),
        wwid: label.wwid.clone(),
        paths: vec![label.hctl.clone()],
    }
}

/// A path of a map that dm counts as active, with some in flight as far as is known.
fn may_be_busy(entry: &Entry) -> bool {
    let watched = &entry.watched;
    let is_used = entry.present && entry.dm_active;
    is_used
        && (watched.completed_ns > watched.clear_ns
            || watched.oldest_ns.is_some()
            || block_io(entry.counts()) > watched.clear_dispatched)
}

/// How long a path has completed nothing.
#[derive(Debug, Clone, Copy)]
struct Silence {
    /// Dispatch of the oldest command in flight.
    since_ns: u64,
    length_ns: u64,
}

fn silence(entry: &Entry, least_ns: u64, now_ns: u64) -> Option<Silence> {
    let watched = &entry.watched;
    let since_ns = watched.waiting_since_ns()?;
    // The last completion may be of a command before it, or of one that overtook it. What dm gave up before is told.
    let from_ns = since_ns.max(watched.completed_ns).max(watched.failed_ns);
    let length_ns = now_ns.saturating_sub(from_ns);
    (length_ns >= least_ns).then_some(Silence {
        since_ns,
        length_ns,
    })
}

/// A path found stuck.
struct Found {
    silence: Silence,
    /// Where the commands so far are enough for one.
    p99_ns: Option<u64>,
    others: Vec<String>,
}

fn look_closer(of_lun: &[&Entry], entry: &Entry, silence: Silence, now_ns: u64) -> Option<Found> {
    let goes_on = |other: &&&Entry| {
        let oldest = other.watched.oldest_ns.unwrap_or(now_ns);
        other.hctl != entry.hctl
            && other.present
            && other.usable
            && other.label.map == entry.label.map
            && now_ns.saturating_sub(oldest) < silence.length_ns / OTHERS_YOUNGER
            && other.watched.done_since(silence.since_ns) > 0
    };
    let others: Vec<&&Entry> = of_lun.iter().filter(goes_on).collect();
    let done = others
        .iter()
        .map(|it| it.watched.done_since(silence.since_ns));
    if done.sum::<usize>() < OTHERS_DONE {
        return None;
    }
    let usual = usual(entry);
    let p99_ns = p99_ns(&usual, entry);
    if p99_ns.is_some_and(|p99| silence.length_ns < p99.saturating_mul(10)) {
        return None;
    }
    Some(Found {
        silence,
        p99_ns: p99_ns.filter(|_| usual.percentile_ns(0.99).is_some()),
        others: others.iter().map(|it| it.label.hctl.clone()).collect(),
    })
}

/// The path's reads and writes so far.
fn usual(entry: &Entry) -> LatencyHistogram {
    let mut all = LatencyHistogram::default();
    for state in stats::STATES {
        entry.stats.add_block_io(state, &mut all);
    }
    all
}

/// Without those that earlier silences held up; of few it is the largest.
fn p99_ns(usual: &LatencyHistogram, entry: &Entry) -> Option<u64> {
    let hung = entry.watched.hung(usual.len());
    let part = 1.0 - hung as f64 / usual.len().max(1) as f64;
    usual.quantile_ns(0.99 * part)
}

impl Found {
    fn text(&self, entry: &Entry, timers: Option<Timers>) -> String {
        let length_ns = self.silence.length_ns;
        let against = match self.p99_ns {
            Some(p99) if p99 > 0 => {
                let times = format::count(length_ns / p99);
                format!(" ({times} times its p99)")
            }
            _ => String::new(),
        };
        let in_flight = match entry.watched.in_flight {
            1 => "a command".to_owned(),
            many => format!("{many} commands"),
        };
        format!(
            "{} has {in_flight} in flight and has completed none for {}{against}, while {} {}; dm still \
             counts it as active. {}",
            entry.label.hctl,
            format::duration(length_ns),
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

/// Which timer ends it, and what it is set to. `timers` are those of an iSCSI session that is silent, too.
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
    let after = entry
        .timeout_s
        .map_or_else(String::new, |it| format!(" after {it} s"));
    format!("The SCSI command timer aborts them{after} (/sys/block/{device}/device/timeout)")
}

/// When and how a stuck path was over, if it is.
fn over(entry: &Entry, open: &Open, now_ns: u64) -> Option<(u64, &'static str)> {
    let watched = &entry.watched;
    if watched.failed_ns > open.raised_ns {
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
