//! The paths of a trace: labels from topology, counts and histograms from the probes.

use std::{collections::HashMap, sync::Arc};

use alua_trace_ebpf::{Followed, PathCounts, state_source};

use super::ownership::{RdacMode, Side};
use super::slowest::Slowest;
use crate::{
    model::{self, AccessState, Counts, PathChange, PathEvent, StateSource},
    stats::PathStats,
    topology::Hctl,
};

mod order;
mod relabel;
mod rtpgs;
mod watched;

use order::Order;
pub(super) use relabel::model_state;
use relabel::{event, unlabelled};
use rtpgs::Rtpgs;
pub(super) use watched::{LARGE_BYTES, Watched};

/// Handlers that refuse I/O by state (`scsi_dh_alua`, `scsi_dh_rdac`).
const HANDLERS: [&str; 2] = ["alua", "rdac"];

/// One path.
#[derive(Debug)]
pub(super) struct Entry {
    /// As it is shown.
    pub label: Arc<model::Path>,
    pub hctl: Hctl,
    /// Index of its logical unit.
    pub lun: usize,
    /// It is there.
    pub present: bool,
    /// It is a disk: shown even without I/O.
    pub is_disk: bool,
    /// Neither the device nor dm has failed it.
    pub usable: bool,
    /// dm sends I/O there, as of the last scan: the device may be blocked for a while.
    pub dm_active: bool,
    /// Its handler refuses I/O in the state it has filed (`alua_prep_fn`, `rdac_prep_fn`).
    pub refuses: bool,
    /// The array has told since that the state its handler has filed is no longer so.
    pub contradicted: bool,
    /// What sysfs says of its state.
    pub sysfs_state: Option<AccessState>,
    /// Slot of its controller in an RDAC array (0 is A), and the mode of the unit there.
    pub controller: Option<(u8, RdacMode)>,
    /// I/Os in this interval.
    pub ios: u32,
    /// Path group its last command came through; 0 for none.
    pub path_group: u32,
    /// The SCSI command timer in seconds.
    pub timeout_s: Option<u32>,
    pub watched: Watched,
    pub stats: PathStats,
    pub slowest: Slowest,
    pub retried: u64,
    pub rtpgs: Option<Box<Rtpgs>>,
    /// Records whose completion came before their dispatch.
    pub implausible: u64,
    /// Of the ids the probes gave it: more than one when the device came and went.
    kernel: Vec<(u16, PathCounts)>,
    /// Of ids that it had, and that may be another path's now.
    retired: PathCounts,
    /// Of all of them.
    counts: PathCounts,
    /// When its state was last seen, on the monotonic clock.
    state_at_ns: u64,
    /// When its state was first seen to be what it is.
    state_since_ns: u64,
    /// When what makes it usable (device, dm, membership of its map) last changed, by a scan.
    usable_since_ns: u64,
    /// What the last command said.
    pub last: Followed,
}

impl Entry {
    /// A command said this; whether that is news. What has been said since by sysfs makes it so.
    #[inline]
    pub fn saw(&mut self, followed: Followed, dispatch_ns: u64) -> bool {
        let is_news = followed != self.last;
        if !is_news {
            self.saw_again(followed, dispatch_ns);
        } else if dispatch_ns >= self.state_at_ns {
            // One from before what is known of the state says nothing of those after it.
            self.last = followed;
        }
        is_news
    }

    /// A command said the same as the last one.
    #[inline]
    pub fn saw_again(&mut self, followed: Followed, dispatch_ns: u64) {
        if followed.state_source() != state_source::NONE {
            self.state_at_ns = self.state_at_ns.max(dispatch_ns);
        }
    }

    /// When its state was first seen to be what it is.
    pub fn state_since_ns(&self) -> u64 {
        self.state_since_ns
    }

    /// When its state, or whether it is usable, last changed.
    pub fn changed_at_ns(&self) -> u64 {
        self.state_since_ns.max(self.usable_since_ns)
    }

    /// Sum over the probes' ids.
    pub fn counts(&self) -> &PathCounts {
        &self.counts
    }

    fn count_anew(&mut self) {
        let of_ids = self.kernel.iter();
        self.counts = of_ids.fold(self.retired, |sum, (_, counts)| sum.plus(counts));
    }

    /// Dispatched and not ended, by subtraction: for the live view.
    pub fn in_flight(&self) -> u64 {
        let counts = self.counts();
        // The counts of different CPUs are not read at one moment.
        counts.dispatched().saturating_sub(counts.ended())
    }

    /// Exact counts, with what was found in the probes' slots at the end.
    pub fn account(&self, in_flight: u64) -> Counts {
        let counts = self.counts();
        Counts {
            dispatched: counts.dispatched(),
            completed: counts.completed,
            failed: counts.failed,
            timed_out: counts.timed_out,
            superseded: counts.superseded,
            untracked: counts.untracked,
            in_flight,
            recorded: self.stats.recorded(),
            counted: self.stats.counted(),
            ring_full: counts.ring_full,
            rejected: counts.rejected,
            implausible: self.implausible,
        }
    }

    /// Topology has had it; others were only met by the probes.
    pub fn is_known(&self) -> bool {
        self.label.vendor.is_some() || self.label.device.is_some()
    }

    /// Whether the probes gave it this id.
    pub fn has_kernel_id(&self, id: u16) -> bool {
        self.kernel.iter().any(|(known, _)| *known == id)
    }
}

/// All paths of a trace; none is ever removed.
#[derive(Debug, Default)]
pub(super) struct Paths {
    entries: Vec<Entry>,
    /// The present entry at an address.
    by_hctl: HashMap<Hctl, usize>,
    luns: HashMap<String, usize>,
    /// By logical unit: who told the state of one of its paths. An RTPG lists every group, and
    /// the handler files every group's answer (`alua_rtpg`).
    known: Vec<StateSource>,
    last_scan_ns: u64,
    /// Ids of the probes that were given to another entry.
    moved: Vec<(u16, usize)>,
    /// Ids of the probes at an address that another logical unit has now.
    stale: Vec<u16>,
    /// Some path is of an RDAC array.
    pub any_controller: bool,
    order: Order,
}

impl Paths {
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub fn get(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }

    pub fn get_mut(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    /// All of them in the order in which they are shown.
    pub fn ordered(&self) -> impl Iterator<Item = &Entry> {
        self.order.of(&self.entries)
    }

    pub fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut()
    }

    /// Paths of a logical unit.
    pub fn of_lun(&self, lun: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.lun == lun)
    }

    /// The path behind an id of the probes that had not been met. One made when topology does not
    /// know it (yet), or knows another device at its address: only a scan tells whether that is
    /// the same logical unit.
    pub fn resolve(&mut self, id: u16, hctl: Hctl) -> usize {
        let at_address = self.by_hctl.get(&hctl).copied();
        let is_its =
            |entry: &Entry| entry.kernel.is_empty() || !entry.is_known() || entry.has_kernel_id(id);
        let index = match at_address.filter(|index| is_its(&self.entries[*index])) {
            Some(index) => index,
            None => self.add(hctl, hctl.to_string(), true),
        };
        let entry = &mut self.entries[index];
        if !entry.has_kernel_id(id) {
            entry.kernel.push((id, PathCounts::default()));
        }
        index
    }

    /// New counts for one of the probes' ids.
    pub fn set_counts(&mut self, index: usize, id: u16, counts: &PathCounts) {
        if let Some(entry) = self.entries.get_mut(index)
            && let Some(known) = entry.kernel.iter_mut().find(|(known, _)| *known == id)
        {
            known.1 = *counts;
            entry.count_anew();
        }
    }

    /// Counts that are not the path's in this trace: `taken_off` makes up for them.
    pub fn forget_counts(&mut self, index: usize, taken_off: &PathCounts) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.retired = entry.retired.plus(taken_off);
            entry.count_anew();
        }
    }

    /// An id of the probes is the path's no more; its counts stay.
    pub fn retire(&mut self, index: usize, id: u16) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let own = entry.kernel.iter().position(|(known, _)| *known == id);
        if let Some((_, counts)) = own.map(|at| entry.kernel.swap_remove(at)) {
            entry.retired = entry.retired.plus(&counts);
            entry.count_anew();
        }
    }

    /// A route id leads elsewhere: what the last command said by it is news again.
    pub fn route_is_new(&mut self, route: u16) {
        for entry in &mut self.entries {
            if entry.last.route() == route {
                entry.last = Followed(u64::MAX);
            }
        }
    }

    fn add(&mut self, hctl: Hctl, lun: String, usable: bool) -> usize {
        let index = self.entries.len();
        let lun = self.lun(lun);
        self.entries.push(Entry {
            label: Arc::new(unlabelled(index, hctl)),
            hctl,
            lun,
            present: true,
            is_disk: false,
            usable,
            dm_active: false,
            refuses: false,
            contradicted: false,
            sysfs_state: None,
            controller: None,
            ios: 0,
            path_group: 0,
            timeout_s: None,
            watched: Watched::default(),
            stats: PathStats::default(),
            slowest: Slowest::default(),
            retried: 0,
            rtpgs: None,
            implausible: 0,
            kernel: Vec::new(),
            retired: PathCounts::default(),
            counts: PathCounts::default(),
            state_at_ns: 0,
            state_since_ns: 0,
            usable_since_ns: 0,
            // No command says so: there is no such source.
            last: Followed(u64::MAX),
        });
        self.by_hctl.insert(hctl, index);
        self.order.add(index, &self.entries);
        index
    }

    fn lun(&mut self, key: String) -> usize {
        let next = self.known.len();
        let lun = *self.luns.entry(key).or_insert(next);
        if lun == next {
            self.known.push(StateSource::None);
        }
        lun
    }

    /// The state a command saw at its dispatch; one that is older than what is known is ignored.
    #[inline]
    pub fn saw_state(
        &mut self,
        index: usize,
        state: AccessState,
        source: StateSource,
        preferred: bool,
        at_ns: u64,
    ) -> Option<PathEvent> {
        let entry = self.entries.get_mut(index)?;
        if source == StateSource::None || at_ns < entry.state_at_ns {
            return None;
        }
        entry.state_at_ns = at_ns;
        let label = &entry.label;
        if label.state == state
            && label.state_source == source
            && label.preferred == Some(preferred)
        {
            return None;
        }
        if self.known[entry.lun] == StateSource::None {
            self.known[entry.lun] = source;
        }
        set_state(entry, state, source, Some(preferred), at_ns)
    }

    /// Block I/O was dispatched in this state, by the probes' counts: its record comes when it
    /// completes.
    pub fn counted_in_state(
        &mut self,
        index: usize,
        state: AccessState,
        at_ns: u64,
    ) -> Option<PathEvent> {
        let entry = self.entries.get(index)?;
        // The probes count under a state only what they have read from the handler.
        let source = match entry.label.state_source {
            StateSource::None => StateSource::HandlerData,
            known => known,
        };
        let preferred = entry.label.preferred.unwrap_or(false);
        if entry.label.state == state {
            return None;
        }
        self.told_state(index, state, source, preferred, at_ns)
    }

    /// A state that no command's record has told: the next record is news.
    fn told_state(
        &mut self,
        index: usize,
        state: AccessState,
        source: StateSource,
        preferred: bool,
        at_ns: u64,
    ) -> Option<PathEvent> {
        let event = self.saw_state(index, state, source, preferred, at_ns);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.last = Followed(u64::MAX);
        }
        event
    }

    /// The handler has filed a state for a port group of a logical unit (`alua_rtpg`): that of
    /// its idle paths, too.
    pub fn filed(
        &mut self,
        lun: usize,
        group: u16,
        (state, preferred): (AccessState, bool),
        at_ns: u64,
    ) -> Vec<PathEvent> {
        // A work that got no answer leaves what the kernel claims unasked.
        if self.known[lun] == StateSource::None {
            return Vec::new();
        }
        let of_group: Vec<usize> = (0..self.entries.len())
            .filter(|index| {
                let entry = &self.entries[*index];
                entry.lun == lun && entry.present && entry.label.port_group == Some(group)
            })
            .collect();
        let events = of_group.into_iter().filter_map(|index| {
            self.told_state(index, state, StateSource::RtpgSeen, preferred, at_ns)
        });
        events.collect()
    }

    /// The probes' ids, since the last call, whose `scsi_device` is gone or has become another
    /// logical unit: a further command there is that unit's, and wants an id of its own.
    pub fn take_stale(&mut self) -> Vec<u16> {
        std::mem::take(&mut self.stale)
    }

    /// Handlers with a path in a state in which they refuse I/O.
    pub fn refusing(&self) -> Vec<&'static str> {
        let refuses = |handler: &&str| {
            self.entries.iter().any(|entry| {
                entry.present && entry.refuses && entry.label.handler.as_deref() == Some(*handler)
            })
        };
        HANDLERS.into_iter().filter(refuses).collect()
    }

    /// Whether a command has met another state on a path of the unit since the last scan began.
    pub fn has_news_since_scan(&self, lun: usize) -> bool {
        self.of_lun(lun)
            .any(|entry| entry.changed_at_ns() > self.last_scan_ns)
    }

    /// Marks what the array's owners contradict. `scsi_dh_rdac` reads a path's own again only when it
    /// activates the path (`check_ownership`), and I/O in IOSHIP and AVT mode goes on without.
    pub fn contradict<'a>(&mut self, owner_of: impl Fn(usize) -> Option<&'a [Side]>) {
        if !self.any_controller {
            return;
        }
        for entry in &mut self.entries {
            let told = match entry.controller {
                Some((slot, RdacMode::Avt | RdacMode::IoShip)) => {
                    owner_of(entry.lun).map(|owner| owner.contains(&Side::Controller(slot)))
                }
                _ => None,
            };
            entry.contradicted = match entry.label.state {
                AccessState::Optimized => told == Some(false),
                AccessState::NonOptimized => told == Some(true),
                _ => false,
            };
        }
    }

    /// Whether the probes met a path that topology has not known yet.
    pub fn any_unknown(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.present && !entry.is_known())
    }

    /// Gives what was met at an address to the path that had been there before.
    fn unite(&mut self, met: usize, returned: usize) {
        let entry = &mut self.entries[met];
        (entry.present, entry.is_disk) = (false, false);
        entry.label = Arc::new(unlabelled(met, entry.hctl));
        let kernel = std::mem::take(&mut entry.kernel);
        let retired = std::mem::take(&mut entry.retired);
        let stats = std::mem::take(&mut entry.stats);
        let slowest = std::mem::take(&mut entry.slowest);
        let implausible = std::mem::take(&mut entry.implausible);
        let ios = std::mem::take(&mut entry.ios);
        let watched = std::mem::take(&mut entry.watched);
        entry.count_anew();
        self.moved
            .extend(kernel.iter().map(|(id, _)| (*id, returned)));
        let entry = &mut self.entries[returned];
        entry.kernel.extend(kernel);
        entry.retired = entry.retired.plus(&retired);
        entry.count_anew();
        entry.stats.add(&stats);
        for ((class, state), from_ns) in entry.slowest.add(slowest) {
            entry.stats.slow_from(class, state, from_ns);
        }
        entry.implausible += implausible;
        entry.ios += ios;
        entry.watched = watched;
    }

    /// The probes' ids whose commands belong to another entry since the last call, and to which.
    pub fn take_moved(&mut self) -> Vec<(u16, usize)> {
        std::mem::take(&mut self.moved)
    }
}

fn set_state(
    entry: &mut Entry,
    state: AccessState,
    source: StateSource,
    preferred: Option<bool>,
    at_ns: u64,
) -> Option<PathEvent> {
    let changed = entry.label.state != state;
    if changed {
        entry.state_since_ns = at_ns;
    }
    let label = Arc::make_mut(&mut entry.label);
    (label.state, label.state_source, label.preferred) = (state, source, preferred);
    changed.then(|| event(entry, PathChange::State, at_ns))
}
