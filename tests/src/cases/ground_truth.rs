//! The array says what it did: latencies that were put in must come out.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::judge::{close, latencies, percentile, same};
use super::{Case, Group, Kernels, Outcome};
use crate::array::{Controller, LoggedCommand, PathName};
use crate::lab::load::{Load, Until};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::schema::{Class, State};
use crate::lab::tracer::{Report, TraceOptions, merge_buckets};
use crate::lab::{Lab, disk};

pub(super) const GROUP: Group = Group {
    name: "ground-truth",
    limit_seconds: 360,
    kernels: Kernels::All,
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

/// The same load on the optimized and on the slower controller: both observers must see the same
/// difference, and no command may be faster than the array was.
fn slower_controller(lab: &mut Lab, milliseconds: u64) -> Result<Outcome> {
    lab.implicit_emulator()?
        .ask(&format!("delay B {milliseconds}ms"))?;
    let map = lab.map(&MapOptions::default())?;
    let count = if milliseconds > 10 { 300 } else { 1500 };
    let mut outcome = Ok(());
    for attempt in 1..=ATTEMPTS {
        let (tool, fio) = difference(lab, &map, count)?;
        outcome = close("non-optimized minus optimized p50", tool, fio, 3.0);
        match &outcome {
            Ok(()) => break,
            Err(error) => lab.log(format!("attempt {attempt}: {error:#}")),
        }
    }
    outcome.map(|()| Outcome::Passed)
}

/// How often medians are compared anew when they differ: fio measures its own wait for a processor,
/// too, and a busy host makes that differ between the two loads. A tool that measures wrongly
/// differs every time.
const ATTEMPTS: usize = 8;

/// Difference of the medians of the two states, as the tool and as fio see it, in ns. That no
/// command is faster than the array's own log is checked each time, without tolerance.
fn difference(lab: &mut Lab, map: &Map, count: u64) -> Result<(f64, f64)> {
    let trace = lab.trace(&TraceOptions::with_commands())?;
    lab.array()?.ask("forget")?;
    let mut fio_p50 = Vec::new();
    for group in [1, 2] {
        settle(map, group)?;
        let load = Load {
            depth: 2,
            until: Until::Count(count),
            each: true,
            ..Load::random_reads(&map.node(), 0)
        };
        fio_p50.push(load.run(LIMIT)?.exact_percentile(50.0)? as f64);
    }
    let report = lab.stop(trace)?;
    let log = lab.array()?.log()?;
    let p50 = |state| percentile(&latencies(&report, Class::Read, state), 50.0);
    let tool = p50(State::NonOptimized)? as f64 - p50(State::Optimized)? as f64;
    let fio = fio_p50[1] - fio_p50[0];
    lab.figure("tool: non-optimized minus optimized p50", tool, "ns");
    lab.figure("fio: non-optimized minus optimized p50", fio, "ns");
    no_faster_than_the_array(lab, &report, &log)?;
    Ok((tool, fio))
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
    let above: u64 = merge_buckets(seen.iter().copied())
        .range(250_000_001..)
        .map(|(_, count)| count)
        .sum();
    // What the guest itself delayed beyond 250 ms, by the array's own clock, is not the tool's.
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
