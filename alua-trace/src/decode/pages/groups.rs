//! Owns how target port groups are shown: what REPORT TARGET PORT GROUPS answers and what SET
//! TARGET PORT GROUPS sends.

use crate::decode::fields::Report;
use crate::scsi::rtpg::{self, TargetPortGroup};
use crate::scsi::{AccessState, DecodeError};

/// Name and abbreviation of a state.
fn state(state: AccessState) -> String {
    if state.is_reserved() {
        return state.to_string();
    }
    format!("{state} ({})", state.abbreviation())
}

/// REPORT TARGET PORT GROUPS data.
pub(super) fn report(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let answer = rtpg::parse(data)?;
    report.field(
        0,
        "length of the answer",
        answer.whole_bytes,
        "bytes, with these four",
    );
    let mut at = 4;
    if answer.extended {
        report.field(
            4,
            "header",
            "extended",
            "as asked for with byte 1 of the CDB = 0x2a",
        );
        at = 8;
    }
    if let Some(seconds) = answer.implicit_transition_s {
        report.field(
            5,
            "implicit transition time",
            seconds,
            transition_text(seconds),
        );
    }
    for one in &answer.groups {
        group(&mut report, at, one);
        at += 8 + 4 * usize::from(one.n_ports);
    }
    report.truncated(answer.truncated);
    Ok(report)
}

fn transition_text(seconds: u8) -> &'static str {
    if seconds == 0 {
        "not told"
    } else {
        "seconds a transition by the array may take"
    }
}

fn group(report: &mut Report, at: usize, group: &TargetPortGroup) {
    let name = |field: &str| format!("group {}: {field}", group.id);
    let preferred = if group.preferred {
        "preferred by the array"
    } else {
        "not preferred"
    };
    report.field(at + 2, name("id"), format_args!("0x{:04x}", group.id), "");
    report.byte(at, name("state"), group.state.code(), state(group.state));
    report.bit(at, name("preferred"), group.preferred, preferred);
    report.byte(
        at + 1,
        name("supported states"),
        group.supported.0,
        group.supported,
    );
    report.byte(
        at + 5,
        name("status code"),
        group.status.code(),
        group.status,
    );
    report.byte(at + 6, name("vendor-specific status"), group.vendor, "");
    report.field(at + 7, name("ports"), group.n_ports, "");
    for (nth, port) in group.ports.iter().enumerate() {
        report.field(at + 8 + 4 * nth + 2, name("relative target port"), port, "");
    }
}

/// SET TARGET PORT GROUPS parameter list.
pub(super) fn set(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let list = rtpg::parse_set(data)?;
    for (nth, group) in list.groups.iter().enumerate() {
        let at = 4 + 4 * nth;
        let name = |field: &str| format!("group {}: {field}", group.id);
        report.field(at + 2, name("id"), format_args!("0x{:04x}", group.id), "");
        report.byte(
            at,
            name("state asked for"),
            group.state.code(),
            state(group.state),
        );
    }
    report.truncated(list.truncated);
    Ok(report)
}
