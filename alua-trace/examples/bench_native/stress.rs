//! Several CPUs dispatch and complete commands that meet in few slots; each record is compared with
//! what was dispatched.
//!
//! A command's block address is its number: with the record's path it tells whose it is, and the
//! times of its dispatch lie around the record's. A slot that is read after it was freed would give
//! it those of another command of the same slot.
//!
//! Each command is counted in the kernel as well, half of them where CPUs share a lane: at the end every bucket of every path
//! must be what the records come to.

use std::{
    collections::{BTreeMap, VecDeque},
    os::fd::RawFd,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use alua_trace::{
    ingest::{self, Record, inbox::Inbox},
    kernel::machine::machine,
    scsi::cdb,
    stats::{Counted, LatencyHistogram},
};
use alua_trace_ebpf::{IN_FLIGHT_SLOTS, Machine, telling};
use anyhow::{Result, bail, ensure};

use crate::{bpf::run, memory::Memory, probes::Probes};

/// Slots that all commands meet in.
const SLOTS: usize = 4;
/// Commands to a slot; each has a path of its own.
const TO_A_SLOT: usize = 4;
const COMMANDS: usize = SLOTS * TO_A_SLOT;
/// Places looked through for commands that meet.
const PLACES: usize = 1 << 17;
/// Records that may wait in the logs before the CPUs do.
const MOST_WAITING: u64 = 10_000;

/// A command: dispatched by one thread.
struct Command {
    address: u64,
    /// When it was dispatched: before and after the program ran.
    dispatched: Mutex<VecDeque<(u64, u64)>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    drained: AtomicU64,
}

/// Runs `commands` commands: half of them with a lane of histograms for each CPU, half with one for all.
pub fn stress(commands: u64) -> Result<()> {
    let own = machine(None)?;
    let shared = Machine {
        lanes: 1,
        lanes_are_shared: 1,
        ..own
    };
    for (lanes, machine) in [("lanes of their own", own), ("one lane", shared)] {
        let mut probes = Probes::load_for(&machine)?;
        half(&mut probes, commands / 2, lanes)?;
    }
    Ok(())
}

fn half(probes: &mut Probes, commands: u64, lanes: &str) -> Result<()> {
    let mut memory = Memory::new(COMMANDS, PLACES)?;
    let places = meeting(&memory)?;
    let mut all = Vec::new();
    for (number, place) in places.into_iter().enumerate() {
        all.push(Command {
            address: memory.command(place, number, number as u32)?,
            dispatched: Mutex::default(),
        });
    }
    probes.inbox.tell(telling::BOTH);
    let (start, done) = (probes.start, probes.done);
    let threads = thread::available_parallelism()?.get().clamp(2, SLOTS);
    let shared = Shared::default();
    let began = Instant::now();
    let mut seen = Seen {
        wrong: 0,
        paths: vec![None; all.len()],
        histograms: BTreeMap::new(),
    };
    thread::scope(|scope| -> Result<()> {
        for index in 0..threads {
            let (all, shared) = (&all, &shared);
            // One command of each slot for each thread: they meet those of the others.
            let own = all.iter().skip(index).step_by(threads);
            scope.spawn(move || dispatch(own.collect(), (start, done), shared));
        }
        let compared = compare(&mut probes.inbox, &all, commands, &shared, &mut seen);
        shared.stop.store(true, Ordering::Relaxed);
        compared
    })?;
    // Those that were under way.
    probes
        .inbox
        .drain(usize::MAX, u64::MAX, |bytes| seen.take(bytes, &all));
    let (count, took) = (shared.drained.load(Ordering::Relaxed), began.elapsed());
    let wrong = seen.wrong;
    println!(
        "{count} commands of {threads} threads in {SLOTS} slots, {lanes}, {:.0} s: {wrong} wrong records",
        took.as_secs_f64()
    );
    ensure!(wrong == 0, "{wrong} records say what was not dispatched");
    let refused = probes.inbox.refused();
    ensure!(refused == 0, "{refused} records found no room");
    seen.compare_counted(&probes.inbox.counted())
}

/// What the records have come to.
struct Seen {
    wrong: u64,
    /// The path of each command.
    paths: Vec<Option<u16>>,
    /// By path.
    histograms: BTreeMap<u16, LatencyHistogram>,
}

impl Seen {
    fn take(&mut self, bytes: &[u8], all: &[Command]) {
        self.wrong += u64::from(!is_right(bytes, all, &mut self.paths));
        if let Ok(Record::Command(record)) = ingest::decode(bytes) {
            let latency_ns = record.completion_ns.saturating_sub(record.dispatch_ns);
            let of_path = self.histograms.entry(record.followed.path());
            of_path.or_default().record(latency_ns);
        }
    }

    /// Whether the kernel has counted the same.
    fn compare_counted(&self, counted: &[Counted]) -> Result<()> {
        let mut kernel: BTreeMap<u16, LatencyHistogram> = BTreeMap::new();
        for it in counted {
            let of_path = kernel.entry(it.path).or_default();
            of_path.count(&it.buckets, it.sum_ns);
        }
        ensure!(
            kernel.keys().eq(self.histograms.keys()),
            "other paths were counted than recorded"
        );
        for (path, recorded) in &self.histograms {
            let (counted, recorded) = (&kernel[path], recorded);
            ensure!(
                counted.non_empty_buckets() == recorded.non_empty_buckets()
                    && counted.mean_ns() == recorded.mean_ns(),
                "path {path}: {} commands were recorded, and {} counted, or in other buckets",
                recorded.len(),
                counted.len()
            );
        }
        let commands: u64 = kernel.values().map(LatencyHistogram::len).sum();
        println!("{commands} commands are in the kernel's histograms, each in its bucket");
        Ok(())
    }
}

/// Places whose commands have [`SLOTS`] slots between them.
fn meeting(memory: &Memory) -> Result<Vec<usize>> {
    let slot = |place: usize| {
        // `home_slot` of the probes.
        let hash = (memory.address_of(place) >> 6).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (hash >> 32) as u32 & (IN_FLIGHT_SLOTS - 1)
    };
    let mut by_slot = std::collections::BTreeMap::<u32, Vec<usize>>::new();
    for place in 0..PLACES {
        by_slot.entry(slot(place)).or_default().push(place);
    }
    let crowded = by_slot.into_values().filter(|it| it.len() >= TO_A_SLOT);
    let slots: Vec<Vec<usize>> = crowded.take(SLOTS).collect();
    ensure!(slots.len() == SLOTS, "too few places meet");
    Ok(slots
        .into_iter()
        .flat_map(|it| it.into_iter().take(TO_A_SLOT))
        .collect())
}

fn dispatch(own: Vec<&Command>, (start, done): (RawFd, RawFd), shared: &Shared) {
    while !shared.stop.load(Ordering::Relaxed) {
        let drained = shared.drained.load(Ordering::Relaxed);
        // A record is drained before its round counts as done: there may be more of them.
        let waiting = shared.done.load(Ordering::Relaxed).saturating_sub(drained);
        if waiting > MOST_WAITING {
            thread::yield_now();
            continue;
        }
        for command in &own {
            let before = now();
            // A failed run shows as a record that is missing.
            let _ = run(start, command.address);
            let times = (before, now());
            let mut dispatched = command
                .dispatched
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            dispatched.push_back(times);
            drop(dispatched);
            let _ = run(done, command.address);
        }
        shared.done.fetch_add(own.len() as u64, Ordering::Relaxed);
    }
}

/// Compares records until there have been so many.
fn compare(
    inbox: &mut Inbox,
    all: &[Command],
    commands: u64,
    shared: &Shared,
    seen: &mut Seen,
) -> Result<()> {
    let began = Instant::now();
    let (mut said, mut last) = (began, (0, began));
    while last.0 < commands {
        let drained = inbox.drain(usize::MAX, u64::MAX, |bytes| seen.take(bytes, all));
        let drained = drained.records;
        last = if drained > 0 {
            (last.0 + drained as u64, Instant::now())
        } else {
            last
        };
        shared.drained.store(last.0, Ordering::Relaxed);
        if last.1.elapsed() > Duration::from_secs(10) {
            bail!("no record for 10 s");
        }
        if said.elapsed() > Duration::from_secs(10) {
            said = Instant::now();
            let seconds = began.elapsed().as_secs();
            eprintln!(
                "{seconds} s: {} of {commands} commands, {} wrong",
                last.0, seen.wrong
            );
        }
        if drained == 0 {
            thread::yield_now();
        }
    }
    Ok(())
}

/// Whether a record says what was dispatched: the path that its command always has, and a time
/// within its own dispatch.
fn is_right(bytes: &[u8], all: &[Command], paths: &mut [Option<u16>]) -> bool {
    let Ok(Record::Command(record)) = ingest::decode(bytes) else {
        return false;
    };
    let number = cdb::first_block(&record.cdb).and_then(|number| usize::try_from(number).ok());
    let Some((number, command)) = number.and_then(|it| Some((it, all.get(it)?))) else {
        return false;
    };
    let mut dispatched = command
        .dispatched
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let Some((before, after)) = dispatched.pop_front() else {
        return false;
    };
    let path = *paths[number].get_or_insert(record.followed.path());
    path == record.followed.path()
        && (before..=after).contains(&record.dispatch_ns)
        && record.completion_ns >= record.dispatch_ns
}

/// `CLOCK_MONOTONIC`, the probes' clock.
fn now() -> u64 {
    alua_trace::clock::monotonic_ns()
}
