//! The user's COMMAND: found before anything is attached, started when everything is, and its
//! output kept off the live view.

use std::{
    env,
    ffi::OsString,
    fs::File,
    io::{IsTerminal, Read, Seek, Write},
    os::unix::{fs::PermissionsExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::{
    fs::{MemfdFlags, memfd_create},
    process::{Pid, Signal, kill_process},
};
use tokio::process::{Child, Command};

use super::copied::{self, Copied, KEPT_BYTES};
use crate::record::Printed;

/// A command to run, if any.
#[derive(Debug)]
pub(super) struct Load {
    program: Option<(PathBuf, Vec<OsString>)>,
}

/// A running command.
pub(super) struct Running {
    child: Option<Child>,
    /// Where its output waits while the live view has the terminal.
    kept: Option<File>,
    /// Its output is copied for the recording.
    copied: Option<Copied>,
}

/// What is done with what COMMAND prints.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Kept until the live view gives the terminal back.
    pub keep: bool,
    /// Its end goes into the recording.
    pub record: bool,
}

impl Load {
    /// Finds the program.
    pub fn find(command: &[OsString]) -> Result<Self> {
        let Some((name, arguments)) = command.split_first() else {
            return Ok(Self { program: None });
        };
        let Some(path) = which(Path::new(name)) else {
            bail!(
                "COMMAND not found: {}; give a program in PATH, or its path",
                name.to_string_lossy()
            );
        };
        Ok(Self {
            program: Some((path, arguments.to_vec())),
        })
    }

    /// Starts it.
    pub fn start(self, output: Wanted) -> Result<Running> {
        let Some((program, arguments)) = self.program else {
            return Ok(Running {
                child: None,
                kept: None,
                copied: None,
            });
        };
        let mut command = Command::new(&program);
        command.args(arguments);
        let (mut kept, mut copied) = (None, None);
        if output.keep {
            let file = File::from(
                memfd_create("alua-trace-load", MemfdFlags::CLOEXEC)
                    .context("failed to make room for COMMAND's output")?,
            );
            command
                .stdin(stdin_of_load())
                .stdout(Stdio::from(file.try_clone()?))
                .stderr(Stdio::from(file.try_clone()?));
            kept = Some(file);
        } else if output.record {
            let (copying, [out, error]) = Copied::start()?;
            command.stdout(out).stderr(error);
            copied = Some(copying);
        }
        let child = command
            .spawn()
            .with_context(|| format!("failed to start COMMAND {}", program.display()))?;
        Ok(Running {
            child: Some(child),
            kept,
            copied,
        })
    }
}

/// What is typed is the live view's.
fn stdin_of_load() -> Stdio {
    if std::io::stdin().is_terminal() {
        Stdio::null()
    } else {
        Stdio::inherit()
    }
}

impl Running {
    /// Its status as a shell's, once it has ended; for ever waiting when there is none.
    pub async fn ended(&mut self) -> Result<i32> {
        match &mut self.child {
            Some(child) => Ok(shell_status(
                child.wait().await.context("failed to wait for COMMAND")?,
            )),
            None => std::future::pending().await,
        }
    }

    /// Whether there is a command.
    pub fn exists(&self) -> bool {
        self.child.is_some()
    }

    /// Passes a signal on; one that has ended is left alone.
    pub fn signal(&self, signal: Signal) {
        let id = self
            .child
            .as_ref()
            .and_then(Child::id)
            .and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = id.and_then(Pid::from_raw) {
            // It may end at this very moment; its status tells.
            let _ = kill_process(pid, signal);
        }
    }

    /// Prints what it printed while the live view had the terminal.
    pub fn print_output(&mut self) {
        // A closed pipe is no error.
        let _ = std::io::stdout().write_all(&self.kept_output());
        self.kept = None;
    }

    fn kept_output(&mut self) -> Vec<u8> {
        let mut output = Vec::new();
        if let Some(file) = &mut self.kept {
            // What cannot be read is not there.
            let _ = file.rewind().and_then(|()| file.read_to_end(&mut output));
        }
        output
    }

    /// What it printed, for the recording; once.
    pub fn printed(&mut self) -> Option<Printed> {
        if let Some(copied) = self.copied.take() {
            return Some(copied.printed());
        }
        self.kept.as_ref()?;
        let output = self.kept_output();
        let much = output.len().saturating_sub(KEPT_BYTES);
        Some(copied::printed(&output[much..], much as u64))
    }
}

fn shell_status(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// As `execvp` looks for it.
fn which(name: &Path) -> Option<PathBuf> {
    let runnable = |path: &Path| {
        path.metadata()
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.components().count() > 1 || name.is_absolute() {
        return runnable(name).then(|| name.to_owned());
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|path| runnable(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_found_as_a_shell_finds_them() {
        assert!(which(Path::new("sh")).is_some());
        assert!(which(Path::new("/bin/sh")).is_some());
        assert_eq!(which(Path::new("no-such-command-anywhere")), None);
        assert_eq!(which(Path::new("/etc/passwd")), None, "not executable");
        assert_eq!(which(Path::new("/")), None, "a directory");
    }

    #[test]
    fn a_missing_command_is_named() {
        let error = Load::find(&["no-such-command-anywhere".into()]).unwrap_err();
        assert!(error.to_string().contains("no-such-command-anywhere"));
    }
}
