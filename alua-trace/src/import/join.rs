//! Owns how what several files or tools tell of the same maps and paths becomes one, and what they contradict
//! each other about.

use std::collections::HashMap;
use std::fmt::Debug;

use crate::import::{Event, Imported};
use crate::inventory::model::{Access, Disagreement, Inventory, Map, Path, PathGroup, Priority};

/// Contradictions of one map that are kept.
const MAX_DISAGREEMENTS: usize = 64;

/// What has been told so far.
#[derive(Debug, Default)]
pub(super) struct Joined {
    inventory: Inventory,
    timeline: Vec<Event>,
    configuration: Vec<(String, String)>,
    /// Who told of a thing first, and who added a field to it.
    first: HashMap<String, String>,
    tellers: HashMap<(String, &'static str), String>,
    /// Contradictions, by the name of the thing.
    disagreements: Vec<(String, Disagreement)>,
}

impl Joined {
    /// Adds what `teller` says.
    pub(super) fn add(&mut self, teller: &str, imported: Imported) {
        self.timeline.extend(imported.timeline.unwrap_or_default());
        let configuration = imported.configuration.into_iter();
        self.configuration
            .extend(configuration.map(|(_, text)| (teller.to_owned(), text)));
        let Inventory {
            maps,
            unmapped,
            notes,
        } = imported.inventory;
        for map in maps {
            self.map(teller, map);
        }
        for path in unmapped {
            self.path(teller, path);
        }
        let notes = notes.into_iter().map(|note| format!("{teller}: {note}"));
        self.inventory.notes.extend(notes);
    }

    /// All of it; contradictions stand with the map that they are about.
    pub(super) fn finish(mut self) -> Imported {
        for (thing, disagreement) in self.disagreements {
            let owner =
                self.inventory.maps.iter_mut().find(|map| {
                    map.name == thing || map.paths().any(|path| name_of(path) == thing)
                });
            match owner {
                Some(map) if map.disagreements.len() < MAX_DISAGREEMENTS => {
                    map.disagreements.push(disagreement);
                }
                _ => {
                    let claims = disagreement.claims.iter();
                    let claims: Vec<String> = claims
                        .map(|(who, what)| format!("{who} says {what}"))
                        .collect();
                    self.inventory.notes.push(format!(
                        "{}: {}",
                        disagreement.about,
                        claims.join(", ")
                    ));
                }
            }
        }
        Imported {
            inventory: self.inventory,
            timeline: (!self.timeline.is_empty()).then_some(self.timeline),
            configuration: self.configuration,
        }
    }

    fn map(&mut self, teller: &str, told: Map) {
        let same = |known: &Map| {
            let [one, other] = [known, &told].map(|map| map.wwid.as_deref().map(bare));
            known.name == told.name || one.is_some() && one == other
        };
        let Some(at) = self.inventory.maps.iter().position(same) else {
            let mut map = told;
            self.first.insert(map.name.clone(), teller.to_owned());
            for path in map.groups.iter_mut().flat_map(|group| &mut group.paths) {
                self.adopt(teller, path);
                self.introduce(teller, path);
            }
            self.inventory.maps.push(map);
            return;
        };
        let mut known = std::mem::take(&mut self.inventory.maps[at]);
        let thing = known.name.clone();
        let mut settle = Settling {
            thing: &thing,
            teller,
            joined: self,
        };
        settle.one("vendor", &mut known.vendor, told.vendor);
        settle.one("product", &mut known.product, told.product);
        settle.one("revision", &mut known.revision, told.revision);
        settle.one("serial number", &mut known.serial, told.serial);
        settle.one("features", &mut known.features, told.features);
        settle.one("handler", &mut known.handler, told.handler);
        settle.one("write permission", &mut known.read_only, told.read_only);
        // Sizes are rounded by some.
        known.size_bytes = told.size_bytes.or(known.size_bytes);
        known.dm = known.dm.take().or(told.dm);
        known.devno = known.devno.take().or(told.devno);
        known.wwid = known.wwid.take().or(told.wwid);
        known.bio_based = known.bio_based.or(told.bio_based);
        if known.port_groups.is_empty() {
            known.port_groups = told.port_groups;
        }
        for group in told.groups {
            self.group(teller, &mut known, group);
        }
        self.inventory.maps[at] = known;
    }

    fn group(&mut self, teller: &str, map: &mut Map, told: PathGroup) {
        for path in told.paths {
            let known = map
                .groups
                .iter_mut()
                .flat_map(|group| &mut group.paths)
                .find(|known| is_same(known, &path));
            if let Some(known) = known {
                self.settle_path(teller, known, path);
                continue;
            }
            self.introduce(teller, &path);
            let number = told.number;
            match map.groups.iter_mut().find(|group| group.number == number) {
                Some(group) => group.paths.push(path),
                None => map.groups.push(PathGroup {
                    number,
                    selector: told.selector.clone(),
                    state: told.state.clone(),
                    priority: told.priority,
                    paths: vec![path],
                }),
            }
        }
    }

    /// A path by itself: of a map, if one has it.
    fn path(&mut self, teller: &str, told: Path) {
        let find = |path: &Path| is_same(path, &told);
        for at in 0..self.inventory.maps.len() {
            let mut map = std::mem::take(&mut self.inventory.maps[at]);
            let known = map
                .groups
                .iter_mut()
                .flat_map(|group| &mut group.paths)
                .find(|known| find(known));
            let found = known.is_some();
            if let Some(known) = known {
                self.settle_path(teller, known, told.clone());
            }
            self.inventory.maps[at] = map;
            if found {
                return;
            }
        }
        match self.inventory.unmapped.iter().position(find) {
            Some(at) => {
                let mut known = std::mem::take(&mut self.inventory.unmapped[at]);
                self.settle_path(teller, &mut known, told);
                self.inventory.unmapped[at] = known;
            }
            None => {
                self.introduce(teller, &told);
                self.inventory.unmapped.push(told);
            }
        }
    }

    fn introduce(&mut self, teller: &str, path: &Path) {
        let first = self.first.entry(name_of(path));
        first.or_insert_with(|| teller.to_owned());
    }

    /// What was told of a path before its map was known.
    fn adopt(&mut self, teller: &str, path: &mut Path) {
        if let Some(at) = self
            .inventory
            .unmapped
            .iter()
            .position(|it| is_same(it, path))
        {
            // What is older was told first.
            let mut known = self.inventory.unmapped.remove(at);
            let told = std::mem::take(path);
            self.settle_path(teller, &mut known, told);
            *path = known;
        }
    }

    fn settle_path(&mut self, teller: &str, known: &mut Path, told: Path) {
        let before = name_of(known);
        if known.address.is_empty() {
            known.address = told.address;
        }
        let thing = name_of(known);
        if let Some(first) = self.first.get(&before).cloned() {
            self.first.entry(thing.clone()).or_insert(first);
        }
        let mut settle = Settling {
            thing: &thing,
            teller,
            joined: self,
        };
        settle.one("name", &mut known.device, told.device);
        settle.one("number", &mut known.devno, told.devno);
        settle.one("vendor", &mut known.vendor, told.vendor);
        settle.one("product", &mut known.product, told.product);
        settle.one("revision", &mut known.revision, told.revision);
        settle.one("serial number", &mut known.serial, told.serial);
        settle.one("state in the map", &mut known.dm_state, told.dm_state);
        settle.one(
            "checker's state",
            &mut known.checker_state,
            told.checker_state,
        );
        settle.one("device state", &mut known.device_state, told.device_state);
        settle.one("handler", &mut known.handler, told.handler);
        settle.one("preference", &mut known.preferred, told.preferred);
        settle.one("port group", &mut known.port_group, told.port_group);
        settle.one("port", &mut known.relative_port, told.relative_port);
        settle.one("TPGS", &mut known.tpgs, told.tpgs);
        settle.one("queue depth", &mut known.queue_depth, told.queue_depth);
        let state =
            |access: &Option<Access>| access.as_ref().map(|access| access.state.to_string());
        let (mut before, now) = (state(&known.access), state(&told.access));
        settle.one("access state", &mut before, now);
        let priority = |of: &Option<Priority>| of.as_ref().map(|priority| priority.value);
        let (mut before, now) = (priority(&known.priority), priority(&told.priority));
        settle.one("priority", &mut before, now);
        known.access = known.access.take().or(told.access);
        known.priority = known.priority.take().or(told.priority);
        known.wwid = known.wwid.take().or(told.wwid);
        known.dm_failures = known.dm_failures.or(told.dm_failures);
        known.rdac = known.rdac.take().or(told.rdac);
        known.transport = known.transport.take().or(told.transport);
        known.current = known.current.or(told.current);
    }
}

/// Makes one of two values of a thing.
struct Settling<'a> {
    thing: &'a str,
    teller: &'a str,
    joined: &'a mut Joined,
}

impl Settling<'_> {
    /// What is known stays; another value is a contradiction.
    fn one<T: PartialEq + Debug>(
        &mut self,
        field: &'static str,
        known: &mut Option<T>,
        told: Option<T>,
    ) {
        let Some(told) = told else { return };
        let key = (self.thing.to_owned(), field);
        match known {
            None => {
                *known = Some(told);
                self.joined.tellers.insert(key, self.teller.to_owned());
            }
            Some(known) if *known == told => {}
            Some(known) => {
                let added = self.joined.tellers.get(&key);
                let first = added.or_else(|| self.joined.first.get(self.thing));
                let first = first.cloned().unwrap_or_else(|| "another file".to_owned());
                let words = |value: &T| format!("{value:?}").trim_matches('"').to_owned();
                self.joined.disagreements.push((
                    self.thing.to_owned(),
                    Disagreement {
                        about: format!("{field} of {}", self.thing),
                        claims: vec![
                            (first, words(known)),
                            (self.teller.to_owned(), words(&told)),
                        ],
                    },
                ));
            }
        }
    }
}

/// Whether two accounts are of one path: by address, or by name or number where one has none.
fn is_same(a: &Path, b: &Path) -> bool {
    if !a.address.is_empty() && !b.address.is_empty() {
        return a.address == b.address;
    }
    let same = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    same(&a.devno, &b.devno) || same(&a.device, &b.device)
}

fn name_of(path: &Path) -> String {
    let names = [
        Some(&path.address),
        path.device.as_ref(),
        path.devno.as_ref(),
    ];
    let mut names = names.into_iter().flatten().filter(|name| !name.is_empty());
    names.next().cloned().unwrap_or_default()
}

/// A name of a unit without what the kernel or multipath-tools begin it with.
fn bare(name: &str) -> &str {
    name.strip_prefix("naa.")
        .or_else(|| name.strip_prefix("eui."))
        .or_else(|| name.strip_prefix(['2', '3']))
        .unwrap_or(name)
}
