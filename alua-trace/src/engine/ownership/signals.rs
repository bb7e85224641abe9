//! What a logical unit makes of single signals: commands that move it, sense data, and what dm does
//! with its paths.

use super::{
    Context,
    command::Command,
    observation::{Issuer, Moves as Asked, SenseAt, Side},
    signs::Sign,
    unit::{Unit, heard},
};
use crate::{model::AccessState, scsi::sense::Sense, topology::Hctl};

/// A failure this soon after the array refused a command on account of ownership follows from it.
const REFUSED_NS: u64 = 5_000_000_000;
/// Each path reports ASYMMETRIC ACCESS STATE CHANGED (06/2A/06) once: a report that arrives within
/// this time after the new owner is known belongs to that transfer.
const OWED_NS: u64 = 60_000_000_000;
/// A message to the map this soon before a command is why dm had it sent.
const MESSAGE_NS: u64 = 5_000_000_000;
/// Commands that move ownership, kept per logical unit.
const COMMANDS: usize = 32;

impl Unit {
    /// A command that moves this unit was dispatched. `own`: the path of this unit, when the
    /// command was sent to another unit of the same controller.
    pub(super) fn issued(
        &mut self,
        path: u32,
        own: Option<(Hctl, Option<Side>)>,
        what: &Asked,
        issuer: Issuer,
        dispatch_ns: u64,
    ) {
        self.is_still = false;
        let sent_on = self.path_of(path).map(|path| (path.hctl, path.side));
        let (hctl, side) = own
            .or(sent_on)
            .map_or((None, None), |(hctl, side)| (Some(hctl), side));
        let mut command = Command::new((path, hctl), side, what, issuer, dispatch_ns);
        command.via_pg_init = self.paths.iter().any(|path| path.activating);
        command.asked_by = self
            .message
            .as_ref()
            .filter(|(at_ns, _)| dispatch_ns.saturating_sub(*at_ns) <= MESSAGE_NS)
            .map(|(_, who)| who.clone());
        self.notes.push(dispatch_ns, command.sent());
        if self.commands.len() == COMMANDS {
            self.commands.pop_front();
        }
        self.commands.push_back(command);
        self.watch(dispatch_ns);
    }

    /// A command that was sent on `path` at `dispatch_ns` has ended; not necessarily of this unit.
    pub(super) fn ended(
        &mut self,
        (path, dispatch_ns): (u32, u64),
        (at_ns, ok): (u64, bool),
        sense: Option<[u8; 3]>,
        cx: &mut Context<'_>,
    ) {
        self.is_still = false;
        let known = |it: &&mut Command| it.path == path && it.dispatch_ns == dispatch_ns;
        let Some(command) = self.commands.iter_mut().find(known) else {
            return;
        };
        command.ended(at_ns, ok);
        let takes = command.takes().filter(|_| ok);
        let outcome = command.outcome(sense);
        self.notes.push(at_ns, outcome);
        self.rejudge((path, dispatch_ns), cx);
        // `send_mode_select` does not ask who owns it now, and often nobody else does.
        if let Some(side) = takes {
            self.owns(side, true, heard(at_ns, at_ns, false), cx);
        }
    }

    pub(super) fn sense(&mut self, it: &SenseAt, cx: &mut Context<'_>) {
        let Some(path) = self.paths.iter_mut().find(|path| path.id == it.path) else {
            return;
        };
        let (side, hctl) = (path.side, path.hctl);
        if let Some(behaved) = behaviour(it.sense) {
            path.behaved = Some((behaved, it.at_ns));
        }
        let sign = Sign::of(it.sense);
        if let Some(known) = side.and_then(|side| self.sides.entry(side))
            && (sign.is_some() || behaviour(it.sense).is_some())
            && sign != Some(Sign::Changed)
            && it.sense != [0x02, 0x04, 0x12]
        {
            known.refused_ns = known.refused_ns.max(Some(it.at_ns));
        }
        let Some(sign) = sign else {
            return;
        };
        let [key, asc, ascq] = it.sense;
        self.notes
            .push(it.at_ns, format!("{hctl}: {}", Sense::new(key, asc, ascq)));
        if let Some(open) = &mut self.open {
            open.belated(sign);
        }
        if !self.is_news(sign, it, side) {
            return;
        }
        self.signs.saw(sign, it.dispatch_ns, it.at_ns);
        self.watch(it.dispatch_ns);
        if let (Sign::NotOwner, Some(side)) = (sign, side) {
            self.owns(side, false, heard(it.dispatch_ns, it.at_ns, false), cx);
        }
    }

    /// Whether a sign is about something that is not known yet.
    fn is_news(&mut self, sign: Sign, it: &SenseAt, side: Option<Side>) -> bool {
        if it.dispatch_ns < self.truth_ns && sign != Sign::Changed {
            return false;
        }
        match sign {
            Sign::Moving => true,
            Sign::NotOwner => side
                .zip(self.owner.as_ref())
                .is_some_and(|(side, owner)| owner.contains(&side)),
            Sign::Changed => {
                let Some(path) = self.path_mut(it.path) else {
                    return false;
                };
                path.attended_ns = it.at_ns;
                let owed = it.at_ns < path.owed_until_ns;
                path.owed_until_ns = 0;
                !owed
            }
        }
    }

    /// A transfer is known: each path but the one that asked for it will be told once, if it has
    /// not been since `start_ns`.
    pub(super) fn owe(&mut self, start_ns: u64, asked_on: Option<u32>, now_ns: u64) {
        for path in &mut self.paths {
            let told = path.attended_ns >= start_ns || asked_on == Some(path.id);
            path.owed_until_ns = if told {
                0
            } else {
                now_ns.saturating_add(OWED_NS)
            };
        }
    }

    pub(super) fn activating(&mut self, path: u32, at_ns: u64, done: Option<i32>) {
        let Some(path) = self.path_mut(path) else {
            return;
        };
        path.activating = done.is_none();
        let hctl = path.hctl;
        let text = match done {
            None => format!("dm asks the handler to activate {hctl} (pg_init)"),
            Some(0) => format!("activation of {hctl} ended well"),
            Some(error) => format!("activation of {hctl} failed with {error}"),
        };
        self.notes.push(at_ns, text);
    }

    pub(super) fn path_failed(&mut self, path: u32, at_ns: u64) {
        let Some(path) = self.paths.iter_mut().find(|it| it.id == path) else {
            return;
        };
        self.notes.push(at_ns, format!("dm failed {}", path.hctl));
        let known = path.side.and_then(|side| self.sides.get(side));
        let refused = known.is_some_and(|known| {
            let lately = |refused_ns| at_ns.saturating_sub(refused_ns) < REFUSED_NS;
            // `alua_prep_fn` refuses I/O in these states before it is sent. One that is
            // unavailable or offline has gone: that path is lost.
            known.refused_ns.is_some_and(lately)
                || matches!(
                    known.state,
                    Some(AccessState::Standby | AccessState::Transitioning)
                )
        });
        path.lost = !refused;
        if let (true, Some(side)) = (path.lost, path.side) {
            self.moves.lost_path(side, at_ns);
        }
    }

    /// Whether this host has lost a path to `side`.
    pub(super) fn has_lost(&self, side: Side) -> bool {
        self.paths
            .iter()
            .any(|path| path.side == Some(side) && path.lost)
    }

    /// Whether this host has a path to `side` that it has not lost.
    pub(super) fn reaches(&self, side: Side) -> bool {
        self.paths
            .iter()
            .any(|path| path.side == Some(side) && !path.lost)
    }
}

/// The state that sense data speaks of (SPC-4 annex F).
fn behaviour(sense: [u8; 3]) -> Option<AccessState> {
    match sense {
        [0x02, 0x04, 0x0b] => Some(AccessState::Standby),
        [0x02, 0x04, 0x0c] => Some(AccessState::Unavailable),
        [0x02, 0x04, 0x12] => Some(AccessState::Offline),
        _ => None,
    }
}
