//! Two hosts on one array, seen live: units that go to and fro, failovers that are none of that, and
//! who may pull a unit back. The other host is the array emulator's: it moves units as one would, by
//! STPG or MODE SELECT.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Mode, Options};
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Handler, Map, MapOptions};
use crate::lab::schema::{FlagChange, FlagKind, Line, TransferChange};
use crate::lab::tracer::{Trace, TraceOptions};
use crate::lab::{Lab, disk};
use crate::sys;

pub(super) const GROUP: Group = Group {
    name: "cluster",
    limit_seconds: 600,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "thrash-alua",
            run: |lab| thrash(lab, alua),
        },
        Case {
            name: "thrash-rdac",
            run: |lab| thrash(lab, rdac),
        },
        Case {
            name: "twenty-failovers",
            run: twenty_failovers,
        },
        Case {
            name: "follow-over",
            run: follow_over,
        },
    ],
};

/// A move is told within this time.
const SEEN: Duration = Duration::from_secs(20);
/// So that each move is known before the next.
const PAUSE_MS: u64 = 300;

/// A traced map under load.
struct Watched {
    map: Map,
    load: Running,
    trace: Trace,
}

impl Watched {
    fn start(lab: &mut Lab, map: Map) -> Result<Watched> {
        let load = Load {
            depth: 4,
            think_us: 2000,
            ..Load::random_reads(&map.node(), UNTIL_STOPPED_MS)
        };
        let load = load.start()?;
        disk::wait_for_io(&map.dm, 50)?;
        let trace = lab.trace(&TraceOptions::default())?;
        sys::sleep_ms(1000);
        Ok(Watched { map, load, trace })
    }

    /// Ends it; every trace is checked for losses by whoever runs the case.
    fn stop(self, lab: &mut Lab) -> Result<()> {
        let done = self.load.stop()?;
        lab.stop(self.trace)?;
        ensure!(done.error == 0, "fio failed with {}", done.error);
        Ok(())
    }

    /// Waits until so many moves in all have been told.
    fn wait_for_moves(&self, moves: usize) -> Result<()> {
        sys::wait_for(SEEN, &format!("move {moves}"), || {
            Ok(seen(&self.trace.lines_so_far()?) >= moves)
        })?;
        sys::sleep_ms(PAUSE_MS);
        Ok(())
    }

    /// How often a flag of this kind has been raised so far.
    fn raised(&self, kind: FlagKind) -> Result<usize> {
        let lines = self.trace.lines_so_far()?;
        let raised = |line: &&Line| match line {
            Line::Flag(event) => event.change == FlagChange::Raised && event.flag.kind == kind,
            _ => false,
        };
        Ok(lines.iter().filter(raised).count())
    }

    fn expect(&self, kind: FlagKind, times: usize, when: &str) -> Result<()> {
        let raised = self.raised(kind)?;
        ensure!(
            raised == times,
            "{when}: {kind:?} raised {raised} times, not {times}"
        );
        Ok(())
    }

    /// Fails every path of controller A, or brings them back.
    fn paths_of_a(&self, lab: &Lab, message: &str) -> Result<()> {
        for name in ["A1", "A2"] {
            let devno = lab.path(name)?.devno;
            self.map.message(&format!("{message} {devno}"))?;
        }
        Ok(())
    }
}

fn seen(lines: &[Line]) -> usize {
    let is_move =
        |line: &&Line| matches!(line, Line::Transfer(it) if it.change == TransferChange::Seen);
    lines.iter().filter(is_move).count()
}

fn alua(lab: &mut Lab) -> Result<Map> {
    lab.alua_emulator(Options {
        tpgs: 3,
        ..Options::default()
    })?;
    lab.learn_states()?;
    lab.map(&MapOptions::default())
}

fn rdac(lab: &mut Lab) -> Result<Map> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    lab.map(&MapOptions::of(0, Handler::Rdac))
}

/// The other host takes it, this one pulls it back: raised by the third move, not by the second.
fn thrash(lab: &mut Lab, prepare: fn(&mut Lab) -> Result<Map>) -> Result<Outcome> {
    let map = prepare(lab)?;
    let watched = Watched::start(lab, map)?;
    for moves in 1..=4 {
        if moves % 2 == 1 {
            lab.array()?.ask("other-host B")?;
        } else {
            watched.paths_of_a(lab, "reinstate_path")?;
            watched.map.switch_group(1)?;
        }
        watched.wait_for_moves(moves)?;
        let flags = usize::from(moves >= 3);
        watched.expect(FlagKind::PathThrash, flags, &format!("after move {moves}"))?;
    }
    watched.stop(lab)?;
    Ok(Outcome::Passed)
}

/// This host loses its paths to A and gets them back, twenty times in a row.
fn twenty_failovers(lab: &mut Lab) -> Result<Outcome> {
    const CYCLES: usize = 20;
    let map = alua(lab)?;
    lab.array()?.ask("prefer A")?;
    let watched = Watched::start(lab, map)?;
    for cycle in 0..CYCLES {
        watched.paths_of_a(lab, "fail_path")?;
        watched.wait_for_moves(2 * cycle + 1)?;
        watched.paths_of_a(lab, "reinstate_path")?;
        watched.map.switch_group(1)?;
        watched.wait_for_moves(2 * cycle + 2)?;
    }
    watched.expect(FlagKind::PathThrash, 0, "after twenty failovers")?;
    watched.expect(FlagKind::FollowOverViolation, 0, "after twenty failovers")?;
    lab.figure("failovers and failbacks", CYCLES as f64, "");
    watched.stop(lab)?;
    Ok(Outcome::Passed)
}

/// A host that had to leave may come back; one whose unit was taken may not pull it back.
fn follow_over(lab: &mut Lab) -> Result<Outcome> {
    let map = alua(lab)?;
    lab.array()?.ask("prefer A")?;
    let watched = Watched::start(lab, map)?;
    watched.paths_of_a(lab, "fail_path")?;
    watched.wait_for_moves(1)?;
    watched.paths_of_a(lab, "reinstate_path")?;
    watched.map.switch_group(1)?;
    watched.wait_for_moves(2)?;
    sys::sleep_ms(2000);
    watched.expect(FlagKind::FollowOverViolation, 0, "after its own failover")?;
    lab.array()?.ask("other-host B")?;
    watched.wait_for_moves(3)?;
    watched.expect(FlagKind::FollowOverViolation, 0, "when another host has it")?;
    watched.map.switch_group(1)?;
    watched.wait_for_moves(4)?;
    let told = sys::wait_for(SEEN, "the violation", || {
        Ok(watched.raised(FlagKind::FollowOverViolation)? == 1)
    });
    watched.stop(lab)?;
    told.context("a unit that another host took was pulled back")?;
    Ok(Outcome::Passed)
}
