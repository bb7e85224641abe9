//! The columns of the live table: their order, width and which go first when it is narrow.

/// What a column shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Path,
    PathGroup,
    PortGroup,
    State,
    Iops,
    Mib,
    InFlight,
    P50,
    P99,
    P999,
    Max,
    Share,
    Rtt,
    Retransmits,
    Bar,
}

/// Title, width, and rank: the highest goes first.
const fn layout(column: Column) -> (&'static str, u16, u8) {
    match column {
        Column::Path => ("path", PATH_MIN, 0),
        Column::PathGroup => ("PG", 3, 9),
        Column::PortGroup => ("TPG", 5, 10),
        Column::State => ("state", 8, 1),
        Column::Iops => ("IOPS", 7, 2),
        Column::Mib => ("MiB/s", 7, 8),
        Column::InFlight => ("inflight", 8, 6),
        Column::P50 => ("p50", 7, 4),
        Column::P99 => ("p99", 7, 3),
        Column::P999 => ("p99.9", 7, 11),
        Column::Max => ("max", 7, 7),
        Column::Share => ("share", 7, 5),
        Column::Rtt => ("RTT", 7, 12),
        Column::Retransmits => ("retrans", 7, 9),
        Column::Bar => ("", 10, 13),
    }
}

const ALL: [Column; 15] = [
    Column::Path,
    Column::PathGroup,
    Column::PortGroup,
    Column::State,
    Column::Iops,
    Column::Mib,
    Column::InFlight,
    Column::P50,
    Column::P99,
    Column::P999,
    Column::Max,
    Column::Share,
    Column::Rtt,
    Column::Retransmits,
    Column::Bar,
];

const PATH_MIN: u16 = 14;
const PATH_MAX: u16 = 28;
/// From this width on the state is shown, even if the path has to be cut for it.
const TWO_COLUMNS: u16 = 18;

/// A column and where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) column: Column,
    pub(super) x: u16,
    pub(super) width: u16,
}

impl Column {
    pub(super) const fn title(self) -> &'static str {
        layout(self).0
    }

    /// Text starts at the left edge, numbers end at the right one.
    pub(super) const fn is_left(self) -> bool {
        matches!(self, Self::Path | Self::State | Self::Bar)
    }
}

/// The columns that fit into `width`, left to right with a blank between them, where paths want
/// `path_width`; those about the network where there is one to tell of. Only the path may get more or less than
/// it wants.
pub(super) fn places(width: u16, path_width: u16, network: bool) -> Vec<Place> {
    let path_width = path_width.clamp(PATH_MIN, PATH_MAX);
    let width_of = |column: &Column| match column {
        Column::Path => path_width,
        column => layout(*column).1,
    };
    let used = |kept: &[Column]| kept.iter().map(|column| width_of(column) + 1).sum::<u16>() - 1;
    let mut kept = ALL.to_vec();
    kept.retain(|it| network || !matches!(it, Column::Rtt | Column::Retransmits));
    let least = if width >= TWO_COLUMNS { 2 } else { 1 };
    while kept.len() > least && used(&kept) > width {
        let last = kept.iter().map(|column| layout(*column).2).max();
        kept.retain(|column| Some(layout(*column).2) != last);
    }
    let others = used(&kept) - path_width;
    let path_width = width.saturating_sub(others).min(PATH_MAX);
    let mut x = 0;
    let mut places = Vec::with_capacity(kept.len());
    for column in kept {
        let width = if column == Column::Path {
            path_width
        } else {
            layout(column).1
        };
        places.push(Place { column, x, width });
        x += width + 1;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_fit_and_never_overlap() {
        for (width, path) in (0..300).flat_map(|width| [(width, 0), (width, 20), (width, 99)]) {
            let places = places(width, path, width % 2 == 0);
            assert_eq!(places.first().map(|place| place.column), Some(Column::Path));
            let mut end = 0;
            for place in &places {
                assert!(place.x >= end, "{width}");
                end = place.x + place.width;
            }
            assert!(end <= width, "{width}");
        }
    }

    #[test]
    fn what_matters_most_stays() {
        let titles = |width| {
            places(width, 0, false)
                .iter()
                .map(|p| p.column.title())
                .collect::<Vec<_>>()
        };
        let wide = "path PG TPG state IOPS MiB/s inflight p50 p99 p99.9 max share";
        assert_eq!(titles(100).join(" "), wide);
        assert_eq!(
            titles(80).join(" "),
            "path state IOPS MiB/s inflight p50 p99 max share"
        );
        assert_eq!(titles(40).join(" "), "path state IOPS p99");
        assert_eq!(titles(20).join(" "), "path state");
        assert_eq!(titles(10).join(" "), "path");
        assert_eq!(titles(120).len(), 13);
        let of_network = places(200, 0, true);
        let titles: Vec<_> = of_network.iter().map(|it| it.column.title()).collect();
        assert_eq!(titles[12..14], ["RTT", "retrans"]);
    }
}
