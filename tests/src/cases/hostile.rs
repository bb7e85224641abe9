//! Names with escape sequences: none reaches a terminal.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Outcome;
use crate::lab::bpf::Traces;
use crate::lab::tracer::{self, TOOL};
use crate::lab::{Lab, disk, loopback};
use crate::sys;
use crate::sys::process::{Background, Output, command, run};

const LIMIT: Duration = Duration::from_secs(60);
/// A name that would turn a terminal red.
const HOSTILE: &str = "mp\u{1b}[31ma";

/// Does `work` while there is a map of the name [`HOSTILE`], `/dev/dm-0`.
pub(super) fn with_hostile_map<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let path = disk::scsi_disks().into_iter().next().context("no disk")?;
    let sectors = sys::read(format!("/sys/block/{path}/size"))?;
    let devno = sys::read(format!("/sys/block/{path}/dev"))?;
    let table = format!("0 {sectors} multipath 0 0 1 1 service-time 0 1 2 {devno} 1 1");
    let dmsetup = |words: &[&str]| run("dmsetup", words);
    dmsetup(&["create", "--manglename", "none", HOSTILE, "--table", &table])?;
    let result = work();
    let removed = dmsetup(&["remove", "--manglename", "none", HOSTILE]);
    let result = result?;
    removed?;
    Ok(result)
}

/// Bytes from an array or an administrator never reach the terminal as they are.
pub(super) fn escape_sequences(lab: &mut Lab) -> Result<Outcome> {
    let before = Traces::now();
    lab.emulator()?.ask("vendor 1b5b33316d414200")?;
    for path in lab.paths() {
        path.delete()?;
        loopback::scan(path.name)?;
    }
    with_hostile_map(|| {
        traced_harmlessly()?;
        shown_harmlessly()
    })?;
    before.same_as_before()?;
    Ok(Outcome::Passed)
}

fn traced_harmlessly() -> Result<()> {
    let mut tool = command(
        TOOL,
        &["run", "--interval", "200ms", "--json", "/tmp/escape.json"],
    );
    tool.args(tracer::btf());
    tool.args([
        "--",
        "fio",
        "--name=x",
        "--filename=/dev/dm-0",
        "--rw=randread",
        "--runtime=1",
    ]);
    tool.args(["--time_based", "--size=1m", "--output=/dev/null"]);
    let output = harmless(&mut tool)?;
    let json = std::fs::read_to_string("/tmp/escape.json")?;
    no_escape_byte("the trace's JSON", &json)?;
    ensure!(
        output.stdout.contains("mp\\x1b[31ma"),
        "the map is not shown: {}",
        output.stdout
    );
    Ok(())
}

/// The kernel replaces such bytes in the INQUIRY data it keeps: only who asks the array gets them.
fn shown_harmlessly() -> Result<()> {
    let text = harmless(&mut command(TOOL, &["paths", "--refresh"]))?.stdout;
    let json = harmless(&mut command(TOOL, &["paths", "--refresh", "--json"]))?.stdout;
    let said: serde_json::Value = serde_json::from_str(&json).context("no JSON")?;
    let map = &said["maps"][0];
    ensure!(
        map["vendor"] == "\u{1b}[31mAB" && map["name"] == HOSTILE,
        "the bytes did not come through: {json}"
    );
    ensure!(
        text.contains("\\x1b[31mAB") && text.contains("mp\\x1b[31ma"),
        "vendor or map are not shown: {text}"
    );
    Ok(())
}

/// What it says, when it ends well and none of it is a raw escape byte.
fn harmless(tool: &mut Command) -> Result<Output> {
    let output = Background::start(tool)?.finish(LIMIT)?;
    ensure!(
        output.code() == 0,
        "{tool:?} gave status {}: {}",
        output.code(),
        output.stderr
    );
    no_escape_byte("stdout", &output.stdout)?;
    no_escape_byte("stderr", &output.stderr)?;
    Ok(output)
}

fn no_escape_byte(what: &str, text: &str) -> Result<()> {
    ensure!(
        !text.contains('\u{1b}'),
        "a raw escape byte in {what}: {text:?}"
    );
    Ok(())
}
