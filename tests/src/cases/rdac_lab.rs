//! The emulator as an RDAC array: the kernel's `scsi_dh_rdac`, dm-multipath and multipathd take it
//! for one, in each of its modes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::{Controller, LoggedCommand, Mode, Moved, Options, Reason, Sense, StateChange};
use crate::lab::kmsg::KernelLog;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::loopback::LabPath;
use crate::lab::multipath::{Handler, Map, MapOptions};
use crate::lab::multipathd::Multipathd;
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process;

pub(super) const GROUP: Group = Group {
    name: "rdac-lab",
    limit_seconds: 400,
    kernels: Kernels::OnRequest,
    clock: Clock::Host,
    array: false,
    cases: &[
        Case {
            name: "attach",
            run: attach,
        },
        Case {
            name: "mode-select-10",
            run: mode_select_10,
        },
        Case {
            name: "mode-select-6",
            run: mode_select_6,
        },
        Case {
            name: "other-host",
            run: other_host,
        },
        Case {
            name: "avt",
            run: avt,
        },
        Case {
            name: "two-luns",
            run: two_luns,
        },
        Case {
            name: "contention",
            run: contention,
        },
        Case {
            name: "quiescence",
            run: quiescence,
        },
        Case {
            name: "shipping",
            run: shipping,
        },
        Case {
            name: "multipathd",
            run: multipathd,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(30);
const MODE_SELECT_6: u8 = 0x15;
const MODE_SELECT_10: u8 = 0x55;

/// The handler names mode and owner of each path, as the array has them then: in AVT mode the scan
/// for partitions, path after path, moves the LUN.
fn attach(lab: &mut Lab) -> Result<Outcome> {
    for (mode, name) in [
        (Mode::Rdac, "RDAC"),
        (Mode::Avt, "AVT"),
        (Mode::Ioship, "IOSHIP"),
    ] {
        let mut kernel = KernelLog::open()?;
        lab.rdac_emulator(mode, 1)?;
        let lines = kernel.lines()?;
        let transfers = lab.array()?.transfers()?;
        ensure!(mode == Mode::Avt || transfers.is_empty(), "{transfers:?}");
        for path in lab.paths() {
            let said = format!("{}: rdac: LUN 0 ({name}) (", path.hctl);
            let line = lines.iter().find(|line| line.text.contains(&said));
            let line = line.with_context(|| format!("the kernel did not say {said:?}"))?;
            let owned = owner_at(&transfers, line.at_ns) == path.name.controller;
            ensure!(
                line.text.contains("(unowned)") != owned,
                "{line:?} after {transfers:?}"
            );
        }
        let inquiry = process::run("sg_inq", &[&lab.path("A1")?.node()])?;
        ensure!(
            inquiry.contains("TPGS=0") && inquiry.contains("MD36xxi"),
            "no MD36xxi: {inquiry}"
        );
        lab.tear_down()?;
    }
    Ok(Outcome::Passed)
}

/// Who has the LUN at `at_ns`, which A had at first.
fn owner_at(transfers: &[StateChange], at_ns: u64) -> Controller {
    let before = transfers.iter().rev().find(|it| it.at_ns <= at_ns);
    match before.map(|it| it.moved) {
        Some(Moved::Owner { to, .. }) => to,
        _ => Controller::A,
    }
}

fn owner(from: Controller, to: Controller) -> Moved {
    Moved::Owner { from, to }
}

/// An RDAC map under load on controller A.
fn loaded_map(lab: &mut Lab) -> Result<(Map, crate::lab::load::Running)> {
    let map = lab.map(&MapOptions::of(0, Handler::Rdac))?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&lab.path("A1")?.device, 50)?;
    lab.array()?.ask("forget")?;
    Ok((map, load))
}

fn only(transfers: &[StateChange]) -> Result<StateChange> {
    match transfers {
        [only] => Ok(*only),
        _ => anyhow::bail!("there should be one transfer: {transfers:?}"),
    }
}

fn mode_selects(log: &[LoggedCommand]) -> Vec<&LoggedCommand> {
    log.iter()
        .filter(|it| [MODE_SELECT_6, MODE_SELECT_10].contains(&it.opcode))
        .collect()
}

fn mode_select_10(lab: &mut Lab) -> Result<Outcome> {
    switch_group(lab, 255, MODE_SELECT_10)
}

/// An array of fewer than 32 LUNs gets the older command with the shorter page.
fn mode_select_6(lab: &mut Lab) -> Result<Outcome> {
    switch_group(lab, 31, MODE_SELECT_6)
}

/// dm activates the other group, the handler moves the LUN, and I/O goes on there.
fn switch_group(lab: &mut Lab, max_luns: u8, opcode: u8) -> Result<Outcome> {
    lab.emulator_with(Options {
        rdac: Some(Mode::Rdac),
        max_luns,
        ..Options::default()
    })?;
    let (map, load) = loaded_map(lab)?;
    map.switch_group(2)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let moved = only(&lab.array()?.transfers()?)?;
    ensure!(
        moved.moved == owner(Controller::A, Controller::B) && moved.lun == 0,
        "{moved:?}"
    );
    let Reason::ModeSelect(path) = moved.reason else {
        anyhow::bail!("{moved:?}");
    };
    let log = lab.array()?.log()?;
    let selected = mode_selects(&log)
        .into_iter()
        .find(|it| it.path == path && it.opcode == opcode && it.status == 0)
        .with_context(|| format!("no {opcode:02x} over {path}"))?;
    ensure!(
        (selected.seen_at_ns..=selected.completed_at_ns).contains(&moved.at_ns),
        "{moved:?} is not of {selected:?}"
    );
    Ok(Outcome::Passed)
}

fn failed_paths(map: &Map, lab: &Lab, controller: Controller) -> Result<usize> {
    let status = map.status()?;
    let failed = |path: &LabPath| status.contains(&format!(" {} F ", path.devno));
    let paths = lab.paths().into_iter();
    Ok(paths
        .filter(|path| path.name.controller == controller && failed(path))
        .count())
}

/// The handler learns of it by 05/94/01, and dm goes where the LUN went without moving it back.
fn other_host(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    let (map, load) = loaded_map(lab)?;
    lab.array()?.ask("other-host B")?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    let failed = failed_paths(&map, lab, Controller::A)?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    ensure!(failed == 2, "{failed} of 2 paths failed: {}", map.status()?);
    let moved = only(&lab.array()?.transfers()?)?;
    ensure!(
        moved.moved == owner(Controller::A, Controller::B) && moved.reason == Reason::OtherHost,
        "{moved:?}"
    );
    let log = lab.array()?.log()?;
    let refused: Vec<_> = log
        .iter()
        .filter(|it| it.sense == Some(Sense::NOT_THE_OWNER))
        .collect();
    ensure!(!refused.is_empty(), "nothing was refused");
    ensure!(
        refused.iter().all(|it| it.path.controller == Controller::A
            && it.completed_at_ns >= moved.at_ns
            && it.status == 2),
        "refused by the owner, or before the transfer: {refused:?}"
    );
    ensure!(mode_selects(&log).is_empty(), "this host moved it too");
    Ok(Outcome::Passed)
}

/// Plain I/O to the controller that does not own the LUN moves it there.
fn avt(lab: &mut Lab) -> Result<Outcome> {
    let mut kernel = KernelLog::open()?;
    lab.rdac_emulator(Mode::Avt, 1)?;
    // The scan for partitions moves the LUN too.
    let mut attached = 0;
    sys::wait_for(Duration::from_secs(5), "the scan of 4 disks", || {
        let lines = kernel.lines()?;
        let done = |line: &&crate::lab::kmsg::Line| line.text.ends_with("Attached SCSI disk");
        attached += lines.iter().filter(done).count();
        Ok(attached >= 4)
    })?;
    lab.array()?.ask("own A")?;
    lab.array()?.ask("forget")?;
    for name in ["A1", "B1", "B2", "A2"] {
        let read = Load {
            until: Until::Count(20),
            ..Load::random_reads(&lab.path(name)?.node(), 0)
        };
        let done = read.run(LIMIT)?;
        ensure!(done.error == 0, "fio failed with {}", done.error);
    }
    let transfers = lab.array()?.transfers()?;
    let moves: Vec<_> = transfers.iter().map(|it| (it.moved, it.reason)).collect();
    let expected = [
        (
            owner(Controller::A, Controller::B),
            Reason::Avt("B1".parse()?),
        ),
        (
            owner(Controller::B, Controller::A),
            Reason::Avt("A2".parse()?),
        ),
    ];
    ensure!(moves == expected, "{transfers:?}");
    ensure!(
        mode_selects(&lab.array()?.log()?).is_empty(),
        "plain I/O needs no MODE SELECT"
    );
    Ok(Outcome::Passed)
}

/// Two LUNs of two owners: each map works on its own controller, and moving one leaves the other.
fn two_luns(lab: &mut Lab) -> Result<Outcome> {
    lab.emulator_with(Options {
        rdac: Some(Mode::Rdac),
        luns: 2,
        owners: vec![Controller::A, Controller::B],
        ..Options::default()
    })?;
    let first = lab.map(&MapOptions::of(0, Handler::Rdac))?;
    let second = lab.map(&MapOptions {
        first: Controller::B,
        ..MapOptions::of(1, Handler::Rdac)
    })?;
    lab.array()?.ask("forget")?;
    let loads =
        [&first, &second].map(|map| Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start());
    disk::wait_for_io(&lab.path_to("A1", 0)?.device, 50)?;
    disk::wait_for_io(&lab.path_to("B1", 1)?.device, 50)?;
    let before = lab.array()?.transfers()?;
    ensure!(before.is_empty(), "nothing should have moved: {before:?}");
    lab.array()?.ask("lun 1 other-host A")?;
    disk::wait_for_io(&lab.path_to("A1", 1)?.device, 50)?;
    for load in loads {
        let done = load?.stop()?;
        ensure!(done.error == 0, "fio failed with {}", done.error);
    }
    let moved = only(&lab.array()?.transfers()?)?;
    ensure!(
        moved.lun == 1 && moved.moved == owner(Controller::B, Controller::A),
        "{moved:?}"
    );
    let log = lab.array()?.log()?;
    let refused = |lun| {
        let of = log.iter().filter(|it| it.lun == lun);
        of.filter(|it| it.sense == Some(Sense::NOT_THE_OWNER))
            .count()
    };
    ensure!(
        refused(0) == 0 && refused(1) > 0,
        "{} {}",
        refused(0),
        refused(1)
    );
    ensure!(
        !first.status()?.contains(" F "),
        "the other map lost a path: {}",
        first.status()?
    );
    Ok(Outcome::Passed)
}

/// A locked array is asked again until it has done it.
fn contention(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    let (map, load) = loaded_map(lab)?;
    lab.array()?.ask("contention 3")?;
    map.switch_group(2)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    let done = load.stop()?;
    ensure!(done.error == 0, "fio failed with {}", done.error);
    let mut log = lab.array()?.log()?;
    log.sort_by_key(|it| it.sequence);
    let senses: Vec<_> = mode_selects(&log).iter().map(|it| it.sense).collect();
    let locked = Some(Sense::LOCK_VIOLATION);
    ensure!(
        senses.starts_with(&[locked, locked, locked, None]),
        "{senses:?}"
    );
    only(&lab.array()?.transfers()?)?;
    Ok(Outcome::Passed)
}

/// While the array is quiescent, and while a transfer takes its time, I/O waits and no path fails.
fn quiescence(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Rdac, 1)?;
    let (map, load) = loaded_map(lab)?;
    for (request, sense) in [
        ("quiesce 200ms", Sense::QUIESCENCE),
        ("quiesce 200ms 02/04/a1", Sense::QUIESCING),
    ] {
        lab.array()?.ask(request)?;
        sys::sleep_ms(300);
        disk::wait_for_io(&lab.path("A1")?.device, 50)?;
        let log = lab.array()?.log()?;
        let held = log.iter().filter(|it| it.sense == Some(sense)).count();
        ensure!(held > 0, "{request} refused nothing");
    }
    let status = map.status()?;
    ensure!(!status.contains(" F "), "quiescence cost a path: {status}");
    lab.array()?.ask("forget")?;
    lab.array()?.ask("transfer-time 200ms")?;
    map.switch_group(2)?;
    disk::wait_for_io(&lab.path("B1")?.device, 50)?;
    let moved = only(&lab.array()?.transfers()?)?;
    let log = lab.array()?.log()?;
    let served = log
        .iter()
        .filter(|it| it.opcode == 0x28 && it.status == 0)
        .filter(|it| it.path.controller == Controller::B)
        .map(|it| it.seen_at_ns)
        .min()
        .context("nothing was read through B")?;
    ensure!(
        served >= moved.at_ns + 200_000_000,
        "served at {served}: {moved:?}"
    );
    // A's may fail: what was still queued for them came too late.
    let failed = failed_paths(&map, lab, Controller::B)?;
    let done = load.stop()?;
    ensure!(
        done.error == 0 && failed == 0,
        "fio: {}, {failed} paths failed",
        done.error
    );
    Ok(Outcome::Passed)
}

/// Both controllers serve; the way through the one that does not own the LUN is longer, and moving
/// the LUN moves that.
fn shipping(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Ioship, 1)?;
    lab.array()?.ask("shipping 20ms")?;
    for (owner, fast, slow) in [("A", "A1", "B1"), ("B", "B1", "A1")] {
        lab.array()?.ask(&format!("own {owner}"))?;
        lab.array()?.ask("forget")?;
        for name in [fast, slow] {
            let read = Load {
                until: Until::Count(50),
                ..Load::random_reads(&lab.path(name)?.node(), 0)
            };
            let done = read.run(LIMIT)?;
            ensure!(done.error == 0, "fio failed with {}", done.error);
        }
        let log = lab.array()?.log()?;
        let shipped = |name: &str| {
            let reads = log.iter().filter(|it| it.path.to_string() == name);
            let reads = reads.filter(|it| it.opcode == 0x28);
            reads
                .filter(|it| it.completed_at_ns - it.seen_at_ns >= 20_000_000)
                .count()
        };
        ensure!(
            shipped(slow) >= 50 && shipped(fast) == 0,
            "owner {owner}: {} {}",
            shipped(slow),
            shipped(fast)
        );
    }
    Ok(Outcome::Passed)
}

/// multipathd knows the array without being told: its built-in entry for MD3xxx.
fn multipathd(lab: &mut Lab) -> Result<Outcome> {
    lab.rdac_emulator(Mode::Ioship, 1)?;
    let daemon = Multipathd::start()?;
    let map = Map::first()?;
    let table = process::run("dmsetup", &["table", &map.name])?;
    ensure!(
        table.contains(" 1 rdac ") && table.contains("pg_init_retries 50"),
        "not the built-in entry: {table}"
    );
    for path in lab.paths() {
        // Owned 2, preferred 4 or secondary 1, I/O shipping 8.
        let expected = if path.name.controller == Controller::A {
            "14"
        } else {
            "9"
        };
        let format = ["show", "paths", "raw", "format", "%i %p %T"];
        let shown = process::run("multipathd", &format)?;
        let line = shown.lines().find(|line| line.starts_with(&path.hctl));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        ensure!(
            words.get(1) == Some(&expected) && words.get(2) == Some(&"ready"),
            "{} should have {expected}: {shown}",
            path.hctl
        );
    }
    let done = Load::random_reads(&map.node(), 1000).run(LIMIT)?;
    ensure!(
        done.error == 0 && done.total_ios() > 100,
        "fio did {} I/Os",
        done.total_ios()
    );
    drop(daemon);
    Ok(Outcome::Passed)
}
