//! As many paths as there may be, under load, while their tables are reloaded and their devices
//! replaced: no command without its path and route, and ids go round.

use std::time::{Duration, Instant};

use alua_trace::{
    ingest::{self, About},
    kernel::recycling::Recycling,
};
use alua_trace_ebpf::{NO_PATH, NO_ROUTE};
use anyhow::{Context, Result, ensure};

use crate::{bpf::run, memory::Memory, probes::Probes};

const PATHS: usize = 4096;
/// Times each path is used between two changes.
const USES: usize = 4;
/// A pretended time between two changes: longer than the grace of an id.
const BETWEEN_NS: u64 = 2_000_000_000;

/// Reloads and replaces so many times.
pub fn churn(rounds: u64) -> Result<()> {
    let mut memory = Memory::new(PATHS, PATHS)?;
    let commands: Vec<u64> = (0..PATHS)
        .map(|place| memory.command(place, place, place as u32))
        .collect::<Result<_>>()?;
    let mut probes = Probes::load()?;
    let mut recycling = Recycling::default();
    let (mut freed, mut said) = ((0, 0), Instant::now());
    for round in 0..rounds {
        memory.replace_table()?;
        memory.replace_devices()?;
        probes.look_again()?;
        for _ in 0..USES {
            use_each(&mut probes, &commands)
                .with_context(|| format!("after {round} reloads and rescans"))?;
        }
        // As the collector does: what is retired is given back once nothing stands for it.
        for half in 0..2 {
            let now_ns = (2 * round + half) * BETWEEN_NS;
            let global = probes.tables.global_counts();
            let generation = probes.generation();
            let unused = recycling.look(&mut probes.tables, &global, generation, now_ns)?;
            for id in &unused.paths {
                probes.tables.free_path(*id)?;
            }
            for id in &unused.routes {
                probes.tables.free_route(*id)?;
            }
            freed = (freed.0 + unused.paths.len(), freed.1 + unused.routes.len());
            recycling.freed(&unused);
        }
        if said.elapsed() > Duration::from_secs(2) {
            said = Instant::now();
            eprintln!("{round} of {rounds}");
        }
    }
    let (global, memory) = (probes.tables.global_counts(), resident_kib()?);
    println!(
        "{PATHS} paths, {rounds} reloads and rescans: {} path ids and {} route ids given, {} and {} \
         given back, {} and {} commands without, {memory} KiB resident",
        global.paths,
        global.routes,
        freed.0,
        freed.1,
        global.path_table_full,
        global.route_table_full,
    );
    ensure!(global.path_table_full == 0 && global.route_table_full == 0);
    Ok(())
}

/// Dispatches and completes a command on each path; its record must name the device it went to.
fn use_each(probes: &mut Probes, commands: &[u64]) -> Result<()> {
    let mut told = Vec::new();
    for command in commands {
        run(probes.start, *command)?;
        run(probes.done, *command)?;
    }
    let drained = probes.inbox.drain(usize::MAX, u64::MAX, |bytes| {
        if let Some(About::Command(followed)) = ingest::about(bytes) {
            told.push(followed);
        }
    });
    let drained = drained.records;
    ensure!(
        drained == commands.len() && told.len() == drained,
        "{drained} records"
    );
    for (number, followed) in told.iter().enumerate() {
        ensure!(followed.path() != NO_PATH, "command {number} has no path");
        ensure!(
            followed.route() != NO_ROUTE,
            "command {number} has no route"
        );
        let slot = probes.tables.path(followed.path());
        let target = slot.map(|slot| slot.target as usize % PATHS);
        ensure!(target == Some(number), "command {number} is of {target:?}");
    }
    Ok(())
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}
