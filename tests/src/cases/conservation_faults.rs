//! Conservation where something goes wrong: errors, commands that time out, a trace that ends by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::conservation::{LIMIT, enclosed};
use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::MapOptions;
use crate::lab::schema::PathSummary;
use crate::lab::tracer::{Telling, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;

/// What needs no second processor to go wrong.
pub(super) const GROUP: Group = Group {
    name: "conservation-faults",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "retries",
            run: retries,
        },
        Case {
            name: "timed-out",
            run: timed_out,
        },
        Case {
            name: "duration",
            run: duration,
        },
    ],
};

/// Errors that SCSI answers by sending the command again, or dm by another path: each dispatch is a
/// command, and dm counts the I/O once.
fn retries(lab: &mut Lab) -> Result<Outcome> {
    const EACH: u64 = 40;
    lab.implicit_emulator()?;
    let map = lab.map(&MapOptions::default())?;
    let failures = [("A1", "status:08"), ("A2", "06/29/00")];
    for (path, failure) in failures {
        lab.array()?
            .ask(&format!("errors {path} next {EACH} {failure}"))?;
    }
    enclosed(lab, &map, Telling::Each)?;
    let report = lab.reports.last().context("no trace")?;
    for (path, failure) in failures {
        let summary = report.path(&lab.path(path)?.hctl)?;
        let errors: u64 = summary.latency.iter().map(|latency| latency.errors).sum();
        ensure!(errors >= EACH, "{failure}: {errors} errors were traced");
    }
    Ok(Outcome::Passed)
}

/// A command whose time is over before the array answers: SCSI's error handler has it then.
fn timed_out(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let path = lab.path("A1")?;
    sys::write(path.sysfs("timeout"), "1")?;
    let reads = Load {
        until: Until::Count(2),
        ..Load::random_reads(&path.node(), 0)
    };
    let trace = lab.trace(&TraceOptions::default())?;
    reads.run(LIMIT)?;
    lab.array()?.ask("delay A1 3s")?;
    let load = Load { depth: 1, ..reads }.start()?;
    sys::sleep_ms(2000);
    lab.array()?.ask("delay A1 0")?;
    let _ = load.finish(LIMIT);
    let report = lab.stop(trace)?;
    let counts = report.path(&path.hctl)?.counts;
    ensure!(counts.timed_out > 0, "nothing timed out: {counts:?}");
    Ok(Outcome::Passed)
}

/// `--duration` ends by itself, about when it should.
fn duration(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::paced_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 100)?;
    let options = TraceOptions {
        duration_ms: Some(2000),
        interval_ms: Some(500),
        map: Some(map.name.clone()),
        ..TraceOptions::default()
    };
    let began = Instant::now();
    let report = crate::lab::tracer::Trace::run(&options, 4 * LIMIT);
    let report = lab.keep(report)?;
    let took = began.elapsed();
    load.stop()?;
    ensure!(
        report.status == 0,
        "status {}: {}",
        report.status,
        report.stderr
    );
    let traced = Duration::from_nanos(report.summary.duration_ns);
    ensure!(
        (1.9..4.0).contains(&traced.as_secs_f64()) && traced < took,
        "2 s took {traced:?}, with start and end {took:?}"
    );
    let completed = |path: &PathSummary| path.counts.completed;
    same(
        "paths of the map",
        ("lab", 4),
        ("tool", report.summary.paths.len() as u64),
    )?;
    ensure!(
        report.summary.paths.iter().map(completed).sum::<u64>() > 100,
        "no I/O in the trace"
    );
    for path in &report.summary.paths {
        ensure!(
            path.path.map.as_deref() == Some(map.name.as_str()),
            "--map {} showed {:?}",
            map.name,
            path.path
        );
    }
    Ok(Outcome::Passed)
}
