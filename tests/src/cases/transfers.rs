//! Who moved the LUN: each cause is produced on purpose, and must be named right every time, with
//! start and end as the array's own log has them.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Mode, Options};
use crate::lab::lio::State;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::{Handler, Map, MapOptions};
use crate::lab::report::Report;
use crate::lab::schema::{Cause, Flag, FlagKind, Transfer};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "transfers",
    limit_seconds: 900,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "handler-stpg",
            run: |lab| each(lab, &HANDLER_STPG),
        },
        Case {
            name: "process-stpg",
            run: |lab| each(lab, &PROCESS_STPG),
        },
        Case {
            name: "array-alone",
            run: |lab| each(lab, &ARRAY_ALONE),
        },
        Case {
            name: "array-alone-lio",
            run: |lab| each(lab, &ARRAY_ALONE_LIO),
        },
        Case {
            name: "other-host-stpg",
            run: |lab| each(lab, &OTHER_HOST_STPG),
        },
        Case {
            name: "handler-mode-select",
            run: |lab| each(lab, &HANDLER_MODE_SELECT),
        },
        Case {
            name: "other-host-mode-select",
            run: |lab| each(lab, &OTHER_HOST_MODE_SELECT),
        },
        Case {
            name: "avt",
            run: |lab| each(lab, &AVT),
        },
    ],
};

/// Transfers a case. Odd: a state that nobody has brought up to date since the start is wrong at the end.
const ROUNDS: usize = 21;
/// How far start and end may be from the array's log.
const NEAR_NS: u64 = 5_000_000;
/// Between two transfers.
const PAUSE_MS: u64 = 300;

/// One way to move a LUN.
struct Way {
    cause: Cause,
    /// What the actor's name begins with.
    actor: &'static str,
    /// Whether handler and sysfs may keep an old state, which is flagged: rdac's reads a path's own
    /// again only when it activates or checks that path.
    stale: bool,
    /// Makes the array, its maps, and I/O that meets every transfer.
    prepare: fn(&mut Lab) -> Result<Option<Map>>,
    /// Moves the LUN to the other side; the round counts from 0, where A has it.
    act: fn(&mut Lab, Option<&Map>, usize) -> Result<Acted>,
}

/// What a move left to compare with, beside the array's log.
#[derive(Debug, Default)]
struct Acted {
    /// Process that did it.
    pid: Option<u32>,
    /// Before and after, where there is no array's log.
    between_ns: Option<(u64, u64)>,
}

const HANDLER_STPG: Way = Way {
    cause: Cause::LocalExplicit,
    actor: "scsi_dh_alua",
    stale: false,
    prepare: |lab| alua(lab, 3),
    act: |_, map, round| switch(map, round),
};

const PROCESS_STPG: Way = Way {
    cause: Cause::LocalExplicit,
    actor: "sg_stpg[",
    stale: false,
    prepare: |lab| alua(lab, 3),
    act: |lab, _, round| {
        let states = if round.is_multiple_of(2) {
            "an,ao"
        } else {
            "ao,an"
        };
        let node = lab.path("A1")?.node();
        let child = Command::new("sg_stpg")
            .args(["--tp=1,2", &format!("--state={states}"), &node])
            .spawn()
            .context("failed to start sg_stpg")?;
        let pid = child.id();
        let output = child
            .wait_with_output()
            .context("failed to wait for sg_stpg")?;
        ensure!(
            output.status.success(),
            "sg_stpg ended with {}",
            output.status
        );
        Ok(Acted {
            pid: Some(pid),
            ..Acted::default()
        })
    },
};

const ARRAY_ALONE: Way = Way {
    cause: Cause::ArrayImplicit,
    actor: "the array",
    stale: false,
    prepare: |lab| alua(lab, 1),
    act: |lab, _, _| ask(lab, "swap"),
};

const ARRAY_ALONE_LIO: Way = Way {
    cause: Cause::ArrayImplicit,
    actor: "the array",
    stale: false,
    prepare: |lab| {
        lab.lio()?;
        lab.learn_states()?;
        Ok(Some(lab.map(&MapOptions::default())?))
    },
    act: |lab, _, round| {
        let [a, b] = if round.is_multiple_of(2) {
            [State::NonOptimized, State::Optimized]
        } else {
            [State::Optimized, State::NonOptimized]
        };
        let before = sys::monotonic_ns();
        lab.target()?.set_states(a, b)?;
        Ok(Acted {
            between_ns: Some((before, sys::monotonic_ns())),
            ..Acted::default()
        })
    },
};

const OTHER_HOST_STPG: Way = Way {
    cause: Cause::RemoteExplicit,
    actor: "another host",
    stale: false,
    prepare: |lab| alua(lab, 3),
    act: |lab, _, round| ask(lab, &format!("other-host {}", other_side(round))),
};

const HANDLER_MODE_SELECT: Way = Way {
    cause: Cause::LocalExplicit,
    actor: "scsi_dh_rdac",
    stale: true,
    prepare: |lab| rdac(lab, Mode::Rdac),
    act: |_, map, round| switch(map, round),
};

const OTHER_HOST_MODE_SELECT: Way = Way {
    cause: Cause::RemoteExplicit,
    actor: "another host",
    stale: true,
    prepare: |lab| rdac(lab, Mode::Rdac),
    act: |lab, map, round| {
        let map = map.context("no map")?;
        for path in lab.paths() {
            map.message(&format!("reinstate_path {}", path.devno))?;
        }
        ask(lab, &format!("other-host {}", other_side(round)))
    },
};

const AVT: Way = Way {
    cause: Cause::IoDriven,
    actor: "I/O",
    stale: true,
    prepare: |lab| {
        lab.rdac_emulator(Mode::Avt, 1)?;
        // The kernel's look for partitions has moved it about.
        sys::sleep_ms(1000);
        lab.array()?.ask("own A")?;
        Ok(None)
    },
    act: |lab, _, round| {
        read_some(lab, if round.is_multiple_of(2) { "B1" } else { "A1" })?;
        Ok(Acted::default())
    },
};

/// A little I/O straight to one path.
fn read_some(lab: &Lab, path: &str) -> Result<()> {
    let load = Load {
        until: Until::Count(20),
        depth: 2,
        ..Load::random_reads(&lab.path(path)?.node(), 0)
    };
    let done = load.run(Duration::from_secs(20))?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    Ok(())
}

fn alua(lab: &mut Lab, tpgs: u8) -> Result<Option<Map>> {
    lab.alua_emulator(Options {
        tpgs,
        ..Options::default()
    })?;
    lab.learn_states()?;
    Ok(Some(lab.map(&MapOptions::default())?))
}

fn rdac(lab: &mut Lab, mode: Mode) -> Result<Option<Map>> {
    lab.rdac_emulator(mode, 1)?;
    Ok(Some(lab.map(&MapOptions::of(0, Handler::Rdac))?))
}

fn other_side(round: usize) -> &'static str {
    if round.is_multiple_of(2) { "B" } else { "A" }
}

fn switch(map: Option<&Map>, round: usize) -> Result<Acted> {
    let group = if round.is_multiple_of(2) { 2 } else { 1 };
    map.context("no map")?.switch_group(group)?;
    Ok(Acted::default())
}

fn ask(lab: &mut Lab, request: &str) -> Result<Acted> {
    lab.array()?.ask(request)?;
    Ok(Acted::default())
}

fn each(lab: &mut Lab, way: &Way) -> Result<Outcome> {
    let map = (way.prepare)(lab)?;
    let load = match &map {
        Some(map) => {
            let load = Load {
                depth: 4,
                think_us: 2000,
                ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
            };
            let load = load.start()?;
            disk::wait_for_io(&map.dm, 50)?;
            Some(load)
        }
        None => None,
    };
    let trace = lab.trace(&TraceOptions::default())?;
    sys::sleep_ms(1000);
    if map.is_none() {
        // Who has it is known when the first I/O has been served.
        read_some(lab, "A1")?;
        sys::sleep_ms(PAUSE_MS);
    }
    let own_log = lab.target().is_err();
    if own_log {
        lab.array()?.ask("forget")?;
    }
    let mut acted = Vec::new();
    for round in 0..ROUNDS {
        acted.push((way.act)(lab, map.as_ref(), round)?);
        sys::sleep_ms(PAUSE_MS);
    }
    // Long enough for a contradiction that stays to be flagged.
    sys::sleep_ms(5000);
    if let Some(load) = load {
        let done = load.stop()?;
        ensure!(done.error == 0, "fio failed with {}", done.error);
    }
    let moved = if own_log {
        moments(lab, way.cause)?
    } else {
        Vec::new()
    };
    let report = lab.stop(trace)?;
    let played = Played { acted, moved };
    judge(lab, way, &played, &report)
}

/// What happened, without the tool.
struct Played {
    acted: Vec<Acted>,
    /// The array's own log: when it moved the LUN, and until when nobody could know.
    moved: Vec<(u64, u64)>,
}

impl Played {
    /// When the LUN was moved in a round.
    fn period(&self, round: usize) -> Result<(u64, u64)> {
        if let Some(between) = self.acted[round].between_ns {
            return Ok(between);
        }
        let moved = self.moved.get(round);
        moved.copied().context("the array's log is shorter")
    }
}

/// When the array moved the LUN: changes of several groups at one moment are one.
///
/// What this host did not do itself it can know from the first command that the array answers then.
fn moments(lab: &mut Lab, cause: Cause) -> Result<Vec<(u64, u64)>> {
    let array = lab.array()?;
    let mut moments: Vec<u64> = array.transfers()?.iter().map(|it| it.at_ns).collect();
    moments.dedup();
    let mut seen: Vec<u64> = array.log()?.iter().map(|it| it.seen_at_ns).collect();
    seen.sort_unstable();
    let told = |at: u64| match cause {
        Cause::RemoteExplicit | Cause::ArrayImplicit => {
            let first = seen.partition_point(|seen| *seen < at);
            seen.get(first).copied().unwrap_or(at)
        }
        _ => at,
    };
    Ok(moments.into_iter().map(|at| (at, told(at))).collect())
}

fn judge(lab: &Lab, way: &Way, played: &Played, report: &Report) -> Result<Outcome> {
    let transfers: Vec<&Transfer> = report
        .summary
        .ownership
        .iter()
        .flat_map(|unit| &unit.transfers)
        .collect();
    same(
        "transfers",
        ("made", played.acted.len() as u64),
        ("told", transfers.len() as u64),
    )?;
    let (mut start_off, mut end_off) = (0, 0);
    for (round, transfer) in transfers.iter().enumerate() {
        let actor = played.acted[round].pid.map_or_else(
            || way.actor.to_owned(),
            |pid| format!("{}{pid}]", way.actor),
        );
        ensure!(
            transfer.cause == way.cause && transfer.actor.starts_with(&actor),
            "round {round}: not {:?} by {actor}: {transfer:#?}",
            way.cause
        );
        let (from, until) = played.period(round)?;
        let start = distance(transfer.started_at_ns, from, until);
        let end = distance(transfer.ended_at_ns, from, until);
        ensure!(
            start.max(end) <= NEAR_NS,
            "round {round}: the array moved it at {from} to {until}: {transfer:#?}"
        );
        start_off = start_off.max(start);
        end_off = end_off.max(end);
    }
    let contradicted = |flag: &&Flag| flag.kind == FlagKind::StateDisagrees;
    let flag = report.summary.flags.iter().find(contradicted);
    if let Some(flag) = flag.filter(|_| !way.stale) {
        bail!("nobody contradicts the array for long: {flag:#?}");
    }
    lab.figure("transfers named right", transfers.len() as f64, "");
    lab.figure("start off by at most", start_off as f64, "ns");
    lab.figure("end off by at most", end_off as f64, "ns");
    Ok(Outcome::Passed)
}

/// How far `at` is from the period.
fn distance(at: u64, from: u64, until: u64) -> u64 {
    from.saturating_sub(at).max(at.saturating_sub(until))
}
