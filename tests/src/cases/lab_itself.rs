//! The lab without the tool: both arrays, maps and load do what the other cases rely on.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::kmsg::KernelLog;
use crate::lab::lio::State;
use crate::lab::load::{Load, Until};
use crate::lab::loopback::LabPath;
use crate::lab::multipath::{Map, MapOptions, Selector};
use crate::lab::multipathd::Multipathd;
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "lab-itself",
    limit_seconds: 360,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "lio",
            run: lio,
        },
        Case {
            name: "emulator",
            run: emulator,
        },
        Case {
            name: "emulator-latency",
            run: emulator_latency,
        },
        Case {
            name: "emulator-swap",
            run: emulator_swap,
        },
        Case {
            name: "emulator-data",
            run: emulator_data,
        },
        Case {
            name: "maps",
            run: maps,
        },
        Case {
            name: "multipathd",
            run: multipathd,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(30);

fn lio(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.expect_states("active/optimized", "active/non-optimized")?;
    let map = lab.map(&MapOptions::default())?;
    let mut kernel = KernelLog::open()?;
    lab.figure(
        "kernel log behind the monotonic clock",
        kernel.offset_ns() as f64,
        "ns",
    );
    let load = Load::random_reads(&map.node(), 2000).start()?;
    disk::wait_for_io(&map.dm, 100)?;
    lab.target()?
        .set_states(State::NonOptimized, State::Optimized)?;
    let done = load.finish(LIMIT)?;
    lab.figure("LIO through dm, QD16", done.read.iops, "1/s");
    ensure!(
        done.error == 0 && done.total_ios() > 100,
        "fio did {} I/Os",
        done.total_ios()
    );
    let lines = kernel.lines()?;
    ensure!(
        lines
            .iter()
            .any(|line| line.text.contains("port group 01 state N")),
        "the kernel said nothing about the new state: {lines:?}"
    );
    Ok(Outcome::Passed)
}

fn emulator(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    lab.learn_states()?;
    let map = lab.map(&MapOptions::default())?;
    lab.array()?.ask("forget")?;
    let before = disk::stats(&map.dm)?;
    let done = Load::random_reads(&map.node(), 2000).run(LIMIT)?;
    let after = disk::stats(&map.dm)?;
    lab.figure("emulator through dm, QD16", done.read.iops, "1/s");
    let log = lab.array()?.log()?;
    let reads = log
        .iter()
        .filter(|it| it.opcode == 0x28 && it.status == 0)
        .count() as u64;
    let counted = after.reads - before.reads;
    ensure!(
        reads >= done.total_ios() && reads <= counted,
        "fio did {} reads, the array saw {reads}, dm counted {counted}",
        done.total_ios()
    );
    ensure!(
        log.iter().all(|it| it.completed_at_ns >= it.seen_at_ns),
        "done before it was seen"
    );
    Ok(Outcome::Passed)
}

/// 16 commands of 20 ms each side by side take little more than one; one after the other they
/// would take 320 ms and give 50 IOPS.
fn emulator_latency(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    let array = lab.array()?;
    array.ask("delay B 20ms")?;
    array.ask("plant 5 at 300ms among 200 on A1")?;
    let slow = lab.path("B1")?;
    let load = Load {
        until: Until::Count(320),
        ..Load::random_reads(&slow.node(), 0)
    };
    let done = load.run(LIMIT)?;
    let p50 = done.read.clat_ns.percentile(50.0)?;
    lab.figure("p50 of 20 ms at QD16", p50 as f64 / 1e6, "ms");
    ensure!(
        (19_800_000..100_000_000).contains(&p50),
        "20 ms at QD16 took {p50} ns"
    );
    ensure!(
        done.read.iops > 160.0,
        "16 side by side gave {} IOPS",
        done.read.iops
    );

    lab.array()?.ask("forget")?;
    let fast = lab.path("A1")?;
    Load {
        until: Until::Count(200),
        ..Load::random_reads(&fast.node(), 0)
    }
    .run(LIMIT)?;
    let log = lab.array()?.log()?;
    let planted = log
        .iter()
        .filter(|it| it.completed_at_ns - it.seen_at_ns >= 300_000_000)
        .count();
    ensure!(planted == 5, "planted 5, found {planted}");
    Ok(Outcome::Passed)
}

fn emulator_swap(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    lab.learn_states()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), 4000).start()?;
    // The first I/O activates group 1; a swap before that would be undone by it.
    disk::wait_for_io(&map.dm, 100)?;
    lab.array()?.ask("swap")?;
    lab.expect_states("active/non-optimized", "active/optimized")?;
    map.switch_group(2)?;
    sys::sleep_ms(300);
    lab.array()?.ask("transition 300ms A AO B AN")?;
    let done = load.finish(LIMIT)?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    lab.figure(
        "emulator IOPS with swap and transition",
        done.read.iops,
        "1/s",
    );
    Ok(Outcome::Passed)
}

/// What one path writes, another one reads.
fn emulator_data(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    let write = Load {
        rw: "write",
        until: Until::Count(64),
        ..Load::random_reads("", 0)
    };
    let verify = |path: &LabPath, phase: &str| {
        let mut words = Load {
            device: path.node(),
            ..write.clone()
        }
        .arguments();
        words.extend(["--verify=crc32c".to_owned(), phase.to_owned()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        sys::process::run("fio", &words)
    };
    verify(&lab.path("A1")?, "--do_verify=0")?;
    verify(&lab.path("B2")?, "--verify_only=1")?;
    Ok(Outcome::Passed)
}

/// The real daemon finds the emulator's LUN and follows its states.
fn multipathd(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator()?;
    lab.learn_states()?;
    let daemon = Multipathd::start()?;
    let map = Map::first()?;
    let done = Load::random_reads(&map.node(), 1500).run(LIMIT)?;
    ensure!(
        done.error == 0 && done.total_ios() > 100,
        "fio did {} I/Os",
        done.total_ios()
    );
    let status = map.status()?;
    ensure!(
        status.matches(" A 0 ").count() >= 4,
        "four paths should be active: {status}"
    );
    drop(daemon);
    Ok(Outcome::Passed)
}

fn maps(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    for selector in [
        Selector::ServiceTime,
        Selector::RoundRobin,
        Selector::QueueLength,
    ] {
        for bio in [false, true] {
            let options = MapOptions {
                selector,
                bio,
                ..MapOptions::default()
            };
            let map = lab.map(&options)?;
            let done = Load::random_reads(&map.node(), 300).run(LIMIT)?;
            ensure!(
                done.total_ios() > 10,
                "{options:?}: {} I/Os",
                done.total_ios()
            );
            if !bio {
                map.switch_group(2)?;
                Load::random_reads(&map.node(), 200).run(LIMIT)?;
                let b1 = lab.path("B1")?;
                let stats = disk::stats(&b1.device)?;
                ensure!(
                    stats.reads > 10,
                    "{options:?}: B1 did {} reads",
                    stats.reads
                );
            }
            map.remove()?;
        }
    }
    Ok(Outcome::Passed)
}
