//! A recording as a whole: what was traced under which set-up, what every path carried over time, what
//! happened, and what follows from it ([`verdict`]). Reports are made from it. Bounded, however long the trace.

use std::{collections::BTreeMap, io, path::PathBuf, sync::Arc};

use crate::{
    model::{AccessState, Flag, Line, Losses, PathChange, Start, Summary, Transfer},
    record::{Ending, Meta},
    replay::{Audience, Missing, Played, Playing, play},
    setup::Setup,
};
use states::States;
use timeline::Timeline;

mod so_far;
mod states;
pub mod timeline;
pub mod verdict;

pub use states::Stay;

/// Most flags and transfers that are kept; what there are more is in the summary.
const MOST_EVENTS: usize = 10_000;

/// What a recording tells.
#[derive(Debug)]
pub struct Evidence {
    /// What it is of.
    pub meta: Meta,
    /// The line that the trace began with.
    pub start: Start,
    /// The set-up at the start, and the last one that was read, if another was.
    pub setups: Vec<Setup>,
    /// What every path carried over time.
    pub timeline: Timeline,
    /// Access states of the paths over time.
    pub states: States,
    /// Flags, as they were last.
    pub flags: BTreeMap<u32, Flag>,
    /// Transfers, as they were last.
    pub transfers: BTreeMap<u32, Transfer>,
    /// The end of the trace, or of what there is of it.
    pub summary: Summary,
    /// What it ends with; `None` where it ends early.
    pub ending: Option<Ending>,
    /// Why it ends early.
    pub missing: Option<Missing>,
}

impl Evidence {
    /// Reads a recording, its files in order; what of it is about these maps, or all that the trace was of.
    ///
    /// # Errors
    /// It cannot be read, or says nothing of a trace.
    pub fn read(files: &[PathBuf], maps: &[String]) -> anyhow::Result<Self> {
        let mut gathering = Gathering::default();
        let wanted = Playing {
            maps: maps.to_vec(),
            ..Playing::default()
        };
        let played = play(files, &wanted, &mut gathering)?;
        gathering.into_evidence(played)
    }

    /// A time of the monotonic clock as time since the start of the trace, in ns.
    pub fn since_start_ns(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.start.started_at_ns)
    }
}

/// What has been told so far.
#[derive(Default)]
pub struct Gathering {
    start: Option<Start>,
    setups: Vec<Setup>,
    timeline: Timeline,
    states: States,
    flags: BTreeMap<u32, Flag>,
    transfers: BTreeMap<u32, Transfer>,
    summary: Option<Summary>,
    losses: Option<Losses>,
}

impl Gathering {
    /// All of it, when nothing more is told.
    ///
    /// # Errors
    /// Nothing was told of a trace.
    pub fn into_evidence(self, played: Played) -> anyhow::Result<Evidence> {
        let why = match &played.missing {
            Some(missing) => format!("the recording ends early: {}", missing.error),
            None => "the trace goes on in another file, which has the account".to_owned(),
        };
        let so_far = so_far::summary(&self, why);
        let Some(start) = self.start else {
            let why = played.missing.map(|missing| format!(": {missing}"));
            anyhow::bail!("the trace had not begun{}", why.unwrap_or_default());
        };
        let summary = self.summary.unwrap_or(so_far);
        Ok(Evidence {
            meta: played.meta,
            start,
            setups: self.setups,
            timeline: self.timeline,
            states: self.states,
            flags: self.flags,
            transfers: self.transfers,
            summary,
            ending: played.ending,
            missing: played.missing,
        })
    }
}

impl Audience for Gathering {
    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Start(start) => {
                for path in &start.paths {
                    self.states.is(path.id, start.started_at_ns, path.state);
                }
                self.start = Some(start);
            }
            Line::Interval(interval) => {
                self.losses = Some(interval.losses);
                self.timeline.add(Arc::unwrap_or_clone(interval));
            }
            Line::Path(event) => {
                let state = match event.change {
                    PathChange::Vanished => AccessState::Unknown,
                    _ => event.path.state,
                };
                self.states.is(event.path.id, event.seen_at_ns, state);
            }
            Line::Flag(event) => keep(&mut self.flags, event.flag.id, event.flag),
            Line::Transfer(event) => {
                keep(&mut self.transfers, event.transfer.id, event.transfer);
            }
            Line::Summary(summary) => {
                for flag in &summary.flags {
                    keep(&mut self.flags, flag.id, flag.clone());
                }
                for transfer in summary.ownership.iter().flat_map(|it| &it.transfers) {
                    keep(&mut self.transfers, transfer.id, transfer.clone());
                }
                self.summary = Some(summary);
            }
            Line::Command(_) | Line::Counting(_) | Line::LeftOut(_) => {}
        }
        Ok(())
    }

    fn setup(&mut self, setup: Setup) {
        self.setups.truncate(1);
        self.setups.push(setup);
    }
}

fn keep<T>(known: &mut BTreeMap<u32, T>, id: u32, value: T) {
    if known.len() < MOST_EVENTS || known.contains_key(&id) {
        known.insert(id, value);
    }
}
