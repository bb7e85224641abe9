//! One logical unit: takes what is observed of it, in the order of time, keeps who owns it and
//! finds its transfers.

use std::collections::VecDeque;

use super::{
    Context,
    command::{Command, process},
    conditions::{Conditions, View},
    history::History,
    meter::Meter,
    moves::Moves,
    notes::Notes,
    observation::{Io, Observation, RdacMode, Side, Source},
    sides::{Owner, Sides, Told},
    signs::{KEEP_NS, Signs},
    transfer::Open,
};
use crate::{engine::book::Subject, model::AccessState, topology::Hctl};

/// Paths kept per logical unit.
const MOST_PATHS: usize = 256;

/// One path.
#[derive(Debug)]
pub(super) struct PathState {
    pub id: u32,
    pub hctl: Hctl,
    pub side: Option<Side>,
    pub sysfs: Option<AccessState>,
    /// State its answers speak of, and when.
    pub behaved: Option<(AccessState, u64)>,
    /// dm has failed it, and not because the array refused.
    pub lost: bool,
    /// The host has it no longer: nobody holds anything of it.
    pub gone: bool,
    /// dm is activating it.
    pub activating: bool,
    /// Still to be told of a transfer that is known, until then.
    pub owed_until_ns: u64,
    /// When it was last told that the state changed.
    pub attended_ns: u64,
}

/// Whether the host has a path to this side.
pub(super) fn has_path(paths: &[PathState], side: Side) -> bool {
    paths
        .iter()
        .any(|path| path.side == Some(side) && !path.gone)
}

/// When something was asked, and when it was answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub asked_ns: u64,
    pub answered_ns: u64,
    /// The handler filed it; no answer was overheard.
    pub filed: bool,
}

/// One logical unit.
#[derive(Debug)]
pub(super) struct Unit {
    pub subject: Subject,
    pub paths: Vec<PathState>,
    pub sides: Sides,
    pub owner: Option<Owner>,
    /// Answers to queries sent before this time do not apply to the present owner.
    pub truth_ns: u64,
    /// Dispatch of the last question whose answer named the present owner.
    pub asked_ns: u64,
    pub commands: VecDeque<Command>,
    pub signs: Signs,
    pub notes: Notes,
    pub mode: Option<RdacMode>,
    /// Dispatch and completion of the first I/O on a side that is not the owner, in AVT mode.
    pub io_elsewhere: Option<(u64, u64)>,
    /// The side that served it.
    pub(super) taken_by_io: Option<Side>,
    pub open: Option<Open>,
    pub meter: Option<Box<Meter>>,
    pub moves: Moves,
    pub history: History,
    pub thrash: Option<u32>,
    pub(super) answered_ns: u64,
    pub(super) transition_time_s: Option<u8>,
    /// Who told dm something about path groups, and when.
    pub message: Option<(u64, String)>,
    pub(super) conditions: Conditions,
    /// Single I/Os matter: in AVT mode, and while a path's behaviour contradicts its state.
    pub(super) attentive: bool,
    /// Nothing was observed since a tick after which time alone changes nothing.
    pub(super) is_still: bool,
}

impl Unit {
    pub fn new(lun: usize) -> Self {
        Self {
            subject: Subject {
                name: format!("LUN {lun}"),
                ..Subject::default()
            },
            paths: Vec::new(),
            sides: Sides::default(),
            owner: None,
            truth_ns: 0,
            asked_ns: 0,
            commands: VecDeque::new(),
            signs: Signs::default(),
            notes: Notes::default(),
            mode: None,
            io_elsewhere: None,
            taken_by_io: None,
            open: None,
            meter: None,
            moves: Moves::default(),
            history: History::default(),
            thrash: None,
            answered_ns: 0,
            transition_time_s: None,
            message: None,
            conditions: Conditions::default(),
            attentive: false,
            is_still: false,
        }
    }

    /// Takes one I/O.
    #[inline]
    pub fn io(&mut self, io: &Io) {
        match &mut self.meter {
            Some(meter) => meter.record(io),
            None => self.first_io(io),
        }
        if self.attentive {
            self.io_closely(io);
        }
    }

    #[cold]
    fn first_io(&mut self, io: &Io) {
        let meter = self.meter.insert(Box::new(Meter::new(io.submitted_ns)));
        meter.record(io);
    }

    #[cold]
    fn io_closely(&mut self, io: &Io) {
        let served = !io.failed && io.completion_ns >= io.dispatch_ns;
        let Some(path) = self.paths.iter_mut().find(|path| path.id == io.path) else {
            return;
        };
        if path
            .behaved
            .is_some_and(|(_, at_ns)| served && io.dispatch_ns > at_ns)
        {
            path.behaved = None;
        }
        let side = path.side;
        let elsewhere = side.is_some_and(|side| {
            self.owner
                .as_ref()
                .is_none_or(|owner| !owner.contains(&side))
        });
        let moves = self.mode == Some(RdacMode::Avt) && served && io.dispatch_ns >= self.truth_ns;
        if elsewhere && moves && self.io_elsewhere.is_none() {
            self.io_elsewhere = Some((io.dispatch_ns, io.completion_ns));
            self.taken_by_io = side;
            self.watch(io.dispatch_ns);
        }
    }

    /// Every I/O of it counts by itself.
    pub fn transfer_suspected(&self) -> bool {
        self.attentive || self.meter.as_ref().is_some_and(|it| it.is_watching())
    }

    /// A transfer may be near: I/O is kept one by one from here on.
    pub fn watch(&mut self, at_ns: u64) {
        self.is_still = false;
        if let Some(meter) = &mut self.meter {
            meter.watch(at_ns);
        }
    }

    /// Takes one observation.
    pub fn take(&mut self, observation: Observation, cx: &mut Context<'_>) {
        self.is_still = false;
        match observation {
            Observation::Unit { name, wwid, .. } => {
                self.subject = Subject {
                    name,
                    wwid,
                    ..Subject::default()
                };
            }
            Observation::Path {
                path, hctl, side, ..
            } => self.path(path, hctl, side),
            Observation::Groups {
                asked_at_ns,
                answered_at_ns,
                transition_time_s,
                groups,
                ..
            } => {
                self.answered_ns = self.answered_ns.max(answered_at_ns);
                self.transition_time_s = transition_time_s.or(self.transition_time_s);
                let told: Vec<Told> = groups
                    .iter()
                    .map(|it| Told {
                        side: Side::Group(it.group),
                        state: it.state,
                        preferred: Some(it.preferred),
                        status: Some(it.status),
                    })
                    .collect();
                let heard = heard(asked_at_ns, answered_at_ns, false);
                self.learn(heard, &told, cx);
            }
            Observation::Filed {
                group,
                state,
                preferred,
                entry_ns,
                return_ns,
                ..
            } => self.filed(
                Side::Group(group),
                (state, preferred),
                (entry_ns, return_ns),
                cx,
            ),
            Observation::Sysfs { path, state, .. } => {
                if let Some(path) = self.path_mut(path) {
                    path.sysfs = Some(state);
                }
            }
            Observation::PathGone { path, .. } => self.path_gone(path),
            other => self.take_more(other, cx),
        }
        self.attentive = self.mode == Some(RdacMode::Avt)
            || self.paths.iter().any(|path| path.behaved.is_some());
    }

    fn take_more(&mut self, observation: Observation, cx: &mut Context<'_>) {
        match observation {
            Observation::Controller {
                side,
                mode,
                owned,
                preferred,
                from,
                asked_at_ns,
                at_ns,
                ..
            } => {
                self.mode_is(mode);
                // The handler learns of the owner when it attaches and activates; I/O moves the
                // unit without it.
                if from == Source::Array || mode != RdacMode::Avt {
                    self.controller((side, owned, preferred), from, (asked_at_ns, at_ns), cx);
                }
            }
            Observation::Issued {
                path,
                what,
                issuer,
                dispatch_ns,
                ..
            } => self.issued(path, None, &what, issuer, dispatch_ns),
            Observation::Sense { sense, .. } => self.sense(&sense, cx),
            Observation::Activate { path, at_ns, .. } => self.activating(path, at_ns, None),
            Observation::Activated {
                path,
                at_ns,
                result,
                ..
            } => self.activating(path, at_ns, Some(result)),
            Observation::PathFailed { path, at_ns, .. } => self.path_failed(path, at_ns),
            Observation::PathReinstated { path, at_ns, .. } => {
                if let Some(path) = self.path_mut(path) {
                    path.lost = false;
                    let text = format!("dm reinstated {}", path.hctl);
                    self.notes.push(at_ns, text);
                }
            }
            Observation::Message {
                text,
                pid,
                comm,
                at_ns,
                ..
            } => {
                let text: String = text.chars().take(64).collect();
                let who = process(&comm, pid);
                self.notes.push(at_ns, format!("{who} told dm: {text}"));
                if text.contains("_group") {
                    self.message = Some((at_ns, who));
                }
            }
            Observation::GroupSwitch {
                from, to, at_ns, ..
            } => {
                let from = from.map_or_else(String::new, |from| format!(" from path group {from}"));
                self.notes
                    .push(at_ns, format!("dm goes{from} to path group {to}"));
            }
            // Labels and answers are above; the end of a command may concern several units.
            _ => {}
        }
    }

    /// How ownership may move.
    pub fn mode_is(&mut self, mode: RdacMode) {
        self.is_still = false;
        self.mode = Some(mode);
        self.attentive |= mode == RdacMode::Avt;
    }

    fn path(&mut self, id: u32, hctl: Hctl, side: Option<Side>) {
        if let Some(path) = self.path_mut(id) {
            path.hctl = hctl;
            path.side = side.or(path.side);
            path.gone = false;
        } else if self.paths.len() < MOST_PATHS {
            self.paths.push(PathState {
                id,
                hctl,
                side,
                sysfs: None,
                behaved: None,
                lost: false,
                gone: false,
                activating: false,
                owed_until_ns: 0,
                attended_ns: 0,
            });
        }
    }

    fn path_gone(&mut self, id: u32) {
        let Some(path) = self.path_mut(id) else {
            return;
        };
        path.gone = true;
        path.sysfs = None;
        path.behaved = None;
        let side = path.side;
        let paths = &self.paths;
        if let Some(side) = side.filter(|side| !has_path(paths, *side))
            && let Some(known) = self.sides.entry(side)
        {
            known.filed = None;
        }
    }

    pub fn path_mut(&mut self, id: u32) -> Option<&mut PathState> {
        self.paths.iter_mut().find(|path| path.id == id)
    }

    pub fn path_of(&self, id: u32) -> Option<&PathState> {
        self.paths.iter().find(|path| path.id == id)
    }

    /// What is due at `now_ns`.
    pub fn tick(&mut self, cx: &mut Context<'_>) {
        if self.is_still {
            return;
        }
        if self.signs.is_stale(cx.now_ns) && !self.sides.in_motion() {
            self.signs = Signs::default();
        }
        self.take_by_io(cx);
        self.tick_transfer(cx);
        let near = self.open.is_some()
            || self.signs.any()
            || self.commands.iter().any(|it| it.ended_ns().is_none());
        if let Some(meter) = &mut self.meter
            && !near
            && meter
                .watched_since()
                .is_some_and(|since_ns| cx.now_ns.saturating_sub(since_ns) > KEEP_NS)
        {
            meter.unwatch();
        }
        let view = View {
            sides: &self.sides,
            owner: self.owner.as_deref(),
            paths: &self.paths,
            commands: &mut self.commands.iter(),
            transition_time_s: self.transition_time_s,
        };
        self.conditions
            .tick(view, cx.book, &self.subject, cx.now_ns);
        self.is_still = !near
            && !self.transfer_suspected()
            && self.io_elsewhere.is_none()
            && self.thrash.is_none()
            && self.history.wants_after().is_none()
            && !self.sides.in_motion()
            && !self.conditions.is_any();
    }
}

/// What was asked and answered at these times.
pub(super) fn heard(asked_ns: u64, answered_ns: u64, filed: bool) -> Heard {
    Heard {
        asked_ns: asked_ns.min(answered_ns),
        answered_ns,
        filed,
    }
}
