//! Owns what one line of `multipath -ll` says, in the form of any age:
//!
//! ```text
//! mpatha (3600…) dm-4 DGC,VRAID                              mpath2 (3600…) dm-4 DGC,VRAID
//! size=100G features='0' hwhandler='1 alua' wp=rw            [size=100G][features=0][hwhandler=1 alua][rw]
//! |-+- policy='service-time 0' prio=50 status=active         \_ round-robin 0 [prio=50][active]
//! | `- 1:0:3:20 sds 65:32 active ready running                \_ 1:0:3:20 sds 65:32 [active][ready]
//! ```

use crate::topology::Hctl;

/// What multipath does with a map, before its name.
const ACTIONS: [&str; 9] = [
    "create", "reload", "reject", "switchpg", "rename", "resize", "nothing", "enable", "undef",
];
/// States of a SCSI device as sysfs has them, and of an NVMe controller.
const DEVICE_STATES: [&str; 10] = [
    "running",
    "offline",
    "blocked",
    "quiesce",
    "created",
    "cancel",
    "deleted",
    "transport-offline",
    "created-blocked",
    "live",
];

#[derive(Debug, PartialEq)]
pub(super) enum Line<'a> {
    Heading(Heading<'a>),
    Properties(Properties<'a>),
    Group(Group<'a>),
    Path(PathLine<'a>),
    /// `Nov 21 10:00:00 | sdb: …`: what multipath says beside the list.
    Log,
    Empty,
    Other,
}

#[derive(Debug, PartialEq)]
pub(super) struct Heading<'a> {
    pub(super) name: &'a str,
    /// `None` when the name is the WWID.
    pub(super) wwid: Option<&'a str>,
    pub(super) dm: Option<&'a str>,
    pub(super) vendor: Option<&'a str>,
    pub(super) product: Option<&'a str>,
}

#[derive(Debug, Default, PartialEq)]
pub(super) struct Properties<'a> {
    pub(super) size_bytes: Option<u64>,
    pub(super) features: Option<&'a str>,
    pub(super) handler: Option<&'a str>,
    pub(super) read_only: Option<bool>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Group<'a> {
    pub(super) selector: Option<&'a str>,
    pub(super) priority: Option<i32>,
    pub(super) state: Option<&'a str>,
}

#[derive(Debug, PartialEq)]
pub(super) struct PathLine<'a> {
    /// `None` when the device is gone: `#:#:#:#`.
    pub(super) address: Option<&'a str>,
    pub(super) device: Option<&'a str>,
    pub(super) devno: Option<&'a str>,
    pub(super) dm_state: Option<&'a str>,
    /// Several words: `i/o pending`.
    pub(super) checker_state: Option<String>,
    pub(super) device_state: Option<&'a str>,
}

pub(super) fn parse(line: &str) -> Line<'_> {
    let body = line.trim_start_matches([' ', '\t', '|', '`', '-', '+', '\\', '_']);
    let lead = line.get(..line.len() - body.len()).unwrap_or_default();
    let drawn = lead.contains(['-', '_']);
    let body = body.trim_end();
    if line.trim().is_empty() {
        Line::Empty
    } else if is_log(line) {
        Line::Log
    } else if drawn {
        drawn_line(body)
    } else if body.contains("size=") && body.contains("features=") || is_rest(body) {
        Line::Properties(properties(body))
    } else {
        heading(line).map_or(Line::Other, Line::Heading)
    }
}

/// Whether this is the end of a line of properties that was broken.
fn is_rest(body: &str) -> bool {
    matches!(body, "wp=rw" | "wp=ro")
}

fn drawn_line(body: &str) -> Line<'_> {
    path(body)
        .map(Line::Path)
        .or_else(|| new_group(body).or_else(|| old_group(body)).map(Line::Group))
        .unwrap_or(Line::Other)
}

/// `undef`, `[undef]`, `unknown` and `-` stand for what multipath does not know.
pub(in crate::import) fn known(word: &str) -> Option<&str> {
    let word = word.trim();
    let unknown = matches!(
        word,
        "" | "undef" | "[undef]" | "unknown" | "[unknown]" | "-" | "[orphan]"
    );
    (!unknown && !word.starts_with('#')).then_some(word)
}

/// A list of words without their number, which is before it: `1 queue_if_no_path`, `0`.
pub(in crate::import) fn uncounted(words: &str) -> &str {
    let words = words.trim();
    let end = words.find(char::is_whitespace).unwrap_or(words.len());
    match words.split_at(end) {
        (count, rest) if count.parse::<u32>().is_ok() => rest.trim(),
        _ => words,
    }
}

/// `vendor,product`, each padded or not.
fn identity(text: &str) -> (Option<&str>, Option<&str>) {
    let Some((vendor, product)) = text.split_once(',') else {
        return (None, None);
    };
    let known = |text: &'_ str| !text.is_empty() && !text.starts_with('#') && text != "undef";
    let [vendor, product] = [vendor.trim(), product.trim()];
    (
        Some(vendor).filter(|text| known(text)),
        Some(product).filter(|text| known(text)),
    )
}

fn is_log(line: &str) -> bool {
    line.split_once(" | ").is_some_and(|(time, _)| {
        let clock = time.rsplit(' ').next().unwrap_or_default();
        clock.len() == 8 && clock.split(':').filter(|part| part.len() == 2).count() == 3
    })
}

fn heading(line: &str) -> Option<Heading<'_>> {
    let (first, rest) = word(line)?;
    let action = first
        .strip_suffix(':')
        .filter(|action| action.is_empty() || ACTIONS.contains(action));
    let line = action.map_or(line, |_| rest).trim();
    let (name, wwid, rest) = bracketed(line).or_else(|| unbracketed(line))?;
    let device = word(rest).filter(|(device, _)| is_dm(device) || *device == "undef");
    let (dm, rest) = device.map_or((None, rest), |(dm, rest)| (known(dm), rest));
    // A name alone, or one with something else behind it, is any text.
    if device.is_none() && (wwid.is_none() || !rest.trim().is_empty() && !rest.contains(',')) {
        return None;
    }
    let (vendor, product) = identity(rest.trim());
    Some(Heading {
        name,
        wwid,
        dm,
        vendor,
        product,
    })
}

fn is_dm(word: &str) -> bool {
    let number = word.strip_prefix("dm-");
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// `mpatha (3600…) dm-0 …`: name, WWID and what follows. WWIDs made of T10 vendor identifications have
/// blanks: `(1IET     00080001)`.
fn bracketed(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let (name, rest) = line.split_once(" (")?;
    let (wwid, rest) = rest.split_once(')')?;
    let is_word = !name.is_empty() && !name.trim_end().contains(char::is_whitespace);
    is_word.then_some((name.trim_end(), Some(wwid), rest))
}

/// `3600… dm-0 …`, `1IET     00080001 dm-0 …`: the name is the WWID.
fn unbracketed(line: &str) -> Option<(&str, Option<&str>, &str)> {
    let (first, rest) = word(line)?;
    let (second, behind) = word(rest).unwrap_or(("", ""));
    let padded = rest.starts_with("  ") && !is_dm(second) && second != "undef";
    if padded && word(behind).is_some_and(|(third, _)| is_dm(third)) {
        let length = line.len() - behind.len();
        return Some((line.get(..length)?, None, behind));
    }
    // Up to 0.4.7 nothing stands between: `3600…dm-0  VENDOR  ,PRODUCT`.
    if let Some(at) = first.find("dm-").filter(|at| *at > 0)
        && first.get(at..).is_some_and(is_dm)
        && rest.contains(',')
    {
        return Some((line.get(..at)?, None, line.get(at..)?));
    }
    Some((first, None, rest))
}

/// The first word, and what follows it.
fn word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn properties(body: &str) -> Properties<'_> {
    let write = ["wp=", "["].iter().find_map(|lead| {
        ["rw", "ro"].into_iter().find(|word| {
            let at = body
                .find(&format!("{lead}{word}"))
                .map(|at| at + lead.len() + word.len());
            at.is_some_and(|end| {
                body.get(end..)
                    .is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            })
        })
    });
    Properties {
        size_bytes: value(body, "size=").and_then(size_bytes),
        features: value(body, "features=").map(uncounted),
        handler: value(body, "hwhandler=").map(uncounted),
        read_only: write.map(|word| word == "ro"),
    }
}

/// What follows `name`: quoted, up to the bracket, or one word.
fn value<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let at = body.find(name)? + name.len();
    let rest = body.get(at..)?;
    let bracketed = body.starts_with('[');
    let (rest, end) = match rest.chars().next()? {
        quote @ ('\'' | '"') => (rest.get(1..)?, quote),
        _ if bracketed => (rest, ']'),
        _ => (rest, ' '),
    };
    Some(rest.split(end).next().unwrap_or_default())
}

/// `100G`, `1.5T`, `10 GB`: multiples of 1024, with the digits that multipath prints.
pub(in crate::import) fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let shift = match unit.trim().chars().next() {
        None => 0,
        Some('K' | 'k') => 10,
        Some('M') => 20,
        Some('G') => 30,
        Some('T') => 40,
        Some('P') => 50,
        Some(_) => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(1 << shift);
    }
    let bytes = number.parse::<f64>().ok()? * f64::from(2_u32).powi(shift);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked, and `as` saturates"
    )]
    (bytes < 1e19).then_some(bytes as u64)
}

fn path(body: &str) -> Option<PathLine<'_>> {
    let (address, rest) = word(body)?;
    let is_unknown = address.split(':').count() == 4 && address.chars().all(|c| "#:-".contains(c));
    if !is_unknown && address.parse::<Hctl>().is_err() {
        return None;
    }
    let words: Vec<&str> = rest
        .split(|c: char| c.is_whitespace() || "[]".contains(c))
        .filter(|word| !word.is_empty())
        .take(8)
        .collect();
    let states = words.get(2..).unwrap_or_default();
    let (device_state, states) = match states.split_last() {
        Some((last, before)) if before.len() >= 2 || DEVICE_STATES.contains(last) => {
            (Some(*last), before)
        }
        _ => (None, states),
    };
    let (dm_state, checker) = states
        .split_first()
        .map_or((None, states), |(dm, rest)| (Some(*dm), rest));
    let checker = checker.join(" ");
    Some(PathLine {
        address: (!is_unknown).then_some(address),
        device: words.first().copied().and_then(known),
        devno: words.get(1).copied().and_then(known),
        dm_state: dm_state.and_then(known),
        checker_state: known(&checker).map(str::to_owned),
        device_state: device_state.and_then(known),
    })
}

fn new_group(body: &str) -> Option<Group<'_>> {
    if !body.starts_with("policy=") {
        return None;
    }
    Some(Group {
        selector: Some(value(body, "policy=")?),
        priority: value(body, "prio=").and_then(|priority| priority.parse().ok()),
        state: value(body, "status=").and_then(known),
    })
}

fn old_group(body: &str) -> Option<Group<'_>> {
    let (selector, rest) = body.split_once('[')?;
    let mut group = Group {
        selector: Some(selector.trim()),
        priority: None,
        state: None,
    };
    for word in rest
        .split(['[', ']'])
        .map(str::trim)
        .filter(|word| !word.is_empty())
    {
        match word.strip_prefix("prio=") {
            Some(priority) => group.priority = priority.parse().ok(),
            None => group.state = known(word),
        }
    }
    group
        .selector
        .is_some_and(|it| !it.is_empty())
        .then_some(group)
}
