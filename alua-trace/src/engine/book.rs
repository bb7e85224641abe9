//! Flags that are raised, told of and ended one by one, and what is to be said of them.

use std::collections::{BTreeMap, VecDeque};

use super::{flags::blank, thresholds::Thresholds};
use crate::model::{Flag, FlagChange, FlagEvent, FlagKind, Line, Severity};

/// Flags that are over and kept for the end; the oldest go first.
const KEPT: usize = 1024;

/// What a flag is about.
#[derive(Debug, Clone, Default)]
pub(super) struct Subject {
    pub name: String,
    pub wwid: Option<String>,
    /// H:C:T:L of paths, where it is about these.
    pub paths: Vec<String>,
}

/// All flags of one part of the engine.
#[derive(Debug, Default)]
pub(super) struct Book {
    open: BTreeMap<u32, Flag>,
    ended: VecDeque<Flag>,
    left_out: u64,
    next_id: u32,
    lines: Vec<Line>,
    /// What findings are judged by.
    pub thresholds: Thresholds,
}

impl Book {
    /// An empty one.
    pub fn new(thresholds: Thresholds) -> Self {
        Self {
            thresholds,
            ..Self::default()
        }
    }

    /// Ids of flags follow those that others gave.
    pub fn number_from(&mut self, last_id: u32) {
        self.next_id = self.next_id.max(last_id);
    }

    /// The last id given.
    pub fn last_id(&self) -> u32 {
        self.next_id
    }

    /// Raises a flag for what began at `first_at_ns`.
    pub fn raise(
        &mut self,
        (kind, severity): (FlagKind, Severity),
        subject: &Subject,
        (first_at_ns, now_ns): (u64, u64),
        text: String,
    ) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        let flag = Flag {
            id: self.next_id,
            kind,
            severity,
            subject: subject.name.clone(),
            wwid: subject.wwid.clone(),
            raised_at_ns: now_ns,
            paths: subject.paths.clone(),
            text,
            ..blank(first_at_ns)
        };
        self.say(FlagChange::Raised, &flag);
        self.open.insert(flag.id, flag);
        self.next_id
    }

    /// It goes on: last seen at `at_ns`, and this is what to say of it now.
    pub fn update(&mut self, id: u32, at_ns: u64, text: String) {
        let Some(flag) = self.open.get_mut(&id) else {
            return;
        };
        flag.last_at_ns = flag.last_at_ns.max(at_ns);
        if flag.text != text {
            flag.text = text;
            let flag = flag.clone();
            self.say(FlagChange::Updated, &flag);
        }
    }

    /// It is over since `at_ns`.
    pub fn end(&mut self, id: u32, at_ns: u64) {
        self.end_as(id, at_ns, None);
    }

    /// It is over since `at_ns`; what to say of it then, if that is something else.
    pub fn end_as(&mut self, id: u32, at_ns: u64, text: Option<String>) {
        let Some(mut flag) = self.open.remove(&id) else {
            return;
        };
        flag.text = text.unwrap_or(flag.text);
        flag.last_at_ns = flag.last_at_ns.max(at_ns);
        flag.ended_at_ns = Some(flag.last_at_ns);
        self.say(FlagChange::Ended, &flag);
        self.ended.push_back(flag);
        if self.ended.len() > KEPT {
            self.ended.pop_front();
            self.left_out += 1;
        }
    }

    /// One more thing to say.
    pub fn push(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// What is to be said since the last call.
    pub fn take_lines(&mut self) -> Vec<Line> {
        std::mem::take(&mut self.lines)
    }

    /// Every flag that is kept, by id, and how many were left out.
    pub fn all(&self) -> (Vec<Flag>, u64) {
        let mut flags: Vec<Flag> = self
            .ended
            .iter()
            .chain(self.open.values())
            .cloned()
            .collect();
        flags.sort_by_key(|flag| flag.id);
        (flags, self.left_out)
    }

    fn say(&mut self, change: FlagChange, flag: &Flag) {
        self.lines.push(Line::Flag(FlagEvent {
            change,
            flag: flag.clone(),
        }));
    }
}
