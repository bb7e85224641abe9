//! The account: what became of every command, checked path by path, and what was lost.

use super::table::{self, Column, label, number};
use super::words;
use crate::format;
use crate::model::{Counts, PathSummary, Probe, ProbeStatus, Summary};
use crate::safe;

/// A column, and whether it may be left out when all of it is zero. Nothing else is ever left out,
/// however narrow the terminal: the sums would no longer be right.
const COLUMNS: [(Column, bool); 11] = [
    (label("path", 0), false),
    (number("dispatched", 0), false),
    (number("= completed", 0), false),
    (number("+ failed", 0), true),
    (number("+ timed out", 0), true),
    (number("+ not seen", 0), true),
    (number("+ in flight", 0), true),
    (number("recorded", 0), false),
    (number("+ lost", 0), true),
    (number("rejected", 0), true),
    (label("", 0), false),
];

/// The whole section.
pub(super) fn section(summary: &Summary, width: u16) -> String {
    let mut out = String::from("Account\n");
    let rows: Vec<Vec<String>> = summary
        .paths
        .iter()
        .filter(|path| path.counts != Counts::default())
        .map(row)
        .collect();
    if !rows.is_empty() {
        let (columns, rows) = without_zeros(rows);
        out.push_str(&table::render(&columns, &rows, width, 2));
    }
    push_losses(&mut out, summary);
    push_probes(&mut out, &summary.probes, width);
    push_verdict(&mut out, summary, width);
    out
}

fn without_zeros(rows: Vec<Vec<String>>) -> (Vec<Column>, Vec<Vec<String>>) {
    let used = |i: usize| {
        rows.iter()
            .any(|row| row.get(i).is_some_and(|cell| cell != "0"))
    };
    let kept: Vec<bool> = COLUMNS
        .iter()
        .enumerate()
        .map(|(i, (_, optional))| !optional || used(i))
        .collect();
    let columns = COLUMNS
        .iter()
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .map(|((column, _), _)| *column);
    let keep = |row: Vec<String>| {
        row.into_iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(cell, _)| cell)
            .collect()
    };
    (columns.collect(), rows.into_iter().map(keep).collect())
}

fn row(path: &PathSummary) -> Vec<String> {
    let counts = &path.counts;
    vec![
        words::path(&path.path),
        format::count(counts.dispatched),
        format::count(counts.completed),
        format::count(counts.failed),
        format::count(counts.timed_out),
        format::count(counts.superseded.saturating_add(counts.untracked)),
        format::count(counts.in_flight),
        format::count(counts.recorded),
        format::count(counts.ring_full.saturating_add(counts.implausible)),
        format::count(counts.rejected),
        mismatch(counts),
    ]
}

/// Empty when both equations of [`Counts`] hold.
fn mismatch(counts: &Counts) -> String {
    let ends = [
        counts.completed,
        counts.failed,
        counts.timed_out,
        counts.superseded,
        counts.untracked,
        counts.in_flight,
    ];
    let ends: i128 = ends.into_iter().map(i128::from).sum();
    let records = [counts.recorded, counts.ring_full, counts.implausible];
    let records: i128 = records.into_iter().map(i128::from).sum();
    let off = [
        i128::from(counts.dispatched) - ends,
        i128::from(counts.completed) - records,
    ];
    match off {
        [0, 0] => String::new(),
        [0, off] | [off, _] => format!("off by {off}"),
    }
}

fn push_losses(out: &mut String, summary: &Summary) {
    out.push_str("  ");
    words::push_losses(out, &summary.losses);
    out.push('\n');
    if summary.losses.unmatched_ends > 0 {
        let ended = format::plural(summary.losses.unmatched_ends, "command");
        out.push_str(&format!(
            "  {ended} from before the trace ended during it: not counted\n"
        ));
    }
}

fn push_probes(out: &mut String, probes: &[Probe], width: u16) {
    let missing = [ProbeStatus::Unsupported, ProbeStatus::Broken];
    for probe in probes
        .iter()
        .filter(|probe| missing.contains(&probe.status))
    {
        let text = format!(
            "probe {} {}: {}; without it: {}",
            probe.name,
            words::status(probe.status),
            probe.reason,
            probe.lost_without
        );
        table::push_wrapped(out, &safe::sentence(&text), width, 2);
    }
}

fn push_verdict(out: &mut String, summary: &Summary, width: u16) {
    let balanced = summary
        .paths
        .iter()
        .all(|path| mismatch(&path.counts).is_empty());
    if summary.complete && balanced && !words::lost_anything(&summary.losses) {
        out.push_str("  complete: every command is accounted for\n");
        return;
    }
    out.push_str("  INCOMPLETE\n");
    for reason in &summary.incomplete_because {
        table::push_wrapped(out, &safe::sentence(reason), width, 4);
    }
    if !balanced {
        out.push_str("    the counts of a path do not add up\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_that_do_not_add_up_are_named() {
        let mut counts = Counts {
            dispatched: 10,
            completed: 7,
            failed: 1,
            in_flight: 2,
            recorded: 6,
            ring_full: 1,
            ..Counts::default()
        };
        assert_eq!(mismatch(&counts), "");
        counts.dispatched = 12;
        assert_eq!(mismatch(&counts), "off by 2");
        counts.dispatched = 10;
        counts.recorded = u64::MAX;
        assert_eq!(mismatch(&counts), "off by -18446744073709551609");
    }
}
