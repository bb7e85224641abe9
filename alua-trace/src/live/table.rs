//! Which lines the table has, in which order, and which of them are on the screen: maps with their paths, as the
//! topology has them, or those that deserve it first where not all fit, or by the column the user chose.

use std::cmp::Reverse;

use super::columns::Column;
use crate::model::{AccessState, Row};

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub(super) enum Entry<'rows> {
    /// The map of the paths below, which have so many I/Os per second together.
    Map { of: &'rows Row, iops: f64 },
    /// A path, and whether its map has any I/O.
    Path { row: &'rows Row, is_map_busy: bool },
}

/// The column that the user has the table sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sorting {
    pub(super) column: Column,
    /// The smallest first.
    pub(super) is_ascending: bool,
}

/// What of the table is on the screen.
#[derive(Debug)]
pub(super) struct Visible<'rows> {
    pub(super) entries: Vec<Entry<'rows>>,
    /// Paths further up and further down.
    pub(super) above: usize,
    pub(super) below: usize,
}

/// Paths of one map, and the I/Os per second of all its paths.
struct Group<'rows> {
    rows: Vec<&'rows Row>,
    iops: f64,
}

/// Lines that show all of `rows`: one a map and one a path.
pub(super) fn lines(rows: &[Row]) -> usize {
    rows.len() + rows.chunk_by(is_of_one_map).count()
}

/// The last line that the table can begin with in `room` lines: from there on it ends with its last one.
pub(super) fn last_first(lines: usize, room: usize) -> usize {
    // One line is for what is missing, one may be for the map of the first path.
    if lines <= room {
        0
    } else {
        lines.saturating_sub(room.saturating_sub(2).max(1))
    }
}

/// What `room` lines show, from line `first` on.
pub(super) fn visible(
    rows: &[Row],
    sorting: Option<Sorting>,
    first: usize,
    room: usize,
) -> Visible<'_> {
    let all_fit = lines(rows) <= room;
    let all = entries(rows, sorting, all_fit);
    let room = if all_fit {
        room
    } else {
        room.saturating_sub(1)
    };
    let first = first.min(all.len().saturating_sub(1));
    let mut shown = Vec::with_capacity(room);
    if let Some(Entry::Path { .. }) = all.get(first) {
        let is_map = |entry: &&Entry<'_>| matches!(entry, Entry::Map { .. });
        shown.extend(all[..first].iter().rev().find(is_map));
    }
    let left = room.saturating_sub(shown.len());
    shown.extend(all[first..].iter().take(left));
    // A map's line without a path below it tells nothing.
    if let Some(Entry::Map { .. }) = shown.last() {
        shown.pop();
    }
    let above = paths(&all[..first]);
    Visible {
        below: rows.len() - above - paths(&shown),
        entries: shown,
        above,
    }
}

fn paths(entries: &[Entry<'_>]) -> usize {
    let is_path = |entry: &&Entry<'_>| matches!(entry, Entry::Path { .. });
    entries.iter().filter(is_path).count()
}

/// All lines of the table.
fn entries(rows: &[Row], sorting: Option<Sorting>, all_fit: bool) -> Vec<Entry<'_>> {
    let mut groups: Vec<Group<'_>> = rows.chunk_by(is_of_one_map).map(Group::new).collect();
    match sorting {
        Some(sorting) => sort(&mut groups, sorting),
        None if all_fit => {}
        None => {
            groups.sort_by_cached_key(|group| Reverse(group.badness()));
            groups = busy_first(groups);
        }
    }
    let mut entries = Vec::with_capacity(rows.len() + groups.len());
    for Group { rows, iops } in groups {
        let Some(of) = rows.first() else { continue };
        entries.push(Entry::Map { of, iops });
        let is_map_busy = iops > 0.0;
        entries.extend(rows.iter().map(|row| Entry::Path { row, is_map_busy }));
    }
    entries
}

/// Paths without I/O come after all that have some, under their map once more.
fn busy_first(groups: Vec<Group<'_>>) -> Vec<Group<'_>> {
    let (mut busy, mut idle) = (Vec::with_capacity(groups.len()), Vec::new());
    for group in groups {
        let iops = group.iops;
        let (some, none) = group.rows.into_iter().partition(|row| is_busy(row));
        busy.push(Group { rows: some, iops });
        idle.push(Group { rows: none, iops });
    }
    busy.append(&mut idle);
    busy
}

/// Paths in their maps, and maps by what all their paths have in the column, or the most that one of them has.
fn sort(groups: &mut [Group<'_>], sorting: Sorting) {
    let Sorting {
        column,
        is_ascending,
    } = sorting;
    let order = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) if is_ascending => a.total_cmp(&b),
        (Some(a), Some(b)) => b.total_cmp(&a),
        // What is not known comes last either way.
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    if column == Column::Path {
        // They come in this order.
        if is_ascending {
            return;
        }
        groups.reverse();
        return groups.iter_mut().for_each(|group| group.rows.reverse());
    }
    for group in groups.iter_mut() {
        group
            .rows
            .sort_by(|a, b| order(measure(a, column), measure(b, column)));
    }
    groups.sort_by(|a, b| order(a.measure(column), b.measure(column)));
}

impl<'rows> Group<'rows> {
    fn new(rows: &'rows [Row]) -> Self {
        Self {
            rows: rows.iter().collect(),
            iops: rows.iter().map(|row| row.iops).sum(),
        }
    }

    /// How much a map deserves to be seen where not all of them fit: first those with I/O on paths that are not
    /// active/optimized, then by their largest p99, or the largest latency where there are too few for one.
    fn badness(&self) -> (bool, u64) {
        let busy = || self.rows.iter().filter(|row| is_busy(row));
        let slowest_ns = busy().filter_map(|row| row.p99_ns.or(row.max_ns)).max();
        (
            busy().any(|row| is_astray(row.path.state)),
            slowest_ns.unwrap_or(0),
        )
    }

    /// What a map has in `column`.
    fn measure(&self, column: Column) -> Option<f64> {
        let of_paths = self.rows.iter().filter_map(|row| measure(row, column));
        of_paths.reduce(|a, b| match column {
            Column::Iops | Column::Mib | Column::InFlight | Column::Retransmits => a + b,
            _ => a.max(b),
        })
    }
}

/// What `row` has in `column`, as something that can be sorted by; [`Column::Path`] has its order already.
#[expect(
    clippy::cast_precision_loss,
    reason = "2⁵³ ns are 104 days, and nobody tells such numbers apart"
)]
fn measure(row: &Row, column: Column) -> Option<f64> {
    let ns = |ns: Option<u64>| ns.map(|ns| ns as f64);
    match column {
        Column::Path => None,
        Column::PathGroup => row.path.path_group.map(f64::from),
        Column::PortGroup => row.path.port_group.map(f64::from),
        Column::State => Some(f64::from(u8::from(is_astray(row.path.state)))),
        Column::Iops => Some(row.iops),
        Column::Mib => Some(row.bytes_per_s),
        Column::InFlight => Some(row.in_flight as f64),
        Column::P50 => ns(row.p50_ns),
        Column::P99 => ns(row.p99_ns),
        Column::P999 => ns(row.p999_ns),
        Column::Max => ns(row.max_ns),
        Column::Share | Column::Bar => Some(row.share),
        Column::Rtt => row.network.and_then(|it| it.rtt_us).map(f64::from),
        Column::Retransmits => row.network.map(|it| it.retransmits as f64),
    }
}

fn is_busy(row: &Row) -> bool {
    row.iops > 0.0 || row.in_flight > 0
}

/// Whether I/O should rather go elsewhere.
fn is_astray(state: AccessState) -> bool {
    !matches!(state, AccessState::Optimized | AccessState::Unknown)
}

fn is_of_one_map(a: &Row, b: &Row) -> bool {
    a.path.map == b.path.map
}
