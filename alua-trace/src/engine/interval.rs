//! One interval: a row for each path, made from histograms.

use std::collections::BTreeMap;

use super::{Engine, paths::Entry};
use crate::model::{Interval, Line, Row};

impl Engine {
    /// The interval that ends now; begins the next.
    pub(super) fn interval(&mut self, now_ns: u64) {
        let mut events = Vec::new();
        self.flags.update(&mut |event| events.push(event));
        self.say_flags(events);
        let interval_ns = now_ns.saturating_sub(self.interval_began_ns).max(1);
        let mut rows: Vec<Row> = self
            .shown()
            .map(|entry| Row {
                network: self.connections.in_interval(entry),
                ..row(entry, interval_ns)
            })
            .collect();
        share(&mut rows);
        for entry in self.paths.entries_mut() {
            entry.stats.end_interval();
            entry.ios = 0;
        }
        self.connections.end_interval();
        self.interval_began_ns = now_ns;
        self.lines.push(Line::Interval(Interval {
            ended_at_ns: now_ns,
            elapsed_ns: now_ns.saturating_sub(self.began_ns),
            interval_ns,
            rows,
            losses: self.losses(),
        }));
    }
}

fn row(entry: &Entry, interval_ns: u64) -> Row {
    let (latency, bytes) = entry.stats.interval();
    let per_second = 1e9 / interval_ns as f64;
    Row {
        path: entry.label.clone(),
        commands: latency.len(),
        iops: latency.len() as f64 * per_second,
        bytes_per_s: bytes as f64 * per_second,
        in_flight: entry.in_flight(),
        p50_ns: latency.percentile_ns(0.50),
        p99_ns: latency.percentile_ns(0.99),
        p999_ns: latency.percentile_ns(0.999),
        max_ns: latency.max_ns(),
        share: 0.0,
        cells: entry.stats.interval_cells(),
        network: None,
    }
}

/// Shares among the rows of one map, or among those without one.
fn share(rows: &mut [Row]) {
    let mut totals: BTreeMap<Option<String>, f64> = BTreeMap::new();
    for row in &*rows {
        *totals.entry(row.path.map.clone()).or_default() += row.iops;
    }
    for row in rows {
        let total = totals.get(&row.path.map).copied().unwrap_or(0.0);
        row.share = if total > 0.0 { row.iops / total } else { 0.0 };
    }
}
