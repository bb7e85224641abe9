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
    parts(&line).is_some_and(|(_, rest)| {
        multipath::parse_table(rest).is_ok() || multipath::parse_status(rest).is_ok()
    })
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
    let (name, rest) = line.split_once(": ").unwrap_or(("", line));
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
    for (nth, line) in text.lines().enumerate() {
        let table = table_of(line);
        let is_understood = parts(&table)
            .is_some_and(|(name, rest)| add(&mut inventory.maps, &mut room, name, rest));
        if !is_understood && !line.trim().is_empty() {
            other.add(nth, line);
        }
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

fn add(maps: &mut Vec<Map>, room: &mut Room, name: &str, line: &str) -> bool {
    let (table, status) = (multipath::parse_table(line), multipath::parse_status(line));
    if table.is_err() && status.is_err() {
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
    // A line may be read as both: only a table names selectors by words.
    match (table, status) {
        (Ok(table), _) => of_table(map, room, table),
        (Err(_), Ok(status)) => of_status(map, room, status),
        (Err(_), Err(_)) => {}
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
}
