//! The I/O of one logical unit: a cheap window of latencies all the time, and every single I/O
//! while a transfer is near, to tell what the transfer cost.
//!
//! An I/O is *delayed* when it takes longer than the 99th percentile before the transfer by a clear
//! margin: twice that percentile, but at least [`MARGIN_NS`] more than it.

use super::observation::Io;
use crate::{
    model::{Impact, Load},
    stats::LatencyHistogram,
};

/// Least margin above the 99th percentile.
const MARGIN_NS: u64 = 5_000_000;
/// I/O of this long is "just before" or "just after": one to two of them.
pub(super) const WINDOW_NS: u64 = 5_000_000_000;
/// Fewer I/Os tell no usual latency.
const ENOUGH: u64 = 20;
/// I/O kept from before a watch: what came in a little before its first sign.
const RING: usize = 256;
/// I/O kept one by one in a watch.
const KEPT: usize = 32_768;
/// Beyond that, late I/O only, and not more than this.
const LATE_KEPT: usize = 32_768;

/// One I/O.
#[derive(Debug, Clone, Copy, Default)]
struct Span {
    submitted_ns: u64,
    first_dispatch_ns: u64,
    dispatch_ns: u64,
    completion_ns: u64,
    retried: bool,
    failed: bool,
    stands_for: u64,
}

impl Span {
    fn total_ns(&self) -> u64 {
        self.completion_ns - self.submitted_ns
    }
}

/// The I/O of one logical unit.
#[derive(Debug)]
pub(super) struct Meter {
    /// The window goes on here; `older` is the window before it.
    recent: LatencyHistogram,
    recent_since_ns: u64,
    older: LatencyHistogram,
    older_since_ns: u64,
    /// All before `older` with the same owner.
    tenure: LatencyHistogram,
    ring: Box<[Span; RING]>,
    next: usize,
    /// Median and 99th percentile of the last window that had enough.
    usual: Option<(u64, u64)>,
    watch: Option<Box<Watch>>,
}

/// Close attention.
#[derive(Debug)]
struct Watch {
    began_ns: u64,
    before: Option<Load>,
    delayed_above_ns: u64,
    /// From the ring: already in the window.
    prior: Vec<Span>,
    spans: Vec<Span>,
    late: Vec<Span>,
    /// What was not kept, with the same owner as before.
    rest: LatencyHistogram,
    last_late_ns: u64,
}

impl Meter {
    pub fn new(now_ns: u64) -> Self {
        Self {
            recent: LatencyHistogram::default(),
            recent_since_ns: now_ns,
            older: LatencyHistogram::default(),
            older_since_ns: now_ns,
            tenure: LatencyHistogram::default(),
            ring: Box::new([Span::default(); RING]),
            next: 0,
            usual: None,
            watch: None,
        }
    }

    /// Takes one I/O.
    #[inline]
    pub fn record(&mut self, io: &Io) {
        if io.completion_ns < io.submitted_ns {
            return;
        }
        let span = Span {
            submitted_ns: io.submitted_ns,
            first_dispatch_ns: io.first_dispatch_ns,
            dispatch_ns: io.dispatch_ns,
            completion_ns: io.completion_ns,
            retried: io.retried,
            failed: io.failed,
            stands_for: u64::from(io.stands_for),
        };
        match &mut self.watch {
            None => self.pass(span),
            Some(watch) => watch.record(span),
        }
    }

    #[inline]
    fn pass(&mut self, span: Span) {
        if span.completion_ns.saturating_sub(self.recent_since_ns) >= WINDOW_NS {
            self.rotate(span.completion_ns);
        }
        self.recent.record_n(span.total_ns(), span.stands_for);
        self.ring[self.next % RING] = span;
        self.next = self.next.wrapping_add(1);
    }

    #[cold]
    fn rotate(&mut self, now_ns: u64) {
        self.tenure.add(&self.older);
        std::mem::swap(&mut self.recent, &mut self.older);
        self.older_since_ns = self.recent_since_ns;
        self.recent.clear();
        self.recent_since_ns = now_ns;
    }

    /// A transfer may be near from `now_ns` on: what follows is kept one by one.
    pub fn watch(&mut self, now_ns: u64) {
        if self.watch.is_some() {
            return;
        }
        let mut window = self.older.clone();
        window.add(&self.recent);
        if window.len() >= ENOUGH {
            self.usual = window.quantile_ns(0.5).zip(window.quantile_ns(0.99));
        }
        let p99_ns = self.usual.map_or(0, |(_, p99)| p99);
        let mut prior: Vec<Span> = self.ring.to_vec();
        prior.retain(|span| span.completion_ns > 0);
        self.watch = Some(Box::new(Watch {
            began_ns: now_ns,
            before: load(&window, now_ns.saturating_sub(self.older_since_ns)),
            delayed_above_ns: p99_ns.saturating_add(p99_ns.max(MARGIN_NS)),
            prior,
            spans: Vec::new(),
            late: Vec::new(),
            rest: LatencyHistogram::default(),
            last_late_ns: 0,
        }));
    }

    /// Every I/O counts by itself.
    pub fn is_watching(&self) -> bool {
        self.watch.is_some()
    }

    /// When the watch began, if there is one.
    pub fn watched_since(&self) -> Option<u64> {
        self.watch.as_ref().map(|watch| watch.began_ns)
    }

    /// Completion of the last delayed I/O of the watch; 0 without one.
    pub fn last_late_ns(&self) -> u64 {
        self.watch.as_ref().map_or(0, |watch| watch.last_late_ns)
    }

    /// Whether I/O is served again after `at_ns`, or there was none before: dm may hold what came in
    /// for longer than the transfer took.
    pub fn has_resumed(&self, at_ns: u64) -> bool {
        let Some(watch) = &self.watch else {
            return true;
        };
        let idle = watch.before.is_none_or(|load| load.commands == 0);
        idle || watch
            .all()
            .any(|span| !span.failed && span.completion_ns > at_ns)
    }

    /// Dispatch of the last I/O that ended well before `at_ns`, among those kept.
    pub fn last_good_before(&self, at_ns: u64) -> Option<u64> {
        let watch = self.watch.as_ref()?;
        let spans = watch.prior.iter().chain(&watch.spans);
        spans
            .filter(|span| !span.failed && !span.retried && span.completion_ns <= at_ns)
            .map(|span| span.first_dispatch_ns)
            .max()
    }

    /// Dispatch of the first I/O after `at_ns` that the array served, among those kept.
    pub fn first_served_after(&self, at_ns: u64) -> Option<u64> {
        let watch = self.watch.as_ref()?;
        let served = watch.all().filter(|span| !span.failed);
        served
            .map(|span| span.dispatch_ns)
            .filter(|dispatch_ns| *dispatch_ns > at_ns)
            .min()
    }

    /// Nothing came of it: the watch ends.
    pub fn unwatch(&mut self) {
        if let Some(watch) = self.watch.take() {
            self.tenure.add(&watch.rest);
            for span in watch.spans.into_iter().chain(watch.late) {
                self.pass(span);
            }
        }
    }

    /// The transfer from `start_ns` to `end_ns` is over. Ends the watch; what was submitted after
    /// the end belongs to the new owner. Also what the tenure before carried since `since_ns`.
    pub fn close(&mut self, since_ns: u64, start_ns: u64, end_ns: u64) -> Closed {
        self.watch(start_ns);
        let usual_ns = self.usual.map(|(p50, _)| p50);
        let Some(watch) = self.watch.take() else {
            return Closed::default();
        };
        let impact = watch.impact(start_ns, end_ns, usual_ns);
        let during = watch.during(start_ns, end_ns);
        self.tenure.add(&self.older);
        self.tenure.add(&self.recent);
        self.tenure.add(&watch.rest);
        let spans = watch.spans.iter().chain(&watch.late);
        for span in spans.clone().filter(|span| span.submitted_ns <= end_ns) {
            self.tenure.record(span.total_ns());
        }
        let tenure = load(&self.tenure, start_ns.saturating_sub(since_ns));
        self.begin_tenure(end_ns);
        for span in spans.filter(|span| span.submitted_ns > end_ns) {
            self.pass(*span);
        }
        Closed {
            impact,
            before: watch.before,
            during,
            tenure,
        }
    }

    fn begin_tenure(&mut self, now_ns: u64) {
        self.tenure.clear();
        self.older.clear();
        self.recent.clear();
        (self.older_since_ns, self.recent_since_ns) = (now_ns, now_ns);
    }

    /// The window that ends at `now_ns`.
    pub fn window(&self, now_ns: u64) -> Option<Load> {
        let mut window = self.older.clone();
        window.add(&self.recent);
        load(&window, now_ns.saturating_sub(self.older_since_ns))
    }

    /// Everything with this owner since `since_ns`.
    pub fn tenure(&mut self, since_ns: u64, now_ns: u64) -> Option<Load> {
        self.unwatch();
        let mut all = self.tenure.clone();
        all.add(&self.older);
        all.add(&self.recent);
        load(&all, now_ns.saturating_sub(since_ns))
    }
}

/// What a closed transfer did to I/O.
#[derive(Debug, Default)]
pub(super) struct Closed {
    pub impact: Impact,
    pub before: Option<Load>,
    pub during: Option<Load>,
    /// Of the owner before.
    pub tenure: Option<Load>,
}

impl Watch {
    #[inline]
    fn record(&mut self, span: Span) {
        let late = span.total_ns() > self.delayed_above_ns;
        if late {
            self.last_late_ns = self.last_late_ns.max(span.completion_ns);
        }
        if self.spans.len() < KEPT {
            self.spans.push(span);
        } else if (late || span.failed || span.retried) && self.late.len() < LATE_KEPT {
            self.late.push(span);
        } else {
            self.rest.record(span.total_ns());
        }
    }

    fn all(&self) -> impl Iterator<Item = &Span> {
        self.prior.iter().chain(&self.spans).chain(&self.late)
    }

    fn impact(&self, start_ns: u64, end_ns: u64, usual_ns: Option<u64>) -> Impact {
        let touched = || self.all().filter(|span| span.completion_ns >= start_ns);
        // What was submitted while the queue still drained was held up, too.
        let drained_ns = touched()
            .filter(|span| span.submitted_ns <= end_ns)
            .map(|span| span.completion_ns)
            .fold(end_ns, u64::max);
        let mut impact = Impact {
            usual_ns,
            delayed_above_ns: self.delayed_above_ns,
            ..Impact::default()
        };
        for span in touched().filter(|span| span.submitted_ns <= drained_ns) {
            impact.retried += u64::from(span.retried);
            impact.failed += u64::from(span.failed);
            // A command that failed on its path goes on in dm, as another command.
            if span.failed || span.total_ns() <= self.delayed_above_ns {
                continue;
            }
            let held_ns = span.first_dispatch_ns.saturating_sub(span.submitted_ns);
            impact.delayed += 1;
            impact.held_in_dm += u64::from(held_ns > self.delayed_above_ns);
            let added_ns = span.total_ns().saturating_sub(usual_ns.unwrap_or(0));
            impact.added_ns = impact.added_ns.saturating_add(added_ns);
            impact.longest_ns = impact.longest_ns.max(span.total_ns());
        }
        impact
    }

    /// I/O that completed within, of those kept: exact unless there were more than [`KEPT`].
    fn during(&self, start_ns: u64, end_ns: u64) -> Option<Load> {
        let last_kept_ns = match self.spans.last() {
            Some(last) if self.spans.len() == KEPT => last.completion_ns,
            _ => u64::MAX,
        };
        let end_ns = end_ns.min(last_kept_ns);
        let mut latency = LatencyHistogram::default();
        for span in self.prior.iter().chain(&self.spans) {
            if (start_ns..=end_ns).contains(&span.completion_ns) {
                latency.record(span.total_ns());
            }
        }
        load(&latency, end_ns.saturating_sub(start_ns))
    }
}

/// The load of a period; `None` when it took no time.
fn load(latency: &LatencyHistogram, period_ns: u64) -> Option<Load> {
    (period_ns > 0).then(|| Load {
        commands: latency.len(),
        iops: latency.len() as f64 * 1e9 / period_ns as f64,
        p50_ns: latency.percentile_ns(0.5),
        p99_ns: latency.percentile_ns(0.99),
    })
}
