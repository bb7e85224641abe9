//! What is told of an alert: the same to a program, a web hook, the journal and a file.

use std::path::PathBuf;

use serde::Serialize;

use super::rules::{Alert, Change, Rule};
use crate::model::Severity;

/// Rises when a field changes its meaning or goes away.
pub const SCHEMA: u32 = 1;

/// An alert as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// [`SCHEMA`].
    pub schema: u32,
    /// `firing` or `resolved`.
    pub status: &'static str,
    /// Name of the rule.
    pub alert: String,
    /// `info` or `warning`.
    pub severity: Severity,
    /// The rule's expression, as it was typed.
    pub expression: String,
    /// What was asked, when this was found.
    pub value: Option<f64>,
    /// Since when it has been true, in ns since the epoch.
    pub since_unix_ns: u64,
    /// When this was found, in ns since the epoch.
    pub at_unix_ns: u64,
    /// `uname -n`.
    pub host: String,
    /// Findings of the period, in sentences.
    pub findings: Vec<String>,
    /// The recording of what led to this, if there is one yet.
    pub recording: Option<PathBuf>,
}

/// What is the same in all messages of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// `uname -n`.
    pub host: String,
    /// What the monotonic clock is behind the wall clock, in ns.
    pub epoch_ns: u64,
}

impl Message {
    /// Of an alert of a rule.
    #[must_use]
    pub fn new(alert: &Alert, rule: &Rule, origin: &Origin, recording: Option<PathBuf>) -> Self {
        let unix_ns = |ns: u64| origin.epoch_ns.saturating_add(ns);
        Self {
            schema: SCHEMA,
            status: match alert.change {
                Change::Firing => "firing",
                Change::Resolved => "resolved",
            },
            alert: rule.name.clone(),
            severity: rule.severity,
            expression: rule.when.text.clone(),
            value: alert.value,
            since_unix_ns: unix_ns(alert.since_ns),
            at_unix_ns: unix_ns(alert.at_ns),
            host: origin.host.clone(),
            findings: alert.findings.clone(),
            recording,
        }
    }

    /// In a line, raw: `alert thrash fires: flags{kind="path-thrash"} > 0, it is 1`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let fires = match self.status {
            "firing" => "fires",
            _ => "is resolved",
        };
        let value = match self.value {
            Some(value) => format!(", it is {value:.4}"),
            None => String::new(),
        };
        let found = self.findings.first().map(|it| format!("; {it}"));
        format!(
            "alert {} {fires}: {}{value}{}",
            self.alert,
            self.expression,
            found.unwrap_or_default()
        )
    }
}
