//! As many paths as a large host has, from the kernel's own `scsi_debug`: tables are reloaded and devices
//! replaced under load, and no command is without its path and its map.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::{self, Map};
use crate::lab::schema::Class;
use crate::lab::tracer::{self, TOOL, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::run;
use crate::sys::terminal::OnTerminal;
use crate::sys::usage;

pub(super) const GROUP: Group = Group {
    name: "many-paths",
    limit_seconds: 900,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "live-table",
            run: live_table,
        },
        Case {
            name: "reloads-and-rescans",
            run: reloads_and_rescans,
        },
    ],
};

/// The same paths when nothing happens: guest time is instructions, so that what the tool takes of a processor is what it
/// does, whatever else the host does.
pub(super) const IDLE: Group = Group {
    name: "many-paths-idle",
    limit_seconds: 1800,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[Case {
        name: "footprint",
        run: footprint,
    }],
};

/// Hosts, and LUNs of each, with maps over all hosts: 4, 64, 512 and 1,024 paths.
const SIZES: [(usize, usize); 4] = [(4, 1), (16, 4), (16, 32), (16, 64)];
/// What the tool may have resident: so much, and so much for a path.
const BASE_KIB: u64 = 10 << 10;
const PATH_KIB: u64 = 64;
/// What it may take of a processor when there is no I/O, in percent, beside what the lab alone wants of it.
const IDLE_PERCENT: f64 = 0.5;
/// The thread that writes what the lab reads.
const JSON: &str = "json";
/// After I/O, until what it has set off is over.
const SETTLED_MS: u64 = 8000;
/// One unannounced look at the topology is among it.
const IDLE_MS: u64 = 60_000;

fn footprint(lab: &mut Lab) -> Result<Outcome> {
    let mut problems = Vec::new();
    for (hosts, luns) in SIZES {
        let hosts = Hosts::new(hosts, luns)?;
        let outcome = footprint_of(lab, &hosts, &mut problems);
        let gone = hosts.remove();
        outcome.with_context(|| format!("{} paths", hosts.paths()))?;
        gone?;
    }
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    Ok(Outcome::Passed)
}

fn footprint_of(lab: &mut Lab, hosts: &Hosts, problems: &mut Vec<String>) -> Result<()> {
    let maps = hosts.maps()?;
    let trace = lab.trace(&TraceOptions {
        unrecorded: true,
        ..TraceOptions::default()
    })?;
    let load = Load {
        depth: 64,
        until: Until::Milliseconds(4000),
        ..Load::random_reads(&striped(&maps)?.node(), 0)
    };
    load.run(Duration::from_secs(300))?;
    sys::sleep_ms(SETTLED_MS);
    let before = usage::threads_ns(trace.id())?;
    sys::sleep_ms(IDLE_MS);
    let after = usage::threads_ns(trace.id())?;
    let (peak, resident) = (
        usage::peak_memory_kib(trace.id())?,
        usage::resident_kib(trace.id())?,
    );
    let report = trace.stop()?;
    report.check_conservation()?;
    report.check_complete()?;
    let paths = hosts.paths() as u64;
    let name = |what: &str| format!("{paths} paths: {what}");
    let mut idle = 0.0;
    for (thread, ns) in &after {
        let ns = ns - before.get(thread).copied().unwrap_or(0);
        let percent = ns as f64 / (IDLE_MS as f64 * 1e6) * 100.0;
        lab.figure(&name(&format!("idle, thread {thread}")), percent, "%");
        if thread != JSON {
            idle += percent;
        }
    }
    lab.figure(&name("idle, without JSON"), idle, "%");
    lab.figure(&name("memory at most"), peak as f64 / 1024.0, "MiB");
    lab.figure(&name("memory at the end"), resident as f64 / 1024.0, "MiB");
    let told = report.summary.paths.len() as u64;
    ensure!(told >= paths, "{told} paths are told of");
    let allowed = BASE_KIB + PATH_KIB * paths;
    if peak > allowed {
        problems.push(name(&format!(
            "{peak} KiB were resident, {allowed} are allowed"
        )));
    }
    if idle > IDLE_PERCENT {
        problems.push(name(&format!("{idle:.2} % of a processor without I/O")));
    }
    Ok(())
}

/// The device over all maps.
const ALL: &str = "all";
const HOSTS: usize = 4;
const LUNS: usize = 256;
/// Tables reloaded, and devices taken away and found again.
const ROUNDS: usize = 100;
const QUARTER: usize = ROUNDS / 4;
/// How long the kernel takes to find all LUNs of all hosts, under TCG.
const SCAN_LIMIT: Duration = Duration::from_secs(300);
/// What may come to the tool's memory after the first rounds: histograms of paths that had no command
/// until then.
const GROWTH_KIB: u64 = 4096;

/// Under load the table scrolls to its last path and back, and sorts.
fn live_table(_: &mut Lab) -> Result<Outcome> {
    const LIMIT: Duration = Duration::from_secs(60);
    let hosts = Hosts::new(HOSTS, LUNS)?;
    let outcome = (|| {
        let load = Load {
            depth: 8,
            ..Load::random_reads(&striped(&hosts.maps()?)?.node(), UNTIL_STOPPED_MS)
        }
        .start()?;
        let mut tool = Command::new(TOOL);
        tool.args(["run", "--interval", "1s"]).args(tracer::btf());
        let mut program = OnTerminal::start(&mut tool)?;
        program.wait_until_shown("more paths", LIMIT)?;
        program.press(b"\x1b[F")?;
        program.wait_until_shown("above,", LIMIT)?;
        program.press(b"g>")?;
        program.wait_until_shown("descending", LIMIT)?;
        program.press(b"r")?;
        program.wait_until_shown("ascending", LIMIT)?;
        program.press(b"\x03")?;
        let ended = program.finish(LIMIT)?;
        load.stop()?;
        ensure!(
            ended.status.success() && ended.modes[0] == ended.modes[1],
            "{ended:?}"
        );
        Ok(Outcome::Passed)
    })();
    hosts.remove()?;
    outcome
}

fn reloads_and_rescans(lab: &mut Lab) -> Result<Outcome> {
    let hosts = Hosts::new(HOSTS, LUNS)?;
    let outcome = under_load(lab, &hosts);
    let gone = hosts.remove();
    outcome?;
    gone?;
    Ok(Outcome::Passed)
}

fn under_load(lab: &mut Lab, hosts: &Hosts) -> Result<()> {
    let maps = hosts.maps()?;
    let trace = lab.trace(&TraceOptions {
        interval_ms: Some(5000),
        unrecorded: true,
        ..TraceOptions::default()
    })?;
    let load = Load {
        depth: 8,
        ..Load::random_reads(&striped(&maps)?.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&Map::named(&maps[0])?.dm, 5)?;
    let mut resident = Vec::new();
    for round in 0..ROUNDS {
        let lun = (round * 7) % LUNS;
        let host = round % HOSTS;
        hosts.replace(host, lun)?;
        let map = maps.get(lun).context("no such map")?;
        run("dmsetup", &["reload", map, "--table", &hosts.table(lun)?])?;
        run("dmsetup", &["resume", map])?;
        if (round + 1) % QUARTER == 0 {
            resident.push(usage::resident_kib(trace.id())?);
        }
    }
    let done = load.stop()?;
    let report = trace.stop()?;
    report.check_conservation()?;
    report.check_complete()?;
    let paths = report.summary.paths.iter();
    let reads = paths.flat_map(|path| &path.latency);
    let mapped: u64 = reads
        .filter(|latency| latency.class == Class::Read)
        .map(|latency| latency.mapped)
        .sum();
    lab.figure("paths", report.summary.paths.len() as f64, "");
    lab.figure("reads through maps", mapped as f64, "");
    for (quarter, kib) in (1..).zip(&resident) {
        lab.figure(
            &format!("memory after quarter {quarter}"),
            *kib as f64,
            "KiB",
        );
    }
    ensure!(
        mapped >= done.read.total_ios,
        "fio did {} reads, {mapped} are told to have come through a map",
        done.read.total_ios
    );
    ensure!(
        report.summary.paths.len() >= HOSTS * LUNS,
        "{} paths are told of",
        report.summary.paths.len()
    );
    let [.., before, last] = resident[..] else {
        anyhow::bail!("memory was not looked at");
    };
    ensure!(
        last <= before + GROWTH_KIB,
        "{before} KiB before the last quarter of the rounds, {last} after it"
    );
    Ok(())
}

/// One device over all maps, so that one load goes to all of them.
fn striped(maps: &[String]) -> Result<Map> {
    const CHUNK_SECTORS: u64 = 8;
    let (mut table, mut sectors) = (String::new(), 0);
    for map in maps {
        let map = Map::named(map)?;
        let size: u64 = sys::read(format!("/sys/block/{}/size", map.dm))?.parse()?;
        sectors += size;
        table.push_str(&format!(" {} 0", map.devno()?));
    }
    let table = format!("0 {sectors} striped {} {CHUNK_SECTORS}{table}", maps.len());
    run("dmsetup", &["create", ALL, "--table", &table])?;
    Map::named(ALL)
}

/// Hosts of `scsi_debug` that lead to the same LUNs.
struct Hosts {
    numbers: Vec<u32>,
    luns: usize,
}

impl Hosts {
    fn new(hosts: usize, luns: usize) -> Result<Self> {
        let before = sys::names("/sys/class/scsi_host");
        let disks = disk::scsi_disks().len();
        let of_hosts = format!("add_host={hosts}");
        let of_luns = format!("max_luns={luns}");
        let words = [
            &*of_hosts,
            &of_luns,
            "dev_size_mb=8",
            "vpd_use_hostno=0",
            "delay=0",
        ];
        let mut all = vec!["scsi_debug"];
        all.extend(words);
        run("modprobe", &all)?;
        sys::wait_for(SCAN_LIMIT, "scsi_debug's LUNs", || {
            Ok(disk::scsi_disks().len() >= disks + hosts * luns)
        })?;
        let numbers = sys::names("/sys/class/scsi_host")
            .into_iter()
            .filter(|host| !before.contains(host))
            .filter_map(|host| host.strip_prefix("host")?.parse().ok())
            .collect();
        Ok(Self { numbers, luns })
    }

    fn paths(&self) -> usize {
        self.numbers.len() * self.luns
    }

    /// Makes a map for each LUN.
    fn maps(&self) -> Result<Vec<String>> {
        let maps: Vec<String> = (0..self.luns).map(|lun| format!("many{lun}")).collect();
        for (lun, map) in maps.iter().enumerate() {
            run("dmsetup", &["create", map, "--table", &self.table(lun)?])?;
        }
        Ok(maps)
    }

    fn hctl(&self, host: usize, lun: usize) -> Result<String> {
        let number = self.numbers.get(host).context("no such host")?;
        Ok(format!("{number}:0:0:{lun}"))
    }

    /// A map of all paths to a LUN, in one group.
    fn table(&self, lun: usize) -> Result<String> {
        let mut table = String::new();
        let mut sectors = String::new();
        for host in 0..self.numbers.len() {
            let hctl = self.hctl(host, lun)?;
            let (device, devno) = disk::at(&hctl).with_context(|| format!("no disk {hctl}"))?;
            // A disk that has just come is not in /sys/block yet.
            let block = format!("/sys/class/scsi_device/{hctl}/device/block/{device}");
            sectors = sys::read(format!("{block}/size"))?;
            table.push_str(&format!(" {devno} 1 1"));
        }
        let paths = self.numbers.len();
        Ok(format!(
            "0 {sectors} multipath 1 queue_if_no_path 0 1 1 service-time 0 {paths} 2{table}"
        ))
    }

    /// Takes a path away and finds it again: another device at, perhaps, the same address.
    fn replace(&self, host: usize, lun: usize) -> Result<()> {
        let hctl = self.hctl(host, lun)?;
        sys::write(format!("/sys/class/scsi_device/{hctl}/device/delete"), "1")?;
        sys::wait_for(Duration::from_secs(30), "a path to go", || {
            Ok(disk::at(&hctl).is_none())
        })?;
        let number = self.numbers.get(host).context("no such host")?;
        let scan = format!("/sys/class/scsi_host/host{number}/scan");
        sys::write(scan, &format!("0 0 {lun}"))?;
        sys::wait_for(Duration::from_secs(30), "a path to come back", || {
            Ok(disk::at(&hctl).is_some())
        })
    }

    fn remove(&self) -> Result<()> {
        let _ = run("dmsetup", &["remove", "--retry", ALL]);
        multipath::remove_all()?;
        sys::wait_for(Duration::from_secs(120), "scsi_debug to go", || {
            Ok(run("modprobe", &["-r", "scsi_debug"]).is_ok())
        })
    }
}
