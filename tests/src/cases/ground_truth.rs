//! The array says what it did: latencies that were put in must come out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::judge::{close, latencies, percentile, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Controller, LoggedCommand, PathName};
use crate::lab::load::{Load, Until, percentile as exact_percentile};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::report::merge_buckets;
use crate::lab::schema::{Class, State};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "ground-truth",
    limit_seconds: 600,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "non-optimized-2ms",
            run: |lab| slower_controller(lab, 2),
        },
        Case {
            name: "non-optimized-20ms",
            run: |lab| slower_controller(lab, 20),
        },
        Case {
            name: "planted-300ms",
            run: planted,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(120);

/// Rounds over both controllers: what changes with time meets both.
const ROUNDS: usize = 2;
/// The same load on the optimized and on the slower controller: both observers must see the same
/// difference, and no command may be faster than the array was.
fn slower_controller(lab: &mut Lab, milliseconds: u64) -> Result<Outcome> {
    lab.implicit_emulator()?
        .ask(&format!("delay B {milliseconds}ms"))?;
    let map = lab.map(&MapOptions::default())?;
    compare(lab, &map)?;
    Ok(Outcome::Passed)
}

fn compare(lab: &mut Lab, map: &Map) -> Result<()> {
    let load = Load {
        engine: "psync",
        depth: 1,
        think_us: 2000,
        until: Until::Count(150),
        each: true,
        ..Load::random_reads(&map.node(), 0)
    };
    let trace = lab.trace(&TraceOptions::with_commands())?;
    lab.array()?.ask("forget")?;
    let mut fio = [Vec::new(), Vec::new()];
    let mut loaded = Vec::new();
    for _ in 0..ROUNDS {
        for (group, latencies) in (1..).zip(&mut fio) {
            settle(map, group)?;
            let began_ns = sys::monotonic_ns();
            latencies.extend(load.run(LIMIT)?.each_ns());
            loaded.push(began_ns..sys::monotonic_ns());
        }
    }
    let report = lab.stop(trace)?;
    let log = lab.array()?.log()?;
    let mut tool = [State::Optimized, State::NonOptimized].map(|state| {
        let seen = report.commands().filter(|command| {
            command.state == state
                && command.opcode == 0x28
                && loaded
                    .iter()
                    .any(|it| it.contains(&command.dispatched_at_ns))
        });
        seen.map(|command| command.latency_ns).collect::<Vec<u64>>()
    });
    for (tool, fio) in tool.iter().zip(&fio) {
        same(
            "reads",
            ("fio", fio.len() as u64),
            ("tool", tool.len() as u64),
        )?;
    }
    let fio = medians_apart(&mut fio)?;
    let tool = medians_apart(&mut tool)?;
    lab.figure("tool: non-optimized minus optimized p50", tool, "ns");
    lab.figure("fio: non-optimized minus optimized p50", fio, "ns");
    no_faster_than_the_array(lab, &report, &log)?;
    summarised(&report)?;
    let mut array = [Controller::A, Controller::B].map(|controller| {
        let reads = log
            .iter()
            .filter(|it| it.opcode == 0x28 && it.path.controller == controller);
        reads
            .map(|it| it.completed_at_ns - it.seen_at_ns)
            .collect::<Vec<u64>>()
    });
    let array = medians_apart(&mut array)?;
    lab.figure("array: non-optimized minus optimized p50", array, "ns");
    close("non-optimized minus optimized p50", tool, fio, 3.0)
}

/// Second median minus first, in ns.
fn medians_apart(latencies: &mut [Vec<u64>; 2]) -> Result<f64> {
    let mut medians = [0.0; 2];
    for (median, values) in medians.iter_mut().zip(latencies) {
        values.sort_unstable();
        *median = exact_percentile(values, 50.0).context("no reads")? as f64;
    }
    Ok(medians[1] - medians[0])
}

/// The histograms of the summary say the same as the single commands, as exactly as they can.
fn summarised(report: &Report) -> Result<()> {
    for state in [State::Optimized, State::NonOptimized] {
        let mut all: Vec<u64> = report
            .commands()
            .filter(|command| command.state == state && command.opcode == 0x28)
            .map(|command| command.latency_ns)
            .collect();
        all.sort_unstable();
        let exact = exact_percentile(&all, 50.0).context("no reads")? as f64;
        let histogram = percentile(&latencies(report, Class::Read, state), 50.0)? as f64;
        close("p50 of the histogram", histogram, exact, 0.8)?;
    }
    Ok(())
}

/// Makes `group` the current one, its activation over.
fn settle(map: &Map, group: u32) -> Result<()> {
    map.switch_group(group)?;
    Load {
        until: Until::Count(20),
        ..Load::random_reads(&map.node(), 0)
    }
    .run(LIMIT)?;
    Ok(())
}

/// Commands of a path and block, in order: the array's and the tool's are the same ones.
fn no_faster_than_the_array(lab: &Lab, report: &Report, log: &[LoggedCommand]) -> Result<()> {
    let mut seen: BTreeMap<(PathName, u64), Vec<&LoggedCommand>> = BTreeMap::new();
    let mut in_order: Vec<&LoggedCommand> = log.iter().filter(|it| it.opcode == 0x28).collect();
    in_order.sort_by_key(|it| it.sequence);
    for command in in_order {
        seen.entry((command.path, command.lba))
            .or_default()
            .push(command);
    }
    let names: BTreeMap<String, PathName> = lab
        .paths()
        .into_iter()
        .map(|path| (path.hctl, path.name))
        .collect();
    let mut traced: Vec<_> = report.commands().filter(|it| it.opcode == 0x28).collect();
    traced.sort_by_key(|it| it.dispatched_at_ns);
    same(
        "reads",
        ("array", seen.values().map(|it| it.len() as u64).sum()),
        ("tool", traced.len() as u64),
    )?;
    let mut surplus = 0;
    for command in &traced {
        let lba = command.lba.context("a read without a block")?;
        let name = names.get(&command.hctl).context("a path nobody made")?;
        let waiting = seen.get_mut(&(*name, lba)).filter(|it| !it.is_empty());
        let array = waiting
            .map(|it| it.remove(0))
            .with_context(|| format!("the array saw no read of {lba} on {name}"))?;
        let service = array.completed_at_ns - array.seen_at_ns;
        ensure!(
            command.latency_ns >= service && command.dispatched_at_ns <= array.seen_at_ns,
            "{name} block {lba}: the array took {service} ns from {}, the tool says {command:?}",
            array.seen_at_ns
        );
        surplus += command.latency_ns - service;
    }
    let mean = surplus as f64 / traced.len().max(1) as f64;
    lab.figure("tool measures more than the array by", mean, "ns");
    Ok(())
}

/// 300 slow commands among 100,000: the histogram has exactly those above 250 ms.
fn planted(lab: &mut Lab) -> Result<Outcome> {
    const COMMANDS: u64 = 100_000;
    const SLOW: u64 = 300;
    const JOBS: u32 = 4;
    lab.implicit_emulator()?;
    let map = lab.map(&MapOptions::default())?;
    settle(&map, 1)?;
    let trace = lab.trace(&TraceOptions::default())?;
    // What the kernel read while it found the paths is not the load's.
    lab.array()?.ask("forget")?;
    lab.array()?
        .ask(&format!("plant {SLOW} at 300ms among {COMMANDS}"))?;
    let before = disk::stats(&map.dm)?;
    let load = Load {
        depth: 32,
        jobs: JOBS,
        until: Until::Count(COMMANDS / u64::from(JOBS)),
        ..Load::random_reads(&map.node(), 0)
    };
    let done = load.run(LIMIT)?;
    let counted = disk::stats(&map.dm)?.reads - before.reads;
    let report = lab.stop(trace)?;
    same("reads", ("fio", done.read.total_ios), ("dm", counted))?;
    lab.figure("IOPS with planted latency", done.read.iops, "1/s");
    let seen = latencies(&report, Class::Read, State::Optimized);
    let traced = seen.iter().map(|it| it.commands).sum();
    same("reads", ("fio", COMMANDS), ("tool", traced))?;
    let above: u64 = merge_buckets(seen.iter().copied())
        .range(250_000_001..)
        .map(|(_, count)| count)
        .sum();
    // By the array's own clock the planted ones were late, and no other.
    let log = lab.array()?.log()?;
    let slow = log
        .iter()
        .filter(|it| it.completed_at_ns - it.seen_at_ns >= 250_000_000)
        .count() as u64;
    ensure!(
        log.iter()
            .all(|it| it.path.controller == Controller::A || it.opcode != 0x28),
        "reads went to controller B"
    );
    same(
        "commands above 250 ms",
        ("planted", SLOW),
        ("array's log", slow),
    )?;
    same("commands above 250 ms", ("planted", SLOW), ("tool", above))?;
    Ok(Outcome::Passed)
}
