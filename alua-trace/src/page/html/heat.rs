//! Latency over time: a lane for each path, with a ribbon for its access state; above them flags and
//! transfers, beneath them dm's path groups.

use std::fmt::Write;

use super::{
    Lane, Map,
    draw::{self, BELOW, LEFT, Log, PLOT, Time},
    esc, numbers,
};
use crate::{
    evidence::{Evidence, timeline::Column},
    format,
    model::{AccessState, Class, Severity},
    stats::{self, quantile::bin_low_ns},
};

/// Shades, from few to most commands.
const SHADES: usize = 7;
const ROWS: usize = 26;
const ROW: f64 = 4.0;
const TITLE: f64 = 18.0;
const RIBBON: f64 = 8.0;
const GAP: f64 = 12.0;
const MARKS: f64 = 24.0;
const STRIP: f64 = 16.0;
/// Most marks that are drawn, so that a page stays small.
const MOST_MARKS: usize = 200;
const LANE: f64 = TITLE + RIBBON + 3.0 + ROWS as f64 * ROW + GAP;

/// Appends the chart of a map.
pub(super) fn draw(out: &mut String, evidence: &Evidence, map: &Map<'_>) {
    let Some((low, high)) = extent(map) else {
        return;
    };
    let scale = Log::new(low, high, ROWS as f64 * ROW);
    let time = Time::new(evidence.timeline.end_ns());
    let groups = groups(map);
    let lanes = map.lanes.len() as f64;
    let strips = if groups.is_empty() {
        0.0
    } else {
        groups.len() as f64 * STRIP + 6.0
    };
    let bottom = MARKS + lanes * LANE + strips;
    out.push_str("<figure><figcaption><h3>Latency over time</h3>");
    legend(out);
    out.push_str("</figcaption>");
    let words = format!("Latency over time of {}", esc(&map.title));
    draw::open(out, bottom + BELOW, &words);
    time.draw(out, MARKS, bottom);
    for (nth, lane) in map.lanes.iter().enumerate() {
        draw_lane(
            out,
            evidence,
            lane,
            &scale,
            &time,
            MARKS + nth as f64 * LANE,
        );
    }
    draw_groups(out, evidence, map, &groups, &time, MARKS + lanes * LANE);
    marks(out, evidence, map, &time, bottom);
    draw::close(out);
    out.push_str("</figure>\n");
}

fn legend(out: &mut String) {
    out.push_str("<p class=\"legend\">commands: few ");
    for shade in 1..=SHADES {
        let _ = write!(out, "<i class=\"key h{shade}\"></i>");
    }
    out.push_str(" most. State of the path: ");
    for state in ALL_STATES {
        let _ = write!(
            out,
            "<span class=\"item\"><i class=\"key {}\"></i>{}</span> ",
            state_class(state),
            state.short()
        );
    }
    out.push_str("<i class=\"key flag\"></i>warning <i class=\"key info\"></i>info <span class=\"mark\">▼</span> transfer</p>");
}

const ALL_STATES: [AccessState; 8] = stats::STATES;

fn state_class(state: AccessState) -> &'static str {
    match state {
        AccessState::Optimized => "s-ao",
        AccessState::NonOptimized => "s-an",
        AccessState::Standby => "s-sb",
        AccessState::Unavailable => "s-un",
        AccessState::LbaDependent => "s-ld",
        AccessState::Offline => "s-of",
        AccessState::Transitioning => "s-tr",
        AccessState::Unknown => "s-uk",
    }
}

/// Smallest and largest latency of the map's commands.
fn extent(map: &Map<'_>) -> Option<(u64, u64)> {
    let totals = map
        .lanes
        .iter()
        .flat_map(|lane| &lane.columns)
        .map(|it| it.total());
    totals
        .filter_map(|it| it.bins.min_ns().zip(it.bins.max_ns()))
        .reduce(|(low, high), (min, max)| (low.min(min), high.max(max)))
}

fn draw_lane(
    out: &mut String,
    evidence: &Evidence,
    lane: &Lane<'_>,
    scale: &Log,
    time: &Time,
    top: f64,
) {
    draw::text(out, "name", (LEFT, top + 13.0), &esc(&lane.title));
    let heat_top = top + TITLE + RIBBON + 3.0;
    ribbon(out, evidence, lane, time, top + TITLE);
    scale.draw(out, heat_top);
    cells(out, evidence, lane, scale, time, heat_top);
    let spans = &evidence.timeline.spans;
    for (span, column) in spans.iter().zip(&lane.columns) {
        let total = column.total();
        if total.bins.commands() == 0 {
            continue;
        }
        let from = (time.x(span.from_ns), top + TITLE);
        let to = (time.x(span.to_ns), heat_top + ROWS as f64 * ROW);
        draw::told(out, from, to, &words(&lane.title, *span, column));
    }
}

/// What a column says: `3:0:0:1 sdb, 12.0–13.0 s: 1,012 commands, 4.0 MiB/s; p50 …`.
pub(super) fn words(title: &str, span: crate::evidence::timeline::Span, column: &Column) -> String {
    let total = column.total();
    let seconds = span.length_ns() as f64 / 1e9;
    let commands = total.bins.commands();
    let mut out = format!(
        "{}, {}–{} s: {}, {} IOPS, {} MiB/s; p50 {}, p99 {}, max {}",
        esc(title),
        short(span.from_ns),
        short(span.to_ns),
        format::plural(commands, "command"),
        numbers::rate(commands as f64 / seconds),
        numbers::mib(total.bytes as f64 / seconds),
        percentile(total.bins.quantile(0.5).map(|it| it.value_ns)),
        percentile(total.bins.quantile(0.99).map(|it| it.value_ns)),
        format::latency(total.bins.max_ns()),
    );
    if total.errors > 0 {
        let _ = write!(out, ", {}", format::plural(total.errors, "error"));
    }
    out
}

/// A percentile, or that there were too few commands for it.
pub(super) fn percentile(ns: Option<u64>) -> String {
    ns.map_or_else(|| "too few".to_owned(), |ns| format::latency(Some(ns)))
}

fn short(ns: u64) -> String {
    format!("{}.{}", ns / 1_000_000_000, ns / 100_000_000 % 10)
}

fn ribbon(out: &mut String, evidence: &Evidence, lane: &Lane<'_>, time: &Time, top: f64) {
    let Some(path) = lane.path else { return };
    let stays = evidence.states.of(path);
    let end_ns = evidence.timeline.end_ns();
    for (nth, stay) in stays.iter().enumerate() {
        let from_ns = evidence.since_start_ns(stay.from_ns);
        let next = stays.get(nth + 1);
        let to_ns = next.map_or(end_ns, |next| evidence.since_start_ns(next.from_ns));
        let (x, to) = (time.x(from_ns), time.x(to_ns));
        let _ = write!(
            out,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"{RIBBON}\"/>",
            state_class(stay.state),
            (to - x).max(0.5),
        );
    }
}

/// Cells by shade: a path each.
fn cells(
    out: &mut String,
    evidence: &Evidence,
    lane: &Lane<'_>,
    scale: &Log,
    time: &Time,
    top: f64,
) {
    let rows: Vec<[u64; ROWS]> = lane
        .columns
        .iter()
        .map(|column| rows_of(column, scale))
        .collect();
    let most = rows.iter().flatten().copied().max().unwrap_or(0);
    let mut shades: [String; SHADES] = Default::default();
    for (span, rows) in evidence.timeline.spans.iter().zip(&rows) {
        let x = time.x(span.from_ns);
        let width = time.x(span.to_ns) - x;
        for (row, count) in rows.iter().enumerate().filter(|(_, count)| **count > 0) {
            let part = (1.0 + *count as f64).ln() / (1.0 + most as f64).ln();
            let shade = ((part * SHADES as f64).ceil() as usize).clamp(1, SHADES) - 1;
            let y = top + row as f64 * ROW;
            let _ = write!(
                shades[shade],
                "M{x:.1} {y:.0}h{width:.1}v{ROW}h-{width:.1}z"
            );
        }
    }
    for (nth, d) in (1..).zip(shades).filter(|(_, d)| !d.is_empty()) {
        let _ = write!(out, "<path class=\"h{nth}\" d=\"{d}\"/>");
    }
}

/// Commands in each row, from the slowest on.
fn rows_of(column: &Column, scale: &Log) -> [u64; ROWS] {
    let mut rows = [0_u64; ROWS];
    for (bound, count) in column.total().bins.iter() {
        let low = bin_low_ns(bound);
        let y = scale.y(low + (bound - low) / 2);
        let row = ((y / ROW) as usize).min(ROWS - 1);
        rows[row] = rows[row].saturating_add(count);
    }
    rows
}

/// dm's path groups that carried something.
fn groups(map: &Map<'_>) -> Vec<u32> {
    let columns = map.lanes.iter().flat_map(|lane| &lane.columns);
    let groups: std::collections::BTreeSet<u32> =
        columns.filter_map(|column| column.path_group).collect();
    groups.into_iter().collect()
}

/// Which path group carried the map's reads and writes: the more of them, the darker.
fn draw_groups(
    out: &mut String,
    evidence: &Evidence,
    map: &Map<'_>,
    groups: &[u32],
    time: &Time,
    top: f64,
) {
    for (nth, group) in groups.iter().enumerate() {
        let y = top + nth as f64 * STRIP;
        draw::text(
            out,
            "tick end",
            (LEFT - 6.0, y + 11.0),
            &format!("PG {group}"),
        );
        let _ = write!(
            out,
            "<rect class=\"strip\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{PLOT}\" height=\"{}\"/>",
            STRIP - 4.0
        );
        for (at, span) in evidence.timeline.spans.iter().enumerate() {
            let (of_group, all) = carried(map, at, *group);
            if of_group == 0 {
                continue;
            }
            let shade = of_group
                .saturating_mul(SHADES as u64)
                .div_ceil(all.max(1))
                .clamp(1, SHADES as u64);
            let (x, to) = (time.x(span.from_ns), time.x(span.to_ns));
            let part = numbers::share(format::part(of_group, all));
            let _ = write!(
                out,
                "<rect class=\"h{shade}\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"{}\"/>",
                to - x,
                STRIP - 4.0
            );
            let words = format!(
                "path group {group}, {}–{} s: {} of the map's reads and writes ({part})",
                short(span.from_ns),
                short(span.to_ns),
                format::count(of_group)
            );
            draw::told(out, (x, y), (to, y + STRIP - 4.0), &words);
        }
    }
}

/// Reads and writes that a path group carried in a column, and those of the map.
fn carried(map: &Map<'_>, at: usize, group: u32) -> (u64, u64) {
    let mut of_group = 0;
    let mut all = 0;
    for column in map.lanes.iter().filter_map(|lane| lane.columns.get(at)) {
        let io = column
            .seen
            .iter()
            .filter(|((class, _), _)| *class != Class::Other);
        let commands = stats::sum(io.map(|(_, seen)| seen.bins.commands()));
        all = stats::sum([all, commands]);
        if column.path_group == Some(group) {
            of_group = stats::sum([of_group, commands]);
        }
    }
    (of_group, all)
}

/// Flags as bars, transfers as lines, over all lanes.
fn marks(out: &mut String, evidence: &Evidence, map: &Map<'_>, time: &Time, bottom: f64) {
    let end_ns = evidence.timeline.end_ns();
    let flags = evidence
        .flags
        .values()
        .filter(|flag| map.is_about(&flag.subject));
    for flag in flags.take(MOST_MARKS) {
        let from_ns = evidence.since_start_ns(flag.first_at_ns);
        let to_ns = flag
            .ended_at_ns
            .map_or(end_ns, |at_ns| evidence.since_start_ns(at_ns));
        let (x, to) = (time.x(from_ns), time.x(to_ns.max(from_ns)));
        let words = format!(
            "flag #{} at {} s: {}",
            flag.id,
            short(from_ns),
            esc(&flag.text)
        );
        let info = if flag.severity == Severity::Info {
            " info"
        } else {
            ""
        };
        let _ = write!(
            out,
            "<rect class=\"flag{info}\" x=\"{x:.1}\" y=\"14\" width=\"{:.1}\" height=\"6\"><title>{words}</title></rect>",
            (to - x).max(2.0)
        );
    }
    let transfers = evidence
        .transfers
        .values()
        .filter(|it| map.is_about(&it.subject));
    for transfer in transfers.take(MOST_MARKS) {
        let at_ns = evidence.since_start_ns(transfer.started_at_ns);
        let x = time.x(at_ns);
        draw::line(out, "transfer", (x, 12.0), (x, bottom));
        let words = format!(
            "transfer #{} at {} s: {}",
            transfer.id,
            short(at_ns),
            esc(&transfer.sentence())
        );
        let _ = write!(
            out,
            "<path class=\"mark\" d=\"M{:.1} 2h10l-5 10z\"><title>{words}</title></path>",
            x - 5.0
        );
    }
}
