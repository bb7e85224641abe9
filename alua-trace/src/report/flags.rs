//! Flags in words, for the summary and the plain lines.

use super::table::push_wrapped;
use super::words;
use crate::format;
use crate::model::{Baseline, Flag};
use crate::safe;

/// The section of the summary.
pub(super) fn section(flags: &[Flag], started_at_ns: u64, width: u16) -> String {
    let mut out = String::from("Flags\n");
    if flags.is_empty() {
        out.push_str("  none\n");
    }
    for flag in flags {
        push_wrapped(&mut out, &title(flag), width, 2);
        push_wrapped(&mut out, &period(flag, started_at_ns), width, 5);
        let numbers = numbers(flag);
        if !numbers.is_empty() {
            push_wrapped(&mut out, &numbers, width, 5);
        }
        if !flag.text.is_empty() {
            push_wrapped(&mut out, &safe::sentence(&flag.text), width, 5);
        }
        if flag.judgements.len() > 1 {
            push_wrapped(&mut out, &judgements(flag, started_at_ns), width, 5);
        }
    }
    out
}

/// `in-transition from 12.045 s, avoidable from 14.050 s (over 0:0:0:0, not 0:0:1:0)`.
fn judgements(flag: &Flag, started_at_ns: u64) -> String {
    let judged = flag.judgements.iter().map(|judgement| {
        let from = format::elapsed(judgement.at_ns.saturating_sub(started_at_ns));
        let over = judgement.paths.iter().map(|it| it.hctl.as_str());
        let mut text = format!(
            "{} from {from} s (over {}",
            words::verdict(judgement.verdict),
            safe::sentence(&over.collect::<Vec<_>>().join(" "))
        );
        if !judgement.alternatives.is_empty() {
            text.push_str(", not ");
            text.push_str(&safe::sentence(&judgement.alternatives.join(" ")));
        }
        text.push(')');
        text
    });
    let mut text = judged.collect::<Vec<_>>().join(", ");
    if flag.judgements_left_out > 0 {
        text.push_str(&format!("; {} more left out", flag.judgements_left_out));
    }
    text
}

/// `#1 warning: avoidable non-optimized-io on mpatha`.
pub(super) fn title(flag: &Flag) -> String {
    let verdict = words::last_verdict(flag);
    let blank = if verdict.is_empty() { "" } else { " " };
    format!(
        "#{} {}: {verdict}{blank}{} on {}",
        flag.id,
        words::severity(flag.severity),
        words::kind(flag.kind),
        safe::name(&flag.subject)
    )
}

/// `from 12.045 s for 3.20 s, ended`.
fn period(flag: &Flag, started_at_ns: u64) -> String {
    let from = format::elapsed(flag.first_at_ns.saturating_sub(started_at_ns));
    let last = flag
        .ended_at_ns
        .map_or(flag.last_at_ns, |ended| ended.max(flag.last_at_ns));
    let length = format::duration(last.saturating_sub(flag.first_at_ns));
    let end = if flag.ended_at_ns.is_some() {
        "ended"
    } else {
        "not ended"
    };
    format!("from {from} s for {length}, {end}")
}

/// Commands, share, cost and paths; empty for a flag that counts no commands.
pub(super) fn numbers(flag: &Flag) -> String {
    if flag.commands == 0 {
        return String::new();
    }
    let mut out = format::plural(flag.commands, "command");
    out.push_str(&format!(
        " ({} of the LUN's)",
        format::share(Some(flag.share))
    ));
    if !flag.paths.is_empty() {
        out.push_str(&format!(" via {}", safe::sentence(&flag.paths.join(", "))));
    }
    out.push_str("; p50 ");
    push_cost(&mut out, flag);
    out
}

/// `1.94 ms, optimized 87.2 µs (22.2x, same period)`.
pub(crate) fn push_cost(out: &mut String, flag: &Flag) {
    format::push_latency(out, flag.p50_ns);
    out.push_str(", optimized ");
    format::push_latency(out, flag.optimized_p50_ns);
    if let (Some(p50), Some(optimized @ 1..)) = (flag.p50_ns, flag.optimized_p50_ns) {
        let period = match flag.baseline {
            Some(Baseline::SamePeriod) => ", same period",
            Some(Baseline::Before) => ", before",
            None => "",
        };
        out.push_str(&format!(" ({:.1}x{period})", p50 as f64 / optimized as f64));
    }
}
