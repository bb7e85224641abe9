//! A process beside the experiment that sets everything as it was once the experiment's own is no more, however that
//! ended: it waits for the end of a pipe. It is the only place where factors are restored.

use std::{collections::BTreeMap, io::Write, path::Path, process::Stdio};

use anyhow::{Context, Result};
use rustix::process::Pid;
use tokio::process::{Child, Command};

use super::{
    Signals,
    journal::{Journal, Step},
    plan::Plan,
    shell::{self, Watch},
};
use crate::{cli::ExperimentConfig, safe};

/// Something is not as it was.
const NOT_RESTORED: u8 = 2;

/// Starts the guard of a session; gives what tells it of what runs. It has the directory until it has restored
/// everything: the lock is its standard output, which it prints nothing to.
///
/// # Errors
/// It cannot be started.
pub(super) fn start(config: &ExperimentConfig, journal: &Journal) -> Result<(Child, Watch)> {
    let mut command = Command::new(&config.tracer);
    command.arg("experiment-guard").arg(journal.dir());
    command.stdin(Stdio::piped());
    command.stdout(journal.lock().try_clone()?);
    // Ctrl-C is for the experiment.
    command.process_group(0);
    let mut child = command
        .spawn()
        .context("cannot start what restores the factors; nothing has been switched")?;
    let pipe = child.stdin.take().context("a guard without a pipe")?;
    Ok((child, Watch::by(pipe)))
}

/// What the guard's process does; gives its exit status.
///
/// # Errors
/// The directory is none of an experiment's.
pub fn run(dir: &Path) -> Result<u8> {
    super::runtime()?.block_on(guard(dir))
}

async fn guard(dir: &Path) -> Result<u8> {
    // Whoever ends the experiment must not end this: its signals are taken, and mean nothing.
    let _signals = Signals::new()?;
    // Nothing else is to be done until then.
    let lines = std::io::stdin().lines().map_while(Result::ok);
    let group = lines
        .last()
        .and_then(|line| Pid::from_raw(line.parse().ok()?));
    if let Some(group) = group {
        shell::end_group(group).await;
    }
    let mut journal = Journal::beside(dir)?;
    let Some(saved) = journal.done.switched.clone() else {
        return Ok(0);
    };
    let plan = Plan::parse(&journal.done.plan)?;
    let problem = restore(&plan, &saved).await;
    if let Some(problem) = &problem {
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "alua-trace: {}", safe::sentence(problem));
    }
    let is_restored = problem.is_none();
    // Where the disk is full the next session sets them back once more, to the same.
    let _ = journal.say(Step::Restored { problem });
    Ok(if is_restored { 0 } else { NOT_RESTORED })
}

/// All of them, the last one first; gives what could not be.
async fn restore(plan: &Plan, saved: &BTreeMap<String, String>) -> Option<String> {
    let mut problems = Vec::new();
    for factor in plan.factors.iter().rev() {
        let input = saved.get(&factor.name).map_or("", String::as_str);
        if let Err(error) =
            shell::run(&factor.restore, input, factor.at_most, &mut Watch::nobody()).await
        {
            problems.push(format!("{} is not as it was: {error:#}", factor.name));
        }
    }
    (!problems.is_empty()).then(|| problems.join("; "))
}
