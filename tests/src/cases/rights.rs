//! With the capabilities that the README names a trace is complete, whoever the user is; without any
//! one of them `doctor` names it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::Lab;
use crate::lab::disk;
use crate::lab::load::{Load, UNTIL_STOPPED_MS};
use crate::lab::multipath::MapOptions;
use crate::lab::recording::{self, RECORDING};
use crate::lab::tracer::{self, TOOL};
use crate::sys;
use crate::sys::process::{Background, Output};

pub(super) const GROUP: Group = Group {
    name: "rights",
    limit_seconds: 300,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "exactly-those",
            run: exactly_those,
        },
        Case {
            name: "without-one",
            run: without_one,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(90);
const NOBODY: u32 = 65534;
/// What the README names.
const NEEDED: [(&str, CapabilitySet); 3] = [
    ("CAP_SYS_ADMIN", CapabilitySet::SYS_ADMIN),
    ("CAP_SYSLOG", CapabilitySet::SYSLOG),
    ("CAP_DAC_READ_SEARCH", CapabilitySet::DAC_READ_SEARCH),
];
/// What it names for kernels before 5.11.
const NEEDED_BEFORE: (&str, CapabilitySet) = ("CAP_SYS_RESOURCE", CapabilitySet::SYS_RESOURCE);

/// What this kernel needs.
fn needed() -> Vec<(&'static str, CapabilitySet)> {
    let is_old = sys::kernel_release().starts_with("5.10.");
    NEEDED
        .into_iter()
        .chain(is_old.then_some(NEEDED_BEFORE))
        .collect()
}
/// Debian's, and stricter than any other's.
const PARANOID: &str = "/proc/sys/kernel/perf_event_paranoid";
const HIDDEN: &str = "/proc/sys/kernel/kptr_restrict";

/// Runs the tool as nobody with these capabilities.
fn as_nobody(words: &[&str], rights: CapabilitySet) -> Result<Output> {
    let mut tool = Command::new(TOOL);
    tool.args(words).current_dir("/tmp");
    // SAFETY: only system calls run between fork and exec.
    unsafe {
        tool.pre_exec(move || {
            // What was permitted stays permitted when root is left.
            libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0);
            if libc::setgroups(0, std::ptr::null()) != 0
                || libc::setgid(NOBODY) != 0
                || libc::setuid(NOBODY) != 0
            {
                return Err(std::io::Error::last_os_error());
            }
            let sets = CapabilitySets {
                effective: rights,
                permitted: rights,
                inheritable: rights,
            };
            set_capabilities(None, sets)?;
            for bit in (0..64).filter(|bit| rights.bits() & 1 << bit != 0) {
                let ambient = libc::PR_CAP_AMBIENT_RAISE as libc::c_ulong;
                libc::prctl(libc::PR_CAP_AMBIENT, ambient, bit as libc::c_ulong, 0, 0);
            }
            Ok(())
        });
    }
    Background::start(&mut tool)?.finish(LIMIT)
}

fn all() -> CapabilitySet {
    let each = needed().into_iter().map(|(_, one)| one);
    each.fold(CapabilitySet::empty(), |all, one| all | one)
}

/// The settings that hide the most, as Debian has them; they come back when it is dropped.
struct Strict(Vec<(&'static str, String)>);

impl Strict {
    fn now() -> Result<Strict> {
        let mut before = Vec::new();
        for (setting, value) in [(PARANOID, "3"), (HIDDEN, "1")] {
            before.push((setting, sys::read(setting)?));
            sys::write(setting, value)?;
        }
        Ok(Strict(before))
    }
}

impl Drop for Strict {
    fn drop(&mut self) {
        for (setting, value) in &self.0 {
            if let Err(error) = sys::write(setting, value) {
                eprintln!("{setting} stays changed: {error:#}");
            }
        }
    }
}

fn exactly_those(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let load = Load::random_reads(&map.node(), UNTIL_STOPPED_MS).start()?;
    disk::wait_for_io(&map.dm, 50)?;
    let strict = Strict::now()?;
    let json = "/tmp/nobody.jsonl";
    recording::forget();
    let mut words = vec![
        "run",
        "--duration",
        "2s",
        "--record",
        RECORDING,
        "--json",
        json,
    ];
    words.extend(tracer::btf());
    let output = as_nobody(&words, all());
    load.stop()?;
    let output = output?;
    let raw = std::fs::read_to_string(json)
        .with_context(|| format!("no trace was written: {}", output.stderr))?;
    let report = recording::parsed(raw, output, false);
    let report = lab.keep(report)?;
    ensure!(report.status == 0, "{}: {}", report.status, report.stderr);
    report.check_complete()?;
    ensure!(!report.stderr.contains("is missing"), "{}", report.stderr);
    let with_map = |it: &&crate::lab::schema::PathSummary| it.path.map.is_some();
    let traced = report.summary.paths.iter().filter(with_map);
    let commands: u64 = traced.map(|it| it.counts.recorded).sum();
    ensure!(commands > 50, "{commands} commands of the map's paths");
    let mut words = vec!["doctor"];
    words.extend(tracer::btf());
    let doctor = as_nobody(&words, all())?;
    ensure!(doctor.code() == 0, "{}{}", doctor.stdout, doctor.stderr);
    drop(strict);
    Ok(Outcome::Passed)
}

fn without_one(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let _map = lab.map(&MapOptions::default())?;
    let _strict = Strict::now()?;
    let mut words = vec!["doctor"];
    words.extend(tracer::btf());
    for (name, one) in needed() {
        let doctor = as_nobody(&words, all() - one)?;
        let said = format!("{}{}", doctor.stdout, doctor.stderr);
        ensure!(doctor.code() != 0, "without {name}: {said}");
        ensure!(
            said.contains(&format!("{name} is missing")),
            "without {name}: {said}"
        );
        for (other, _) in needed().iter().filter(|(other, _)| *other != name) {
            ensure!(
                !said.contains(&format!("{other} is missing")),
                "without {name}, {other} is missed: {said}"
            );
        }
    }
    Ok(Outcome::Passed)
}
