//! Faults of the networks below iSCSI: a portal that falls silent, a switch with a smaller MTU; and what looks like it and is
//! none of it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Options, PathName};
use crate::iscsi::{self, initiator};
use crate::lab::Lab;
use crate::lab::load::{Done, Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::{Map, MapOptions};
use crate::lab::schema::{Flag, FlagChange, FlagKind, Line};
use crate::lab::tracer::{Trace, TraceOptions};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "network",
    limit_seconds: 900,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Host,
    array: true,
    cases: &[
        Case {
            name: "silent-portal",
            run: |lab| silent_portal(lab, 1),
        },
        Case {
            name: "black-hole",
            run: |lab| black_hole(lab, 1),
        },
        Case {
            name: "neither",
            run: |lab| neither(lab, 1, &[Other::Loss, Other::Down]),
        },
    ],
};

pub(super) const LONG: Group = Group {
    name: "silence-and-black-holes",
    limit_seconds: 5400,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: true,
    cases: &[
        Case {
            name: "silent-portal-20-times",
            run: |lab| silent_portal(lab, 20),
        },
        Case {
            name: "black-hole-10-times",
            run: |lab| black_hole(lab, 10),
        },
        Case {
            name: "neither-10-times",
            run: |lab| {
                let others = [
                    Other::Loss,
                    Other::Delay,
                    Other::Transition,
                    Other::SlowArray,
                    Other::Down,
                ];
                neither(lab, 10, &others)
            },
        },
    ],
};

/// Before a fault a path shows what it is used to.
const BEFORE_MS: u64 = 3_000;
/// A path has gone on by then: iSCSI's timers of the lab are 2, 2 and 5 s.
const OVER_WITHIN: Duration = Duration::from_secs(40);
const HEALED_WITHIN: Duration = Duration::from_secs(60);

/// Paths of the group that carries the I/O, in turn.
fn carrier(nth: usize) -> Result<PathName> {
    ["A1", "A2"][nth % 2].parse()
}

/// The connections of a map, a trace of it, and a load.
struct Running {
    map: Map,
    trace: Trace,
    load: crate::lab::load::Running,
}

fn begin(lab: &mut Lab, map: &Map, block_bytes: u64) -> Result<Running> {
    let trace = lab.trace(&TraceOptions::default())?;
    let load = Load {
        block_bytes,
        depth: 8,
        each: true,
        until: Until::Milliseconds(UNTIL_STOPPED_MS),
        ..Load::random_reads(&map.node(), 0)
    };
    let load = load.start()?;
    sys::sleep_ms(BEFORE_MS);
    Ok(Running {
        map: map.clone(),
        trace,
        load,
    })
}

impl Running {
    /// Waits until a flag of this kind has been raised, or has ended.
    fn wait(&mut self, kind: FlagKind, change: FlagChange) -> Result<()> {
        let what = format!("{kind:?} {change:?}");
        sys::wait_for(OVER_WITHIN, &what, || {
            let lines = self.trace.new_lines()?;
            Ok(lines.iter().any(|line| match line {
                Line::Flag(event) => event.flag.kind == kind && event.change == change,
                _ => false,
            }))
        })
    }

    /// Ends load and trace; gives what fio and the tool have seen.
    fn end(self, lab: &mut Lab) -> Result<(Done, Vec<Flag>)> {
        let done = self.load.stop()?;
        let report = lab.stop(self.trace)?;
        heal(lab, &self.map)?;
        Ok((done, report.summary.flags))
    }
}

/// Until every session is logged in again, and dm uses every path.
fn heal(lab: &Lab, map: &Map) -> Result<()> {
    let class = "/sys/class/iscsi_session";
    sys::wait_for(HEALED_WITHIN, "all sessions", || {
        let sessions = sys::names(class);
        let state = |name: &String| sys::read(format!("{class}/{name}/state")).unwrap_or_default();
        Ok(sessions.iter().all(|name| state(name) == "LOGGED_IN"))
    })?;
    for path in lab.paths() {
        sys::wait_for(HEALED_WITHIN, &path.hctl, || {
            Ok(sys::read(path.sysfs("state"))? == "running")
        })?;
        map.message(&format!("reinstate_path {}", path.devno))?;
    }
    Ok(())
}

fn only(flags: &[Flag], kind: FlagKind) -> Result<&Flag> {
    let found: Vec<&Flag> = flags.iter().filter(|it| it.kind == kind).collect();
    ensure!(
        found.len() == 1,
        "{} flags of {kind:?}: {flags:#?}",
        found.len()
    );
    Ok(found[0])
}

/// The array's answers over one network get lost.
fn silent_portal(lab: &mut Lab, times: usize) -> Result<Outcome> {
    lab.iscsi(Options::default())?;
    let map = lab.map(&MapOptions::default())?;
    let (mut latest, mut worst): (f64, f64) = (0.0, 0.0);
    for nth in 0..times {
        let name = carrier(nth)?;
        let hctl = lab.path(&name.to_string())?.hctl;
        let mut running = begin(lab, &map, 4096)?;
        let network = iscsi::network(name);
        lab.array()?
            .ask(&format!("tc qdisc add dev p{network} root netem loss 100%"))?;
        let silent_ns = sys::monotonic_ns();
        let seen = running.wait(FlagKind::StuckPath, FlagChange::Ended);
        lab.array()?
            .ask(&format!("tc qdisc del dev p{network} root"))?;
        let (done, flags) = running.end(lab)?;
        seen?;
        let is_mismatch = |it: &Flag| it.kind == FlagKind::MtuMismatch;
        ensure!(!flags.iter().any(is_mismatch), "{flags:#?}");
        let flag = only(&flags, FlagKind::StuckPath)?;
        ensure!(flag.paths == [hctl.clone()], "{hctl} was silent: {flag:?}");
        // The array, a guest of its own, has lost answers by then: the oldest command without one is no younger.
        ensure!(
            flag.first_at_ns <= silent_ns,
            "silent before {silent_ns}: {flag:?}"
        );
        let raised_s = seconds(flag.raised_at_ns.saturating_sub(flag.first_at_ns));
        ensure!(raised_s <= 1.5, "raised after {raised_s} s: {flag:?}");
        let ended_ns = flag.ended_at_ns.context("it has not ended")?;
        let told_s = seconds(ended_ns - flag.first_at_ns);
        let waited_s = seconds(done.each_ns().into_iter().max().unwrap_or(0));
        let off = (told_s / waited_s - 1.0).abs();
        ensure!(
            off <= 0.05,
            "fio waited {waited_s} s, {told_s} are told: {flag:?}"
        );
        (latest, worst) = (latest.max(raised_s), worst.max(off));
    }
    lab.figure("a silent portal, raised after at most", latest, "s");
    lab.figure("its length, off by at most", 100.0 * worst, "%");
    Ok(Outcome::Passed)
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// A switch's port gets a smaller MTU than both ends have.
fn black_hole(lab: &mut Lab, times: usize) -> Result<Outcome> {
    lab.iscsi(Options::default())?;
    let map = lab.map(&MapOptions::default())?;
    let mut latest: f64 = 0.0;
    for nth in 0..times {
        let name = carrier(nth)?;
        let hctl = lab.path(&name.to_string())?.hctl;
        let mut running = begin(lab, &map, 65_536)?;
        let network = iscsi::network(name);
        let smaller_ns = sys::monotonic_ns();
        lab.array()?
            .ask(&format!("ip link set sw{network}-p mtu 1500"))?;
        let seen = running.wait(FlagKind::MtuMismatch, FlagChange::Raised);
        lab.array()?
            .ask(&format!("ip link set sw{network}-p mtu 9000"))?;
        let over = seen.and_then(|()| running.wait(FlagKind::MtuMismatch, FlagChange::Ended));
        let (_, flags) = running.end(lab)?;
        over?;
        let flag = only(&flags, FlagKind::MtuMismatch)?;
        ensure!(
            flag.paths == [hctl.clone()],
            "{hctl} had the smaller MTU: {flag:?}"
        );
        let interface = initiator::interface_of(name)?;
        for part in [
            format!("{hctl} over {interface} (MTU 9000) to"),
            iscsi::portal(network),
        ] {
            ensure!(flag.text.contains(&part), "no {part}: {flag:?}");
        }
        let raised_s = seconds(flag.raised_at_ns.saturating_sub(smaller_ns));
        ensure!(raised_s <= 10.0, "raised after {raised_s} s: {flag:?}");
        latest = latest.max(raised_s);
    }
    lab.figure("a black hole, raised after at most", latest, "s");
    Ok(Outcome::Passed)
}

/// What else may be wrong with a network or an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Other {
    Loss,
    Delay,
    Transition,
    SlowArray,
    Down,
}

impl Other {
    /// What is asked of the array for it, and to mend it.
    fn requests(self, network: usize) -> (String, String) {
        let netem = |what: &str| {
            (
                format!("tc qdisc add dev p{network} root netem {what}"),
                format!("tc qdisc del dev p{network} root"),
            )
        };
        match self {
            Other::Loss => netem("loss 1%"),
            Other::Delay => netem("delay 20ms"),
            Other::Transition => ("transition 3s A AO B AN".into(), "stat".into()),
            Other::SlowArray => ("delay all 3s".into(), "delay all 0us".into()),
            Other::Down => (
                format!("ip link set sw{network}-p down"),
                format!("ip link set sw{network}-p up"),
            ),
        }
    }
}

/// No mismatch is told of any of them, and no stuck path where all of the array is slow.
fn neither(lab: &mut Lab, times: usize, others: &[Other]) -> Result<Outcome> {
    lab.iscsi(Options::default())?;
    let map = lab.map(&MapOptions::default())?;
    for nth in 0..times {
        let network = iscsi::network(carrier(nth)?);
        for other in others {
            let (fault, mend) = other.requests(network);
            let running = begin(lab, &map, 65_536)?;
            lab.array()?.ask(&fault)?;
            sys::sleep_ms(8_000);
            lab.array()?.ask(&mend)?;
            sys::sleep_ms(2_000);
            let (_, flags) = running.end(lab)?;
            let is_told = |kind| flags.iter().any(|it| it.kind == kind);
            ensure!(
                !is_told(FlagKind::MtuMismatch),
                "{other:?}, time {nth}: {flags:#?}"
            );
            ensure!(
                *other == Other::Down || !is_told(FlagKind::StuckPath),
                "{other:?}, time {nth}: {flags:#?}"
            );
        }
    }
    Ok(Outcome::Passed)
}
