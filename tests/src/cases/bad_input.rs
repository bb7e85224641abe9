//! What cannot work is refused with status 2, a reason and a remedy, and leaves nothing behind.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::mount::UnmountFlags;

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::lab::bpf::Traces;
use crate::lab::multipath::MapOptions;
use crate::lab::schema::{FlagKind, ProbeStatus};
use crate::lab::tracer::{self, TOOL, TraceOptions};
use crate::lab::{Lab, disk, loopback};
use crate::sys;
use crate::sys::process::{Background, Output, command, run};

pub(super) const GROUP: Group = Group {
    name: "bad-input",
    limit_seconds: 400,
    kernels: Kernels::All,
    clock: Clock::Instructions,
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
            run: escape_sequences,
        },
        Case {
            name: "killed",
            run: killed,
        },
    ],
};

const LIMIT: Duration = Duration::from_secs(20);
const BTF: &str = "/sys/kernel/btf";
/// A trace that would end by itself if it were not refused.
const SHORT: [&str; 3] = ["run", "--duration", "1s"];

/// Status 2, every word in the message, no panic, nothing left in the kernel.
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
    // A reason and what to do about it take more than a few words.
    ensure!(said.trim().len() > 40, "no remedy: {said:?}");
    before.same_as_before()
}

fn no_scsi_device(_: &mut Lab) -> Result<Outcome> {
    if !sys::names("/sys/class/scsi_device").is_empty() {
        return Ok(Outcome::NotRun(
            "this guest has SCSI devices of its own".to_owned(),
        ));
    }
    let before = Traces::now();
    refused(&before, &tracer::say(&SHORT, LIMIT)?, &["SCSI"])?;
    Ok(Outcome::Passed)
}

fn not_root(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let mut tool = Command::new(TOOL);
    tool.args(SHORT).uid(65534).gid(65534);
    let output = Background::start(&mut tool)?.finish(LIMIT)?;
    refused(&before, &output, &["root"])?;
    Ok(Outcome::Passed)
}

/// An empty directory where the kernel's types should be.
fn no_btf(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let empty = "/tmp/no-btf";
    sys::make_dir(empty)?;
    rustix::mount::mount_bind(empty, BTF).context("failed to hide the kernel's BTF")?;
    let output = tracer::say(&SHORT, LIMIT);
    rustix::mount::unmount(BTF, UnmountFlags::DETACH).context("failed to show it again")?;
    refused(&before, &output?, &["BTF"])?;
    Ok(Outcome::Passed)
}

fn with_btf_of_scsi_mod(lab: &mut Lab, bytes: &[u8]) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let directory = "/tmp/btf";
    sys::make_dir(directory)?;
    for name in ["scsi_mod", "scsi_mod.btf"] {
        std::fs::write(format!("{directory}/{name}"), bytes)?;
    }
    let output = tracer::say(&["run", "--duration", "1s", "--btf", directory], LIMIT);
    std::fs::remove_dir_all(directory)?;
    refused(&before, &output?, &["scsi_mod", "BTF"])?;
    Ok(Outcome::Passed)
}

fn damaged_btf(lab: &mut Lab) -> Result<Outcome> {
    let mut bytes = module_btf("scsi_mod").unwrap_or_else(|| vec![0x9f, 0xeb, 1, 0]);
    bytes.truncate(bytes.len() / 2);
    with_btf_of_scsi_mod(lab, &bytes)
}

/// Another module's types under this module's name.
fn wrong_btf(lab: &mut Lab) -> Result<Outcome> {
    match module_btf("dm_mod").or_else(|| module_btf("sd_mod")) {
        Some(bytes) => with_btf_of_scsi_mod(lab, &bytes),
        None => Ok(Outcome::NotRun(
            "this kernel has no module BTF to mix up".to_owned(),
        )),
    }
}

fn module_btf(module: &str) -> Option<Vec<u8>> {
    std::fs::read(format!("{BTF}/{module}")).ok()
}

fn unknown_map(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    let before = Traces::now();
    let output = tracer::say(&["run", "--duration", "1s", "--map", "nosuchmap"], LIMIT)?;
    refused(&before, &output, &["nosuchmap", &map.name])?;
    Ok(Outcome::Passed)
}

fn no_such_command(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
    let output = tracer::say(&["run", "--", "/no/such/command", "now"], LIMIT)?;
    refused(&before, &output, &["/no/such/command"])?;
    Ok(Outcome::Passed)
}

fn nonsense_arguments(_: &mut Lab) -> Result<Outcome> {
    let before = Traces::now();
    for words in [
        &["run", "--duration", "soon"][..],
        &["run", "--interval", "1us"],
        &["run", "--ring-bytes", "5000"],
        &["run", "--commands"],
        &["walk"],
    ] {
        let output = tracer::say(words, LIMIT)?;
        refused(&before, &output, &[]).with_context(|| format!("{words:?}"))?;
    }
    Ok(Outcome::Passed)
}

/// The handler goes away under the tracer, which must say so and not pretend.
fn module_unloaded(lab: &mut Lab) -> Result<Outcome> {
    lab.lio()?;
    let before = Traces::now();
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
    ensure!(
        report
            .summary
            .probes
            .iter()
            .any(|probe| probe.status != ProbeStatus::Ok),
        "every probe is called ok"
    );
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

/// Bytes from an array or an administrator never reach the terminal as they are.
fn escape_sequences(lab: &mut Lab) -> Result<Outcome> {
    let before = Traces::now();
    lab.emulator()?.ask("vendor 1b5b33316d414200")?;
    for path in lab.paths() {
        path.delete()?;
        loopback::scan(path.name)?;
    }
    let path = disk::scsi_disks()
        .into_iter()
        .next()
        .context("no disk came back")?;
    let sectors = sys::read(format!("/sys/block/{path}/size"))?;
    let devno = sys::read(format!("/sys/block/{path}/dev"))?;
    let table = format!("0 {sectors} multipath 0 0 1 1 service-time 0 1 2 {devno} 1 1");
    let name = "mp\u{1b}[31ma";
    run(
        "dmsetup",
        &["create", "--manglename", "none", name, "--table", &table],
    )?;
    let mut tool = command(
        TOOL,
        &["run", "--interval", "200ms", "--json", "/tmp/escape.json"],
    );
    tool.args([
        "--",
        "fio",
        "--name=x",
        "--filename=/dev/dm-0",
        "--rw=randread",
        "--runtime=1",
    ]);
    tool.args(["--time_based", "--size=1m", "--output=/dev/null"]);
    let output = Background::start(&mut tool)?.finish(LIMIT);
    let removed = run("dmsetup", &["remove", "--manglename", "none", name]);
    let (output, _) = (output?, removed?);
    ensure!(
        output.code() == 0,
        "status {}: {}",
        output.code(),
        output.stderr
    );
    let json = std::fs::read_to_string("/tmp/escape.json")?;
    for (what, text) in [
        ("stdout", &output.stdout),
        ("stderr", &output.stderr),
        ("JSON", &json),
    ] {
        ensure!(
            !text.contains('\u{1b}'),
            "a raw escape byte in {what}: {text:?}"
        );
    }
    ensure!(
        output.stdout.contains("[31ma"),
        "the map is not shown: {}",
        output.stdout
    );
    before.same_as_before()?;
    Ok(Outcome::Passed)
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
