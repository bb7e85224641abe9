//! Latency by percentile: an axis of nines, which shows the tail as far as the commands carry it.

use std::fmt::Write;

use super::{
    Map, colour,
    draw::{self, BELOW, LEFT, Log, PLOT},
    esc,
};
use crate::{
    format,
    model::{AccessState, Class, Latency, PathSummary, Quantile},
    report::words,
    stats::quantile::is_carried,
};

const HEIGHT: f64 = 260.0;
const TOP: f64 = 8.0;
const TICKS: [(f64, &str); 6] = [
    (0.0, "0"),
    (0.9, "p90"),
    (0.99, "p99"),
    (0.999, "p99.9"),
    (0.9999, "p99.99"),
    (0.99999, "p99.999"),
];
/// Points of a line are at least so far apart.
const APART: f64 = 1.5;

/// One line.
struct Series<'a> {
    path: &'a PathSummary,
    latency: &'a Latency,
    colour: usize,
}

/// Appends a chart for each class of commands that the map saw enough of.
pub(super) fn draw(out: &mut String, map: &Map<'_>) {
    for class in [Class::Read, Class::Write] {
        let series: Vec<Series<'_>> = map
            .paths
            .iter()
            .enumerate()
            .flat_map(|(nth, path)| {
                path.latency
                    .iter()
                    .filter(move |it| it.class == class && is_carried(it.commands, 0.5))
                    .map(move |latency| Series {
                        path,
                        latency,
                        colour: colour(nth),
                    })
            })
            .collect();
        if !series.is_empty() {
            chart(out, map, class, &series);
        }
    }
}

fn chart(out: &mut String, map: &Map<'_>, class: Class, series: &[Series<'_>]) {
    let tails = series
        .iter()
        .map(|it| nines(last_quantile(it.latency.commands)));
    let most = tails.fold(2.0, f64::max).ceil().min(6.0);
    let x = |quantile: f64| LEFT + nines_of(quantile, most) * PLOT;
    let low = series.iter().map(|it| it.latency.min_ns).min().unwrap_or(1);
    let ends = series.iter().flat_map(|it| {
        let bars = it.latency.quantiles.iter().map(|it| it.high_ns);
        bars.chain(points(it.latency, &x).last().map(|(_, ns)| *ns))
    });
    let high = ends.max().unwrap_or(1);
    let scale = Log::new(low, high, HEIGHT);
    let what = words::class(class);
    let _ = write!(
        out,
        "<figure><figcaption><h3>Latency by percentile, {what}s</h3>\
         <p class=\"legend\">solid AO, dashed AN, dotted other states; bars are 95 % intervals; a line ends \
         where the commands are too few</p>"
    );
    legend(out, series);
    out.push_str("</figcaption>");
    let name = format!("Latency by percentile, {what}s of {}", esc(&map.title));
    draw::open(out, HEIGHT + TOP + BELOW, &name);
    for (quantile, tick) in TICKS
        .iter()
        .filter(|(quantile, _)| nines(*quantile) <= most)
    {
        draw::line(
            out,
            "grid",
            (x(*quantile), TOP),
            (x(*quantile), TOP + HEIGHT),
        );
        draw::text(out, "tick mid", (x(*quantile), TOP + HEIGHT + 15.0), tick);
    }
    draw::line(out, "grid", (x(0.5), TOP), (x(0.5), TOP + HEIGHT));
    draw::text(out, "tick mid", (x(0.5), TOP + HEIGHT + 15.0), "p50");
    scale.draw(out, TOP);
    for it in series {
        draw_series(out, it, &scale, &x);
    }
    draw::close(out);
    out.push_str("</figure>\n");
}

fn legend(out: &mut String, series: &[Series<'_>]) {
    out.push_str("<p class=\"legend series\">");
    for it in series {
        let _ = write!(
            out,
            "<button type=\"button\" aria-pressed=\"true\" data-show=\"{}\">\
             <i class=\"key b{}\"></i>{} {} {}</button> ",
            key(it),
            it.colour,
            esc(&words::path(&it.path.path)),
            it.latency.state.short(),
            format::plural(it.latency.commands, "command"),
        );
    }
    out.push_str("</p>");
}

/// What a button and its line have in common.
fn key(it: &Series<'_>) -> String {
    format!("{}-{}", it.path.path.id, it.latency.state.short())
}

fn draw_series(out: &mut String, it: &Series<'_>, scale: &Log, x: &dyn Fn(f64) -> f64) {
    let dash = match it.latency.state {
        AccessState::Optimized => "",
        AccessState::NonOptimized => " dashed",
        _ => " dotted",
    };
    let _ = write!(out, "<g data-series=\"{}\">", key(it));
    let class = format!("line p{}{dash}", it.colour);
    let points = points(it.latency, x).into_iter();
    draw::curve(
        out,
        &class,
        points.map(|(x, ns)| Some((x, TOP + scale.y(ns)))),
    );
    for quantile in &it.latency.quantiles {
        let at = x(quantile.quantile);
        let (high, low) = (
            TOP + scale.y(quantile.high_ns),
            TOP + scale.y(quantile.low_ns),
        );
        draw::line(out, &format!("line p{}", it.colour), (at, high), (at, low));
        let words = words_of(it, quantile);
        draw::told(out, (at - 6.0, high - 6.0), (at + 6.0, low + 6.0), &words);
    }
    out.push_str("</g>");
}

fn words_of(it: &Series<'_>, quantile: &Quantile) -> String {
    format!(
        "{} {} {}: {} {} [{} to {}] of {}",
        esc(&words::path(&it.path.path)),
        it.latency.state.short(),
        words::class(it.latency.class),
        name_of(quantile.quantile),
        format::latency(Some(quantile.value_ns)),
        format::latency(Some(quantile.low_ns)),
        format::latency(Some(quantile.high_ns)),
        format::plural(it.latency.commands, "command"),
    )
}

/// `p99.9`.
pub(super) fn name_of(quantile: f64) -> String {
    let percent = format!("{:.4}", quantile * 100.0);
    format!("p{}", percent.trim_end_matches('0').trim_end_matches('.'))
}

/// Where the line goes, as x and ns: to the last quantile that the commands carry.
fn points(latency: &Latency, x: &dyn Fn(f64) -> f64) -> Vec<(f64, u64)> {
    let last = last_quantile(latency.commands);
    let mut points = vec![(x(0.0), latency.min_ns)];
    let mut seen: u64 = 0;
    for (bound, count) in &latency.buckets {
        seen += count;
        let quantile = (seen as f64 / latency.commands as f64).min(last);
        let at = x(quantile);
        let bound = (*bound).min(latency.max_ns);
        match points.last_mut().filter(|(before, _)| at - *before < APART) {
            Some(point) => point.1 = bound,
            None => points.push((at, bound)),
        }
        if quantile >= last {
            break;
        }
    }
    points
}

/// The largest quantile that so many commands bound from above: see [`is_carried`].
fn last_quantile(commands: u64) -> f64 {
    0.05_f64.powf(1.0 / commands.max(1) as f64)
}

fn nines(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-9).log10()
}

/// From 0 to 1.
fn nines_of(quantile: f64, most: f64) -> f64 {
    (nines(quantile) / most).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_the_names_that_people_give_them() {
        for (quantile, name) in [
            (0.5, "p50"),
            (0.9, "p90"),
            (0.99, "p99"),
            (0.999, "p99.9"),
            (0.9999, "p99.99"),
        ] {
            assert_eq!(name_of(quantile), name);
        }
    }

    #[test]
    fn lines_end_where_commands_are_too_few() {
        for commands in [300, 3000, 30_000] {
            let last = last_quantile(commands);
            assert!(is_carried(commands, last - 1e-9), "{commands} {last}");
            assert!(
                !is_carried(commands, last + (1.0 - last) / 10.0),
                "{commands} {last}"
            );
        }
    }
}
