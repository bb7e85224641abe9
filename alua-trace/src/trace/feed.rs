//! The engine's inputs on their way to it, and, for a check, kept beside it: fed into new engines
//! they must give the same lines.

use alua_trace_ebpf::{GlobalCounts, PathCounts, PathSlot, RouteSlot};
use anyhow::{Context, Result, bail};

use crate::{
    engine::{End, Engine, Input, Wanted},
    json,
    model::Line,
    topology::Topology,
};

/// An engine and what it is fed.
pub(super) struct Feed {
    pub engine: Engine,
    kept: Option<Kept>,
}

impl Feed {
    /// With `check` every input and line is kept for [`Self::check`]: in memory, for short traces.
    pub fn new(wanted: Wanted, check: bool) -> Self {
        Self {
            kept: check.then(|| Kept::new(wanted.clone())),
            engine: Engine::new(wanted),
        }
    }

    /// Gives one input to the engine.
    #[inline]
    pub fn take(&mut self, at_ns: u64, input: Input<'_>) {
        if let Some(kept) = &mut self.kept {
            kept.inputs.push((at_ns, Owned::of(input)));
        }
        self.engine.take(at_ns, input);
    }

    /// What is to be said since the last call.
    pub fn lines(&mut self) -> Vec<Line> {
        let lines = self.engine.take_lines();
        if let Some(kept) = &mut self.kept {
            kept.lines.extend(lines.iter().cloned());
        }
        lines
    }

    /// Feeds what was kept into new engines; gives the number of inputs.
    ///
    /// # Errors
    /// An engine says something else than the first one did: names the line.
    pub fn check(&self) -> Result<Option<usize>> {
        let Some(kept) = &self.kept else {
            return Ok(None);
        };
        for _ in 0..REPLAYS {
            kept.replay()?;
        }
        Ok(Some(kept.inputs.len()))
    }
}

/// Hash maps of each engine have keys of their own: an order that shows differs among several.
const REPLAYS: usize = 2;

struct Kept {
    wanted: Wanted,
    inputs: Vec<(u64, Owned)>,
    lines: Vec<Line>,
}

impl Kept {
    fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            inputs: Vec::new(),
            lines: Vec::new(),
        }
    }

    fn replay(&self) -> Result<()> {
        let mut engine = Engine::new(self.wanted.clone());
        let mut said = self.lines.iter();
        for (at_ns, input) in &self.inputs {
            engine.take(*at_ns, input.input());
            // As when it was traced: what an engine wants is part of what drives it.
            let _ = engine.wants();
            for line in engine.take_lines() {
                compare(said.next(), Some(&line))?;
            }
        }
        compare(said.next(), None)
    }
}

fn compare(first: Option<&Line>, again: Option<&Line>) -> Result<()> {
    let text = |line: Option<&Line>| {
        line.map_or(Ok(String::new()), json::to_line)
            .context("failed to write JSON")
    };
    let (first, again) = (text(first)?, text(again)?);
    if first != again {
        bail!("the same inputs gave another line: {again} instead of {first}");
    }
    Ok(())
}

/// An input that is kept.
enum Owned {
    Begin,
    Record(Box<[u8]>),
    Path(u16, PathSlot),
    PathRetired(u16, Box<PathCounts>),
    Route(u16, RouteSlot),
    Counts(Box<GlobalCounts>, Vec<(u16, PathCounts)>),
    Topology(Box<Topology>),
    MissedRuns(u64),
    ModuleUnloaded(String),
    Tick,
    Interval,
    End(End),
}

impl Owned {
    fn of(input: Input<'_>) -> Self {
        match input {
            Input::Begin => Self::Begin,
            Input::Record(bytes) => Self::Record(bytes.into()),
            Input::Path(id, slot) => Self::Path(id, *slot),
            Input::PathRetired(id, counts) => Self::PathRetired(id, Box::new(*counts)),
            Input::Route(id, slot) => Self::Route(id, *slot),
            Input::Counts(global, per_path) => Self::Counts(Box::new(*global), per_path.to_vec()),
            Input::Topology(topology) => Self::Topology(Box::new(topology.clone())),
            Input::MissedRuns(runs) => Self::MissedRuns(runs),
            Input::ModuleUnloaded(module) => Self::ModuleUnloaded(module.to_owned()),
            Input::Tick => Self::Tick,
            Input::Interval => Self::Interval,
            Input::End(end) => Self::End(end.clone()),
        }
    }

    fn input(&self) -> Input<'_> {
        match self {
            Self::Begin => Input::Begin,
            Self::Record(bytes) => Input::Record(bytes),
            Self::Path(id, slot) => Input::Path(*id, slot),
            Self::PathRetired(id, counts) => Input::PathRetired(*id, counts),
            Self::Route(id, slot) => Input::Route(*id, slot),
            Self::Counts(global, per_path) => Input::Counts(global, per_path),
            Self::Topology(topology) => Input::Topology(topology),
            Self::MissedRuns(runs) => Input::MissedRuns(*runs),
            Self::ModuleUnloaded(module) => Input::ModuleUnloaded(module),
            Self::Tick => Input::Tick,
            Self::Interval => Input::Interval,
            Self::End(end) => Input::End(end),
        }
    }
}
