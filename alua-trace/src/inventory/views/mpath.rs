//! Owns the inventory as `multipath -ll` of multipath-tools 0.9 to 0.11 prints it to a pipe
//! (libmultipath/print.c `snprint_multipath_topology`).
//!
//! The tool's words stand for what is unknown: `undef`, `##`, `#:#`. Its `prio` would be 0; here it
//! is `undef`, too.

use std::fmt::Write as _;

use crate::inventory::checker;
use crate::inventory::model::{Inventory, Map, Path, PathGroup};
use crate::safe::{name, sentence};

const UNDEF: &str = "undef";

pub(super) fn render(inventory: &Inventory) -> String {
    let mut out = String::new();
    for map in &inventory.maps {
        push_map(&mut out, map);
    }
    out
}

fn push_map(out: &mut String, map: &Map) {
    out.push_str(&name(&map.name));
    if let Some(wwid) = map.wwid.as_deref().filter(|wwid| *wwid != map.name) {
        push(out, format_args!(" ({})", sentence(wwid)));
    }
    let or = |value: &Option<String>, unknown: &str| value.as_deref().unwrap_or(unknown).to_owned();
    push(
        out,
        format_args!(
            " {} {},{}\n",
            name(&or(&map.dm, UNDEF)),
            name(&or(&map.vendor, "##")),
            name(&or(&map.product, "##")),
        ),
    );
    let write_permission = match map.read_only {
        Some(true) => "ro",
        Some(false) => "rw",
        None => UNDEF,
    };
    push(
        out,
        format_args!(
            "size={} features='{}' hwhandler='{}' wp={write_permission}\n",
            map.size_bytes.map_or_else(|| UNDEF.to_owned(), size),
            counted(map.features.as_deref()),
            counted(map.handler.as_deref()),
        ),
    );
    let widths = widths(map);
    for (nth, group) in map.groups.iter().enumerate() {
        push_group(out, group, nth + 1 == map.groups.len(), &widths);
    }
}

fn push_group(out: &mut String, group: &PathGroup, last: bool, widths: &[usize; 6]) {
    let (branch, below) = if last { ('`', ' ') } else { ('|', '|') };
    let priority = group
        .priority
        .map_or_else(|| UNDEF.to_owned(), |priority| priority.to_string());
    push(
        out,
        format_args!(
            "{branch}-+- policy='{}' prio={priority} status={}\n",
            sentence(group.selector.as_deref().unwrap_or(UNDEF)),
            name(group.state.as_deref().unwrap_or(UNDEF)),
        ),
    );
    for (nth, path) in group.paths.iter().enumerate() {
        let branch = if nth + 1 == group.paths.len() {
            '`'
        } else {
            '|'
        };
        push(out, format_args!("{below} {branch}-"));
        for (cell, width) in cells(path).iter().zip(widths) {
            push(out, format_args!(" {cell:width$}"));
        }
        out.push('\n');
    }
}

/// Words with their number before them, as dm's table has them.
fn counted(words: Option<&str>) -> String {
    let Some(words) = words else {
        return UNDEF.to_owned();
    };
    match words.split_whitespace().count() {
        0 => "0".to_owned(),
        count => format!("{count} {}", sentence(words)),
    }
}

/// `snprint_size`: in single precision, one digit behind the point below 10.
fn size(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "the tool's own arithmetic")]
    let mut size = (bytes / 1024) as f32;
    let mut units = ["K", "M", "G", "T"].into_iter();
    let mut unit = units.next();
    while let Some(_smaller) = unit
        && size >= 1024.0
    {
        size /= 1024.0;
        unit = units.next();
    }
    let digits = usize::from(size < 10.0);
    format!("{size:.digits$}{}", unit.unwrap_or("P"))
}

/// Columns are as wide as the widest cell of the map's paths, the last one too.
fn widths(map: &Map) -> [usize; 6] {
    let mut widths = [0; 6];
    for path in map.paths() {
        for (width, cell) in widths.iter_mut().zip(cells(path)) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// `%i %d %D %t %T %o`.
fn cells(path: &Path) -> [String; 6] {
    let address = Some(path.address.as_str()).filter(|address| !address.is_empty());
    let number = path.device.as_ref().and(path.devno.as_deref());
    let device_state = match path.device_state.as_deref() {
        None => "unknown",
        Some("offline" | "transport-offline") => "offline",
        Some(_) => "running",
    };
    [
        name(address.unwrap_or("#:#:#:#")),
        name(path.device.as_deref().unwrap_or("-")),
        name(number.unwrap_or("#:#")),
        name(path.dm_state.as_deref().unwrap_or(UNDEF)),
        name(checker::word(path)),
        device_state.to_owned(),
    ]
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::model::{Access, AccessSource};
    use crate::scsi::AccessState;

    fn path(address: &str, device: &str, devno: &str, state: AccessState) -> Path {
        Path {
            address: address.to_owned(),
            device: Some(device.to_owned()),
            devno: Some(devno.to_owned()),
            dm_state: Some("active".to_owned()),
            device_state: Some("running".to_owned()),
            access: Some(Access {
                state,
                source: AccessSource::Sysfs,
                age_ms: None,
            }),
            ..Path::default()
        }
    }

    fn group(state: &str, priority: i32, paths: Vec<Path>) -> PathGroup {
        PathGroup {
            number: 1,
            selector: Some("service-time 0".to_owned()),
            state: Some(state.to_owned()),
            priority: Some(priority),
            paths,
        }
    }

    fn map() -> Map {
        let first = vec![
            path("0:0:0:0", "sda", "8:0", AccessState::OPTIMIZED),
            path("1:0:0:0", "sdc", "8:32", AccessState::OPTIMIZED),
        ];
        let second = vec![
            path("0:0:1:0", "sdb", "8:16", AccessState::NON_OPTIMIZED),
            path("1:0:1:0", "sdd", "8:48", AccessState::NON_OPTIMIZED),
        ];
        Map {
            name: "mpatha".to_owned(),
            dm: Some("dm-0".to_owned()),
            wwid: Some("36001405".to_owned()),
            vendor: Some("LIO-ORG".to_owned()),
            product: Some("lun0".to_owned()),
            size_bytes: Some(64 << 20),
            features: Some("queue_if_no_path".to_owned()),
            handler: Some("alua".to_owned()),
            read_only: Some(false),
            groups: vec![group("active", 50, first), group("enabled", 10, second)],
            ..Map::default()
        }
    }

    fn rendered(map: Map) -> String {
        render(&Inventory {
            maps: vec![map],
            ..Inventory::default()
        })
    }

    /// As multipath-tools 0.11 prints it of a LIO target.
    #[test]
    fn a_healthy_map_is_byte_for_byte_that_of_multipath() {
        let expected = "\
mpatha (36001405) dm-0 LIO-ORG,lun0
size=64M features='1 queue_if_no_path' hwhandler='1 alua' wp=rw
|-+- policy='service-time 0' prio=50 status=active
| |- 0:0:0:0 sda 8:0  active ready running
| `- 1:0:0:0 sdc 8:32 active ready running
`-+- policy='service-time 0' prio=10 status=enabled
  |- 0:0:1:0 sdb 8:16 active ready running
  `- 1:0:1:0 sdd 8:48 active ready running
";
        assert_eq!(rendered(map()), expected);
    }

    #[test]
    fn columns_are_as_wide_as_the_maps_widest_cell() {
        let mut map = map();
        map.wwid = Some("mpatha".to_owned());
        (map.features, map.handler) = (Some(String::new()), Some(String::new()));
        map.groups[0].paths[0].dm_state = Some("failed".to_owned());
        map.groups[0].paths[1] = Path {
            dm_state: Some("failed".to_owned()),
            ..Path::default()
        };
        map.groups[1].paths[1].access = None;
        let text = rendered(map);
        let expected = [
            "mpatha dm-0 LIO-ORG,lun0\nsize=64M features='0' hwhandler='0' wp=rw\n",
            "| |- 0:0:0:0 sda 8:0  failed faulty running\n",
            "| `- #:#:#:# -   #:#  failed faulty unknown\n",
            "  |- 0:0:1:0 sdb 8:16 active ready  running\n",
            "  `- 1:0:1:0 sdd 8:48 active undef  running\n",
        ];
        for expected in expected {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
    }

    #[test]
    fn what_is_unknown_is_undef() {
        let text = rendered(Map {
            name: "mpatha".to_owned(),
            groups: vec![PathGroup::default()],
            ..Map::default()
        });
        let expected = "\
mpatha undef ##,##
size=undef features='undef' hwhandler='undef' wp=undef
`-+- policy='undef' prio=undef status=undef
";
        assert_eq!(text, expected);
    }

    #[test]
    fn sizes_are_those_of_multipath() {
        let sizes = [
            (64 << 20, "64M"),
            (100 << 30, "100G"),
            (3 << 29, "1.5G"),
            (10_737_418_240, "10G"),
            (10_736_344_498, "10.0G"),
            (1 << 50, "1.0P"),
            (2048 << 50, "2048P"),
            (512, "0.0K"),
        ];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        let mut map = map();
        map.product = Some("\x1b[2J".to_owned());
        map.features = Some("\x1b".to_owned());
        map.groups[0].state = Some("\x1b".to_owned());
        assert!(!rendered(map).contains('\x1b'));
    }
}
