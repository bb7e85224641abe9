//! The summary at the end of a trace: per path and access state what it carried and how fast, a
//! histogram per map, the flags, and the account of every command.

use std::fmt::Write;

use super::histogram::histogram;
use super::table::{self, Column, label, number};
use super::{account, flags, ownership, slowest, words};
use crate::format;
use crate::model::{AccessState, Counts, Latency, PathSummary, Summary};
use crate::safe;

const COLUMNS: [Column; 10] = [
    label("I/O", 0),
    number("commands", 0),
    number("IOPS", 4),
    number("MiB/s", 5),
    number("p50", 0),
    number("p99", 0),
    number("p99.9", 2),
    number("max", 1),
    number("share", 6),
    number("errors", 3),
];

/// The whole summary. `started_at_ns` is [`crate::model::Start::started_at_ns`]: flags are shown
/// in time since then.
pub fn summary(summary: &Summary, started_at_ns: u64, width: u16) -> String {
    let mut out = headline(summary);
    for map in summary.paths.chunk_by(|a, b| a.path.map == b.path.map) {
        out.push('\n');
        push_map(&mut out, map, summary.duration_ns, width);
    }
    let slowest = slowest::section(summary, started_at_ns, width);
    if !slowest.is_empty() {
        out.push('\n');
        out.push_str(&slowest);
    }
    out.push('\n');
    out.push_str(&flags::section(&summary.flags, started_at_ns, width));
    out.push('\n');
    let owners = ownership::section(&summary.ownership, started_at_ns, width);
    if !owners.is_empty() {
        out.push_str(&owners);
        out.push('\n');
    }
    out.push_str(&holds(summary, width));
    out.push_str(&counting(summary, started_at_ns));
    out.push_str(&cost(summary));
    out.push_str(&account::section(summary, width));
    if let Some(status) = summary.command_status {
        let _ = writeln!(out, "\nThe command ended with status {status}.");
    }
    out
}

/// Which commands have no record of their own, and why; nothing where each has one.
fn counting(summary: &Summary, started_at_ns: u64) -> String {
    let counted = summary.paths.iter().map(|it| it.counts.counted);
    let counted: u64 = counted.fold(0, u64::saturating_add);
    let Some(counting) = summary.counting.filter(|_| counted > 0) else {
        return String::new();
    };
    let commands = format::plural(counted, "command");
    let why = if counting.asked {
        "as you asked for (--aggregate)".to_owned()
    } else {
        let since = counting.since_ns.saturating_sub(started_at_ns);
        format!(
            "because records found no room (--ring-bytes), the first time {} into the trace",
            format::duration(since)
        )
    };
    format!(
        "{commands} were counted in the kernel, {why}:\n  they are in all counts and histograms, and have no record of their own\n\n"
    )
}

/// What watching has cost; nothing where nobody has measured it.
fn cost(summary: &Summary) -> String {
    let Some(cost) = &summary.cost else {
        return String::new();
    };
    let cpu = 100.0 * cost.cpu_ns as f64 / (summary.duration_ns as f64).max(1.0);
    let mib = cost.memory_bytes as f64 / f64::from(1 << 20);
    let mut out = format!("Watching took {cpu:.2} % of a CPU and {mib:.1} MiB");
    if cost.probes.is_empty() {
        out.push_str(", beside the probes themselves.\n\n");
        return out;
    }
    out.push_str(", and in the kernel, by its own statistics:\n");
    for probe in &cost.probes {
        let each = probe.ns as f64 / probe.runs as f64;
        let (name, runs) = (safe::name(&probe.name), format::plural(probe.runs, "run"));
        let _ = writeln!(out, "  {name}: {runs}, {each:.0} ns each");
    }
    out.push('\n');
    out
}

fn headline(summary: &Summary) -> String {
    let duration = format::duration(summary.duration_ns);
    if summary.paths.is_empty() {
        return format!("No SCSI path was seen in {duration}.\n");
    }
    let paths = format::plural(summary.paths.len() as u64, "path");
    match total(&summary.paths, |path| path.counts.dispatched) {
        0 => format!("No I/O was seen in {duration} on {paths}.\n"),
        commands => format!(
            "{} in {duration} on {paths}\n",
            format::plural(commands, "command")
        ),
    }
}

fn push_map(out: &mut String, paths: &[PathSummary], duration_ns: u64, width: u16) {
    let Some(first) = paths.first() else { return };
    match &first.path.map {
        Some(map) => {
            let _ = write!(out, "Map {}", safe::name(map));
            for name in [&first.path.dm, &first.path.wwid].into_iter().flatten() {
                let _ = write!(out, "  {}", safe::name(name));
            }
        }
        None => out.push_str("Paths without a map"),
    }
    out.push('\n');
    let recorded = total(paths, |path| {
        path.latency.iter().map(|latency| latency.commands).sum()
    });
    let completed = total(paths, |path| path.counts.completed);
    let (idle, shown): (Vec<_>, Vec<_>) = paths
        .iter()
        .partition(|path| first.path.map.is_none() && is_idle(path));
    // One has nothing to fold.
    let (idle, shown) = match idle.as_slice() {
        [_] => (Vec::new(), paths.iter().collect()),
        _ => (idle, shown),
    };
    let mut rows = Vec::new();
    for path in shown {
        rows.push(vec![path_heading(path, completed)]);
        for latency in path.latency.iter().filter(|latency| latency.commands > 0) {
            rows.push(row(latency, duration_ns, recorded));
        }
    }
    if !rows.is_empty() {
        out.push_str(&table::render(&COLUMNS, &rows, width, 2));
    }
    if let [first, .., last] = idle.as_slice() {
        let _ = writeln!(
            out,
            "  {} without a command: {} to {}",
            format::plural(idle.len() as u64, "path"),
            words::path(&first.path),
            words::path(&last.path)
        );
    }
    let histogram = histogram(paths, width);
    if !histogram.is_empty() {
        out.push_str("\n  Latency of reads and writes by access state at dispatch\n");
        out.push_str(&histogram);
    }
}

/// Whether a path is there and there is nothing to say of it.
fn is_idle(summary: &PathSummary) -> bool {
    summary.present && summary.counts == Counts::default()
}

/// `3:0:0:1 sdb  PG 1  TPG 1  AO*  62.1 %`.
fn path_heading(summary: &PathSummary, completed: u64) -> String {
    let path = &summary.path;
    let mut out = words::path(path);
    let _ = write!(out, "  PG {}", words::number(path.path_group));
    let _ = write!(
        out,
        "  TPG {}  {}",
        words::number(path.port_group),
        words::state_of(path)
    );
    if path.state != AccessState::Unknown {
        let _ = write!(out, " ({})", words::source(path.state_source));
    }
    if let Some(network) = &summary.network {
        out.push_str("  ");
        words::push_network(&mut out, network);
    }
    if !summary.present {
        out.push_str("  vanished");
    }
    if summary.counts.dispatched == 0 {
        out.push_str("  no commands");
    } else {
        let share = (completed > 0).then_some(summary.share);
        let _ = write!(out, "  {}", format::share(share));
    }
    out
}

fn row(latency: &Latency, duration_ns: u64, recorded: u64) -> Vec<String> {
    let per_s = |n: u64| n as f64 / (duration_ns as f64 / 1e9);
    vec![
        format!(
            "  {} {}",
            latency.state.short(),
            words::class(latency.class)
        ),
        format::count(latency.commands),
        format::rate(per_s(latency.commands)),
        format::mib(per_s(latency.bytes)),
        percentile(latency.p50_ns),
        percentile(latency.p99_ns),
        percentile(latency.p999_ns),
        format::latency(Some(latency.max_ns)),
        format::share(format::part(latency.commands, recorded)),
        format::count(latency.errors),
    ]
}

/// What too few commands to bound it would give is not shown.
fn percentile(ns: Option<u64>) -> String {
    ns.map_or_else(|| "too few".to_owned(), |ns| format::latency(Some(ns)))
}

fn total(paths: &[PathSummary], of: impl Fn(&PathSummary) -> u64) -> u64 {
    paths
        .iter()
        .fold(0, |sum, path| sum.saturating_add(of(path)))
}

const HOLD_COLUMNS: [Column; 5] = [
    label("map", 0),
    number("I/Os", 0),
    number("p50", 0),
    number("p99", 0),
    number("max", 0),
];

/// What waited in dm; empty when nothing did.
fn holds(summary: &Summary, width: u16) -> String {
    if summary.holds.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = summary
        .holds
        .iter()
        .map(|hold| {
            vec![
                safe::name(&hold.map),
                format::count(hold.commands),
                percentile(hold.p50_ns),
                percentile(hold.p99_ns),
                format::latency(Some(hold.max_ns)),
            ]
        })
        .collect();
    let mut out = String::from("Held in dm\n");
    out.push_str(&table::render(&HOLD_COLUMNS, &rows, width, 2));
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn a_trace_in_80_columns() {
        let shown = summary(&samples::summary(), samples::STARTED_AT_NS, 80);
        assert_eq!(shown, include_str!("golden/summary.txt"), "\n{shown}");
        assert!(shown.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn no_paths_and_no_io_are_said_in_words() {
        let mut empty = samples::summary();
        empty.flags.clear();
        for path in &mut empty.paths {
            path.counts = Default::default();
            path.latency.clear();
        }
        let shown = summary(&empty, 0, 80);
        assert!(
            shown.starts_with("No I/O was seen in 1 min 00 s on 3 paths.\n"),
            "{shown}"
        );
        assert!(
            shown.contains("3:0:0:1 sdb  PG 1  TPG 1  AO* (RTPG seen)  no commands"),
            "{shown}"
        );
        assert!(shown.contains("Flags\n  none\n"));
        empty.paths.clear();
        let shown = summary(&empty, 0, 80);
        assert!(
            shown.starts_with("No SCSI path was seen in 1 min 00 s.\n"),
            "{shown}"
        );
    }

    #[test]
    fn idle_paths_without_a_map_are_one_line() {
        let mut idle = samples::summary();
        for path in &mut idle.paths {
            (path.counts, path.path.map) = (Counts::default(), None);
            path.present = true;
            path.latency.clear();
        }
        let shown = summary(&idle, 0, 80);
        let folded = "Paths without a map\n  3 paths without a command: ";
        assert!(shown.contains(folded), "{shown}");
        assert!(!shown.contains("no commands"), "{shown}");
        idle.paths[0].counts.rejected = 1;
        idle.paths[1].present = false;
        let shown = summary(&idle, 0, 80);
        assert_eq!(shown.matches("no commands").count(), 3, "{shown}");
    }

    #[test]
    fn an_incomplete_trace_says_why() {
        let mut lossy = samples::summary();
        lossy.complete = false;
        lossy.losses.ring_full = 12;
        lossy.incomplete_because = vec!["the ring buffer was full\x1b[2J".to_owned()];
        let shown = summary(&lossy, 0, 80);
        assert!(
            shown.contains("  12 lost: 12 ring buffer full\n"),
            "{shown}"
        );
        assert!(
            shown.ends_with("  INCOMPLETE\n    the ring buffer was full\\x1b[2J\n"),
            "{shown}"
        );
    }

    #[test]
    fn nothing_that_was_named_reaches_the_terminal_raw() {
        let shown = summary(&samples::hostile_summary(), 0, 80);
        assert!(
            !shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)),
            "{shown:?}"
        );
        for width in [0, 1, 20, 300] {
            summary(&samples::hostile_summary(), 0, width);
        }
    }
}
