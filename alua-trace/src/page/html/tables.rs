//! The tables of the page: maps, percentiles, transfers, what dm held, the slowest commands, the account.

use std::fmt::Write;

use super::{Map, esc, heat::percentile, nines::name_of, numbers};
use crate::{
    evidence::{Evidence, verdict::MapShare},
    format,
    model::{Class, Command, Latency, Load, Path, PathSummary, Transfer},
    report::words,
    stats::quantile::TOLD,
};

/// Slowest commands that are shown, of all paths together.
const SLOWEST: usize = 25;
/// Transfers that are shown.
const TRANSFERS: usize = 200;

/// A table with these heads; cells of its rows are HTML.
pub(super) struct Table {
    out: String,
    rows: usize,
}

impl Table {
    pub(super) fn new(heads: &[&str]) -> Self {
        Self::of_class("numbers", heads)
    }

    /// Of words more than of numbers.
    pub(super) fn of_words(heads: &[&str]) -> Self {
        Self::of_class("words", heads)
    }

    fn of_class(class: &str, heads: &[&str]) -> Self {
        let mut out = format!("<div class=\"scroll\"><table class=\"{class}\"><thead><tr>");
        for head in heads {
            let _ = write!(out, "<th scope=\"col\">{head}</th>");
        }
        out.push_str("</tr></thead><tbody>\n");
        Self { out, rows: 0 }
    }

    pub(super) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows += 1;
        self.out.push_str("<tr>");
        for cell in cells {
            let _ = write!(self.out, "<td>{}</td>", cell.as_ref());
        }
        self.out.push_str("</tr>\n");
    }

    pub(super) fn end(mut self, out: &mut String) {
        self.out.push_str("</tbody></table></div>\n");
        if self.rows > 0 {
            out.push_str(&self.out);
        }
    }
}

/// Every map, with a link to what there is of it.
pub(super) fn maps(out: &mut String, maps: &[Map<'_>], shares: &[MapShare]) {
    let mut table = Table::new(&[
        "map",
        "paths",
        "reads and writes",
        "not optimized",
        "p50 optimized",
        "p50 not optimized",
        "transfers",
        "flags",
    ]);
    for map in maps {
        let share = shares.iter().find(|share| share.map.as_ref() == map.name);
        let number = |of: &dyn Fn(&MapShare) -> String| share.map_or_else(String::new, of);
        table.row([
            format!("<a href=\"#{}\">{}</a>", map.anchor, esc(&map.title)),
            format::count(map.paths.len() as u64),
            number(&|it| format::count(it.commands)),
            number(&|it| numbers::share(format::part(it.not_optimized, it.commands))),
            number(&|it| percentile(it.optimized_p50.map(|it| it.value_ns))),
            number(&|it| match it.not_optimized {
                0 => format::UNKNOWN.to_owned(),
                _ => percentile(it.not_optimized_p50.map(|it| it.value_ns)),
            }),
            format::count(map.transfers as u64),
            format::count(map.flags as u64),
        ]);
    }
    table.end(out);
}

/// Percentiles of a map's paths, by class and state.
pub(super) fn percentiles(out: &mut String, evidence: &Evidence, map: &Map<'_>) {
    let seconds = (evidence.summary.duration_ns as f64 / 1e9).max(1e-9);
    let mut heads = vec!["path", "PG", "TPG", "I/O", "commands", "IOPS", "MiB/s"];
    let names: Vec<String> = TOLD.iter().map(|at| name_of(*at)).collect();
    heads.extend(names.iter().map(String::as_str));
    heads.extend(["max", "errors"]);
    let mut table = Table::new(&heads);
    for path in &map.paths {
        for latency in path.latency.iter().filter(|it| it.commands > 0) {
            let mut cells = vec![
                esc(&words::path(&path.path)),
                words::number(path.path.path_group),
                words::number(path.path.port_group),
                format!("{} {}", latency.state.short(), words::class(latency.class)),
                format::count(latency.commands),
                numbers::rate(latency.commands as f64 / seconds),
                numbers::mib(latency.bytes as f64 / seconds),
            ];
            cells.extend(TOLD.iter().map(|at| quantile(latency, *at)));
            cells.push(format::latency(Some(latency.max_ns)));
            cells.push(format::count(latency.errors));
            table.row(cells);
        }
    }
    let idle = map
        .paths
        .iter()
        .filter(|path| path.latency.iter().all(|it| it.commands == 0))
        .count();
    table.end(out);
    if idle > 0 {
        let _ = writeln!(
            out,
            "<p class=\"note\">{} without a command.</p>",
            format::plural(idle as u64, "path")
        );
    }
}

/// A percentile with its interval below it.
fn quantile(latency: &Latency, at: f64) -> String {
    match latency.quantiles.iter().find(|it| it.quantile == at) {
        Some(it) => format!(
            "{}<small>{} to {}</small>",
            format::latency(Some(it.value_ns)),
            format::latency(Some(it.low_ns)),
            format::latency(Some(it.high_ns))
        ),
        None => "<i>too few</i>".to_owned(),
    }
}

/// Transfers, what they cost, and the I/O around them.
pub(super) fn transfers(out: &mut String, evidence: &Evidence) {
    if evidence.transfers.is_empty() {
        out.push_str("<p>No logical unit moved.</p>\n");
        return;
    }
    for transfer in evidence.transfers.values().take(TRANSFERS) {
        one_transfer(out, evidence, transfer);
    }
    let more = evidence.transfers.len().saturating_sub(TRANSFERS);
    if more > 0 {
        let _ = writeln!(
            out,
            "<p class=\"note\">And {}.</p>",
            format::plural(more as u64, "more transfer")
        );
    }
}

fn one_transfer(out: &mut String, evidence: &Evidence, transfer: &Transfer) {
    let at = format::elapsed(evidence.since_start_ns(transfer.started_at_ns));
    let _ = writeln!(
        out,
        "<h3>#{} at {at} s: {}</h3><p>{}.</p>",
        transfer.id,
        esc(&transfer.subject),
        esc(&transfer.sentence())
    );
    let mut table = Table::new(&["I/O", "commands", "IOPS", "p50", "p99"]);
    for (when, load) in [
        ("before", transfer.before),
        ("during", transfer.during),
        ("after", transfer.after),
    ] {
        if let Some(load) = load {
            table.row(load_cells(when, &load));
        }
    }
    table.end(out);
    if !transfer.evidence.is_empty() {
        out.push_str("<details><summary>Evidence</summary><ul>");
        for line in &transfer.evidence {
            let _ = write!(out, "<li>{}</li>", esc(line));
        }
        out.push_str("</ul></details>\n");
    }
}

fn load_cells(when: &str, load: &Load) -> [String; 5] {
    [
        when.to_owned(),
        format::count(load.commands),
        numbers::rate(load.iops),
        percentile(load.p50_ns),
        percentile(load.p99_ns),
    ]
}

/// I/O that waited in dm.
pub(super) fn holds(out: &mut String, evidence: &Evidence) {
    if evidence.summary.holds.is_empty() {
        out.push_str("<p>No I/O waited in dm for 1 ms or longer.</p>\n");
        return;
    }
    let mut table = Table::new(&["map", "I/Os", "p50", "p99", "max"]);
    for hold in &evidence.summary.holds {
        table.row([
            esc(&hold.map),
            format::count(hold.commands),
            percentile(hold.p50_ns),
            percentile(hold.p99_ns),
            format::latency(Some(hold.max_ns)),
        ]);
    }
    table.end(out);
}

/// The slowest commands of all paths.
pub(super) fn slowest(out: &mut String, evidence: &Evidence) {
    let mut all: Vec<(&Path, Class, &Command)> = Vec::new();
    for path in &evidence.summary.paths {
        for latency in &path.latency {
            all.extend(
                latency
                    .slowest
                    .iter()
                    .map(|it| (&path.path, latency.class, it)),
            );
        }
    }
    all.sort_by_key(|(_, _, it)| (std::cmp::Reverse(it.latency_ns), it.dispatched_at_ns));
    if all.is_empty() {
        out.push_str("<p>There was no command.</p>\n");
        return;
    }
    let mut table = Table::new(&[
        "latency",
        "command",
        "path",
        "state",
        "PG",
        "at",
        "block",
        "KiB",
        "retries",
        "sense",
        "result",
        "what happened around it",
    ]);
    for (path, class, command) in all.into_iter().take(SLOWEST) {
        table.row([
            format!("<b>{}</b>", format::latency(Some(command.latency_ns))),
            match class {
                Class::Other => format!("opcode {:02x}h", command.opcode),
                class => words::class(class).to_owned(),
            },
            esc(&words::path(path)),
            command.state.short().to_owned(),
            words::number(command.path_group),
            format!(
                "{} s",
                format::elapsed(evidence.since_start_ns(command.dispatched_at_ns))
            ),
            command.lba.map_or_else(String::new, format::count),
            format::count(u64::from(command.bytes) / 1024),
            format::count(command.retries.into()),
            command.sense.map_or_else(String::new, |[key, asc, ascq]| {
                format!("{key:02x}/{asc:02x}/{ascq:02x}")
            }),
            if command.result == 0 {
                String::new()
            } else {
                format!("{:#x}", command.result)
            },
            format!(
                "<span class=\"long\">{}</span>",
                esc(&command.around.join("; "))
            ),
        ]);
    }
    table.end(out);
}

/// Flags of the whole trace.
pub(super) fn flags(out: &mut String, evidence: &Evidence) {
    if evidence.flags.is_empty() {
        out.push_str("<p>None.</p>\n");
        return;
    }
    let mut table =
        Table::of_words(&["flag", "from", "for", "subject", "kind", "commands", "what"]);
    for flag in evidence.flags.values().take(TRANSFERS) {
        let from_ns = evidence.since_start_ns(flag.first_at_ns);
        let lasted = match flag.ended_at_ns {
            Some(at_ns) => format::duration(at_ns.saturating_sub(flag.first_at_ns)),
            None => "not ended".to_owned(),
        };
        table.row([
            format!("#{} {}", flag.id, words::severity(flag.severity)),
            format!("{} s", format::elapsed(from_ns)),
            lasted,
            esc(&flag.subject),
            format!("{} {}", words::last_verdict(flag), words::kind(flag.kind))
                .trim()
                .to_owned(),
            format::count(flag.commands),
            format!("<span class=\"long\">{}</span>", esc(&flag.text)),
        ]);
    }
    table.end(out);
}

/// What became of every command, and what was lost.
pub(super) fn account(out: &mut String, evidence: &Evidence) {
    let summary = &evidence.summary;
    let verdict = if summary.complete {
        "<p>Complete: every command is accounted for.</p>".to_owned()
    } else {
        let reasons = summary
            .incomplete_because
            .iter()
            .map(|why| format!("<li>{}</li>", esc(why)));
        format!(
            "<p class=\"warning\">Incomplete:</p><ul>{}</ul>",
            reasons.collect::<String>()
        )
    };
    out.push_str(&verdict);
    let mut table = Table::new(&[
        "path",
        "dispatched",
        "completed",
        "failed",
        "timed out",
        "not seen",
        "in flight",
        "recorded",
        "lost",
        "rejected",
    ]);
    let busy = |path: &&PathSummary| path.counts != crate::model::Counts::default();
    for path in summary.paths.iter().filter(busy) {
        let it = &path.counts;
        let numbers = [
            it.dispatched,
            it.completed,
            it.failed,
            it.timed_out,
            it.superseded.saturating_add(it.untracked),
            it.in_flight,
            it.recorded,
            it.ring_full.saturating_add(it.implausible),
            it.rejected,
        ];
        let path = std::iter::once(esc(&words::path(&path.path)));
        table.row(path.chain(numbers.map(format::count)));
    }
    table.end(out);
}
