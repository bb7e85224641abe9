//! Owns the reading of `dmsetup table` and `dmsetup status`: lines of multipath maps, of one or all.

use std::borrow::Cow;

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Map, Path, PathGroup};
use crate::topology::{GroupState, multipath};

/// Bytes of a sector of device-mapper.
const SECTOR_BYTES: u64 = 512;

/// Whether a line is one of a multipath map.
pub(super) fn is_line(line: &str) -> bool {
    let line = table_of(line);
    parts(&line).is_some_and(|(_, rest)| is_whole(rest) || rest.split(' ').count() > MIN_WORDS)
}

/// Words of the shortest status, without groups; a line of more that is no whole one was broken by a
/// mail, or cut.
const MIN_WORDS: usize = 8;
/// Lines into which a mail breaks one.
const MAX_BROKEN: usize = 8;

fn is_whole(line: &str) -> bool {
    table(line).is_some() || multipath::parse_status(line).is_ok()
}

/// A line as a table; `None` if the groups begin with states, as a status's do.
fn table(line: &str) -> Option<multipath::Table> {
    let table = multipath::parse_table(line).ok()?;
    let states = ["A ", "E ", "D "];
    let is_state = |selector: &String| states.iter().any(|it| selector.starts_with(it));
    (!table.selectors.iter().any(is_state)).then_some(table)
}

/// A line as dmsetup prints it: of a table that was typed what is in quotes; without the names that
/// `crash` puts behind numbers.
fn table_of(line: &str) -> Cow<'_, str> {
    let typed = line.split_once("--table").and_then(|(before, rest)| {
        let quote = rest.find(['"', '\''])?;
        let table = rest.get(quote + 1..)?.split(['"', '\'']).next()?;
        let name = before.split_whitespace().last().unwrap_or("unnamed");
        Some(format!("{name}: {table}"))
    });
    let line = typed.map_or(Cow::Borrowed(line), Cow::Owned);
    if !line.contains(" [") {
        return line;
    }
    let words = line.split(' ');
    let kept: Vec<&str> = words.filter(|word| !word.starts_with('[')).collect();
    Cow::Owned(kept.join(" "))
}

/// The map's name, empty where one map was asked for, and what follows it.
fn parts(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    // Comments and pages put words before it and marks behind it; names have no blanks, which are
    // mangled (libdm-common.c `mangle_string`).
    let line = ["*)", "*/", "`", "\"", "'"].iter().fold(line, |line, end| {
        line.strip_suffix(end).unwrap_or(line).trim_end()
    });
    let (before, rest) = line.rsplit_once(": ").unwrap_or(("", line));
    let name = before.split_whitespace().last().unwrap_or_default();
    let mut words = rest.split_ascii_whitespace();
    let is_number = |word: Option<&str>| word.is_some_and(|word| word.parse::<u64>().is_ok());
    let is_map = is_number(words.next()) && is_number(words.next());
    (is_map && words.next() == Some("multipath")).then_some((name, rest))
}

/// The maps in `text`.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut room = Room::new(text);
    let mut inventory = Inventory::default();
    let mut other = Leftover::default();
    let lines: Vec<&str> = text.lines().collect();
    let mut nth = 0;
    while let Some(line) = lines.get(nth) {
        let (table, count) = whole(&lines, nth);
        let is_understood = parts(&table)
            .is_some_and(|(name, rest)| add(&mut inventory.maps, &mut room, name, rest));
        if !is_understood && !line.trim().is_empty() {
            other.add(nth, line);
        }
        nth += count;
    }
    ensure!(
        !inventory.maps.is_empty(),
        "there is no multipath map in it"
    );
    for map in inventory.maps.iter_mut().filter(|map| map.name.is_empty()) {
        map.name = "unnamed".to_owned();
    }
    inventory
        .notes
        .extend(other.note("of other targets, or not understood, left out"));
    Ok(inventory)
}

/// The line at `nth`, with those below it into which a mail has broken it; and how many they are.
fn whole<'a>(lines: &[&'a str], nth: usize) -> (Cow<'a, str>, usize) {
    let first = table_of(lines[nth]);
    let is_broken = |line: &str| parts(line).is_some_and(|(_, rest)| !is_whole(rest));
    if !is_broken(&first) {
        return (first, 1);
    }
    let mut joined = first.clone().into_owned();
    for (more, line) in lines.iter().skip(nth + 1).take(MAX_BROKEN).enumerate() {
        if line.trim().is_empty() || parts(line).is_some() {
            break;
        }
        joined = format!("{} {}", joined.trim_end(), line.trim());
        if !is_broken(&joined) {
            return (Cow::Owned(joined), more + 2);
        }
    }
    (first, 1)
}

fn add(maps: &mut Vec<Map>, room: &mut Room, name: &str, line: &str) -> bool {
    let (table, status) = (table(line), multipath::parse_status(line));
    if table.is_none() && status.is_err() {
        return false;
    }
    let known = maps.iter().position(|map| map.name == name);
    let at = match known {
        Some(at) => at,
        None if room.take_map() => {
            push(
                maps,
                Map {
                    name: name.to_owned(),
                    ..Map::default()
                },
            );
            maps.len() - 1
        }
        None => return false,
    };
    let Some(map) = maps.get_mut(at) else {
        return false;
    };
    let sectors = line.split_ascii_whitespace().nth(1);
    map.size_bytes = sectors
        .and_then(|it| it.parse::<u64>().ok())
        .and_then(|it| it.checked_mul(SECTOR_BYTES));
    match (table, status) {
        (Some(table), _) => of_table(map, room, table),
        (None, Ok(status)) => of_status(map, room, status),
        (None, Err(_)) => {}
    }
    true
}

fn group(map: &mut Map, at: usize) -> &mut PathGroup {
    while map.groups.len() <= at {
        let number = u32::try_from(map.groups.len() + 1).unwrap_or(u32::MAX);
        let group = PathGroup {
            number,
            ..PathGroup::default()
        };
        push(&mut map.groups, group);
    }
    &mut map.groups[at]
}

/// The path of a group with a number, which may be known of another line.
fn path<'a>(group: &'a mut PathGroup, room: &mut Room, devno: &str) -> Option<&'a mut Path> {
    let known = group
        .paths
        .iter()
        .position(|path| path.devno.as_deref() == Some(devno));
    let at = match known {
        Some(at) => at,
        None if room.take_path(group.paths.len()) => {
            let path = Path {
                devno: Some(devno.to_owned()),
                ..Path::default()
            };
            push(&mut group.paths, path);
            group.paths.len() - 1
        }
        None => return None,
    };
    group.paths.get_mut(at)
}

fn of_table(map: &mut Map, room: &mut Room, table: multipath::Table) {
    map.features = Some(table.features);
    map.handler = Some(table.handler.unwrap_or_default());
    map.bio_based = Some(table.bio_based);
    for (at, (selector, paths)) in table.selectors.into_iter().zip(table.paths).enumerate() {
        let group = group(map, at);
        group.selector = Some(selector);
        for devno in paths {
            path(group, room, &devno.to_string());
        }
    }
}

fn of_status(map: &mut Map, room: &mut Room, status: multipath::Status) {
    for (at, told) in status.groups.into_iter().enumerate() {
        let group = group(map, at);
        let state = match told.state {
            GroupState::Active => "active",
            GroupState::Enabled => "enabled",
            GroupState::Disabled => "disabled",
        };
        group.state = Some(state.to_owned());
        for of_map in told.paths {
            if let Some(path) = path(group, room, &of_map.devno.to_string()) {
                path.dm_state = Some(if of_map.active { "active" } else { "failed" }.to_owned());
                path.dm_failures = Some(of_map.fail_count);
                path.current = Some(of_map.active && told.state == GroupState::Active);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "mpatha: 0 131072 multipath 2 0 1 0 2 1 A 0 2 2 8:0 A 0 0 1 8:32 F 3 0 1 E 0 1 2 8:16 A 0 0 1\n\
        root: 0 999 linear\n";
    const TABLE: &str = "mpatha: 0 131072 multipath 1 queue_if_no_path 1 alua 2 1 \
        service-time 0 2 2 8:0 1 1 8:32 1 1 service-time 0 1 2 8:16 1 1\n";

    #[test]
    fn table_and_status_of_a_map_are_one() {
        let inventory = parse(&format!("{STATUS}{TABLE}")).unwrap();
        let [map] = &inventory.maps[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (map.name.as_str(), map.handler.as_deref()),
            ("mpatha", Some("alua"))
        );
        assert_eq!(map.size_bytes, Some(131_072 * 512));
        let states: Vec<_> = map.groups.iter().map(|it| it.state.as_deref()).collect();
        assert_eq!(states, [Some("active"), Some("enabled")]);
        let paths: Vec<_> = map
            .paths()
            .map(|it| {
                (
                    it.devno.as_deref().unwrap(),
                    it.dm_state.as_deref().unwrap(),
                    it.dm_failures,
                )
            })
            .collect();
        assert_eq!(
            paths,
            [
                ("8:0", "active", Some(0)),
                ("8:32", "failed", Some(3)),
                ("8:16", "active", Some(0))
            ]
        );
        assert_eq!(inventory.notes.len(), 1);
        assert_eq!(parse(TABLE).unwrap().maps[0].paths().count(), 3);
    }

    #[test]
    fn what_is_no_map_is_refused() {
        for text in [
            "root: 0 999 linear 8:0 1\n",
            "mpatha: 0 1 multipath 7\n",
            "",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        for end in 0..STATUS.len() {
            let _ = parse(&STATUS[..end]);
        }
    }

    #[test]
    fn a_line_that_a_mail_has_broken_is_one() {
        let text = "0 1562378240 multipath 2 0 0 0 1 1 A 0 4 1 253:11 A 0 309 253:8 A 0 0 253:9\n\
A 0 0 253:10 A 0 0\n";
        assert!(is_line(text.lines().next().unwrap()));
        let inventory = parse(text).unwrap();
        assert_eq!(inventory.maps[0].paths().count(), 4);
        assert_eq!(inventory.notes, [""; 0]);
        // What is cut stays cut.
        assert!(parse(text.lines().next().unwrap()).is_err());
        let cut = format!(
            "{}\nmpathb: 0 8 multipath 0 0 1 1 round-robin 0 1 1 8:0 1\n",
            &text[..70]
        );
        let inventory = parse(&cut).unwrap();
        assert_eq!(inventory.maps[0].name, "mpathb");
        assert_eq!(inventory.notes.len(), 1);
    }
}
