//! What a `non-optimized-io` flag says of its paths is true at the time it says, whatever the array
//! and the host do meanwhile, and one episode is one flag.

use anyhow::{Context, Result, bail, ensure};

use super::timeline::Timeline;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::Controller;
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::schema::{Flag, FlagKind, Verdict};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk, loopback};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "judgements",
    limit_seconds: 400,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
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

/// dm uses every path again, as multipathd would have it; since when.
pub(super) fn use_all(lab: &Lab, map: &Map) -> Result<u64> {
    for path in lab.paths() {
        map.message(&format!("reinstate_path {}", path.devno))?;
    }
    Ok(sys::monotonic_ns())
}

/// How long the array is left alone after it was told to change states.
const LEFT_ALONE_MS: u64 = 5500;
const CHECKED_EACH_MS: u64 = 500;

/// Keeps I/O on the first path group, whatever dm makes of it. Linux 5.10 retries a command five times
/// while its port group is transitioning (`alua_check_sense`: NEEDS_RETRY), and then dm fails the path;
/// later kernels hold it. Gives the times since which dm has used every path.
fn keep_on_first_group(lab: &Lab, map: &Map) -> Result<Vec<u64>> {
    let mut usable_ns = Vec::new();
    for _ in 0..LEFT_ALONE_MS / CHECKED_EACH_MS {
        sys::sleep_ms(CHECKED_EACH_MS);
        if map.status()?.contains(" F ") {
            usable_ns.push(use_all(lab, map)?);
            map.switch_group(1)?;
        }
    }
    Ok(usable_ns)
}

/// The array swaps its groups and takes its time; the load stays where it is, as nothing tells dm.
fn transitions(lab: &mut Lab) -> Result<Outcome> {
    let (map, load) = loaded(lab)?;
    let trace = lab.trace(&TraceOptions::default())?;
    lab.array()?.ask("forget")?;
    let mut usable_ns = Vec::new();
    for duration in DURATIONS {
        for states in ["A AN B AO", "A AO B AN"] {
            lab.array()?
                .ask(&format!("transition {duration} {states}"))?;
            usable_ns.extend(keep_on_first_group(lab, &map)?);
            disk::wait_for_io(&map.dm, 20)?;
        }
    }
    let report = lab.stop(trace)?;
    load.stop()?;
    let changes = Timeline::of_groups(&lab.array()?.transfers()?)?;
    let (mut in_transition, mut avoidable) = (0, 0);
    for flag in non_optimized(&report) {
        for judgement in &flag.judgements {
            changes
                .check(lab, judgement, &usable_ns)
                .with_context(|| format!("{judgement:?} of {flag:?}"))?;
            in_transition += u32::from(judgement.verdict == Verdict::InTransition);
        }
        // Where dm has failed the paths, I/O may be held for so long that another episode follows.
        if usable_ns.is_empty() || !is_in_transition_only(flag) {
            ends_avoidable(lab, flag)?;
            avoidable += 1;
        }
    }
    ensure!(
        avoidable == DURATIONS.len(),
        "{} moves away from the load, {avoidable} flags: {:#?}",
        DURATIONS.len(),
        non_optimized(&report)
    );
    lab.figure("judged to be in transition", f64::from(in_transition), "");
    ensure!(in_transition > 0, "the array was in transition six times");
    Ok(Outcome::Passed)
}

fn is_in_transition_only(flag: &Flag) -> bool {
    let mut judgements = flag.judgements.iter();
    judgements.all(|it| it.verdict == Verdict::InTransition)
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

pub(super) fn non_optimized(report: &Report) -> Vec<&Flag> {
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
