//! Several CPUs dispatch and complete commands that meet in few slots; each record is compared with
//! what was dispatched.
//!
//! A command's block address is its number: with the record's path it tells whose it is, and the
//! times of its dispatch lie around the record's. A slot that is read after it was freed would give
//! it those of another command of the same slot.

use std::{
    collections::VecDeque,
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
    scsi::cdb,
};
use alua_trace_ebpf::IN_FLIGHT_SLOTS;
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

/// Runs `commands` commands.
pub fn stress(commands: u64) -> Result<()> {
    let mut memory = Memory::new(COMMANDS, PLACES)?;
    let places = meeting(&memory)?;
    let mut all = Vec::new();
    for (number, place) in places.into_iter().enumerate() {
        all.push(Command {
            address: memory.command(place, number, number as u32)?,
            dispatched: Mutex::default(),
        });
    }
    let mut probes = Probes::load()?;
    let (start, done) = (probes.start, probes.done);
    let threads = thread::available_parallelism()?.get().clamp(2, SLOTS);
    let shared = Shared::default();
    let began = Instant::now();
    let wrong = thread::scope(|scope| -> Result<u64> {
        for index in 0..threads {
            let (all, shared) = (&all, &shared);
            // One command of each slot for each thread: they meet those of the others.
            let own = all.iter().skip(index).step_by(threads);
            scope.spawn(move || dispatch(own.collect(), (start, done), shared));
        }
        let wrong = compare(&mut probes.inbox, &all, commands, &shared, began);
        shared.stop.store(true, Ordering::Relaxed);
        wrong
    })?;
    let (count, took) = (shared.drained.load(Ordering::Relaxed), began.elapsed());
    println!(
        "{count} commands of {threads} threads in {SLOTS} slots, {:.0} s: {wrong} wrong records",
        took.as_secs_f64()
    );
    ensure!(wrong == 0, "{wrong} records say what was not dispatched");
    Ok(())
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

/// Compares records until there have been so many; gives how many were wrong.
fn compare(
    inbox: &mut Inbox,
    all: &[Command],
    commands: u64,
    shared: &Shared,
    began: Instant,
) -> Result<u64> {
    let (mut wrong, mut paths) = (0, vec![None; all.len()]);
    let (mut said, mut last) = (Instant::now(), (0, Instant::now()));
    while last.0 < commands {
        let drained = inbox.drain(usize::MAX, u64::MAX, |bytes| {
            wrong += u64::from(!is_right(bytes, all, &mut paths));
        });
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
                "{seconds} s: {} of {commands} commands, {wrong} wrong",
                last.0
            );
        }
        if drained == 0 {
            thread::yield_now();
        }
    }
    Ok(wrong)
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
