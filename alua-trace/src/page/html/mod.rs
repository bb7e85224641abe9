//! The report as one HTML page that needs nothing else: charts are drawn here as SVG, and its script only
//! shows and hides. Whatever a host is named, it comes out as text.

use std::fmt::Write;

use super::draw;
use crate::{
    evidence::{
        Evidence,
        timeline::Column,
        verdict::{self, Tone},
    },
    format,
    model::PathSummary,
    report::words,
    safe,
};

mod heat;
mod nines;
mod numbers;
mod series;
mod setup;
mod tables;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");
/// SHA-256 of what stands in the page's `script` element: a browser runs no other, and asks nobody for
/// anything, whatever a host's names may be.
const SCRIPT_SHA256: &str = "57mJCVhpJ/tMRoWnkRJbkgcwOAje7qMcz02ApGPWmLg=";
/// Paths whose lanes are drawn one by one, about; maps after that are drawn as a whole.
const MOST_LANES: usize = 16;
/// Colours of paths; further ones share the last.
const COLOURS: usize = 8;

/// The page.
pub fn page(evidence: &Evidence, name: &str) -> String {
    let title = safe::name(name);
    let mut body = String::new();
    head(&mut body, evidence, &safe::xml(&title));
    let maps = maps(evidence);
    sections(&mut body, evidence, &maps);
    document(&title, &body)
}

/// A page of these words and this body, which must be safe already.
pub(crate) fn document(title: &str, body: &str) -> String {
    let title = safe::xml(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; \
         style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{SCRIPT_SHA256}'\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <link rel=\"icon\" href=\"data:,\">\n\
         <title>{title} – alua-trace</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         {body}</main>\n<script>\n{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

fn head(out: &mut String, evidence: &Evidence, title: &str) {
    let start = &evidence.start;
    let _ = write!(
        out,
        "<header>\n<h1>{title}</h1>\n<p class=\"note\">{} · Linux {} · {}</p>\n</header>\n<section id=\"verdict\">\n",
        time::utc(start.wall_unix_ns),
        esc(&start.kernel),
        format::duration(evidence.summary.duration_ns)
    );
    out.push_str("<ul class=\"verdict\">\n");
    for sentence in verdict::sentences(evidence) {
        let class = match sentence.tone {
            Tone::Fine => "fine",
            Tone::Warning => "warning",
        };
        let _ = writeln!(out, "<li class=\"{class}\">{}</li>", esc(&sentence.text));
    }
    out.push_str("</ul>\n</section>\n");
}

fn sections(out: &mut String, evidence: &Evidence, maps: &[Map<'_>]) {
    let shares = verdict::shares(evidence);
    if maps.len() > 1 {
        section(out, "maps", "Maps", |out| tables::maps(out, maps, &shares));
    }
    for (nth, map) in maps.iter().enumerate() {
        draw_map(out, evidence, map, nth == 0 || maps.len() <= 4);
    }
    section(out, "transfers", "Transfers", |out| {
        tables::transfers(out, evidence)
    });
    section(out, "flags", "Flags", |out| tables::flags(out, evidence));
    section(out, "holds", "Held in dm", |out| {
        tables::holds(out, evidence)
    });
    section(out, "slowest", "Slowest commands", |out| {
        tables::slowest(out, evidence)
    });
    section(out, "account", "Account", |out| {
        tables::account(out, evidence)
    });
    section(out, "setup", "Set-up", |out| setup::draw(out, evidence));
}

fn section(out: &mut String, id: &str, title: &str, draw: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "<section id=\"{id}\">\n<h2>{title}</h2>");
    draw(out);
    out.push_str("</section>\n");
}

fn draw_map(out: &mut String, evidence: &Evidence, map: &Map<'_>, open: bool) {
    let open = if open { " open" } else { "" };
    let _ = writeln!(
        out,
        "<details class=\"map\" id=\"{}\"{open}><summary><h2>{}</h2><span class=\"note\">{}</span></summary>",
        map.anchor,
        esc(&map.title),
        esc(&map.subtitle)
    );
    if map.is_idle() {
        out.push_str("<p>No command completed on it.</p>\n");
    } else {
        heat::draw(out, evidence, map);
        if map.in_detail {
            series::latencies(out, evidence, map);
            series::rates(out, evidence, map);
            nines::draw(out, map);
        } else {
            let _ = writeln!(
                out,
                "<p class=\"note\">Drawn as a whole. Path by path: <code>alua-trace report --map {}</code></p>",
                esc(&map.title)
            );
        }
        tables::percentiles(out, evidence, map);
    }
    out.push_str("</details>\n");
}

/// A map with its paths, or the paths without one.
struct Map<'a> {
    name: Option<&'a String>,
    title: String,
    subtitle: String,
    anchor: String,
    paths: Vec<&'a PathSummary>,
    lanes: Vec<Lane<'a>>,
    /// Each path has its own lane.
    in_detail: bool,
    transfers: usize,
    flags: usize,
}

impl Map<'_> {
    fn is_about(&self, subject: &str) -> bool {
        self.name.is_some_and(|name| name == subject)
            || self
                .paths
                .iter()
                .any(|it| it.path.device.as_deref() == Some(subject))
    }

    fn is_idle(&self) -> bool {
        let mut latencies = self.paths.iter().flat_map(|path| &path.latency);
        latencies.all(|latency| latency.commands == 0)
    }
}

/// What is drawn as one.
struct Lane<'a> {
    title: String,
    /// In a list of many.
    short: &'a str,
    /// The path, where it is one.
    path: Option<u16>,
    columns: Vec<Column>,
}

/// Maps, those whose I/O was least optimized first.
fn maps(evidence: &Evidence) -> Vec<Map<'_>> {
    let mut lanes = 0;
    let shares = verdict::shares(evidence);
    let mut maps: Vec<Map<'_>> = Vec::new();
    for (nth, share) in shares.iter().enumerate() {
        let paths = evidence
            .summary
            .paths
            .iter()
            .filter(|it| it.path.map == share.map);
        let paths: Vec<&PathSummary> = paths.collect();
        let busy = paths
            .iter()
            .filter(|path| path.counts.completed > 0)
            .count();
        // Disks of the host that nobody uses are no map to look at.
        if share.map.is_none() && busy == 0 && shares.len() > 1 {
            continue;
        }
        let in_detail = maps.is_empty() || lanes + paths.len() <= MOST_LANES;
        if in_detail {
            lanes += paths.len();
        }
        maps.push(map_of(evidence, paths, nth, in_detail));
    }
    maps
}

fn map_of<'a>(
    evidence: &'a Evidence,
    paths: Vec<&'a PathSummary>,
    nth: usize,
    in_detail: bool,
) -> Map<'a> {
    let first = paths.first().map(|it| &it.path);
    let name = first.and_then(|path| path.map.as_ref());
    let wwid = first
        .and_then(|path| path.wwid.clone())
        .filter(|_| name.is_some());
    let dm = first.and_then(|path| path.dm.clone());
    let columns = evidence.timeline.spans.len();
    let lanes = if in_detail {
        paths.iter().map(|it| lane(evidence, it, columns)).collect()
    } else {
        vec![merged(evidence, &paths, columns)]
    };
    let subtitle = [dm, wwid]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("  ");
    let mut map = Map {
        name,
        title: name
            .cloned()
            .unwrap_or_else(|| "Paths without a map".to_owned()),
        subtitle,
        anchor: format!("map-{nth}"),
        paths,
        lanes,
        in_detail,
        transfers: 0,
        flags: 0,
    };
    map.transfers = evidence
        .transfers
        .values()
        .filter(|it| map.is_about(&it.subject))
        .count();
    map.flags = evidence
        .flags
        .values()
        .filter(|it| map.is_about(&it.subject))
        .count();
    map
}

fn lane<'a>(evidence: &Evidence, summary: &'a PathSummary, columns: usize) -> Lane<'a> {
    let path = &summary.path;
    let known = evidence.timeline.tracks.get(&path.id);
    let mut of_path = known.map_or_else(Vec::new, |track| track.columns.clone());
    of_path.resize_with(columns, Column::default);
    Lane {
        title: format!(
            "{} · PG {} · TPG {}",
            words::path(path),
            words::number(path.path_group),
            words::number(path.port_group)
        ),
        short: path.device.as_deref().unwrap_or(&path.hctl),
        path: Some(path.id),
        columns: of_path,
    }
}

fn merged<'a>(evidence: &Evidence, paths: &[&PathSummary], columns: usize) -> Lane<'a> {
    let mut all: Vec<Column> = Vec::new();
    all.resize_with(columns, Column::default);
    for path in paths {
        let track = evidence.timeline.tracks.get(&path.path.id);
        for (sum, column) in all
            .iter_mut()
            .zip(track.into_iter().flat_map(|it| &it.columns))
        {
            for (key, seen) in &column.seen {
                sum.seen.entry(*key).or_default().add(seen);
            }
        }
    }
    Lane {
        title: format::plural(paths.len() as u64, "path"),
        short: "",
        path: None,
        columns: all,
    }
}

/// The colour of a map's path.
fn colour(nth: usize) -> usize {
    nth.min(COLOURS - 1)
}

fn legend_of_lanes(out: &mut String, map: &Map<'_>) {
    out.push_str("<p class=\"legend\">");
    for (nth, lane) in map.lanes.iter().enumerate() {
        let _ = write!(
            out,
            "<span class=\"item\"><i class=\"key b{}\"></i>{}</span> ",
            colour(nth),
            esc(&lane.title)
        );
    }
    out.push_str("</p>");
}

/// Text from anywhere, as text of the page.
pub(crate) fn esc(text: &str) -> String {
    safe::xml(&safe::text(text, safe::TEXT_CHARS))
}

mod time {
    //! Points in time for people.

    /// `2026-11-28 20:31:05 UTC`, by the proleptic Gregorian calendar.
    pub(super) fn utc(unix_ns: u64) -> String {
        let seconds = unix_ns / 1_000_000_000;
        let (days, of_day) = (seconds / 86_400, seconds % 86_400);
        // H. Hinnant, "chrono-compatible low-level date algorithms": days from the first of March of year 0.
        let days = days + 719_468;
        let era = days / 146_097;
        let of_era = days % 146_097;
        let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        let year = year + era * 400 + u64::from(month <= 2);
        format!(
            "{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
            of_day / 3600,
            of_day / 60 % 60,
            of_day % 60
        )
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn days_are_those_of_the_calendar() {
            for (seconds, text) in [
                (0, "1970-01-01 00:00:00 UTC"),
                (951_826_154, "2000-02-29 12:09:14 UTC"),
                (1_795_898_465, "2026-11-28 20:41:05 UTC"),
                (4_107_542_399, "2100-02-28 23:59:59 UTC"),
                (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            ] {
                assert_eq!(super::utc(seconds * 1_000_000_000), text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn browsers_run_the_script_that_is_here() {
        let sum = STANDARD.encode(Sha256::digest(format!("\n{SCRIPT}")));
        assert_eq!(SCRIPT_SHA256, sum);
    }
}
