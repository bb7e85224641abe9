//! `cargo xtask lab`: a shell in a guest, or the experiment.

use std::fs;

use alua_trace_tests::protocol::Task;
use anyhow::{Context, Result};

use crate::cli::{LabArgs, LabWhat};
use crate::lab::{Job, Lab};
use crate::paths::Paths;
use crate::programs::{Build, Programs};
use crate::say;
use crate::terminal;
use crate::userland::Set;

/// Runs it; false when the guest failed.
pub(crate) fn lab(paths: &Paths, args: &LabArgs) -> Result<bool> {
    let terminal = terminal::describe();
    let task = match args.what {
        None => Task::Shell(terminal),
        Some(LabWhat::Iscsi) => Task::IscsiShell(terminal),
        Some(LabWhat::Experiment) => Task::Experiment {
            terminal,
            plan: plan(paths, args)?,
        },
    };
    let lab = Lab::prepare(
        paths,
        args.arch,
        Set::Common,
        &args.kernel,
        args.fetching.refresh,
    )?;
    let programs = Programs::build(paths, args.arch, Build::Quick)?;
    let is_experiment = args.what == Some(LabWhat::Experiment);
    say::step(&format!(
        "starting {} with Linux {} (about {} s){}",
        if args.what.is_none() {
            "a guest"
        } else {
            "two guests"
        },
        lab.kernel.release,
        if args.what.is_none() { 10 } else { 30 },
        if is_experiment {
            ""
        } else {
            "; `exit` ends it"
        },
    ));
    let job = Job {
        name: if is_experiment { "experiment" } else { "shell" },
        task: &task,
        limit: None,
        counted: false,
        interactive: true,
        array: args.what.is_some(),
    };
    let report = lab.run(&programs, &job)?;
    Ok(report.finish_interactive())
}

/// The plan, with as many blocks as are wanted.
fn plan(paths: &Paths, args: &LabArgs) -> Result<String> {
    let shipped = paths.root.join("docs/alua-mtu.toml");
    let file = args.plan.as_ref().unwrap_or(&shipped);
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let Some(blocks) = args.blocks else {
        return Ok(text);
    };
    let line = text.lines().find(|line| line.starts_with("blocks"));
    let line =
        line.with_context(|| format!("{} has no line that begins with blocks", file.display()))?;
    Ok(text.replacen(line, &format!("blocks = {blocks}"), 1))
}
