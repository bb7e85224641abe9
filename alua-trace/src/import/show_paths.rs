//! Owns the reading of tables of paths: `multipathd show paths`, with any format, and `multipath -v3`
//! with its table and the log lines of each path (libmultipath/print.c, discovery.c, propsel.c).

mod log;

use anyhow::{Result, ensure};

use super::columns::{self, Column};
use super::leftover::Leftover;
use super::priority;
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Iscsi, Map, Path, PathGroup, Transport};
use crate::topology::Hctl;
use log::{Log, plain_priority, prioritized_by};

/// Names of columns (libmultipath/print.c `pd_table`), and of some that other releases have.
const COLUMNS: [&str; 26] = [
    "hcil",
    "dev",
    "dev_t",
    "pri",
    "dm_st",
    "chk_st",
    "dev_st",
    "next_check",
    "uuid",
    "vend",
    "prod",
    "rev",
    "vend/prod/rev",
    "size",
    "serial",
    "multipath",
    "marginal_st",
    "failures",
    "protocol",
    "target",
    "checker",
    "foreign",
    "init_st",
    "vpd",
    "tpg",
    "pg",
];
/// Columns whose names are of two words: `host WWNN`, `host adapter`.
const OF_TWO_WORDS: [&str; 2] = ["host ", "target "];

/// Columns that may be empty or of several words.
const WIDE: [&str; 4] = ["next_check", "uuid", "vend", "vend/prod/rev"];

/// Whether a line names the columns of such a table.
pub(super) fn is_header(line: &str) -> bool {
    header(line).is_some()
}

/// Whether a line is one of `multipath -v3`.
pub(super) fn is_log(line: &str) -> bool {
    line.contains("===== paths list =====") || log::is_line(line)
}

/// The columns of a table of paths: one of them names the path.
fn header(line: &str) -> Option<Vec<Column<'_>>> {
    columns::header(line, is_column, &["dev", "hcil"])
}

/// A name, whole or cut off at the end of a line.
fn is_column(name: &str) -> bool {
    let is_part = name.len() > 2 && COLUMNS.iter().any(|known| known.starts_with(name));
    COLUMNS.contains(&name) || is_part || OF_TWO_WORDS.iter().any(|first| name.starts_with(first))
}

/// The paths in `text`.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut reading = Reading {
        room: Room::new(text),
        columns: None,
        rows: Vec::new(),
        log: Log::default(),
        other: Leftover::default(),
    };
    for (nth, line) in text.lines().enumerate() {
        reading.line(nth, line);
    }
    ensure!(
        !(reading.rows.is_empty() && reading.log.is_empty()),
        "there is no path in it"
    );
    Ok(reading.finish())
}

/// A path and the map that it is of.
struct Row {
    path: Path,
    map: Option<String>,
}

struct Reading<'a> {
    room: Room,
    columns: Option<Vec<Column<'a>>>,
    rows: Vec<Row>,
    log: Log<'a>,
    other: Leftover<'a>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, nth: usize, line: &'a str) {
        let trimmed = line.trim();
        // Prompts of multipathd's shell come before what it answers.
        let line = line.strip_prefix("multipathd> ").unwrap_or(line);
        if trimmed.is_empty() || trimmed.starts_with("=====") || trimmed.starts_with('#') {
            return;
        }
        if let Some(columns) = header(line) {
            self.columns = Some(columns);
        } else if !(self.row(line) || self.log.line(nth, line, &mut self.room)) {
            self.other.add(nth, line);
        }
    }

    fn row(&mut self, line: &str) -> bool {
        let Some(columns) = &self.columns else {
            return false;
        };
        // `[undef][ready]`, of releases before 0.4.9.
        let bare = line.replace(['[', ']'], " ");
        let line = if line.contains("][") { &*bare } else { line };
        let is_path =
            |cells: &Vec<(&str, &str)>| cells.iter().any(|(name, text)| is_name(name, text));
        let cells = columns::aligned(line, columns).filter(is_path);
        let cells = cells.or_else(|| Some(columns::in_words(line, columns, &WIDE)).filter(is_path));
        let Some(row) = cells.and_then(|cells| row(&cells)) else {
            return false;
        };
        if !self.room.take_path(0) {
            return false;
        }
        push(&mut self.rows, row);
        true
    }

    fn finish(self) -> Inventory {
        let (mut paths, mut notes) = self.log.finish();
        let mut rows = self.rows;
        for row in &mut rows {
            if let Some(told) = row.path.device.as_deref().and_then(|it| paths.remove(it)) {
                merge(&mut row.path, told);
            }
        }
        rows.extend(paths.into_iter().map(|(device, path)| Row {
            path: Path {
                device: Some(device.to_owned()),
                ..path
            },
            map: None,
        }));
        notes.extend(self.other.note("not understood"));
        let mut inventory = Inventory {
            notes,
            ..Inventory::default()
        };
        for row in rows {
            file(&mut inventory, row);
        }
        for map in &mut inventory.maps {
            priority::explain(map);
        }
        inventory
    }
}

/// Whether a cell names a path.
fn is_name(column: &str, text: &str) -> bool {
    match column {
        "hcil" => text.parse::<Hctl>().is_ok() || text == "#:#:#:#",
        "dev" => {
            !text.is_empty()
                && text.len() < 32
                && text.starts_with(|c: char| c.is_ascii_alphabetic())
                && text
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "!_-".contains(c))
        }
        _ => false,
    }
}

fn row(cells: &[(&str, &str)]) -> Option<Row> {
    let cell = |name: &str| {
        let found = cells.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, text)| *text)
            .filter(|text| !text.is_empty() && *text != "[undef]")
    };
    let own = |name| cell(name).map(str::to_owned);
    let known = |name| own(name).filter(|it| it != "undef" && it != "unknown");
    let mut path = Path {
        address: own("hcil").filter(|it| it != "#:#:#:#").unwrap_or_default(),
        device: own("dev"),
        devno: own("dev_t").filter(|it| it != "#:#" && it != "-1:-1"),
        dm_state: known("dm_st"),
        checker_state: known("chk_st"),
        device_state: known("dev_st"),
        serial: own("serial"),
        vendor: own("vend"),
        product: own("prod"),
        revision: own("rev"),
        ..Path::default()
    };
    if let Some(model) = cell("vend/prod/rev") {
        let mut parts = model.split(',').map(|part| Some(part.trim().to_owned()));
        path.vendor = parts.next().flatten();
        path.product = parts.next().flatten();
        path.revision = parts.next().flatten();
    }
    // -1 stands for none yet (libmultipath/prio.h `PRIO_UNDEF`).
    path.priority = cell("pri")
        .and_then(|it| it.parse().ok())
        .filter(|priority| *priority != -1)
        .map(plain_priority);
    path.wwid = own("uuid");
    path.transport = transport(&cell);
    let named = is_name("dev", cell("dev").unwrap_or_default()) || !path.address.is_empty();
    named.then(|| Row {
        path,
        map: cell("multipath")
            .map(|it| it.trim_matches(['[', ']']).to_owned())
            .filter(|it| it != "orphan"),
    })
}

/// By the names of both ports: numbers of Fibre Channel, or the iSCSI target's own.
fn transport<'a>(cell: &impl Fn(&str) -> Option<&'a str>) -> Option<Transport> {
    let port = |name| cell(name).filter(|it| it.starts_with("0x"));
    if let (Some(local), Some(remote)) = (port("host WWPN"), port("target WWPN")) {
        return Some(Transport::Fc {
            local_port: Some(local.to_owned()),
            remote_port: Some(remote.to_owned()),
            speed: None,
            state: None,
        });
    }
    let target =
        cell("target WWNN").filter(|it| it.starts_with("iqn.") || it.starts_with("eui."))?;
    Some(Transport::Iscsi(Iscsi {
        target: Some(target.to_owned()),
        ..Iscsi::default()
    }))
}

/// What the log adds to a row of the table.
fn merge(path: &mut Path, told: Path) {
    let Path {
        address,
        wwid,
        vendor,
        product,
        revision,
        serial,
        priority,
        checker_state,
        device_state,
        ..
    } = told;
    if path.address.is_empty() {
        path.address = address;
    }
    path.wwid = path.wwid.take().or(wwid);
    path.vendor = path.vendor.take().or(vendor);
    path.product = path.product.take().or(product);
    path.revision = path.revision.take().or(revision);
    path.serial = path.serial.take().or(serial);
    path.checker_state = path.checker_state.take().or(checker_state);
    path.device_state = path.device_state.take().or(device_state);
    let by = priority.as_ref().and_then(|it| it.prioritizer.clone());
    path.priority = path.priority.take().or(priority);
    if let Some(by) = by {
        prioritized_by(path, &by);
    }
}

/// Below the map that the table names, or by itself.
fn file(inventory: &mut Inventory, row: Row) {
    let Some(name) = row.map else {
        push(&mut inventory.unmapped, row.path);
        return;
    };
    let known = inventory.maps.iter().position(|map| map.name == name);
    let at = known.unwrap_or_else(|| {
        push(
            &mut inventory.maps,
            Map {
                name,
                wwid: row.path.wwid.clone(),
                groups: vec![PathGroup {
                    number: 1,
                    ..PathGroup::default()
                }],
                ..Map::default()
            },
        );
        inventory.maps.len() - 1
    });
    let map = inventory.maps.get_mut(at);
    if let Some(group) = map.and_then(|map| map.groups.first_mut()) {
        push(&mut group.paths, row.path);
    }
}

#[cfg(test)]
mod tests;
