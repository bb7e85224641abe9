//! Reads the values of arguments: times, sizes, names and targets.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use clap::builder::{OsStringValueParser, TypedValueParser};

use super::{DecodeInput, JsonTarget, Listen, Rotate, ThresholdName};

const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// A recording in smaller files is more files than recording.
const SIZE_MIN: u64 = 64 << 10;
const ROTATE_MIN: Duration = Duration::from_secs(1);
/// A year: keeps every sum of times within 64 bits of nanoseconds.
const DURATION_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
/// The smallest page size, and so the smallest ring buffer.
const RING_BYTES_MIN: u32 = 4096;

/// A time such as `10s`, `1.5s`, `500ms`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let duration = time(text)?;
    if duration.is_zero() || duration > DURATION_MAX {
        return Err("must be more than zero and at most a year".to_owned());
    }
    Ok(duration)
}

/// A name and what is said under it, `mtu=9000`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    if name.is_empty() {
        return Err("needs a name before the =".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// A number of bytes such as `512K`, `100M`, `2G`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let units = [('K', 1_u64 << 10), ('M', 1 << 20), ('G', 1 << 30)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let (_, unit) = unit.ok_or_else(|| "needs a unit: K, M or G".to_owned())?;
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| "not a number of K, M or G".to_owned())?;
    match number.checked_mul(*unit) {
        Some(bytes) if bytes >= SIZE_MIN => Ok(bytes),
        Some(_) => Err("must be at least 64K".to_owned()),
        None => Err("too large".to_owned()),
    }
}

/// A size (`500M`) or a time (`1h`).
pub(super) fn rotate(text: &str) -> Result<Rotate, String> {
    if text.ends_with(['K', 'M', 'G']) {
        return size(text).map(Rotate::Size);
    }
    match time(text) {
        Ok(time) if time >= ROTATE_MIN && time <= DURATION_MAX => Ok(Rotate::Time(time)),
        Ok(_) => Err("must be at least 1s".to_owned()),
        Err(why) => Err(format!("{why}; or a size with K, M or G")),
    }
}

/// More than 0 and less than 100 percent.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if percent > 0.0 && percent < 100.0 => Ok(percent),
        _ => Err("must be a number between 0 and 100, in percent".to_owned()),
    }
}

/// A number from 1 on.
pub(super) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("must be a number from 1 on".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A threshold's name and its value: a number or a time, in ns.
pub(super) fn threshold(text: &str) -> Result<(ThresholdName, u64), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "must be NAME=VALUE".to_owned())?;
    let known = ThresholdName::from_str(name, false).map_err(|_| {
        let names = ThresholdName::value_variants().iter();
        let names = names.filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()));
        format!(
            "no such threshold; there are {}",
            names.collect::<Vec<_>>().join(", ")
        )
    })?;
    if known == ThresholdName::ThrashTransfers {
        return match count(value)? {
            // The engine remembers no more moves of a unit.
            number @ 2..=64 => Ok((known, number as u64)),
            _ => Err("must be from 2 to 64".to_owned()),
        };
    }
    let time = duration(value)?;
    Ok((known, u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
}

/// A time between two reports.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    let interval = time(text)?;
    if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&interval) {
        return Err("must be between 100ms and 1h".to_owned());
    }
    Ok(interval)
}

fn time(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" => return Err("needs a unit: ms, s, m or h".to_owned()),
        _ => return Err("unknown unit: use ms, s, m or h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "not a number with a unit".to_owned())?;
    Duration::try_from_secs_f64(number * seconds_per_unit).map_err(|_| "too long".to_owned())
}

/// A ring buffer size such as `4194304`, `512K`, `4M`.
pub(super) fn ring_bytes(text: &str) -> Result<u32, String> {
    let (number, unit) = match text.strip_suffix(['K', 'k']) {
        Some(number) => (number, 1_u32 << 10),
        None => match text.strip_suffix(['M', 'm']) {
            Some(number) => (number, 1 << 20),
            None => (text, 1),
        },
    };
    let number: u32 = number
        .parse()
        .map_err(|_| "not a number of bytes, K or M".to_owned())?;
    match number.checked_mul(unit) {
        Some(bytes) if bytes.is_power_of_two() && bytes >= RING_BYTES_MIN => Ok(bytes),
        _ => Err("must be a power of two, from 4K to 2048M".to_owned()),
    }
}

/// Numbers of processors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cpus(pub(super) Vec<usize>);

/// Processors as the kernel lists them: `0,2-3`.
pub(super) fn cpus(text: &str) -> Result<Cpus, String> {
    const MOST: usize = rustix::thread::CpuSet::MAX_CPU;
    let number = |text: &str| -> Result<usize, String> {
        let number = text.parse().ok().filter(|number| *number < MOST);
        number
            .ok_or_else(|| format!("{text:?} is no CPU: give numbers below {MOST}, such as 0,2-3"))
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(format!("{part:?} ends before it begins"));
        }
        cpus.extend(first..=last);
    }
    Ok(Cpus(cpus))
}

/// A name that is not empty.
pub(super) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("must not be empty".to_owned());
    }
    Ok(text.to_owned())
}

/// `-`, or a file name, which need not be UTF-8.
pub(super) fn json_target() -> impl TypedValueParser<Value = JsonTarget> {
    OsStringValueParser::new().try_map(|value: OsString| match value.as_os_str() {
        dash if dash == OsStr::new("-") => Ok(JsonTarget::Stdout),
        empty if empty.is_empty() => Err("must not be empty"),
        file => Ok(JsonTarget::File(file.into())),
    })
}

/// An address of this host's own, `127.0.0.1:9909`, or a socket, `unix:/run/alua-trace/metrics.sock`.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = PathBuf::from(path);
        return match path.is_absolute() {
            true => Ok(Listen::Unix(path)),
            false => Err("the path of a socket begins with /".to_owned()),
        };
    }
    let address: SocketAddr = text.parse().map_err(|_| {
        "must be an address and a port, such as 127.0.0.1:9909, or unix:PATH".to_owned()
    })?;
    if !address.ip().is_loopback() {
        return Err(
            "others can reach this address, and nothing is encrypted: use one such as 127.0.0.1, or unix:PATH".to_owned(),
        );
    }
    Ok(Listen::Loopback(address))
}

/// As [`json_target`], to read from.
pub(super) fn decode_input() -> impl TypedValueParser<Value = DecodeInput> {
    OsStringValueParser::new().try_map(|value: OsString| match value.as_os_str() {
        dash if dash == OsStr::new("-") => Ok(DecodeInput::Stdin),
        empty if empty.is_empty() => Err("must not be empty"),
        file => Ok(DecodeInput::File(file.into())),
    })
}
