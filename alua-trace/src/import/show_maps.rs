//! Owns the reading of tables of maps: `multipathd show maps`, `show maps status`, `show maps stats`,
//! with any format (libmultipath/print.c `mpd`).

use anyhow::{Result, ensure};

use super::columns::{self, Column};
use super::leftover::Leftover;
use super::multipath_ll::line::{size_bytes, uncounted};
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Map};

/// Names of columns.
const COLUMNS: [&str; 25] = [
    "name",
    "uuid",
    "sysfs",
    "failback",
    "queueing",
    "paths",
    "write_prot",
    "dm-st",
    "size",
    "features",
    "failures",
    "hwhandler",
    "action",
    "path_faults",
    "switch_grp",
    "map_loads",
    "total_q_time",
    "q_timeouts",
    "vend/prod",
    "vend",
    "prod",
    "rev",
    "foreign",
    "vpd page data",
    "max_sectors_kb",
];
/// Columns whose cells may be empty or of several words.
const WIDE: [&str; 8] = [
    "uuid",
    "queueing",
    "features",
    "hwhandler",
    "vend/prod",
    "vend",
    "prod",
    "vpd page data",
];

/// Whether a line names the columns of such a table.
pub(super) fn is_header(line: &str) -> bool {
    header(line).is_some()
}

fn header(line: &str) -> Option<Vec<Column<'_>>> {
    let is_known = |name: &str| COLUMNS.contains(&name);
    columns::header(line, is_known, &["name", "uuid", "sysfs"])
}

/// The maps in `text`.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut room = Room::new(text);
    let mut maps: Vec<Map> = Vec::new();
    let mut other = Leftover::default();
    let mut columns: Option<Vec<Column<'_>>> = None;
    for (nth, line) in text.lines().enumerate() {
        let prompted = line.strip_prefix("multipathd> ");
        let line = prompted.unwrap_or(line);
        // A table has no blank lines, and ends where the next command is typed.
        if line.trim().is_empty() || prompted.is_some() && header(line).is_none() {
            columns = None;
        } else if let Some(found) = header(line) {
            columns = Some(found);
        } else if let Some(map) = columns.as_ref().and_then(|it| row(line, it))
            && room.take_map()
        {
            add(&mut maps, map);
        } else {
            other.add(nth, line);
        }
    }
    ensure!(!maps.is_empty(), "there is no map in it");
    Ok(Inventory {
        maps,
        notes: other.note("not understood").into_iter().collect(),
        ..Inventory::default()
    })
}

fn row(line: &str, columns: &[Column<'_>]) -> Option<Map> {
    let cells = columns::aligned(line, columns);
    let words = line.split_whitespace();
    let count = words.clone().count();
    if count < 2 {
        return None;
    }
    let names = columns.iter().map(|(name, _)| *name);
    let cells = cells.unwrap_or_else(|| match count == columns.len() {
        true => names.zip(words).collect(),
        false => columns::in_words(line, columns, &WIDE),
    });
    let cell = |name: &str| {
        let found = cells.iter().find(|(known, _)| *known == name);
        found
            .map(|(_, text)| *text)
            .filter(|text| !text.is_empty() && !matches!(*text, "-" | "[undef]" | "undef"))
    };
    let own = |name| cell(name).map(str::to_owned);
    let name = cell("name").or(cell("uuid")).or(cell("sysfs"))?;
    let (vendor, product) = match cell("vend/prod").and_then(|it| it.split_once(',')) {
        Some((vendor, product)) => (
            Some(vendor.trim().to_owned()),
            Some(product.trim().to_owned()),
        ),
        None => (own("vend"), own("prod")),
    };
    Some(Map {
        name: name.to_owned(),
        wwid: own("uuid"),
        dm: own("sysfs").filter(|it| it.starts_with("dm-")),
        vendor,
        product,
        revision: own("rev"),
        size_bytes: cell("size").and_then(size_bytes),
        features: cell("features").map(|it| uncounted(it).to_owned()),
        handler: cell("hwhandler").map(|it| uncounted(it).to_owned()),
        read_only: cell("write_prot").and_then(|it| match it {
            "ro" => Some(true),
            "rw" => Some(false),
            _ => None,
        }),
        other: TOLD
            .iter()
            .filter_map(|(column, words)| Some(((*words).to_owned(), own(column)?)))
            .collect(),
        ..Map::default()
    })
}

/// Columns that the model has no field for, and what they are called there.
const TOLD: [(&str, &str); 10] = [
    ("dm-st", "dm state"),
    ("paths", "paths"),
    ("failback", "failback"),
    ("queueing", "queueing"),
    ("path_faults", "path faults"),
    ("switch_grp", "group switches"),
    ("map_loads", "table loads"),
    ("total_q_time", "seconds of queueing"),
    ("q_timeouts", "queueing time-outs"),
    ("failures", "map failures"),
];

/// A map that was told of before, by another table, learns what it did not know.
fn add(maps: &mut Vec<Map>, told: Map) {
    let Some(known) = maps.iter_mut().find(|map| map.name == told.name) else {
        return push(maps, told);
    };
    known.wwid = known.wwid.take().or(told.wwid);
    known.dm = known.dm.take().or(told.dm);
    known.vendor = known.vendor.take().or(told.vendor);
    known.product = known.product.take().or(told.product);
    known.revision = known.revision.take().or(told.revision);
    known.size_bytes = known.size_bytes.or(told.size_bytes);
    known.features = known.features.take().or(told.features);
    known.handler = known.handler.take().or(told.handler);
    known.read_only = known.read_only.or(told.read_only);
    for (what, value) in told.other {
        if !known.other.iter().any(|(it, _)| *it == what) {
            known.other.push((what, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &str = "name   sysfs uuid\nmpatha dm-0  360060160a\nmpathb dm-1  360060160b\n";
    const STATUS: &str = "name   failback  queueing paths dm-st  write_prot\n\
                          mpatha immediate 5 chk    4     active rw\n\
                          mpathb -         -        2     active ro\n";
    const STATS: &str = "name   path_faults switch_grp map_loads total_q_time q_timeouts\n\
                         mpatha 12          3          7         0            0\n";

    #[test]
    fn the_three_tables_become_one() {
        let inventory = parse(&format!("{NAMES}{STATUS}{STATS}")).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [a, b] = &inventory.maps[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (a.wwid.as_deref(), a.dm.as_deref(), a.read_only),
            (Some("360060160a"), Some("dm-0"), Some(false))
        );
        let other: Vec<_> = a
            .other
            .iter()
            .map(|(what, it)| format!("{what} {it}"))
            .collect();
        assert_eq!(
            other,
            [
                "dm state active",
                "paths 4",
                "failback immediate",
                "queueing 5 chk",
                "path faults 12",
                "group switches 3",
                "table loads 7",
                "seconds of queueing 0",
                "queueing time-outs 0"
            ]
        );
        assert_eq!((b.read_only, b.other.len()), (Some(true), 2));
    }

    #[test]
    fn any_format_is_read_by_its_names() {
        let text = "uuid       features             hwhandler size vend/prod\n\
                    360060160a 1 queue_if_no_path   1 alua    2.0T DGC     ,VRAID\n";
        let inventory = parse(text).unwrap();
        let [map] = &inventory.maps[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (map.features.as_deref(), map.handler.as_deref()),
            (Some("queue_if_no_path"), Some("alua"))
        );
        assert_eq!(map.size_bytes, Some(2 << 40));
        assert_eq!(
            (map.vendor.as_deref(), map.product.as_deref()),
            (Some("DGC"), Some("VRAID"))
        );
    }

    #[test]
    fn other_tables_are_not_taken_for_maps() {
        assert!(!is_header("name of something"));
        assert!(!is_header("hcil dev dev_t pri"));
        assert!(parse("name sysfs uuid\n").is_err());
    }

    #[test]
    fn a_table_ends_where_the_next_command_is_typed() {
        let text = format!(
            "multipathd> show maps\n{NAMES}\nother text\nmultipathd> {STATS}multipathd> exit\n\
             sda 8:0 50\n"
        );
        let inventory = parse(&text).unwrap();
        let names: Vec<&str> = inventory.maps.iter().map(|map| &*map.name).collect();
        assert_eq!(names, ["mpatha", "mpathb"]);
        assert!(
            inventory.notes[0].starts_with("2 lines not understood"),
            "{inventory:?}"
        );
    }

    #[test]
    fn moved_columns_are_read_where_no_cell_is_missing() {
        let text = "name        failback queueing paths  dm-st  write_prot\n\
                    mpath-lun0  -        -        2       active rw\n";
        let map = &parse(text).unwrap().maps[0];
        assert_eq!(
            map.other,
            [
                ("dm state".to_owned(), "active".to_owned()),
                ("paths".to_owned(), "2".to_owned())
            ]
        );
        assert_eq!(map.read_only, Some(false));
    }
}
