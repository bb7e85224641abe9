//! Frames that do not get through. A way whose ends have a larger MTU than something between them lets small segments through
//! and drops large ones, without a word. What shows it at this end alone, and neither loss, delay, a slow array nor a
//! link that is down:
//!
//! - commands are in flight, nothing arrives, and the array's TCP acknowledges iSCSI's own question (NOP-Out) without
//!   the answer coming: that waits behind a segment which is dropped each time it is sent. A slow array answers, and over
//!   a link that is down nothing is acknowledged;
//! - what was received lies behind a segment that stays missing, while others arrive;
//! - the array has acknowledged what follows a segment that it still misses, and goes on to;
//! - TCP goes on with a fraction of its segment size (an ICMP message told it to, or RFC 4821);
//! - a connection was lost under large commands, and the next one sends the same segment again and again before a large
//!   command has completed: what logging in takes is small.

use super::super::paths::{Entry, LARGE_BYTES};
use crate::{
    format,
    iscsi::{Connection, Tcp},
};

const SECOND_NS: u64 = 1_000_000_000;
/// A segment that stays missing for so long has been sent again at 0.2, 0.6 and 1.4 s at least: of plain loss of 1 % one in
/// 10^8 is.
const MISSING_NS: u64 = 3 * SECOND_NS;
/// A NOP-Out is answered at once, and a command on a new connection soon.
const ANSWERED_NS: u64 = SECOND_NS;
/// A connection that was made this long after commands had lost theirs has nothing to do with them.
const NEXT_NS: u64 = 60 * SECOND_NS;
/// At most so much time is between two looks that nothing has held up; and so far two observers may be apart.
const LOOKS_NS: u64 = SECOND_NS / 2;
const APART_NS: u64 = SECOND_NS;
/// A segment size below this part of the largest one that the connection had is a collapse.
const COLLAPSED: u32 = 2;
/// Headers that the MTU has to hold beside a segment, and beside the payload of an ICMP echo request.
const IP_AND_TCP_BYTES: u32 = 40;
const IPV4_AND_ICMP_BYTES: u32 = 28;
const IPV6_AND_ICMP_BYTES: u32 = 48;
/// At most, of TCP's options, and what IPv6 has more than IPv4.
const OPTIONS_BYTES: u32 = 60;

/// What shows it, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sign {
    pub since_ns: u64,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A NOP-Out was acknowledged and not answered.
    Unanswered,
    /// Bytes received lie behind a missing segment.
    Hole,
    /// Segments that the array has lie behind a missing one.
    Overtaken,
    /// The segment size fell.
    Collapsed { from: u32, to: u32 },
    /// On a connection after one that was lost.
    Again,
}

impl Sign {
    pub fn is_collapse(self) -> bool {
        matches!(self.what, What::Collapsed { .. })
    }
}

/// Something that lasts: since when, and how many segments had arrived by then.
#[derive(Debug, Clone, Copy)]
struct Lasting {
    since_ns: u64,
    segments_in: Option<u32>,
}

/// The segment size fell.
#[derive(Debug, Clone, Copy)]
struct Fall {
    at_ns: u64,
    /// The array acknowledged something soon after it: the link is there.
    works: bool,
}

/// What one TCP connection has shown so far. Times are those of looks at it; 0 is never.
#[derive(Debug, Default)]
pub(super) struct Trail {
    at_ns: u64,
    /// When it was first seen, where that is not the first look of all.
    made_ns: u64,
    has_been: bool,
    /// When something arrived in order.
    received_ns: u64,
    /// When something was first acknowledged after a silence in which iSCSI asks.
    asked_ns: Option<u64>,
    hole: Option<Lasting>,
    overtaken: Option<Lasting>,
    largest_mss: u32,
    fall: Option<Fall>,
}

impl Trail {
    /// When something last arrived in order.
    pub fn received_ns(&self) -> u64 {
        self.received_ns
    }

    /// Whether the kernel has known a connection at all.
    pub fn has_been(&self) -> bool {
        self.has_been
    }

    /// The next look: `old` is what the last one found of the same connection.
    pub fn take(&mut self, old: Option<&Tcp>, new: &Connection, (before_ns, at_ns): (u64, u64)) {
        self.at_ns = at_ns;
        let Some(tcp) = &new.tcp else {
            *self = Self {
                at_ns,
                made_ns: at_ns,
                has_been: self.has_been,
                ..Self::default()
            };
            return;
        };
        let Some(old) = old else {
            *self = Self {
                at_ns,
                made_ns: if before_ns == 0 { 0 } else { at_ns },
                has_been: true,
                received_ns: at_ns,
                largest_mss: tcp.mss.unwrap_or(0),
                ..Self::default()
            };
            return;
        };
        let has_received = tcp.received != old.received;
        let is_acknowledged = tcp.acked != old.acked;
        if has_received {
            (self.received_ns, self.asked_ns) = (at_ns, None);
        }
        let asks_after = new.timers.recv_s.filter(|it| *it > 0);
        if let Some(recv_s) = asks_after.filter(|_| is_acknowledged && !has_received) {
            let silent_ns = at_ns
                .saturating_sub(self.received_ns)
                .saturating_add(LOOKS_NS);
            if silent_ns >= u64::from(recv_s) * SECOND_NS {
                self.asked_ns.get_or_insert(at_ns);
            }
        }
        // It became so since the look before.
        let began_ns = before_ns.max(at_ns.saturating_sub(LOOKS_NS));
        let lasts = |held: Option<Lasting>, holds: bool| {
            let new = Lasting {
                since_ns: began_ns,
                segments_in: tcp.segments_in,
            };
            holds.then(|| held.unwrap_or(new))
        };
        self.hole = lasts(
            self.hole,
            !has_received && tcp.received.is_some() && tcp.parked > Some(0),
        );
        let is_sent_again = tcp.backoff > Some(0) && tcp.sacked > Some(0);
        self.overtaken = lasts(
            self.overtaken,
            !is_acknowledged && tcp.acked.is_some() && is_sent_again,
        );
        self.follow_size(tcp, is_acknowledged, at_ns);
    }

    fn follow_size(&mut self, tcp: &Tcp, is_acknowledged: bool, at_ns: u64) {
        let Some(mss) = tcp.mss else { return };
        self.largest_mss = self.largest_mss.max(mss);
        if mss >= self.largest_mss / COLLAPSED {
            self.fall = None;
            return;
        }
        let fall = self.fall.get_or_insert(Fall {
            at_ns,
            works: false,
        });
        fall.works |= is_acknowledged && at_ns.saturating_sub(fall.at_ns) <= APART_NS;
    }

    /// Whether its paths are worth a look.
    pub fn may_show_something(&self) -> bool {
        let is_new = self.made_ns > 0 && self.at_ns.saturating_sub(self.made_ns) < NEXT_NS;
        is_new
            || self.asked_ns.is_some()
            || self.hole.is_some()
            || self.overtaken.is_some()
            || self.fall.is_some()
    }

    /// What shows at `now_ns` that large frames do not get through.
    pub fn sign(&self, now: &Connection, paths: &[&Entry], now_ns: u64) -> Option<Sign> {
        let tcp = now.tcp.as_ref()?;
        let others_arrive = |it: &Lasting| {
            let lasts = self.at_ns.saturating_sub(it.since_ns) >= MISSING_NS;
            lasts && tcp.segments_in > it.segments_in
        };
        let of = |what: What, since_ns: u64| Some(Sign { since_ns, what });
        if let Some(hole) = self.hole.filter(others_arrive) {
            return of(What::Hole, hole.since_ns);
        }
        if let Some(overtaken) = self.overtaken.filter(others_arrive) {
            return of(What::Overtaken, overtaken.since_ns);
        }
        if let Some(fall) = self.fall.filter(|it| it.works) {
            let (from, to) = (self.largest_mss, tcp.mss?);
            return of(What::Collapsed { from, to }, fall.at_ns);
        }
        if self.is_unanswered(tcp, paths) {
            return of(What::Unanswered, self.received_ns);
        }
        self.again(tcp, paths, now_ns)
    }

    fn is_unanswered(&self, tcp: &Tcp, paths: &[&Entry]) -> bool {
        let waits = |it: &&Entry| {
            let since_ns = it.watched.waiting_since_ns();
            since_ns.is_some_and(|it| it <= self.received_ns.saturating_add(APART_NS))
        };
        self.asked_ns
            .is_some_and(|it| self.at_ns.saturating_sub(it) >= ANSWERED_NS)
            && tcp.mss > Some(LARGE_BYTES)
            && tcp.backoff == Some(0)
            && paths.iter().any(waits)
    }

    /// A connection was lost under a large command, and on the next one the same segment is sent again and again before a
    /// large command has completed.
    fn again(&self, tcp: &Tcp, paths: &[&Entry], now_ns: u64) -> Option<Sign> {
        let lost = paths.iter().map(|it| it.watched.large_lost);
        let lost = lost.max_by_key(|it| it.completion_ns)?;
        let was_lost = self.made_ns > 0
            && lost.completion_ns > 0
            && lost.completion_ns <= self.made_ns.saturating_add(APART_NS)
            && lost.completion_ns.saturating_add(NEXT_NS) >= self.made_ns;
        let none_since = paths
            .iter()
            .all(|it| it.watched.large_done.completion_ns <= lost.completion_ns);
        let waits = |it: &&Entry| {
            let since_ns = it.watched.waiting_since_ns();
            since_ns.is_some_and(|since_ns| {
                since_ns.saturating_add(APART_NS) >= self.made_ns
                    && now_ns.saturating_sub(since_ns) >= ANSWERED_NS
            })
        };
        let is_sent_again = tcp.backoff > Some(0) && tcp.received > Some(0);
        (was_lost && none_since && is_sent_again && paths.iter().any(waits)).then_some(Sign {
            since_ns: lost.dispatch_ns,
            what: What::Again,
        })
    }
}

/// What the flag says.
pub(super) fn text(
    sign: Sign,
    now: &Connection,
    trail: &Trail,
    paths: &[&Entry],
    now_ns: u64,
) -> String {
    let over: Vec<&str> = paths.iter().map(|it| it.label.hctl.as_str()).collect();
    let lasts = format::duration(now_ns.saturating_sub(sign.since_ns));
    let seen = match sign.what {
        What::Unanswered => format!(
            "the array acknowledges what is sent, and nothing has arrived for {lasts}, not even the answer to a \
             NOP-Out"
        ),
        What::Hole => format!("other segments arrive behind one that has been missing for {lasts}"),
        What::Overtaken => {
            format!("the array receives other segments behind one that it has missed for {lasts}")
        }
        What::Collapsed { from, to } => format!("TCP reduced its MSS from {from} to {to}"),
        What::Again => format!(
            "the connection was lost and re-established, and no command of more than {LARGE_BYTES} bytes has \
             completed for {lasts}"
        ),
    };
    format!(
        "{} over {}: large frames do not get through, small ones do: {seen}. Likely a switch has a smaller \
         MTU{}",
        over.join(" "),
        ends(now, trail),
        remedy(now)
    )
}

/// `eth0 (MTU 9000) to 10.0.0.1:3260 (MTU 9000 or more)`, as far as it is known.
fn ends(now: &Connection, trail: &Trail) -> String {
    // The segment size was agreed on by both ends; options take some of it.
    let far_mtu = match trail.largest_mss {
        0 => None,
        mss => {
            let with_options = mss.saturating_add(IP_AND_TCP_BYTES + OPTIONS_BYTES);
            let is_as_large = now.mtu.filter(|own| with_options >= *own);
            is_as_large.or(Some(mss.saturating_add(IP_AND_TCP_BYTES)))
        }
    };
    let mut ends = now.interface.clone().unwrap_or_default();
    if let Some(mtu) = now.mtu {
        ends.push_str(&format!(" (MTU {mtu})"));
    }
    if let Some(portal) = &now.portal {
        ends.push_str(&format!(" to {portal}"));
    }
    if let Some(mtu) = far_mtu {
        ends.push_str(&format!(" (MTU {mtu} or more)"));
    }
    ends
}

/// Where to look, and what to do.
fn remedy(now: &Connection) -> String {
    let (Some(mtu), Some(portal), Some(interface)) = (now.mtu, &now.portal, &now.interface) else {
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
        ": `ping -M do -s {payload} -I {interface} {address}` shows it; set MTU {mtu} on every hop, or lower it \
         at both ends"
    )
}
