//! Rules, and what becomes of them: they fire once what they say has been true for as long as they say, and are
//! resolved once it has not been true for as long.

use std::{collections::BTreeMap, time::Duration};

use super::period::Period;
use crate::{
    cli::Gate,
    gates,
    model::{Flag, Line, Severity, Summary},
};

/// Something to be told of.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it is called.
    pub name: String,
    /// What must be true.
    pub when: Gate,
    /// Of the last so long.
    pub over: Duration,
    /// For so long, without a break.
    pub hold: Duration,
    /// How much it matters.
    pub severity: Severity,
    /// Names of the actions that tell of it.
    pub actions: Vec<String>,
}

/// Whether a rule has begun to be true, or is so no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It fires.
    Firing,
    /// It is resolved.
    Resolved,
}

/// Something to tell.
#[derive(Debug, Clone, PartialEq)]
pub struct Alert {
    /// Which rule, by its index.
    pub rule: usize,
    /// What has become of it.
    pub change: Change,
    /// Since when it has been true, on the monotonic clock.
    pub since_ns: u64,
    /// When this was found.
    pub at_ns: u64,
    /// The value of what was asked.
    pub value: Option<f64>,
    /// Findings of the period, in sentences.
    pub findings: Vec<String>,
}

/// Findings that an alert tells at most.
const FINDINGS: usize = 5;

/// Where a rule is.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    /// True without a break since then.
    true_since_ns: Option<u64>,
    /// Not true without a break since then, while it fires.
    false_since_ns: Option<u64>,
    is_firing: bool,
    fired_since_ns: u64,
}

/// Rules, asked whenever an interval ends.
#[derive(Debug)]
pub struct Rules {
    rules: Vec<Rule>,
    states: Vec<State>,
    periods: BTreeMap<Duration, Period>,
}

impl Rules {
    /// Rules that nothing is known of yet.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let periods = rules.iter().map(|it| (it.over, Period::new(it.over)));
        Self {
            periods: periods.collect(),
            states: vec![State::default(); rules.len()],
            rules,
        }
    }

    /// The rules, by their index.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Other rules: those that are the same stay where they are.
    pub fn replace(&mut self, rules: Vec<Rule>) {
        let before = std::mem::replace(self, Self::new(rules));
        for (length, period) in before.periods {
            self.periods.entry(length).and_modify(|it| *it = period);
        }
        for (rule, state) in self.rules.iter().zip(&mut self.states) {
            let same = before.rules.iter().position(|it| {
                (&it.name, &it.when, it.over) == (&rule.name, &rule.when, rule.over)
            });
            if let Some(same) = same.and_then(|same| before.states.get(same)) {
                *state = *same;
            }
        }
    }

    /// Takes a line of a trace; gives what is to be told.
    pub fn take(&mut self, line: &Line) -> Vec<Alert> {
        for period in self.periods.values_mut() {
            period.take(line);
        }
        match line {
            Line::Interval(interval) => self.ask(interval.ended_at_ns),
            _ => Vec::new(),
        }
    }

    fn ask(&mut self, at_ns: u64) -> Vec<Alert> {
        let periods = self.periods.iter();
        let summaries: BTreeMap<Duration, Summary> = periods
            .map(|(length, period)| (*length, period.summary()))
            .collect();
        let mut alerts = Vec::new();
        for (index, (rule, state)) in self.rules.iter().zip(&mut self.states).enumerate() {
            let Some(summary) = summaries.get(&rule.over) else {
                continue;
            };
            let value = gates::value_of(&rule.when, summary);
            // What nobody can tell is not true: an idle map has no p99.
            let is_true = value.is_some_and(|value| rule.when.operator.is(value, rule.when.limit));
            let hold_ns = u64::try_from(rule.hold.as_nanos()).unwrap_or(u64::MAX);
            if let Some(change) = state.step(is_true, at_ns, hold_ns) {
                alerts.push(Alert {
                    rule: index,
                    change,
                    since_ns: state.fired_since_ns,
                    at_ns,
                    value,
                    findings: findings(summary),
                });
            }
        }
        alerts
    }
}

impl State {
    fn step(&mut self, is_true: bool, at_ns: u64, hold_ns: u64) -> Option<Change> {
        let has_held = |since_ns: u64| at_ns.saturating_sub(since_ns) >= hold_ns;
        if is_true {
            self.false_since_ns = None;
            let since_ns = *self.true_since_ns.get_or_insert(at_ns);
            if self.is_firing || !has_held(since_ns) {
                return None;
            }
            (self.is_firing, self.fired_since_ns) = (true, since_ns);
            return Some(Change::Firing);
        }
        self.true_since_ns = None;
        if !self.is_firing {
            return None;
        }
        let since_ns = *self.false_since_ns.get_or_insert(at_ns);
        if !has_held(since_ns) {
            return None;
        }
        (self.is_firing, self.false_since_ns) = (false, None);
        Some(Change::Resolved)
    }
}

fn findings(summary: &Summary) -> Vec<String> {
    let sentence = |flag: &Flag| format!("{}: {}", flag.subject, flag.text);
    let mut active: Vec<&Flag> = summary.flags.iter().collect();
    active.sort_by_key(|flag| (flag.ended_at_ns.is_some(), flag.severity == Severity::Info));
    active.into_iter().take(FINDINGS).map(sentence).collect()
}
