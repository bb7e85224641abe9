//! A latency histogram a person can read: one row per step of a logarithmic scale, the access
//! states side by side. Fine buckets are merged; bars share one scale, so that shapes compare.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::format;
use crate::model::{AccessState, Class, PathSummary};

/// Steps within a decade, in tenths; the finest that needs no more than [`MAX_ROWS`] rows is used.
const SCALES: [&[u64]; 3] = [
    &[10, 12, 15, 20, 25, 30, 40, 50, 60, 80],
    &[10, 15, 20, 30, 50, 70],
    &[10, 20, 50],
];
const MAX_ROWS: usize = 16;
const LABEL_WIDTH: usize = 11;
const SHARE_WIDTH: usize = 7;
const BAR_WIDTHS: (usize, usize) = (5, 40);

/// One access state: commands per row, and in all.
struct Series {
    state: AccessState,
    counts: Vec<u64>,
    total: u64,
}

/// Reads and writes of `paths`, by access state at dispatch. Empty when there were none.
pub fn histogram(paths: &[PathSummary], width: u16) -> String {
    let merged = merge(paths);
    let Some((low, high)) = extent(&merged) else {
        return String::new();
    };
    let bounds = scale(low, high);
    let series: Vec<Series> = merged
        .into_iter()
        .map(|(state, buckets)| fill(state, &buckets, &bounds))
        .collect();
    let mut out = String::new();
    let room = usize::from(width).saturating_sub(LABEL_WIDTH);
    let count_width = series
        .iter()
        .map(|s| format::count(s.total).len())
        .max()
        .unwrap_or(0);
    let fixed = count_width + SHARE_WIDTH + 5;
    let beside = (room / (fixed + BAR_WIDTHS.0)).clamp(1, series.len());
    let bar_width = (room / beside)
        .saturating_sub(fixed)
        .clamp(BAR_WIDTHS.0, BAR_WIDTHS.1);
    let top = series
        .iter()
        .flat_map(|s| s.counts.iter().map(|n| fraction(*n, s.total)));
    let top = top.fold(0.0, f64::max);
    for group in series.chunks(beside) {
        push_group(
            &mut out,
            group,
            &bounds,
            &Layout {
                bar_width,
                count_width,
                top,
            },
        );
    }
    out
}

struct Layout {
    bar_width: usize,
    count_width: usize,
    /// Share that fills a whole bar.
    top: f64,
}

fn merge(paths: &[PathSummary]) -> BTreeMap<AccessState, Vec<(u64, u64)>> {
    let mut merged: BTreeMap<AccessState, Vec<(u64, u64)>> = BTreeMap::new();
    // Other commands (TEST UNIT READY, RTPG, …) say nothing about the latency of I/O.
    for latency in paths.iter().flat_map(|path| &path.latency) {
        let buckets = latency.buckets.iter().filter(|(_, count)| *count > 0);
        if latency.class != Class::Other && latency.commands > 0 {
            merged.entry(latency.state).or_default().extend(buckets);
        }
    }
    merged.retain(|_, buckets| !buckets.is_empty());
    merged
}

fn extent(merged: &BTreeMap<AccessState, Vec<(u64, u64)>>) -> Option<(u64, u64)> {
    let bounds = || merged.values().flatten().map(|(bound, _)| *bound);
    Some((bounds().min()?, bounds().max()?))
}

/// Inclusive upper bounds of the rows from the one with `low` to the one with `high`.
fn scale(low: u64, high: u64) -> Vec<u64> {
    let mut bounds = Vec::new();
    for steps in SCALES {
        bounds = bounds_of(steps, low, high);
        if bounds.len() <= MAX_ROWS {
            break;
        }
    }
    bounds
}

fn bounds_of(steps: &[u64], low: u64, high: u64) -> Vec<u64> {
    let decades = (0..19).map(|decade| 10_u64.pow(decade));
    let all = decades.flat_map(|decade| steps.iter().filter_map(move |s| s.checked_mul(decade)));
    let mut bounds = Vec::new();
    for bound in all.chain([u64::MAX]).filter(|bound| *bound >= low) {
        bounds.push(bound);
        if bound >= high {
            break;
        }
    }
    bounds
}

fn fill(state: AccessState, buckets: &[(u64, u64)], bounds: &[u64]) -> Series {
    let mut counts = vec![0_u64; bounds.len()];
    for (bound, count) in buckets {
        let row = bounds.partition_point(|row| row < bound);
        if let Some(sum) = counts.get_mut(row) {
            *sum = sum.saturating_add(*count);
        }
    }
    let total = counts.iter().fold(0, |sum: u64, n| sum.saturating_add(*n));
    Series {
        state,
        counts,
        total,
    }
}

fn push_group(out: &mut String, group: &[Series], bounds: &[u64], layout: &Layout) {
    let block = layout.bar_width + layout.count_width + SHARE_WIDTH + 3;
    let _ = write!(out, "{:LABEL_WIDTH$}", "");
    for series in group {
        let commands = format::plural(series.total, "command");
        let title = format!("{}: {commands}", series.state.short());
        let _ = write!(out, "  {title:<block$}");
    }
    end_line(out);
    for (row, bound) in bounds.iter().enumerate() {
        let _ = write!(out, "{:>LABEL_WIDTH$}", bound_label(*bound));
        for series in group {
            let count = series.counts.get(row).copied().unwrap_or(0);
            out.push_str("  ");
            push_block(out, count, series.total, layout);
        }
        end_line(out);
    }
}

fn push_block(out: &mut String, count: u64, total: u64, layout: &Layout) {
    let width = layout.bar_width + layout.count_width + SHARE_WIDTH + 3;
    if count == 0 {
        out.extend(std::iter::repeat_n(' ', width));
        return;
    }
    let filled = fraction(count, total) / layout.top;
    let start = out.chars().count();
    push_bar(out, filled, layout.bar_width);
    let used = out.chars().count() - start;
    out.extend(std::iter::repeat_n(
        ' ',
        layout.bar_width.saturating_sub(used),
    ));
    let width = layout.count_width;
    let share = format::share(format::part(count, total));
    let _ = write!(
        out,
        "  {:>width$} {share:>SHARE_WIDTH$}",
        format::count(count)
    );
}

/// Appends a bar of at most `width` characters; what is not zero shows at least a sliver.
pub(crate) fn push_bar(out: &mut String, filled: f64, width: usize) {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if !filled.is_finite() || filled <= 0.0 {
        return;
    }
    let eighths = ((filled.min(1.0) * (width * 8) as f64).round() as usize).max(1);
    out.extend(std::iter::repeat_n('█', eighths / 8));
    out.push_str(PARTS[eighths % 8]);
}

/// `≤ 150 µs`.
fn bound_label(bound: u64) -> String {
    if bound == u64::MAX {
        return "more".to_owned();
    }
    let units = [
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
        (1, "ns"),
    ];
    let (unit, name) = units
        .into_iter()
        .find(|(unit, _)| bound >= *unit)
        .unwrap_or((1, "ns"));
    if bound.is_multiple_of(unit) {
        format!("≤ {} {name}", bound / unit)
    } else {
        format!(
            "≤ {}.{} {name}",
            bound / unit,
            bound % unit / (unit / 10).max(1)
        )
    }
}

fn fraction(count: u64, total: u64) -> f64 {
    format::part(count, total).unwrap_or(0.0)
}

fn end_line(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    #[test]
    fn states_stand_side_by_side_on_one_scale() {
        let paths = [
            samples::path_with(1, AccessState::Optimized, &[(80_300, 10), (100_900, 70)]),
            samples::path_with(2, AccessState::NonOptimized, &[(210_000, 15), (100_000, 5)]),
        ];
        let shown = histogram(&paths, 80);
        let expected = "             AO: 80 commands                   AN: 20 commands
   ≤ 100 µs  ██▉                   10  12.5 %  █████▊                 5  25.0 %
   ≤ 120 µs  ████████████████████  70  87.5 %
   ≤ 150 µs
   ≤ 200 µs
   ≤ 250 µs                                    █████████████████▏    15  75.0 %
";
        assert_eq!(shown, expected, "\n{shown}");
        assert!(
            shown.lines().all(|line| line.chars().count() <= 80),
            "{shown}"
        );
    }

    #[test]
    fn every_command_is_in_a_row_and_there_are_few_rows() {
        let buckets: Vec<(u64, u64)> = (0..60).map(|i| (1_u64 << i, 1)).collect();
        let merged = BTreeMap::from([(AccessState::Optimized, buckets.clone())]);
        let (low, high) = extent(&merged).unwrap();
        let bounds = scale(low, high);
        assert_eq!(fill(AccessState::Optimized, &buckets, &bounds).total, 60);
        assert!(bounds.len() <= 60);
        assert!(scale(50_000, 5_000_000_000).len() <= MAX_ROWS);
        assert_eq!(scale(u64::MAX, u64::MAX), [u64::MAX]);
        assert_eq!(scale(0, 0), [10]);
    }

    #[test]
    fn many_states_are_stacked_when_narrow() {
        let states = [
            AccessState::Optimized,
            AccessState::NonOptimized,
            AccessState::Unknown,
        ];
        let paths: Vec<_> = (0..3)
            .map(|i| samples::path_with(i, states[usize::from(i)], &[(9, 1)]))
            .collect();
        assert_eq!(histogram(&paths, 80).lines().count(), 2);
        assert_eq!(histogram(&paths, 60).lines().count(), 4);
        assert_eq!(histogram(&paths, 1).lines().count(), 6);
    }

    #[test]
    fn nothing_gives_nothing() {
        assert_eq!(histogram(&[], 80), "");
    }

    #[test]
    fn bounds_are_read_as_people_say_them() {
        assert_eq!(bound_label(10), "≤ 10 ns");
        assert_eq!(bound_label(150_000), "≤ 150 µs");
        assert_eq!(bound_label(1_200_000), "≤ 1.2 ms");
        assert_eq!(bound_label(2_000_000_000), "≤ 2 s");
    }
}
