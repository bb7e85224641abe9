//! Where the collector's instructions go: its stacks, taken while a load runs. Guest time is instructions executed.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::cost::load;
use super::observers::{COUNTING, OBSERVERS, OWN};
use crate::lab::Lab;
use crate::lab::multipath::{Map, MapOptions};
use crate::runner::Reporter;
use crate::sys;

const NAME: &str = "profile";
const LOAD_MS: u64 = 20_000;
/// How long bpftrace takes to compile its program here.
const COMPILED_AFTER: Duration = Duration::from_secs(15);

/// Runs it and logs the stacks, most frequent last.
pub(super) fn run(reporter: &Reporter) -> Result<()> {
    let mut lab = Lab::new(reporter, NAME);
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    load(&map, 1000)?;
    for name in [OWN, COUNTING] {
        let stacks = stacks(name, &map)?;
        lab.log(format!("{name}:\n{stacks}"));
    }
    lab.tear_down()
}

fn stacks(name: &str, map: &Map) -> Result<String> {
    let observer = OBSERVERS.iter().find(|it| it.name == name);
    let watching = observer.and_then(|it| it.start().transpose());
    let watching = watching.context("no such observer")??;
    let seconds = LOAD_MS / 1000 - 2;
    let program = format!(
        "profile:hz:4999 /tid == {}/ {{ @[kstack(9), ustack(12)] = count(); }} interval:s:{seconds} {{ exit(); }}",
        watching.pid()
    );
    let mut bpftrace = Command::new("bpftrace");
    bpftrace.args(["-e", &program]).stdin(Stdio::null());
    let profiled = std::thread::spawn(move || bpftrace.output());
    std::thread::sleep(COMPILED_AFTER);
    let loaded = load(map, LOAD_MS);
    let profiled = profiled.join().ok().context("bpftrace's thread panicked")?;
    let memory = memory(watching.pid());
    watching.stop()?;
    loaded?;
    let profiled = profiled.context("failed to start bpftrace")?;
    ensure!(
        profiled.status.success(),
        "bpftrace: {}",
        String::from_utf8_lossy(&profiled.stderr)
    );
    Ok(format!(
        "{}\n{}",
        String::from_utf8_lossy(&profiled.stdout),
        memory?
    ))
}

/// Resident memory by mapping, the largest last, and the most there ever was.
fn memory(pid: u32) -> Result<String> {
    let maps = sys::read(format!("/proc/{pid}/smaps"))?;
    let mut resident = Vec::new();
    let mut mapping = "";
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("Rss:"), Some(kib)) => resident.push((kib.parse::<u64>()?, mapping)),
            (Some(first), _) if !first.ends_with(':') => mapping = line,
            _ => {}
        }
    }
    resident.sort_unstable();
    let status = sys::read(format!("/proc/{pid}/status"))?;
    let of_status = status
        .lines()
        .filter(|it| it.starts_with("VmHWM") || it.starts_with("Rss"));
    let lines = resident.iter().filter(|(kib, _)| *kib > 0);
    let lines = lines.map(|(kib, mapping)| format!("{kib:>8} KiB {mapping}"));
    Ok(lines
        .chain(of_status.map(str::to_owned))
        .collect::<Vec<_>>()
        .join("\n"))
}
