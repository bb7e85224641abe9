//! The engine: which path, which state, which flag. Pure: driven by records, counts, topology and
//! ticks; no clock, no I/O, no aya. A replayed recording drives it the same way.

use alua_trace_ebpf::{
    CommandRecord, GlobalCounts, MAX_PATHS, MAX_ROUTES, NO_ROUTE, PathCounts, PathSlot, RouteSlot,
    access_state, command_flag, state_source,
};

use crate::{
    model::{
        self, AccessState, Class, Command, Counts, Flag, FlagEvent, Interval, Losses, Path,
        PathEvent, PathSummary, Row, StateSource, TransferEvent,
    },
    scsi::opcode,
    stats::{self, Sample},
    topology::{DevNo, Hctl, Topology},
};
use flags::{BlockIo, Flags};
use ownership::Ownership;
use paths::{Entry, Paths};
use witness::Witness;

mod early;
mod flags;
pub mod ownership;
mod paths;
#[cfg(test)]
mod tests;
mod witness;

/// What the probes know of the ids in their records.
pub trait Tables {
    /// A path.
    fn path(&self, id: u16) -> Option<PathSlot>;
    /// A route.
    fn route(&self, id: u16) -> Option<RouteSlot>;
}

/// What is left at the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Every path.
    pub paths: Vec<PathSummary>,
    /// Every flag, by id.
    pub flags: Vec<Flag>,
    /// Who owned which logical unit when.
    pub ownership: Vec<model::Ownership>,
    /// I/O that waited in dm, by map.
    pub holds: Vec<model::Hold>,
    /// Flags and observations about ownership that there was no room for.
    pub left_out: u64,
}

/// Something to say now.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A path changed.
    Path(PathEvent),
    /// A flag changed.
    Flag(FlagEvent),
    /// A logical unit moved.
    Transfer(Box<TransferEvent>),
}

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    dm: DevNo,
    path_group: u32,
}

/// A kernel id that has not been looked up.
const UNRESOLVED: u16 = u16::MAX;

/// The state of a trace.
pub struct Engine {
    paths: Paths,
    flags: Flags,
    /// Index into `paths` by the probes' path id.
    by_kernel_id: Box<[u16]>,
    kernel_ids: Vec<u16>,
    routes: Box<[Option<Route>]>,
    /// Maps to report on; all when empty.
    maps: Vec<String>,
    global: GlobalCounts,
    undecodable: u64,
    unresolved: u64,
    missed_runs: u64,
    witness: Witness,
    ownership: Ownership,
    events: Vec<Event>,
    interval_began_ns: u64,
    counts_read_ns: u64,
}

impl Engine {
    /// A trace of `maps` (all when empty) that begins at `now_ns`.
    #[must_use]
    pub fn new(maps: Vec<String>, now_ns: u64) -> Self {
        Self {
            paths: Paths::default(),
            flags: Flags::default(),
            by_kernel_id: vec![UNRESOLVED; MAX_PATHS as usize].into(),
            kernel_ids: Vec::new(),
            routes: vec![None; MAX_ROUTES as usize].into(),
            maps,
            global: GlobalCounts::default(),
            undecodable: 0,
            unresolved: 0,
            missed_runs: 0,
            witness: Witness::default(),
            ownership: Ownership::default(),
            events: Vec::new(),
            interval_began_ns: now_ns,
            counts_read_ns: now_ns,
        }
    }

    /// The probes are attached: the first interval begins.
    pub fn begin(&mut self, now_ns: u64) {
        self.interval_began_ns = now_ns;
        self.counts_read_ns = now_ns;
    }

    /// Takes one command that completed.
    #[inline]
    pub fn command(&mut self, record: &CommandRecord, tables: &dyn Tables) {
        let followed = record.followed;
        let Some(index) = self.path_index(followed.path(), tables) else {
            self.unresolved += 1;
            return;
        };
        let Some(entry) = self.paths.get_mut(index) else {
            return;
        };
        let Some(latency_ns) = record.completion_ns.checked_sub(record.dispatch_ns) else {
            entry.implausible += 1;
            return;
        };
        let passthrough = followed.has(command_flag::PASSTHROUGH);
        let state = stats::state_index(followed.state());
        entry.stats.record(&Sample {
            class: class(record.cdb[0]),
            state,
            latency_ns,
            bytes: record.bytes,
            passthrough,
            mapped: followed.route() != NO_ROUTE,
            error: record.result != 0,
        });
        // Millions of commands a second say the same as the one before on their path.
        let news = entry.saw(followed, record.dispatch_ns);
        if news {
            self.news(index, record, tables);
        }
        if passthrough || followed.has(command_flag::SENSE) {
            self.account_end(index, record);
        }
        if !passthrough {
            self.account_io(index, record);
        }
        let state = stats::STATES[state & 7];
        if !passthrough && (state != AccessState::Optimized || self.flags.any_episode()) {
            let io = BlockIo {
                state,
                dispatch_ns: record.dispatch_ns,
                latency_ns,
            };
            // Which unit's I/O it is, and what other paths that has, only topology tells.
            if let Some(entry) = self.paths.get(index).filter(|it| it.is_known()) {
                self.flags.command(entry, &io);
            }
        }
    }

    /// A command on this path that says something else than the one before: another state or
    /// route.
    #[cold]
    fn news(&mut self, index: usize, record: &CommandRecord, tables: &dyn Tables) {
        let followed = record.followed;
        if followed.route() != NO_ROUTE {
            self.resolve_route(followed.route(), tables);
        }
        self.note_path_group(index, followed.route());
        if let Some(slot) = tables.path(followed.path()) {
            self.note_slot(index, &slot);
        }
        // `check_ownership` lets I/O through while it asks; what it asks with says nothing.
        if followed.has(command_flag::PASSTHROUGH) && self.is_rdac(index) {
            return;
        }
        let state = stats::access_state(followed.state());
        let source = state_source_of(followed.state_source());
        let preferred = followed.state() & access_state::PREFERRED != 0;
        let event = self
            .paths
            .saw_state(index, state, source, preferred, record.dispatch_ns);
        if let Some(event) = event {
            self.say_path(event);
            self.seen_at_dispatch(index, record.dispatch_ns);
        }
    }

    /// Counts bytes that were no record.
    pub fn undecodable(&mut self) {
        self.undecodable += 1;
    }

    /// Runs of probes that the kernel left out, so far.
    pub fn missed_runs(&mut self, missed: u64) {
        self.missed_runs = missed;
    }

    /// New labels, from a scan made at `now_ns`.
    pub fn topology(&mut self, topology: &Topology, now_ns: u64) {
        for event in self.paths.relabel(topology, now_ns) {
            self.say_path(event);
        }
        self.follow_moved();
        self.witness.label(topology, self.paths.entries());
        self.introduce(now_ns);
        self.tell_early(now_ns);
    }

    /// New counts of the probes, read at `now_ns`: `per_path` for the ids in
    /// [`Self::kernel_ids`].
    pub fn counts(&mut self, global: GlobalCounts, per_path: &[(u16, PathCounts)], now_ns: u64) {
        self.global = global;
        for (id, new) in per_path {
            let index = usize::from(self.by_kernel_id[usize::from(*id) % MAX_PATHS as usize]);
            let Some(entry) = self.paths.get(index) else {
                continue;
            };
            let old = entry.counts();
            self.paths.set_counts(index, *id, new);
            let Some(entry) = self.paths.get(index).filter(|it| it.is_known()) else {
                continue;
            };
            let new = entry.counts();
            if let Some((state, at_ns)) = flags::offence(&old, &new)
                && let Some(event) = self.paths.counted_in_state(index, state, at_ns)
            {
                self.say_path(event);
            }
            if let Some(entry) = self.paths.get(index) {
                self.flags
                    .counts(entry, &old, &new, self.counts_read_ns, now_ns);
            }
        }
        self.counts_read_ns = now_ns;
    }

    /// Block I/O on paths that are not active/optimized, when last counted.
    #[must_use]
    pub fn not_optimized(&self) -> u64 {
        self.global.not_optimized
    }

    /// The probes' ids that have been met.
    #[must_use]
    pub fn kernel_ids(&self) -> &[u16] {
        &self.kernel_ids
    }

    /// Looks up an id of the probes before its first record: at the end, and for counts.
    pub fn resolve(&mut self, id: u16, tables: &dyn Tables) {
        let _ = self.path_index(id, tables);
    }

    /// The probes' ids, since the last call, that must not be used for further commands: topology
    /// has another logical unit at their address.
    pub fn take_stale_ids(&mut self) -> Vec<u16> {
        self.paths.take_stale()
    }

    /// Whether the probes met a path that topology has not known yet: a fresh scan should come
    /// before the end.
    #[must_use]
    pub fn has_unknown_paths(&self) -> bool {
        self.paths.any_unknown()
    }

    /// Whether a path of this handler (`alua`, `rdac`) is in a state in which it refuses I/O.
    #[must_use]
    pub fn refuses(&self, handler: &str) -> bool {
        self.paths.entries().iter().any(|entry| {
            entry.present && entry.refuses && entry.label.handler.as_deref() == Some(handler)
        })
    }

    /// Whether a flag waits to be raised: a fresh scan should come before the next tick.
    #[must_use]
    pub fn wants_topology(&self) -> bool {
        self.flags.pending()
    }

    /// Raises and ends flags.
    pub fn tick(&mut self, now_ns: u64) {
        let mut events = Vec::new();
        self.flags
            .tick(&self.paths, now_ns, &mut |event| events.push(event));
        self.say_flags(events);
        self.ownership.tick(now_ns, self.flags.last_id());
        self.say_ownership();
    }

    fn say_ownership(&mut self) {
        for event in self.ownership.take_events() {
            match event {
                ownership::Event::Transfer(event) => {
                    if self.wants_unit(event.transfer.wwid.as_ref()) {
                        self.events.push(Event::Transfer(event));
                    }
                }
                ownership::Event::Flag(event) => self.say_flags(vec![event]),
            }
        }
    }

    /// A module that probes were on is gone.
    pub fn module_unloaded(&mut self, module: &str, now_ns: u64) {
        let event = self.flags.module_unloaded(module, now_ns);
        self.events.push(Event::Flag(event));
    }

    /// What is to be said since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// The interval that ends at `now_ns`; begins the next.
    pub fn interval(&mut self, started_at_ns: u64, now_ns: u64) -> Interval {
        let mut events = Vec::new();
        self.flags.update(&mut |event| events.push(event));
        self.say_flags(events);
        let interval_ns = now_ns.saturating_sub(self.interval_began_ns).max(1);
        let mut rows: Vec<Row> = self.shown().map(|entry| row(entry, interval_ns)).collect();
        share_intervals(&mut rows);
        for entry in self.paths.entries_mut() {
            entry.stats.end_interval();
            entry.ios = 0;
        }
        self.interval_began_ns = now_ns;
        Interval {
            ended_at_ns: now_ns,
            elapsed_ns: now_ns.saturating_sub(started_at_ns),
            interval_ns,
            rows,
            losses: self.losses(),
        }
    }

    /// The paths to report on.
    #[must_use]
    pub fn shown_paths(&self) -> Vec<Path> {
        self.shown().map(|entry| entry.label.clone()).collect()
    }

    /// Every path at the end, with the number of commands in flight by the probes' path id, and
    /// all flags.
    pub fn finish(&mut self, now_ns: u64, in_flight: &dyn Fn(u16) -> u64) -> Finished {
        let outcome = self.ownership.finish(now_ns, self.flags.last_id());
        self.say_ownership();
        let mut flags = self.flags.all();
        flags.extend(outcome.flags);
        flags.sort_by_key(|flag| flag.id);
        flags.retain(|flag| self.wants_flag(flag));
        let mut ownership = outcome.units;
        ownership.retain(|unit| self.wants_unit(unit.wwid.as_ref()));
        let in_flight = |entry: &Entry| {
            self.kernel_ids
                .iter()
                .filter(|id| entry.has_kernel_id(**id))
                .map(|id| in_flight(*id))
                .sum()
        };
        let mut paths: Vec<PathSummary> = self
            .shown()
            .map(|entry| PathSummary {
                path: entry.label.clone(),
                present: entry.present,
                counts: entry.account(in_flight(entry)),
                share: 0.0,
                latency: entry.stats.latencies(),
            })
            .collect();
        share_summary(&mut paths);
        Finished {
            paths,
            flags,
            ownership,
            holds: self.holds(),
            left_out: outcome.flags_left_out
                + self.flags.left_out()
                + outcome.observations_left_out
                + self.witness.early.left_out,
        }
    }

    /// Losses since the start.
    #[must_use]
    pub fn losses(&self) -> Losses {
        let mut losses = Losses {
            // A path id that cannot be looked up is as good as none.
            undecodable: self.undecodable + self.unresolved,
            missed_runs: self.missed_runs,
            lost_records: self.global.lost_records,
            path_table_full: self.global.path_table_full,
            route_table_full: self.global.route_table_full,
            failed_reads: self.global.failed_reads,
            unmatched_ends: self.global.unmatched_ends,
            ..Losses::default()
        };
        for entry in self.shown() {
            let counts: Counts = entry.account(0);
            losses.ring_full += counts.ring_full;
            losses.untracked += counts.untracked;
            losses.superseded += counts.superseded;
            losses.implausible += counts.implausible;
        }
        losses
    }

    /// One command for output that wants each; `None` for paths not reported on.
    #[must_use]
    pub fn describe(&self, record: &CommandRecord) -> Option<Command> {
        let followed = record.followed;
        let index = self.by_kernel_id[usize::from(followed.path()) % MAX_PATHS as usize];
        let entry = self
            .paths
            .get(usize::from(index))
            .filter(|entry| self.wants(entry))?;
        let route = self
            .routes
            .get(usize::from(followed.route()))
            .copied()
            .flatten();
        Some(Command {
            path: entry.label.id,
            hctl: entry.label.hctl.clone(),
            dm_devno: route.map(|route| route.dm.to_string()),
            path_group: route.map(|route| route.path_group),
            opcode: record.cdb[0],
            cdb1: record.cdb[1],
            cdb2: record.cdb[2],
            bytes: record.bytes,
            lba: record.lba(),
            dispatched_at_ns: record.dispatch_ns,
            latency_ns: record.completion_ns.saturating_sub(record.dispatch_ns),
            state: stats::access_state(followed.state()),
            state_source: state_source_of(followed.state_source()),
            result: record.result,
            sense: followed.has(command_flag::SENSE).then_some([
                record.sense_key,
                record.asc,
                record.ascq,
            ]),
            retries: u8::try_from(record.retries).unwrap_or(u8::MAX),
            passthrough: followed.has(command_flag::PASSTHROUGH),
        })
    }

    #[inline]
    fn path_index(&mut self, id: u16, tables: &dyn Tables) -> Option<usize> {
        let known = *self.by_kernel_id.get(usize::from(id))?;
        if known != UNRESOLVED {
            return Some(usize::from(known));
        }
        let slot = tables.path(id)?;
        let hctl = Hctl {
            host: slot.host,
            channel: slot.channel,
            target: slot.target,
            lun: slot.lun,
        };
        let index = self.paths.resolve(id, hctl);
        self.by_kernel_id[usize::from(id)] = u16::try_from(index).ok()?;
        self.kernel_ids.push(id);
        Some(index)
    }

    #[inline]
    fn resolve_route(&mut self, id: u16, tables: &dyn Tables) {
        if let Some(known @ None) = self.routes.get_mut(usize::from(id))
            && let Some(slot) = tables.route(id)
        {
            let dm = DevNo {
                major: slot.major,
                minor: slot.minor,
            };
            *known = Some(Route {
                dm,
                path_group: slot.path_group,
            });
        }
    }

    fn wants(&self, entry: &Entry) -> bool {
        if self.maps.is_empty() {
            return entry.is_disk || entry.stats.recorded() > 0;
        }
        entry
            .label
            .map
            .as_ref()
            .is_some_and(|map| self.maps.contains(map))
    }

    fn wants_flag(&self, flag: &Flag) -> bool {
        flag.wwid.is_none() || self.wants_unit(flag.wwid.as_ref())
    }

    fn wants_unit(&self, wwid: Option<&String>) -> bool {
        self.maps.is_empty() || self.shown().any(|entry| entry.label.wwid.as_ref() == wwid)
    }

    fn shown(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self
            .paths
            .entries()
            .iter()
            .filter(|entry| self.wants(entry))
            .collect();
        entries.sort_by(|a, b| {
            // Paths without a map come last.
            let key = |entry: &Entry| {
                (
                    entry.label.map.is_none(),
                    entry.label.path_group,
                    entry.hctl,
                )
            };
            (a.label.map.is_none(), &a.label.map)
                .cmp(&(b.label.map.is_none(), &b.label.map))
                .then_with(|| key(a).cmp(&key(b)))
        });
        entries.into_iter()
    }

    fn say_path(&mut self, event: PathEvent) {
        let wanted = self.maps.is_empty()
            || event
                .path
                .map
                .as_ref()
                .is_some_and(|map| self.maps.contains(map));
        if wanted {
            self.events.push(Event::Path(event));
        }
    }

    fn say_flags(&mut self, events: Vec<FlagEvent>) {
        for event in events {
            if self.wants_flag(&event.flag) {
                self.events.push(Event::Flag(event));
            }
        }
    }
}

fn class(operation: u8) -> Class {
    match opcode::class(operation) {
        opcode::Class::Read => Class::Read,
        opcode::Class::Write => Class::Write,
        opcode::Class::Other => Class::Other,
    }
}

fn state_source_of(source: u8) -> StateSource {
    match source {
        state_source::RTPG_SEEN => StateSource::RtpgSeen,
        state_source::HANDLER_DATA => StateSource::HandlerData,
        _ => StateSource::None,
    }
}

fn row(entry: &Entry, interval_ns: u64) -> Row {
    let (latency, bytes) = entry.stats.interval();
    let per_second = 1e9 / interval_ns as f64;
    Row {
        path: entry.label.clone(),
        iops: latency.len() as f64 * per_second,
        bytes_per_s: bytes as f64 * per_second,
        in_flight: entry.in_flight(),
        p50_ns: latency.quantile_ns(0.50),
        p99_ns: latency.quantile_ns(0.99),
        p999_ns: latency.quantile_ns(0.999),
        max_ns: latency.max_ns(),
        share: 0.0,
    }
}

/// Shares among the rows of one map, or among those without one.
fn share_intervals(rows: &mut [Row]) {
    let totals: Vec<f64> = rows
        .iter()
        .map(|row| {
            rows.iter()
                .filter(|o| o.path.map == row.path.map)
                .map(|o| o.iops)
                .sum()
        })
        .collect();
    for (row, total) in rows.iter_mut().zip(totals) {
        row.share = if total > 0.0 { row.iops / total } else { 0.0 };
    }
}

fn share_summary(paths: &mut [PathSummary]) {
    let totals: Vec<u64> = paths
        .iter()
        .map(|path| {
            paths
                .iter()
                .filter(|other| other.path.map == path.path.map)
                .map(|other| other.counts.completed)
                .sum()
        })
        .collect();
    for (path, total) in paths.iter_mut().zip(totals) {
        path.share = if total > 0 {
            path.counts.completed as f64 / total as f64
        } else {
            0.0
        };
    }
}
