//! A terminal for a program: one that somebody reads, as a user has it. Owns what is left of it
//! when the program has ended.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use super::wait_for;
use crate::console::with_terminal;

/// Enough for every trace of a minute; what comes later is read, but not kept.
const KEPT: usize = 1 << 20;

/// A program on a terminal of 120 × 40.
#[derive(Debug)]
pub(crate) struct OnTerminal {
    /// The program.
    pub(crate) child: Child,
    /// What it shows.
    pub(crate) shown: Shown,
    /// The user's side of the terminal.
    user: File,
    /// The terminal's modes before the program had it.
    modes: String,
}

/// How it ended, and what became of its terminal.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit status.
    pub(crate) status: ExitStatus,
    /// Everything it has shown.
    pub(crate) shown: String,
    /// The terminal's modes before and after.
    pub(crate) modes: [String; 2],
}

impl OnTerminal {
    /// Starts `command` in the foreground of a new terminal.
    pub(crate) fn start(command: &mut Command) -> Result<OnTerminal> {
        let user = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)
            .context("failed to open a terminal")?;
        rustix::pty::grantpt(&user)?;
        rustix::pty::unlockpt(&user)?;
        let size = Winsize {
            ws_row: 40,
            ws_col: 120,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        rustix::termios::tcsetwinsize(&user, size)?;
        let name = rustix::pty::ptsname(&user, Vec::new())?;
        let programs = File::options()
            .read(true)
            .write(true)
            .open(name.to_string_lossy().as_ref())?;
        let user = File::from(user);
        let modes = modes(&user)?;
        let child = with_terminal(command, programs)?
            .env("TERM", "xterm-256color")
            .spawn()
            .with_context(|| format!("failed to start {command:?}"))?;
        // The command keeps a copy of the terminal, which must go or its end is never seen.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(OnTerminal {
            child,
            shown: Shown::of(user.try_clone()?),
            user,
            modes,
        })
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) -> Result<()> {
        self.user.write_all(keys).context("failed to type")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        rustix::process::kill_process(Pid::from_child(&self.child), signal)
            .context("failed to signal it")
    }

    /// Waits until it has shown `text`, at most for `limit`.
    pub(crate) fn wait_until_shown(&mut self, text: &str, limit: Duration) -> Result<()> {
        wait_for(limit, &format!("{text:?} on the terminal"), || {
            let shown = self.shown.so_far();
            let ended = self.child.try_wait()?;
            anyhow::ensure!(ended.is_none(), "it ended, {ended:?}: {shown:?}");
            Ok(shown.contains(text))
        })
    }

    /// Waits for its end, at most `limit`; then it is killed and an error.
    pub(crate) fn finish(mut self, limit: Duration) -> Result<Ended> {
        let ended = wait_for(limit, "the program's end", || {
            Ok(self.child.try_wait()?.is_some())
        });
        if ended.is_err() {
            self.child.kill()?;
        }
        let status = self.child.wait()?;
        let shown = self.shown.whole();
        ended.with_context(|| format!("it showed {shown:?}"))?;
        Ok(Ended {
            status,
            shown,
            modes: [self.modes, modes(&self.user)?],
        })
    }
}

/// Everything `tcgetattr` tells of a terminal, as text: to be compared and shown.
fn modes(terminal: &File) -> Result<String> {
    let modes = rustix::termios::tcgetattr(terminal).context("failed to ask the terminal")?;
    Ok(format!("{modes:?}"))
}

/// What a program has written and somebody reads.
#[derive(Debug)]
pub(crate) struct Shown {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Shown {
    /// Reads to the end, in a thread of its own.
    pub(crate) fn of(mut from: impl Read + Send + 'static) -> Shown {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            // A terminal ends with an error (EIO), a pipe with nothing.
            while let Ok(length @ 1..) = from.read(&mut piece) {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                if kept.len() < KEPT {
                    kept.extend_from_slice(&piece[..length]);
                }
            }
        });
        Shown { bytes, reader }
    }

    fn so_far(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for the end.
    pub(crate) fn whole(self) -> String {
        let bytes = self.bytes;
        // A reader that panicked has kept what it read.
        let _ = self.reader.join();
        let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> OnTerminal {
        let mut command = Command::new("sh");
        OnTerminal::start(command.args(["-c", script])).unwrap()
    }

    #[test]
    fn what_is_shown_and_the_status_come_back() {
        let ended = shell("test -t 1 && echo shown; exit 3")
            .finish(LIMIT)
            .unwrap();
        assert_eq!(
            (ended.status.code(), ended.shown.as_str()),
            (Some(3), "shown\r\n")
        );
        assert_eq!(ended.modes[0], ended.modes[1]);
    }

    #[test]
    fn modes_that_stay_changed_are_seen() {
        let ended = shell("stty -echo").finish(LIMIT).unwrap();
        assert_ne!(ended.modes[0], ended.modes[1]);
    }

    #[test]
    fn ctrl_c_is_a_signal() {
        let mut program = shell("echo ready; exec sleep 60");
        program.wait_until_shown("ready", LIMIT).unwrap();
        program.press(b"\x03").unwrap();
        let ended = program.finish(LIMIT).unwrap();
        assert_eq!(ended.status.code(), None, "{ended:?}");
    }
}
