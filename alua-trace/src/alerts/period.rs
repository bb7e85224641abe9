//! The last minutes of a trace, as a summary that expressions are asked of.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::model::{
    AccessState, Cell, Class, Counts, Flag, FlagChange, Interval, Latency, Line, Losses, Ownership,
    Path, PathSummary, Summary, Transfer, TransferChange,
};

/// A period moves in steps of so many parts of itself.
const PARTS: u32 = 6;
/// Transfers that are kept of a part: more are thrash, which flags tell.
const TRANSFERS: usize = 1000;

/// What was seen in the last while.
#[derive(Debug)]
pub struct Period {
    part_ns: u64,
    parts: VecDeque<Seen>,
    /// Flags that hold, and those that ended within the period, by [`Flag::id`].
    flags: BTreeMap<u32, Flag>,
    losses: Losses,
}

/// What was seen in a part of it.
#[derive(Debug, Default)]
struct Seen {
    began_ns: u64,
    lasted_ns: u64,
    paths: BTreeMap<u16, OfPath>,
    transfers: Vec<Transfer>,
    transfers_left_out: u64,
    /// Of each flag how many commands it had before.
    flagged_before: BTreeMap<u32, u64>,
    losses_before: Losses,
}

#[derive(Debug)]
struct OfPath {
    label: Arc<Path>,
    cells: BTreeMap<(Class, AccessState), OfCell>,
}

#[derive(Debug, Default)]
struct OfCell {
    commands: u64,
    errors: u64,
    bytes: u64,
    sum_ns: u128,
    min_ns: Option<u64>,
    max_ns: u64,
    buckets: BTreeMap<u64, u64>,
}

impl Period {
    /// Of so long a time.
    #[must_use]
    pub fn new(length: Duration) -> Self {
        let part = u64::try_from((length / PARTS).as_nanos()).unwrap_or(u64::MAX);
        Self {
            part_ns: part.max(1),
            parts: VecDeque::new(),
            flags: BTreeMap::new(),
            losses: Losses::default(),
        }
    }

    /// Takes a line of a trace.
    pub fn take(&mut self, line: &Line) {
        match line {
            Line::Interval(interval) => self.interval(interval),
            Line::Flag(event) => {
                if event.change == FlagChange::Raised
                    && let Some(part) = self.part(event.flag.raised_at_ns)
                {
                    part.flagged_before.insert(event.flag.id, 0);
                }
                self.flags.insert(event.flag.id, event.flag.clone());
            }
            Line::Transfer(event) if event.change == TransferChange::Done => {
                let Some(part) = self.part(event.transfer.ended_at_ns) else {
                    return;
                };
                if part.transfers.len() < TRANSFERS {
                    part.transfers.push(event.transfer.clone());
                } else {
                    part.transfers_left_out += 1;
                }
            }
            _ => {}
        }
    }

    fn interval(&mut self, interval: &Interval) {
        let began_ns = interval.ended_at_ns.saturating_sub(interval.interval_ns);
        let losses = interval.losses;
        let Some(part) = self.part(began_ns) else {
            return;
        };
        part.lasted_ns = part.lasted_ns.saturating_add(interval.interval_ns);
        for row in interval.rows.iter().filter(|row| !row.cells.is_empty()) {
            let path = part.paths.entry(row.path.id).or_insert_with(|| OfPath {
                label: Arc::clone(&row.path),
                cells: BTreeMap::new(),
            });
            path.label = Arc::clone(&row.path);
            for cell in &row.cells {
                path.cells
                    .entry((cell.class, cell.state))
                    .or_default()
                    .add(cell);
            }
        }
        self.losses = losses;
    }

    /// The part that goes on, or one that begins now.
    fn part(&mut self, now_ns: u64) -> Option<&mut Seen> {
        let is_whole = |it: &Seen| it.lasted_ns >= self.part_ns;
        if self.parts.back().is_none_or(is_whole) {
            self.begin_part(now_ns);
        }
        self.parts.back_mut()
    }

    fn begin_part(&mut self, began_ns: u64) {
        // With the new one they are as long as they should be.
        let room_ns = self.part_ns.saturating_mul(u64::from(PARTS) - 1);
        let lasted_ns = |parts: &VecDeque<Seen>| parts.iter().map(|it| it.lasted_ns).sum::<u64>();
        while lasted_ns(&self.parts) > room_ns {
            self.parts.pop_front();
        }
        let first_ns = self.parts.front().map_or(began_ns, |it| it.began_ns);
        let is_of_it = |flag: &Flag| flag.ended_at_ns.is_none_or(|ended| ended >= first_ns);
        self.flags.retain(|_, flag| is_of_it(flag));
        let before = self.flags.iter().map(|(id, flag)| (*id, flag.commands));
        self.parts.push_back(Seen {
            began_ns,
            flagged_before: before.collect(),
            losses_before: self.losses,
            ..Seen::default()
        });
    }

    /// The period as if it were a trace of its own.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut paths: BTreeMap<u16, OfPath> = BTreeMap::new();
        let mut units: BTreeMap<&str, Ownership> = BTreeMap::new();
        for part in &self.parts {
            for (id, of_part) in &part.paths {
                let path = paths.entry(*id).or_insert_with(|| OfPath {
                    label: Arc::clone(&of_part.label),
                    cells: BTreeMap::new(),
                });
                path.label = Arc::clone(&of_part.label);
                for (key, cell) in &of_part.cells {
                    path.cells.entry(*key).or_default().add_all(cell);
                }
            }
            for transfer in &part.transfers {
                unit(&mut units, transfer).transfers.push(transfer.clone());
            }
        }
        let left_out: u64 = self.parts.iter().map(|it| it.transfers_left_out).sum();
        if let Some(unit) = units.values_mut().next() {
            unit.transfers_left_out = left_out;
        }
        Summary {
            duration_ns: self.parts.iter().map(|it| it.lasted_ns).sum(),
            complete: true,
            incomplete_because: Vec::new(),
            paths: paths.into_values().map(OfPath::summary).collect(),
            flags: self.flags_within(),
            ownership: units.into_values().collect(),
            holds: Vec::new(),
            losses: self.losses_within(),
            counting: None,
            probes: Vec::new(),
            command_status: None,
            cost: None,
        }
    }

    /// Flags of the period, with the commands that each had within it.
    fn flags_within(&self) -> Vec<Flag> {
        let before = |id: &u32| {
            let first = self.parts.iter().find_map(|it| it.flagged_before.get(id));
            first.copied().unwrap_or(0)
        };
        let within = self.flags.iter().map(|(id, flag)| Flag {
            commands: flag.commands.saturating_sub(before(id)),
            ..flag.clone()
        });
        within.collect()
    }

    fn losses_within(&self) -> Losses {
        let (now, before) = (self.losses, self.parts.front());
        let before = before.map(|it| it.losses_before).unwrap_or_default();
        Losses {
            ring_full: now.ring_full.saturating_sub(before.ring_full),
            untracked: now.untracked.saturating_sub(before.untracked),
            superseded: now.superseded.saturating_sub(before.superseded),
            implausible: now.implausible.saturating_sub(before.implausible),
            undecodable: now.undecodable.saturating_sub(before.undecodable),
            lost_records: now.lost_records.saturating_sub(before.lost_records),
            path_table_full: now.path_table_full.saturating_sub(before.path_table_full),
            route_table_full: now.route_table_full.saturating_sub(before.route_table_full),
            failed_reads: now.failed_reads.saturating_sub(before.failed_reads),
            missed_runs: now.missed_runs.saturating_sub(before.missed_runs),
            not_recorded: now.not_recorded.saturating_sub(before.not_recorded),
            unmatched_ends: now.unmatched_ends.saturating_sub(before.unmatched_ends),
        }
    }
}

fn unit<'units, 'lines>(
    units: &'units mut BTreeMap<&'lines str, Ownership>,
    transfer: &'lines Transfer,
) -> &'units mut Ownership {
    units.entry(&transfer.subject).or_insert_with(|| Ownership {
        subject: transfer.subject.clone(),
        wwid: transfer.wwid.clone(),
        tenures: Vec::new(),
        transfers: Vec::new(),
        transfers_left_out: 0,
    })
}

impl OfCell {
    fn add(&mut self, cell: &Cell) {
        self.commands = self.commands.saturating_add(cell.commands);
        self.errors = self.errors.saturating_add(cell.errors);
        self.bytes = self.bytes.saturating_add(cell.bytes);
        self.sum_ns = self.sum_ns.saturating_add(u128::from(cell.sum_ns));
        self.bound(Some(cell.min_ns), cell.max_ns);
        self.count(cell.buckets.iter().copied());
    }

    fn add_all(&mut self, other: &Self) {
        self.commands = self.commands.saturating_add(other.commands);
        self.errors = self.errors.saturating_add(other.errors);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.sum_ns = self.sum_ns.saturating_add(other.sum_ns);
        self.bound(other.min_ns, other.max_ns);
        self.count(other.buckets.iter().map(|(end, count)| (*end, *count)));
    }

    fn bound(&mut self, min_ns: Option<u64>, max_ns: u64) {
        self.min_ns = match (self.min_ns, min_ns) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.max_ns = self.max_ns.max(max_ns);
    }

    fn count(&mut self, buckets: impl Iterator<Item = (u64, u64)>) {
        for (end_ns, count) in buckets {
            let sum = self.buckets.entry(end_ns).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn latency(self, (class, state): (Class, AccessState)) -> Latency {
        Latency {
            class,
            state,
            commands: self.commands,
            passthrough: 0,
            mapped: 0,
            errors: self.errors,
            bytes: self.bytes,
            min_ns: self.min_ns.unwrap_or(0),
            mean_ns: self.sum_ns as f64 / self.commands.max(1) as f64,
            p50_ns: None,
            p90_ns: None,
            p99_ns: None,
            p999_ns: None,
            max_ns: self.max_ns,
            quantiles: Vec::new(),
            buckets: self.buckets.into_iter().collect(),
            slowest: Vec::new(),
        }
    }
}

impl OfPath {
    fn summary(self) -> PathSummary {
        let cells = self.cells.into_iter();
        PathSummary {
            path: (*self.label).clone(),
            present: true,
            counts: Counts::default(),
            share: 0.0,
            latency: cells.map(|(key, cell)| cell.latency(key)).collect(),
            network: None,
        }
    }
}
