//! What of a trace is reported on: the paths, flags and units of the maps that are wanted.

use super::{Engine, paths::Entry};
use crate::model::{Flag, FlagEvent, Line, Path};

impl Engine {
    /// The paths to report on.
    #[must_use]
    pub fn shown_paths(&self) -> Vec<Path> {
        self.shown().map(|entry| (*entry.label).clone()).collect()
    }

    /// Whether a path is reported on: a disk, or what had I/O, unless its map is not wanted.
    pub(super) fn shows(&self, entry: &Entry) -> bool {
        if self.wanted.maps.is_empty() {
            return entry.is_disk || entry.stats.recorded() > 0;
        }
        self.wants_map(entry.label.map.as_ref())
    }

    pub(super) fn wants_flag(&self, flag: &Flag) -> bool {
        flag.wwid.is_none() || self.wants_unit(flag.wwid.as_ref())
    }

    pub(super) fn wants_unit(&self, wwid: Option<&String>) -> bool {
        self.wanted.maps.is_empty() || self.shown().any(|entry| entry.label.wwid.as_ref() == wwid)
    }

    pub(super) fn wants_map(&self, map: Option<&String>) -> bool {
        let maps = &self.wanted.maps;
        maps.is_empty() || map.is_some_and(|map| maps.contains(map))
    }

    /// The paths to report on, ordered by map, path group and address; those without a map last.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.paths.ordered().filter(|entry| self.shows(entry))
    }

    pub(super) fn say_flags(&mut self, events: Vec<FlagEvent>) {
        for event in events {
            if self.wants_flag(&event.flag) {
                self.lines.push(Line::Flag(event));
            }
        }
    }

    pub(super) fn say_ownership(&mut self) {
        for line in self.ownership.take_lines() {
            match line {
                Line::Flag(event) => self.say_flags(vec![event]),
                Line::Transfer(event) if !self.wants_unit(event.transfer.wwid.as_ref()) => {}
                line => self.lines.push(line),
            }
        }
    }
}
