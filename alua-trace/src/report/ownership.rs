//! Transfers in words, and the summary's timeline: who owned each logical unit when.

use std::fmt::Write;

use super::table::{self, Column, label, number, push_wrapped};
use crate::format;
use crate::model::{Load, Ownership, Tenure, Transfer, owners};
use crate::safe;

const COLUMNS: [Column; 7] = [
    label("owner", 0),
    number("from", 0),
    number("for", 0),
    number("I/Os", 3),
    number("IOPS", 0),
    number("p50", 1),
    number("p99", 2),
];

/// The section of the summary; empty when nobody told who owned what.
pub(super) fn section(units: &[Ownership], started_at_ns: u64, width: u16) -> String {
    if units.is_empty() {
        return String::new();
    }
    let mut out = String::from("Ownership\n");
    let mut stayed = 0;
    for unit in units {
        if unit.transfers.is_empty() {
            stayed += 1;
            continue;
        }
        push_unit(&mut out, unit, started_at_ns, width);
    }
    if stayed > 0 {
        let _ = writeln!(
            out,
            "  {} never moved",
            format::plural(stayed, "logical unit")
        );
    }
    out
}

fn push_unit(out: &mut String, unit: &Ownership, started_at_ns: u64, width: u16) {
    let _ = write!(out, "  {}", safe::name(&unit.subject));
    if let Some(wwid) = &unit.wwid {
        let _ = write!(out, "  {}", safe::name(wwid));
    }
    out.push('\n');
    let rows: Vec<Vec<String>> = unit
        .tenures
        .iter()
        .map(|tenure| row(tenure, started_at_ns))
        .collect();
    out.push_str(&table::render(&COLUMNS, &rows, width, 4));
    if unit.transfers_left_out > 0 {
        let left_out = format::plural(unit.transfers_left_out, "earlier transfer");
        let _ = writeln!(out, "    {left_out} left out");
    }
    for transfer in &unit.transfers {
        push_transfer(out, transfer, started_at_ns, width);
    }
}

fn row(tenure: &Tenure, started_at_ns: u64) -> Vec<String> {
    let load = &tenure.load;
    vec![
        safe::name(&owners(&tenure.owner)),
        since(tenure.began_at_ns, started_at_ns),
        format::duration(tenure.ended_at_ns.saturating_sub(tenure.began_at_ns)),
        format::count(load.commands),
        format::rate(load.iops),
        format::latency(load.p50_ns),
        format::latency(load.p99_ns),
    ]
}

fn push_transfer(out: &mut String, transfer: &Transfer, started_at_ns: u64, width: u16) {
    let at = since(transfer.started_at_ns, started_at_ns);
    let title = format!(
        "#{} at {at}: {}",
        transfer.id,
        safe::sentence(&transfer.sentence())
    );
    push_wrapped(out, &title, width, 4);
    let loads = loads(transfer);
    if !loads.is_empty() {
        push_wrapped(out, &loads, width, 7);
    }
    for evidence in &transfer.evidence {
        push_wrapped(out, &safe::sentence(evidence), width, 7);
    }
}

/// `I/O before 12,345 IOPS p50 87.2 µs p99 140 µs; during 0 IOPS …; after …`.
fn loads(transfer: &Transfer) -> String {
    let mut out = String::new();
    for (when, load) in [
        ("before", &transfer.before),
        ("during", &transfer.during),
        ("after", &transfer.after),
    ] {
        if let Some(load) = load {
            out.push_str(if out.is_empty() { "I/O " } else { "; " });
            out.push_str(when);
            push_load(&mut out, load);
        }
    }
    out
}

fn push_load(out: &mut String, load: &Load) {
    let _ = write!(out, " {} IOPS", format::rate(load.iops));
    for (name, ns) in [("p50", load.p50_ns), ("p99", load.p99_ns)] {
        if ns.is_some() {
            let _ = write!(out, " {name} {}", format::latency(ns));
        }
    }
}

fn since(at_ns: u64, started_at_ns: u64) -> String {
    format!("{} s", format::elapsed(at_ns.saturating_sub(started_at_ns)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Cause, Impact};
    use crate::report::samples::{self, STARTED_AT_NS};

    #[test]
    fn the_timeline_of_a_unit_that_moved() {
        let mut stays = samples::ownership();
        stays.transfers.clear();
        let shown = section(&[samples::ownership(), stays], STARTED_AT_NS, 80);
        let expected = "\
Ownership
  mpatha  naa.600a098038303053
    owner      from     for     I/Os    IOPS      p50     p99
    TPG 1   0.000 s  12.0 s  120,000  10,000  87.2 µs  140 µs
    TPG 2  15.000 s  45.0 s  120,000   4,000  87.2 µs  140 µs
    3 earlier transfers left out
    #1 at 12.000 s: moved from TPG 1 to TPG 2 in 3.00 s by sg_stpg[123]
      (local-explicit); 16 I/Os delayed by 48.0 s in all, 3.00 s at most, 4 of
      them held in dm, 16 retried
       I/O before 10,000 IOPS p50 87.2 µs p99 174 µs; during 0 IOPS; after 4,000
         IOPS p50 1.94 ms p99 3.88 ms
       +0 ns: sg_stpg[123] sent SET TARGET PORT GROUPS (TPG 2 to own) on 0:0:1:0
  1 logical unit never moved
";
        assert_eq!(shown, expected, "\n{shown}");
        assert_eq!(section(&[], 0, 80), "");
    }

    #[test]
    fn what_is_not_known_is_said() {
        let mut transfer = samples::transfer();
        transfer.cause = Cause::Unknown;
        transfer.to.clear();
        transfer.ended_at_ns = transfer.started_at_ns;
        transfer.impact = None;
        assert_eq!(
            transfer.sentence(),
            "moved from TPG 1 to no side, by whom is not known"
        );
        transfer.impact = Some(Impact::default());
        assert!(transfer.sentence().ends_with("; no I/O delayed"));
    }
}
