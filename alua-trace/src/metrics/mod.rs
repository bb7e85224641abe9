//! What a trace has told so far, as metrics: counters, gauges and histograms of maps and paths, for Prometheus.
//!
//! [`Metrics`] adds up the lines of a trace, as any other output takes them; `families` says what each metric is called and
//! means; [`server`] gives them to whoever asks over HTTP. Names, labels and errors are in `docs/metrics.md`.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::model::{
    AccessState, Cause, Class, CountingChange, FlagChange, FlagKind, Hold, Interval, Line, Losses,
    Path, PathChange, SoFar, Start, Transfer, TransferChange,
};
use crate::sinks::Sink;
use distribution::Distribution;

mod distribution;
mod families;
pub mod server;

#[cfg(test)]
mod tests;

/// For how long metrics of a path that is gone are still told: longer than scrapes are apart.
const GONE_NS: u64 = 600_000_000_000;

/// What a trace has told so far.
#[derive(Debug, Default)]
pub struct Metrics {
    start: Option<Start>,
    /// By [`Path::id`].
    paths: BTreeMap<u16, OfPath>,
    losses: Losses,
    /// By map.
    holds: Vec<Hold>,
    transfers: BTreeMap<TransferKey, u64>,
    /// Flags so far.
    raised: BTreeMap<FlagKey, u64>,
    /// By [`crate::model::Flag::id`].
    active: BTreeMap<u32, FlagKey>,
    /// Commands are counted in the kernel.
    is_counting: bool,
    at_ns: u64,
}

/// Map, or device without a map, and what moved its unit.
type TransferKey = (String, Cause);
/// Map, or device without a map, and what is found of it.
type FlagKey = (String, FlagKind);

/// One path.
#[derive(Debug)]
struct OfPath {
    label: Arc<Path>,
    /// When it vanished.
    gone_at_ns: Option<u64>,
    in_flight: u64,
    so_far: SoFar,
    cells: BTreeMap<(Class, AccessState), OfCell>,
    retransmits: Option<u64>,
    rtt_us: Option<u32>,
}

/// One class and state of a path.
#[derive(Debug, Default)]
struct OfCell {
    latency: Distribution,
    errors: u64,
    bytes: u64,
}

impl Metrics {
    /// Takes a line of a trace.
    pub fn take(&mut self, line: &Line) {
        match line {
            Line::Start(start) => {
                for path in &start.paths {
                    self.path(&Arc::new(path.clone()));
                }
                self.at_ns = start.started_at_ns;
                self.start = Some(start.clone());
            }
            Line::Interval(interval) => self.interval(interval),
            Line::Path(event) => {
                let at_ns = event.seen_at_ns;
                let path = self.path(&Arc::new(event.path.clone()));
                path.gone_at_ns = (event.change == PathChange::Vanished).then_some(at_ns);
            }
            Line::Flag(event) => {
                let flag = &event.flag;
                let key = (flag.subject.clone(), flag.kind);
                match event.change {
                    FlagChange::Raised => {
                        *self.raised.entry(key.clone()).or_default() += 1;
                        self.active.insert(flag.id, key);
                    }
                    FlagChange::Ended => _ = self.active.remove(&flag.id),
                    _ => {}
                }
            }
            // Until then its cause may turn out to be another.
            Line::Transfer(event) if event.change == TransferChange::Done => {
                self.transfer(&event.transfer);
            }
            Line::Counting(event) => {
                self.is_counting = event.change != CountingChange::Over;
            }
            Line::Summary(summary) => {
                self.losses = summary.losses;
                self.holds.clone_from(&summary.holds);
                for path in &summary.paths {
                    self.path(&Arc::new(path.path.clone())).so_far.counts = path.counts;
                }
            }
            Line::Transfer(_) | Line::Command(_) | Line::LeftOut(_) => {}
        }
    }

    fn transfer(&mut self, transfer: &Transfer) {
        let key = (transfer.subject.clone(), transfer.cause);
        *self.transfers.entry(key).or_default() += 1;
    }

    fn interval(&mut self, interval: &Interval) {
        (self.at_ns, self.losses) = (interval.ended_at_ns, interval.losses);
        self.holds.clone_from(&interval.holds);
        for row in &interval.rows {
            let path = self.path(&row.path);
            (path.in_flight, path.so_far) = (row.in_flight, row.so_far.clone());
            for cell in &row.cells {
                let of_cell = path.cells.entry((cell.class, cell.state)).or_default();
                of_cell.latency.add(cell);
                of_cell.errors = of_cell.errors.saturating_add(cell.errors);
                of_cell.bytes = of_cell.bytes.saturating_add(cell.bytes);
            }
            if let Some(network) = row.network {
                path.rtt_us = network.rtt_us;
                let sum = path.retransmits.unwrap_or(0);
                path.retransmits = Some(sum.saturating_add(network.retransmits));
            }
        }
        let at_ns = self.at_ns;
        let is_long_gone = |gone_ns: u64| at_ns.saturating_sub(gone_ns) > GONE_NS;
        self.paths
            .retain(|_, path| !path.gone_at_ns.is_some_and(is_long_gone));
    }

    /// What is known of a path, with its names as they are now.
    fn path(&mut self, label: &Arc<Path>) -> &mut OfPath {
        let path = self.paths.entry(label.id).or_insert_with(|| OfPath {
            label: Arc::clone(label),
            gone_at_ns: None,
            in_flight: 0,
            so_far: SoFar::default(),
            cells: BTreeMap::new(),
            retransmits: None,
            rtt_us: None,
        });
        path.label = Arc::clone(label);
        path
    }
}

/// Metrics that one thread adds to and another reads.
#[derive(Debug, Clone, Default)]
pub struct Shared(Arc<Mutex<Metrics>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Metrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink<Line> for Shared {
    fn take(&mut self, line: &Line) -> io::Result<()> {
        self.lock().take(line);
        Ok(())
    }
}
