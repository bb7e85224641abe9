//! The state of a command is the one known at its dispatch, through any number of swaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::Controller;
use crate::lab::kmsg::{KernelLog, Line};
use crate::lab::lio;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::report::Report;
use crate::lab::schema::{Command, PathChange, State};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "state-swaps",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "emulator",
            run: emulator,
        },
        Case {
            name: "lio",
            run: lio_swaps,
        },
        Case {
            name: "unanswered",
            run: unanswered,
        },
    ],
};

const SWAPS: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);
/// The kernel writes its log line a moment after it has stored the state.
const TOLERANCE_NS: u64 = 1_000_000;

fn emulator(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    swaps(lab, |lab, _| lab.array()?.ask("swap").map(|_| ()))
}

fn lio_swaps(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.expect_states("active/optimized", "active/non-optimized")?;
    swaps(lab, |lab, round| {
        let (a, b) = if round % 2 == 0 {
            (lio::State::NonOptimized, lio::State::Optimized)
        } else {
            (lio::State::Optimized, lio::State::NonOptimized)
        };
        lab.target()?.set_states(a, b)
    })
}

/// Kernels since 6.12 say active/optimized of every path before they have asked the array. Until it
/// has answered a state is unknown, whatever they claim.
fn unanswered(lab: &mut Lab) -> Result<Outcome> {
    lab.lio_with(false)?;
    let path = lab.path("B1")?;
    let reads = Load {
        until: Until::Count(50),
        ..Load::random_reads(&path.node(), 0)
    };
    let trace = lab.trace(&TraceOptions::with_commands())?;
    reads.run(LIMIT)?;
    let claim = sys::read(path.sysfs("access_state"))?;
    let asked_at_ns = sys::monotonic_ns();
    lab.learn_states()?;
    reads.run(LIMIT)?;
    let report = lab.stop(trace)?;
    let of_path = |command: &&Command| command.hctl == path.hctl && command.is_transfer();
    let (before, after): (Vec<&Command>, Vec<&Command>) = report
        .commands()
        .filter(of_path)
        .partition(|it| it.dispatched_at_ns < asked_at_ns);
    let states = |of: &[&Command]| of.iter().map(|it| it.state).collect::<Vec<State>>();
    let (before, after) = (states(&before), states(&after));
    // The block layer makes one command of neighbours that meet.
    ensure!(
        before.len().min(after.len()) >= 45,
        "{} and {} reads were traced",
        before.len(),
        after.len()
    );
    let never_asked = claim == "active/optimized";
    let expected = if never_asked {
        State::Unknown
    } else {
        State::NonOptimized
    };
    ensure!(
        before.iter().all(|state| *state == expected),
        "the kernel claims {claim}, the reads before it asked: {before:?}"
    );
    ensure!(
        after.iter().all(|state| *state == State::NonOptimized),
        "reads after the array answered: {after:?}"
    );
    lab.figure("the kernel had never asked", f64::from(never_asked), "");
    Ok(Outcome::Passed)
}

/// I/O on every path, so that every path is told of every swap.
fn swaps(lab: &mut Lab, mut swap: impl FnMut(&mut Lab, usize) -> Result<()>) -> Result<Outcome> {
    let nodes: Vec<String> = lab.paths().iter().map(|path| path.node()).collect();
    let mut kernel = KernelLog::open()?;
    let trace = lab.trace(&TraceOptions::with_commands())?;
    let load = Load {
        depth: 8,
        ..Load::random_reads(&nodes.join(":"), UNTIL_STOPPED_MS)
    }
    .start()?;
    let last = lab.path("B2")?.device;
    settle(&last)?;
    let mut swapped_at_ns = Vec::new();
    for round in 0..SWAPS {
        swapped_at_ns.push(sys::monotonic_ns());
        swap(lab, round)?;
        settle(&last)?;
    }
    load.stop()?;
    let report = lab.stop(trace)?;
    let drift = (KernelLog::open()?.offset_ns() - kernel.offset_ns()).abs();
    lab.figure("drift of the kernel log's clock", drift as f64, "ns");
    let lines = kernel.lines()?;
    let said: Vec<String> = lines
        .iter()
        .map(|line| format!("{} {}", line.at_ns, line.text))
        .collect();
    lab.evidence("kernel-log.txt", said.join("\n"));
    let recorded: u64 = report
        .summary
        .paths
        .iter()
        .map(|it| it.counts.recorded)
        .sum();
    same(
        "commands",
        ("recorded", recorded),
        ("lines", report.commands().count() as u64),
    )?;
    let checked = check(lab, &report, &lines, &swapped_at_ns)?;
    lab.figure(
        "commands checked against the kernel log",
        checked as f64,
        "commands",
    );
    for path in lab.paths() {
        let changes = report.path_events();
        let changes = changes
            .filter(|it| it.change == PathChange::State && it.path.hctl == path.hctl)
            .count();
        ensure!(
            changes >= SWAPS,
            "{SWAPS} swaps gave {changes} changes of the state of {}",
            path.hctl
        );
    }
    Ok(Outcome::Passed)
}

/// Waits until the kernel has the array's answer. One from before a swap may be filed after it, for the other group too,
/// and no line tells: the work of the first unit attentions must be over before the first swap as well.
fn settle(last: &str) -> Result<()> {
    sys::sleep_ms(400);
    disk::wait_for_io(last, 20)
}

/// `alua: port group 01 state N …` of the kernel log.
fn announced(line: &Line) -> Option<(Controller, State)> {
    let (_, rest) = line.text.split_once("alua: port group ")?;
    let mut words = rest.split(' ');
    let group = u16::from_str_radix(words.next()?, 16).ok()?;
    let state = match words.nth(1)? {
        "A" => State::Optimized,
        "N" => State::NonOptimized,
        _ => return None,
    };
    Some((Controller::of_group(group)?, state))
}

/// From a line of the kernel's on, until the array moves again, each command of the group carries
/// the state the line tells. There are such commands after every swap; on both controllers only
/// where the work of both groups ran, as the kernel does not say what it files for the other group.
/// Gives their number.
fn check(lab: &Lab, report: &Report, lines: &[Line], swapped_at_ns: &[u64]) -> Result<u64> {
    let controllers: BTreeMap<String, Controller> = lab
        .paths()
        .into_iter()
        .map(|path| (path.hctl, path.name.controller))
        .collect();
    let mut checked = 0;
    let mut judged = BTreeSet::new();
    for command in report.commands().filter(|it| it.is_transfer()) {
        let at_ns = command.dispatched_at_ns;
        let controller = controllers
            .get(&command.hctl)
            .context("a path nobody made")?;
        let swap = swapped_at_ns.iter().rev().find(|swap| **swap <= at_ns);
        let Some(swap) = swap else { continue };
        let told = lines
            .iter()
            .rev()
            .filter(|line| line.at_ns >= *swap && line.at_ns + TOLERANCE_NS <= at_ns)
            .find_map(|line| announced(line).filter(|it| it.0 == *controller));
        let Some((_, state)) = told else { continue };
        checked += 1;
        judged.insert((*swap, *controller));
        ensure!(
            command.state == state,
            "dispatched at {at_ns}, swapped at {swap}, the kernel had said {state:?}: {command:?}"
        );
    }
    let swaps: BTreeSet<u64> = judged.iter().map(|(swap, _)| *swap).collect();
    let on = |wanted| judged.iter().filter(|(_, it)| *it == wanted).count();
    let (a, b) = (on(Controller::A), on(Controller::B));
    ensure!(
        swaps.len() == SWAPS && a.min(b) >= SWAPS / 4,
        "of {SWAPS} swaps {} could be checked, {a} on controller A, {b} on B",
        swaps.len()
    );
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let line = |text: &str| Line {
            at_ns: 0,
            text: text.to_owned(),
        };
        let text = "sd 1:0:0:0: alua: port group 02 state N non-preferred supports TOlUSNA";
        assert_eq!(
            announced(&line(text)),
            Some((Controller::B, State::NonOptimized))
        );
        assert_eq!(
            announced(&line("sd 1:0:0:0: alua: port group 01 state T non")),
            None
        );
        assert_eq!(
            announced(&line("sd 1:0:0:0: Asymmetric access state changed")),
            None
        );
    }
}
