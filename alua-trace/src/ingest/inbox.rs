//! Everything the probes tell, in the order of its time: commands from the CPUs' logs, what is rare from the ring buffer.

use std::{
    collections::{BinaryHeap, VecDeque},
    mem::offset_of,
};

use alua_trace_ebpf::{CommandRecord, DmRecord, ManagementRecord, RtpgRecord, record_kind};
use bytes::Buf;

use super::{
    histograms::Histograms,
    logs::{Lane, Logs},
    ring::Ring,
};
use crate::stats::Counted;

/// Where records come from that are few.
pub trait Rare {
    /// The bytes of the next record.
    fn next(&mut self) -> Option<Vec<u8>>;

    /// Bytes that there is room for.
    fn room(&self) -> u32;
}

/// The collector's end of all that the probes write to.
pub struct Inbox<R = Ring> {
    rare: R,
    logs: Logs,
    /// Where the probes can count.
    histograms: Option<Histograms>,
    /// Logs that have records, the one with the earliest first.
    lanes: BinaryHeap<Lane>,
    /// Rare records whose turn has not come.
    held: VecDeque<Vec<u8>>,
}

/// What a drain found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Records handed over.
    pub records: usize,
    /// How full the fullest log was: 0 is empty, 255 full.
    pub fullest: u8,
}

impl<R: Rare> Inbox<R> {
    /// Of these.
    #[must_use]
    pub fn new(rare: R, logs: Logs) -> Self {
        Self {
            rare,
            logs,
            histograms: None,
            lanes: BinaryHeap::new(),
            held: VecDeque::new(),
        }
    }

    /// With histograms, too.
    #[must_use]
    pub fn with(self, histograms: Histograms) -> Self {
        Self {
            histograms: Some(histograms),
            ..self
        }
    }

    /// Whether the probes can count commands in histograms.
    #[must_use]
    pub fn can_count(&self) -> bool {
        self.histograms.is_some()
    }

    /// Says what becomes of commands that complete from now on: one of [`alua_trace_ebpf::telling`].
    pub fn tell(&self, telling: u64) {
        self.logs.tell(telling);
    }

    /// Records that found no room in their log.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.logs.refused()
    }

    /// What the probes have counted since the last time.
    pub fn counted(&mut self) -> Vec<Counted> {
        self.histograms
            .as_mut()
            .map_or_else(Vec::new, Histograms::take)
    }

    /// As [`Histograms::tell_slow_from`].
    pub fn tell_slow_from(&self, slow_from: impl Fn(u16, u8, u8) -> u64) {
        if let Some(histograms) = &self.histograms {
            histograms.tell_slow_from(slow_from);
        }
    }

    /// Hands over the bytes of each record there is and whose time is not after `until_ns`, up to `limit` records. The
    /// limit keeps a load that outruns the collector from starving everything else it does.
    pub fn drain(&mut self, limit: usize, until_ns: u64, mut each: impl FnMut(&[u8])) -> Drained {
        // Before the logs are looked at: what a command's end tells beside its record is younger than that.
        let rare_bytes = self.hold(limit);
        self.logs.look(&mut self.lanes);
        let mut drained = Drained {
            records: 0,
            fullest: self.fullest(rare_bytes),
        };
        while drained.records < limit {
            let rare_ns = self.held.front().map_or(u64::MAX, |bytes| at_ns(bytes));
            let log_ns = self.lanes.peek().map_or(u64::MAX, |lane| lane.at_ns);
            if log_ns <= rare_ns && log_ns <= until_ns && !self.lanes.is_empty() {
                let until_ns = until_ns.min(rare_ns);
                drained.records += self.take_some(until_ns, limit - drained.records, &mut each);
                continue;
            }
            let due = self.held.front().is_some() && rare_ns <= until_ns;
            let Some(bytes) = due.then(|| self.held.pop_front()).flatten() else {
                break;
            };
            each(&bytes);
            drained.records += 1;
        }
        self.lanes
            .drain()
            .for_each(|lane| self.logs.give_back(&lane));
        drained
    }

    /// Takes the rare records that there are, up to `limit`; gives their bytes.
    fn hold(&mut self, limit: usize) -> usize {
        let mut bytes = 0;
        while self.held.len() < limit
            && let Some(next) = self.rare.next()
        {
            bytes += next.len();
            self.held.push_back(next);
        }
        bytes
    }

    /// Takes records of the log with the earliest one, until another log has an earlier one.
    fn take_some(&mut self, until_ns: u64, limit: usize, each: &mut impl FnMut(&[u8])) -> usize {
        let Some(mut lane) = self.lanes.pop() else {
            return 0;
        };
        let second_ns = self.lanes.peek().map_or(u64::MAX, |lane| lane.at_ns);
        let taken = self
            .logs
            .take(&mut lane, until_ns.min(second_ns), limit, each);
        if lane.waiting() > 0 {
            self.lanes.push(lane);
        } else {
            self.logs.give_back(&lane);
        }
        taken
    }

    /// How full the fullest log was, or the ring that had so many bytes.
    fn fullest(&self, rare_bytes: usize) -> u8 {
        let waiting = self.lanes.iter().map(Lane::waiting).max().unwrap_or(0);
        let of_log = waiting * 255 / u64::from(self.logs.records()).max(1);
        let of_ring = rare_bytes as u64 * 255 / u64::from(self.rare.room()).max(1);
        of_log.max(of_ring).min(255) as u8
    }
}

/// When what a record tells was over, in monotonic ns: the last moment for one that is not there, the first for one that
/// nobody knows.
fn at_ns(bytes: &[u8]) -> u64 {
    let word = |offset: usize| {
        bytes
            .get(offset..)
            .and_then(|mut it| it.try_get_u64_ne().ok())
    };
    let at_ns = match bytes.first() {
        None => return u64::MAX,
        Some(&record_kind::COMMAND) => word(offset_of!(CommandRecord, completion_ns)),
        Some(&record_kind::RTPG) => word(offset_of!(RtpgRecord, return_ns)),
        Some(&record_kind::DM) => word(offset_of!(DmRecord, at_ns)),
        Some(&record_kind::MANAGEMENT) => {
            match word(offset_of!(ManagementRecord, completion_ns)) {
                // One made at dispatch.
                Some(0) => word(offset_of!(ManagementRecord, dispatch_ns)),
                completed => completed,
            }
        }
        Some(_) => None,
    };
    at_ns.unwrap_or(0)
}

#[cfg(test)]
mod tests;
