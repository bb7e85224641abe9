//! Owns the inventory as a tree: map, path group, path, and everything that is known of each.
//!
//! The frame is that of `multipath -ll`. What is unknown is a dash in the columns, and is left out of
//! the sentences below them: one line at the end says what was not told, and of how many.

use std::fmt::Write as _;

use super::transport;
use super::untold;
use super::wrap::push_wrapped;
use crate::inventory::model::{
    Access, AccessSource, Inventory, Map, Nmp, Path, PathGroup, PortGroup,
};
use crate::safe::{name, sentence};

/// Narrower than this, lines are not cut any more.
const MIN_COLUMNS: usize = 40;
const UNKNOWN: &str = "–";

pub(super) fn render(inventory: &Inventory, columns: usize) -> String {
    let mut out = String::new();
    let columns = columns.max(MIN_COLUMNS);
    for map in &inventory.maps {
        push_map(&mut out, map, columns);
    }
    if !inventory.unmapped.is_empty() {
        out.push_str("disks without a map\n");
        let rows: Vec<&Path> = inventory.unmapped.iter().collect();
        push_paths(&mut out, &rows, "", columns, &widths(&rows), identity);
    }
    if inventory.maps.is_empty() && inventory.unmapped.is_empty() {
        out.push_str("no multipath map and no SCSI disk\n");
    }
    if let Some(untold) = untold::sentence(inventory) {
        push_wrapped(&mut out, &[untold], "", "  ", columns);
    }
    for note in &inventory.notes {
        push_wrapped(
            &mut out,
            &[sentence(&format!("note: {note}"))],
            "",
            "  ",
            columns,
        );
    }
    out
}

fn push_map(out: &mut String, map: &Map, columns: usize) {
    push_wrapped(out, &[title(map)], "", "  ", columns);
    push_wrapped(out, &properties(map), "  ", "  ", columns);
    for group in &map.port_groups {
        push_wrapped(out, &[port_group(group)], "  ", "    ", columns);
    }
    for disagreement in &map.disagreements {
        let claims: Vec<String> = disagreement
            .claims
            .iter()
            .map(|(who, what)| format!("{} says {}", name(who), name(what)))
            .collect();
        let text = format!("! {}: {}", sentence(&disagreement.about), claims.join(", "));
        push_wrapped(out, &[text], "  ", "    ", columns);
    }
    let rows: Vec<&Path> = map.paths().collect();
    let widths = widths(&rows);
    for (nth, group) in map.groups.iter().enumerate() {
        let last = nth + 1 == map.groups.len();
        let (branch, below) = if last {
            ("`-+- ", "  ")
        } else {
            ("|-+- ", "| ")
        };
        push_wrapped(out, &[group_title(group)], branch, below, columns);
        let rows: Vec<&Path> = group.paths.iter().collect();
        push_paths(out, &rows, below, columns, &widths, |_| Vec::new());
    }
}

fn title(map: &Map) -> String {
    let mut title = name(&map.name);
    if let Some(wwid) = map.wwid.as_deref().filter(|wwid| *wwid != map.name) {
        let _ = write!(title, " ({})", name(wwid));
    }
    for part in [&map.dm, &map.devno].into_iter().flatten() {
        let _ = write!(title, " {}", name(part));
    }
    title
}

fn labelled(what: &str, value: &str) -> String {
    format!("{what} {}", name(value))
}

fn properties(map: &Map) -> Vec<String> {
    let model: Vec<String> = [&map.vendor, &map.product, &map.revision]
        .into_iter()
        .flatten()
        .map(|part| name(part))
        .collect();
    let list = |what: &str, value: &Option<String>| {
        value.as_deref().map(|value| match value {
            "" => format!("no {what}"),
            value => labelled(what, value),
        })
    };
    let serial = map.serial.as_deref();
    [
        (!model.is_empty()).then(|| model.join(" ")),
        serial.map(|serial| labelled("serial", serial)),
        map.size_bytes.map(size),
        map.read_only
            .map(|only| if only { "read-only" } else { "read-write" }.to_owned()),
        list("features", &map.features),
        list("handler", &map.handler),
        map.bio_based
            .map(|bios| if bios { "bio-based" } else { "request-based" }.to_owned()),
    ]
    .into_iter()
    .flatten()
    .chain(map.nmp.as_ref().map_or_else(Vec::new, nmp))
    .chain(map.other.iter().map(|(what, value)| labelled(what, value)))
    .collect()
}

/// What counts of VMware's settings: how I/O is spread, and over what.
fn nmp(nmp: &Nmp) -> Vec<String> {
    let policy = nmp.selection_policy.as_deref().map(|policy| match policy {
        "VMW_PSP_RR" => "round robin".to_owned(),
        "VMW_PSP_MRU" => "most recently used path".to_owned(),
        "VMW_PSP_FIXED" => "fixed path".to_owned(),
        other => name(other),
    });
    let of = |key: &str| nmp.path_setting(key);
    let switching = match of("policy").as_deref() {
        Some("iops") | Some("rr") | None => of("iops").map(|n| format!("switching every {n} I/Os")),
        Some("bytes") => of("bytes").map(|n| format!("switching every {n} bytes")),
        Some(other) => Some(format!("switching by {}", name(other))),
    };
    let non_optimized = of("useANO").map(|used| match used.as_str() {
        "0" => "non-optimized paths not used".to_owned(),
        _ => "non-optimized paths used, too".to_owned(),
    });
    let all = [policy, switching, non_optimized];
    all.into_iter().flatten().collect()
}

/// Bytes, in the largest binary unit that leaves something before the point.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut unit = "bytes";
    let (mut whole, mut rest) = (bytes, 0);
    for larger in UNITS {
        if whole < 1024 {
            break;
        }
        (rest, whole, unit) = (whole % 1024, whole / 1024, larger);
    }
    match rest * 10 / 1024 {
        0 => format!("{whole} {unit}"),
        tenth => format!("{whole}.{tenth} {unit}"),
    }
}

fn port_group(group: &PortGroup) -> String {
    let state = group
        .state
        .map_or_else(|| UNKNOWN.to_owned(), |state| state.to_string());
    let mut text = format!(
        "port group {}: {state} ({})",
        group.id,
        source(group.source)
    );
    if group.preferred == Some(true) {
        text.push_str(", preferred");
    }
    if !group.ports.is_empty() {
        let ports: Vec<String> = group.ports.iter().map(u16::to_string).collect();
        let _ = write!(text, ", ports {}", ports.join(" "));
    }
    if !group.supported.is_empty() {
        let states: Vec<&str> = group
            .supported
            .iter()
            .map(|state| state.abbreviation())
            .collect();
        let _ = write!(text, ", supports {}", states.join(" "));
    }
    if let Some(status) = &group.status {
        let _ = write!(text, ", {}", sentence(status));
    }
    text
}

const fn source(source: AccessSource) -> &'static str {
    match source {
        AccessSource::Array => "array",
        AccessSource::Printed => "printed",
        AccessSource::Sysfs => "sysfs",
        AccessSource::Priority => "priority",
    }
}

fn group_title(group: &PathGroup) -> String {
    let parts = [
        group.state.as_deref().map(name),
        group
            .priority
            .map(|priority| format!("priority {priority}")),
        group.selector.as_deref().map(|it| labelled("selector", it)),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    match parts.as_slice() {
        [] => format!("group {}", group.number),
        parts => format!("group {}: {}", group.number, parts.join(", ")),
    }
}

/// The columns of a path's first line.
fn cells(path: &Path) -> [String; 6] {
    let or_unknown =
        |value: &Option<String>| value.as_deref().map_or_else(|| UNKNOWN.to_owned(), name);
    let address = if path.address.is_empty() {
        UNKNOWN
    } else {
        &path.address
    };
    let dm_state = match (&path.dm_state, path.dm_failures) {
        (Some(state), Some(failures)) if failures > 0 => {
            format!("{} (failed {failures}x)", name(state))
        }
        (state, _) => or_unknown(state),
    };
    [
        name(address),
        or_unknown(&path.device),
        or_unknown(&path.devno),
        dm_state,
        or_unknown(&path.device_state),
        path.access
            .as_ref()
            .map_or_else(|| UNKNOWN.to_owned(), access),
    ]
}

fn access(access: &Access) -> String {
    let source = source(access.source);
    match access.age_ms {
        Some(age) => format!("{} ({source}, {age} ms ago)", access.state),
        None => format!("{} ({source})", access.state),
    }
}

fn widths(paths: &[&Path]) -> [usize; 6] {
    let mut widths = [0; 6];
    for path in paths {
        for (width, cell) in widths.iter_mut().zip(cells(path)) {
            *width = cell.chars().count().max(*width);
        }
    }
    widths
}

/// `identity` says what a path is of, where no map above it does.
fn push_paths(
    out: &mut String,
    paths: &[&Path],
    frame: &str,
    columns: usize,
    widths: &[usize; 6],
    identity: fn(&Path) -> Vec<String>,
) {
    for (nth, path) in paths.iter().enumerate() {
        let last = nth + 1 == paths.len();
        let branch = format!("{frame}{}", if last { "`- " } else { "|- " });
        let below = format!("{frame}{}", if last { "     " } else { "|    " });
        let mark = if path.current == Some(true) {
            "* "
        } else {
            "  "
        };
        let mut line = String::from(mark);
        for (cell, width) in cells(path).iter().zip(widths) {
            let _ = write!(line, "{cell:width$} ");
        }
        push_wrapped(out, &[line.trim_end().to_owned()], &branch, &below, columns);
        let mut items = identity(path);
        items.extend(details(path));
        push_wrapped(out, &items, &below, &below, columns);
    }
}

fn identity(path: &Path) -> Vec<String> {
    let model = [&path.vendor, &path.product, &path.revision];
    let model = model.into_iter().flatten().map(|part| name(part));
    let wwid = path.wwid.as_deref().map(name);
    let serial = path.serial.as_deref().map(|it| labelled("serial", it));
    wwid.into_iter().chain(model).chain(serial).collect()
}

fn details(path: &Path) -> Vec<String> {
    let number = |what: &str, value: Option<u32>| value.map(|value| format!("{what} {value}"));
    let mut items = Vec::new();
    items.extend(number("port group", path.port_group.map(u32::from)));
    items.extend(number("port", path.relative_port.map(u32::from)));
    items.extend(path.preferred.map(|it| preferred(it).to_owned()));
    items.extend(path.tpgs.map(tpgs));
    items.extend(path.handler.as_deref().map(|handler| match handler {
        "" => "no handler".to_owned(),
        handler => labelled("handler", handler),
    }));
    items.extend(path.priority.as_ref().map(|priority| {
        let why = if priority.reason.is_empty() {
            priority.value.to_string()
        } else {
            sentence(&priority.reason)
        };
        labelled_prioritizer(&why, priority.prioritizer.as_deref())
    }));
    items.extend(rdac(path));
    items.extend(number("queue depth", path.queue_depth));
    items.extend(
        path.checker_state
            .as_deref()
            .map(|it| labelled("checker", it)),
    );
    items.extend(path.transport.iter().flat_map(transport::words));
    items
}

fn labelled_prioritizer(why: &str, prioritizer: Option<&str>) -> String {
    prioritizer.map_or_else(
        || format!("priority {why}"),
        |prioritizer| format!("priority {why} ({})", name(prioritizer)),
    )
}

const fn preferred(preferred: bool) -> &'static str {
    if preferred {
        "preferred"
    } else {
        "not preferred"
    }
}

fn tpgs(tpgs: u8) -> String {
    match tpgs {
        0 => "TPGS 0 (none, or the vendor's own)".to_owned(),
        1 => "TPGS 1 (implicit)".to_owned(),
        2 => "TPGS 2 (explicit)".to_owned(),
        code => format!("TPGS {code} (implicit and explicit)"),
    }
}

fn rdac(path: &Path) -> Vec<String> {
    let Some(rdac) = &path.rdac else {
        return Vec::new();
    };
    let mut items = Vec::new();
    let controller = rdac.controller.map(String::from);
    items.extend(controller.map(|letter| labelled("controller", &letter)));
    items.extend(rdac.slot.as_deref().map(|slot| labelled("slot", slot)));
    items.extend(rdac.mode.as_deref().map(|mode| labelled("mode", mode)));
    items.extend(
        rdac.owned
            .map(|owned| if owned { "owner" } else { "not the owner" }.to_owned()),
    );
    items.extend(rdac.array.as_deref().map(|array| labelled("array", array)));
    items.extend(
        rdac.volume
            .as_deref()
            .map(|volume| labelled("volume", volume)),
    );
    items
}

#[cfg(test)]
mod tests;
