//! The access state of each path over time.

use std::collections::BTreeMap;

use crate::model::AccessState;

/// Most changes that are kept of a path: a ribbon shows no more.
const MOST_STAYS: usize = 4096;

/// A time in which a path was in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stay {
    /// Since when, monotonic.
    pub from_ns: u64,
    /// The state.
    pub state: AccessState,
}

/// Stays by [`crate::model::Path::id`], in order.
#[derive(Debug, Clone, Default)]
pub struct States {
    of_path: BTreeMap<u16, Vec<Stay>>,
}

impl States {
    /// A path is in a state from now on.
    pub(super) fn is(&mut self, path: u16, from_ns: u64, state: AccessState) {
        let stays = self.of_path.entry(path).or_default();
        let is_news = stays.last().is_none_or(|last| last.state != state);
        if is_news && stays.len() < MOST_STAYS {
            stays.push(Stay { from_ns, state });
        }
    }

    /// Those of a path.
    pub fn of(&self, path: u16) -> &[Stay] {
        self.of_path.get(&path).map_or(&[], Vec::as_slice)
    }
}
