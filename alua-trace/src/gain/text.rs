//! A gain as people read it: the verdict, then what it rests on.

use super::{Compared, Ends, Estimate, Gain, OfMap, Told};
use crate::{format, safe};

/// All of it.
pub(super) fn text(told: &Told) -> String {
    let mut out = String::new();
    for map in &told.maps {
        for line in of_map(map) {
            out.push_str(&safe::sentence(&line));
            out.push('\n');
        }
    }
    if told.maps.is_empty() {
        out.push_str("Nothing was read or written.\n");
    }
    if let Some(why) = &told.incomplete {
        out.push_str(&safe::sentence(&format!(
            "! Not all of the trace is there: {why}."
        )));
        out.push('\n');
    }
    out
}

fn of_map(of: &OfMap) -> Vec<String> {
    let map = of.map.as_deref().unwrap_or("paths without a map");
    match &of.gain {
        Gain::Nothing => vec![format!(
            "  {map}: nothing to gain: all of {} went over optimized paths.",
            format::plural(of.commands, "command")
        )],
        Gain::CannotTell { why } => vec![format!("! {map}: cannot tell: {why}.")],
        Gain::Estimate(estimate) => of_estimate(map, of.commands, estimate),
    }
}

fn of_estimate(map: &str, commands: u64, estimate: &Estimate) -> Vec<String> {
    let percent = |part: f64| format!("{:.1}", 100.0 * part);
    let Ends { value, low, high } = estimate.gain;
    let latency = |ns: f64| format::latency(Some(ns.max(0.0) as u64));
    let verdict = if low > 0.0 {
        format!(
            "{map}: over optimized paths alone its I/O would take {} % less [{}, {}]: a mean of {} instead of {}.",
            percent(value),
            percent(low),
            percent(high),
            latency(estimate.mean_ns * (1.0 - value)),
            latency(estimate.mean_ns)
        )
    } else {
        format!(
            "{map}: no gain is to be seen: over optimized paths alone its I/O would take {} % less [{}, {}].",
            percent(value),
            percent(low),
            percent(high)
        )
    };
    let compared = match estimate.compared {
        Compared::SameTime => "with their like on optimized paths in the same second",
        Compared::BeforeAndAfter => "with their like before and after, under the same load",
    };
    let costs = estimate.costs_ns;
    vec![
        format!("  {verdict}"),
        format!(
            "    {} of {} went over other paths, and took {:.2} ms longer [{:.2}, {:.2}], compared {compared}.",
            format::share(Some(estimate.not_optimized_share)),
            format::plural(commands, "command"),
            costs.value / 1e6,
            costs.low / 1e6,
            costs.high / 1e6
        ),
        format!(
            "    Fair for {} of them, and as long as the optimized paths have room for the rest.",
            format::share(Some(estimate.covered))
        ),
    ]
}
