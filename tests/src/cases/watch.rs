//! `alua-trace watch`: what happens is told once and resolved once, with a recording of what led to it; its metrics are those
//! of the trace; SIGHUP has its alerts read again.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde::Deserialize;

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::load::{Load, UNTIL_STOPPED_MS};
use crate::lab::multipath::MapOptions;
use crate::lab::tracer::{self, TOOL};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::{Background, run};

pub(super) const GROUP: Group = Group {
    name: "watch",
    limit_seconds: 600,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "alerts",
            run: alerts,
        },
        Case {
            name: "reload",
            run: reload,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(120);
const CONFIG: &str = "/tmp/watch.toml";
const TOLD: &str = "/tmp/alerts.jsonl";
const RECORDINGS: &str = "/tmp/watched";
const SOCKET: &str = "/tmp/metrics.sock";

/// A message of `docs/watch.md`.
#[derive(Debug, Deserialize)]
struct Message {
    status: String,
    alert: String,
    recording: Option<String>,
    findings: Vec<String>,
}

fn config(alerts: &str) -> Result<()> {
    let btf = tracer::btf().nth(1);
    // A kernel without BTF of its modules is one that cannot count, too (before Linux 5.12).
    let btf = btf.map(|dir| format!("btf = \"{dir}\"\ncount = false\n"));
    let text = format!(
        "interval = \"500ms\"\nmetrics = \"unix:{SOCKET}\"\n{}[recording]\ndirectory = \"{RECORDINGS}\"\nlast = \"20s\"\n\
         [action.file]\nfile = \"{TOLD}\"\n{alerts}",
        btf.unwrap_or_default()
    );
    sys::make_dir(RECORDINGS)?;
    sys::write(CONFIG, &text)
}

fn alert(name: &str, when: &str) -> String {
    format!(
        "[[alert]]\nname = \"{name}\"\nwhen = '{when}'\nover = \"3s\"\nfor = \"1s\"\ntell = [\"file\"]\n"
    )
}

fn start() -> Result<Background> {
    let _ = std::fs::remove_file(TOLD);
    let mut watching = Background::start(Command::new(TOOL).args(["watch", "--config", CONFIG]))?;
    sys::wait_for(LIMIT, "the metrics' socket", || {
        ensure!(watching.is_running()?, "it ended");
        Ok(UnixStream::connect(SOCKET).is_ok())
    })?;
    Ok(watching)
}

fn told() -> Result<Vec<Message>> {
    let text = std::fs::read_to_string(TOLD).unwrap_or_default();
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).with_context(|| format!("no message: {line}")))
        .collect()
}

fn wait_until_told(count: usize) -> Result<Vec<Message>> {
    sys::wait_for(LIMIT, &format!("{count} messages"), || {
        Ok(told()?.len() >= count)
    })
    .with_context(|| format!("told are {:?}", told()))?;
    told()
}

fn metrics() -> Result<String> {
    let mut stream = UnixStream::connect(SOCKET)?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The sum of all series of a name with all of these labels.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let is_wanted = |line: &&str| {
        let rest = line.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    };
    let values = metrics.lines().filter(is_wanted);
    values
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

fn ended_well(mut watching: Background) -> Result<()> {
    watching.signal(Signal::TERM)?;
    let ended = watching.finish(LIMIT)?;
    ensure!(
        ended.code() == 0,
        "it ended with {}: {}",
        ended.code(),
        ended.stderr
    );
    ensure!(!ended.stderr.contains("panicked"), "{}", ended.stderr);
    ensure!(
        !std::path::Path::new(SOCKET).exists(),
        "its socket is still there"
    );
    Ok(())
}

/// I/O on the wrong controller, and back: told once, resolved once, and as often in the metrics.
fn alerts(lab: &mut Lab) -> Result<Outcome> {
    const COUNT: &str = "alua_trace_command_latency_seconds_count";
    lab.implicit_emulator()?;
    let map = lab.map(&MapOptions::default())?;
    config(&(alert("astray", "non_optimized_avoidable_share > 10%") + &alert("lost", "lost > 0")))?;
    let checked = run(TOOL, &["watch", "--config", CONFIG, "--check"])?;
    ensure!(checked.contains("can be used: 2 alerts"), "{checked}");
    let watching = start()?;
    let load = Load {
        depth: 4,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    sys::sleep_ms(4000);
    ensure!(
        told()?.is_empty(),
        "before anything happened: {:?}",
        told()?
    );
    map.switch_group(2)?;
    let firing = wait_until_told(1)?;
    let astray = metrics()?;
    map.switch_group(1)?;
    let all = wait_until_told(2)?;
    sys::sleep_ms(5000);
    let done = load.stop()?;
    // The last interval is over, too.
    sys::sleep_ms(2000);
    let (last, all_at_the_end) = (metrics()?, told()?);
    ended_well(watching)?;
    let statuses: Vec<(&str, &str)> = all_at_the_end
        .iter()
        .map(|it| (&*it.alert, &*it.status))
        .collect();
    ensure!(
        statuses == [("astray", "firing"), ("astray", "resolved")],
        "{all:?}"
    );
    let [first, ..] = &firing[..] else {
        anyhow::bail!("nothing was told");
    };
    ensure!(
        first
            .findings
            .iter()
            .any(|it| it.contains("mpatha") || it.contains(&map.dm)),
        "{first:?}"
    );
    let recording = first.recording.as_ref().context("no recording is named")?;
    let replayed = run(TOOL, &["replay", recording, "--json", "-"])?;
    ensure!(
        replayed.contains("non-optimized-io"),
        "the recording lacks what led to it"
    );
    let flags = "alua_trace_flags_active";
    let kind = "kind=\"non-optimized-io\"";
    ensure!(sum(&astray, flags, &[kind]) == 1.0, "{astray}");
    ensure!(sum(&last, flags, &[kind]) == 0.0, "{last}");
    ensure!(
        sum(&last, "alua_trace_flags_total", &[kind]) == 1.0,
        "{last}"
    );
    let not = sum(
        &last,
        COUNT,
        &["state=\"active/non-optimized\"", "class=\"read\""],
    );
    let reads = sum(&last, COUNT, &["class=\"read\""]);
    ensure!(not > 0.0 && not < reads, "{last}");
    // fio's, and what the kernel reads of its own.
    ensure!(
        reads >= done.read.total_ios as f64,
        "fio did {} reads, metrics tell {reads}",
        done.read.total_ios
    );
    let ends = sum(&last, "alua_trace_dispatched_total", &[]);
    let completed = sum(&last, COUNT, &[]) + sum(&last, "alua_trace_not_completed_total", &[]);
    ensure!(ends == completed, "{ends} dispatched, {completed} told of");
    lab.figure("reads", reads, "");
    lab.figure("of those not optimized", not, "");
    Ok(Outcome::Passed)
}

/// Alerts are read again; a file that cannot be used changes nothing, nor do clients that hang.
fn reload(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let map = lab.map(&MapOptions::default())?;
    config(&alert("never", "lost > 1000000"))?;
    let mut watching = start()?;
    let silent: Vec<UnixStream> = (0..200)
        .filter_map(|_| UnixStream::connect(SOCKET).ok())
        .collect();
    let load = Load {
        depth: 4,
        ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
    }
    .start()?;
    disk::wait_for_io(&map.dm, 50)?;
    sys::write(CONFIG, "nonsense = 1")?;
    watching.signal(Signal::HUP)?;
    sys::sleep_ms(1500);
    ensure!(watching.is_running()?, "a bad file ended it");
    config(&alert("busy", "iops > 1"))?;
    watching.signal(Signal::HUP)?;
    let firing = wait_until_told(1)?;
    load.stop()?;
    let both = wait_until_told(2)?;
    let statuses: Vec<&str> = both.iter().map(|it| &*it.status).collect();
    ensure!(statuses == ["firing", "resolved"], "{both:?}");
    ensure!(firing.iter().all(|it| it.alert == "busy"), "{firing:?}");
    drop(silent);
    ended_well(watching)?;
    Ok(Outcome::Passed)
}
