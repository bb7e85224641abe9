//! One interval: a row for each path, made from histograms.

use std::sync::Arc;

use super::{Engine, paths::Entry};
use crate::model::{Interval, Line, Row, SoFar};

impl Engine {
    /// The interval that ends now; begins the next.
    pub(super) fn interval(&mut self, now_ns: u64) {
        let mut events = Vec::new();
        self.flags.update(&mut |event| events.push(event));
        self.say_flags(events);
        let interval_ns = now_ns.saturating_sub(self.interval_began_ns).max(1);
        let mut rows = Vec::with_capacity(self.paths.entries().len());
        rows.extend(self.shown().map(|entry| Row {
            network: self.connections.in_interval(entry),
            ..row(entry, interval_ns)
        }));
        share(&mut rows);
        for entry in self.paths.entries_mut() {
            entry.stats.end_interval();
            entry.ios = 0;
        }
        self.connections.end_interval();
        self.interval_began_ns = now_ns;
        self.lines.push(Line::Interval(Arc::new(Interval {
            ended_at_ns: now_ns,
            elapsed_ns: now_ns.saturating_sub(self.began_ns),
            interval_ns,
            rows,
            losses: self.losses(),
            holds: self.holds(),
        })));
    }
}

fn row(entry: &Entry, interval_ns: u64) -> Row {
    let (path, in_flight) = (Arc::clone(&entry.label), entry.in_flight());
    let so_far = SoFar {
        counts: entry.account(in_flight),
        retried: entry.retried,
        dm_active: entry.label.map.as_ref().map(|_| entry.dm_active),
        rtpg: entry.rtpgs.as_ref().map(|rtpgs| rtpgs.so_far()),
    };
    if !entry.stats.saw_any() {
        return Row {
            in_flight,
            so_far,
            ..Row::idle(path)
        };
    }
    let (latency, bytes) = entry.stats.interval();
    let per_second = 1e9 / interval_ns as f64;
    Row {
        path,
        commands: latency.len(),
        iops: latency.len() as f64 * per_second,
        bytes_per_s: bytes as f64 * per_second,
        in_flight,
        p50_ns: latency.percentile_ns(0.50),
        p99_ns: latency.percentile_ns(0.99),
        p999_ns: latency.percentile_ns(0.999),
        max_ns: latency.max_ns(),
        share: 0.0,
        cells: entry.stats.interval_cells(),
        network: None,
        so_far,
    }
}

/// Shares among the rows of one map, or among those without one. Rows of a map follow each other.
fn share(rows: &mut [Row]) {
    for of_map in rows.chunk_by_mut(|a, b| a.path.map == b.path.map) {
        let total: f64 = of_map.iter().map(|row| row.iops).sum();
        if total > 0.0 {
            of_map
                .iter_mut()
                .for_each(|row| row.share = row.iops / total);
        }
    }
}
