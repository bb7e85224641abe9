//! I/O that waits or is refused before it is dispatched: held in dm, delayed by a transition, and
//! rejected by the handler's `prep_fn`.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::judge::{close, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Controller, Mode, Options};
use crate::lab::kmsg::{KernelLog, Line};
use crate::lab::load::{Load, Logged, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::{Handler, MapOptions};
use crate::lab::schema::{FlagKind, Transfer};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "waits",
    limit_seconds: 480,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "held-in-dm",
            run: held_in_dm,
        },
        Case {
            name: "transition",
            run: transition,
        },
        Case {
            name: "rejected-standby",
            run: rejected_standby,
        },
        Case {
            name: "rejected-passive",
            run: rejected_passive,
        },
        Case {
            name: "mixed-owners",
            run: mixed_owners,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(60);

/// 5 s without a path are 5 s of hold, and none of it is device latency.
fn held_in_dm(lab: &mut Lab) -> Result<Outcome> {
    const HELD_MS: u64 = 5000;
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        engine: "psync",
        depth: 1,
        jobs: 8,
        think_us: 1000,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    };
    let load = load.start()?;
    disk::wait_for_io(&map.dm, 100)?;
    let trace = lab.trace(&TraceOptions::default())?;
    sys::sleep_ms(500);
    let mut kernel = KernelLog::open()?;
    for path in lab.paths() {
        map.message(&format!("fail_path {}", path.devno))?;
    }
    sys::sleep_ms(HELD_MS);
    for path in lab.paths() {
        map.message(&format!("reinstate_path {}", path.devno))?;
    }
    sys::sleep_ms(500);
    load.stop()?;
    let report = lab.stop(trace)?;
    let held_ns = without_path_ns(&kernel.lines()?)?;
    let hold = report.summary.holds.first().context("nothing was held")?;
    // What a busy path makes wait for some ms is held, too.
    let long = hold
        .buckets
        .iter()
        .filter(|(bound, _)| *bound > 1_000_000_000);
    let held: u64 = long.clone().map(|(_, count)| count).sum();
    same("I/Os held, one a job", ("jobs", 8), ("tool", held))?;
    lab.figure("held, longest", hold.max_ns as f64, "ns");
    lab.figure("without a path", held_ns as f64, "ns");
    for (bound, _) in long {
        close("hold", *bound as f64, held_ns as f64, 2.0)?;
    }
    for path in &report.summary.paths {
        for latency in &path.latency {
            ensure!(
                latency.max_ns < 1_000_000_000,
                "{}: a device latency of {} ns",
                path.path.hctl,
                latency.max_ns
            );
        }
    }
    Ok(Outcome::Passed)
}

/// From the last path's failure to the first one's return, as dm wrote it into the kernel log.
fn without_path_ns(lines: &[Line]) -> Result<u64> {
    let at = |what: &str| {
        lines
            .iter()
            .filter(|line| line.text.contains(what))
            .map(|line| line.at_ns)
            .collect::<Vec<u64>>()
    };
    let failed = at("Failing path").into_iter().max();
    let back = at("Reinstating path").into_iter().min();
    let (failed, back) = failed.zip(back).context("dm logged no paths")?;
    Ok(back - failed)
}

/// What a transition of 3 s cost, against what fio measured of the same I/O.
fn transition(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options {
        tpgs: 1,
        ..Options::default()
    })?;
    lab.learn_states()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        engine: "psync",
        depth: 1,
        jobs: 8,
        think_us: 2000,
        each: true,
        ..Load::random_reads(&map.node(), 12_000)
    };
    let trace = lab.trace(&TraceOptions::default())?;
    let load = load.start()?;
    disk::wait_for_io(&map.dm, 100)?;
    sys::sleep_ms(2500);
    lab.array()?.ask("transition 3s A AN B AO")?;
    let done = load.finish(LIMIT)?;
    sys::sleep_ms(500);
    let report = lab.stop(trace)?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let transfers: Vec<_> = report
        .summary
        .ownership
        .iter()
        .flat_map(|unit| &unit.transfers)
        .collect();
    let [transfer] = transfers.as_slice() else {
        anyhow::bail!("one transfer was made: {transfers:#?}");
    };
    judge_impact(lab, transfer, &done.each)?;
    Ok(Outcome::Passed)
}

/// What the transfer cost, against the I/O that fio had under way while it lasted.
fn judge_impact(lab: &Lab, transfer: &Transfer, fio: &[Logged]) -> Result<()> {
    let impact = transfer.impact.context("no impact")?;
    let delayed: Vec<u64> = fio
        .iter()
        .filter(|io| {
            let ended_ns = sys::monotonic_of_unix_ms(io.ended_unix_ms);
            io.latency_ns > impact.delayed_above_ns
                && ended_ns > transfer.started_at_ns
                && ended_ns.saturating_sub(io.latency_ns) < transfer.ended_at_ns
        })
        .map(|io| io.latency_ns)
        .collect();
    let usual = impact.usual_ns.context("no usual latency")?;
    let added: u64 = delayed.iter().map(|latency| latency - usual).sum();
    lab.figure("fio: delayed", delayed.len() as f64, "I/Os");
    lab.figure("tool: delayed", impact.delayed as f64, "I/Os");
    lab.figure("fio: added", added as f64, "ns");
    lab.figure("tool: added", impact.added_ns as f64, "ns");
    let count = delayed.len() as f64;
    ensure!(!delayed.is_empty(), "fio saw no I/O delayed");
    close("I/Os delayed", impact.delayed as f64, count, 5.0)?;
    close("delay in all", impact.added_ns as f64, added as f64, 5.0)
}

/// I/O straight to a standby path never reaches dispatch, and is counted all the same.
fn rejected_standby(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options::default())?;
    lab.array()?.ask("state B standby")?;
    Load {
        until: Until::Count(10),
        ..Load::random_reads(&lab.path("A1")?.node(), 0)
    }
    .run(LIMIT)?;
    lab.expect_states("active/optimized", "standby")?;
    rejected(lab)
}

/// The same for the passive controller of an RDAC array.
fn rejected_passive(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    rejected(lab)
}

fn rejected(lab: &mut Lab) -> Result<Outcome> {
    let path = lab.path("B1")?;
    let trace = lab.trace(&TraceOptions::default())?;
    // What is asked of a path makes it known; reads of it are refused.
    crate::sys::process::run("sg_inq", &[&path.node()])?;
    let tries = 20;
    for block in 0..tries {
        let skip = format!("skip={block}");
        let output = format!("if={}", path.node());
        let read = std::process::Command::new("dd")
            .args([
                output.as_str(),
                "of=/dev/null",
                "bs=4096",
                "count=1",
                "iflag=direct",
                &skip,
            ])
            .output()
            .context("failed to start dd")?;
        ensure!(
            !read.status.success(),
            "a read through {} was served",
            path.name
        );
    }
    let report = lab.stop(trace)?;
    let summary = report.path(&path.hctl)?;
    let reads: u64 = summary
        .latency
        .iter()
        .filter(|it| it.class == crate::lab::schema::Class::Read)
        .map(|it| it.commands)
        .sum();
    same("reads dispatched", ("expected", 0), ("tool", reads))?;
    lab.figure("refused reads", tries as f64, "");
    lab.figure("counted as rejected", summary.counts.rejected as f64, "");
    ensure!(
        summary.counts.rejected >= tries,
        "{tries} reads were refused, {} rejections counted",
        summary.counts.rejected
    );
    Ok(Outcome::Passed)
}

/// Two units of two owners on one controller: each shown right, where sysfs shows the state of the
/// one that was asked last.
fn mixed_owners(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator_with(Options {
        rdac: Some(Mode::Rdac),
        luns: 2,
        owners: vec![Controller::A, Controller::B],
        ..Options::default()
    })?;
    let first = lab.map(&MapOptions::of(0, Handler::Rdac))?;
    let second = lab.map(&MapOptions {
        first: Controller::B,
        ..MapOptions::of(1, Handler::Rdac)
    })?;
    let trace = lab.trace(&TraceOptions::default())?;
    for map in [&first, &second] {
        Load {
            until: Until::Count(50),
            ..Load::random_reads(&map.node(), 0)
        }
        .run(LIMIT)?;
    }
    // Someone asks the array who has them, as multipathd's priorities do.
    for _ in 0..2 {
        for lun in 0..2 {
            for name in ["A1", "B1"] {
                let node = lab.path_to(name, lun)?.node();
                crate::sys::process::run("sg_vpd", &["-p", "0xc9", &node])?;
            }
        }
        sys::sleep_ms(6000);
    }
    let report = lab.stop(trace)?;
    let mut owners: Vec<Vec<String>> = report
        .summary
        .ownership
        .iter()
        .filter_map(|unit| Some(unit.tenures.last()?.owner.clone()))
        .collect();
    owners.sort();
    ensure!(
        owners == [["controller A"], ["controller B"]],
        "owners: {:#?}",
        report.summary.ownership
    );
    ensure!(
        report
            .summary
            .flags
            .iter()
            .any(|flag| flag.kind == FlagKind::StateDisagrees),
        "sysfs was not contradicted: {:#?}",
        report.summary.flags
    );
    Ok(Outcome::Passed)
}
