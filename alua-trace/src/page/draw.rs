//! Parts of the charts, and their scales: where a time, a latency or a rate is drawn, and the lines that say so. Lengths are
//! in units of the drawing, which the page stretches to its width.

use std::fmt::Write;

/// Width of every chart, with its margins.
pub(crate) const WIDTH: f64 = 960.0;
/// Room for the labels of a scale.
pub(crate) const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
/// Between [`LEFT`] and the right margin.
pub(crate) const PLOT: f64 = WIDTH - LEFT - RIGHT;
/// Room for the labels of time.
pub(crate) const BELOW: f64 = 22.0;

/// Opens a chart of this height, for people who cannot see it with these words.
pub(crate) fn open(out: &mut String, height: f64, words: &str) {
    let _ = write!(
        out,
        "<div class=\"scroll\"><svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"group\" \
         tabindex=\"0\" aria-label=\"{words}\">"
    );
}

/// Closes it; below it the numbers of what is pointed at are shown.
pub(crate) fn close(out: &mut String) {
    out.push_str("</svg></div><output class=\"readout\" aria-live=\"polite\"></output>\n");
}

/// Time from left to right.
pub(crate) struct Time {
    end_ns: f64,
}

impl Time {
    /// From the start of the trace to its end.
    pub(crate) fn new(end_ns: u64) -> Self {
        Self {
            end_ns: end_ns.max(1) as f64,
        }
    }

    pub(crate) fn x(&self, ns: u64) -> f64 {
        LEFT + (ns as f64 / self.end_ns).min(1.0) * PLOT
    }

    /// Labels below `bottom`, and lines up to `top`.
    pub(crate) fn draw(&self, out: &mut String, top: f64, bottom: f64) {
        let step = nice(self.end_ns / 8.0 / 1e9, &STEPS);
        let step = if step > 20.0 {
            [
                30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0,
            ]
            .into_iter()
            .find(|it| *it >= step)
            .unwrap_or(step)
        } else {
            step
        };
        let mut at = 0.0;
        while at * 1e9 <= self.end_ns {
            let x = self.x((at * 1e9) as u64);
            line(out, "grid", (x, top), (x, bottom));
            text(out, "tick mid", (x, bottom + 15.0), &seconds(at));
            at += step;
        }
    }
}

/// `5 s`, `2:30`, `1:02:00`.
fn seconds(at: f64) -> String {
    let whole = at as u64;
    match whole {
        _ if at < 1.0 && at > 0.0 => format!("{at:.3} s").replace("00 s", " s"),
        0..120 => format!("{} s", (at * 10.0).round() / 10.0),
        120..3600 => format!("{}:{:02}", whole / 60, whole % 60),
        _ => format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60),
    }
}

/// Latencies from bottom to top, by their logarithm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Log {
    low: f64,
    high: f64,
    height: f64,
}

impl Log {
    /// From at most `low_ns` to at least `high_ns`.
    pub(crate) fn new(low_ns: u64, high_ns: u64, height: f64) -> Self {
        let low = (low_ns.max(1) as f64).log10();
        let high = (high_ns.max(2) as f64).log10().max(low + 0.3);
        let room = (high - low) * 0.04;
        Self {
            low: low - room,
            high: high + room,
            height,
        }
    }

    /// Below the top of the chart.
    pub(crate) fn y(&self, ns: u64) -> f64 {
        let at = ((ns.max(1) as f64).log10() - self.low) / (self.high - self.low);
        self.height * (1.0 - at.clamp(0.0, 1.0))
    }

    /// Lines at powers of ten (and between, where there are few), with labels.
    pub(crate) fn draw(&self, out: &mut String, top: f64) {
        let few = self.high - self.low < 1.6;
        let steps: &[u64] = if few { &[1, 2, 5] } else { &[1] };
        let mut last = f64::MAX;
        for decade in 0..13 {
            for step in steps {
                let ns = step * 10_u64.pow(decade);
                let at = (ns as f64).log10();
                let y = self.y(ns);
                if at < self.low || at > self.high || last - y < 11.0 {
                    continue;
                }
                last = y;
                line(out, "grid", (LEFT, top + y), (LEFT + PLOT, top + y));
                text(out, "tick end", (LEFT - 6.0, top + y + 4.0), &label(ns));
            }
        }
    }
}

/// `20 µs`.
fn label(ns: u64) -> String {
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{} µs", ns / 1_000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

/// Rates from bottom to top.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linear {
    low: f64,
    high: f64,
    step: f64,
    height: f64,
}

impl Linear {
    /// From 0 up to at least `high`.
    pub(crate) fn new(high: f64, height: f64) -> Self {
        let step = nice(high.max(1e-9) / 3.0, &STEPS);
        Self {
            low: 0.0,
            high: (high / step).ceil().max(1.0) * step,
            step,
            height,
        }
    }

    /// From the least of these values to the most, with room beyond: not from 0.
    pub(crate) fn between(values: &[f64], height: f64) -> Self {
        let ends = values.iter();
        let (low, high) = ends.fold((f64::MAX, f64::MIN), |(low, high), it| {
            (low.min(*it), high.max(*it))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.0, 1.0) };
        let room = ((high - low) * 0.08).max(high.abs() * 0.005).max(1e-9);
        let (low, high) = (low - room, high + room);
        Self {
            low,
            high,
            step: nice((high - low) / 5.0, &STEPS),
            height,
        }
    }

    pub(crate) fn y(&self, value: f64) -> f64 {
        let at = (value - self.low) / (self.high - self.low);
        self.height * (1.0 - at.clamp(0.0, 1.0))
    }

    pub(crate) fn draw(&self, out: &mut String, top: f64) {
        self.draw_as(out, top, &|at| {
            let digits = if self.step < 1.0 {
                1 + (-self.step.log10()) as usize
            } else {
                0
            };
            match at {
                at if at >= 1e6 => format!("{} M", at / 1e6),
                at if at >= 1e4 => format!("{} k", at / 1e3),
                at => format!("{at:.digits$}"),
            }
        });
    }

    /// With labels that somebody else writes; words must be safe already.
    pub(crate) fn draw_as(&self, out: &mut String, top: f64, label: &dyn Fn(f64) -> String) {
        let mut at = (self.low / self.step).ceil() * self.step;
        while at <= self.high + self.step * 0.001 {
            let y = top + self.y(at);
            line(out, "grid", (LEFT, y), (LEFT + PLOT, y));
            text(out, "tick end", (LEFT - 6.0, y + 4.0), &label(at));
            at += self.step;
        }
    }
}

/// As people count.
pub(crate) const STEPS: [f64; 4] = [1.0, 2.0, 5.0, 10.0];

/// The smallest of the steps times a power of ten that is at least `least`.
pub(crate) fn nice(least: f64, steps: &[f64]) -> f64 {
    let power = 10_f64.powf(least.max(1e-9).log10().floor());
    let step = steps.iter().find(|step| *step * power >= least * 0.999);
    step.copied().unwrap_or(10.0) * power
}

pub(crate) fn line(out: &mut String, class: &str, from: (f64, f64), to: (f64, f64)) {
    let ((x1, y1), (x2, y2)) = (from, to);
    let _ = write!(
        out,
        "<path class=\"{class}\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>"
    );
}

/// Words must be safe already.
pub(crate) fn text(out: &mut String, class: &str, at: (f64, f64), words: &str) {
    let (x, y) = at;
    let _ = write!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>"
    );
}

/// A value as a dot.
pub(crate) fn dot(out: &mut String, class: &str, at: (f64, f64)) {
    let (x, y) = at;
    let _ = write!(
        out,
        "<circle class=\"dot {class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>"
    );
}

/// A part of a chart that says its numbers when it is pointed at. Words must be safe already.
pub(crate) fn told(out: &mut String, from: (f64, f64), to: (f64, f64), words: &str) {
    let ((x, y), (w, h)) = (from, (to.0 - from.0, to.1 - from.1));
    let _ = write!(
        out,
        "<rect class=\"c\" x=\"{x:.1}\" y=\"{y:.0}\" width=\"{w:.1}\" height=\"{h:.0}\"><title>{words}</title></rect>"
    );
}

/// A line through points; where there is none, it is interrupted.
pub(crate) fn curve(
    out: &mut String,
    class: &str,
    points: impl Iterator<Item = Option<(f64, f64)>>,
) {
    let mut d = String::new();
    let mut is_down = false;
    for point in points {
        let Some((x, y)) = point else {
            is_down = false;
            continue;
        };
        let _ = write!(d, "{}{x:.1} {y:.1}", if is_down { 'L' } else { 'M' });
        if !is_down {
            // A point alone is seen, too.
            d.push_str("h.1");
        }
        is_down = true;
    }
    if !d.is_empty() {
        let _ = write!(out, "<path class=\"{class}\" d=\"{d}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_those_that_people_count_in() {
        for (least, step) in [
            (0.3, 0.5),
            (1.0, 1.0),
            (3.0, 5.0),
            (7.0, 10.0),
            (120.0, 200.0),
        ] {
            assert!((nice(least, &STEPS) - step).abs() < 1e-9, "{least}");
        }
    }

    #[test]
    fn a_latency_is_where_its_line_is() {
        let scale = Log::new(50_000, 300_000_000, 100.0);
        let apart = |low: u64, high: u64| scale.y(low) - scale.y(high);
        assert!((apart(100_000, 1_000_000) - apart(1_000_000, 10_000_000)).abs() < 1e-6);
        assert!(scale.y(50_000) < 100.0 && scale.y(300_000_000) > 0.0);
        let flat = Log::new(7, 7, 100.0);
        assert!(flat.y(7) > 0.0 && flat.y(7) < 100.0);
    }

    #[test]
    fn times_are_read_as_people_say_them() {
        for (at, words) in [
            (0.0, "0 s"),
            (0.5, "0.5 s"),
            (90.0, "90 s"),
            (150.0, "2:30"),
            (3720.0, "1:02:00"),
        ] {
            assert_eq!(seconds(at), words);
        }
    }
}
