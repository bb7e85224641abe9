//! iSCSI connections over time: retransmits and round trips beside the latency of their paths, and frames that do not
//! get through.
//!
//! A way whose ends have a larger MTU than something between them lets small segments through and drops large ones,
//! without a word. What shows of that at this end alone, and never of plain loss, of a slow target or of a link
//! that is down:
//!
//! - what was received lies behind a segment that stays missing although TCP sends it again and again;
//! - the target has acknowledged what follows a segment that it still misses;
//! - TCP itself has gone back to a fraction of its segment size (RFC 4821, or an ICMP message told it);
//! - a connection died with large commands in flight, was made anew at once, and stands still again without any
//!   large one having completed.

use std::collections::BTreeMap;

use super::{
    book::{Book, Subject},
    paths::{Entry, LARGE_BYTES, Paths, Span},
};
use crate::{
    format,
    iscsi::{Connection, Tcp, Timers},
    model::{FlagKind, Network, Severity},
};

/// A segment that stays missing for so long has been sent again at 0.2, 0.6 and 1.4 s at least: of plain loss of 1 % one in
/// 10^8 is.
const MISSING_NS: u64 = 3_000_000_000;
/// Commands on a connection made anew are waited for so long.
const AGAIN_NS: u64 = 1_000_000_000;
/// A connection that was made anew this long after its commands had failed has nothing to do with them.
const ANEW_NS: u64 = 60_000_000_000;
/// At most so much time is between two looks that nothing has held up.
const LOOKS_NS: u64 = 500_000_000;
/// How far two observers may be apart about when a connection was made: it is asked for twice a second.
const APART_NS: u64 = 1_000_000_000;
/// A segment size below this part of the largest one that the connection had is a collapse.
const COLLAPSED: u32 = 2;
/// Headers that the MTU has to hold beside a segment, and beside the payload of an ICMP echo request.
const IP_AND_TCP_BYTES: u32 = 40;
const IPV4_AND_ICMP_BYTES: u32 = 28;
const IPV6_AND_ICMP_BYTES: u32 = 48;
/// At most, of TCP's options, and what IPv6 has more than IPv4.
const OPTIONS_BYTES: u32 = 60;

/// Host, channel and target.
type Target = (u32, u32, u32);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Connections {
    known: BTreeMap<Target, Known>,
}

/// How one has been.
#[derive(Debug, Default)]
struct Known {
    now: Connection,
    /// When it was asked for.
    at_ns: u64,
    /// When this TCP connection was first seen; 0 for one that was there before the trace.
    made_ns: u64,
    /// Since when something has lain behind a segment that is missing, here and at the array.
    hole_ns: Option<u64>,
    overtaken_ns: Option<u64>,
    largest_mss: u32,
    /// Segments sent again over connections of this session that are gone, and by this one before the trace.
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

/// What shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    /// Bytes received lie behind a missing segment.
    Hole { bytes: u32, since_ns: u64 },
    /// Segments acknowledged lie behind a missing one.
    Overtaken { segments: u32, since_ns: u64 },
    /// The segment size fell.
    Collapsed { from: u32, to: u32 },
    /// Made anew, and standing still again.
    Again,
}

impl Connections {
    /// How all of them are at `at_ns`.
    pub fn take(&mut self, connections: &[Connection], at_ns: u64) {
        self.known
            .retain(|target, _| connections.iter().any(|it| it.target == *target));
        for connection in connections {
            let known = self
                .known
                .entry(connection.target)
                .or_insert_with(|| Known {
                    before: connection.tcp.map_or(0, |tcp| sent_again(&tcp)),
                    ..Known::default()
                });
            known.take(connection, at_ns);
        }
    }

    fn of(&self, entry: &Entry) -> Option<&Known> {
        let hctl = entry.hctl;
        self.known.get(&(hctl.host, hctl.channel, hctl.target))
    }

    /// Timers of a path's session.
    pub fn timers(&self, entry: &Entry) -> Option<Timers> {
        self.of(entry).map(|known| known.now.timers)
    }

    /// What to tell of a path's connection: what was sent again since the last interval.
    pub fn in_interval(&self, entry: &Entry) -> Option<Network> {
        let known = self.of(entry)?;
        Some(known.told(known.all().saturating_sub(known.told)))
    }

    /// The same since the start.
    pub fn in_all(&self, entry: &Entry) -> Option<Network> {
        let known = self.of(entry)?;
        Some(known.told(known.all()))
    }

    /// The next interval begins.
    pub fn end_interval(&mut self) {
        for known in self.known.values_mut() {
            known.told = known.all();
        }
    }

    /// Raises and ends what is due at `now_ns`.
    pub fn tick(&mut self, paths: &Paths, book: &mut Book, now_ns: u64) {
        for (target, known) in &mut self.known {
            let is_its = |entry: &&Entry| {
                let hctl = entry.hctl;
                entry.present && (hctl.host, hctl.channel, hctl.target) == *target
            };
            if known.flag.is_none() && !known.may_show_something() {
                continue;
            }
            let its: Vec<&Entry> = paths.entries().iter().filter(is_its).collect();
            known.tick(&its, book, now_ns);
        }
    }
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
        let is_first = self.at_ns == 0;
        if !is_same && !is_first {
            if let Some(old) = &self.now.tcp {
                self.gone += sent_again(old);
            }
            self.made_ns = at_ns;
        }
        let old = self.now.tcp.filter(|_| is_same);
        let tcp = new.tcp.unwrap_or_default();
        let is_missing = |one: Option<u64>, other: Option<u64>| one == other && one.is_some();
        // It became so since the look before.
        let before_ns = self.at_ns.max(at_ns.saturating_sub(LOOKS_NS));
        let since_ns = |held: Option<u64>, holds: bool| holds.then(|| held.unwrap_or(before_ns));
        let stands = old.is_some_and(|old| is_missing(old.received, tcp.received));
        self.hole_ns = since_ns(self.hole_ns, stands && tcp.parked > Some(0));
        let stands = old.is_some_and(|old| is_missing(old.acked, tcp.acked));
        let has_backed_off = tcp.backoff > Some(0);
        self.overtaken_ns = since_ns(
            self.overtaken_ns,
            stands && has_backed_off && tcp.sacked > Some(0),
        );
        let largest = if is_same { self.largest_mss } else { 0 };
        self.largest_mss = largest.max(tcp.mss.unwrap_or(0));
        self.now = new.clone();
        self.at_ns = at_ns;
    }

    fn all(&self) -> u64 {
        let now = self.now.tcp.as_ref().map_or(0, sent_again);
        (self.gone + now).saturating_sub(self.before)
    }

    fn told(&self, retransmits: u64) -> Network {
        Network {
            rtt_us: self.now.tcp.and_then(|tcp| tcp.rtt_us),
            retransmits,
        }
    }

    /// Whether its paths are worth a look.
    fn may_show_something(&self) -> bool {
        self.made_ns > 0 || self.by_tcp().is_some()
    }

    /// What TCP alone shows.
    fn by_tcp(&self) -> Option<Sign> {
        let tcp = self.now.tcp?;
        let lasts = |since_ns: &u64| self.at_ns.saturating_sub(*since_ns) >= MISSING_NS;
        if let Some(since_ns) = self.hole_ns.filter(lasts) {
            let bytes = tcp.parked.unwrap_or(0);
            return Some(Sign::Hole { bytes, since_ns });
        }
        if let Some(since_ns) = self.overtaken_ns.filter(lasts) {
            let segments = tcp.sacked.unwrap_or(0);
            return Some(Sign::Overtaken { segments, since_ns });
        }
        let (from, to) = (self.largest_mss, tcp.mss?);
        (to < from / COLLAPSED).then_some(Sign::Collapsed { from, to })
    }

    /// A connection died with a large command, and the next one stands still before a large one has completed.
    fn again(&self, paths: &[&Entry], now_ns: u64) -> Option<Sign> {
        let has_received = self.now.tcp?.received.is_some_and(|it| it > 0);
        let failed = last_failed(paths)?;
        let died_then = failed.completion_ns <= self.made_ns.saturating_add(APART_NS)
            && failed.completion_ns.saturating_add(ANEW_NS) >= self.made_ns
            && self.made_ns > 0;
        let none_since = paths
            .iter()
            .all(|it| it.watched.large_done.completion_ns <= failed.completion_ns);
        let stands_still = paths.iter().any(|it| {
            let since_ns = it.watched.waiting_since_ns();
            since_ns.is_some_and(|since_ns| {
                let silent_ns = now_ns.saturating_sub(since_ns.max(it.watched.done_ns));
                since_ns.saturating_add(APART_NS) >= self.made_ns && silent_ns >= AGAIN_NS
            })
        });
        (has_received && died_then && none_since && stands_still).then_some(Sign::Again)
    }

    fn tick(&mut self, paths: &[&Entry], book: &mut Book, now_ns: u64) {
        let sign = self.by_tcp().or_else(|| self.again(paths, now_ns));
        if let Some(raised) = &mut self.flag {
            if let Some(sign) = sign {
                (raised.sign, raised.at_ns) = (sign, now_ns);
                return;
            }
            let large_ns = paths.iter().map(|it| it.watched.large_done.completion_ns);
            let large_ns = large_ns.max().unwrap_or(0);
            let is_over = match raised.sign {
                Sign::Collapsed { .. } => true,
                _ => large_ns > raised.at_ns,
            };
            if is_over {
                book.end(raised.id, large_ns.max(raised.at_ns));
                self.flag = None;
            }
            return;
        }
        let Some(sign) = sign else { return };
        let mut since_ns = match sign {
            Sign::Hole { since_ns, .. } | Sign::Overtaken { since_ns, .. } => since_ns,
            Sign::Collapsed { .. } => self.at_ns,
            Sign::Again => self.made_ns,
        };
        if let Some(failed) = last_failed(paths) {
            since_ns = since_ns.min(failed.dispatch_ns);
        }
        let kind = (FlagKind::MtuMismatch, Severity::Warning);
        let id = book.raise(
            kind,
            &self.subject(paths),
            (since_ns, now_ns),
            self.text(sign, paths, now_ns),
        );
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

    fn text(&self, sign: Sign, paths: &[&Entry], now_ns: u64) -> String {
        let over: Vec<&str> = paths.iter().map(|it| it.label.hctl.as_str()).collect();
        let seen = match sign {
            Sign::Hole { bytes, since_ns } => format!(
                "{bytes} bytes lie behind a segment that has been missing for {}",
                format::duration(self.at_ns.saturating_sub(since_ns))
            ),
            Sign::Overtaken { segments, since_ns } => format!(
                "the array has {segments} segments behind one that it has missed for {}",
                format::duration(self.at_ns.saturating_sub(since_ns))
            ),
            Sign::Collapsed { from, to } => {
                format!("TCP went back from segments of {from} bytes to {to}")
            }
            Sign::Again => format!(
                "the connection died, was made anew {} ago, and no command of more than {LARGE_BYTES} \
                 bytes has completed since",
                format::duration(now_ns.saturating_sub(self.made_ns))
            ),
        };
        format!(
            "{} over {}: large frames do not get through, small ones do: {seen}. Likely a switch has a smaller \
             MTU{}",
            over.join(" "),
            self.ends(),
            self.remedy()
        )
    }

    /// `eth0 (MTU 9000) to 10.0.0.1:3260 (MTU 9000 or more)`, as far as it is known.
    fn ends(&self) -> String {
        let own_mtu = self.now.mtu;
        // The segment size was agreed on by both ends; options take some of it.
        let far_mtu = match self.largest_mss {
            0 => None,
            mss if own_mtu
                .is_some_and(|it| mss.saturating_add(IP_AND_TCP_BYTES + OPTIONS_BYTES) >= it) =>
            {
                own_mtu
            }
            mss => Some(mss.saturating_add(IP_AND_TCP_BYTES)),
        };
        let mut ends = self.now.interface.clone().unwrap_or_default();
        if let Some(mtu) = own_mtu {
            ends.push_str(&format!(" (MTU {mtu})"));
        }
        if let Some(portal) = &self.now.portal {
            ends.push_str(&format!(" to {portal}"));
        }
        if let Some(mtu) = far_mtu {
            ends.push_str(&format!(" (MTU {mtu} or more)"));
        }
        ends
    }

    /// Where to look, and what to do.
    fn remedy(&self) -> String {
        let (Some(mtu), Some(portal), Some(interface)) =
            (self.now.mtu, &self.now.portal, &self.now.interface)
        else {
            return String::new();
        };
        let address = portal
            .rsplit_once(':')
            .map_or(portal.as_str(), |(it, _)| it);
        let headers = if address.starts_with('[') {
            IPV6_AND_ICMP_BYTES
        } else {
            IPV4_AND_ICMP_BYTES
        };
        let address = address.trim_matches(['[', ']']);
        let payload = mtu.saturating_sub(headers);
        format!(
            ": `ping -M do -s {payload} -I {interface} {address}` shows it; set {mtu} all the way, or less \
             at both ends"
        )
    }
}

/// The last large command of the session that ended badly after the last one that ended well.
fn last_failed(paths: &[&Entry]) -> Option<Span> {
    let failed = paths.iter().map(|it| it.watched.large_failed);
    let last = failed.max_by_key(|it| it.completion_ns)?;
    let done = paths.iter().map(|it| it.watched.large_done.completion_ns);
    (last.completion_ns > done.max()?).then_some(last)
}
