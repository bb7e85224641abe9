//! Owns the reading of `multipath -ll`, of the old form (up to 0.4.9) and the new one.

pub(super) mod line;

use std::borrow::Cow;

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::priority;
use super::room::{PATHS_PER_MAP, Room, push};
use crate::inventory::model::{Inventory, Map, Path, PathGroup, Priority};
use line::{Group, Heading, Line, PathLine, Properties};

/// The best that a prioritizer gives: paths whose mean is as high all have it.
const BEST: [(&str, i32); 2] = [("alua", 50), ("rdac", 14)];

/// The maps in `text`.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut reading = Reading {
        room: Room::new(text),
        maps: Vec::new(),
        heading: None,
        other: Leftover::default(),
        log: Leftover::default(),
    };
    let joined = unbroken(text);
    for (nth, line) in &joined {
        reading.line(*nth, line);
    }
    reading.finish()
}

/// The lines of a text, with their places; those that a mail broke within quotes are whole again.
fn unbroken(text: &str) -> Vec<(usize, Cow<'_, str>)> {
    let mut lines: Vec<(usize, Cow<'_, str>)> = Vec::new();
    for (nth, line) in text.lines().enumerate() {
        match lines.last_mut() {
            Some((_, last)) if last.contains("size=") && last.matches('\'').count() % 2 == 1 => {
                let whole = format!("{last} {}", line.trim_start());
                *last = Cow::Owned(whole);
            }
            _ => lines.push((nth, Cow::Borrowed(line))),
        }
    }
    lines
}

/// Whether a line is one that only this list has.
pub(super) fn is_list(line: &str) -> bool {
    match line::parse(line) {
        Line::Properties(_) | Line::Path(_) => true,
        Line::Group(group) => group.state.is_some(),
        _ => false,
    }
}

/// Whether a line is one of a path.
pub(super) fn is_path(line: &str) -> bool {
    matches!(line::parse(line), Line::Path(_))
}

/// Whether a line names a map.
pub(super) fn is_heading(line: &str) -> bool {
    matches!(line::parse(line), Line::Heading(_))
}

struct Reading<'a> {
    room: Room,
    maps: Vec<Map>,
    /// The last heading: it makes a map when properties or a group follow.
    heading: Option<(usize, &'a str, Heading<'a>)>,
    other: Leftover<'a>,
    log: Leftover<'a>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, nth: usize, text: &'a str) {
        let understood = match line::parse(text) {
            Line::Empty => true,
            Line::Log => {
                self.log.add(nth, text);
                true
            }
            Line::Heading(heading) => {
                self.drop_heading();
                self.heading = Some((nth, text, heading));
                true
            }
            // The end of a line that a terminal or a mail broke.
            Line::Properties(Properties {
                size_bytes: None,
                features: None,
                handler: None,
                read_only: Some(read_only),
            }) => self.open_map().is_some_and(|map| {
                map.read_only = Some(read_only);
                true
            }),
            Line::Properties(properties) => self.unnamed(true).is_some_and(|map| {
                map.size_bytes = properties.size_bytes;
                map.features = properties.features.map(str::to_owned);
                map.handler = properties.handler.map(str::to_owned);
                map.read_only = properties.read_only;
                true
            }),
            Line::Group(group) => self.group(&group),
            Line::Path(path) => self.path(path),
            Line::Other => false,
        };
        if !understood {
            self.other.add(nth, text);
        }
    }

    /// A heading with nothing below it was some other text.
    fn drop_heading(&mut self) {
        if let Some((nth, text, _)) = self.heading.take() {
            self.other.add(nth, text);
        }
    }

    /// The map that lines belong to now.
    fn open_map(&mut self) -> Option<&mut Map> {
        if let Some((nth, text, heading)) = self.heading.take() {
            if !self.room.take_map() {
                self.other.add(nth, text);
                return None;
            }
            push(&mut self.maps, new_map(&heading));
        }
        self.maps.last_mut()
    }

    /// The map that properties or a group belong to: one whose beginning is cut off or was not
    /// understood, where there is no other.
    fn unnamed(&mut self, begins: bool) -> Option<&mut Map> {
        let is_other = begins && self.maps.last().is_some_and(|map| map.size_bytes.is_some());
        let has_none = self.heading.is_none() && (self.maps.is_empty() || is_other);
        if has_none && self.room.take_map() {
            let map = Map {
                name: "unnamed".to_owned(),
                ..Map::default()
            };
            push(&mut self.maps, map);
        }
        self.open_map()
    }

    fn group(&mut self, group: &Group<'_>) -> bool {
        let Some(map) = self.unnamed(false) else {
            return false;
        };
        if map.groups.len() >= PATHS_PER_MAP {
            return false;
        }
        let group = PathGroup {
            number: u32::try_from(map.groups.len() + 1).unwrap_or(u32::MAX),
            selector: group.selector.map(str::to_owned),
            state: group.state.map(str::to_owned),
            priority: group.priority,
            paths: Vec::new(),
        };
        push(&mut map.groups, group);
        true
    }

    fn path(&mut self, line: PathLine<'_>) -> bool {
        if self.maps.is_empty() && self.heading.is_none() {
            let group = Group {
                selector: None,
                priority: None,
                state: None,
            };
            self.group(&group);
        }
        let Some(map) = self.maps.last_mut().filter(|_| self.heading.is_none()) else {
            return false;
        };
        let Some(group) = map.groups.last_mut() else {
            return false;
        };
        if !self.room.take_path(group.paths.len()) {
            return false;
        }
        let path = new_path(line, group.state.as_deref());
        push(&mut group.paths, path);
        true
    }

    fn finish(mut self) -> Result<Inventory> {
        self.drop_heading();
        ensure!(
            self.maps.iter().any(|map| {
                let has_paths = map.groups.iter().any(|group| !group.paths.is_empty());
                has_paths
                    || map.size_bytes.is_some()
                    || map.wwid.is_some() && !map.groups.is_empty()
            }),
            "there is no map in it"
        );
        let is_cut = self.maps.iter().any(|map| map.wwid.is_none());
        let asked = was_asked(&self.maps);
        for map in &mut self.maps {
            if !asked {
                forget_answers(map);
            }
            spread_priorities(map);
            priority::explain(map);
        }
        let notes = [
            (!asked).then(|| NOT_ASKED.to_owned()),
            is_cut.then(|| {
                "of a map without a name the beginning is cut off, or not understood".to_owned()
            }),
            self.other.note("not understood"),
            self.log.note("of multipath's log left out"),
        ];
        Ok(Inventory {
            maps: self.maps,
            notes: notes.into_iter().flatten().collect(),
            ..Inventory::default()
        })
    }
}

/// `multipath -l` asks neither checker nor prioritizer: it prints 0 for every priority and undef for
/// every checker's word.
const NOT_ASKED: &str = "this is multipath -l, which asks no checker and no prioritizer: \
                         multipath -ll does";

/// Whether any checker or prioritizer was asked.
fn was_asked(maps: &[Map]) -> bool {
    let groups = || maps.iter().flat_map(|map| &map.groups);
    let mut paths = groups().flat_map(|group| &group.paths);
    let is_undef = |path: &Path| matches!(path.checker_state.as_deref(), None | Some("undef"));
    let has_priority = groups().any(|group| group.priority.is_some_and(|it| it != 0));
    has_priority || groups().all(|it| it.priority.is_none()) || !paths.all(is_undef)
}

fn forget_answers(map: &mut Map) {
    for group in &mut map.groups {
        group.priority = None;
        for path in &mut group.paths {
            path.checker_state = None;
        }
    }
}

fn new_map(heading: &Heading<'_>) -> Map {
    Map {
        name: heading.name.to_owned(),
        wwid: Some(heading.wwid.unwrap_or(heading.name).to_owned()),
        dm: heading.dm.map(str::to_owned),
        vendor: heading.vendor.map(str::to_owned),
        product: heading.product.map(str::to_owned),
        ..Map::default()
    }
}

fn new_path(line: PathLine<'_>, group_state: Option<&str>) -> Path {
    let current =
        group_state.and_then(|group| Some(group == "active" && line.dm_state? == "active"));
    Path {
        address: line.address.unwrap_or_default().to_owned(),
        device: line.device.map(str::to_owned),
        devno: line.devno.map(str::to_owned),
        dm_state: line.dm_state.map(str::to_owned),
        checker_state: line.checker_state,
        device_state: line.device_state.map(str::to_owned),
        current,
        ..Path::default()
    }
}

/// Gives a group's priority, which is the mean of its paths', to the paths, where they must all have
/// it: grouped by priority (that is, in one of several groups), alone, or all the best there is.
fn spread_priorities(map: &mut Map) {
    let several = map.groups.len() > 1;
    let best = BEST
        .iter()
        .find(|(handler, _)| map.handler.as_deref() == Some(handler));
    for group in &mut map.groups {
        let Some(value) = group.priority else {
            continue;
        };
        if several || group.paths.len() == 1 || best.is_some_and(|(_, best)| *best == value) {
            for path in &mut group.paths {
                path.priority = Some(Priority {
                    value,
                    reason: String::new(),
                    prioritizer: None,
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
