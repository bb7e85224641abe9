//! Ids that nothing stands for any more go back to the probes: tables are reloaded and devices
//! scanned again for as long as a trace runs.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use alua_trace_ebpf::{CommandSlot, GlobalCounts, MAX_ROUTES, RETIRED};
use anyhow::Result;

use super::tables::Tables;

/// A table is looked through once so much of it has been given.
const FULL: u64 = 2;
/// An id that no command has used for so long is taken back; a further command gets another one.
const IDLE_NS: u64 = 60_000_000_000;
/// How long a probe that has found an id before it was retired may still be using it.
const GRACE_NS: u64 = 1_000_000_000;

/// Ids that nothing stands for: retired for long enough, and with no command in flight.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Unused {
    /// Path ids.
    pub paths: Vec<u16>,
    /// Route ids.
    pub routes: Vec<u16>,
}

/// When ids were retired, and how many were given back.
#[derive(Default)]
pub struct Recycling {
    paths: Retired,
    routes: Retired,
    /// The probes' generation, and when it was that.
    generations: VecDeque<(u64, u64)>,
}

#[derive(Default)]
struct Retired {
    /// First seen to be retired.
    since_ns: BTreeMap<u16, u64>,
    freed: u64,
}

impl Recycling {
    /// Retires what is idle and finds what is unused, in tables that are getting full. `generation`
    /// is the probes' one now.
    ///
    /// # Errors
    /// A table cannot be accessed: does not happen on a running trace.
    pub fn look(
        &mut self,
        tables: &mut Tables,
        global: &GlobalCounts,
        generation: u64,
        now_ns: u64,
    ) -> Result<Unused> {
        let idle = self.generation_before(generation, now_ns);
        let mut unused = Unused::default();
        if self.paths.is_crowded(global.paths, tables.path_entries()) {
            let words = tables.paths().map(|slot| (slot.sdev, slot.generation));
            for id in self.paths.look(words, idle, now_ns) {
                tables.retire_path(id);
            }
            unused.paths = self.paths.after_grace(now_ns);
        }
        if self.routes.is_crowded(global.routes, MAX_ROUTES) {
            let words = tables.routes().map(|slot| (slot.pgpath, slot.generation));
            for id in self.routes.look(words, idle, now_ns) {
                tables.retire_route(id);
            }
            unused.routes = self.routes.after_grace(now_ns);
        }
        if unused != Unused::default() {
            unused.keep_idle(&tables.in_flight()?);
        }
        Ok(unused)
    }

    /// They have been given back.
    pub fn freed(&mut self, unused: &Unused) {
        self.paths.freed(&unused.paths);
        self.routes.freed(&unused.routes);
    }

    /// The generation of [`IDLE_NS`] ago, if the trace is as old.
    fn generation_before(&mut self, generation: u64, now_ns: u64) -> Option<u64> {
        self.generations.push_back((now_ns, generation));
        let mut before = None;
        while let Some((at_ns, generation)) = self.generations.front().copied()
            && now_ns.saturating_sub(at_ns) >= IDLE_NS
        {
            before = Some(generation);
            self.generations.pop_front();
        }
        if let Some(generation) = before {
            self.generations
                .push_front((now_ns.saturating_sub(IDLE_NS), generation));
        }
        before
    }
}

impl Retired {
    fn is_crowded(&self, given: u64, entries: u32) -> bool {
        given.saturating_sub(self.freed) > u64::from(entries) / FULL
    }

    /// Notes which ids are retired; gives those to retire, which are older than `idle`. Slots come as
    /// their address and generation.
    fn look(
        &mut self,
        slots: impl Iterator<Item = (u64, u64)>,
        idle: Option<u64>,
        now_ns: u64,
    ) -> Vec<u16> {
        let mut retire = Vec::new();
        for (id, (address, generation)) in (0..).zip(slots) {
            let is_idle = generation != 0 && idle.is_some_and(|idle| generation < idle);
            if address == RETIRED {
                self.since_ns.entry(id).or_insert(now_ns);
            } else if address != 0 && is_idle {
                retire.push(id);
            }
        }
        retire
    }

    fn after_grace(&self, now_ns: u64) -> Vec<u16> {
        let retired = self.since_ns.iter();
        let old = retired.filter(|(_, since_ns)| now_ns.saturating_sub(**since_ns) >= GRACE_NS);
        old.map(|(id, _)| *id).collect()
    }

    fn freed(&mut self, ids: &[u16]) {
        for id in ids {
            self.since_ns.remove(id);
        }
        self.freed += ids.len() as u64;
    }
}

impl Unused {
    fn keep_idle(&mut self, in_flight: &[CommandSlot]) {
        let of = |id: fn(&CommandSlot) -> u16| in_flight.iter().map(id).collect::<BTreeSet<u16>>();
        let (paths, routes) = (of(|it| it.followed.path()), of(|it| it.followed.route()));
        self.paths.retain(|id| !paths.contains(id));
        self.routes.retain(|id| !routes.contains(id));
    }
}

#[cfg(test)]
mod tests {
    use alua_trace_ebpf::Followed;

    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn what_was_used_within_a_minute_stays() {
        let mut recycling = Recycling::default();
        for second in 0..59 {
            assert_eq!(recycling.generation_before(second + 1, second * S), None);
        }
        assert_eq!(recycling.generation_before(60, 60 * S), Some(1));
        assert_eq!(recycling.generation_before(61, 61 * S), Some(2));
        assert_eq!(recycling.generation_before(90, 90 * S), Some(31));
        assert!(recycling.generations.len() < 64);
        let slots = [
            (0, 0),
            (0xff00, 30),
            (0xff40, 31),
            (RETIRED, 5),
            (0xff80, 0),
        ];
        let retire = recycling.routes.look(slots.into_iter(), Some(31), 90 * S);
        assert_eq!(retire, [1]);
    }

    #[test]
    fn an_id_goes_back_after_a_grace_and_not_under_a_command() {
        let mut retired = Retired::default();
        let slots = [(RETIRED, 1), (RETIRED, 1), (0xff00, 1)];
        retired.look(slots.into_iter(), None, 5 * S);
        retired.look(slots.into_iter(), None, 5 * S + GRACE_NS / 2);
        assert!(retired.after_grace(6 * S - 1).is_empty());
        let mut unused = Unused {
            paths: retired.after_grace(6 * S),
            routes: vec![7, 8],
        };
        let command = CommandSlot {
            cmd: 1,
            dispatch_ns: 2,
            followed: Followed::new(1, 8, 0, 0, 0),
        };
        unused.keep_idle(&[command]);
        assert_eq!(
            (&unused.paths[..], &unused.routes[..]),
            (&[0][..], &[7][..])
        );
        assert!(retired.is_crowded(3, 4) && !retired.is_crowded(2, 4));
        retired.freed(&unused.paths);
        assert!(!retired.is_crowded(3, 4));
    }
}
