//! Latency histograms per path × class × access state. Pure: no clock, no I/O.
//!
//! Percentiles are computed from histograms when they are asked for, never averaged. Two
//! significant figures give 128 to 256 buckets per octave's upper half: a value is off by at most
//! 1/128 (0.78 %) of itself, half of that where the middle of a bucket is reported.

use crate::model::{self, AccessState, Class, Latency};

pub mod bins;
mod counted;
mod histogram;
pub mod quantile;

pub use counted::Counted;
pub use histogram::{LatencyHistogram, bin_end_ns, empty};

/// A sum of counts: those of a recording may be anything.
#[must_use]
pub fn sum(counts: impl IntoIterator<Item = u64>) -> u64 {
    counts.into_iter().fold(0, u64::saturating_add)
}

/// Of commands whose state is known, the part on paths that were not active/optimized; `None` where there are none.
#[must_use]
pub fn not_optimized_share<'a>(latencies: impl IntoIterator<Item = &'a Latency>) -> Option<f64> {
    let known = latencies
        .into_iter()
        .filter(|it| it.state != AccessState::Unknown);
    let (not, all) = known.fold((0_u64, 0_u64), |(not, all), it| {
        let is_not = it.state != AccessState::Optimized;
        let of_not = if is_not { it.commands } else { 0 };
        (not.saturating_add(of_not), all.saturating_add(it.commands))
    });
    (all > 0).then(|| not as f64 / all as f64)
}

/// Access states in the order of their index.
pub const STATES: [AccessState; 8] = [
    AccessState::Optimized,
    AccessState::NonOptimized,
    AccessState::Standby,
    AccessState::Unavailable,
    AccessState::LbaDependent,
    AccessState::Offline,
    AccessState::Transitioning,
    AccessState::Unknown,
];

/// [`alua_trace_ebpf::state_index`] by state byte without its preferred bit: a table, because it is
/// asked for every command.
const INDICES: [u8; 32] = {
    let mut indices = [0; 32];
    let mut byte: u8 = 0;
    while byte < 32 {
        indices[byte as usize] = alua_trace_ebpf::state_index(byte) as u8;
        byte += 1;
    }
    indices
};

/// Index into [`STATES`] of a wire state byte.
#[inline]
#[must_use]
pub fn state_index(byte: u8) -> usize {
    usize::from(INDICES[usize::from(byte) & 31] & 7)
}

/// The state of a wire state byte.
#[must_use]
pub fn access_state(byte: u8) -> AccessState {
    STATES[state_index(byte)]
}

/// One command, as far as statistics care.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Kind of command.
    pub class: Class,
    /// Index into [`STATES`], from [`state_index`].
    pub state: usize,
    /// Dispatch to completion.
    pub latency_ns: u64,
    /// Data.
    pub bytes: u32,
    /// Not block I/O.
    pub passthrough: bool,
    /// Came through a dm map.
    pub mapped: bool,
    /// Ended with a result other than 0.
    pub error: bool,
}

#[inline]
fn raise(sum: &mut u64, more: u64) {
    *sum = sum.wrapping_add(more);
}

/// What is kept for one class × state.
#[derive(Debug, Clone, Default)]
struct Cell {
    /// Before the interval.
    before: LatencyHistogram,
    /// In the interval: a command is recorded once, and intervals are added up.
    interval: LatencyHistogram,
    /// Ended when the interval began.
    bytes_before: u64,
    errors_before: u64,
    bytes: u64,
    passthrough: u64,
    mapped: u64,
    errors: u64,
    /// From here on a latency is among the slowest: see [`PathStats::slow_from`].
    slow_from_ns: u64,
}

/// In the order of [`PathStats::cells`].
const CLASSES: [Class; 3] = [Class::Read, Class::Write, Class::Other];

/// Everything kept for one path.
#[derive(Debug, Default)]
pub struct PathStats {
    /// By class and state; made when first needed: most paths know two of the 24.
    cells: [[Option<Box<Cell>>; STATES.len()]; 3],
    counted: u64,
    /// The interval saw a command.
    saw_any: bool,
}

impl PathStats {
    /// Adds one command; whether it is slower than [`Self::slow_from`] of its class and state.
    #[inline]
    pub fn record(&mut self, sample: &Sample) -> bool {
        let cell = self.cells[sample.class as usize][sample.state & 7].get_or_insert_default();
        self.saw_any = true;
        cell.interval.record(sample.latency_ns);
        // Wrapping, as those that were counted before may be anything in a recording.
        raise(&mut cell.bytes, u64::from(sample.bytes));
        raise(&mut cell.passthrough, u64::from(sample.passthrough));
        raise(&mut cell.mapped, u64::from(sample.mapped));
        raise(&mut cell.errors, u64::from(sample.error));
        sample.latency_ns >= cell.slow_from_ns
    }

    /// The same for block I/O on an optimized path that ended well, `mapped` or not. False, and nothing is added, for one
    /// that is slow or of a latency not met before: those are few, and this is all that is done for most commands.
    #[inline]
    pub fn record_usual(
        &mut self,
        class: Class,
        latency_ns: u64,
        bytes: u32,
        mapped: bool,
    ) -> bool {
        let Some(cell) = &mut self.cells[class as usize][0] else {
            return false;
        };
        if latency_ns >= cell.slow_from_ns || !cell.interval.record_known(latency_ns) {
            return false;
        }
        raise(&mut cell.bytes, u64::from(bytes));
        raise(&mut cell.mapped, u64::from(mapped));
        self.saw_any = true;
        true
    }

    /// Adds what the kernel has counted of one class and state.
    pub fn count(&mut self, counted: &Counted) {
        let class = usize::from(counted.class).min(CLASSES.len() - 1);
        let cell = self.cells[class][usize::from(counted.state) & 7].get_or_insert_default();
        self.saw_any = true;
        cell.interval.count(&counted.buckets, counted.sum_ns);
        raise(&mut cell.bytes, counted.bytes);
        raise(&mut cell.passthrough, counted.passthrough);
        raise(&mut cell.mapped, counted.mapped);
        raise(&mut cell.errors, counted.errors);
        raise(&mut self.counted, counted.commands());
    }

    /// Commands of those recorded that were only counted.
    #[must_use]
    pub fn counted(&self) -> u64 {
        self.counted
    }

    /// As [`Self::slow_from`] was told, by indices of the class and the state; 0 at first.
    #[must_use]
    pub fn slow_from_ns(&self, class: usize, state: usize) -> u64 {
        let cell = self.cells.get(class).and_then(|it| it.get(state)?.as_ref());
        cell.map_or(0, |cell| cell.slow_from_ns)
    }

    /// Commands of a class and state (index into [`STATES`]) count as slow from this latency on; 0 at
    /// first.
    pub fn slow_from(&mut self, class: Class, state: usize, latency_ns: u64) {
        if let Some(cell) = &mut self.cells[class as usize][state & 7] {
            cell.slow_from_ns = latency_ns;
        }
    }

    /// Adds everything kept for another.
    pub fn add(&mut self, other: &Self) {
        let others = other.cells.iter().flatten();
        for (cell, other) in self.cells.iter_mut().flatten().zip(others) {
            if let Some(other) = other {
                cell.get_or_insert_default().add(other);
            }
        }
        raise(&mut self.counted, other.counted);
        self.saw_any |= other.saw_any;
    }

    /// Commands recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        let cells = self.cells.iter().flatten().flatten();
        sum(cells.flat_map(|cell| [cell.before.len(), cell.interval.len()]))
    }

    /// What the interval saw: latencies and bytes. [`Self::end_interval`] begins the next.
    #[must_use]
    pub fn interval(&self) -> (LatencyHistogram, u64) {
        let (mut sum, mut bytes) = (LatencyHistogram::default(), 0);
        let cells = self.cells.iter().flatten().flatten();
        for cell in cells.filter(|it| !it.interval.is_empty()) {
            sum.add(&cell.interval);
            raise(&mut bytes, cell.interval_bytes());
        }
        (sum, bytes)
    }

    /// Whether the interval saw any command.
    #[must_use]
    pub fn saw_any(&self) -> bool {
        self.saw_any
    }

    /// What the interval saw, by class and state.
    #[must_use]
    pub fn interval_cells(&self) -> Vec<model::Cell> {
        let mut told = Vec::new();
        for (class, cells) in CLASSES.iter().zip(&self.cells) {
            for (state, cell) in STATES.iter().zip(cells) {
                if let Some(cell) = cell.as_ref().filter(|it| !it.interval.is_empty()) {
                    told.push(cell.of_interval(*class, *state));
                }
            }
        }
        told
    }

    /// Begins the next interval.
    pub fn end_interval(&mut self) {
        if !std::mem::take(&mut self.saw_any) {
            return;
        }
        for cell in self.cells.iter_mut().flatten().flatten() {
            cell.end_interval();
        }
    }

    /// Adds the reads and writes in one state to `sum`.
    pub fn add_block_io(&self, state: AccessState, sum: &mut LatencyHistogram) {
        let Some(state) = STATES.iter().position(|known| *known == state) else {
            return;
        };
        for class in [Class::Read, Class::Write] {
            if let Some(cell) = &self.cells[class as usize][state] {
                sum.add(&cell.before);
                sum.add(&cell.interval);
            }
        }
    }

    /// Every class × state that saw commands.
    #[must_use]
    pub fn latencies(&self) -> Vec<Latency> {
        let mut latencies = Vec::new();
        for (class, cells) in CLASSES.iter().zip(&self.cells) {
            for (state, cell) in STATES.iter().zip(cells) {
                if let Some(cell) = cell {
                    latencies.push(cell.report(*class, *state));
                }
            }
        }
        latencies
    }
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.before.add(&other.before);
        self.interval.add(&other.interval);
        raise(&mut self.bytes_before, other.bytes_before);
        raise(&mut self.errors_before, other.errors_before);
        raise(&mut self.bytes, other.bytes);
        raise(&mut self.passthrough, other.passthrough);
        raise(&mut self.mapped, other.mapped);
        raise(&mut self.errors, other.errors);
    }

    fn end_interval(&mut self) {
        if !self.interval.is_empty() {
            self.before.add(&self.interval);
            self.interval.clear();
            (self.bytes_before, self.errors_before) = (self.bytes, self.errors);
        }
    }

    fn interval_bytes(&self) -> u64 {
        self.bytes.wrapping_sub(self.bytes_before)
    }

    fn of_interval(&self, class: Class, state: AccessState) -> model::Cell {
        model::Cell {
            class,
            state,
            commands: self.interval.len(),
            errors: self.errors.wrapping_sub(self.errors_before),
            bytes: self.interval_bytes(),
            sum_ns: u64::try_from(self.interval.sum_ns).unwrap_or(u64::MAX),
            min_ns: self.interval.min_ns,
            max_ns: self.interval.max_ns,
            buckets: self.interval.non_empty_buckets(),
        }
    }

    fn report(&self, class: Class, state: AccessState) -> Latency {
        let mut latency = self.before.clone();
        latency.add(&self.interval);
        let buckets = latency.non_empty_buckets();
        let quantiles = quantile::told(&buckets, (latency.min_ns, latency.max_ns));
        let quantile = |quantile| latency.percentile_ns(quantile);
        Latency {
            class,
            state,
            commands: latency.len(),
            passthrough: self.passthrough,
            mapped: self.mapped,
            errors: self.errors,
            bytes: self.bytes,
            min_ns: latency.min_ns,
            mean_ns: latency.mean_ns(),
            p50_ns: quantile(0.50),
            p90_ns: quantile(0.90),
            p99_ns: quantile(0.99),
            p999_ns: quantile(0.999),
            max_ns: latency.max_ns,
            quantiles,
            buckets,
            slowest: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_keep_classes_and_states_apart_and_add_up() {
        let mut stats = PathStats::default();
        let sample = Sample {
            class: Class::Read,
            state: 0,
            latency_ns: 1_000,
            bytes: 512,
            passthrough: false,
            mapped: true,
            error: false,
        };
        stats.record(&sample);
        stats.record(&Sample {
            state: 1,
            latency_ns: 2_000,
            ..sample
        });
        stats.record(&Sample {
            class: Class::Other,
            state: 7,
            passthrough: true,
            ..sample
        });
        let reports = stats.latencies();
        let keys: Vec<_> = reports
            .iter()
            .map(|report| (report.class, report.state))
            .collect();
        assert_eq!(
            keys,
            [
                (Class::Read, AccessState::Optimized),
                (Class::Read, AccessState::NonOptimized),
                (Class::Other, AccessState::Unknown),
            ]
        );
        let commands: u64 = reports.iter().map(|report| report.commands).sum();
        assert_eq!(commands, stats.recorded());
        assert!(reports.iter().all(|report| {
            report.buckets.iter().map(|bucket| bucket.1).sum::<u64>() == report.commands
        }));
        assert_eq!(stats.interval().0.len(), 3);
        stats.end_interval();
        assert!(stats.interval().0.is_empty());
    }
}
