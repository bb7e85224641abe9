//! Lines over time: p50, p99 and max of each path, and what each path carried.

use std::fmt::Write;

use super::{
    Lane, Map,
    draw::{self, BELOW, LEFT, Linear, Log, Time},
    esc, heat, numbers,
};
use crate::{
    evidence::{
        Evidence,
        timeline::{Column, Span},
    },
    format,
};

const LANE: f64 = 84.0;
const TITLE: f64 = 18.0;
const GAP: f64 = 10.0;
const PLAIN: f64 = 140.0;

/// Appends p50, p99 and max over time, a lane for each path.
pub(super) fn latencies(out: &mut String, evidence: &Evidence, map: &Map<'_>) {
    let Some((low, high)) = extent(map) else {
        return;
    };
    let time = Time::new(evidence.timeline.end_ns());
    let scale = Log::new(low, high, LANE - TITLE - GAP);
    let bottom = map.lanes.len() as f64 * LANE;
    out.push_str(
        "<figure><figcaption><h3>p50, p99 and max over time</h3><p class=\"legend\">\
         <i class=\"key l-p50\"></i>p50 <i class=\"key l-p99\"></i>p99 <i class=\"key l-max\"></i>max; a line \
         is interrupted where commands were too few for it</p></figcaption>",
    );
    let words = format!("p50, p99 and max over time of {}", esc(&map.title));
    draw::open(out, bottom + BELOW, &words);
    time.draw(out, 0.0, bottom);
    for (nth, lane) in map.lanes.iter().enumerate() {
        let top = nth as f64 * LANE;
        draw::text(out, "name", (LEFT, top + 13.0), &esc(&lane.title));
        latency_lane(out, evidence, lane, &scale, &time, top + TITLE);
    }
    draw::close(out);
    out.push_str("</figure>\n");
}

fn extent(map: &Map<'_>) -> Option<(u64, u64)> {
    let totals = map
        .lanes
        .iter()
        .flat_map(|lane| &lane.columns)
        .map(Column::total);
    totals
        .filter_map(|it| {
            let low = it
                .bins
                .quantile(0.5)
                .map(|it| it.value_ns)
                .or(it.bins.max_ns())?;
            Some((low, it.bins.max_ns()?))
        })
        .reduce(|(low, high), (min, max)| (low.min(min), high.max(max)))
}

fn latency_lane(
    out: &mut String,
    evidence: &Evidence,
    lane: &Lane<'_>,
    scale: &Log,
    time: &Time,
    top: f64,
) {
    scale.draw(out, top);
    let spans = &evidence.timeline.spans;
    let totals: Vec<(Span, crate::evidence::timeline::Seen)> = spans
        .iter()
        .copied()
        .zip(lane.columns.iter().map(Column::total))
        .collect();
    let points = |of: &dyn Fn(&crate::evidence::timeline::Seen) -> Option<u64>| {
        let points = totals.iter().map(|(span, seen)| {
            let x = (time.x(span.from_ns) + time.x(span.to_ns)) / 2.0;
            of(seen).map(|ns| (x, top + scale.y(ns)))
        });
        points.collect::<Vec<_>>()
    };
    let quantile = |at: f64| {
        move |seen: &crate::evidence::timeline::Seen| seen.bins.quantile(at).map(|it| it.value_ns)
    };
    draw::curve(out, "l-max", points(&|seen| seen.bins.max_ns()).into_iter());
    draw::curve(out, "l-p99", points(&quantile(0.99)).into_iter());
    draw::curve(out, "l-p50", points(&quantile(0.5)).into_iter());
    for (span, column) in spans.iter().zip(&lane.columns) {
        if column.total().bins.commands() > 0 {
            let from = (time.x(span.from_ns), top);
            let to = (time.x(span.to_ns), top + LANE - TITLE - GAP);
            draw::told(out, from, to, &heat::words(&lane.title, *span, column));
        }
    }
}

/// What is drawn of a path that carries something.
struct Rate {
    title: &'static str,
    unit: &'static str,
    of: fn(&Column, f64) -> f64,
    say: fn(f64) -> String,
}

const RATES: [Rate; 2] = [
    Rate {
        title: "IOPS over time",
        unit: "IOPS",
        of: |column, seconds| column.total().bins.commands() as f64 / seconds,
        say: numbers::rate,
    },
    Rate {
        title: "MiB/s over time",
        unit: "MiB/s",
        of: |column, seconds| column.total().bytes as f64 / seconds / 1_048_576.0,
        say: |mib| numbers::mib(mib * 1_048_576.0),
    },
];

/// Appends IOPS and MiB/s over time, a line for each path.
pub(super) fn rates(out: &mut String, evidence: &Evidence, map: &Map<'_>) {
    for rate in &RATES {
        draw_rate(out, evidence, map, rate);
    }
}

fn draw_rate(out: &mut String, evidence: &Evidence, map: &Map<'_>, rate: &Rate) {
    let spans = &evidence.timeline.spans;
    let value = |lane: &Lane<'_>, at: usize| {
        let seconds = spans
            .get(at)
            .map_or(1.0, |span| span.length_ns() as f64 / 1e9);
        lane.columns
            .get(at)
            .map_or(0.0, |column| (rate.of)(column, seconds))
    };
    let all = map
        .lanes
        .iter()
        .flat_map(|lane| (0..spans.len()).map(move |at| (lane, at)));
    let high = all.map(|(lane, at)| value(lane, at)).fold(0.0, f64::max);
    if high <= 0.0 {
        return;
    }
    let (time, scale) = (
        Time::new(evidence.timeline.end_ns()),
        Linear::new(high, PLAIN),
    );
    let _ = write!(out, "<figure><figcaption><h3>{}</h3>", rate.title);
    super::legend_of_lanes(out, map);
    out.push_str("</figcaption>");
    let words = format!("{} of {}", rate.title, esc(&map.title));
    draw::open(out, PLAIN + 8.0 + BELOW, &words);
    time.draw(out, 8.0, PLAIN + 8.0);
    scale.draw(out, 8.0);
    for (nth, lane) in map.lanes.iter().enumerate() {
        let points = spans.iter().enumerate().map(|(at, span)| {
            let x = (time.x(span.from_ns) + time.x(span.to_ns)) / 2.0;
            Some((x, 8.0 + scale.y(value(lane, at))))
        });
        draw::curve(out, &format!("line p{}", super::colour(nth)), points);
    }
    for (at, span) in spans.iter().enumerate() {
        let from = (time.x(span.from_ns), 8.0);
        let to = (time.x(span.to_ns), PLAIN + 8.0);
        let mut words = format!(
            "{}–{} s, {}:",
            format::elapsed(span.from_ns),
            format::elapsed(span.to_ns),
            rate.unit
        );
        let of_all: f64 = map.lanes.iter().map(|lane| value(lane, at)).sum();
        for lane in &map.lanes {
            let carried = value(lane, at);
            if carried > 0.0 {
                let _ = write!(words, " {} {},", esc(lane.short), (rate.say)(carried));
            }
        }
        let _ = write!(words, " all {}", (rate.say)(of_all));
        draw::told(out, from, to, &words);
    }
    draw::close(out);
    out.push_str("</figure>\n");
}
