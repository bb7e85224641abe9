//! Records that arrive before sysfs knows the device: handlers query the array during device add.

use alua_trace_ebpf::{CommandRecord, ManagementRecord, RtpgRecord};

use super::{Engine, paths::Entry};

/// Records kept of each kind; a handler needs a few for each path.
const MOST: usize = 256;
/// A device that is not in sysfs so long after it was asked never will be.
const KEPT_NS: u64 = 60_000_000_000;

/// Records about paths whose logical unit topology has not told yet.
#[derive(Debug, Default)]
pub(super) struct Early {
    told: Vec<ManagementRecord>,
    filed: Vec<RtpgRecord>,
    ends: Vec<CommandRecord>,
    /// How many found no room.
    pub left_out: u64,
}

impl Early {
    fn keep<T>(kept: &mut Vec<T>, record: T, left_out: &mut u64) {
        if kept.len() < MOST {
            kept.push(record);
        } else {
            *left_out += 1;
        }
    }

    fn keep_told(&mut self, record: &ManagementRecord) {
        Self::keep(&mut self.told, *record, &mut self.left_out);
    }

    /// A handler filed a state for a path group that is of a path topology does not know.
    pub fn keep_filed(&mut self, record: &RtpgRecord) {
        Self::keep(&mut self.filed, *record, &mut self.left_out);
    }

    /// Sense data, or the end of a command that moves units.
    pub fn keep_end(&mut self, record: &CommandRecord) {
        Self::keep(&mut self.ends, *record, &mut self.left_out);
    }
}

impl Engine {
    /// A command about ownership. What is told of a path before topology knows it waits for its
    /// logical unit.
    pub(super) fn management(&mut self, record: &ManagementRecord) {
        let Some(index) = self.ids.path(record.path) else {
            return;
        };
        if self.is_known(index) {
            self.told(index, record);
        } else {
            self.witness.early.keep_told(record);
        }
    }

    /// What was told of paths that topology has come to know.
    pub(super) fn tell_early(&mut self, now_ns: u64) {
        let early = &mut self.witness.early;
        let told = std::mem::take(&mut early.told);
        let (filed, ends) = (
            std::mem::take(&mut early.filed),
            std::mem::take(&mut early.ends),
        );
        let is_recent = |at_ns: u64| now_ns.saturating_sub(at_ns) < KEPT_NS;
        for record in told {
            let known = self.ids.path(record.path).filter(|it| self.is_known(*it));
            if let Some(index) = known {
                self.told(index, &record);
            } else if is_recent(record.dispatch_ns) {
                self.witness.early.keep_told(&record);
            }
        }
        for record in ends {
            let id = record.followed.path();
            let known = self.ids.path(id).filter(|it| self.is_known(*it));
            if let Some(index) = known {
                self.account_end(index, &record);
            } else if is_recent(record.dispatch_ns) {
                self.witness.early.keep_end(&record);
            }
        }
        for record in filed {
            if is_recent(record.entry_ns) {
                self.file(&record);
            }
        }
    }

    /// Commands of what was met early go to the path it turned out to be.
    pub(super) fn follow_moved(&mut self) {
        for (id, index) in self.paths.take_moved() {
            let met = self.ids.path(id);
            self.ids.path_is(id, index);
            if let Some(met) = met {
                self.witness.moved(met, index);
                self.carried.moved(met);
            }
        }
    }

    pub(super) fn is_known(&self, index: usize) -> bool {
        self.paths.get(index).is_some_and(Entry::is_known)
    }
}
