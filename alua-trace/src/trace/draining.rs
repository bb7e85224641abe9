//! What the probes tell, taken in its order and given to the engine.

use std::{future::Future, pin::pin, time::Duration};

use tokio::time::sleep;

use super::session::{POLL, Session};
use crate::{clock::monotonic_ns, engine::Input, ingest::inbox::Drained};

/// Records per drain before signals and timers get their turn.
const DRAIN_LIMIT: usize = 65_536;
/// Lines that are handed over at once.
const LINES_LIMIT: usize = 1024;
/// How full a log should be, at the most, when it is drained: 255 is full.
const WANTED_FILL: u64 = 64;
/// However fast they fill: the host has other things to do.
const SOONEST_POLL_NS: u64 = 1_000_000;

/// How full the fullest log was, and how long that took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filling {
    fullest: u8,
    after_ns: u64,
    drained_at_ns: u64,
}

impl Filling {
    /// Right after another drain there is too little to tell a rate from.
    fn note(&mut self, fullest: u8, at_ns: u64) {
        let after_ns = at_ns.saturating_sub(self.drained_at_ns);
        if after_ns >= SOONEST_POLL_NS {
            (self.fullest, self.after_ns, self.drained_at_ns) = (fullest, after_ns, at_ns);
        }
    }

    /// How soon they should be drained again: when the fullest is as full as is wanted, if it goes on like this, and after
    /// `at_most`.
    pub fn next(&self, at_most: Duration) -> Duration {
        let next_ns = self.after_ns * WANTED_FILL / u64::from(self.fullest).max(1);
        Duration::from_nanos(next_ns.max(SOONEST_POLL_NS)).min(at_most)
    }
}

impl Session<'_> {
    /// Takes everything that the probes have told until now.
    pub(super) fn drain(&mut self) {
        self.drain_to(monotonic_ns());
    }

    /// Takes what is left when nothing writes any more.
    pub(super) fn drain_all(&mut self) {
        self.drain_to(u64::MAX);
    }

    fn drain_to(&mut self, until_ns: u64) {
        let at_ns = monotonic_ns();
        let mut fullest = 0;
        loop {
            let drained = self.drain_some(at_ns, until_ns);
            fullest = fullest.max(drained.fullest);
            self.say();
            if drained.records < DRAIN_LIMIT || self.outputs.is_over() {
                break;
            }
        }
        self.filling.note(fullest, at_ns);
    }

    fn drain_some(&mut self, at_ns: u64, until_ns: u64) -> Drained {
        let Self {
            inbox,
            slots,
            feed,
            outputs,
            announced,
            ..
        } = self;
        let tables = &self.attached.probes.tables;
        inbox.drain(DRAIN_LIMIT, until_ns, |bytes| {
            // The kernel has filed new states: sysfs has those of idle paths.
            *announced |= slots.introduce(bytes, tables, &mut |input| feed.take(at_ns, input));
            feed.take(at_ns, Input::Record(bytes));
            if feed.engine.waiting_lines() >= LINES_LIMIT {
                outputs.say(feed.lines());
            }
        })
    }

    /// Goes on draining while something else is waited for.
    pub(super) async fn drain_until<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                biased;
                other = &mut other => return other,
                () = sleep(self.filling.next(POLL)) => self.drain(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLL_NS: u64 = POLL.as_nanos() as u64;

    #[test]
    fn logs_are_drained_before_they_are_full() {
        // Filled to so much in 50 ms, then at the same rate.
        for per_poll in [1_u64, 60, 100, 255, 1000, 10_000] {
            let mut filling = Filling::default();
            let mut at_ns = 0;
            let mut after_ns = POLL_NS;
            for _ in 0..20 {
                at_ns += after_ns;
                let fullest = (per_poll * after_ns / POLL_NS).min(255);
                filling.note(fullest as u8, at_ns);
                after_ns = filling.next(POLL).as_nanos() as u64;
            }
            let fullest = per_poll * after_ns / POLL_NS;
            assert!(
                fullest <= WANTED_FILL + 1 || after_ns == SOONEST_POLL_NS,
                "{per_poll}: {fullest}"
            );
            let before = filling.next(POLL);
            filling.note(0, at_ns + 1000);
            assert_eq!(filling.next(POLL), before);
            assert!(
                fullest >= WANTED_FILL / 2 || after_ns == POLL_NS,
                "{per_poll}: {fullest}"
            );
        }
    }
}
