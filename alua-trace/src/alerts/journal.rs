//! systemd's journal: entries with fields, and a MESSAGE_ID for each kind.

use std::collections::HashMap;

use anyhow::{Context, Result};
use libsystemd::logging::{Priority, journal_send};

use super::message::Message;
use crate::model::{Flag, FlagKind, Severity, Transfer};
use crate::report::words;
use crate::safe;

/// `journalctl MESSAGE_ID=…`: drawn once, never to change (systemd's journald(8), "Catalog").
const ALERT: &str = "6987c7bc9de8422e90c6dc184932aa73";
const TRANSFER: &str = "2f391feadfaf439badca58b8825ca713";

/// That of a kind of flag.
fn message_id(kind: FlagKind) -> &'static str {
    match kind {
        FlagKind::NonOptimizedIo => "50fd7bfde54948aab0e5a3a32601cbc2",
        FlagKind::ModuleUnloaded => "6e772c69d3784648953591dbe9532918",
        FlagKind::OwnershipTransfer => "1c2b9955b7034aba9091f625a7ff2096",
        FlagKind::PathThrash => "7ba047474e5a4c4abc566baeb5fa9d9f",
        FlagKind::FollowOverViolation => "800a4b74a5a447adb21a14e469da2096",
        FlagKind::TransitionStuck => "04c07dc2dd854adfa9a0f1b28e2c00cc",
        FlagKind::ModeSelectOutstanding => "6ffef5ba4a3743a1b7b9143a46677efb",
        FlagKind::StateDisagrees => "927fa16b8ead42b3ac83bde87ed97d79",
        FlagKind::NotPreferredOwner => "edd1338aa8814606b8d3a3b2560ed73b",
        FlagKind::StuckPath => "bdabcfb087844bf184ab5120255cdc1a",
        FlagKind::MtuMismatch => "dae697badd8844418c9d6951bb034542",
    }
}

fn priority(severity: Severity) -> Priority {
    match severity {
        Severity::Info => Priority::Notice,
        Severity::Warning => Priority::Warning,
    }
}

fn send(severity: Severity, text: &str, fields: HashMap<&str, String>) -> Result<()> {
    journal_send(
        priority(severity),
        &safe::sentence(text),
        fields.into_iter(),
    )
    .context("the journal takes nothing")
}

/// An alert.
///
/// # Errors
/// There is no journal.
pub fn alert(message: &Message) -> Result<()> {
    let recording = message.recording.as_ref();
    let mut fields = HashMap::from([
        ("MESSAGE_ID", ALERT.to_owned()),
        ("ALUA_TRACE_ALERT", message.alert.clone()),
        ("ALUA_TRACE_STATUS", message.status.to_owned()),
        ("ALUA_TRACE_EXPRESSION", message.expression.clone()),
        ("ALUA_TRACE_FINDINGS", message.findings.join("\n")),
    ]);
    if let Some(value) = message.value {
        fields.insert("ALUA_TRACE_VALUE", value.to_string());
    }
    if let Some(recording) = recording {
        fields.insert("ALUA_TRACE_RECORDING", recording.display().to_string());
    }
    send(message.severity, &message.sentence(), fields)
}

/// A flag that was raised or has ended.
///
/// # Errors
/// There is no journal.
pub fn flag(flag: &Flag) -> Result<()> {
    let ended = if flag.ended_at_ns.is_some() {
        "ended"
    } else {
        "raised"
    };
    let kind = words::kind(flag.kind);
    let text = format!("{kind} {ended}: {}: {}", flag.subject, flag.text);
    let mut fields = HashMap::from([
        ("MESSAGE_ID", message_id(flag.kind).to_owned()),
        ("ALUA_TRACE_FLAG", kind.to_owned()),
        ("ALUA_TRACE_CHANGE", ended.to_owned()),
        ("ALUA_TRACE_DEVICE", flag.subject.clone()),
        ("ALUA_TRACE_COMMANDS", flag.commands.to_string()),
        ("ALUA_TRACE_PATHS", flag.paths.join(" ")),
    ]);
    if let Some(wwid) = &flag.wwid {
        fields.insert("ALUA_TRACE_WWID", wwid.clone());
    }
    send(flag.severity, &text, fields)
}

/// A transfer that is over.
///
/// # Errors
/// There is no journal.
pub fn transfer(transfer: &Transfer) -> Result<()> {
    let text = format!("{} {}", transfer.subject, transfer.sentence());
    let mut fields = HashMap::from([
        ("MESSAGE_ID", TRANSFER.to_owned()),
        ("ALUA_TRACE_DEVICE", transfer.subject.clone()),
        ("ALUA_TRACE_CAUSE", transfer.cause.name().to_owned()),
        ("ALUA_TRACE_ACTOR", transfer.actor.clone()),
        ("ALUA_TRACE_FROM", transfer.from.join(" ")),
        ("ALUA_TRACE_TO", transfer.to.join(" ")),
    ]);
    if let Some(wwid) = &transfer.wwid {
        fields.insert("ALUA_TRACE_WWID", wwid.clone());
    }
    send(Severity::Info, &text, fields)
}
