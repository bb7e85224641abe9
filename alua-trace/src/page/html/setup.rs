//! The set-up that a trace was made under, and what moved in it.

use std::fmt::Write;

use serde_json::Value;

use super::{esc, tables::Table};
use crate::{evidence::Evidence, format, report::words, setup::Setup};

/// What the load printed is shown up to this.
const PRINTED_CHARS: usize = 20_000;
const VALUE_CHARS: usize = 2000;
/// Rows of the whole set-up: a host with hundreds of paths has tens of thousands.
const MOST_ROWS: usize = 3000;

/// Appends it.
pub(super) fn draw(out: &mut String, evidence: &Evidence) {
    facts(out, evidence);
    printed(out, evidence);
    probes(out, evidence);
    let Some(first) = evidence.setups.first() else {
        out.push_str("<p class=\"note\">The recording has no set-up in it.</p>\n");
        return;
    };
    queues(out, first);
    if let [first, last] = evidence.setups.as_slice() {
        moved(out, first, last);
    }
    whole(out, first);
}

fn facts(out: &mut String, evidence: &Evidence) {
    let mut rows: Vec<(&str, String)> = vec![
        ("alua-trace", evidence.start.version.clone()),
        ("kernel", evidence.start.kernel.clone()),
    ];
    if let Some(setup) = evidence.setups.first() {
        rows.push((
            "command line",
            setup.command_line.clone().unwrap_or_default(),
        ));
        rows.push(("CPUs online", setup.cpus.online.clone().unwrap_or_default()));
        let mut governors: Vec<&String> = setup.cpus.governors.values().collect();
        governors.dedup();
        let governors: Vec<&str> = governors.into_iter().map(String::as_str).collect();
        rows.push(("governors", governors.join(", ")));
    }
    if !evidence.meta.command.is_empty() {
        rows.push(("command", evidence.meta.command.join(" ")));
    }
    let labels = evidence.meta.labels.iter();
    rows.extend(labels.map(|(name, value)| (name.as_str(), value.clone())));
    out.push_str("<dl>");
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(out, "<dt>{}</dt><dd>{}</dd>", esc(name), esc(value));
    }
    out.push_str("</dl>\n");
}

fn printed(out: &mut String, evidence: &Evidence) {
    let printed = evidence.ending.as_ref().and_then(|it| it.printed.as_ref());
    let Some(printed) = printed.filter(|it| !it.text.is_empty()) else {
        return;
    };
    let lines = printed
        .text
        .lines()
        .map(|line| crate::safe::text(line, VALUE_CHARS));
    let text = lines.collect::<Vec<String>>().join("\n");
    let from = text.len().saturating_sub(PRINTED_CHARS);
    let from = (from..text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let _ = writeln!(
        out,
        "<details><summary>What the command printed</summary><pre>{}</pre></details>",
        crate::safe::xml(&text[from..])
    );
}

fn probes(out: &mut String, evidence: &Evidence) {
    out.push_str("<details><summary>Probes</summary>");
    let mut table = Table::of_words(&["probe", "hook", "status", "without it"]);
    for probe in &evidence.summary.probes {
        table.row([
            esc(&probe.name),
            esc(&probe.hook),
            format!("{} {}", words::status(probe.status), esc(&probe.reason)),
            esc(&probe.lost_without),
        ]);
    }
    table.end(out);
    out.push_str("</details>\n");
}

fn queues(out: &mut String, setup: &Setup) {
    let mut table = Table::new(&[
        "queue",
        "scheduler",
        "nr_requests",
        "rq_affinity",
        "max_sectors_kb",
        "read_ahead_kb",
        "nomerges",
    ]);
    for (name, queue) in &setup.queues {
        let number = |value: Option<u32>| value.map_or_else(String::new, |it| it.to_string());
        table.row([
            esc(name),
            esc(queue.scheduler.as_deref().unwrap_or_default()),
            number(queue.nr_requests),
            number(queue.rq_affinity),
            number(queue.max_sectors_kb),
            number(queue.read_ahead_kb),
            number(queue.nomerges),
        ]);
    }
    out.push_str("<details><summary>Queues</summary>");
    table.end(out);
    out.push_str("</details>\n");
}

/// What is another value at the end: retransmits, states.
fn moved(out: &mut String, first: &Setup, last: &Setup) {
    let (first, last) = (flat(first), flat(last));
    let mut table = Table::of_words(&["what", "at the start", "at the end"]);
    let mut rows = 0;
    for (name, value) in &last {
        let before = first
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value);
        if name != "at_ns" && before != Some(value) && rows < MOST_ROWS {
            rows += 1;
            let before = before.map_or_else(|| format::UNKNOWN.to_owned(), |it| esc(it));
            table.row([esc(name), before, esc(value)]);
        }
    }
    if rows > 0 {
        out.push_str("<h3>What changed during the trace</h3>");
        table.end(out);
    }
}

fn whole(out: &mut String, setup: &Setup) {
    out.push_str("<details><summary>Everything that was read</summary>");
    let mut table = Table::of_words(&["what", "value"]);
    for (name, value) in flat(setup).iter().take(MOST_ROWS) {
        table.row([
            esc(name),
            format!("<span class=\"long\">{}</span>", esc(value)),
        ]);
    }
    table.end(out);
    out.push_str("</details>\n");
}

/// Every value with where it stands: `inventory.maps[0].name`.
fn flat(setup: &Setup) -> Vec<(String, String)> {
    let mut out = Vec::new();
    if let Ok(value) = serde_json::to_value(setup) {
        flatten("", &value, &mut out);
    }
    out
}

fn flatten(at: &str, value: &Value, out: &mut Vec<(String, String)>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let dot = if at.is_empty() { "" } else { "." };
                flatten(&format!("{at}{dot}{name}"), value, out);
            }
        }
        Value::Array(values) => {
            for (nth, value) in values.iter().enumerate() {
                flatten(&format!("{at}[{nth}]"), value, out);
            }
        }
        Value::Null => {}
        Value::String(text) => out.push((at.to_owned(), text.clone())),
        other => out.push((at.to_owned(), other.to_string())),
    }
}
