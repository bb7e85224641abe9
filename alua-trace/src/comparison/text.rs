//! A comparison as people read it: the verdict, then the evidence.

use super::findings::{Change, Comparison, Finding, RunOf, Verdict};
use crate::{format, out, safe};

/// All of it.
pub(super) fn text(comparison: &Comparison) -> String {
    let mut out = String::new();
    for sentence in sentences(comparison) {
        out.push_str(&safe::sentence(&sentence));
        out.push('\n');
    }
    out.push_str(&table(comparison));
    out.push_str(&shift(comparison));
    out.push_str(&went(comparison));
    out
}

fn sentences(comparison: &Comparison) -> Vec<String> {
    let mut out: Vec<String> = verdicts(comparison);
    out.extend(warnings(comparison));
    out
}

fn verdicts(comparison: &Comparison) -> Vec<String> {
    if let Some(needed) = comparison.runs_needed {
        let (one, other) = (comparison.one.len(), comparison.other.len());
        let metrics = format::plural(comparison.metrics.len() as u64, "metric");
        return vec![format!(
            "! No verdict: {one} and {other} runs are too few. With {metrics} looked at, a verdict takes {needed} runs a \
             side (fewer with --metric)."
        )];
    }
    let of = |verdict: fn(Verdict) -> bool| {
        let metrics = comparison.metrics.iter();
        metrics.filter(move |it| verdict(it.verdict))
    };
    let mut out: Vec<String> = of(|it| matches!(it, Verdict::Higher | Verdict::Lower))
        .map(|it| format!("  {}", differs(it)))
        .collect();
    let same: Vec<String> = of(|it| it == Verdict::Same)
        .map(|it| format!("{} (at most {})", it.metric.name(), percent(it, it.at_most)))
        .collect();
    if !same.is_empty() {
        let within = format::share(Some(comparison.within));
        out.push(format!(
            "  No difference larger than {within}: {}.",
            same.join(", ")
        ));
    }
    let unknown: Vec<&Finding> = of(|it| it == Verdict::CannotTell).collect();
    out.extend(unknown.iter().map(|it| {
        let needed = match it.runs_needed {
            Some(runs) => format!("{runs} runs a side"),
            None => "more runs than anybody makes".to_owned(),
        };
        format!(
            "  {}: cannot tell. It may be {}; for a difference of {} it takes {needed}.",
            it.metric.name(),
            between(it),
            format::share(Some(comparison.within)),
        )
    }));
    out
}

/// `p99 is 12.3 % higher [8.1, 16.4]: 1.20 ms, 1.07 ms; p = 0.004.`
fn differs(finding: &Finding) -> String {
    let than = match finding.verdict {
        Verdict::Higher => "higher",
        _ => "lower",
    };
    let Change { value, low, high } = finding.change;
    let ends = match finding.verdict {
        Verdict::Higher => (low, high),
        _ => (-high, -low),
    };
    let unit = finding.metric.unit();
    format!(
        "{} is {:.1} {unit} {than} [{:.1}, {:.1}]: {} instead of {}; p = {}.",
        finding.metric.name(),
        100.0 * value.abs(),
        100.0 * ends.0,
        100.0 * ends.1,
        finding.metric.shown(finding.other),
        finding.metric.shown(finding.one),
        format::chance(finding.p_adjusted),
    )
}

fn between(finding: &Finding) -> String {
    let unit = finding.metric.unit();
    let Change { low, high, .. } = finding.change;
    format!(
        "between {:+.1} and {:+.1} {unit}",
        100.0 * low,
        100.0 * high
    )
}

fn percent(finding: &Finding, part: f64) -> String {
    let unit = finding.metric.unit();
    format!("{:.1} {unit}", 100.0 * part)
}

/// What makes the comparison less than it seems.
fn warnings(comparison: &Comparison) -> Vec<String> {
    let mut out = Vec::new();
    let list = |values: &std::collections::BTreeSet<String>| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        values.join(" or ")
    };
    for it in &comparison.differs {
        let (one, other) = (list(&it.one), list(&it.other));
        if it.is_meant {
            out.push(format!("  Compared: {}: {one} with {other}.", it.what));
        } else if it.one == it.other {
            out.push(format!("! From run to run: {}: {one}.", it.what));
        } else {
            out.push(format!(
                "! The sides differ in {}: {one}; {other}.",
                it.what
            ));
        }
    }
    let runs = comparison.one.iter().chain(&comparison.other);
    for run in runs {
        if let Some(why) = &run.incomplete {
            out.push(format!("! {} is incomplete: {why}.", run.recording));
        }
    }
    if !comparison.not_carried.is_empty() {
        let names = comparison.not_carried.iter().map(|it| it.name());
        let names: Vec<&str> = names.collect();
        out.push(format!("  Not in every run: {}.", names.join(", ")));
    }
    out
}

fn table(comparison: &Comparison) -> String {
    let runs = |side: &[RunOf]| format::plural(side.len() as u64, "run");
    let header = [
        "metric".to_owned(),
        runs(&comparison.one),
        format!("vs {}", runs(&comparison.other)),
        "change".to_owned(),
        "95 % interval".to_owned(),
        "p".to_owned(),
        "they show".to_owned(),
    ];
    let rows = comparison.metrics.iter().map(|it| {
        let change = it.change;
        let unit = it.metric.unit();
        [
            it.metric.name().to_owned(),
            it.metric.shown(it.one),
            it.metric.shown(it.other),
            format!("{:+.1} {unit}", 100.0 * change.value),
            format!("{:+.1} to {:+.1}", 100.0 * change.low, 100.0 * change.high),
            format!("{:.4}", it.p_adjusted),
            format!("{:.1} {unit}", 100.0 * it.detectable),
        ]
    });
    let rows: Vec<[String; 7]> = std::iter::once(header).chain(rows).collect();
    format!("\n{}", out::columns(&rows, 1))
}

fn shift(comparison: &Comparison) -> String {
    if comparison.shift.is_empty() {
        return String::new();
    }
    let header = [
        "percentile".to_owned(),
        String::new(),
        "vs".to_owned(),
        "change".to_owned(),
        "band".to_owned(),
    ];
    let rows = comparison.shift.iter().map(|it| {
        let Change { value, low, high } = it.change;
        let latency = |ns: f64| format::latency(Some(ns.max(0.0) as u64));
        [
            format!("p{}", (1000.0 * it.quantile).round() / 10.0),
            latency(it.one_ns),
            latency(it.other_ns),
            format!("{:+.1} %", 100.0 * value),
            format!("{:+.1} to {:+.1}", 100.0 * low, 100.0 * high),
        ]
    });
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(rows).collect();
    format!(
        "\nLatency by percentile; the band holds all of them at once, with 95 %\n{}",
        out::columns(&rows, 1)
    )
}

fn went(comparison: &Comparison) -> String {
    if comparison.conditions.is_empty() {
        return String::new();
    }
    let rows = comparison.conditions.iter().map(|it| {
        let name = it.condition.name().to_owned();
        [name, format!("{:.2}", it.one), format!("{:.2}", it.other)]
    });
    let header = [
        "What the host did".to_owned(),
        String::new(),
        "vs".to_owned(),
    ];
    let rows: Vec<[String; 3]> = std::iter::once(header).chain(rows).collect();
    format!("\n{}", out::columns(&rows, 1))
}
