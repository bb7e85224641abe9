//! Devices and maps that come, go and change their names in mid-run are followed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::judge::{mapped_once, same};
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::Controller;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::loopback::LabPath;
use crate::lab::multipath::{MapOptions, Selector};
use crate::lab::report::commands_of;
use crate::lab::schema::{Class, Command, Line, PathChange};
use crate::lab::tracer::TraceOptions;
use crate::lab::{Lab, disk, loopback};
use crate::sys;
use crate::sys::process::run;

pub(super) const GROUP: Group = Group {
    name: "follows-changes",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "path-deleted-and-back",
            run: path_deleted_and_back,
        },
        Case {
            name: "map-created",
            run: map_created,
        },
        Case {
            name: "groups-exchanged",
            run: groups_exchanged,
        },
        Case {
            name: "another-unit-there",
            run: another_unit_there,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(30);

/// dm keeps the old disk open, so the path comes back under another name.
fn path_deleted_and_back(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let old = lab.path("A1")?;
    let trace = lab.trace(&TraceOptions::default())?;
    let load = Load::paced_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&old.device, 50)?;
    old.delete()?;
    sys::sleep_ms(1500);
    let new = loopback::scan(old.name)?;
    ensure!(new.hctl == old.hctl, "{old:?} came back as {new:?}");
    ensure!(new.device != old.device, "the name did not change: {new:?}");
    let direct = Load::paced_reads(&new.node(), 1000).run(LIMIT)?;
    sys::sleep_ms(1200);
    load.stop()?;
    let report = lab.stop(trace)?;
    let changes: Vec<PathChange> = report
        .path_events()
        .filter(|event| event.path.hctl == old.hctl)
        .map(|event| event.change)
        .collect();
    let vanished = changes
        .iter()
        .position(|change| *change == PathChange::Vanished);
    let vanished = vanished.with_context(|| format!("it never vanished: {changes:?}"))?;
    ensure!(
        changes[vanished..]
            .iter()
            .any(|it| matches!(it, PathChange::Appeared | PathChange::Relabelled)),
        "it never came back: {changes:?}"
    );
    let at_address = report.summary.paths.iter();
    let rows = at_address.filter(|path| path.path.hctl == new.hctl).count();
    ensure!(rows == 1, "one path, {rows} rows in the summary");
    let summary = report.path(&new.hctl)?;
    ensure!(
        summary.present,
        "the path is there, the summary says it is not"
    );
    ensure!(
        summary.path.device.as_deref() == Some(new.device.as_str()),
        "it is {}, the summary says {:?}",
        new.device,
        summary.path.device
    );
    let completed = summary.counts.completed;
    ensure!(
        completed >= direct.total_ios(),
        "fio did {} I/Os on {} alone, the tool counted {completed}",
        direct.total_ios(),
        new.device
    );
    Ok(Outcome::Passed)
}

fn map_created(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let trace = lab.trace(&TraceOptions::default())?;
    sys::sleep_ms(1000);
    let map = lab.map(&MapOptions::default())?;
    let before = disk::stats(&map.dm)?;
    let done = Load::paced_reads(&map.node(), 2000).run(LIMIT)?;
    let after = disk::stats(&map.dm)?;
    sys::sleep_ms(1200);
    let report = lab.stop(trace)?;
    ensure!(done.total_ios() > 100, "fio did {} I/Os", done.total_ios());
    for path in lab.paths() {
        let summary = report.path(&path.hctl)?;
        ensure!(
            summary.path.map.as_deref() == Some(map.name.as_str()),
            "{} belongs to {}, the summary says {:?}",
            path.hctl,
            map.name,
            summary.path
        );
        let group = u32::from(path.name.controller.group());
        ensure!(summary.path.path_group == Some(group), "{:?}", summary.path);
    }
    same(
        "through the new map",
        (
            "dm",
            after.reads + after.writes - before.reads - before.writes,
        ),
        ("tool", mapped_once(&report)),
    )?;
    Ok(Outcome::Passed)
}

/// Tables change under load, and with each the number of the group that carries the I/O over the same paths all the time:
/// a command came through the group that its path had in the table of its time.
fn groups_exchanged(lab: &mut Lab) -> Result<Outcome> {
    const TABLES: usize = 8;
    const AT_ONCE_NS: u64 = 50_000_000;
    let selector = Selector::ServiceTime;
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let table = run("dmsetup", &["table", &map.name])?;
    let (head, _) = table
        .split_once(" 2 1 service-time")
        .with_context(|| format!("another table: {table}"))?;
    // A handler would be asked to activate the group first, and its states read anew, and with them all else.
    let head = head.replace(" 1 alua", " 0");
    let of = |controller| -> Vec<LabPath> {
        let all = lab.paths().into_iter();
        all.filter(|it| it.name.controller == controller).collect()
    };
    let groups = [Controller::A, Controller::B].map(|it| selector.group(&of(it)));
    let trace = lab.trace(&TraceOptions {
        commands: true,
        ..TraceOptions::default()
    })?;
    let load = Load::paced_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    // From when to when each table was in use, all of that time.
    let mut used = Vec::new();
    let mut since_ns = sys::monotonic_ns();
    for nth in 1..=TABLES {
        // By then the probes may rely on it.
        sys::sleep_ms(700);
        // Two groups, of which that of A is the first to be tried.
        let first = 1 + nth % 2;
        let (one, other) = (&groups[nth % 2], &groups[(nth + 1) % 2]);
        let exchanged = format!("{head} 2 {first} {one} {other}\n");
        std::fs::write("/tmp/exchanged", exchanged)?;
        run("dmsetup", &["load", &map.name, "/tmp/exchanged"])?;
        used.push((since_ns, sys::monotonic_ns()));
        run("dmsetup", &["suspend", &map.name])?;
        run("dmsetup", &["resume", &map.name])?;
        since_ns = sys::monotonic_ns();
    }
    load.stop()?;
    let report = lab.stop(trace)?;
    for (nth, (from_ns, to_ns)) in used.into_iter().enumerate() {
        let expected = 1 + nth as u32 % 2;
        let (mut seen, mut at_once) = (0, 0);
        let then = |it: &&Command| it.dispatched_at_ns >= from_ns && it.dispatched_at_ns < to_ns;
        let through_map = report.commands().filter(|it| it.dm_devno.is_some());
        for command in through_map.filter(then) {
            let paths = lab.paths();
            let path = paths.iter().find(|it| it.hctl == command.hctl);
            let controller = path.context("no such path")?.name.controller;
            ensure!(
                controller == Controller::A && command.path_group == Some(expected),
                "table {nth} was in use from {from_ns} to {to_ns}: {command:?}"
            );
            seen += 1;
            at_once += u32::from(command.dispatched_at_ns < from_ns + AT_ONCE_NS);
        }
        ensure!(
            seen >= 20 && (nth == 0 || at_once > 0),
            "{seen} commands with table {nth}, {at_once} before there could have been a look at it"
        );
    }
    Ok(Outcome::Passed)
}

/// The array maps another unit to the address and the host looks again: the `scsi_device` stays, its
/// commands are another path's.
fn another_unit_there(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let path = lab.path("A1")?;
    let wwid = || sys::read(path.sysfs("wwid"));
    // One at a time: the scheduler would merge neighbours, and each is counted.
    let reads = |count| Load {
        until: Until::Count(count),
        depth: 1,
        ..Load::random_reads(&path.node(), 0)
    };
    let before = wwid()?;
    let trace = lab.trace(&TraceOptions::default())?;
    reads(100).run(LIMIT)?;
    lab.array()?.ask("serial 4711")?;
    path.rescan()?;
    sys::wait_for(LIMIT, "another WWID", || Ok(wwid()? != before))?;
    sys::wait_for(LIMIT, "the tracer to see another unit", || {
        let lines = trace.lines_so_far()?;
        Ok(lines.iter().any(|line| {
            matches!(line, Line::Path(event) if event.path.wwid.as_ref() != Some(&before)
                && event.path.hctl == path.hctl && event.change == PathChange::Appeared)
        }))
    })?;
    reads(150).run(LIMIT)?;
    let after = wwid()?;
    let report = lab.stop(trace)?;
    let at_address = report.summary.paths.iter();
    let rows: Vec<(Option<&str>, bool, u64)> = at_address
        .filter(|row| row.path.hctl == path.hctl)
        .map(|row| {
            let reads = commands_of(row, Class::Read);
            (row.path.wwid.as_deref(), row.present, reads)
        })
        .collect();
    let expected = [(&before, false, 100), (&after, true, 150)];
    let expected = expected.map(|(wwid, present, reads)| (Some(wwid.as_str()), present, reads));
    ensure!(
        rows == expected,
        "expected {expected:?}, the summary has {rows:?}"
    );
    Ok(Outcome::Passed)
}
