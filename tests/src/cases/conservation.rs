//! Nothing is lost silently: every command is counted once, whatever the trace begins, ends or
//! chokes in the middle of.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::judge::{mapped_once, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Map, MapOptions, Selector};
use crate::lab::report::Report;
use crate::lab::tracer::{Telling, TraceOptions};
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
            name: "counted",
            run: counted,
        },
        Case {
            name: "under-load",
            run: under_load,
        },
        Case {
            name: "processors-come-and-go",
            run: processors_come_and_go,
        },
        Case {
            name: "preempted",
            run: preempted,
        },
        Case {
            name: "small-ring",
            run: small_ring,
        },
    ],
};

pub(super) const LIMIT: Duration = Duration::from_secs(30);
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
        enclosed(lab, &map, Telling::Each)?;
        map.remove()?;
    }
    Ok(Outcome::Passed)
}

/// The same where commands are counted in the kernel, and where they are both counted and recorded: then the tool compares
/// every bucket.
fn counted(lab: &mut Lab) -> Result<Outcome> {
    if !can_count() {
        return Ok(Outcome::NotRun(
            "BPF before Linux 5.12 cannot count".to_owned(),
        ));
    }
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    for telling in [Telling::Both, Telling::Counted] {
        enclosed(lab, &map, telling)?;
    }
    let report = lab.reports.last().context("no trace")?;
    let (counted, all) = counted_of(report);
    lab.figure(
        "counted in the kernel",
        100.0 * counted as f64 / all as f64,
        "% of the commands",
    );
    ensure!(
        counted > all / 2 && report.summary.counting.is_some_and(|it| it.asked),
        "{counted} of {all} commands were counted: {:?}",
        report.summary.counting
    );
    Ok(Outcome::Passed)
}

/// Whether the kernel's BPF has atomic operations that fetch.
fn can_count() -> bool {
    let release = sys::kernel_release();
    let mut numbers = release.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(5), Some(12))
}

/// Commands that were counted, and all that completed.
fn counted_of(report: &Report) -> (u64, u64) {
    let paths = report.summary.paths.iter().map(|it| it.counts);
    paths.fold((0, 0), |(counted, all), it| {
        (counted + it.counted, all + it.completed)
    })
}

fn matches_dm_bio(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions {
        bio: true,
        ..MapOptions::default()
    })?;
    let telling = if can_count() {
        Telling::Both
    } else {
        Telling::Each
    };
    enclosed(lab, &map, telling)?;
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

pub(super) fn enclosed(lab: &mut Lab, map: &Map, telling: Telling) -> Result<()> {
    enclosed_for(lab, map, telling, SHORT_MS)
}

fn enclosed_for(lab: &mut Lab, map: &Map, telling: Telling, milliseconds: u64) -> Result<()> {
    for _ in 1..TRACES {
        let missed = enclosed_once(lab, map, telling, milliseconds)?;
        if missed == 0 {
            return Ok(());
        }
        lab.log(format!(
            "the kernel left out {missed} runs of a probe: traced again"
        ));
    }
    let missed = enclosed_once(lab, map, telling, milliseconds)?;
    ensure!(missed == 0, "the kernel left out {missed} runs of a probe");
    Ok(())
}

/// Whether the guest's second processor is there: each has a log of its own.
const SECOND: &str = "/sys/devices/system/cpu/cpu1/online";
const TIMES: u32 = 10;
/// How long the load runs, for that.
const LONG_ENOUGH_MS: u64 = 5000;
const SHORT_MS: u64 = 1500;

/// A processor is taken away and given back under load, ten times: what its log still has is told.
fn processors_come_and_go(lab: &mut Lab) -> Result<Outcome> {
    if !std::path::Path::new(SECOND).exists() {
        return Ok(Outcome::NotRun("this guest has one processor".to_owned()));
    }
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let is_over = AtomicBool::new(false);
    let (outcome, toggled) = std::thread::scope(|scope| {
        let toggling = scope.spawn(|| toggle(&is_over));
        let outcome = enclosed_for(lab, &map, Telling::Each, LONG_ENOUGH_MS);
        is_over.store(true, Ordering::Relaxed);
        (outcome, toggling.join())
    });
    sys::write(SECOND, "1")?;
    let times = toggled.ok().context("the toggling panicked")??;
    outcome?;
    lab.figure("a processor came and went", f64::from(times), "times");
    ensure!(times >= TIMES, "it came and went {times} times");
    Ok(Outcome::Passed)
}

/// Takes it away and gives it back until that is over; how often.
fn toggle(is_over: &AtomicBool) -> Result<u32> {
    let mut times = 0;
    while !is_over.load(Ordering::Relaxed) {
        for online in ["0", "1"] {
            sys::sleep_ms(50);
            sys::write(SECOND, online)?;
        }
        times += 1;
    }
    Ok(times)
}

/// How the kernel preempts itself, where it can be told (`CONFIG_PREEMPT_DYNAMIC`).
const PREEMPTION: &str = "/sys/kernel/debug/sched/preempt";

/// The same where the kernel may be preempted anywhere, as with `preempt=full`.
fn preempted(lab: &mut Lab) -> Result<Outcome> {
    let Ok(before) = sys::read(PREEMPTION) else {
        return Ok(Outcome::NotRun(format!("this kernel has no {PREEMPTION}")));
    };
    let before = before
        .split(['(', ')'])
        .nth(1)
        .with_context(|| format!("{PREEMPTION} says {before:?}"))?
        .to_owned();
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    sys::write(PREEMPTION, "full")?;
    let telling = if can_count() {
        Telling::Both
    } else {
        Telling::Each
    };
    let outcome = enclosed(lab, &map, telling);
    sys::write(PREEMPTION, &before)?;
    outcome?;
    Ok(Outcome::Passed)
}

/// The completion probe reads through the kernel's types, where it has those of SCSI: its twin, which copies, counts as
/// well and costs more.
fn reads_by_type(report: &Report) -> Result<()> {
    let has_types = Path::new("/sys/kernel/btf/scsi_mod").exists();
    let probes = &report.start.probes;
    let done = probes.iter().find(|it| it.name == "scsi_dispatch_cmd_done");
    let done = done.context("no completion probe")?;
    ensure!(
        !has_types || done.hook.starts_with("tp_btf "),
        "the kernel has types, and the completion probe does not use them: {}",
        done.reason
    );
    Ok(())
}

/// Traces reads and writes and compares with dm. Gives the runs of a probe that the kernel left out:
/// then the trace must say that it is not complete, and there is nothing to compare.
fn enclosed_once(lab: &mut Lab, map: &Map, telling: Telling, milliseconds: u64) -> Result<u64> {
    let trace = lab.trace(&TraceOptions {
        telling,
        ..TraceOptions::default()
    })?;
    let before = completed_by_dm(lab, map)?;
    let done = Load {
        rw: "randrw",
        ..Load::random_reads(&map.node(), milliseconds)
    }
    .run(LIMIT)?;
    let after = completed_by_dm(lab, map)?;
    let report = lab.stop(trace)?;
    reads_by_type(&report)?;
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

/// A collector that is stopped, and a ring of one page: nearly all finds no room, and is counted in the kernel instead, which
/// is said. Where the kernel cannot, it is lost, which is counted and shown.
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
    let (counted, _) = counted_of(&report);
    lab.figure("lost with a ring of one page", lost as f64, "commands");
    lab.figure(
        "counted with a ring of one page",
        counted as f64,
        "commands",
    );
    // A page has room for less than a hundred records.
    ensure!(
        lost + counted >= STOPPED_IOS - 100,
        "{STOPPED_IOS} commands in a ring of one page, {lost} lost, {counted} counted"
    );
    let (is_complete, said) = if can_count() {
        ensure!(lost == 0, "{lost} commands were lost");
        let began = report
            .stdout
            .contains("ordinary commands are counted in the kernel");
        ensure!(began, "nobody says that it changes over: {}", report.stdout);
        (
            true,
            "commands were counted in the kernel, because records found no room".to_owned(),
        )
    } else {
        (
            false,
            format!("{lost} completed commands found the ring buffer full"),
        )
    };
    ensure!(
        report.summary.complete == is_complete && report.stdout.contains(&said),
        "the summary does not say {said:?}: {}",
        report.stdout
    );
    Ok(Outcome::Passed)
}
