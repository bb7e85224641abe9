//! One path, no dm: fio and the tool look at the same commands and must agree.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::judge::{close, latencies, mean, percentile, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::Lab;
use crate::lab::load::{Load, Until};
use crate::lab::report::commands_of;
use crate::lab::schema::{Class, State};
use crate::lab::tracer::TraceOptions;
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "fio-one-path",
    limit_seconds: 300,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "counts",
            run: counts,
        },
        Case {
            name: "percentiles",
            run: percentiles,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(60);
const READ_10: u8 = 0x28;
/// Four times what fio needs on its way to dispatch and back: a tool that leaves out more than that
/// of each command does not agree with it.
const MAX_SURPLUS_NS: f64 = 200_000.0;

fn counts(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let path = lab.path("A1")?;
    // Two neighbours that wait at once would become one command.
    sys::write(format!("/sys/block/{}/queue/nomerges", path.device), "2")?;
    for (engine, depth) in [("psync", 1), ("libaio", 8)] {
        let load = Load {
            engine,
            depth,
            until: Until::Count(3000),
            ..Load::random_reads(&path.node(), 0)
        };
        let trace = lab.trace(&TraceOptions::default())?;
        let done = load.run(LIMIT)?;
        let report = lab.stop(trace)?;
        let summary = report.path(&path.hctl)?;
        let reads = commands_of(summary, Class::Read);
        same(engine, ("fio", done.read.total_ios), ("tool", reads))?;
        let bytes: u64 = summary
            .latency
            .iter()
            .filter(|it| it.class == Class::Read)
            .map(|it| it.bytes)
            .sum();
        same(
            "bytes",
            ("fio", done.read.total_ios * 4096),
            ("tool", bytes),
        )?;
    }
    Ok(Outcome::Passed)
}

/// fio measures from submission to reaping: more than dispatch to completion by about the same
/// for every command. That surplus is the difference of the means; without it, the percentiles
/// must agree.
fn percentiles(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    lab.array()?.ask("delay all 2ms..20ms")?;
    for engine in ["psync", "libaio"] {
        let load = Load {
            engine,
            depth: 1,
            jobs: 8,
            // Of 4,000 a p99.9 is not one I/O that fio was late for.
            until: Until::Count(500),
            each: true,
            ..Load::random_reads(&lab.path("A1")?.node(), 0)
        };
        compare(lab, &load, engine)?;
    }
    Ok(Outcome::Passed)
}

fn compare(lab: &mut Lab, load: &Load, engine: &str) -> Result<()> {
    let trace = lab.trace(&TraceOptions::default())?;
    lab.array()?.ask("forget")?;
    let done = load.run(LIMIT)?;
    let array = service_times(lab)?;
    let report = lab.stop(trace)?;
    let seen = latencies(&report, Class::Read, State::Optimized);
    let each_ns = done.each_ns();
    let fio = ("fio", each_ns.len() as u64);
    let commands = seen.iter().map(|latency| latency.commands).sum();
    same(&format!("{engine}: reads"), fio, ("tool", commands))?;
    same(
        &format!("{engine}: reads"),
        fio,
        ("array", array.len() as u64),
    )?;
    let (array, tool, fio) = (average(&array), mean(&seen), average(&each_ns));
    let surplus = fio - tool;
    lab.figure(&format!("{engine}: fio's mean"), fio, "ns");
    lab.figure(&format!("{engine}: fio measures more by"), surplus, "ns");
    lab.figure(
        &format!("{engine}: the array measures less by"),
        tool - array,
        "ns",
    );
    ensure!(
        array <= tool && tool <= fio,
        "{engine}: means of {array:.0} ns in the array, {tool:.0} ns for the tool and {fio:.0} ns \
         for fio are not in this order"
    );
    ensure!(
        surplus > 0.0 && surplus <= MAX_SURPLUS_NS,
        "{engine}: fio measured more than the tool by {surplus:.0} ns, allowed {MAX_SURPLUS_NS}"
    );
    for percent in [50.0, 99.0, 99.9] {
        let fio = done.exact_percentile(percent)? as f64;
        let tool = percentile(&seen, percent)? as f64;
        lab.figure(&format!("{engine}: fio's p{percent}"), fio, "ns");
        lab.figure(&format!("{engine}: tool's p{percent}"), tool, "ns");
        close(&format!("{engine} p{percent}"), tool, fio - surplus, 2.0)?;
    }
    Ok(())
}

/// How long the array took for each read since it was told to forget.
fn service_times(lab: &mut Lab) -> Result<Vec<u64>> {
    let log = lab.array()?.log()?;
    let reads = log.iter().filter(|it| it.opcode == READ_10);
    Ok(reads.map(|it| it.completed_at_ns - it.seen_at_ns).collect())
}

fn average(values: &[u64]) -> f64 {
    values.iter().sum::<u64>() as f64 / values.len().max(1) as f64
}
