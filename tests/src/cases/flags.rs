//! Flags: raised soon, on the right commands, with the right verdict.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Controller, LoggedCommand};
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS, percentile};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::schema::{Flag, FlagChange, FlagKind, Line, State};
use crate::lab::tracer::{Trace, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;

/// How soon: many episodes, each followed by its quiet second.
pub(super) const LATENCY: Group = Group {
    name: "flag-latency",
    limit_seconds: 600,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "quick-array",
            run: |lab| latency(lab, 50, 10),
        },
        Case {
            name: "slow-array",
            run: |lab| latency(lab, 12, 400),
        },
    ],
};

pub(super) const GROUP: Group = Group {
    name: "flags",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "avoidable",
            run: avoidable,
        },
        Case {
            name: "unavoidable-failed",
            run: unavoidable_failed,
        },
        Case {
            name: "unavoidable-offline",
            run: unavoidable_offline,
        },
        Case {
            name: "none-without-cause",
            run: none_without_cause,
        },
    ],
};

const RAISED_WITHIN_NS: u64 = 250_000_000;
/// An episode is over after a second without an offending command.
const QUIET_MS: u64 = 1300;

/// A map that is read from, of an array that cannot make controller B optimized. A takes 10 ms,
/// B `delay_ms`.
fn loaded(lab: &mut Lab, delay_ms: u64) -> Result<(Map, Running)> {
    let array = lab.implicit_emulator()?;
    array.ask("delay A 10ms")?;
    array.ask(&format!("delay B {delay_ms}ms"))?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        depth: 4,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    Ok((map, load))
}

fn raised(report: &Report) -> Vec<&Flag> {
    report
        .flag_events()
        .filter(|event| event.change == FlagChange::Raised)
        .map(|event| &event.flag)
        .filter(|flag| flag.kind == FlagKind::NonOptimizedIo)
        .collect()
}

/// Episodes of I/O on the non-optimized group: each is flagged within 250 ms of its first
/// dispatch, also when no command completes before that. What counts is when the flag has come out
/// of the tool.
fn latency(lab: &mut Lab, episodes: usize, delay_ms: u64) -> Result<Outcome> {
    let (map, load) = loaded(lab, delay_ms)?;
    let mut trace = lab.trace(&TraceOptions::with_commands())?;
    lab.array()?.ask("forget")?;
    let mut told = Vec::new();
    for _ in 0..episodes {
        let switched_ns = sys::monotonic_ns();
        map.switch_group(2)?;
        told.push((switched_ns, wait_until_told(&mut trace)?));
        map.switch_group(1)?;
        sys::sleep_ms(QUIET_MS + delay_ms);
    }
    let report = lab.stop(trace)?;
    load.stop()?;
    let log = lab.array()?.log()?;
    let flags = raised(&report);
    ensure!(
        flags.len() == episodes,
        "{episodes} episodes, {} flags",
        flags.len()
    );
    let dispatches = offending(&report);
    let mut delays = Vec::new();
    for (flag, (switched_ns, told_ns)) in flags.iter().zip(told) {
        let first = first_of_episode(&dispatches, flag.first_at_ns)?;
        ensure!(
            flag.first_at_ns == first,
            "flag {} begins at {}, its episode at {first}",
            flag.id,
            flag.first_at_ns
        );
        let of_episode = |it: &&LoggedCommand| {
            it.path.controller == Controller::B && it.opcode == 0x28 && it.seen_at_ns > switched_ns
        };
        let seen = log.iter().filter(of_episode).map(|it| it.seen_at_ns).min();
        let seen = seen.context("controller B got no read")?;
        ensure!(
            (switched_ns..=seen).contains(&first) && (first..=told_ns).contains(&flag.raised_at_ns),
            "switched at {switched_ns}, the array saw a read at {seen}, told at {told_ns}: {flag:?}"
        );
        delays.push(told_ns - first);
        ensure!(
            flag.avoidable == Some(true),
            "optimized paths were idle: {flag:?}"
        );
    }
    delays.sort_unstable();
    for percent in [50.0, 99.0] {
        let value = percentile(&delays, percent).context("no flags")?;
        lab.figure(
            &format!("flag told after, p{percent}"),
            value as f64 / 1e6,
            "ms",
        );
    }
    let p99 = percentile(&delays, 99.0).context("no flags")?;
    ensure!(
        p99 <= RAISED_WITHIN_NS,
        "p99 of the time to a flag is {p99} ns: {delays:?}"
    );
    Ok(Outcome::Passed)
}

/// Waits for the next flag in the output; gives the time when it was there.
fn wait_until_told(trace: &mut Trace) -> Result<u64> {
    let mut told_ns = 0;
    sys::wait_for(Duration::from_secs(5), "a flag in the output", || {
        let lines = trace.new_lines()?;
        told_ns = sys::monotonic_ns();
        Ok(lines.iter().any(|line| {
            matches!(line, Line::Flag(event) if event.change == FlagChange::Raised
                && event.flag.kind == FlagKind::NonOptimizedIo)
        }))
    })?;
    Ok(told_ns)
}

/// Dispatch times of reads and writes on a path that was not optimized.
fn offending(report: &Report) -> BTreeSet<u64> {
    report
        .commands()
        .filter(|command| command.is_transfer() && command.state == State::NonOptimized)
        .map(|command| command.dispatched_at_ns)
        .collect()
}

/// Goes back from `at_ns` to the first dispatch that follows a pause.
fn first_of_episode(dispatches: &BTreeSet<u64>, at_ns: u64) -> Result<u64> {
    let mut first = *dispatches
        .range(..=at_ns)
        .next_back()
        .context("no dispatch that early")?;
    for earlier in dispatches.range(..first).rev() {
        if first - earlier > 1_000_000_000 {
            break;
        }
        first = *earlier;
    }
    Ok(first)
}

/// One episode, judged by `avoidable`.
fn episode(
    lab: &mut Lab,
    expected: bool,
    cause: impl FnOnce(&mut Lab, &Map) -> Result<()>,
) -> Result<Outcome> {
    let (map, load) = loaded(lab, 10)?;
    let trace = lab.trace(&TraceOptions::default())?;
    cause(lab, &map)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    sys::sleep_ms(1200);
    let report = lab.stop(trace)?;
    load.stop()?;
    let flags = &report.summary.flags;
    let flag = flags
        .iter()
        .find(|flag| flag.kind == FlagKind::NonOptimizedIo)
        .context("no flag was raised")?;
    ensure!(
        flag.avoidable == Some(expected),
        "avoidable should be {expected}: {flag:?}"
    );
    ensure!(flag.commands > 50 && !flag.paths.is_empty(), "{flag:?}");
    ensure!(
        report.stdout.contains(&map.name),
        "the plain output does not name {}: {}",
        map.name,
        report.stdout
    );
    Ok(Outcome::Passed)
}

fn avoidable(lab: &mut Lab) -> Result<Outcome> {
    episode(lab, true, |_, map| map.switch_group(2))
}

fn unavoidable_failed(lab: &mut Lab) -> Result<Outcome> {
    episode(lab, false, |lab, map| {
        for name in ["A1", "A2"] {
            map.message(&format!("fail_path {}", lab.path(name)?.devno))?;
        }
        Ok(())
    })
}

fn unavoidable_offline(lab: &mut Lab) -> Result<Outcome> {
    episode(lab, false, |lab, _| {
        for name in ["A1", "A2"] {
            crate::lab::loopback::set_transport(lab.path(name)?.name, false)?;
        }
        Ok(())
    })
}

/// Load on optimized paths only, and a state the kernel does not know: no flag.
fn none_without_cause(lab: &mut Lab) -> Result<Outcome> {
    let (map, load) = loaded(lab, 10)?;
    let trace = lab.trace(&TraceOptions::default())?;
    disk::wait_for_io(&map.dm, 1000)?;
    let report = lab.stop(trace)?;
    load.stop()?;
    ensure!(
        report.summary.flags.is_empty(),
        "raised for nothing: {:?}",
        report.summary.flags
    );
    Ok(Outcome::Passed)
}
