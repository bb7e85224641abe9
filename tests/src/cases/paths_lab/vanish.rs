//! Paths that come, go and change their names, and a user who may not ask.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{LIMIT, inventory, list, path_at};
use crate::cases::Outcome;
use crate::lab::loopback::{self, LabPath};
use crate::lab::multipath::MapOptions;
use crate::lab::tracer::{self, TOOL};
use crate::lab::{Lab, disk};
use crate::sys;
use crate::sys::process::{Background, Output};

/// How often the tool looks while a path comes and goes.
const LOOKS: usize = 25;
const NOBODY: u32 = 65534;

/// What a path is, whatever the kernel calls it.
fn identity(path: &Value) -> Value {
    let names = ["wwid", "address", "port_group", "relative_port", "serial"];
    names.iter().map(|name| path[name].clone()).collect()
}

fn unmapped_at<'a>(inventory: &'a Value, hctl: &str) -> Result<&'a Value> {
    let found = list(&inventory["unmapped"]).find(|path| path["address"] == hctl);
    found.with_context(|| format!("no disk {hctl} outside maps in {inventory}"))
}

/// dm keeps the old disk open, so the path comes back under another name.
pub(super) fn rename(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.map(&MapOptions::default())?;
    let old = lab.path("A1")?;
    for asked in [&[][..], &["--refresh"]] {
        let before = inventory(asked)?;
        let before = path_at(&before, &old.hctl).or_else(|_| unmapped_at(&before, &old.hctl))?;
        ensure!(
            identity(before)
                .as_array()
                .is_some_and(|it| !it.contains(&Value::Null)),
            "not identified: {before}"
        );
        let now = before["device"].clone();
        old.delete()?;
        let hidden = inventory(asked)?;
        ensure!(
            path_at(&hidden, &old.hctl).is_err() && unmapped_at(&hidden, &old.hctl).is_err(),
            "it is gone: {hidden}"
        );
        let new = loopback::scan(old.name)?;
        let after = inventory(asked)?;
        // The map still holds the old one.
        let after_path = unmapped_at(&after, &new.hctl)?;
        ensure!(
            identity(after_path) == identity(before),
            "{before} came back as {after_path}"
        );
        ensure!(
            after_path["device"] == json!(new.device) && (new.device != old.device),
            "it was {now}, is {}, shown {after_path}",
            new.device
        );
        let note = format!("path {} is no SCSI device that is there", old.devno);
        ensure!(
            list(&after["notes"]).any(|it| it.as_str().is_some_and(|it| it.contains(&note))),
            "no note {note:?}: {}",
            after["notes"]
        );
    }
    Ok(Outcome::Passed)
}

/// Deletes the path and brings it back until it is told to stop; leaves it there.
fn come_and_go(path: &LabPath, stop: &AtomicBool) -> Result<usize> {
    let mut rounds = 0;
    while !stop.load(Ordering::Relaxed) {
        path.delete()?;
        sys::sleep_ms(10);
        loopback::scan(path.name)?;
        sys::sleep_ms(20);
        rounds += 1;
    }
    Ok(rounds)
}

fn sound(output: &Output, arguments: &[&str]) -> Result<Value> {
    ensure!(
        output.code() == 0 && !output.stderr.contains("panicked"),
        "{arguments:?} ended with {}: {}",
        output.code(),
        output.stderr
    );
    serde_json::from_str(&output.stdout).context("no JSON")
}

/// Notes that name one of these.
fn naming(said: &Value, names: &[&str]) -> usize {
    let notes = list(&said["notes"]).filter_map(Value::as_str);
    notes
        .filter(|note| names.iter().any(|name| note.contains(name)))
        .count()
}

pub(super) fn vanishing(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.map(&MapOptions::default())?;
    let path = lab.path("B2")?;
    let arguments = ["paths", "--refresh", "--json"];
    let stop = AtomicBool::new(false);
    // Once for sure before the first look.
    path.delete()?;
    loopback::scan(path.name)?;
    let (looks, rounds) = std::thread::scope(|scope| {
        let churn = scope.spawn(|| come_and_go(&path, &stop));
        let looks: Result<Vec<Value>> = (0..LOOKS)
            .map(|_| sound(&tracer::say(&arguments, LIMIT)?, &arguments))
            .collect();
        stop.store(true, Ordering::Relaxed);
        let rounds = churn.join().unwrap_or_else(|_| Ok(0));
        (looks, rounds)
    });
    let (looks, rounds) = (looks?, rounds?);
    ensure!(rounds > 3, "the path came and went {rounds} times only");
    let gone = format!("path {} is no SCSI device", path.devno);
    for said in &looks {
        ensure!(naming(said, &[&gone]) == 1, "no note {gone:?}: {said}");
        let others = ["A1", "A2", "B1"].map(|name| lab.path(name));
        for other in others {
            let shown = path_at(said, &other?.hctl)?.clone();
            ensure!(shown["access"]["source"] == "array", "not asked: {shown}");
        }
    }
    let caught = looks.iter().filter(|said| naming(said, &[&path.hctl]) > 0);
    lab.figure("looks while a path came and went", looks.len() as f64, "");
    lab.figure("… of which it went in mid-look", caught.count() as f64, "");
    lab.figure("… and how often it went", rounds as f64, "");
    Ok(Outcome::Passed)
}

fn as_nobody(arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(TOOL);
    command.args(arguments).uid(NOBODY).gid(NOBODY);
    sound(&Background::start(&mut command)?.finish(LIMIT)?, arguments)
}

/// Without root: what sysfs has, and what is missing. With a right to the nodes alone it is for the
/// kernel to let REPORT TARGET PORT GROUPS pass, as 6.1 does, or not.
pub(super) fn without_rights(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    lab.map(&MapOptions::default())?;
    let said = as_nobody(&["paths", "--json"])?;
    ensure!(naming(&said, &["device-mapper"]) > 0, "{}", said["notes"]);
    seen_by_nobody(lab, &said, "sysfs")?;
    let said = as_nobody(&["paths", "--json", "--refresh"])?;
    seen_by_nobody(lab, &said, "sysfs")?;
    ensure!(
        naming(&said, &["and 1 more: not asked: "]) == 1
            && naming(&said, &["SG_IO needs root"]) == 1,
        "{}",
        said["notes"]
    );
    let nodes = disk::scsi_disks()
        .into_iter()
        .map(|name| format!("/dev/{name}"));
    for node in nodes {
        std::fs::set_permissions(node, std::fs::Permissions::from_mode(0o644))?;
    }
    let said = as_nobody(&["paths", "--json", "--refresh"])?;
    seen_by_nobody(lab, &said, "array").or_else(|error| {
        ensure!(
            naming(&said, &["not asked: REPORT TARGET PORT GROUPS"]) == 1,
            "neither asked nor said why: {error}: {}",
            said["notes"]
        );
        seen_by_nobody(lab, &said, "sysfs")
    })?;
    Ok(Outcome::Passed)
}

/// All that sysfs tells, and the access state from `source`.
fn seen_by_nobody(lab: &Lab, said: &Value, source: &str) -> Result<()> {
    ensure!(list(&said["maps"]).count() == 0, "maps need root: {said}");
    for path in lab.paths() {
        let shown = unmapped_at(said, &path.hctl)?;
        let expected = json!({
            "device": path.device,
            "devno": path.devno,
            "port_group": path.name.controller.group(),
            "relative_port": path.name.relative_port(),
            "vendor": "LIO-ORG",
            "tpgs": 3,
            "handler": "alua",
        });
        for (name, value) in expected.as_object().into_iter().flatten() {
            ensure!(shown[name] == *value, "{name} should be {value}: {shown}");
        }
        ensure!(shown["access"]["source"] == source, "{shown}");
    }
    Ok(())
}
