//! PID 1 of a guest: makes the system usable, runs the task in a child (`guest task`), relays
//! its messages, and powers off whatever happens.

mod modules;
mod mounts;
mod relay;
mod tracepoints;

use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::protocol::{Message, TASK_PATH, Task};
use crate::sys;

/// Never returns in a guest: it powers off.
pub(crate) fn main() -> ExitCode {
    if let Err(error) = boot() {
        eprintln!("init: {error:#}");
    }
    // SAFETY: kill(-1) as PID 1 reaches every process but PID 1 itself.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    rustix::fs::sync();
    let _ = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    ExitCode::FAILURE
}

fn boot() -> Result<()> {
    set_environment();
    mounts::early()?;
    let mut failures = modules::load();
    mounts::late();
    // A benchmark measures the first user, too; its only processor cannot meet the fault.
    if !matches!(task(), Some(Task::Bench { .. }))
        && let Err(error) = tracepoints::hold()
    {
        failures.push(format!("cannot hold the SCSI tracepoints: {error:#}"));
    }
    let mut port = relay::open_port()?;
    send(
        &mut port,
        &Message::Hello {
            kernel: sys::kernel_release(),
        },
    )?;
    for failure in failures {
        send(&mut port, &Message::Log { text: failure })?;
    }
    run_task(port)
}

fn set_environment() {
    // SAFETY: no other thread runs yet.
    unsafe {
        std::env::set_var(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        std::env::set_var("HOME", "/root");
        std::env::set_var("LC_ALL", "C.UTF-8");
    }
}

fn send(port: &mut File, message: &Message) -> Result<()> {
    let mut line = serde_json::to_string(message)?;
    line.push('\n');
    port.write_all(line.as_bytes())
        .context("failed to write to the results port")
}

fn task() -> Option<Task> {
    serde_json::from_str(&sys::read(TASK_PATH).ok()?).ok()
}

/// How long the task may take: the group's own limit and a margin, none for a person's shell.
fn task_limit() -> Option<Duration> {
    match task()? {
        Task::Test { group, .. } => Some(crate::cases::limit(&group) + Duration::from_secs(20)),
        Task::Bench { .. } => Some(Duration::from_secs(3600)),
        Task::Demo { seconds, .. } => Some(Duration::from_secs(u64::from(seconds) + 120)),
        Task::Experiment { .. } => Some(Duration::from_secs(7200)),
        Task::Shell(_) | Task::IscsiShell(_) | Task::Array | Task::List => None,
    }
}

fn run_task(port: File) -> Result<()> {
    let mut child = Command::new("/proc/self/exe")
        .arg("task")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("failed to start the task")?;
    let pid = Pid::from_child(&child);
    let pipe = child.stdout.take().context("the task has no output")?;
    let relay = relay::start(pipe, port);
    if let Some(limit) = task_limit() {
        std::thread::spawn(move || {
            std::thread::sleep(limit);
            eprintln!("init: the task took more than {} s", limit.as_secs());
            let _ = rustix::process::kill_process(pid, Signal::KILL);
        });
    }
    let why = reap_until(pid);
    // SAFETY: as in `main`; closes the last writers of the relay's pipe.
    unsafe { libc::kill(-1, libc::SIGKILL) };
    relay.finish(&why)
}

/// Reaps every child, adopted ones too, until `task` has ended; says how that ended.
fn reap_until(task: Pid) -> String {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == task => {
                return match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("the task ended early with status {code}"),
                    (_, Some(signal)) => format!("the task was killed by signal {signal}"),
                    _ => "the task ended early".to_owned(),
                };
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return format!("waiting for the task failed: {error}"),
        }
    }
}
