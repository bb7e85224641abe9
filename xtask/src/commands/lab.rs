//! `cargo xtask lab`: a shell in a guest.

use alua_trace_tests::protocol::Task;
use anyhow::Result;

use crate::cli::LabArgs;
use crate::lab::{Job, Lab};
use crate::paths::Paths;
use crate::programs::{Build, Programs};
use crate::say;
use crate::terminal;
use crate::userland::Set;

/// Runs it; false when the guest failed.
pub(crate) fn lab(paths: &Paths, args: &LabArgs) -> Result<bool> {
    let lab = Lab::prepare(paths, Set::Common, &args.kernel, args.fetching.refresh)?;
    let programs = Programs::build(paths, Build::Quick)?;
    let task = Task::Shell(terminal::describe());
    say::step(&format!(
        "starting a guest with Linux {} (about 10 s); `exit` ends it",
        lab.kernel.release
    ));
    let job = Job {
        name: "shell",
        task: &task,
        limit: None,
        counted: false,
        interactive: true,
    };
    let report = lab.run(&programs, &job)?;
    Ok(report.finish_interactive())
}
