//! The slowest commands of a trace: which they were, where they went, and what became of them.

use std::fmt::Write;

use super::table::{self, Column, label, number};
use super::words;
use crate::format;
use crate::model::{Class, Command, Path, Summary};
use crate::safe;

/// How many are shown, of all paths together.
const SHOWN: usize = 5;
const COLUMNS: [Column; 8] = [
    number("latency", 0),
    label("command", 0),
    label("path", 0),
    label("state", 0),
    number("at", 2),
    number("block", 3),
    number("KiB", 4),
    label("", 1),
];

/// One of them.
struct Slow<'a> {
    path: &'a Path,
    class: Class,
    command: &'a Command,
}

/// The section of the summary; empty without commands.
pub fn section(summary: &Summary, started_at_ns: u64, width: u16) -> String {
    let mut slowest: Vec<Slow<'_>> = summary.paths.iter().flat_map(of_path).collect();
    slowest.sort_by_key(|it| {
        (
            std::cmp::Reverse(it.command.latency_ns),
            it.command.dispatched_at_ns,
        )
    });
    slowest.truncate(SHOWN);
    if slowest.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = slowest.iter().map(|it| row(it, started_at_ns)).collect();
    let mut out = String::from("Slowest commands\n");
    out.push_str(&table::render(&COLUMNS, &rows, width, 2));
    for slow in slowest.iter().filter(|it| !it.command.around.is_empty()) {
        push_around(&mut out, slow, width);
    }
    out
}

/// What happened around a command, as seen from its dispatch.
fn push_around(out: &mut String, slow: &Slow<'_>, width: u16) {
    let latency = format::latency(Some(slow.command.latency_ns));
    let noted = slow.command.around.join("; ");
    let text = format!("around the one of {latency}: {noted}");
    table::push_wrapped(out, &safe::sentence(&text), width, 4);
}

fn of_path(summary: &crate::model::PathSummary) -> impl Iterator<Item = Slow<'_>> {
    summary.latency.iter().flat_map(|latency| {
        latency.slowest.iter().map(|command| Slow {
            path: &summary.path,
            class: latency.class,
            command,
        })
    })
}

fn row(slow: &Slow<'_>, started_at_ns: u64) -> Vec<String> {
    let command = slow.command;
    let since_ns = command.dispatched_at_ns.saturating_sub(started_at_ns);
    vec![
        format::latency(Some(command.latency_ns)),
        match slow.class {
            Class::Other => format!("opcode {:02x}h", command.opcode),
            class => words::class(class).to_owned(),
        },
        words::path(slow.path),
        command.state.short().to_owned(),
        format!("{} s", format::elapsed(since_ns).trim()),
        command.lba.map_or_else(String::new, format::count),
        format::count(u64::from(command.bytes) / 1024),
        became(command),
    ]
}

/// What became of it, beside taking long.
fn became(command: &Command) -> String {
    let mut out = String::new();
    if command.retries > 0 {
        let _ = write!(out, "retry {}  ", command.retries);
    }
    if let Some([key, asc, ascq]) = command.sense {
        let _ = write!(out, "sense {key:02x}/{asc:02x}/{ascq:02x}  ");
    }
    if command.result != 0 {
        let _ = write!(out, "result {:#x}  ", command.result);
    }
    if command.passthrough {
        out.push_str("not block I/O");
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AccessState, StateSource};
    use crate::report::samples;

    fn command(latency_ns: u64) -> Command {
        Command {
            path: 1,
            hctl: "3:0:0:1".to_owned(),
            dm_devno: None,
            path_group: None,
            opcode: 0x28,
            cdb1: 0,
            cdb2: 0,
            bytes: 8192,
            lba: Some(4096),
            dispatched_at_ns: samples::STARTED_AT_NS + 1_500_000_000,
            latency_ns,
            state: AccessState::NonOptimized,
            state_source: StateSource::RtpgSeen,
            result: 2,
            sense: Some([6, 0x2a, 6]),
            retries: 1,
            passthrough: false,
            around: vec!["+5.00 ms: dm failed 3:0:0:1\x1b".to_owned()],
        }
    }

    #[test]
    fn the_slowest_of_all_paths_comes_first() {
        let mut summary = samples::summary();
        for (path, latency_ns) in summary.paths.iter_mut().zip([2_000_000, 300_000_000]) {
            let slowest = (0..4).map(|less| command(latency_ns - less * 1000));
            path.latency[0].slowest = slowest.collect();
        }
        let shown = section(&summary, samples::STARTED_AT_NS, 100);
        let rows: Vec<&str> = shown.lines().skip(2).collect();
        assert_eq!(rows.len(), 2 * SHOWN, "{shown}");
        let around = "around the one of 300 ms: +5.00 ms: dm failed 3:0:0:1\\x1b";
        assert!(rows[SHOWN].contains(around), "{shown}");
        assert!(rows[0].trim_start().starts_with("300 ms"), "{shown}");
        for part in [
            "read",
            "AN",
            "1.500 s",
            "4,096",
            "retry 1",
            "sense 06/2a/06",
            "result 0x2",
        ] {
            assert!(rows[0].contains(part), "{part}: {shown}");
        }
        assert!(rows[4].trim_start().starts_with("2.00 ms"), "{shown}");
    }

    #[test]
    fn without_commands_there_is_nothing_to_say() {
        let mut summary = samples::summary();
        for latency in summary.paths.iter_mut().flat_map(|it| &mut it.latency) {
            latency.slowest.clear();
        }
        assert_eq!(section(&summary, 0, 100), "");
    }
}
