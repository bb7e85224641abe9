//! The words for states, flags, probes and losses that every output shares.

use crate::format;
use crate::model::{
    AccessState, Class, Flag, FlagKind, Losses, Network, Path, PathChange, ProbeStatus, Severity,
    StateSource, Verdict,
};
use crate::safe;

/// A path in a few words: `3:0:0:1 sdb`.
pub fn path(path: &Path) -> String {
    let mut out = safe::name(&path.hctl);
    if let Some(device) = &path.device {
        out.push(' ');
        safe::push(&mut out, device, safe::NAME_CHARS);
    }
    out
}

/// State of a path, with `*` when its port group is the preferred one.
pub fn state_of(path: &Path) -> String {
    let star = if path.preferred == Some(true) {
        "*"
    } else {
        ""
    };
    format!("{}{star}", path.state.short())
}

/// Who said so.
pub fn source(source: StateSource) -> &'static str {
    match source {
        StateSource::None => "nobody has said",
        StateSource::RtpgSeen => "RTPG seen",
        StateSource::HandlerData => "handler data",
    }
}

/// Name of a state, as in JSON.
pub fn state(state: AccessState) -> &'static str {
    match state {
        AccessState::Optimized => "AO",
        AccessState::NonOptimized => "AN",
        AccessState::Standby => "standby",
        AccessState::Unavailable => "unavailable",
        AccessState::LbaDependent => "LBD",
        AccessState::Offline => "offline",
        AccessState::Transitioning => "transitioning",
        AccessState::Unknown => "unknown",
    }
}

/// Name of who said so, as in JSON.
pub fn source_name(source: StateSource) -> &'static str {
    match source {
        StateSource::None => "none",
        StateSource::RtpgSeen => "rtpg-seen",
        StateSource::HandlerData => "handler-data",
    }
}

/// Kind of command.
pub fn class(class: Class) -> &'static str {
    match class {
        Class::Read => "read",
        Class::Write => "write",
        Class::Other => "other",
    }
}

/// What happened to a path.
pub fn change(change: PathChange) -> &'static str {
    match change {
        PathChange::Appeared => "appeared",
        PathChange::Vanished => "vanished",
        PathChange::Relabelled => "relabelled",
        PathChange::State => "state changed",
    }
}

/// What became of a probe.
pub fn status(status: ProbeStatus) -> &'static str {
    match status {
        ProbeStatus::Ok => "ok",
        ProbeStatus::Unsupported => "unsupported",
        ProbeStatus::Broken => "broken",
        ProbeStatus::NotApplicable => "not applicable",
    }
}

/// Name of a kind of flag, as in JSON.
pub fn kind(kind: FlagKind) -> &'static str {
    match kind {
        FlagKind::NonOptimizedIo => "non-optimized-io",
        FlagKind::ModuleUnloaded => "module-unloaded",
        FlagKind::OwnershipTransfer => "ownership-transfer",
        FlagKind::PathThrash => "path-thrash",
        FlagKind::FollowOverViolation => "follow-over-violation",
        FlagKind::TransitionStuck => "transition-stuck",
        FlagKind::ModeSelectOutstanding => "mode-select-outstanding",
        FlagKind::StateDisagrees => "state-disagrees",
        FlagKind::NotPreferredOwner => "not-preferred-owner",
        FlagKind::StuckPath => "stuck-path",
        FlagKind::MtuMismatch => "mtu-mismatch",
    }
}

/// `RTT 310 µs, 4 segments retransmitted`.
pub fn push_network(out: &mut String, network: &Network) {
    out.push_str("RTT ");
    format::push_latency(out, network.rtt_us.map(|us| u64::from(us) * 1000));
    if network.retransmits > 0 {
        let segments = format::plural(network.retransmits, "segment");
        out.push_str(&format!(", {segments} retransmitted"));
    }
}

/// How much a flag matters.
pub fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
    }
}

/// Whether what a flag tells could have been avoided, by its last judgement; empty where the
/// question makes no sense.
pub fn last_verdict(flag: &Flag) -> &'static str {
    flag.judgements
        .last()
        .map_or("", |judgement| verdict(judgement.verdict))
}

/// A verdict as an attribute.
pub fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Avoidable => "avoidable",
        Verdict::Unavoidable => "unavoidable",
        Verdict::InTransition => "in-transition",
    }
}

/// A value that may be unknown, safe for a terminal.
pub fn known(value: Option<&str>) -> String {
    value.map_or_else(|| format::UNKNOWN.to_owned(), safe::name)
}

/// A number that may be unknown.
pub fn number<N: ToString>(value: Option<N>) -> String {
    value.map_or_else(|| format::UNKNOWN.to_owned(), |value| value.to_string())
}

/// Every cause of loss with its count. Ends of commands from before the trace are no loss.
pub fn causes(losses: &Losses) -> [(&'static str, u64); 11] {
    [
        ("ring buffer full", losses.ring_full),
        ("not recorded", losses.not_recorded),
        ("not followed", losses.untracked),
        ("end not seen", losses.superseded),
        ("implausible time", losses.implausible),
        ("undecodable", losses.undecodable),
        ("RTPG records", losses.lost_records),
        ("path table full", losses.path_table_full),
        ("route table full", losses.route_table_full),
        ("failed kernel reads", losses.failed_reads),
        ("probe runs left out", losses.missed_runs),
    ]
}

/// Losses in one phrase: `0 lost`, or `1,234 lost: 1,200 ring buffer full, 34 not followed`.
pub fn push_losses(out: &mut String, losses: &Losses) {
    let causes = causes(losses);
    format::push_count(
        out,
        causes
            .iter()
            .fold(0, |sum, (_, n)| u64::saturating_add(sum, *n)),
    );
    out.push_str(" lost");
    let mut before = ": ";
    for (cause, count) in causes.iter().filter(|(_, count)| *count > 0) {
        out.push_str(before);
        format::push_count(out, *count);
        out.push(' ');
        out.push_str(cause);
        before = ", ";
    }
}

/// Whether anything was lost.
pub fn lost_anything(losses: &Losses) -> bool {
    causes(losses).iter().any(|(_, count)| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_named_by_cause() {
        let mut out = String::new();
        push_losses(
            &mut out,
            &Losses {
                unmatched_ends: 7,
                ..Losses::default()
            },
        );
        assert_eq!(out, "0 lost");
        out.clear();
        let losses = Losses {
            ring_full: 1200,
            untracked: 34,
            ..Losses::default()
        };
        push_losses(&mut out, &losses);
        assert_eq!(out, "1,234 lost: 1,200 ring buffer full, 34 not followed");
        assert!(lost_anything(&losses));
    }
}
