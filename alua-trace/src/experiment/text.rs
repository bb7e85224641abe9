//! An experiment's results as people read them: the sentences first, then the tables.

use super::{
    effects::{EffectOf, FactorOf, MetricOf, Results},
    notes::Note,
};
use crate::{
    comparison::{Change, Metric, Verdict},
    format,
    inference::Effect,
    out, safe,
};

/// Rows of a table, the first column to the left.
type Rows = Vec<Vec<String>>;

/// All of it.
#[must_use]
pub fn text(results: &Results) -> String {
    let mut out = String::new();
    for sentence in sentences(results) {
        out.push_str(&safe::sentence(&sentence));
        out.push('\n');
    }
    let tables = [
        (effects(results, |it| &it.effects), 2),
        (effects(results, |it| &it.each), 2),
        (cells(results), 1),
    ];
    for (rows, left) in tables.iter().filter(|(rows, _)| rows.len() > 1) {
        out.push('\n');
        out.push_str(&out::columns(rows, *left));
    }
    out
}

/// The verdict, one sentence a line; with `!` what makes it less than it seems.
#[must_use]
pub fn sentences(results: &Results) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(needed) = results.blocks_needed {
        let metrics = format::plural(results.metrics.len() as u64, "metric");
        out.push(format!(
            "! No verdict: {} are too few. With {metrics} looked at it takes {needed}.",
            format::plural(results.blocks as u64, "whole block")
        ));
    }
    for metric in &results.metrics {
        out.extend(of_metric(results, metric).map(|it| format!("  {it}")));
    }
    if let Some(Change { value, low, high }) = results.not_optimized_costs_ns {
        let ms = |ns: f64| format!("{:.2}", ns / 1e6);
        out.push(format!(
            "  An I/O over a path that is not optimized takes {} ms longer [{}, {}].",
            ms(value),
            ms(low),
            ms(high)
        ));
    }
    out.extend(warnings(results));
    out
}

/// `Jumbo frames gain 3.1 % [2.2, 4.0] of IOPS where ALUA=off and 0.4 % [-0.5, 1.3] where ALUA=on; they do not add up…`
fn of_metric(results: &Results, metric: &MetricOf) -> impl Iterator<Item = String> {
    let main = metric.effects.iter().filter(|it| it.with.is_none());
    let last = results.factors.len().saturating_sub(1);
    // Of several factors the last one's effect is told at each level of the others; the others' as a whole.
    let told = main.filter_map(move |it| {
        let Effect::Main(at) = it.effect else {
            return None;
        };
        let factor = results.factors.get(at.factor)?;
        let is_last = at.factor == last && results.factors.len() == 2;
        let subject = subject(factor, at.level);
        let name = metric.metric.name();
        Some(if is_last {
            let each = metric.each.iter().filter(|each| each.of == it.of);
            let each = each.map(|each| {
                let place = each.r#where.as_deref().unwrap_or_default();
                format!("{} where {place}", changed(metric.metric, each))
            });
            let each: Vec<String> = each.collect();
            format!(
                "{subject}: {name} {}{}",
                each.join(" and "),
                adds_up(metric, it)
            )
        } else {
            format!(
                "{subject}: {name} {}{}",
                changed(metric.metric, it),
                judged(metric.metric, it)
            )
        })
    });
    told.collect::<Vec<_>>().into_iter()
}

/// `Jumbo frames (MTU=9000)`, or `MTU=9000`, against what comes first.
fn subject(factor: &FactorOf, level: usize) -> String {
    let name = |level: usize| factor.levels.get(level).map_or("", String::as_str);
    match &factor.called {
        Some(called) if level == 1 => {
            let mut letters = called.chars();
            let first = letters.next().map(|it| it.to_uppercase().to_string());
            let called = format!("{}{}", first.unwrap_or_default(), letters.as_str());
            format!(
                "{called} ({} {} instead of {})",
                factor.name,
                name(level),
                name(0)
            )
        }
        _ => format!("{} {} instead of {}", factor.name, name(level), name(0)),
    }
}

/// `+3.1 % [2.2, 4.0]`.
fn changed(metric: Metric, effect: &EffectOf) -> String {
    let Change { value, low, high } = effect.change;
    format!(
        "{:+.1} {} [{:.1}, {:.1}]",
        100.0 * value,
        metric.unit(),
        100.0 * low,
        100.0 * high
    )
}

fn judged(metric: Metric, effect: &EffectOf) -> String {
    let unit = metric.unit();
    match effect.verdict {
        Verdict::Higher | Verdict::Lower => format!("; p = {}", format::chance(effect.p_adjusted)),
        Verdict::Same => format!(
            "; no more than {:.1} {unit} either way",
            100.0 * effect.at_most
        ),
        Verdict::CannotTell => "; these blocks cannot tell whether that is anything".to_owned(),
        Verdict::TooFew => String::new(),
    }
}

/// Whether the effect is the same at all levels of the other factor.
fn adds_up(metric: &MetricOf, main: &EffectOf) -> String {
    let interactions = metric.effects.iter().filter(|it| it.with.is_some());
    let of_it = interactions.filter(|it| it.of == main.of || it.with.as_deref() == Some(&main.of));
    let words = of_it.map(|it| {
        let change = changed(metric.metric, it);
        match it.verdict {
            Verdict::Higher | Verdict::Lower => {
                format!(
                    "; they do not add up: {change} beyond that, p = {}",
                    format::chance(it.p_adjusted)
                )
            }
            Verdict::Same => {
                let unit = metric.metric.unit();
                format!("; they add up, to {:.1} {unit}", 100.0 * it.at_most)
            }
            Verdict::CannotTell => {
                format!("; whether they add up these blocks cannot tell: {change} beyond that")
            }
            Verdict::TooFew => format!("; {change} beyond adding up"),
        }
    });
    words.collect()
}

/// What makes it less than it seems, and what goes with the factors.
fn warnings(results: &Results) -> Vec<String> {
    let mut out = Vec::new();
    if results.blocks < results.planned {
        out.push(format!(
            "! {} of {} blocks are whole; what is told is of these.",
            results.blocks, results.planned
        ));
    }
    for failed in &results.failed {
        let cell = results.cells.get(failed.of.cell).map_or("", String::as_str);
        out.push(format!(
            "! Block {}, {cell}, try {} is no result: {}.",
            failed.of.block + 1,
            failed.of.nth,
            failed.why.trim_end_matches('.')
        ));
    }
    out.extend(results.notes.iter().map(note));
    if !results.not_carried.is_empty() {
        let names: Vec<&str> = results.not_carried.iter().map(|it| it.name()).collect();
        out.push(format!("  Not in every run: {}.", names.join(", ")));
    }
    out
}

fn note(note: &Note) -> String {
    let values: Vec<&str> = note.values.iter().map(String::as_str).collect();
    let values = values.join(" or ");
    match note.goes_with.as_deref() {
        None => format!("! From run to run: {}: {values}.", note.what),
        Some("all") => format!("  Goes with the factors together: {}: {values}.", note.what),
        Some(factor) => format!("  Goes with {factor}: {}: {values}.", note.what),
    }
}

/// Main effects and interactions, or the effects of each factor at each level of another one.
fn effects(results: &Results, of: fn(&MetricOf) -> &Vec<EffectOf>) -> Rows {
    let header = [
        "metric",
        "effect",
        "change",
        "95 % interval",
        "p",
        "they show",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for metric in &results.metrics {
        let unit = metric.metric.unit();
        rows.extend(of(metric).iter().map(|it| {
            let change = it.change;
            vec![
                metric.metric.name().to_owned(),
                it.name(),
                format!("{:+.1} {unit}", 100.0 * change.value),
                format!("{:+.1} to {:+.1}", 100.0 * change.low, 100.0 * change.high),
                format!("{:.4}", it.p_adjusted),
                format!("{:.1} {unit}", 100.0 * it.detectable),
            ]
        }));
    }
    rows
}

fn cells(results: &Results) -> Rows {
    let mut rows = vec![
        std::iter::once("means".to_owned())
            .chain(results.cells.clone())
            .collect(),
    ];
    for metric in &results.metrics {
        let values = metric.of_cells.iter().map(|it| metric.metric.shown(*it));
        rows.push(
            std::iter::once(metric.metric.name().to_owned())
                .chain(values)
                .collect(),
        );
    }
    for it in &results.conditions {
        let values = it.of_cells.iter().map(|it| format!("{it:.2}"));
        rows.push(
            std::iter::once(it.condition.name().to_owned())
                .chain(values)
                .collect(),
        );
    }
    rows
}
