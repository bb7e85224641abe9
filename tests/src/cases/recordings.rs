//! Recordings: how large they are, and what is left of one whose disk is full or whose tool is killed. That
//! each gives what its trace gave is looked at in every case ([`crate::lab::recording`]).

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::multipath::MapOptions;
use crate::lab::recording::{self, RECORDING};
use crate::lab::report::parse_lines;
use crate::lab::schema::Line;
use crate::lab::tracer::{self, TOOL, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::{Background, run};

pub(super) const GROUP: Group = Group {
    name: "recordings",
    limit_seconds: 400,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "sizes",
            run: sizes,
        },
        Case {
            name: "setup",
            run: setup,
        },
        Case {
            name: "full-disk",
            run: full_disk,
        },
        Case {
            name: "killed",
            run: |lab| killed(lab, 4),
        },
    ],
};

pub(super) const LONG: Group = Group {
    name: "killed-at-200-instants",
    limit_seconds: 3600,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: false,
    cases: &[Case {
        name: "replayed",
        run: |lab| killed(lab, 200),
    }],
};

const LIMIT: Duration = Duration::from_secs(90);
const MOST_BYTES_A_COMMAND: f64 = 8.0;
const SMALL: &str = "/tmp/small";
const SMALL_BYTES: u64 = 160 << 10;
const AGAIN: &str = "/tmp/again.jsonl";
/// A second between two frames, and what a poll and the writing take on a busy host.
const LOST_AT_MOST_NS: u64 = 1_500_000_000;

fn sizes(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    for rw in ["randread", "read", "randrw"] {
        let trace = lab.trace(&TraceOptions::default())?;
        Load {
            rw,
            // What a file has beside commands is some kilobytes.
            until: Until::Count(50_000),
            ..Load::random_reads(&map.node(), 0)
        }
        .run(LIMIT)?;
        let report = lab.stop(trace)?;
        let commands: u64 = report
            .summary
            .paths
            .iter()
            .map(|it| it.counts.recorded)
            .sum();
        ensure!(commands > 1000, "{commands} commands");
        let each = recording::size()? as f64 / commands as f64;
        lab.figure(&format!("fio {rw}: a command"), each, "bytes");
        ensure!(
            each <= MOST_BYTES_A_COMMAND,
            "{each:.2} bytes for each of {commands} commands"
        );
    }
    Ok(Outcome::Passed)
}

/// Labels, the command with what it printed, and the set-up as sysfs has it are in it.
fn setup(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    recording::forget();
    let mut command = Command::new(TOOL);
    command.args([
        "record", "-o", RECORDING, "--label", "mtu=1500", "--label", "run=1",
    ]);
    command.args(tracer::btf());
    command.args([
        "--",
        "sh",
        "-c",
        "echo printed; echo complained >&2; sleep 1",
    ]);
    let output = Background::start(&mut command)?.finish(LIMIT)?;
    ensure!(
        output.code() == 0 && output.stdout.contains("printed\n"),
        "{}: {}{}",
        output.code(),
        output.stdout,
        output.stderr
    );
    let said = tracer::say(&["replay", RECORDING, "--setup"], LIMIT)?;
    let found: serde_json::Value = serde_json::from_str(&said.stdout)?;
    let recording = &found["recording"];
    ensure!(
        recording["labels"]["mtu"] == "1500" && recording["labels"]["run"] == "1",
        "{recording}"
    );
    ensure!(recording["command"][0] == "sh", "{recording}");
    let printed = found["ending"]["printed"]["text"]
        .as_str()
        .unwrap_or_default();
    ensure!(
        printed.contains("printed\n") && printed.contains("complained\n"),
        "{}",
        found["ending"]
    );
    let setups = found["setups"].as_array().context("no set-ups")?;
    ensure!(setups.len() == 2, "{} set-ups", setups.len());
    let device = lab.path("A1")?.device;
    let requests = sys::read(format!("/sys/block/{device}/queue/nr_requests"))?;
    let requests: u64 = requests.trim().parse()?;
    for setup in setups {
        ensure!(
            setup["queues"][&device]["nr_requests"] == requests
                && setup["inventory"]["maps"][0]["name"] == map.name.as_str()
                && setup["cpus"]["online"].is_string()
                && setup["command_line"].is_string(),
            "{setup}"
        );
    }
    Ok(Outcome::Passed)
}

/// The trace goes on and is whole; the recording is whole up to where the disk was full, and both say so.
fn full_disk(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    sys::make_dir(SMALL)?;
    let size = format!("size={SMALL_BYTES}");
    run(
        "busybox",
        &["mount", "-t", "tmpfs", "-o", &size, "small", SMALL],
    )?;
    let file = format!("{SMALL}/full.atr");
    let mut command = Command::new(TOOL);
    command.args(["record", "-o", &file, "--duration", "12s"]);
    command.args(tracer::btf());
    let output = Background::start(&mut command).and_then(|it| it.finish(LIMIT));
    load.stop()?;
    let again = tracer::say(&["replay", &file], LIMIT);
    run("busybox", &["umount", SMALL])?;
    let (output, again) = (output?, again?);
    ensure!(output.code() == 2, "{}: {}", output.code(), output.stderr);
    for text in ["No space left on device", "commands are missing"] {
        ensure!(output.stderr.contains(text), "{}", output.stderr);
    }
    ensure!(
        output.stdout.contains("the trace goes on")
            && output
                .stdout
                .contains("complete: every command is accounted for"),
        "{}",
        output.stdout
    );
    ensure!(
        again.code() == 2 && again.stderr.contains("ends early"),
        "{}: {}",
        again.code(),
        again.stderr
    );
    ensure!(
        again.stdout.contains("alua-trace") && again.stdout.lines().count() > 3,
        "{}",
        again.stdout
    );
    Ok(Outcome::Passed)
}

/// What was written is whole: it says the same as the trace, as far as it goes, and that is to within a
/// second of the end.
fn killed(lab: &mut Lab, times: u32) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 50)?;
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut longest_ns = 0;
    for nth in 0..times {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let lost_ns =
            kill_once(lab, random >> 40).with_context(|| format!("kill {nth} of {times}"))?;
        longest_ns = longest_ns.max(lost_ns);
    }
    load.stop()?;
    lab.figure("killed", f64::from(times), "times");
    lab.figure("lost at most", longest_ns as f64 / 1e6, "ms");
    Ok(Outcome::Passed)
}

/// A replay that ends early says what the trace said, and then sums up: what was left of an interval, flags
/// and transfers that are open, and the summary.
fn check_as_far_as_it_goes(live: &[Line], again: &[Line]) -> Result<()> {
    let same = live
        .iter()
        .zip(again)
        .take_while(|(one, other)| one == other)
        .count();
    let rest = &again[same..];
    let Some((Line::Summary(summary), rest)) = rest.split_last() else {
        ensure!(again.is_empty(), "the replay has no summary");
        return Ok(());
    };
    ensure!(!summary.complete, "the summary says that it is complete");
    let intervals = rest
        .iter()
        .filter(|line| matches!(line, Line::Interval(_)))
        .count();
    let others = rest
        .iter()
        .filter(|line| matches!(line, Line::Flag(_) | Line::Transfer(_)))
        .count();
    ensure!(
        same == live.len() || intervals <= 1 && intervals + others == rest.len(),
        "the recording says something else than the trace: {:?}",
        rest.first()
    );
    Ok(())
}

/// How long before a time the intervals ended.
fn intervals_before(lines: &[Line], at_ns: u64) -> Vec<u64> {
    let ended = lines.iter().filter_map(|line| match line {
        Line::Interval(interval) => Some(interval.ended_at_ns),
        _ => None,
    });
    ended
        .map(|ended_ns| at_ns.saturating_sub(ended_ns))
        .collect()
}

/// Gives for how long before its end nothing was recorded.
fn kill_once(lab: &mut Lab, random: u64) -> Result<u64> {
    let mut trace = lab.trace(&TraceOptions::default())?;
    sys::sleep_ms(100 + random % 3000);
    let killed_ns = sys::monotonic_ns();
    trace.kill()?;
    let live = trace.lines_so_far()?;
    let replay = |more: &[&str]| -> Result<Vec<Line>> {
        let words = [&["replay", RECORDING, "--json", AGAIN], more].concat();
        let output = tracer::say(&words, LIMIT)?;
        ensure!(
            output.code() == 2 && output.stderr.contains("ends early"),
            "the replay ended with {}: {}",
            output.code(),
            output.stderr
        );
        parse_lines(&std::fs::read_to_string(AGAIN)?)
    };
    let again = replay(&[])?;
    check_as_far_as_it_goes(&live, &again)?;
    let commands = replay(&["--commands"])?;
    let ended = commands.iter().filter_map(|line| match line {
        Line::Command(command) => Some(command.dispatched_at_ns + command.latency_ns),
        _ => None,
    });
    let Some(Line::Start(start)) = again.first() else {
        // Killed before the first second was over.
        return Ok(0);
    };
    let last_ns = ended.max().unwrap_or(start.started_at_ns);
    let lost_ns = killed_ns.saturating_sub(last_ns);
    ensure!(
        lost_ns <= LOST_AT_MOST_NS,
        "nothing was recorded of the last {lost_ns} ns: the trace began {} ns before the kill, its intervals ended \
         {:?} ns before it, those of the recording {:?} ns",
        killed_ns.saturating_sub(start.started_at_ns),
        intervals_before(&live, killed_ns),
        intervals_before(&again, killed_ns),
    );
    Ok(lost_ns)
}
