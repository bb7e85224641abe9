//! Readers that are slow, and disks that are full: they cost the trace nothing but what was to go to
//! them.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::MapOptions;
use crate::lab::recording::{self, RECORDING};
use crate::lab::report::parse_lines;
use crate::lab::schema::Line;
use crate::lab::tracer::{self, TOOL};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::{Background, run};
use crate::sys::terminal::OnTerminal;

pub(super) const GROUP: Group = Group {
    name: "readers",
    limit_seconds: 400,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "full-disk",
            run: full_disk,
        },
        Case {
            name: "slow-pipe",
            run: slow_pipe,
        },
        Case {
            name: "full-output",
            run: full_output,
        },
        Case {
            name: "stopped-terminal",
            run: stopped_terminal,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(90);
/// How long nobody reads.
const UNREAD_MS: u64 = 10_000;
/// What a summary says of a trace that lost nothing.
const WHOLE: &str = "complete: every command is accounted for";
const SMALL: &str = "/tmp/small";
const SMALL_BYTES: u64 = 256 << 10;
/// `^S`, `^Q`: the terminal's own flow control.
const STOP: &[u8] = b"\x13";
const GO_ON: &[u8] = b"\x11";

/// A load whose commands take their time: where time is instructions, one that never waits would
/// have the guest run for minutes.
fn loaded(lab: &mut Lab) -> Result<Running> {
    lab.implicit_emulator()?.ask("delay A 5ms")?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load {
        depth: 4,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    Ok(load)
}

fn tool(words: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    recording::forget();
    command.args(["run", "--interval", "200ms", "--record", RECORDING]);
    command.args(tracer::btf()).args(words);
    command
}

/// The text it printed calls it complete, and so does the recording.
fn whole(summary: &str) -> Result<()> {
    let again = tracer::say(&["replay", RECORDING], LIMIT)?;
    ensure!(
        again.code() == 0 && again.stdout.contains(WHOLE),
        "the replay ended with {}: {}",
        again.code(),
        again.stderr
    );
    ensure!(
        summary.contains(WHOLE),
        "the summary does not say that it is whole: {summary}"
    );
    Ok(())
}

/// The file ends with a whole line, the trace goes on, and the exit status tells.
fn full_disk(lab: &mut Lab) -> Result<Outcome> {
    let load = loaded(lab)?;
    sys::make_dir(SMALL)?;
    let size = format!("size={SMALL_BYTES}");
    run(
        "busybox",
        &["mount", "-t", "tmpfs", "-o", &size, "small", SMALL],
    )?;
    let file = format!("{SMALL}/trace.jsonl");
    let words = ["--duration", "6s", "--commands", "--json", &file];
    let output = Background::start(&mut tool(&words)).and_then(|it| it.finish(LIMIT));
    let written = std::fs::read_to_string(&file);
    run("busybox", &["umount", SMALL])?;
    load.stop()?;
    let (output, written) = (output?, written?);
    ensure!(output.code() == 2, "{}: {}", output.code(), output.stderr);
    ensure!(
        output.stderr.contains("ends early") && output.stderr.contains("No space left on device"),
        "{}",
        output.stderr
    );
    ensure!(
        output.stdout.contains("ends early") && output.stdout.contains("the trace goes on"),
        "{}",
        output.stdout
    );
    whole(&output.stdout)?;
    let at_end = output.stdout.rfind("the trace goes on");
    ensure!(
        output.stdout.rfind(WHOLE) > at_end,
        "the summary did not come after the disk was full"
    );
    ensure!(written.ends_with("}\n"), "half a line at the end");
    ensure!(
        written.len() as u64 > SMALL_BYTES / 2,
        "{} bytes: the disk was not full",
        written.len()
    );
    let lines = parse_lines(&written)?;
    ensure!(!lines.iter().any(|line| matches!(line, Line::Summary(_))));
    Ok(Outcome::Passed)
}

/// A FIFO that nobody reads for ten seconds: every command is there when somebody does.
fn slow_pipe(lab: &mut Lab) -> Result<Outcome> {
    let load = loaded(lab)?;
    let fifo = "/tmp/slow.jsonl";
    let _ = std::fs::remove_file(fifo);
    run("busybox", &["mkfifo", fifo])?;
    let words = ["--commands", "--json", fifo, "--duration", "12s"];
    let tool = Background::start(&mut tool(&words))?;
    let mut pipe = File::open(fifo).context("failed to open the FIFO")?;
    sys::sleep_ms(UNREAD_MS);
    let mut raw = String::new();
    pipe.read_to_string(&mut raw)?;
    let output = tool.finish(LIMIT)?;
    load.stop()?;
    let report = recording::parsed(raw, output, true);
    let report = lab.keep(report)?;
    ensure!(report.status == 0, "{}: {}", report.status, report.stderr);
    let left_out = |line: &&Line| matches!(line, Line::LeftOut(_));
    ensure!(report.lines.iter().filter(left_out).count() == 0);
    let told = report.commands().count() as u64;
    let kept = report.summary.paths.iter().map(|it| it.counts.recorded);
    let kept: u64 = kept.sum();
    lab.figure("commands", kept as f64, "");
    ensure!(
        told == kept && kept > 100,
        "{told} lines of {kept} commands"
    );
    Ok(Outcome::Passed)
}

/// Standard output that cannot be written ends the trace, with the summary on standard error.
fn full_output(lab: &mut Lab) -> Result<Outcome> {
    let load = loaded(lab)?;
    for words in [
        &["--duration", "30s"][..],
        &["--duration", "30s", "--json", "-"],
    ] {
        let full = File::options().write(true).open("/dev/full")?;
        let started = sys::monotonic_ns();
        let tool = Background::start_with(&mut tool(words), Stdio::from(full))?;
        let output = tool.finish(LIMIT)?;
        let took_ns = sys::monotonic_ns() - started;
        ensure!(output.code() == 2, "{}: {}", output.code(), output.stderr);
        ensure!(took_ns < 25_000_000_000, "it went on for {took_ns} ns");
        ensure!(
            output.stderr.contains("No space left on device"),
            "{}",
            output.stderr
        );
        whole(&output.stderr)?;
    }
    load.stop()?;
    Ok(Outcome::Passed)
}

/// `^S` for ten seconds: JSON goes on, nothing is lost, and the terminal is given back.
fn stopped_terminal(lab: &mut Lab) -> Result<Outcome> {
    let load = loaded(lab)?;
    let json = "/tmp/stopped.jsonl";
    let mut program = OnTerminal::start(&mut tool(&["--json", json]))?;
    program.wait_until_shown("Ctrl-C ends with the summary", LIMIT)?;
    let intervals = || -> Result<usize> {
        let text = std::fs::read_to_string(json)?;
        Ok(text.matches("\"type\":\"interval\"").count())
    };
    program.press(STOP)?;
    let before = intervals()?;
    sys::sleep_ms(UNREAD_MS);
    let after = intervals()?;
    program.press(GO_ON)?;
    sys::sleep_ms(500);
    program.signal(Signal::INT)?;
    let ended = program.finish(LIMIT)?;
    load.stop()?;
    ensure!(
        after >= before + 20,
        "{before} intervals, and {after} after 10 s of a stopped terminal"
    );
    ensure!(
        ended.status.success(),
        "{:?}: {}",
        ended.status,
        ended.shown
    );
    ensure!(ended.modes[0] == ended.modes[1], "{:?}", ended.modes);
    ensure!(ended.shown.contains(WHOLE), "{}", ended.shown);
    let lines = parse_lines(&std::fs::read_to_string(json)?)?;
    let Some(Line::Summary(summary)) = lines.last() else {
        anyhow::bail!("no summary");
    };
    ensure!(summary.complete, "{:?}", summary.incomplete_because);
    Ok(Outcome::Passed)
}
