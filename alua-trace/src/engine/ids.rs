//! What the ids in the probes' records stand for.

use alua_trace_ebpf::{MAX_PATHS, MAX_ROUTES, PathSlot, RouteSlot};

use crate::topology::{DevNo, Hctl};

/// A path id that has not been introduced.
const UNKNOWN: u16 = u16::MAX;

/// Where a route leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Route {
    /// The dm device that chose it.
    pub dm: DevNo,
    /// dm's path group, from 1.
    pub path_group: u32,
}

/// Paths and routes by the probes' ids. Tables, because they are asked for every command; as long as the ids that there
/// were.
#[derive(Default)]
pub(super) struct Ids {
    paths: Vec<u16>,
    routes: Vec<Option<Route>>,
}

impl Ids {
    /// Index of a path.
    #[inline]
    pub fn path(&self, id: u16) -> Option<usize> {
        let index = *self.paths.get(usize::from(id))?;
        (index != UNKNOWN).then_some(usize::from(index))
    }

    /// A path id stands for the path of this index from now on; false when there are too many.
    pub fn path_is(&mut self, id: u16, index: usize) -> bool {
        let (true, Ok(index)) = (u32::from(id) < MAX_PATHS, u16::try_from(index)) else {
            return false;
        };
        put(&mut self.paths, id, index, UNKNOWN);
        index != UNKNOWN
    }

    /// A path id stands for nothing any more.
    pub fn forget_path(&mut self, id: u16) {
        if let Some(known) = self.paths.get_mut(usize::from(id)) {
            *known = UNKNOWN;
        }
    }

    /// Where a route leads, if it is one.
    #[inline]
    pub fn route(&self, id: u16) -> Option<Route> {
        self.routes.get(usize::from(id)).copied().flatten()
    }

    /// A route id stands for this from now on.
    pub fn route_is(&mut self, id: u16, slot: &RouteSlot) {
        if u32::from(id) >= MAX_ROUTES {
            return;
        }
        let route = Route {
            dm: DevNo {
                major: slot.major,
                minor: slot.minor,
            },
            path_group: slot.path_group,
        };
        put(&mut self.routes, id, Some(route), None);
    }
}

fn put<T: Copy>(table: &mut Vec<T>, id: u16, value: T, none: T) {
    let id = usize::from(id);
    if table.len() <= id {
        table.resize(id + 1, none);
    }
    table[id] = value;
}

/// The address of a path.
pub(super) fn address(slot: &PathSlot) -> Hctl {
    Hctl {
        host: slot.host,
        channel: slot.channel,
        target: slot.target,
        lun: slot.lun,
    }
}
