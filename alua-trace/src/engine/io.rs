//! Block I/O as the ownership engine is told of it: from submission to its last dispatch's end, and
//! the path group that carried it.

use std::collections::{BTreeMap, HashMap};

use alua_trace_ebpf::{CommandRecord, NO_ROUTE, command_flag};

use super::{
    Engine,
    ownership::{Io, Observation},
};
use crate::{model::Hold, scsi::cdb, stats::LatencyHistogram};

/// Commands that SCSI sends again, remembered at once.
const MOST_RETRIED: usize = 4096;
/// Every one of the first I/Os of an interval goes to the ownership engine; after them, while no
/// transfer is suspected, a sample: percentiles over thousands do not need each of them.
const EACH: u32 = 128;
const SAMPLE: u32 = 64;

/// For how many the nth I/O of a path in an interval stands when the ownership engine is told of it; 0 where it is not.
#[inline]
pub(super) fn stands_for(nth: u32) -> u32 {
    match nth {
        ..=EACH => 1,
        _ if nth.is_multiple_of(SAMPLE) => SAMPLE,
        _ => 0,
    }
}

/// What of I/O has to be remembered.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// First dispatch of commands that SCSI dispatches again, by path and block.
    retried: HashMap<(usize, u64), u64>,
    /// What waited in dm, by logical unit; made when first needed.
    holds: BTreeMap<usize, LatencyHistogram>,
    /// Path group that carried the last command, by logical unit; 0 before the first.
    path_groups: Vec<u32>,
}

impl Carried {
    /// What was met at an address turned out to be another path.
    pub fn moved(&mut self, met: usize) {
        self.retried.retain(|(path, _), _| *path != met);
    }
}

impl Engine {
    /// A block I/O that ended.
    #[inline]
    pub(super) fn account_io(&mut self, index: usize, record: &CommandRecord) {
        let Some(entry) = self.paths.get_mut(index) else {
            return;
        };
        entry.ios = entry.ios.wrapping_add(1);
        let stands_for = stands_for(entry.ios);
        let ordinary = record.result | record.waited_us | record.retries == 0;
        if !ordinary || self.each_matters() {
            self.account_io_of(index, record, 1);
        } else if stands_for > 0 {
            self.account_io_of(index, record, stands_for);
        }
    }

    /// Whether the ownership engine is told of every I/O.
    #[inline]
    pub(super) fn each_matters(&self) -> bool {
        self.ownership.transfer_suspected() || !self.carried.retried.is_empty()
    }

    /// A block I/O that ended, and stands for so many. Another path group shows here: a switch is
    /// among what has the waits of commands measured, so that none of them is ordinary.
    #[inline(never)]
    fn account_io_of(&mut self, index: usize, record: &CommandRecord, stands_for: u32) {
        let Some(entry) = self.paths.get(index) else {
            return;
        };
        let (lun, path_group) = (entry.lun, entry.path_group);
        if path_group != 0 && self.carried.path_groups.get(lun).copied() != Some(path_group) {
            self.path_group_changed(index, record.dispatch_ns);
        }
        let waited_ns = u64::from(record.waited_us) * 1000;
        let mut io = Io {
            lun,
            path: index as u32,
            submitted_ns: record.dispatch_ns.saturating_sub(waited_ns),
            first_dispatch_ns: record.dispatch_ns,
            dispatch_ns: record.dispatch_ns,
            completion_ns: record.completion_ns,
            retried: record.retries > 0,
            failed: record.result != 0,
            stands_for,
        };
        if (record.result != 0 || !self.carried.retried.is_empty())
            && !self.is_last_dispatch(index, record, &mut io)
        {
            return;
        }
        if waited_ns >= self.wanted.thresholds.held_ns
            && record.followed.route() != NO_ROUTE
            && !io.retried
        {
            self.held(lun, waited_ns);
        }
        self.ownership.io(&io);
    }

    #[cold]
    fn held(&mut self, lun: usize, waited_ns: u64) {
        self.carried.holds.entry(lun).or_default().record(waited_ns);
    }

    /// I/O that waited in dm, by map.
    pub(super) fn holds(&self) -> Vec<Hold> {
        let mut holds: Vec<Hold> = self
            .carried
            .holds
            .iter()
            .filter_map(|(lun, waits)| {
                let entry = self.shown().find(|entry| entry.lun == *lun)?;
                Some(Hold {
                    map: entry.label.map.clone()?,
                    wwid: entry.label.wwid.clone(),
                    commands: waits.len(),
                    min_ns: waits.min_ns().unwrap_or(0),
                    mean_ns: waits.mean_ns(),
                    p50_ns: waits.percentile_ns(0.50),
                    p99_ns: waits.percentile_ns(0.99),
                    max_ns: waits.max_ns().unwrap_or(0),
                    buckets: waits.non_empty_buckets(),
                })
            })
            .collect();
        holds.sort_by(|a, b| a.map.cmp(&b.map));
        holds
    }

    /// Whether SCSI will not dispatch the command again; puts its first dispatch into `io`.
    #[cold]
    fn is_last_dispatch(&mut self, index: usize, record: &CommandRecord, io: &mut Io) -> bool {
        let Some(block) = cdb::first_block(&record.cdb) else {
            return true;
        };
        let key = (index, block);
        if is_sent_again(record) {
            if self.carried.retried.len() < MOST_RETRIED {
                self.carried
                    .retried
                    .entry(key)
                    .or_insert(record.dispatch_ns);
            }
            return false;
        }
        if let Some(first_ns) = self.carried.retried.remove(&key) {
            io.first_dispatch_ns = first_ns;
            io.submitted_ns = io.submitted_ns.min(first_ns);
            io.retried = true;
        }
        true
    }

    #[cold]
    fn path_group_changed(&mut self, index: usize, at_ns: u64) {
        let Some(entry) = self.paths.get(index) else {
            return;
        };
        let (lun, to) = (entry.lun, entry.path_group);
        let groups = &mut self.carried.path_groups;
        if groups.len() <= lun {
            groups.resize(lun + 1, 0);
        }
        let from = Some(std::mem::replace(&mut groups[lun], to)).filter(|from| *from != 0);
        let map = self
            .witness
            .units
            .iter()
            .find(|(_, unit)| **unit == lun)
            .map(|(map, _)| *map);
        if let Some(map) = map {
            self.ownership.observe(Observation::GroupSwitch {
                lun,
                map,
                from,
                to,
                at_ns,
            });
        }
    }

    /// The path group a path's last command came through.
    pub(super) fn note_path_group(&mut self, index: usize, route: u16) {
        let group = self.ids.route(route).map_or(0, |known| known.path_group);
        if let Some(entry) = self.paths.get_mut(index) {
            entry.path_group = group;
        }
    }
}

/// Whether SCSI dispatches a command that ended so once more, without telling anyone
/// (`scsi_check_sense`, `alua_check_sense`, `rdac_check_sense`).
fn is_sent_again(record: &CommandRecord) -> bool {
    record.followed.has(command_flag::SENSE)
        && matches!(
            [record.sense_key, record.asc, record.ascq],
            [0x06, _, _] | [0x02, 0x04, 0x01 | 0x0a | 0x81 | 0xa1] | [0x02, 0xa1, 0x02]
        )
}
