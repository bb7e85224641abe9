//! Owns what the pictures show: host ports, the network between, the array's port groups with their
//! ports, and the logical unit; and which path leads from where to where. How it is drawn is the
//! business of `svg` and `dot`.
//!
//! Strings are as they came; who draws them makes them safe.

mod ends;

use crate::inventory::model::{Inventory, Map, Path, PathGroup, PortGroup};
use ends::{
    array_port, host_port, network, path_name, state_short, state_words, stroke, stroke_of_state,
};

/// One logical unit and the ways to it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Unit {
    /// What the picture is headed with.
    pub(super) title: String,
    /// What is written on the unit.
    pub(super) lines: Vec<String>,
    pub(super) network: &'static str,
    pub(super) host_ports: Vec<HostPort>,
    pub(super) port_groups: Vec<Group>,
    pub(super) paths: Vec<Line>,
}

/// A port of this host.
#[derive(Debug, PartialEq)]
pub(super) struct HostPort {
    key: String,
    pub(super) name: String,
    /// Its address, when there is more to say.
    pub(super) detail: Option<String>,
}

/// A port group of the array, or what stands for it.
#[derive(Debug, PartialEq)]
pub(super) struct Group {
    key: String,
    pub(super) name: String,
    /// Its state in words; empty when nobody told.
    pub(super) state: String,
    pub(super) stroke: Stroke,
    pub(super) preferred: bool,
    /// Its ports, by name.
    pub(super) ports: Vec<String>,
}

/// A path, from a host port to a port of a group.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    /// Index of the host port.
    pub(super) from: usize,
    /// Index of the port group, and of the port in it.
    pub(super) to: (usize, usize),
    /// sdX and address.
    pub(super) name: String,
    /// State, abbreviated.
    pub(super) state: &'static str,
    pub(super) stroke: Stroke,
    /// I/O goes there.
    pub(super) current: bool,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    /// Active/optimized, or through the controller that owns the unit.
    Solid,
    /// Active/non-optimized, or through the other controller where I/O is shipped.
    Dashed,
    /// Any other state, or an unknown one.
    Dotted,
    /// Of no use at the moment.
    Failed,
}

/// The pictures of an inventory, one after the other.
pub(super) fn units(inventory: &Inventory) -> Vec<Unit> {
    let maps = inventory.maps.iter().map(of_map);
    maps.chain(of_unmapped(&inventory.unmapped)).collect()
}

fn of_map(map: &Map) -> Unit {
    let mut unit = Unit {
        title: title(map),
        lines: unit_lines(map),
        ..Unit::default()
    };
    for group in &map.groups {
        for path in &group.paths {
            unit.add(path, Some(group), &map.port_groups);
        }
    }
    for told in &map.port_groups {
        unit.group(&PathSide::of_port_group(told.id), &map.port_groups);
    }
    unit
}

/// Disks that are no map's paths: those of a logical unit together.
fn of_unmapped(paths: &[Path]) -> Vec<Unit> {
    let mut units: Vec<(String, Unit)> = Vec::new();
    for path in paths {
        let lun = path
            .address
            .rsplit_once(':')
            .map(|(_, lun)| format!("LUN {lun}"));
        let name = path
            .wwid
            .clone()
            .or(lun)
            .unwrap_or_else(|| "unknown".to_owned());
        let at = units.iter().position(|(known, _)| *known == name);
        let at = at.unwrap_or_else(|| {
            let unit = Unit {
                title: format!("not in a map: {name}"),
                lines: vec!["logical unit".to_owned(), name.clone()],
                ..Unit::default()
            };
            units.push((name, unit));
            units.len() - 1
        });
        if let Some((_, unit)) = units.get_mut(at) {
            unit.add(path, None, &[]);
        }
    }
    units.into_iter().map(|(_, unit)| unit).collect()
}

/// The name, and what it does not tell.
fn title(map: &Map) -> String {
    let mut title = map.name.clone();
    for part in [&map.dm, &map.wwid].into_iter().flatten() {
        if !title.contains(part.as_str()) {
            title.push_str("  ");
            title.push_str(part);
        }
    }
    title
}

fn unit_lines(map: &Map) -> Vec<String> {
    let mut lines = vec!["logical unit".to_owned(), map.name.clone()];
    let words = [&map.vendor, &map.product].into_iter().flatten();
    lines.push(words.map(String::as_str).collect::<Vec<_>>().join(" "));
    lines.extend(map.size_bytes.map(size));
    lines.extend(
        map.handler
            .as_ref()
            .filter(|handler| !handler.is_empty())
            .map(|handler| format!("handler {handler}")),
    );
    lines.retain(|line| !line.is_empty());
    lines
}

/// In the largest unit of 1024 that leaves a number of at least one.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let nth = (bytes.max(1).ilog2() / 10).min(6);
    let tenths = (u128::from(bytes) * 10) >> (10 * nth);
    let unit = units
        .get(usize::try_from(nth).unwrap_or_default())
        .unwrap_or(&"B");
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

/// The array's side of a path, before it is known which boxes there are.
struct PathSide {
    key: String,
    name: String,
    port_group: Option<u16>,
}

impl PathSide {
    fn of_port_group(id: u16) -> Self {
        Self {
            key: format!("port group {id}"),
            name: format!("port group {id}"),
            port_group: Some(id),
        }
    }

    /// By the port group; else the controller, the owner, or the path group, which comes from the
    /// state.
    fn of_path(path: &Path, group: Option<&PathGroup>) -> Self {
        if let Some(id) = path.port_group {
            let mut side = Self::of_port_group(id);
            if let Some(controller) = path.rdac.as_ref().and_then(|rdac| rdac.controller) {
                side.name = format!("controller {controller}, {}", side.name);
            }
            return side;
        }
        let rdac = path.rdac.as_ref();
        let name = match (
            rdac.and_then(|rdac| rdac.controller),
            rdac.and_then(|rdac| rdac.owned),
            group,
        ) {
            (Some(controller), ..) => format!("controller {controller}"),
            (None, Some(true), _) => "owning controller".to_owned(),
            (None, Some(false), _) => "other controller".to_owned(),
            (None, None, Some(group)) if group.state.is_some() => {
                format!("path group {}", group.number)
            }
            _ => "port group unknown".to_owned(),
        };
        Self {
            key: name.clone(),
            name,
            port_group: None,
        }
    }
}

impl Unit {
    fn add(&mut self, path: &Path, group: Option<&PathGroup>, told: &[PortGroup]) {
        let host = host_port(path);
        let from = self.host_ports.iter().position(|port| port.key == host.key);
        let from = from.unwrap_or_else(|| {
            self.host_ports.push(host);
            self.host_ports.len() - 1
        });
        let stroke = stroke(path);
        let nth = self.group(&PathSide::of_path(path, group), told);
        let port = array_port(path);
        let mut to = (nth, 0);
        if let Some(group) = self.port_groups.get_mut(nth) {
            if group.state.is_empty() && stroke != Stroke::Failed {
                group.stroke = stroke;
                group.state = state_words(path);
            }
            group.preferred |= path.preferred == Some(true);
            let known = group.ports.iter().position(|name| *name == port);
            to.1 = known.unwrap_or_else(|| {
                group.ports.push(port);
                group.ports.len() - 1
            });
        }
        self.network = network(self.network, path);
        self.paths.push(Line {
            from,
            to,
            name: path_name(path),
            state: state_short(path),
            stroke,
            current: path.current == Some(true) && stroke != Stroke::Failed,
        });
    }

    /// The index of a group, which is new if it is not there.
    fn group(&mut self, side: &PathSide, told: &[PortGroup]) -> usize {
        if let Some(nth) = self
            .port_groups
            .iter()
            .position(|group| group.key == side.key)
        {
            return nth;
        }
        let told = told.iter().find(|told| Some(told.id) == side.port_group);
        let state = told.and_then(|told| told.state);
        self.port_groups.push(Group {
            key: side.key.clone(),
            name: side.name.clone(),
            state: state.map(|state| state.to_string()).unwrap_or_default(),
            stroke: state.map_or(Stroke::Dotted, stroke_of_state),
            preferred: told.is_some_and(|told| told.preferred == Some(true)),
            ports: Vec::new(),
        });
        self.port_groups.len() - 1
    }
}

#[cfg(test)]
pub(super) mod tests;
