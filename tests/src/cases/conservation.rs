//! Nothing is lost silently: every command is counted once, whatever the trace begins, ends or
//! chokes in the middle of.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::judge::{mapped_once, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::{Map, MapOptions, Selector};
use crate::lab::report::Report;
use crate::lab::schema::PathSummary;
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "conservation",
    limit_seconds: 900,
    kernels: Kernels::All,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "matches-dm",
            run: matches_dm,
        },
        Case {
            name: "matches-dm-bio",
            run: matches_dm_bio,
        },
        Case {
            name: "under-load",
            run: under_load,
        },
        Case {
            name: "small-ring",
            run: small_ring,
        },
    ],
};

/// What needs no second processor to go wrong.
pub(super) const FAULTS: Group = Group {
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

const LIMIT: Duration = Duration::from_secs(30);
/// I/Os done while nobody reads the ring.
const STOPPED_IOS: u64 = 4000;

/// The trace encloses the load: dm's own count and the tool's agree exactly.
fn matches_dm(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    for selector in [
        Selector::ServiceTime,
        Selector::RoundRobin,
        Selector::QueueLength,
    ] {
        let map = lab.map(&MapOptions {
            selector,
            ..MapOptions::default()
        })?;
        enclosed(lab, &map)?;
        map.remove()?;
    }
    Ok(Outcome::Passed)
}

fn matches_dm_bio(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions {
        bio: true,
        ..MapOptions::default()
    })?;
    enclosed(lab, &map)?;
    Ok(Outcome::Passed)
}

/// Counts of dm's completed requests; in bio mode the paths merge, and a merged bio is no command.
fn completed_by_dm(lab: &Lab, map: &Map) -> Result<u64> {
    let dm = disk::stats(&map.dm)?;
    let mut merged = 0;
    for path in lab.paths() {
        merged += disk::stats(&path.device)?.merges;
    }
    Ok(dm.reads + dm.writes - merged)
}

/// How often a load is traced anew when the kernel left out runs of a probe. Kernels since 7.0 let
/// another task preempt a program and leave out that task's own runs of it; on a busy host an
/// emulated processor that was away in the middle of a program comes back to a timer tick.
const TRACES: usize = 4;

fn enclosed(lab: &mut Lab, map: &Map) -> Result<()> {
    for _ in 1..TRACES {
        let missed = enclosed_once(lab, map)?;
        if missed == 0 {
            return Ok(());
        }
        lab.log(format!(
            "the kernel left out {missed} runs of a probe: traced again"
        ));
    }
    let missed = enclosed_once(lab, map)?;
    ensure!(missed == 0, "the kernel left out {missed} runs of a probe");
    Ok(())
}

/// Traces reads and writes and compares with dm. Gives the runs of a probe that the kernel left out:
/// then the trace must say that it is not complete, and there is nothing to compare.
fn enclosed_once(lab: &mut Lab, map: &Map) -> Result<u64> {
    let trace = lab.trace(&TraceOptions::default())?;
    let before = completed_by_dm(lab, map)?;
    let done = Load {
        rw: "randrw",
        ..Load::random_reads(&map.node(), 1500)
    }
    .run(LIMIT)?;
    let after = completed_by_dm(lab, map)?;
    let report = lab.stop(trace)?;
    ensure!(done.total_ios() > 100, "fio did {} I/Os", done.total_ios());
    let missed = report.summary.losses.missed_runs;
    ensure!(
        report.summary.complete == (missed == 0),
        "{missed} runs left out, and the trace says: {:?}",
        report.summary.incomplete_because
    );
    if missed == 0 {
        same(
            "through the map",
            ("dm", after - before),
            ("tool", mapped_once(&report)),
        )?;
    }
    Ok(missed)
}

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
    enclosed(lab, &map)?;
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

/// Start and stop while commands are in flight: the array takes its time.
fn under_load(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?.ask("delay A 50ms")?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 100)?;
    for commands in [false, true] {
        let options = TraceOptions {
            commands,
            ..TraceOptions::default()
        };
        let trace = lab.trace(&options)?;
        disk::wait_for_io(&map.dm, 300)?;
        lab.array()?.ask("delay A 3s")?;
        sys::sleep_ms(200);
        let report = lab.stop(trace)?;
        lab.array()?.ask("delay A 50ms")?;
        let completed: u64 = report
            .summary
            .paths
            .iter()
            .map(|it| it.counts.completed)
            .sum();
        let summary = &report.summary;
        let in_flight: u64 = summary.paths.iter().map(|it| it.counts.in_flight).sum();
        // Some of those that dm saw to end had been dispatched before the trace began.
        let begun_before = summary.losses.unmatched_ends;
        ensure!(
            completed + begun_before >= 300,
            "{completed} commands in the trace, {begun_before} from before"
        );
        ensure!(
            in_flight > 0 && begun_before > 0,
            "{begun_before} commands in flight at the start, {in_flight} at the end"
        );
        if commands {
            let told = report.commands().count() as u64;
            let kept: u64 = report
                .summary
                .paths
                .iter()
                .map(|it| it.counts.recorded)
                .sum();
            same("lines of commands", ("recorded", kept), ("lines", told))?;
            routed(&report, &map)?;
        }
    }
    load.stop()?;
    Ok(Outcome::Passed)
}

/// Each read came through the map, in its first group.
fn routed(report: &Report, map: &Map) -> Result<()> {
    let devno = map.devno()?;
    for command in report.commands().filter(|it| it.is_transfer()) {
        ensure!(
            command.dm_devno.as_ref() == Some(&devno) && command.path_group == Some(1),
            "came through {devno} group 1: {command:?}"
        );
    }
    Ok(())
}

/// A collector that is stopped, and a ring of one page: nearly all is lost. Every loss is counted and
/// shown.
fn small_ring(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        depth: 64,
        jobs: 2,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 100)?;
    lab.may_lose = true;
    let mut trace = lab.trace(&TraceOptions {
        ring_bytes: Some(4096),
        commands: true,
        ..TraceOptions::default()
    })?;
    disk::wait_for_io(&map.dm, 100)?;
    trace.signal(Signal::STOP)?;
    disk::wait_for_io(&map.dm, STOPPED_IOS)?;
    trace.signal(Signal::CONT)?;
    disk::wait_for_io(&map.dm, 100)?;
    let report = lab.stop(trace)?;
    load.stop()?;
    let lost = report.summary.losses.ring_full;
    lab.figure("lost with a ring of one page", lost as f64, "commands");
    // A page has room for less than a hundred records.
    ensure!(
        lost >= STOPPED_IOS - 100,
        "{STOPPED_IOS} commands in a ring of one page, {lost} lost"
    );
    let said = format!("{lost} completed commands found the ring buffer full");
    ensure!(
        !report.summary.complete && report.stdout.contains(&said),
        "the summary does not say {said:?}: {}",
        report.stdout
    );
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
