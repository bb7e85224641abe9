//! What every path carried over time, in columns: an interval each at first, several when a trace is long,
//! so that memory does not grow with it. Columns add up, bin by bin.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    model::{AccessState, Class, Interval, Path, Row},
    stats::bins::Bins,
};

/// Most columns of a trace with few paths.
const MOST_COLUMNS: usize = 240;
/// Least columns, however many paths there are.
const LEAST_COLUMNS: usize = 24;
/// Columns of all paths together, about: what a trace with many paths is bounded by.
const ALL_COLUMNS: usize = 12_000;

/// The time that a column is about, in ns since the start of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Where it begins.
    pub from_ns: u64,
    /// Where it ends.
    pub to_ns: u64,
}

impl Span {
    /// How long it is, at least 1 ns.
    pub fn length_ns(self) -> u64 {
        self.to_ns.saturating_sub(self.from_ns).max(1)
    }
}

/// Commands of one class and state in one column.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Their latencies.
    pub bins: Bins,
    /// Their data.
    pub bytes: u64,
    /// Of them, ended with a result other than 0.
    pub errors: u64,
}

impl Seen {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.bins.add(&other.bins);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.errors = self.errors.saturating_add(other.errors);
    }
}

/// Class of a command, and access state at its dispatch.
pub type Key = (Class, AccessState);

/// What one path carried in one column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    /// Its commands, by class and state.
    pub seen: BTreeMap<Key, Seen>,
    /// dm's path group that the path was in at the end.
    pub path_group: Option<u32>,
}

impl Column {
    fn add(&mut self, other: Self) {
        for (key, seen) in other.seen {
            self.seen.entry(key).or_default().add(&seen);
        }
        self.path_group = other.path_group.or(self.path_group);
    }

    fn of(row: Row) -> Self {
        let mut column = Self {
            seen: BTreeMap::new(),
            path_group: row.path.path_group,
        };
        for cell in row.cells {
            let seen = column.seen.entry((cell.class, cell.state)).or_default();
            seen.bins.add_cell(&cell);
            seen.bytes = seen.bytes.saturating_add(cell.bytes);
            seen.errors = seen.errors.saturating_add(cell.errors);
        }
        column
    }

    /// All of its commands.
    pub fn total(&self) -> Seen {
        total(self.seen.values())
    }

    /// Its reads and writes.
    pub fn block_io(&self) -> Seen {
        let io = self
            .seen
            .iter()
            .filter(|((class, _), _)| *class != Class::Other);
        total(io.map(|(_, seen)| seen))
    }
}

fn total<'a>(seen: impl Iterator<Item = &'a Seen>) -> Seen {
    let mut sum = Seen::default();
    seen.for_each(|it| sum.add(it));
    sum
}

/// One path over time.
#[derive(Debug, Clone)]
pub struct Track {
    /// The path as it was last.
    pub path: Arc<Path>,
    /// What it carried, by column of the timeline; those at the end may be missing.
    pub columns: Vec<Column>,
}

/// All paths over time.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// The time of each column.
    pub spans: Vec<Span>,
    /// Paths by [`Path::id`].
    pub tracks: BTreeMap<u16, Track>,
    /// Intervals of a whole column.
    each: usize,
    /// Intervals in the last column.
    in_last: usize,
    /// Length of the last interval.
    usual_ns: u64,
}

impl Timeline {
    /// Adds an interval behind those before.
    pub fn add(&mut self, interval: Interval) {
        self.make_room(interval.rows.len());
        let to_ns = interval.elapsed_ns;
        let from_ns = to_ns.saturating_sub(interval.interval_ns);
        // What is left at the end may be so short that its rates say nothing.
        let is_rest = interval.interval_ns < self.usual_ns / 2;
        self.usual_ns = interval.interval_ns;
        let joins = is_rest || self.in_last < self.each;
        match self.spans.last_mut().filter(|_| joins) {
            Some(span) => {
                span.to_ns = to_ns;
                self.in_last += 1;
            }
            None => {
                self.spans.push(Span { from_ns, to_ns });
                self.in_last = 1;
                self.each = self.each.max(1);
            }
        }
        let last = self.spans.len() - 1;
        for row in interval.rows {
            let track = self.tracks.entry(row.path.id).or_insert_with(|| Track {
                path: Arc::clone(&row.path),
                columns: Vec::new(),
            });
            if track.path != row.path {
                track.path = Arc::clone(&row.path);
            }
            track.columns.resize_with(last + 1, Column::default);
            track.columns[last].add(Column::of(row));
        }
    }

    /// Two columns become one where there are too many.
    fn make_room(&mut self, paths: usize) {
        let most = (ALL_COLUMNS / paths.max(1)).clamp(LEAST_COLUMNS, MOST_COLUMNS);
        while self.spans.len() >= most && self.in_last >= self.each {
            // Then the last one is half full.
            let odd = !self.spans.len().is_multiple_of(2);
            let spans = self.spans.chunks(2).map(|pair| Span {
                from_ns: pair[0].from_ns,
                to_ns: pair[pair.len() - 1].to_ns,
            });
            self.spans = spans.collect();
            for track in self.tracks.values_mut() {
                let mut columns = std::mem::take(&mut track.columns).into_iter();
                while let Some(mut column) = columns.next() {
                    if let Some(next) = columns.next() {
                        column.add(next);
                    }
                    track.columns.push(column);
                }
            }
            self.in_last = if odd { self.each } else { 2 * self.each };
            self.each *= 2;
        }
    }

    /// When the last column ends, in ns since the start of the trace.
    pub fn end_ns(&self) -> u64 {
        self.spans.last().map_or(0, |span| span.to_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Cell, report::samples};

    /// Interval number `nth`, with one read of so many ns on each of the paths.
    fn interval(nth: u64, paths: u16) -> Interval {
        let mut interval = samples::interval(paths);
        interval.interval_ns = 1000;
        interval.elapsed_ns = (nth + 1) * 1000;
        for row in &mut interval.rows {
            row.cells = vec![Cell {
                class: Class::Read,
                state: AccessState::Optimized,
                commands: 1,
                errors: 1,
                bytes: 512,
                sum_ns: nth,
                min_ns: nth,
                max_ns: nth,
                buckets: vec![(nth, 1)],
            }];
        }
        interval
    }

    #[test]
    fn long_traces_get_wider_columns_and_lose_nothing() {
        for (paths, intervals) in [
            (1, 1),
            (1, 240),
            (1, 241),
            (2, 2001),
            (97, 300),
            (1000, 100),
        ] {
            let mut timeline = Timeline::default();
            for nth in 0..intervals {
                timeline.add(interval(nth, paths));
            }
            let most = (ALL_COLUMNS / usize::from(paths)).clamp(LEAST_COLUMNS, MOST_COLUMNS);
            assert!(timeline.spans.len() <= most, "{}", timeline.spans.len());
            assert_eq!(timeline.end_ns(), intervals * 1000);
            let joined = timeline.spans.windows(2);
            assert!(
                joined
                    .into_iter()
                    .all(|pair| pair[0].to_ns == pair[1].from_ns)
            );
            for track in timeline.tracks.values() {
                assert_eq!(track.columns.len(), timeline.spans.len());
                let totals = track.columns.iter().map(Column::total);
                let counts: Vec<u64> = totals.map(|seen| seen.bins.commands()).collect();
                assert_eq!(counts.iter().sum::<u64>(), intervals);
                for (span, count) in timeline.spans.iter().zip(&counts) {
                    assert_eq!(span.length_ns(), count * 1000);
                }
            }
        }
    }
}
