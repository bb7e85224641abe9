//! Several threads run the probes at once, as several CPUs complete I/O: what a command costs then, and whether all of
//! them are told while the collector runs beside them.

use std::{
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use alua_trace::{
    engine::{Engine, Input, Wanted},
    ingest::inbox::Drained,
};
use anyhow::{Context, Result, ensure};

use crate::{
    bpf::{empty, run, run_time},
    cost::{Introduced, check, spread},
    memory::Memory,
    probes::Probes,
};

const PRODUCERS: [usize; 4] = [1, 2, 4, 8];
/// Paths that all of them use.
const PATHS: usize = 4;
/// Commands in flight of each.
const EACH: usize = 64;
/// Measured apart from each other, in turn.
const PARTS: usize = 10;
const PART: Duration = Duration::from_millis(500);
/// As the tool drains a load that goes on: when the fullest log is a quarter full.
const LONGEST_POLL: Duration = Duration::from_millis(50);
const SHORTEST_POLL: Duration = Duration::from_millis(1);
const QUARTER: u32 = 64;

/// Prints the cost of a command by the number of producers.
pub fn contention() -> Result<()> {
    let cores = thread::available_parallelism()?.get();
    let mut costs = PRODUCERS.map(|_| Vec::new());
    let mut lost = PRODUCERS.map(|_| 0);
    for _ in 0..PARTS {
        for (at, producers) in PRODUCERS.into_iter().enumerate() {
            let mut bench = Bench::new(producers)?;
            let programs = [
                bench.probes.start,
                bench.probes.done,
                bench.none.as_raw_fd(),
            ];
            let before = [0, 1, 2].map(|at| run_time(programs[at]));
            bench.run(PART, Pace::BesideNothing)?;
            let mut per_run = [0.0; 3];
            for (at, before) in before.into_iter().enumerate() {
                let (before, after) = (before?, run_time(programs[at])?);
                per_run[at] = (after.0 - before.0) as f64 / (after.1 - before.1) as f64;
            }
            costs[at].push(per_run[0] + per_run[1] - 2.0 * per_run[2]);
            lost[at] += bench.lost();
        }
    }
    for (at, producers) in PRODUCERS.into_iter().enumerate() {
        let to_one: Vec<f64> = costs[at]
            .iter()
            .zip(&costs[0])
            .map(|(it, one)| it / one)
            .collect();
        println!(
            "{producers} producers on {cores} cores {}, {:.2} of one's, {} lost",
            spread(&costs[at]),
            median(&to_one),
            lost[at]
        );
    }
    Ok(())
}

fn median(of: &[f64]) -> f64 {
    let mut of = of.to_vec();
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Runs a producer for each core and the collector beside them: `SECONDS@COMMANDS`, with so many commands a second of all
/// producers, as far as the machine goes. Fails when a command is lost.
pub fn sustained(what: &str) -> Result<()> {
    let (seconds, rate) = what.split_once('@').context("say SECONDS@COMMANDS")?;
    let (seconds, rate): (u64, u32) = (seconds.parse()?, rate.parse()?);
    let producers = thread::available_parallelism()?.get();
    let mut bench = Bench::new(producers)?;
    let began = Instant::now();
    let each = Duration::from_secs(1) * (EACH * producers) as u32 / rate;
    bench.run(Duration::from_secs(seconds), Pace::Round(each))?;
    let (records, took) = (bench.records, began.elapsed().as_secs_f64());
    let lost = bench.lost();
    println!(
        "{producers} producers and the collector for {took:.0} s: {:.2} million commands/s, {lost} of {} lost",
        records as f64 / took / 1e6,
        records + lost,
    );
    ensure!(lost == 0, "{lost} commands were lost");
    check(&mut bench.engine, usize::try_from(records)?)
}

/// How a producer runs.
#[derive(Clone, Copy)]
enum Pace {
    /// As fast as it can, an empty program beside each of the probes.
    BesideNothing,
    /// All its commands once in so long.
    Round(Duration),
}

/// Programs, commands of each producer, and the collector.
struct Bench {
    probes: Probes,
    none: OwnedFd,
    commands: Vec<Vec<u64>>,
    introduced: Introduced,
    engine: Engine,
    records: u64,
    _memory: Memory,
}

impl Bench {
    fn new(producers: usize) -> Result<Self> {
        let mut memory = Memory::new(PATHS, producers * EACH)?;
        let mut commands = Vec::new();
        for producer in 0..producers {
            let places = producer * EACH..(producer + 1) * EACH;
            let own = places.map(|place| memory.command(place, place % PATHS, place as u32));
            commands.push(own.collect::<Result<_>>()?);
        }
        Ok(Self {
            probes: Probes::load()?,
            none: empty()?,
            commands,
            introduced: Introduced::default(),
            engine: Engine::new(Wanted::default()),
            records: 0,
            _memory: memory,
        })
    }

    /// Lets all producers run for so long.
    fn run(&mut self, length: Duration, pace: Pace) -> Result<()> {
        let stop = AtomicBool::new(false);
        let programs = [self.probes.start, self.probes.done, self.none.as_raw_fd()];
        let commands = std::mem::take(&mut self.commands);
        let ran = thread::scope(|scope| {
            let threads: Vec<_> = commands
                .iter()
                .map(|own| scope.spawn(|| produce(own, programs, pace, &stop)))
                .collect();
            let began = Instant::now();
            let mut next = SHORTEST_POLL;
            while began.elapsed() < length {
                let slept = Instant::now();
                thread::sleep(next);
                let fullest = u32::from(self.collect().fullest).max(1);
                next = (slept.elapsed() * QUARTER / fullest).clamp(SHORTEST_POLL, LONGEST_POLL);
            }
            stop.store(true, Ordering::Relaxed);
            threads
                .into_iter()
                .try_for_each(|it| it.join().ok().context("a producer panicked")?)
        });
        self.commands = commands;
        self.collect();
        ran
    }

    fn collect(&mut self) -> Drained {
        let Self {
            probes,
            introduced,
            engine,
            ..
        } = self;
        let Probes { inbox, tables, .. } = probes;
        let drained = inbox.drain(usize::MAX, u64::MAX, |bytes| {
            introduced.introduce(bytes, tables, engine);
            engine.take(0, Input::Record(bytes));
        });
        self.records += drained.records as u64;
        drained
    }

    /// Commands that found their log full.
    fn lost(&self) -> u64 {
        let ids = self.introduced.ids();
        ids.map(|id| self.probes.tables.counts(id).ring_full).sum()
    }
}

/// Dispatches and completes its commands, again and again.
fn produce(
    own: &[u64],
    [start, done, none]: [RawFd; 3],
    pace: Pace,
    stop: &AtomicBool,
) -> Result<()> {
    let began = Instant::now();
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        for program in [start, done] {
            for command in own {
                run(program, *command)?;
                if matches!(pace, Pace::BesideNothing) {
                    run(none, 0)?;
                }
            }
        }
        rounds += 1;
        if let Pace::Round(each) = pace {
            while began.elapsed() < each * rounds && !stop.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
    }
    Ok(())
}
