//! Recordings of long runs: in several files, without commands, and of what led to something alone.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS};
use crate::lab::multipath::MapOptions;
use crate::lab::report::parse_lines;
use crate::lab::schema::{FlagKind, Line, Start, Summary};
use crate::lab::tracer::{self, TOOL};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::Background;

pub(super) const GROUP: Group = Group {
    name: "long-runs",
    limit_seconds: 300,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "several-files",
            run: several_files,
        },
        Case {
            name: "histograms-only",
            run: histograms_only,
        },
        Case {
            name: "what-led-to-a-flag",
            run: |lab| led_to_a_flag(lab, &SHORT),
        },
        Case {
            name: "asked-by-a-signal",
            run: asked,
        },
    ],
};

pub(super) const LONG: Group = Group {
    name: "last-10-minutes",
    limit_seconds: 3000,
    kernels: Kernels::OnRequest,
    // Time passes as fast as there is little to do.
    clock: Clock::Instructions,
    array: false,
    cases: &[Case {
        name: "after-12",
        run: |lab| led_to_a_flag(lab, &TWELVE_MINUTES),
    }],
};

/// A window, and when something happens.
struct Window {
    last: &'static str,
    last_ns: u64,
    fault_after_ms: u64,
    /// Pause of the load between two I/Os.
    think_us: u32,
}

const SHORT: Window = Window {
    last: "5s",
    last_ns: 5_000_000_000,
    fault_after_ms: 12_000,
    think_us: 0,
};
const TWELVE_MINUTES: Window = Window {
    last: "10m",
    last_ns: 600_000_000_000,
    fault_after_ms: 720_000,
    think_us: 20_000,
};

const LIMIT: Duration = Duration::from_secs(120);
const DIRECTORY: &str = "/tmp/long";
const LIVE: &str = "/tmp/long/live.jsonl";
const AGAIN: &str = "/tmp/long/again.jsonl";
/// A segment of the window, an interval, and what a flag may wait.
const SLACK_NS: u64 = 2_500_000_000;
/// What the tool takes beside its window: 22 MiB without a recording.
const BESIDE_KIB: u64 = 64 << 10;
const WINDOW_KIB: u64 = 256 << 10;

fn tool(words: &[&str]) -> Result<Background> {
    let _ = std::fs::remove_dir_all(DIRECTORY);
    sys::make_dir(DIRECTORY)?;
    let mut command = Command::new(TOOL);
    command
        .args(["record", "--json", LIVE])
        .args(words)
        .args(tracer::btf());
    Background::start(&mut command)
}

fn recordings() -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(DIRECTORY).context("nothing was recorded")?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|it| it == "atr"))
        .collect();
    files.sort();
    Ok(files)
}

/// What a replay says, as it wrote it.
fn replayed(files: &[PathBuf]) -> Result<String> {
    let mut words = vec!["replay", "--json", AGAIN];
    words.extend(files.iter().filter_map(|file| file.to_str()));
    let output = tracer::say(&words, LIMIT)?;
    ensure!(
        output.code() == 0 && output.stderr.is_empty(),
        "the replay ended with {}: {}",
        output.code(),
        output.stderr
    );
    Ok(std::fs::read_to_string(AGAIN)?)
}

fn ends(text: &str) -> Result<(Start, Summary)> {
    let mut lines = parse_lines(text)?;
    let (first, last) = (lines.first().cloned(), lines.pop());
    match (first, last) {
        (Some(Line::Start(start)), Some(Line::Summary(summary))) => Ok((start, summary)),
        _ => anyhow::bail!("it does not begin with a start and end with a summary"),
    }
}

fn check_account(summary: &Summary) -> Result<()> {
    ensure!(summary.complete, "{:?}", summary.incomplete_because);
    for path in &summary.paths {
        let it = path.counts;
        let ended = it.completed + it.failed + it.timed_out + it.superseded + it.untracked;
        ensure!(it.dispatched == ended + it.in_flight, "{it:?}");
        ensure!(
            it.completed == it.recorded + it.ring_full + it.implausible,
            "{it:?}"
        );
    }
    Ok(())
}

fn same(live: &str, again: &str) -> Result<()> {
    let other = live
        .lines()
        .zip(again.lines())
        .find(|(one, other)| one != other);
    ensure!(other.is_none(), "the replay says something else: {other:?}");
    ensure!(live == again, "one of them goes on");
    Ok(())
}

/// Each file can be read alone; in order they say what the trace said.
fn several_files(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    let tool = tool(&[
        "-o",
        "/tmp/long/it.atr",
        "--rotate",
        "3s",
        "--duration",
        "14s",
    ])?;
    let output = tool.finish(LIMIT)?;
    load.stop()?;
    ensure!(output.code() == 0, "{}: {}", output.code(), output.stderr);
    let files = recordings()?;
    ensure!(files.len() >= 4, "{files:?}");
    let live = std::fs::read_to_string(LIVE)?;
    same(&live, &replayed(&files)?)?;
    let (_, whole) = ends(&live)?;
    let recorded =
        |summary: &Summary| -> u64 { summary.paths.iter().map(|path| path.counts.recorded).sum() };
    let mut commands = 0;
    for file in &files {
        let (start, summary) = ends(&replayed(std::slice::from_ref(file))?)?;
        check_account(&summary).with_context(|| file.display().to_string())?;
        ensure!(start.paths.len() == 4, "{:?}", start.paths);
        commands += recorded(&summary);
    }
    ensure!(
        commands == recorded(&whole),
        "{commands} of {}",
        recorded(&whole)
    );
    Ok(Outcome::Passed)
}

fn histograms_only(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 50)?;
    let tool = tool(&[
        "-o",
        "/tmp/long/it.atr",
        "--histograms-only",
        "--duration",
        "8s",
    ])?;
    sys::sleep_ms(3000);
    map.switch_group(2)?;
    let output = tool.finish(LIMIT)?;
    load.stop()?;
    ensure!(output.code() == 0, "{}: {}", output.code(), output.stderr);
    same(&std::fs::read_to_string(LIVE)?, &replayed(&recordings()?)?)?;
    Ok(Outcome::Passed)
}

/// I/O is sent to the non-optimized group: what came before that is in a file.
fn led_to_a_flag(lab: &mut Lab, window: &Window) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        think_us: window.think_us,
        ..Load::random_reads(&map.node(), window.fault_after_ms + UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    let mut tool = tool(&["-o", "/tmp/long/fault.atr", "--last", window.last])?;
    sys::sleep_ms(window.fault_after_ms);
    ensure!(recordings()?.is_empty(), "something is written already");
    let fault_ns = sys::monotonic_ns();
    map.switch_group(2)?;
    sys::sleep_ms(15_000);
    let status = sys::read(format!("/proc/{}/status", tool.id()))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok());
    let peak_kib: u64 = peak.context("no VmHWM")?;
    tool.signal(Signal::INT)?;
    let output = tool.finish(LIMIT)?;
    load.stop()?;
    ensure!(output.code() == 0, "{}: {}", output.code(), output.stderr);
    ensure!(
        output.stdout.contains("what led to this is written to"),
        "{}",
        output.stdout
    );
    let files = recordings()?;
    ensure!(files == [Path::new("/tmp/long/fault.atr")], "{files:?}");
    let (start, summary) = ends(&replayed(&files)?)?;
    check_account(&summary)?;
    let flagged = summary
        .flags
        .iter()
        .any(|flag| flag.kind == FlagKind::OwnershipTransfer);
    ensure!(flagged, "{:?}", summary.flags);
    let before_ns = fault_ns.saturating_sub(start.started_at_ns);
    lab.figure("begins before the fault", before_ns as f64 / 1e9, "s");
    lab.figure("peak", peak_kib as f64 / 1024.0, "MiB");
    let segment_ns = window.last_ns / 60;
    ensure!(
        (window.last_ns - SLACK_NS..window.last_ns + segment_ns + SLACK_NS).contains(&before_ns),
        "it begins {before_ns} ns before the fault"
    );
    ensure!(peak_kib <= BESIDE_KIB + WINDOW_KIB, "{peak_kib} KiB");
    Ok(Outcome::Passed)
}

fn asked(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 50)?;
    let mut tool = tool(&["-o", "/tmp/long/asked.atr", "--last", "4s"])?;
    sys::sleep_ms(7000);
    ensure!(recordings()?.is_empty(), "something is written already");
    tool.signal(Signal::USR1)?;
    sys::wait_for(Duration::from_secs(10), "the file", || {
        Ok(!recordings()?.is_empty())
    })?;
    sys::sleep_ms(500);
    tool.signal(Signal::INT)?;
    let output = tool.finish(LIMIT)?;
    load.stop()?;
    ensure!(output.code() == 0, "{}: {}", output.code(), output.stderr);
    let (_, summary) = ends(&replayed(&recordings()?)?)?;
    check_account(&summary)?;
    ensure!(
        (4_000_000_000..8_000_000_000).contains(&summary.duration_ns),
        "{} ns",
        summary.duration_ns
    );
    Ok(Outcome::Passed)
}
