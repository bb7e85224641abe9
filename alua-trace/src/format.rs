//! Numbers for people: latencies, rates, counts, shares. Unknown is [`UNKNOWN`], never 0; a value
//! that is not zero is never shown as zero, and a part of a whole never as all of it.
//!
//! `push_*` appends to a string, so that the live view allocates nothing per cell.

use std::fmt::Write;

/// Stands for a value nobody knows.
pub const UNKNOWN: &str = "–";
/// Widest latency, in characters.
pub const LATENCY_WIDTH: usize = 7;

const MIB: f64 = 1_048_576.0;

/// Appends a latency with three digits: `812 ns`, `87.2 µs`, `1.94 ms`, `12.3 s`.
pub fn push_latency(out: &mut String, ns: Option<u64>) {
    let Some(ns) = ns else {
        out.push_str(UNKNOWN);
        return;
    };
    if ns < 1000 {
        let _ = write!(out, "{ns} ns");
        return;
    }
    for (unit, name) in [(1_000_u64, "µs"), (1_000_000, "ms"), (1_000_000_000, "s")] {
        // Rounding must not give "1000 µs": the next unit takes over half a digit before.
        if let Some((value, digits)) = three_digits(ns, unit) {
            let _ = match digits {
                2 => write!(out, "{}.{:02} {name}", value / 100, value % 100),
                1 => write!(out, "{}.{} {name}", value / 10, value % 10),
                _ => write!(out, "{value} {name}"),
            };
            return;
        }
    }
    let seconds = ns / 1_000_000_000;
    if seconds < 10_000 {
        let _ = write!(out, "{seconds} s");
    } else {
        out.push_str(">9999 s");
    }
}

/// `ns / unit` rounded to three digits, as an integer and how many digits are behind the point.
fn three_digits(ns: u64, unit: u64) -> Option<(u64, u32)> {
    for (digits, scale) in [(2, 100), (1, 10), (0, 1)] {
        let step = unit / scale;
        let value = ns.saturating_add(step / 2) / step;
        if value < 1000 {
            return Some((value, digits));
        }
    }
    None
}

/// A latency, such as `87.2 µs`.
pub fn latency(ns: Option<u64>) -> String {
    built(|out| push_latency(out, ns))
}

/// A latency right-aligned in [`LATENCY_WIDTH`] characters.
pub fn latency_fixed(ns: Option<u64>) -> String {
    format!("{:>LATENCY_WIDTH$}", latency(ns))
}

/// Appends a count with thousands separators.
pub fn push_count(out: &mut String, count: u64) {
    let mut divisor = 1;
    while count / divisor >= 1000 {
        divisor *= 1000;
    }
    let _ = write!(out, "{}", count / divisor);
    while divisor > 1 {
        divisor /= 1000;
        let _ = write!(out, ",{:03}", count / divisor % 1000);
    }
}

/// A count with thousands separators: `1,234,567`.
pub fn count(count: u64) -> String {
    built(|out| push_count(out, count))
}

/// Appends a rate in at most seven characters: `3.5`, `12,345`, `1.23 M`.
pub fn push_rate(out: &mut String, per_s: f64) {
    push_quantity(out, per_s, 1);
}

/// Commands per second.
pub fn rate(per_s: f64) -> String {
    built(|out| push_rate(out, per_s))
}

/// Appends bytes per second as MiB/s, without the unit: `0.25`, `48.2`, `1,234`.
pub fn push_mib(out: &mut String, bytes_per_s: f64) {
    push_quantity(out, bytes_per_s / MIB, 2);
}

/// Bytes per second as MiB/s, without the unit.
pub fn mib(bytes_per_s: f64) -> String {
    built(|out| push_mib(out, bytes_per_s))
}

/// `digits` behind the point below 10, one less below 100, then none; `M` from a million on.
fn push_quantity(out: &mut String, value: f64, digits: usize) {
    if !value.is_finite() || value < 0.0 {
        out.push_str(UNKNOWN);
        return;
    }
    let smallest = if digits == 2 { 0.01 } else { 0.1 };
    let _ = if value == 0.0 {
        out.push('0');
        Ok(())
    } else if value < smallest / 2.0 {
        write!(out, "<{smallest}")
    } else if value < 9.95 {
        write!(out, "{value:.digits$}")
    } else if value < 99.5 {
        write!(out, "{value:.prec$}", prec = digits - 1)
    } else if value < 999_999.5 {
        push_count(out, value.round() as u64);
        Ok(())
    } else {
        write!(out, "{:.2} M", value / 1e6)
    };
}

/// Appends a share of 0 to 1 in percent: `62.1 %`. `None` is unknown.
pub fn push_share(out: &mut String, share: Option<f64>) {
    let Some(share) = share.filter(|share| share.is_finite()) else {
        out.push_str(UNKNOWN);
        return;
    };
    let percent = share * 100.0;
    let _ = if percent <= 0.0 {
        out.push_str("0 %");
        Ok(())
    } else if percent < 0.05 {
        out.push_str("<0.1 %");
        Ok(())
    } else if percent >= 100.0 {
        out.push_str("100 %");
        Ok(())
    } else if percent >= 99.95 {
        out.push_str(">99.9 %");
        Ok(())
    } else {
        write!(out, "{percent:.1} %")
    };
}

/// A share in percent.
pub fn share(share: Option<f64>) -> String {
    built(|out| push_share(out, share))
}

/// `part` of `whole`, 0 to 1; unknown when there is no whole.
pub fn part(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Appends a length of time: `350 ms`, `12.3 s`, `2 min 05 s`, `1 h 02 min`.
pub fn push_duration(out: &mut String, ns: u64) {
    let seconds = ns / 1_000_000_000;
    let _ = match seconds {
        0..60 => {
            push_latency(out, Some(ns));
            Ok(())
        }
        60..3600 => write!(out, "{} min {:02} s", seconds / 60, seconds % 60),
        _ => write!(out, "{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    };
}

/// A length of time.
pub fn duration(ns: u64) -> String {
    built(|out| push_duration(out, ns))
}

/// Seconds with milliseconds, such as `12.045`: a point in time since the start of the trace.
pub fn elapsed(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns / 1_000_000 % 1000)
}

fn built(push: impl FnOnce(&mut String)) -> String {
    let mut out = String::new();
    push(&mut out);
    out
}

/// `1 path`, `2 paths`.
pub fn plural(count: u64, noun: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{} {noun}{s}", self::count(count))
}

/// How likely chance alone makes something: `0.004`.
pub fn chance(p: f64) -> String {
    if p < 0.001 {
        "0.001 or less".to_owned()
    } else {
        format!("{p:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_three_digits_and_a_unit() {
        for (ns, expected) in [
            (0, "0 ns"),
            (812, "812 ns"),
            (1_000, "1.00 µs"),
            (87_249, "87.2 µs"),
            (99_949, "99.9 µs"),
            (99_950, "100 µs"),
            (999_499, "999 µs"),
            (999_500, "1.00 ms"),
            (1_940_000, "1.94 ms"),
            (12_300_000_000, "12.3 s"),
            (1_500_000_000_000, "1500 s"),
            (u64::MAX, ">9999 s"),
        ] {
            assert_eq!(latency(Some(ns)), expected);
        }
        assert_eq!(latency(None), "–");
        assert_eq!(latency_fixed(Some(812)), " 812 ns");
    }

    #[test]
    fn no_latency_is_wider_than_promised() {
        let mut ns = 1_u64;
        while ns < u64::MAX / 3 {
            for near in [ns - 1, ns, ns + 1] {
                assert!(
                    latency(Some(near)).chars().count() <= LATENCY_WIDTH,
                    "{near}"
                );
            }
            ns = ns + ns / 7 + 1;
        }
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(1_002_003), "1,002,003");
        assert_eq!(count(u64::MAX), "18,446,744,073,709,551,615");
    }

    #[test]
    fn rates_shrink_but_never_to_zero() {
        assert_eq!(rate(0.0), "0");
        assert_eq!(rate(0.04), "<0.1");
        assert_eq!(rate(3.46), "3.5");
        assert_eq!(rate(9.96), "10");
        assert_eq!(rate(12_345.4), "12,345");
        assert_eq!(rate(1_234_567.0), "1.23 M");
        assert_eq!(rate(f64::NAN), "–");
        assert_eq!(mib(262_144.0), "0.25");
        assert_eq!(mib(1.0), "<0.01");
        assert_eq!(mib(48.2 * MIB), "48.2");
        assert_eq!(mib(1234.0 * MIB), "1,234");
    }

    #[test]
    fn a_share_is_all_or_nothing_only_when_it_is() {
        assert_eq!(share(Some(0.0)), "0 %");
        assert_eq!(share(Some(0.000_01)), "<0.1 %");
        assert_eq!(share(Some(0.621)), "62.1 %");
        assert_eq!(share(Some(0.999_99)), ">99.9 %");
        assert_eq!(share(Some(1.0)), "100 %");
        assert_eq!(share(part(1, 0)), "–");
        assert_eq!(share(Some(f64::NAN)), "–");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(350_000_000), "350 ms");
        assert_eq!(duration(12_300_000_000), "12.3 s");
        assert_eq!(duration(125_000_000_000), "2 min 05 s");
        assert_eq!(duration(3_725_000_000_000), "1 h 02 min");
        assert_eq!(elapsed(12_045_900_000), "12.045");
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(plural(1, "path"), "1 path");
        assert_eq!(plural(1200, "path"), "1,200 paths");
    }
}
