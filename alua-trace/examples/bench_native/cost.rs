//! What a command costs: the probes by the number of paths, and the collector.

use std::{collections::BTreeSet, os::fd::AsRawFd, time::Instant};

use alua_trace::{
    engine::{End, Engine, Input, Wanted},
    ingest::{self, About},
    kernel::tables::Tables,
    model::Line,
    stats::Counted,
};
use alua_trace_ebpf::telling;
use anyhow::{Context, Result, bail, ensure};

use crate::{
    bpf::{self, empty, run, run_time},
    memory::Memory,
    probes::Probes,
    producers::contention,
    start,
};

/// Commands in flight at once where the cost is compared with that of before.
const COMMANDS: usize = 64;
/// Commands in flight at once where the cost is compared by the number of paths.
const IN_FLIGHT: usize = 1000;
const PATHS: [usize; 4] = [4, 256, 1024, 4096];
/// Commands of one measurement.
const RUNS: usize = 1_280_000;
/// Measured apart from each other.
const PARTS: usize = 20;
const RECORDS: usize = 3_000_000;

/// Prints all.
pub fn measure() -> Result<()> {
    start::start()?;
    let _statistics = aya::sys::enable_stats(aya::sys::Stats::RunTime)
        .context("failed to turn BPF statistics on (root?)")?;
    clock_cost()?;
    let mut probes = Probes::load()?;
    probes.know_routes()?;
    let mut commands = Commands::new(1, COMMANDS)?;
    let sum = probes_cost(&mut probes, &mut commands, "")?;
    println!("dispatch and completion {}", spread(&sum));
    counted(&mut probes, &mut commands)?;
    by_paths()?;
    collector(&mut probes, &commands)?;
    contention()
}

/// What a command cannot do without: a reading of the clock in each of the two probes.
fn clock_cost() -> Result<()> {
    let (clock, empty) = (bpf::clock()?, empty()?);
    let mut costs = Vec::new();
    for _ in 0..PARTS {
        let before = [run_time(clock.as_raw_fd())?, run_time(empty.as_raw_fd())?];
        for _ in 0..RUNS / PARTS {
            run(clock.as_raw_fd(), 0)?;
            run(empty.as_raw_fd(), 0)?;
        }
        let none = per_run(empty.as_raw_fd(), before[1])?;
        costs.push(2.0 * (per_run(clock.as_raw_fd(), before[0])? - none));
    }
    println!("of a command, two readings of the clock {}", spread(&costs));
    Ok(())
}

/// The cost of a command by the number of paths: each has its turn in every part of the time, so that what else the machine
/// does meets all of them.
fn by_paths() -> Result<()> {
    let mut sides = Vec::new();
    for paths in PATHS {
        let mut probes = Probes::load()?;
        probes.know_routes()?;
        let mut commands = Commands::new(paths, IN_FLIGHT)?;
        warm_up(&mut probes, &mut commands)?;
        sides.push((probes, commands, Vec::new()));
    }
    for _ in 0..PARTS {
        for (probes, commands, parts) in &mut sides {
            parts.push(part(probes, commands, empty()?.as_raw_fd())?);
        }
    }
    let mut of_fewest = None;
    for (paths, (_, _, parts)) in PATHS.into_iter().zip(&sides) {
        let costs = both(parts);
        let (_, cost, _) = middle(&costs).context("nothing was measured")?;
        let ratio = cost / *of_fewest.get_or_insert(cost);
        println!(
            "with {paths} paths, {IN_FLIGHT} in flight {}, {ratio:.2} of {}'s",
            spread(&costs),
            PATHS[0]
        );
    }
    Ok(())
}

/// Commands in flight at once, over all paths in turn.
struct Commands {
    memory: Memory,
    addresses: Vec<u64>,
    paths: usize,
    next: usize,
}

impl Commands {
    fn new(paths: usize, in_flight: usize) -> Result<Self> {
        let mut memory = Memory::new(paths, in_flight)?;
        let addresses = (0..in_flight)
            .map(|place| memory.command(place, place % paths, place as u32))
            .collect::<Result<_>>()?;
        Ok(Self {
            memory,
            addresses,
            paths,
            next: 0,
        })
    }

    /// Dispatches and completes each once, an empty program beside each. They are the same commands
    /// however many paths there are, written right before their dispatch as the block layer does:
    /// what more paths cost is what the probes keep of them.
    fn round(&mut self, probes: &mut Probes, empty: i32) -> Result<()> {
        for place in 0..self.addresses.len() {
            self.memory.route(place, self.next);
            self.next = (self.next + 1) % self.paths;
        }
        for program in [probes.start, probes.done] {
            for command in &self.addresses {
                run(program, *command)?;
                run(empty, 0)?;
            }
        }
        probes.inbox.drain(usize::MAX, u64::MAX, |_| {});
        Ok(())
    }
}

/// The same while commands are counted, and none of them is worth a record but as a sample.
fn counted(probes: &mut Probes, commands: &mut Commands) -> Result<()> {
    probes.inbox.tell(telling::COUNTED);
    commands.round(probes, empty()?.as_raw_fd())?;
    probes.inbox.tell_slow_from(|_, _, _| u64::MAX);
    let sum = probes_cost(probes, commands, ", counted")?;
    println!("dispatch and completion, counted {}", spread(&sum));
    probes.inbox.tell(telling::EACH);
    let commands: u64 = probes.inbox.counted().iter().map(Counted::commands).sum();
    ensure!(commands > RUNS as u64 * 9 / 10, "{commands} were counted");
    Ok(())
}

/// The cost of a dispatch and a completion, less an empty program's, in each part of the time, in ns; prints its parts,
/// with `how` behind their names.
fn probes_cost(probes: &mut Probes, commands: &mut Commands, how: &str) -> Result<Vec<f64>> {
    let empty = empty()?;
    warm_up(probes, commands)?;
    let parts = (0..PARTS)
        .map(|_| part(probes, commands, empty.as_raw_fd()))
        .collect::<Result<Vec<_>>>()?;
    let of = |of: fn(&[f64; 3]) -> f64| parts.iter().map(of).collect::<Vec<f64>>();
    println!("empty program{how} {}", spread(&of(|[_, _, none]| *none)));
    let dispatch = of(|[start, _, none]| start - none);
    println!("dispatch less empty{how} {}", spread(&dispatch));
    let completion = of(|[_, done, none]| done - none);
    println!("completion less empty{how} {}", spread(&completion));
    Ok(both(&parts))
}

fn rounds(commands: &Commands) -> usize {
    (RUNS / commands.addresses.len()).max(PARTS)
}

fn warm_up(probes: &mut Probes, commands: &mut Commands) -> Result<()> {
    let empty = empty()?;
    (0..rounds(commands).div_ceil(20)).try_for_each(|_| commands.round(probes, empty.as_raw_fd()))
}

/// What a dispatch, a completion and an empty program took in one part of the time, in ns.
fn part(probes: &mut Probes, commands: &mut Commands, empty: i32) -> Result<[f64; 3]> {
    let programs = [probes.start, probes.done, empty];
    let [start, done, none] = programs.map(run_time);
    let before = [start?, done?, none?];
    for _ in 0..rounds(commands) / PARTS {
        commands.round(probes, empty)?;
    }
    let [start, done, none] = [0, 1, 2].map(|at| per_run(programs[at], before[at]));
    Ok([start?, done?, none?])
}

/// Dispatch and completion of each part, less an empty program for each.
fn both(parts: &[[f64; 3]]) -> Vec<f64> {
    let of_part = |[start, done, none]: &[f64; 3]| start + done - 2.0 * none;
    parts.iter().map(of_part).collect()
}

fn per_run(program: i32, before: (u64, u64)) -> Result<f64> {
    let after = run_time(program)?;
    ensure!(after.1 > before.1, "the kernel counted no runs");
    Ok((after.0 - before.0) as f64 / (after.1 - before.1) as f64)
}

/// The median of the parts, and how far they were apart: another guest of the machine shows there.
pub fn spread(parts: &[f64]) -> String {
    match middle(parts) {
        Some((best, median, worst)) => format!("{median:.1} ns ({best:.1} to {worst:.1})"),
        None => "not measured".to_owned(),
    }
}

/// The least, the median and the most.
fn middle(parts: &[f64]) -> Option<(f64, f64, f64)> {
    let mut parts = parts.to_vec();
    parts.sort_by(f64::total_cmp);
    let median = *parts.get(parts.len() / 2)?;
    Some((*parts.first()?, median, *parts.last()?))
}

/// The paths that the engine has been told of.
#[derive(Default)]
pub struct Introduced(BTreeSet<u16>);

impl Introduced {
    /// Tells the engine of what it has not been told of before the record that needs it.
    pub fn introduce(&mut self, bytes: &[u8], tables: &Tables, engine: &mut Engine) {
        let Some(About::Command(followed)) = ingest::about(bytes) else {
            return;
        };
        if !self.0.insert(followed.path()) {
            return;
        }
        if let Some(slot) = tables.path(followed.path()) {
            engine.take(0, Input::Path(followed.path(), &slot));
        }
        if let Some(slot) = tables.route(followed.route()) {
            engine.take(0, Input::Route(followed.route(), &slot));
        }
    }

    /// Their ids.
    pub fn ids(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }
}

/// Records a second from the logs to the histograms, on one core.
fn collector(probes: &mut Probes, commands: &Commands) -> Result<()> {
    let mut introduced = Introduced::default();
    let mut engine = Engine::new(Wanted::default());
    let (mut records, mut seconds) = (0, 0.0);
    while records < RECORDS {
        // As many as the log of one CPU has room for.
        for _ in 0..200 {
            for program in [probes.start, probes.done] {
                for command in &commands.addresses {
                    run(program, *command)?;
                }
            }
        }
        let began = Instant::now();
        let Probes { inbox, tables, .. } = probes;
        let drained = inbox.drain(usize::MAX, u64::MAX, |bytes| {
            introduced.introduce(bytes, tables, &mut engine);
            engine.take(0, Input::Record(bytes));
        });
        records += drained.records;
        seconds += began.elapsed().as_secs_f64();
    }
    ensure!(
        engine.losses().undecodable == 0,
        "records could not be decoded"
    );
    check(&mut engine, records)?;
    println!(
        "collector {:.2} million records/s",
        records as f64 / seconds / 1e6
    );
    Ok(())
}

pub fn check(engine: &mut Engine, records: usize) -> Result<()> {
    engine.take(u64::MAX, Input::End(&End::default()));
    let Some(Line::Summary(summary)) = engine.take_lines().pop() else {
        bail!("no summary");
    };
    let latency = summary.paths.iter().flat_map(|path| &path.latency);
    let recorded: u64 = latency.map(|latency| latency.mapped).sum();
    ensure!(
        recorded == records as u64,
        "{recorded} of {records} records in histograms"
    );
    Ok(())
}
