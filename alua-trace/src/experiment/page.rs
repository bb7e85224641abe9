//! An experiment's results as one HTML page: the sentences, then what every factor changes, whether the factors add
//! up, and the runs in the order in which they were made, so that drift is seen.

use std::fmt::Write;

use super::{
    effects::{EffectOf, MetricOf, Results},
    text,
};
use crate::{
    comparison::Metric,
    page::{
        document,
        draw::{self, Linear, PLOT},
        esc as escaped,
    },
    safe,
};

/// Height of what is plotted.
const TALL: f64 = 220.0;
/// Of an effect's row.
const ROW: f64 = 24.0;
/// Room for an effect's name.
const NAME: f64 = 230.0;
/// Colours of lines.
const COLOURS: usize = 8;

/// The page.
#[must_use]
pub fn page(results: &Results) -> String {
    let mut body = format!(
        "<header>\n<h1>{}</h1>\n<p class=\"note\">",
        escaped(&results.title)
    );
    let _ = write!(
        body,
        "{} of {} blocks of {} cells · order drawn by seed {}</p>\n</header>\n<section id=\"verdict\">\n<ul class=\"verdict\">\n",
        results.blocks,
        results.planned,
        results.cells.len(),
        results.seed
    );
    for sentence in text::sentences(results) {
        let (class, words) = match sentence.strip_prefix("! ") {
            Some(words) => ("warning", words),
            None => ("fine", sentence.trim_start()),
        };
        let _ = writeln!(body, "<li class=\"{class}\">{}</li>", escaped(words));
    }
    body.push_str("</ul>\n</section>\n");
    for metric in &results.metrics {
        let name = metric.metric.name();
        let _ = write!(body, "<section>\n<h2>{name}</h2>\n");
        effects(&mut body, metric);
        if results.factors.len() > 1 {
            adding_up(&mut body, results, metric);
        }
        order(&mut body, results, metric);
        body.push_str("</section>\n");
    }
    cells(&mut body, results);
    document(&safe::name(&results.title), &body)
}

/// Effects with their intervals, and the line that is none.
fn effects(out: &mut String, metric: &MetricOf) {
    let all: Vec<&EffectOf> = metric.effects.iter().chain(&metric.each).collect();
    let ends = all.iter().flat_map(|it| [it.change.low, it.change.high]);
    let (low, high) = ends.fold((0.0_f64, 0.0_f64), |(low, high), it| {
        (low.min(it), high.max(it))
    });
    let room = ((high - low) * 0.06).max(0.001);
    let (low, high) = (low - room, high + room);
    let x = |value: f64| draw::LEFT + NAME + (value - low) / (high - low) * (PLOT - NAME);
    let bottom = all.len() as f64 * ROW + 6.0;
    let unit = metric.metric.unit();
    let _ = write!(
        out,
        "<figure><figcaption><h3>What changes {}</h3><p class=\"legend\">in {unit}, with intervals of 95 %</p></figcaption>",
        metric.metric.name()
    );
    draw::open(
        out,
        bottom + draw::BELOW,
        &format!("effects on {}", metric.metric.name()),
    );
    let step = draw::nice((high - low) / 6.0, &draw::STEPS);
    let mut at = (low / step).ceil() * step;
    while at <= high {
        draw::line(out, "grid", (x(at), 0.0), (x(at), bottom));
        draw::text(out, "tick mid", (x(at), bottom + 15.0), &per_cent(at));
        at += step;
    }
    draw::line(out, "transfer", (x(0.0), 0.0), (x(0.0), bottom));
    for (nth, effect) in all.iter().enumerate() {
        let name = escaped(&effect.name());
        let y = nth as f64 * ROW + 16.0;
        let change = effect.change;
        draw::text(out, "", (draw::LEFT, y + 4.0), &name);
        draw::line(out, "line p0", (x(change.low), y), (x(change.high), y));
        for end in [change.low, change.high] {
            draw::line(out, "line p0", (x(end), y - 5.0), (x(end), y + 5.0));
        }
        draw::dot(out, "b0", (x(change.value), y));
        let words = format!(
            "{}: {:+.2} {unit}, from {:+.2} to {:+.2}; p = {:.4}; {unit} from {:.1} on would have been seen",
            name,
            100.0 * change.value,
            100.0 * change.low,
            100.0 * change.high,
            effect.p_adjusted,
            100.0 * effect.detectable
        );
        draw::told(
            out,
            (draw::LEFT, y - 12.0),
            (draw::LEFT + PLOT, y + 12.0),
            &words,
        );
    }
    draw::close(out);
    out.push_str("</figure>\n");
}

/// Means of the cells: parallel lines add up.
fn adding_up(out: &mut String, results: &Results, metric: &MetricOf) {
    let Some((last, others)) = results.factors.split_last() else {
        return;
    };
    let of_each = others.iter().map(|it| it.levels.len()).product::<usize>();
    // What runs vary by shows what of it is nothing.
    let scale = Linear::between(&values_of(results, metric), TALL);
    let across = last.levels.len();
    let x = |level: usize| draw::LEFT + PLOT * (level as f64 + 0.5) / across as f64;
    let _ = write!(
        out,
        "<figure><figcaption><h3>Do they add up?</h3><p class=\"legend\">means of {}; parallel lines add up ",
        metric.metric.name()
    );
    let lines = results.cells.iter().step_by(across).take(of_each);
    legend(
        out,
        lines.map(|cell| cell.rsplit_once(' ').map_or(&**cell, |(others, _)| others)),
    );
    draw::open(
        out,
        TALL + 8.0 + draw::BELOW,
        &format!("means of {} by cell", metric.metric.name()),
    );
    scale.draw_as(out, 8.0, &|value| label(metric.metric, value));
    for (level, name) in last.levels.iter().enumerate() {
        let name = format!("{}={name}", last.name);
        draw::text(out, "tick mid", (x(level), TALL + 23.0), &escaped(&name));
    }
    for (nth, cells) in metric.of_cells.chunks(across).enumerate() {
        let points = cells
            .iter()
            .enumerate()
            .map(|(level, value)| (x(level), 8.0 + scale.y(*value)));
        let colour = colour(nth);
        draw::curve(out, &format!("line p{colour}"), points.clone().map(Some));
        points.for_each(|at| draw::dot(out, &format!("b{colour}"), at));
        for (level, value) in cells.iter().enumerate() {
            let name = results
                .cells
                .get(nth * across + level)
                .map_or("", String::as_str);
            let y = 8.0 + scale.y(*value);
            let words = format!("{}: {}", escaped(name), metric.metric.shown(*value));
            draw::told(
                out,
                (x(level) - 14.0, y - 12.0),
                (x(level) + 14.0, y + 12.0),
                &words,
            );
        }
    }
    draw::close(out);
    out.push_str("</figure>\n");
}

/// Names and their colours, and the end of a caption.
fn legend<'a>(out: &mut String, names: impl Iterator<Item = &'a str>) {
    for (nth, name) in names.enumerate() {
        let _ = write!(
            out,
            "<span class=\"item\"><i class=\"key b{}\"></i>{}</span> ",
            colour(nth),
            escaped(name)
        );
    }
    out.push_str("</p></figcaption>");
}

/// Further ones share the last.
fn colour(nth: usize) -> usize {
    nth.min(COLOURS - 1)
}

/// Of every run that carries it.
fn values_of(results: &Results, metric: &MetricOf) -> Vec<f64> {
    let nth = results.looked_at.iter().position(|it| *it == metric.metric);
    let values = results.runs.iter().filter_map(|run| run.values[nth?]);
    values.collect()
}

/// Every run in the order in which it was made.
fn order(out: &mut String, results: &Results, metric: &MetricOf) {
    let Some(nth) = results.looked_at.iter().position(|it| *it == metric.metric) else {
        return;
    };
    let scale = Linear::between(&values_of(results, metric), TALL);
    let x = |at: usize| draw::LEFT + PLOT * (at as f64 + 0.5) / results.runs.len() as f64;
    let _ = write!(
        out,
        "<figure><figcaption><h3>Runs in their order</h3><p class=\"legend\">{} of each; lines part the blocks ",
        metric.metric.name()
    );
    legend(out, results.cells.iter().map(String::as_str));
    draw::open(
        out,
        TALL + 8.0 + draw::BELOW,
        &format!("{} of each run, in order", metric.metric.name()),
    );
    scale.draw_as(out, 8.0, &|value| label(metric.metric, value));
    let mut before = None;
    for (at, run) in results.runs.iter().enumerate() {
        if before.is_some_and(|it| it != run.of.block) {
            let edge = x(at) - PLOT / results.runs.len() as f64 / 2.0;
            draw::line(out, "grid", (edge, 8.0), (edge, TALL + 8.0));
        }
        if before != Some(run.of.block) {
            let label = (run.of.block + 1).to_string();
            draw::text(out, "tick mid", (x(at), TALL + 23.0), &label);
        }
        before = Some(run.of.block);
        let Some(value) = run.values[nth] else {
            continue;
        };
        let place = (x(at), 8.0 + scale.y(value));
        draw::dot(out, &format!("b{}", colour(run.of.cell)), place);
        let name = results.cells.get(run.of.cell).map_or("", String::as_str);
        let words = format!(
            "block {}, {}, try {}: {}; steady after {} rounds",
            run.of.block + 1,
            escaped(name),
            run.of.nth,
            metric.metric.shown(value),
            run.rounds
        );
        draw::told(
            out,
            (place.0 - 8.0, 8.0),
            (place.0 + 8.0, TALL + 8.0),
            &words,
        );
    }
    draw::close(out);
    out.push_str("</figure>\n");
}

/// `+1.5`, `0`.
fn per_cent(part: f64) -> String {
    match (1e5 * part).round() / 1e3 {
        0.0 => "0".to_owned(),
        value => format!("{value:+}"),
    }
}

/// Of a scale.
fn label(metric: Metric, value: f64) -> String {
    match metric {
        Metric::NotOptimizedShare => format!("{:.1} %", 100.0 * value),
        Metric::Iops if value >= 1e4 => format!("{:.1} k", value / 1e3),
        Metric::Iops => format!("{value:.0}"),
        _ => metric.shown(value),
    }
}

fn cells(out: &mut String, results: &Results) {
    out.push_str("<section>\n<h2>Cells</h2>\n<div class=\"scroll\"><table>\n<tr><th>means</th>");
    for cell in &results.cells {
        let _ = write!(out, "<th>{}</th>", escaped(cell));
    }
    out.push_str("</tr>\n");
    let mut row = |name: &str, values: Vec<String>| {
        let _ = write!(out, "<tr><td>{name}</td>");
        for value in values {
            let _ = write!(out, "<td>{value}</td>");
        }
        out.push_str("</tr>\n");
    };
    for it in &results.metrics {
        let values = it.of_cells.iter().map(|value| it.metric.shown(*value));
        row(it.metric.name(), values.collect());
    }
    for it in &results.conditions {
        let values = it.of_cells.iter().map(|value| format!("{value:.2}"));
        row(it.condition.name(), values.collect());
    }
    out.push_str("</table></div>\n</section>\n");
}
