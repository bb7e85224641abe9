//! The emulator as an ALUA array: transfers by everybody who can make one, as the kernel's
//! `scsi_dh_alua` and sg3_utils see them.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Access, Controller, LoggedCommand, Moved, Options, Reason, Sense};
use crate::lab::load::{Load, Running, UNTIL_STOPPED_MS};
use crate::lab::multipath::{Handler, MapOptions};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process;

pub(super) const GROUP: Group = Group {
    name: "alua-lab",
    limit_seconds: 400,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "four-groups",
            run: four_groups,
        },
        Case {
            name: "explicit",
            run: explicit,
        },
        Case {
            name: "other-host",
            run: other_host,
        },
        Case {
            name: "transition",
            run: transition,
        },
        Case {
            name: "two-luns",
            run: two_luns,
        },
    ],
};

const SET_TARGET_PORT_GROUPS: u8 = 0xa4;

/// One target port group as sg_rtpg tells it.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    id: u16,
    preferred: bool,
    state: u8,
    changed_by: u8,
}

fn told(id: u16, preferred: bool, state: u8, changed_by: u8) -> Told {
    Told {
        id,
        preferred,
        state,
        changed_by,
    }
}

/// What the array says on A1, read by a program nobody here wrote.
fn sg_rtpg(lab: &Lab) -> Result<Vec<Told>> {
    let node = lab.path("A1")?.node();
    // The first one may be answered by a unit attention.
    for _ in 0..3 {
        let output = process::output("sg_rtpg", &["-d", &node])?;
        if output.code() == 0 {
            return parse(&output.stdout);
        }
    }
    bail!("sg_rtpg {node} fails")
}

fn parse(text: &str) -> Result<Vec<Told>> {
    let hex_after = |line: &str, mark: &str| {
        let (_, rest) = line.split_once(mark)?;
        let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
        u16::from_str_radix(&digits, 16).ok()
    };
    let mut groups: Vec<Told> = Vec::new();
    for line in text.lines() {
        if let Some(id) = hex_after(line, "target port group id : 0x") {
            groups.push(told(id, line.contains("Pref=1"), 0xff, 0xff));
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        if let Some(state) = hex_after(line, "asymmetric access state : 0x") {
            group.state = u8::try_from(state)?;
        }
        if let Some(code) = hex_after(line, "status code : 0x") {
            group.changed_by = u8::try_from(code)?;
        }
    }
    Ok(groups)
}

/// A group for each port. Each tells who changed its own state last.
fn four_groups(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options {
        group_per_port: true,
        ..Options::default()
    })?;
    lab.expect_states("active/optimized", "active/non-optimized")?;
    let expected = [
        told(0x11, false, 0, 0),
        told(0x12, false, 0, 0),
        told(0x21, false, 1, 0),
        told(0x22, false, 1, 0),
    ];
    let now = sg_rtpg(lab)?;
    ensure!(now == expected, "{now:?}");

    lab.array()?.ask("prefer B")?;
    lab.array()?.ask("state A2 standby")?;
    lab.array()?.ask("other-host B")?;
    let expected = [
        told(0x11, false, 1, 1),
        told(0x12, false, 2, 2),
        told(0x21, true, 0, 1),
        told(0x22, true, 0, 1),
    ];
    let now = sg_rtpg(lab)?;
    ensure!(now == expected, "{now:?}");

    // Told by unit attentions, once something is asked over every path.
    lab.array()?.ask("state B2 unavailable")?;
    let (b1, b2) = (lab.path("B1")?, lab.path("B2")?);
    b1.rescan()?;
    b2.rescan()?;
    sys::wait_for(Duration::from_secs(5), "the kernel to see it", || {
        let state = |path: &crate::lab::loopback::LabPath| sys::read(path.sysfs("access_state"));
        Ok(state(&b1)? == "active/optimized" && state(&b2)? == "unavailable")
    })?;
    Ok(Outcome::Passed)
}

fn loaded_map(lab: &mut Lab) -> Result<(crate::lab::multipath::Map, Running)> {
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&lab.path("A1")?.device, 50)?;
    lab.array()?.ask("forget")?;
    Ok((map, load))
}

fn stpgs(log: &[LoggedCommand]) -> Vec<&LoggedCommand> {
    log.iter()
        .filter(|it| it.opcode == SET_TARGET_PORT_GROUPS)
        .collect()
}

fn group(id: u16, from: Access, to: Access) -> Moved {
    Moved::Group { id, from, to }
}

/// This host moves it: the log of changes names the path and lies within the command.
fn explicit(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options::default())?;
    let (map, load) = loaded_map(lab)?;
    map.switch_group(2)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    load.stop()?;
    let transfers = lab.array()?.transfers()?;
    let moved: Vec<Moved> = transfers.iter().map(|it| it.moved).collect();
    let expected = [
        group(1, Access::Optimized, Access::NonOptimized),
        group(2, Access::NonOptimized, Access::Optimized),
    ];
    ensure!(moved == expected, "{transfers:?}");
    let log = lab.array()?.log()?;
    for change in &transfers {
        let made_it = stpgs(&log).into_iter().any(|it| {
            change.reason == Reason::Stpg(it.path)
                && it.path.controller == Controller::B
                && (it.seen_at_ns..=it.completed_at_ns).contains(&change.at_ns)
        });
        ensure!(made_it, "no STPG for {change:?}: {:?}", stpgs(&log));
    }
    let codes: Vec<u8> = sg_rtpg(lab)?.iter().map(|it| it.changed_by).collect();
    ensure!(codes == [1, 1], "status codes {codes:?}");
    Ok(Outcome::Passed)
}

/// Another host moves it: every port of this one is told, and the status code says by STPG.
fn other_host(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options::default())?;
    lab.expect_states("active/optimized", "active/non-optimized")?;
    let nodes: Vec<String> = lab.paths().iter().map(|path| path.node()).collect();
    let load = Load::random_reads(&nodes.join(":"), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&lab.path("B2")?.device, 50)?;
    lab.array()?.ask("forget")?;
    lab.array()?.ask("other-host B")?;
    lab.expect_states("active/non-optimized", "active/optimized")?;
    disk::wait_for_io(&lab.path("B2")?.device, 50)?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let transfers = lab.array()?.transfers()?;
    ensure!(
        transfers.len() == 2 && transfers.iter().all(|it| it.reason == Reason::OtherHost),
        "{transfers:?}"
    );
    let log = lab.array()?.log()?;
    ensure!(stpgs(&log).is_empty(), "this host sent one as well");
    for path in lab.paths() {
        let attentions = log
            .iter()
            .filter(|it| it.path == path.name && it.sense == Some(Sense::STATE_CHANGED))
            .count();
        ensure!(attentions == 1, "{} was told {attentions} times", path.name);
    }
    let codes: Vec<u8> = sg_rtpg(lab)?.iter().map(|it| it.changed_by).collect();
    ensure!(codes == [1, 1], "status codes {codes:?}");
    Ok(Outcome::Passed)
}

/// An explicit transfer that takes its time: transitioning in between, still by STPG, no error.
fn transition(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options::default())?;
    let (map, load) = loaded_map(lab)?;
    lab.array()?.ask("transfer-time 300ms")?;
    map.switch_group(2)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let transfers = lab.array()?.transfers()?;
    let moved: Vec<Moved> = transfers.iter().map(|it| it.moved).collect();
    let expected = [
        group(1, Access::Optimized, Access::Transitioning),
        group(2, Access::NonOptimized, Access::Transitioning),
        group(1, Access::Transitioning, Access::NonOptimized),
        group(2, Access::Transitioning, Access::Optimized),
    ];
    ensure!(moved == expected, "{transfers:?}");
    ensure!(
        transfers[2].at_ns == transfers[0].at_ns + 300_000_000
            && transfers
                .iter()
                .all(|it| matches!(it.reason, Reason::Stpg(_))),
        "{transfers:?}"
    );
    Ok(Outcome::Passed)
}

/// Each LUN has states of its own, and its own map.
fn two_luns(lab: &mut Lab) -> Result<Outcome> {
    lab.alua_emulator(Options {
        luns: 2,
        owners: vec![Controller::A, Controller::B],
        ..Options::default()
    })?;
    let states = |lab: &Lab| -> Result<Vec<bool>> {
        let paths = lab.paths().into_iter();
        paths
            .map(|path| Ok(sys::read(path.sysfs("access_state"))? == "active/optimized"))
            .collect()
    };
    // A1, B1, A2, B2, each LUN 0 and 1.
    let apart = [true, false, false, true, true, false, false, true];
    let both_a = [true, true, false, false, true, true, false, false];
    let seen = Duration::from_secs(5);
    sys::wait_for(seen, "an owner each", || Ok(states(lab)? == apart))?;
    let first = lab.map(&MapOptions::of(0, Handler::Alua))?;
    let second = lab.map(&MapOptions {
        first: Controller::B,
        ..MapOptions::of(1, Handler::Alua)
    })?;
    ensure!(first.dm != second.dm, "one map for two LUNs");
    let nodes: Vec<String> = lab.paths().iter().map(|path| path.node()).collect();
    lab.array()?.ask("lun 1 swap")?;
    let load = Load::random_reads(&nodes.join(":"), UNTIL_STOPPED_MS).start()?;
    sys::wait_for(seen, "LUN 1 to be A's", || Ok(states(lab)? == both_a))?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let transfers = lab.array()?.transfers()?;
    ensure!(
        transfers.len() == 2
            && transfers
                .iter()
                .all(|it| it.lun == 1 && it.reason == Reason::Implicit),
        "{transfers:?}"
    );
    Ok(Outcome::Passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sg_rtpgs_words_are_understood() {
        let text = "Report target port groups:
  target port group id : 0x21 , Pref=1, Rtpg_fmt=0
    target port group asymmetric access state : 0x01 (active/non optimized)
    T_SUP : 1, O_SUP : 1, LBD_SUP : 0, U_SUP : 1, S_SUP : 1, AN_SUP : 1, AO_SUP : 1
    status code : 0x02 (target port asym. state changed by implicit lu behaviour)
";
        assert_eq!(parse(text).unwrap(), [told(0x21, true, 1, 2)]);
    }
}
