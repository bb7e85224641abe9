//! What the probes tell of a path before topology knows it: a handler asks while a device is added,
//! and sysfs has the device only then.

use alua_trace_ebpf::ManagementRecord;

use super::{Engine, Tables, paths::Entry};

/// Records kept; a handler needs a few for each path.
const MOST: usize = 256;
/// A device that is not in sysfs so long after it was asked never will be.
const KEPT_NS: u64 = 60_000_000_000;

/// Records about paths whose logical unit topology has not told yet.
#[derive(Debug, Default)]
pub(super) struct Early {
    records: Vec<ManagementRecord>,
    /// How many found no room.
    pub left_out: u64,
}

impl Early {
    fn keep(&mut self, record: &ManagementRecord) {
        if self.records.len() < MOST {
            self.records.push(*record);
        } else {
            self.left_out += 1;
        }
    }
}

impl Engine {
    /// A command about ownership. What is told of a path before topology knows it waits for its
    /// logical unit.
    pub fn management(&mut self, record: &ManagementRecord, tables: &dyn Tables) {
        let Some(index) = self.path_index(record.path, tables) else {
            return;
        };
        if let Some(slot) = tables.path(record.path) {
            self.note_slot(index, &slot);
        }
        if self.is_known(index) {
            self.told(index, record);
        } else {
            self.witness.early.keep(record);
        }
    }

    /// What was told of paths that topology has come to know.
    pub(super) fn tell_early(&mut self, now_ns: u64) {
        for record in std::mem::take(&mut self.witness.early.records) {
            let index = usize::from(self.by_kernel_id[usize::from(record.path)]);
            if self.is_known(index) {
                self.told(index, &record);
            } else if now_ns.saturating_sub(record.dispatch_ns) < KEPT_NS {
                self.witness.early.keep(&record);
            }
        }
    }

    /// Commands of what was met early go to the path it turned out to be.
    pub(super) fn follow_moved(&mut self) {
        for (id, index) in self.paths.take_moved() {
            if let Ok(index) = u16::try_from(index) {
                let met = std::mem::replace(&mut self.by_kernel_id[usize::from(id)], index);
                self.witness.forget_retried(usize::from(met));
            }
        }
    }

    fn is_known(&self, index: usize) -> bool {
        self.paths.get(index).is_some_and(Entry::is_known)
    }
}
