//! `alua-trace run -- COMMAND`, and how a trace ends otherwise: pipes, signals, statuses.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::hostile::with_hostile_map;
use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::bpf::Traces;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::report::commands_of;
use crate::lab::schema::Class;
use crate::lab::tracer::{self, TOOL, Trace, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::terminal::{Ended, OnTerminal};

pub(super) const GROUP: Group = Group {
    name: "command-mode",
    limit_seconds: 600,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "covers-the-load",
            run: covers_the_load,
        },
        Case {
            name: "statuses",
            run: statuses,
        },
        Case {
            name: "closed-pipe",
            run: closed_pipe,
        },
        Case {
            name: "interrupted",
            run: interrupted,
        },
        Case {
            name: "terminal",
            run: terminal,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(60);
const ENTER_LIVE_VIEW: &str = "\u{1b}[?1049h";
const LEAVE_LIVE_VIEW: &str = "\u{1b}[?1049l";
const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";

fn covers_the_load(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let path = lab.path("A1")?;
    let load = Load {
        until: Until::Count(2000),
        ..Load::random_reads(&path.node(), 0)
    };
    let mut command = vec!["fio".to_owned()];
    command.extend(load.arguments());
    command.push("--output=/tmp/fio.json".to_owned());
    let before = disk::stats(&path.device)?;
    let options = TraceOptions {
        command,
        ..TraceOptions::default()
    };
    let report = Trace::run(&options, LIMIT);
    let report = lab.keep(report)?;
    let counted = disk::stats(&path.device)?.reads - before.reads;
    ensure!(
        report.status == 0,
        "status {}: {}",
        report.status,
        report.stderr
    );
    ensure!(
        report.start.kernel == sys::kernel_release(),
        "{:?}",
        report.start.kernel
    );
    ensure!(
        report.summary.command_status == Some(0),
        "{:?}",
        report.summary.command_status
    );
    let reads = commands_of(report.path(&path.hctl)?, Class::Read);
    same("reads", ("fio was told", 2000), ("tool", reads))?;
    same("reads", ("the kernel", counted), ("tool", reads))?;
    Ok(Outcome::Passed)
}

fn statuses(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    for (script, status) in [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 128 + 15)] {
        let command = ["busybox", "sh", "-c", script].map(str::to_owned).to_vec();
        let options = TraceOptions {
            command,
            ..TraceOptions::default()
        };
        let report = Trace::run(&options, LIMIT);
        let report = lab.keep(report)?;
        ensure!(report.status == status, "{script:?} gave {}", report.status);
        let told = report.summary.command_status;
        ensure!(
            told == Some(status),
            "{script:?}: the summary says {told:?}"
        );
    }
    Ok(Outcome::Passed)
}

/// `alua-trace run | head -1`.
fn closed_pipe(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let mut tool = Command::new(TOOL)
        .args(["run", "--duration", "20s", "--interval", "200ms"])
        .args(tracer::btf())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("failed to start the tool")?;
    let mut pipe = BufReader::new(tool.stdout.take().context("no output")?);
    let mut first = String::new();
    pipe.read_line(&mut first)?;
    drop(pipe);
    let closed = Instant::now();
    let status = tool.wait()?;
    let mut said = String::new();
    tool.stderr
        .take()
        .context("no messages")?
        .read_to_string(&mut said)?;
    ensure!(!first.trim().is_empty(), "no first line");
    ensure!(
        status.code() == Some(0),
        "a closed pipe gave {status}: {said}"
    );
    ensure!(
        !said.contains("panicked") && !said.to_lowercase().contains("pipe"),
        "{said}"
    );
    ensure!(
        closed.elapsed() < Duration::from_secs(10),
        "it went on without a reader"
    );
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

fn interrupted(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let path = lab.path("A1")?;
    let before = Traces::now();
    let load = Load::paced_reads(&path.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&path.device, 50)?;
    let mut trace = lab.trace(&TraceOptions::default())?;
    disk::wait_for_io(&path.device, 500)?;
    ensure!(trace.is_running()?, "it ended by itself");
    let report = lab.stop(trace)?;
    load.stop()?;
    ensure!(
        report.status == 0,
        "status {}: {}",
        report.status,
        report.stderr
    );
    ensure!(
        report.stdout.contains(&path.device),
        "no summary: {}",
        report.stdout
    );
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

/// The live view gives the terminal back, however the trace ends, and a refusal never takes it.
fn terminal(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    with_hostile_map(|| {
        let by_key = on_terminal(&[], |program| {
            wait_for_live_view(program)?;
            program.press(b">")?;
            program.wait_until_shown("descending", LIMIT)?;
            program.press(b"\x03")
        })?;
        given_back(&by_key, 0).context("Ctrl-C")?;
        // From its first byte on: the terminal is already another one.
        let by_signal = on_terminal(&[], |program| {
            program.wait_until_shown(ENTER_LIVE_VIEW, LIMIT)?;
            program.signal(Signal::TERM)
        })?;
        given_back(&by_signal, 0).context("SIGTERM")?;
        let script = "dd if=/dev/dm-0 of=/dev/null bs=4k count=64; sleep 3; exit 7";
        let by_command = on_terminal(&["--", "busybox", "sh", "-c", script], |_| Ok(()))?;
        given_back(&by_command, 7).context("the command's end")?;
        harmless(&by_command.shown)?;
        let refused = on_terminal(&["--map", "nosuchmap"], |_| Ok(()))?;
        never_taken(&refused).context("a refusal")
    })?;
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

/// Runs the tool on a terminal of its own; `end` makes it end, unless it does so by itself.
fn on_terminal(words: &[&str], end: impl FnOnce(&mut OnTerminal) -> Result<()>) -> Result<Ended> {
    let mut tool = Command::new(TOOL);
    tool.args(["run", "--interval", "200ms"]);
    tool.args(tracer::btf()).args(words);
    let mut program = OnTerminal::start(&mut tool)?;
    let asked = end(&mut program);
    let ended = program.finish(if asked.is_ok() { LIMIT } else { Duration::ZERO });
    asked?;
    ended
}

/// It draws for the first time when everything is attached and signals are listened to.
fn wait_for_live_view(program: &mut OnTerminal) -> Result<()> {
    program.wait_until_shown("Ctrl-C ends with the summary", LIMIT)
}

fn given_back(ended: &Ended, status: i32) -> Result<()> {
    let shown = &ended.shown;
    same_terminal(ended, status)?;
    let entered = shown
        .rfind(ENTER_LIVE_VIEW)
        .with_context(|| format!("no live view: {shown:?}"))?;
    let after = &shown[entered..];
    let left = after
        .rfind(LEAVE_LIVE_VIEW)
        .with_context(|| format!("the live view was not left: {after:?}"))?;
    ensure!(
        after.rfind(SHOW_CURSOR) > after.rfind(HIDE_CURSOR),
        "no cursor: {after:?}"
    );
    ensure!(
        after[left..].contains("Account"),
        "no summary after the live view: {:?}",
        &after[left..]
    );
    Ok(())
}

fn never_taken(ended: &Ended) -> Result<()> {
    same_terminal(ended, 2)?;
    ensure!(
        !ended.shown.contains('\u{1b}') && ended.shown.contains("nosuchmap"),
        "{:?}",
        ended.shown
    );
    Ok(())
}

fn same_terminal(ended: &Ended, status: i32) -> Result<()> {
    let [before, after] = &ended.modes;
    ensure!(
        ended.status.code() == Some(status),
        "{} instead of {status}: {:?}",
        ended.status,
        ended.shown
    );
    ensure!(
        before == after,
        "the terminal was left in other modes: {before}, now {after}"
    );
    Ok(())
}

/// The map's name is on the terminal, but not as a sequence that turns it red: the tool's own colours
/// are written in another way (38;5;…).
fn harmless(shown: &str) -> Result<()> {
    ensure!(
        shown.contains("mp\\x1b[31ma"),
        "the map is not shown: {shown:?}"
    );
    ensure!(
        !shown.contains("\u{1b}[31m"),
        "the map's name reached the terminal: {shown:?}"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    use super::*;

    fn ended(shown: &str) -> Ended {
        Ended {
            status: ExitStatus::from_raw(0),
            shown: shown.to_owned(),
            modes: ["ECHO".to_owned(), "ECHO".to_owned()],
        }
    }

    #[test]
    fn a_terminal_that_is_not_given_back_is_noticed() {
        let good = "\u{1b}[?1049h\u{1b}[?25lMap\u{1b}[?1049l\u{1b}[?25h1 command\r\nAccount\r\n";
        given_back(&ended(good), 0).unwrap();
        let still_quiet = Ended {
            modes: ["ECHO".to_owned(), String::new()],
            ..ended(good)
        };
        assert!(given_back(&still_quiet, 0).is_err());
        assert!(given_back(&ended(good), 7).is_err());
        assert!(given_back(&ended("1 command\r\nAccount\r\n"), 0).is_err());
        for missing in [LEAVE_LIVE_VIEW, SHOW_CURSOR, "Account"] {
            let bad = ended(&good.replace(missing, ""));
            assert!(given_back(&bad, 0).is_err(), "without {missing:?}");
        }
        let entered_again = format!("{good}{ENTER_LIVE_VIEW}");
        assert!(given_back(&ended(&entered_again), 0).is_err());
    }

    #[test]
    fn a_refusal_that_takes_the_terminal_is_noticed() {
        let refused = |shown: &str| Ended {
            status: ExitStatus::from_raw(2 << 8),
            ..ended(shown)
        };
        never_taken(&refused("no multipath map \"nosuchmap\"\r\n")).unwrap();
        let taken = format!("{ENTER_LIVE_VIEW}{LEAVE_LIVE_VIEW}no multipath map \"nosuchmap\"\r\n");
        assert!(never_taken(&refused(&taken)).is_err());
        assert!(never_taken(&ended("no multipath map \"nosuchmap\"\r\n")).is_err());
    }

    #[test]
    fn a_raw_name_is_told_from_a_written_out_one() {
        harmless("\u{1b}[38;5;3mMap mp\\x1b[31ma").unwrap();
        assert!(harmless("Map mp\\x1b[31ma, mp\u{1b}[31ma").is_err());
        assert!(harmless("No path was seen").is_err());
    }
}
