//! The order in which paths are shown: by map, path group and address; those without a map last. Kept, because a host may
//! have thousands, and an interval shows all of them.

use super::Entry;
use crate::topology::Hctl;

/// Indices of all paths.
#[derive(Debug, Default)]
pub(super) struct Order(Vec<usize>);

impl Order {
    /// The last of `entries` is new.
    pub fn add(&mut self, index: usize, entries: &[Entry]) {
        let its = place(&entries[index]);
        let at = self
            .0
            .partition_point(|other| place(&entries[*other]) <= its);
        self.0.insert(at, index);
    }

    /// Some have other labels.
    pub fn renew(&mut self, entries: &[Entry]) {
        self.0
            .sort_by(|a, b| place(&entries[*a]).cmp(&place(&entries[*b])));
    }

    /// They in their order.
    pub fn of<'a>(&'a self, entries: &'a [Entry]) -> impl Iterator<Item = &'a Entry> {
        self.0.iter().filter_map(|index| entries.get(*index))
    }
}

fn place(entry: &Entry) -> (bool, Option<&str>, Option<u32>, Hctl) {
    let label = &entry.label;
    let map = label.map.as_deref();
    (map.is_none(), map, label.path_group, entry.hctl)
}
