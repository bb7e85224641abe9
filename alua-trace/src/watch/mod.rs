//! `alua-trace watch`: a trace that is left on. Commands are counted in the kernel, metrics are given, alerts told, and what
//! led to something is recorded.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, Result};
use libsystemd::{
    daemon::{self, NotifyState},
    logging::connected_to_journal,
};

use crate::{
    alerts::{Action, Alerts, Next},
    cli::{Show, WatchConfig},
    clock,
    model::Line,
    record::Snapshots,
    safe,
    sinks::Sink,
    sysroot::Sysroot,
    trace::{self, Extras},
};
pub use config::Config;

mod config;

#[cfg(test)]
mod tests;

/// What names of its recordings begin and end with.
const NAME: &str = "watch-";
const EXTENSION: &str = "atr";

/// Watches until it is told to end; gives the exit status.
///
/// # Errors
/// The configuration cannot be used, or the host cannot be traced.
pub fn run(wanted: &WatchConfig) -> Result<u8> {
    let config = Config::read(wanted.file.as_deref())?;
    if wanted.check {
        return check(&config);
    }
    keep_capabilities_from_children();
    let root = Sysroot::default();
    let host = root.host_name().unwrap_or_default();
    let (next, snapshots) = (Next::default(), Snapshots::default());
    let Config {
        mut run,
        recordings,
        mut plan,
    } = config;
    if let (Some(recordings), Some(to)) = (&recordings, &mut run.record) {
        to.file = file_of_now(recordings)?;
    }
    // Without a journal its lines are on standard output.
    plan.journal &= connected_to_journal();
    if plan.journal {
        run.show = Show::Nothing;
    }
    let alerts = Alerts::new(plan, &host, snapshots.clone(), next.clone())?;
    let file = wanted.file.clone();
    let extras = Extras {
        outputs: vec![("alerts", Box::new(alerts)), ("systemd", Box::new(Systemd))],
        snapshots,
        on_hang_up: Some(Box::new(move || reload(file.as_deref(), &next))),
    };
    trace::run_with(&run, extras)
}

/// What this process was given to trace with, as by a unit's `AmbientCapabilities`, is not for the programs that alerts
/// start. Before there is another thread.
fn keep_capabilities_from_children() {
    // A kernel without ambient capabilities (before 4.3) gives none away.
    let _ = rustix::thread::clear_ambient_capability_set();
}

/// Says what would be done, and what of it could not be.
fn check(config: &Config) -> Result<u8> {
    let mut wrong = Vec::new();
    for (name, action) in &config.plan.actions {
        let missing = match action {
            Action::Exec(words) => words.first().filter(|it| !is_program(Path::new(it))),
            _ => None,
        };
        if let Some(program) = missing {
            wrong.push(format!("action {name}: {program} is no program"));
        }
    }
    if let Some(recordings) = &config.recordings
        && !recordings.directory.is_dir()
    {
        // systemd makes the usual one when the service starts: a check before that is no reason to fail.
        let directory = safe::os(recordings.directory.as_os_str());
        println!(
            "recording.directory: {directory} is not there yet; the service makes /var/lib/alua-trace, make any other"
        );
    }
    let rules = &config.plan.rules;
    for rule in rules {
        let actions = rule.actions.join(", ");
        println!(
            "{}: {}, of the last {} s, for {} s; told by {}",
            safe::name(&rule.name),
            safe::sentence(&rule.when.text),
            rule.over.as_secs(),
            rule.hold.as_secs(),
            safe::sentence(&actions)
        );
    }
    for what in &wrong {
        eprintln!("alua-trace: {}", safe::sentence(what));
    }
    if wrong.is_empty() {
        println!("the configuration can be used: {} alerts", rules.len());
    }
    Ok(if wrong.is_empty() { 0 } else { 2 })
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}

/// SIGHUP: alerts and actions as the file has them now. What else has changed waits for the next start.
fn reload(file: Option<&Path>, next: &Next) {
    let monotonic = NotifyState::Other(format!("MONOTONIC_USEC={}", clock::monotonic_ns() / 1000));
    notify(&[NotifyState::Reloading, monotonic]);
    match Config::read(file) {
        Ok(mut config) => {
            config.plan.journal &= connected_to_journal();
            eprintln!(
                "alua-trace: {} alerts are read again; all else is as it was until the next start",
                config.plan.rules.len()
            );
            next.set(config.plan);
        }
        Err(error) => {
            let text = format!("nothing is changed: {error:#}");
            eprintln!("alua-trace: {}", safe::sentence(&text));
        }
    }
    notify(&[NotifyState::Ready]);
}

/// A name for recordings of this run; the oldest of other runs make room.
fn file_of_now(recordings: &config::Recordings) -> Result<PathBuf> {
    let directory = &recordings.directory;
    let failed = || {
        format!(
            "cannot keep recordings in {}; make the directory, or name another as recording.directory, or \"\"",
            directory.display()
        )
    };
    prune(directory, recordings.keep).with_context(failed)?;
    let seconds = clock::wall_unix_ns() / 1_000_000_000;
    Ok(directory.join(format!("{NAME}{seconds}.{EXTENSION}")))
}

/// Of recordings of other runs, the newest stay.
fn prune(directory: &Path, keep: usize) -> io::Result<()> {
    let mut files: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_ours = name.starts_with(NAME)
            && Path::new(&*name)
                .extension()
                .is_some_and(|it| it == EXTENSION);
        if is_ours && entry.file_type()?.is_file() {
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    files.sort();
    let old = files.len().saturating_sub(keep);
    for (_, file) in files.into_iter().take(old) {
        fs::remove_file(file)?;
    }
    Ok(())
}

/// Tells systemd how far it is.
struct Systemd;

impl Sink<Line> for Systemd {
    fn take(&mut self, line: &Line) -> io::Result<()> {
        match line {
            Line::Start(start) => {
                let status = format!("{} paths are watched", start.paths.len());
                notify(&[NotifyState::Ready, NotifyState::Status(status)]);
            }
            Line::Summary(_) => notify(&[NotifyState::Stopping]),
            _ => {}
        }
        Ok(())
    }
}

fn notify(states: &[NotifyState]) {
    // Without systemd there is nobody to tell.
    let _ = daemon::notify(false, states);
}
