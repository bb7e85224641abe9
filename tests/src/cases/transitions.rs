//! Two hundred transitions of 0.1 to 10 s under load, between every pair of states, of an ALUA and an RDAC
//! array and of the kernel's own: what flags say of their paths is true by the array's log, and their times
//! are those of the commands.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};

use super::judgements::{non_optimized, use_all};
use super::timeline::{self, Timeline};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Access, Controller, Mode, Moved, Reason, StateChange};
use crate::lab::lio;
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Handler, Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::schema::{Command, Flag, State, StateSource, Verdict};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "transitions",
    limit_seconds: 3600,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "alua",
            run: |lab| alua(lab, 1),
        },
        Case {
            name: "alua-again",
            run: |lab| alua(lab, 2),
        },
        Case {
            name: "lio",
            run: of_lio,
        },
        Case {
            name: "rdac",
            run: |lab| rdac(lab, Mode::Rdac, State::Standby),
        },
        Case {
            name: "rdac-ioship",
            run: |lab| rdac(lab, Mode::Ioship, State::NonOptimized),
        },
    ],
};

/// Transitions of a case with states, and of one with owners.
const OF_STATES: usize = 50;
const OF_OWNERS: usize = 25;
/// Longest pause after a transition.
const PAUSE_MS: u64 = 4000;
const STATES: [Access; 4] = [
    Access::Optimized,
    Access::NonOptimized,
    Access::Standby,
    Access::Unavailable,
];

/// What a case does is always the same (xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    /// 0.1 to 10 s, as many below 1 s as above.
    fn duration_ms(&mut self) -> u64 {
        let exponent = self.below(1000) as f64 / 1000.0;
        (100.0 * 100f64.powf(exponent)) as u64
    }
}

/// States of both controllers' ports.
type Pair = [Access; 2];

/// Both controllers' next states: I/O can go somewhere, and a change of A's that was not seen yet comes
/// first.
fn next(random: &mut Random, now: Pair, seen: &BTreeSet<(u8, u8)>) -> Pair {
    let can_io = |it: &Access| matches!(it, Access::Optimized | Access::NonOptimized);
    let of_a = STATES.into_iter().filter(|it| *it != now[0]);
    let new: Vec<Access> = of_a
        .clone()
        .filter(|it| !seen.contains(&(now[0].code(), it.code())))
        .collect();
    let of_a = if new.is_empty() { of_a.collect() } else { new };
    let a = of_a[random.below(of_a.len() as u64) as usize];
    let of_b: Vec<Access> = STATES
        .into_iter()
        .filter(|b| can_io(&a) || can_io(b))
        .collect();
    [a, of_b[random.below(of_b.len() as u64) as usize]]
}

/// A map, and I/O that goes on whatever its paths do, a hundred a second.
fn loaded(lab: &mut Lab, options: &MapOptions, beside: &[String]) -> Result<(Map, Vec<Running>)> {
    let map = lab.map(options)?;
    let devices = beside.iter().cloned().chain([map.node()]);
    let loads = devices.map(|device| {
        Load {
            depth: 1,
            think_us: 10_000,
            ..Load::random_reads(&device, UNTIL_STOPPED_MS)
        }
        .start()
    });
    let loads = loads.collect::<Result<_>>()?;
    disk::wait_for_io(&map.dm, 20)?;
    Ok((map, loads))
}

/// The array changes states with `change`, which returns when it has; gives the times since which every
/// path was in use.
fn through_states(
    lab: &mut Lab,
    map: &Map,
    seed: u64,
    mut change: impl FnMut(&mut Lab, u64, Pair, Pair) -> Result<()>,
) -> Result<Vec<u64>> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut now = [Access::Optimized, Access::NonOptimized];
    let mut seen = BTreeSet::new();
    let mut usable_ns = vec![sys::monotonic_ns()];
    for nth in 0..OF_STATES {
        let to = next(&mut random, now, &seen);
        let takes_ms = random.duration_ms();
        change(lab, takes_ms, now, to)
            .with_context(|| format!("transition {nth}: {now:?} to {to:?} in {takes_ms} ms"))?;
        seen.insert((now[0].code(), to[0].code()));
        now = to;
        sys::sleep_ms(500);
        usable_ns.push(use_all(lab, map)?);
        sys::sleep_ms(random.below(PAUSE_MS));
        disk::wait_for_io(&map.dm, 5)?;
    }
    let pairs = STATES.len() * (STATES.len() - 1);
    ensure!(
        seen.len() == pairs,
        "{} of {pairs} pairs of states",
        seen.len()
    );
    Ok(usable_ns)
}

fn alua(lab: &mut Lab, seed: u64) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let (map, loads) = loaded(lab, &MapOptions::default(), &[])?;
    let trace = lab.trace(&TraceOptions::with_commands())?;
    lab.array()?.ask("forget")?;
    let usable_ns = through_states(lab, &map, seed, |lab, takes_ms, _, [a, b]| {
        lab.array()?
            .ask(&format!("transition {takes_ms}ms A {a} B {b}"))?;
        sys::sleep_ms(takes_ms);
        Ok(())
    })?;
    let report = lab.stop(trace)?;
    let timeline = Timeline::of_groups(&lab.array()?.transfers()?)?;
    judged(lab, loads, &report, &timeline, &usable_ns)
}

/// LIO has a group in transition for as long as it was told to, one after the other.
fn of_lio(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.learn_states()?;
    let (map, loads) = loaded(lab, &MapOptions::default(), &[])?;
    let trace = lab.trace(&TraceOptions::with_commands())?;
    let mut changes = Vec::new();
    let usable_ns = through_states(lab, &map, 3, |lab, takes_ms, now, to| {
        let target = lab.target()?;
        target.set_transition_time(takes_ms)?;
        for controller in Controller::ALL {
            let (from, to) = (now[controller.index()], to[controller.index()]);
            if from == to {
                continue;
            }
            let mut log = |from, to| {
                changes.push(StateChange {
                    at_ns: sys::monotonic_ns(),
                    lun: 0,
                    moved: Moved::Group {
                        id: controller.group(),
                        from,
                        to,
                    },
                    reason: Reason::Implicit,
                });
            };
            log(from, Access::Transitioning);
            target.set_state(controller, lio::State::of(to).context("no state of LIO")?)?;
            log(Access::Transitioning, to);
        }
        Ok(())
    })?;
    let report = lab.stop(trace)?;
    let timeline = Timeline::of_groups(&changes)?;
    judged(lab, loads, &report, &timeline, &usable_ns)
}

/// The handler moves the LUN, which takes its time, below I/O of the map's and, where ports of the other
/// controller take any, I/O that does not go where the LUN is.
fn rdac(lab: &mut Lab, mode: Mode, other: State) -> Result<Outcome> {
    lab.rdac_emulator(mode, 1)?;
    let beside = match other {
        State::NonOptimized => vec![lab.path("B1")?.node()],
        _ => Vec::new(),
    };
    let (map, loads) = loaded(lab, &MapOptions::of(0, Handler::Rdac), &beside)?;
    let trace = lab.trace(&TraceOptions::with_commands())?;
    lab.array()?.ask("forget")?;
    let mut random = Random(4);
    let mut usable_ns = vec![sys::monotonic_ns()];
    for nth in 0..OF_OWNERS {
        let takes_ms = random.duration_ms();
        let (group, to) = if nth % 2 == 0 {
            (2, Controller::B)
        } else {
            (1, Controller::A)
        };
        lab.array()?.ask(&format!("transfer-time {takes_ms}ms"))?;
        // In IOSHIP mode the handler moves a LUN to its preferred controller only.
        lab.array()?.ask(&format!("prefer {to}"))?;
        map.switch_group(group)?;
        sys::sleep_ms(takes_ms + 500);
        usable_ns.push(use_all(lab, &map)?);
        sys::sleep_ms(random.below(PAUSE_MS));
        disk::wait_for_io(&map.dm, 5)?;
    }
    let report = lab.stop(trace)?;
    let timeline = Timeline::of_owners(&lab.array()?.transfers()?, other)?;
    judged(lab, loads, &report, &timeline, &usable_ns)
}

/// Every flag, as it was said at any time, is right by the array's log and by the commands.
fn judged(
    lab: &mut Lab,
    loads: Vec<Running>,
    report: &Report,
    timeline: &Timeline,
    usable_ns: &[u64],
) -> Result<Outcome> {
    for load in loads {
        load.stop()?;
    }
    let said = report.flag_events().map(|event| &event.flag);
    let mut verdicts = [0u32; 3];
    let mut checked = BTreeSet::new();
    for flag in said.chain(&report.summary.flags) {
        for judgement in &flag.judgements {
            timeline
                .check(lab, judgement, usable_ns)
                .with_context(|| format!("{judgement:?} of {flag:?}"))?;
            if checked.insert((flag.id, judgement.at_ns)) {
                verdicts[match judgement.verdict {
                    Verdict::Avoidable => 0,
                    Verdict::Unavoidable => 1,
                    Verdict::InTransition => 2,
                }] += 1;
            }
        }
    }
    let offending: Vec<&Command> = report
        .commands()
        .filter(|it| it.is_transfer() && !it.passthrough)
        .filter(|it| !matches!(it.state, State::Optimized | State::Unknown))
        .collect();
    let mut surely = Vec::new();
    for command in &offending {
        let controller = timeline::controller(lab, &command.hctl)?;
        let at_ns = command.dispatched_at_ns;
        // Each command's state is the handler's, and that of RDAC arrays may be an old one.
        ensure!(
            timeline.had(controller, command.state, at_ns)
                || command.state_source == StateSource::HandlerData && timeline.has_owners,
            "{command:?} was dispatched in another state: {timeline:?}"
        );
        let held = timeline.held(controller, command.state, at_ns);
        surely.extend((held || !timeline.has_owners).then_some(*command));
    }
    let flags = non_optimized(report);
    has_its_times(&flags, &offending, &surely)?;
    lab.figure("flags", flags.len() as f64, "");
    lab.figure(
        "commands over ports not optimized",
        offending.len() as f64,
        "",
    );
    for (what, count) in ["avoidable", "unavoidable", "in transition"]
        .into_iter()
        .zip(verdicts)
    {
        lab.figure(&format!("judged to be {what}"), f64::from(count), "");
    }
    Ok(Outcome::Passed)
}

/// A flag begins and ends with an offending command, and each that surely was one is of a flag.
fn has_its_times(flags: &[&Flag], offending: &[&Command], surely: &[&Command]) -> Result<()> {
    let of = |flag: &Flag, it: &Command| {
        (flag.first_at_ns..=flag.last_at_ns).contains(&it.dispatched_at_ns)
            && flag.paths.contains(&it.hctl)
    };
    for command in surely {
        ensure!(
            flags.iter().any(|flag| of(flag, command)),
            "{command:?} is of no flag: {flags:#?}"
        );
    }
    for flag in flags {
        let own = offending.iter().filter(|it| of(flag, it));
        let times: Vec<u64> = own.map(|it| it.dispatched_at_ns).collect();
        ensure!(
            times.iter().min() == Some(&flag.first_at_ns)
                && times.iter().max() == Some(&flag.last_at_ns),
            "the flag is not from its first offending command to its last: {flag:?}"
        );
    }
    Ok(())
}
