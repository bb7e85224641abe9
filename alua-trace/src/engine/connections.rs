//! iSCSI connections over time: retransmits and round trips beside the latency of their paths, and what shows that large
//! frames do not get through ([`mismatch`]).

use std::collections::BTreeMap;

use super::{
    book::{Book, Subject},
    paths::{Entry, Paths},
};
use crate::{
    iscsi::{Connection, Tcp, Timers},
    model::{FlagKind, Network, Severity},
};
use mismatch::{Sign, Trail};

mod mismatch;

/// A session that has received something this long after a path fell silent is not silent with it.
const WITH_ITS_PATH_NS: u64 = 1_000_000_000;

/// Host, channel and target.
type Target = (u32, u32, u32);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    known: BTreeMap<Target, Known>,
    /// Flags of sessions that are gone, and since when.
    orphans: Vec<(u32, u64)>,
}

/// How one has been.
#[derive(Debug, Default)]
struct Known {
    now: Connection,
    /// When it was asked for.
    at_ns: u64,
    trail: Trail,
    /// Segments sent again over connections of this session that are gone, and by the first one before the trace.
    gone: u64,
    before: u64,
    /// Sent again up to the last interval.
    told: u64,
    flag: Option<Raised>,
}

#[derive(Debug)]
struct Raised {
    id: u32,
    sign: Sign,
    at_ns: u64,
}

impl Connections {
    /// How all of them are at `at_ns`.
    pub fn take(&mut self, connections: &[Connection], at_ns: u64) {
        let orphans = &mut self.orphans;
        self.known.retain(|target, known| {
            let is_there = connections.iter().any(|it| it.target == *target);
            if !is_there {
                orphans.extend(known.flag.as_ref().map(|flag| (flag.id, at_ns)));
            }
            is_there
        });
        for connection in connections {
            let known = self.known.entry(connection.target).or_insert_with(|| {
                let before = connection.tcp.map_or(0, |tcp| sent_again(&tcp));
                Known {
                    before,
                    ..Known::default()
                }
            });
            known.take(connection, at_ns);
        }
    }

    fn of(&self, entry: &Entry) -> Option<&Known> {
        self.known.get(&target(entry))
    }

    /// Timers of a path's session, where nothing has come over it either since the path fell silent.
    pub fn timers(&self, entry: &Entry, silent_since_ns: u64) -> Option<Timers> {
        let known = self.of(entry)?;
        let is_silent =
            known.trail.received_ns() <= silent_since_ns.saturating_add(WITH_ITS_PATH_NS);
        is_silent.then_some(known.now.timers)
    }

    /// What to tell of a path's connection: what was sent again since the last interval.
    pub fn in_interval(&self, entry: &Entry) -> Option<Network> {
        let known = self.of(entry)?;
        known.network(known.all().saturating_sub(known.told))
    }

    /// The same since the start.
    pub fn in_all(&self, entry: &Entry) -> Option<Network> {
        let known = self.of(entry)?;
        known.network(known.all())
    }

    /// The next interval begins.
    pub fn end_interval(&mut self) {
        for known in self.known.values_mut() {
            known.told = known.all();
        }
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, book: &mut Book, now_ns: u64) {
        for (flag, at_ns) in self.orphans.drain(..) {
            book.end(flag, at_ns);
        }
        // Made when the first connection is worth it: most ticks need none.
        let mut by_target: Option<BTreeMap<Target, Vec<&Entry>>> = None;
        for (target, known) in &mut self.known {
            if known.flag.is_none() && !known.trail.may_show_something() {
                continue;
            }
            let by_target = by_target.get_or_insert_with(|| by_target_of(paths));
            let its = by_target.get(target).map_or(&[][..], Vec::as_slice);
            known.tick(its, book, now_ns);
        }
    }
}

fn target(entry: &Entry) -> Target {
    let hctl = entry.hctl;
    (hctl.host, hctl.channel, hctl.target)
}

fn by_target_of(paths: &Paths) -> BTreeMap<Target, Vec<&Entry>> {
    let mut by_target: BTreeMap<Target, Vec<&Entry>> = BTreeMap::new();
    for entry in paths.entries().iter().filter(|it| it.present) {
        by_target.entry(target(entry)).or_default().push(entry);
    }
    by_target
}

/// Segments that a connection has sent again.
fn sent_again(tcp: &Tcp) -> u64 {
    tcp.retransmits.map_or(0, u64::from)
}

impl Known {
    fn take(&mut self, new: &Connection, at_ns: u64) {
        let is_same = match (&self.now.tcp, &new.tcp) {
            (Some(old), Some(new)) => old.local_port == new.local_port,
            (None, None) => true,
            _ => false,
        };
        if !is_same && let Some(old) = &self.now.tcp {
            self.gone = self.gone.saturating_add(sent_again(old));
        }
        let old = self.now.tcp.filter(|_| is_same);
        self.trail.take(old.as_ref(), new, (self.at_ns, at_ns));
        self.now = new.clone();
        self.at_ns = at_ns;
    }

    fn all(&self) -> u64 {
        let now = self.now.tcp.as_ref().map_or(0, sent_again);
        self.gone.saturating_add(now).saturating_sub(self.before)
    }

    /// `None` where the kernel has never known a connection.
    fn network(&self, retransmits: u64) -> Option<Network> {
        self.trail.has_been().then(|| Network {
            rtt_us: self.now.tcp.and_then(|tcp| tcp.rtt_us),
            retransmits,
        })
    }

    fn tick(&mut self, paths: &[&Entry], book: &mut Book, now_ns: u64) {
        let sign = self.trail.sign(&self.now, paths, now_ns);
        if let Some(raised) = &mut self.flag {
            if let Some(sign) = sign {
                (raised.sign, raised.at_ns) = (sign, now_ns);
                return;
            }
            if let Some(at_ns) = raised.over(paths) {
                book.end(raised.id, at_ns);
                self.flag = None;
            }
            return;
        }
        let Some(sign) = sign else { return };
        let kind = (FlagKind::MtuMismatch, Severity::Warning);
        let since_ns = sign.since_ns.min(now_ns);
        let text = mismatch::text(sign, &self.now, &self.trail, paths, now_ns);
        let id = book.raise(kind, &self.subject(paths), (since_ns, now_ns), text);
        self.flag = Some(Raised {
            id,
            sign,
            at_ns: now_ns,
        });
    }

    fn subject(&self, paths: &[&Entry]) -> Subject {
        let maps: Vec<&String> = paths
            .iter()
            .filter_map(|it| it.label.map.as_ref())
            .collect();
        let one = maps
            .first()
            .filter(|first| maps.iter().all(|it| it == *first));
        let portal = self.now.portal.clone();
        Subject {
            name: one.map_or_else(|| portal.unwrap_or_default(), |it| (*it).clone()),
            wwid: one.and_then(|_| paths.first()?.label.wwid.clone()),
            paths: paths.iter().map(|it| it.label.hctl.clone()).collect(),
        }
    }
}

impl Raised {
    /// Since when it is over: a large command has completed after the last sign, or TCP has its segment size back.
    fn over(&self, paths: &[&Entry]) -> Option<u64> {
        let large_ns = paths.iter().map(|it| it.watched.large_done.completion_ns);
        let large_ns = large_ns.max().unwrap_or(0);
        if self.sign.is_collapse() {
            return Some(self.at_ns);
        }
        (large_ns > self.at_ns).then_some(large_ns)
    }
}
