//! What cannot work is refused with status 2, a reason and a remedy, and leaves nothing behind.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;

use super::hostile;
use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::Lab;
use crate::lab::bpf::Traces;
use crate::lab::multipath::MapOptions;
use crate::lab::report::Report;
use crate::lab::schema::{FlagKind, Probe, ProbeStatus};
use crate::lab::tracer::{self, TOOL, TraceOptions};
use crate::protocol::BTF_DIR;
use crate::sys;
use crate::sys::process::{Background, Output, run};

pub(super) const GROUP: Group = Group {
    name: "bad-input",
    limit_seconds: 600,
    kernels: Kernels::All,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "no-scsi-device",
            run: no_scsi_device,
        },
        Case {
            name: "not-root",
            run: not_root,
        },
        Case {
            name: "no-btf",
            run: no_btf,
        },
        Case {
            name: "damaged-btf",
            run: damaged_btf,
        },
        Case {
            name: "wrong-btf",
            run: wrong_btf,
        },
        Case {
            name: "right-btf-alone",
            run: |lab| alone(lab, None, &[]),
        },
        Case {
            name: "damaged-btf-alone",
            run: damaged_btf_alone,
        },
        Case {
            name: "wrong-btf-alone",
            run: wrong_btf_alone,
        },
        Case {
            name: "foreign-btf-alone",
            run: foreign_btf_alone,
        },
        Case {
            name: "unknown-map",
            run: unknown_map,
        },
        Case {
            name: "no-such-command",
            run: no_such_command,
        },
        Case {
            name: "nonsense-arguments",
            run: nonsense_arguments,
        },
        Case {
            name: "module-unloaded",
            run: module_unloaded,
        },
        Case {
            name: "escape-sequences",
            run: hostile::escape_sequences,
        },
        Case {
            name: "killed",
            run: killed,
        },
    ],
};

/// Some cases attach, which alone takes the verifier of Linux 5.10 ten seconds.
const LIMIT: Duration = Duration::from_secs(60);
const BTF: &str = "/sys/kernel/btf";
/// Where the `--btf` of these cases points.
const GIVEN: &str = "/tmp/btf";
/// Types of Linux 5.10, complete.
const FOREIGN: &[u8] = include_bytes!("../../fixtures/btf/5.10.0-46-amd64/scsi_mod.btf");
/// A trace that would end by itself if it were not refused.
const SHORT: [&str; 3] = ["run", "--duration", "1s"];

/// Status 2, every word of the reason and of the remedy in the message, no panic, nothing left in
/// the kernel.
fn refused(before: &Traces, output: &Output, words: &[&str]) -> Result<()> {
    let said = &output.stderr;
    ensure!(
        output.code() == 2,
        "status {} instead of 2: {said}{}",
        output.code(),
        output.stdout
    );
    ensure!(!said.contains("panicked"), "it panicked: {said}");
    for word in words {
        ensure!(
            said.to_lowercase().contains(&word.to_lowercase()),
            "the message does not say {word:?}: {said}"
        );
    }
    before.same_as_before()
}

fn no_scsi_device(_: &mut Lab) -> Result<Outcome> {
    if !sys::names("/sys/class/scsi_device").is_empty() {
        return Ok(Outcome::NotRun(
            "this guest has SCSI devices of its own".to_owned(),
        ));
    }
    let before = Traces::now();
    refused(
        &before,
        &tracer::say(&SHORT, LIMIT)?,
        &["no SCSI disk", "attach one"],
    )?;
    Ok(Outcome::Passed)
}

fn not_root(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let mut tool = Command::new(TOOL);
    tool.args(SHORT).uid(65534).gid(65534);
    let output = Background::start(&mut tool)?.finish(LIMIT)?;
    refused(
        &before,
        &output,
        &["not permitted", "run it as root", "CAP_SYS_ADMIN"],
    )?;
    Ok(Outcome::Passed)
}

/// A directory of the case's where the kernel's types should be; they come back when it is dropped.
struct Hidden;

impl Hidden {
    fn behind(directory: &str) -> Result<Hidden> {
        rustix::mount::mount_bind(directory, BTF).context("failed to hide the kernel's BTF")?;
        Ok(Hidden)
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Err(error) = rustix::mount::unmount(BTF, UnmountFlags::DETACH) {
            eprintln!("failed to show the kernel's BTF again: {error}");
        }
    }
}

fn no_btf(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let empty = "/tmp/no-btf";
    sys::make_dir(empty)?;
    let hidden = Hidden::behind(empty)?;
    let output = tracer::say(&SHORT, LIMIT);
    drop(hidden);
    let words = ["no BTF", "CONFIG_DEBUG_INFO_BTF=y", "--btf DIR"];
    refused(&before, &output?, &words)?;
    Ok(Outcome::Passed)
}

/// What the tool says when it is given these types of scsi_mod, and those of other modules.
fn with_btf(scsi_mod: &[u8], others: &[(&str, Vec<u8>)]) -> Result<Output> {
    sys::make_dir(GIVEN)?;
    std::fs::write(format!("{GIVEN}/scsi_mod.btf"), scsi_mod)?;
    for (module, bytes) in others {
        std::fs::write(format!("{GIVEN}/{module}.btf"), bytes)?;
    }
    let output = tracer::say(&["run", "--duration", "1s", "--btf", GIVEN], LIMIT);
    std::fs::remove_dir_all(GIVEN)?;
    output
}

/// A file that differs from the running kernel's own is refused before anyone reads it.
fn differs(lab: &mut Lab, bytes: Option<Vec<u8>>) -> Result<Outcome> {
    let (Some(bytes), true) = (bytes, Path::new(BTF).join("scsi_mod").exists()) else {
        return Ok(Outcome::NotRun(
            "this kernel has no module BTF to compare with".to_owned(),
        ));
    };
    lab.lio()?;
    let before = Traces::now();
    let words = [
        "/tmp/btf/scsi_mod.btf does not belong to the running kernel",
        "it differs from /sys/kernel/btf/scsi_mod",
        "leave out --btf",
    ];
    refused(&before, &with_btf(&bytes, &[])?, &words)?;
    Ok(Outcome::Passed)
}

fn damaged_btf(lab: &mut Lab) -> Result<Outcome> {
    differs(lab, module_btf("scsi_mod").map(half))
}

/// Another module's types under this module's name.
fn wrong_btf(lab: &mut Lab) -> Result<Outcome> {
    differs(lab, module_btf("dm_mod"))
}

/// As on a kernel that only has its own types and none of its modules: with nothing to compare it
/// with, a file is read, and what is wrong with it must be found in it. `None` is the right one.
fn alone(lab: &mut Lab, scsi_mod: Option<&[u8]>, words: &[&str]) -> Result<Outcome> {
    const OTHERS: [&str; 4] = ["dm_mod", "dm_multipath", "scsi_dh_alua", "scsi_dh_rdac"];
    lab.lio()?;
    let before = Traces::now();
    let own = "/tmp/own-btf";
    sys::make_dir(own)?;
    std::fs::copy(format!("{BTF}/vmlinux"), format!("{own}/vmlinux"))?;
    let good = module_btf("scsi_mod").context("no types of scsi_mod")?;
    let others = OTHERS
        .into_iter()
        .filter_map(|module| Some((module, module_btf(module)?)));
    let others: Vec<(&str, Vec<u8>)> = others.collect();
    let hidden = Hidden::behind(own)?;
    let output = with_btf(scsi_mod.unwrap_or(&good), &others);
    drop(hidden);
    std::fs::remove_dir_all(own)?;
    let output = output?;
    if scsi_mod.is_some() {
        refused(&before, &output, words)?;
    } else {
        ensure!(
            output.code() == 0,
            "the right types give status {}: {}",
            output.code(),
            output.stderr
        );
    }
    Ok(Outcome::Passed)
}

fn damaged_btf_alone(lab: &mut Lab) -> Result<Outcome> {
    let bytes = module_btf("scsi_mod").context("no types of scsi_mod")?;
    let words = [
        "/tmp/btf/scsi_mod.btf: damaged or unknown BTF",
        "a section reaches past the end",
        "give the BTF of the running kernel",
    ];
    alone(lab, Some(&half(bytes)), &words)
}

fn wrong_btf_alone(lab: &mut Lab) -> Result<Outcome> {
    let bytes = module_btf("dm_mod").context("no types of dm_mod")?;
    alone(lab, Some(&bytes), &["no struct scsi_cmnd", "--btf DIR"])
}

/// Another kernel's types, whole and well-formed.
fn foreign_btf_alone(lab: &mut Lab) -> Result<Outcome> {
    if module_btf("scsi_mod").is_some_and(|own| own == FOREIGN) {
        return Ok(Outcome::NotRun("they are this kernel's own".to_owned()));
    }
    let words = [
        "/tmp/btf/scsi_mod.btf does not belong to the running kernel",
        "its struct ",
        "leave out --btf",
    ];
    alone(lab, Some(FOREIGN), &words)
}

fn half(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.truncate(bytes.len() / 2);
    bytes
}

/// A module's types: the kernel's own, or those the guest was given.
fn module_btf(module: &str) -> Option<Vec<u8>> {
    std::fs::read(format!("{BTF}/{module}"))
        .or_else(|_| std::fs::read(format!("{BTF_DIR}/{module}.btf")))
        .ok()
}

fn unknown_map(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let before = Traces::now();
    let output = tracer::say(&["run", "--duration", "1s", "--map", "nosuchmap"], LIMIT)?;
    let known = format!("this host has {}", map.name);
    refused(
        &before,
        &output,
        &["no multipath map \"nosuchmap\"", &known],
    )?;
    Ok(Outcome::Passed)
}

fn no_such_command(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let output = tracer::say(&["run", "--", "/no/such/command", "now"], LIMIT)?;
    let words = ["not found: /no/such/command", "give a program in PATH"];
    refused(&before, &output, &words)?;
    Ok(Outcome::Passed)
}

fn nonsense_arguments(_: &mut Lab) -> Result<Outcome> {
    let before = Traces::now();
    let duration = ["--duration", "use ms, s, m or h"];
    let interval = ["--interval", "use ms, s, m or h"];
    let ring = ["--ring-bytes", "a power of two, from 4K to 2048M"];
    for (arguments, words) in [
        (&["run", "--duration", "soon"][..], &duration[..]),
        (&["run", "--interval", "1us"], &interval),
        (&["run", "--ring-bytes", "5000"], &ring),
        (&["run", "--commands"], &["--json <FILE|->"]),
        (&["walk"], &["'walk'", "Usage", "--help"]),
    ] {
        let output = tracer::say(arguments, LIMIT)?;
        refused(&before, &output, words).with_context(|| format!("{arguments:?}"))?;
    }
    Ok(Outcome::Passed)
}

/// The handler goes away under the tracer, which must say so and not pretend.
fn module_unloaded(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    lab.may_lose = true;
    let trace = lab.trace(&TraceOptions::default())?;
    // The kernel lets no handler go before its devices do (`sdev_store_dh_state`).
    for path in lab.paths() {
        sys::write(path.sysfs("delete"), "1")?;
    }
    let unloaded = run("rmmod", &["scsi_dh_alua"]);
    sys::sleep_ms(1500);
    let report = lab.stop(trace);
    run("modprobe", &["scsi_dh_alua"])?;
    let report = report?;
    unloaded.context("the module could not be unloaded under the tracer")?;
    ensure!(
        report.status == 2,
        "status {} instead of 2: {}",
        report.status,
        report.stderr
    );
    ensure!(
        !report.summary.complete,
        "the summary calls the trace complete"
    );
    let because = report.summary.incomplete_because.join(" ");
    ensure!(
        because.contains("scsi_dh_alua"),
        "the reason names no module: {because}"
    );
    ensure!(
        report
            .summary
            .flags
            .iter()
            .any(|flag| flag.kind == FlagKind::ModuleUnloaded),
        "no flag: {:?}",
        report.summary.flags
    );
    gone_with_the_module(&report)?;
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

/// The handler's probes, which were attached, no longer are.
fn gone_with_the_module(report: &Report) -> Result<()> {
    let is_ok = |probe: &&Probe| probe.status == ProbeStatus::Ok;
    let of_handler = |probe: &&Probe| probe.name.starts_with("alua_");
    let attached = report.start.probes.iter().filter(is_ok).filter(of_handler);
    ensure!(
        attached.clone().any(|probe| probe.name == "alua_rtpg_work"),
        "the handler was not watched: {:?}",
        report.start.probes
    );
    for probe in attached {
        let now = report
            .summary
            .probes
            .iter()
            .find(|it| it.name == probe.name);
        ensure!(
            now.is_some_and(|now| now.status == ProbeStatus::NotApplicable
                && now.reason.contains("scsi_dh_alua is not loaded")),
            "{} became {now:?}",
            probe.name
        );
    }
    Ok(())
}

/// SIGKILL leaves no time to clean up; the kernel must do it.
fn killed(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let mut trace = lab.trace(&TraceOptions::default())?;
    ensure!(
        Traces::now().programs() > before.programs(),
        "a trace without a program"
    );
    ensure!(
        Path::new(&format!("/proc/{}", trace.id())).exists(),
        "no process"
    );
    trace.kill()?;
    before.same_as_before()?;
    Ok(Outcome::Passed)
}
