//! `alua-trace run -- COMMAND`, and how a trace ends otherwise: pipes, signals, statuses.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::judge::same;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::bpf::Traces;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::schema::Class;
use crate::lab::tracer::{self, TOOL, Trace, TraceOptions, commands_of};
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "command-mode",
    limit_seconds: 400,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
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
    ],
};

const LIMIT: Duration = Duration::from_secs(60);

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
