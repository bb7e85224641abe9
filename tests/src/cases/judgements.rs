//! What a `non-optimized-io` flag says of its paths is true at the time it says, whatever the array
//! and the host do meanwhile, and one episode is one flag.

use anyhow::{Context, Result, bail, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Access, Controller, Moved, StateChange};
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::schema::{Flag, FlagKind, Judgement, State, Verdict};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk, loopback};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "judgements",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    cases: &[
        Case {
            name: "transitions",
            run: transitions,
        },
        Case {
            name: "flapping",
            run: flapping,
        },
    ],
};

/// The handler asks a group in transition every 2 s (`ALUA_RTPG_DELAY_MSECS`, `ALUA_FAILOVER_RETRY_DELAY`),
/// and a busy host takes its time.
const KNOWN_WITHIN_NS: u64 = 3_500_000_000;
/// The array logs a change, and answers by it, at once; its clock is the host's.
const AHEAD_NS: u64 = 50_000_000;
const DURATIONS: [&str; 3] = ["100ms", "700ms", "3s"];
/// A second each.
const FLAPS: usize = 32;

/// A map of an array that nobody can ask to move, with a load on its optimized group.
fn loaded(lab: &mut Lab) -> Result<(Map, Running)> {
    let array = lab.implicit_emulator()?;
    array.ask("delay A 5ms")?;
    array.ask("delay B 5ms")?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        depth: 4,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    Ok((map, load))
}

/// The array swaps its groups and takes its time; the load stays where it is, as nothing tells dm.
fn transitions(lab: &mut Lab) -> Result<Outcome> {
    let (map, load) = loaded(lab)?;
    let trace = lab.trace(&TraceOptions::default())?;
    lab.array()?.ask("forget")?;
    for duration in DURATIONS {
        for states in ["A AN B AO", "A AO B AN"] {
            lab.array()?
                .ask(&format!("transition {duration} {states}"))?;
            sys::sleep_ms(5500);
            disk::wait_for_io(&map.dm, 20)?;
        }
    }
    let report = lab.stop(trace)?;
    load.stop()?;
    let changes = lab.array()?.transfers()?;
    let flags = non_optimized(&report);
    ensure!(
        flags.len() == DURATIONS.len(),
        "{} moves away from the load, {} flags: {flags:#?}",
        DURATIONS.len(),
        flags.len()
    );
    let mut in_transition = 0;
    for flag in flags {
        for judgement in &flag.judgements {
            check_against_array(lab, judgement, &changes)
                .with_context(|| format!("{judgement:?} of {flag:?}"))?;
            in_transition += u32::from(judgement.verdict == Verdict::InTransition);
        }
        ends_avoidable(lab, flag)?;
    }
    lab.figure("judged to be in transition", f64::from(in_transition), "");
    ensure!(in_transition > 0, "the array was in transition six times");
    Ok(Outcome::Passed)
}

/// Between the end of the transition and the way back, the other controller was the better one.
fn ends_avoidable(lab: &Lab, flag: &Flag) -> Result<()> {
    let avoidable = flag
        .judgements
        .iter()
        .rev()
        .find(|it| it.verdict == Verdict::Avoidable);
    let avoidable = avoidable.with_context(|| format!("never avoidable: {flag:?}"))?;
    let of = |controller: Controller| {
        let paths = lab.paths().into_iter();
        let paths = paths.filter(move |it| it.name.controller == controller);
        paths.map(|it| it.hctl).collect::<Vec<String>>()
    };
    let over: Vec<String> = avoidable.paths.iter().map(|it| it.hctl.clone()).collect();
    ensure!(
        over.iter().all(|hctl| of(Controller::A).contains(hctl)),
        "I/O went over A: {avoidable:?}"
    );
    ensure!(
        avoidable.alternatives == of(Controller::B),
        "both paths to B were usable: {avoidable:?}"
    );
    Ok(())
}

/// Every state in a judgement is one that the array had, as far as the host could know then.
fn check_against_array(lab: &Lab, judgement: &Judgement, changes: &[StateChange]) -> Result<()> {
    let offenders = judgement.paths.iter().map(|it| (&it.hctl, it.state));
    let optimized = judgement.alternatives.iter().chain(&judgement.outside_map);
    let optimized = optimized.map(|hctl| (hctl, State::Optimized));
    for (hctl, state) in offenders.chain(optimized) {
        let paths = lab.paths();
        let path = paths.iter().find(|path| &path.hctl == hctl);
        let controller = path.context("no path of the lab")?.name.controller;
        ensure!(
            had_state(controller, state, judgement.at_ns, changes)?,
            "{hctl} was not {state:?} at {}: {changes:?}",
            judgement.at_ns
        );
    }
    Ok(())
}

/// Whether a controller's group was in a state at a time, or so shortly before that nobody had told.
fn had_state(
    controller: Controller,
    state: State,
    at_ns: u64,
    changes: &[StateChange],
) -> Result<bool> {
    let mut of_group = Vec::new();
    for change in changes {
        let Moved::Group { id, from, to } = change.moved else {
            bail!("an ALUA array has no owners: {change:?}");
        };
        if id == controller.group() {
            of_group.push((change.at_ns, from, to));
        }
    }
    let mut began_ns = 0;
    for (ended_ns, from, _) in &of_group {
        let known = ended_ns.saturating_add(KNOWN_WITHIN_NS) >= at_ns;
        if is(*from, state) && began_ns <= at_ns + AHEAD_NS && known {
            return Ok(true);
        }
        began_ns = *ended_ns;
    }
    let last = of_group.last().context("the group never changed")?;
    Ok(is(last.2, state) && began_ns <= at_ns + AHEAD_NS)
}

fn is(access: Access, state: State) -> bool {
    matches!(
        (access, state),
        (Access::Optimized, State::Optimized)
            | (Access::NonOptimized, State::NonOptimized)
            | (Access::Transitioning, State::Transitioning)
    )
}

fn non_optimized(report: &Report) -> Vec<&Flag> {
    let flags = report.summary.flags.iter();
    flags
        .filter(|flag| flag.kind == FlagKind::NonOptimizedIo)
        .collect()
}

/// One optimized path has failed, the other comes and goes twice a second, and nobody adds it to the
/// map again: the load stays on the non-optimized controller all the time.
fn flapping(lab: &mut Lab) -> Result<Outcome> {
    let (map, load) = loaded(lab)?;
    let (failed, flapping) = (lab.path("A1")?, lab.path("A2")?);
    let trace = lab.trace(&TraceOptions::default())?;
    map.message(&format!("fail_path {}", failed.devno))?;
    flapping.delete()?;
    disk::wait_for_io(&lab.path("B1")?.device, 20)?;
    for _ in 0..FLAPS {
        let back = loopback::scan(flapping.name)?;
        sys::sleep_ms(500);
        back.delete()?;
        sys::sleep_ms(500);
    }
    loopback::scan(flapping.name)?;
    sys::sleep_ms(500);
    disk::wait_for_io(&lab.path("B1")?.device, 20)?;
    let report = lab.stop(trace)?;
    load.stop()?;
    let flags = non_optimized(&report);
    let [flag] = flags.as_slice() else {
        bail!("one episode, {} flags: {flags:#?}", flags.len());
    };
    let last = flag.judgements.last().context("never judged")?;
    ensure!(
        last.verdict == Verdict::Unavoidable && last.alternatives.is_empty(),
        "no optimized path of the map was usable: {last:?}"
    );
    ensure!(
        last.outside_map == [flapping.hctl.clone()] && flag.text.contains("has not added it"),
        "{} was there and not in the map: {flag:?}",
        flapping.hctl
    );
    lab.figure("judgements", flag.judgements.len() as f64, "");
    Ok(Outcome::Passed)
}
