//! Alerts of a trace that runs for months: rules asked of its last minutes, and who is told when they fire and when they are
//! resolved.
//!
//! [`Alerts`] is an output as any other: it takes the lines of the trace, on a thread of its own.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;

use crate::{
    model::{FlagChange, Line, Severity, TransferChange},
    record::Snapshots,
    safe,
    sinks::Sink,
};
pub use actions::Action;
use actions::Courier;
use message::{Message, Origin};
pub use rules::Rule;
use rules::{Alert, Change, Rules};

mod actions;
pub mod journal;
mod message;
mod period;
mod rules;

#[cfg(test)]
mod tests;

/// How long an alert waits for the recording of what led to it to have a name.
const RECORDING_WITHIN: Duration = Duration::from_secs(2);
/// How long is waited for those that are told at the end.
const TOLD_WITHIN: Duration = Duration::from_secs(5);

/// What to ask, and whom to tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Rules.
    pub rules: Vec<Rule>,
    /// Actions by their name.
    pub actions: BTreeMap<String, Action>,
    /// Flags and transfers go to the journal, too.
    pub journal: bool,
}

/// A plan that is to be followed instead of the one before, from the next line on.
#[derive(Debug, Clone, Default)]
pub struct Next(Arc<Mutex<Option<Plan>>>);

impl Next {
    /// Has `plan` followed.
    pub fn set(&self, plan: Plan) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(plan);
    }

    fn take(&self) -> Option<Plan> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The output.
#[derive(Debug)]
pub struct Alerts {
    rules: Rules,
    couriers: BTreeMap<String, Courier>,
    actions: BTreeMap<String, Action>,
    journal: bool,
    /// The journal could not be told, which has been said.
    journal_failed: bool,
    origin: Origin,
    snapshots: Snapshots,
    next: Next,
}

impl Alerts {
    /// Alerts by this plan, on this host.
    ///
    /// # Errors
    /// An action's thread cannot be started.
    pub fn new(plan: Plan, host: &str, snapshots: Snapshots, next: Next) -> Result<Self> {
        let mut alerts = Self {
            rules: Rules::new(plan.rules),
            couriers: BTreeMap::new(),
            actions: BTreeMap::new(),
            journal: plan.journal,
            journal_failed: false,
            origin: Origin {
                host: host.to_owned(),
                epoch_ns: 0,
            },
            snapshots,
            next,
        };
        alerts.employ(plan.actions)?;
        Ok(alerts)
    }

    /// Has these actions, and no others; those that stay go on with what waits for them.
    fn employ(&mut self, actions: BTreeMap<String, Action>) -> Result<()> {
        self.couriers
            .retain(|name, _| self.actions.get(name) == actions.get(name));
        for (name, action) in &actions {
            if !self.couriers.contains_key(name) {
                let courier = Courier::start(name, action.clone())?;
                self.couriers.insert(name.clone(), courier);
            }
        }
        self.actions = actions;
        Ok(())
    }

    fn follow(&mut self, plan: Plan) {
        self.rules.replace(plan.rules);
        self.journal = plan.journal;
        if let Err(error) = self.employ(plan.actions) {
            eprintln!("alua-trace: {}", safe::sentence(&format!("{error:#}")));
        }
    }

    fn tell(&self, alert: &Alert) {
        let Some(rule) = self.rules.rules().get(alert.rule) else {
            return;
        };
        let recording = match alert.change {
            Change::Firing => self.snapshots.ask(RECORDING_WITHIN),
            Change::Resolved => self.snapshots.latest(),
        };
        let message = Message::new(alert, rule, &self.origin, recording);
        if !self.journal {
            // A closed standard output is found out by others.
            let _ = actions::say(&message);
        }
        for name in &rule.actions {
            if let Some(courier) = self.couriers.get(name) {
                courier.tell(message.clone());
            }
        }
    }

    fn tell_journal(&mut self, line: &Line) {
        let told = match line {
            Line::Flag(event) if event.change != FlagChange::Updated => journal::flag(&event.flag),
            Line::Transfer(event) if event.change == TransferChange::Done => {
                journal::transfer(&event.transfer)
            }
            _ => return,
        };
        if let Err(error) = told
            && !std::mem::replace(&mut self.journal_failed, true)
        {
            eprintln!("alua-trace: {}", safe::sentence(&format!("{error:#}")));
        }
    }
}

impl Sink<Line> for Alerts {
    fn take(&mut self, line: &Line) -> io::Result<()> {
        if let Some(plan) = self.next.take() {
            self.follow(plan);
        }
        if let Line::Start(start) = line {
            self.origin.epoch_ns = start.wall_unix_ns.saturating_sub(start.started_at_ns);
        }
        if self.journal {
            self.tell_journal(line);
        }
        for alert in self.rules.take(line) {
            self.tell(&alert);
        }
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        for (_, courier) in std::mem::take(&mut self.couriers) {
            courier.close(TOLD_WITHIN);
        }
        Ok(())
    }
}

/// As in JSON.
fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
    }
}
