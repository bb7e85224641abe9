//! The user's terminal: its size for the guest, raw while a guest owns it, and given back after.

use std::env;
use std::io::{IsTerminal, stdin, stdout};

use alua_trace_tests::protocol::Terminal;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// What the guest must know of the terminal.
pub(crate) fn describe() -> Terminal {
    let size = tcgetwinsize(stdout())
        .ok()
        .filter(|size| size.ws_row > 0 && size.ws_col > 0);
    Terminal {
        rows: size.map_or(24, |size| size.ws_row),
        columns: size.map_or(80, |size| size.ws_col),
        term: env::var("TERM").unwrap_or_else(|_| "linux".into()),
        is_terminal: stdin().is_terminal() && stdout().is_terminal(),
    }
}

/// Holds the terminal raw; dropping it restores what was.
#[derive(Debug)]
pub(crate) struct Raw {
    before: Option<Termios>,
    ended_well: bool,
}

impl Raw {
    /// Makes stdin raw if it is a terminal.
    pub(crate) fn enter() -> Self {
        let before = tcgetattr(stdin()).ok().filter(|_| stdin().is_terminal());
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            tcsetattr(stdin(), OptionalActions::Flush, &raw).ok();
        }
        Self {
            before,
            ended_well: false,
        }
    }

    /// Whoever had the terminal has left the alternate screen: leaving it again would move the
    /// cursor back over what was printed since.
    pub(crate) fn ended_well(&mut self) {
        self.ended_well = true;
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            tcsetattr(stdin(), OptionalActions::Flush, before).ok();
            // Nor may QEMU's non-blocking reads outlive it.
            if let Ok(flags) = fcntl_getfl(stdin()) {
                fcntl_setfl(stdin(), flags.difference(OFlags::NONBLOCK)).ok();
            }
            // A guest that died may have the alternate screen shown or the cursor hidden.
            if !self.ended_well {
                eprint!("\x1b[?1049l\x1b[?25h\x1b[0m\r\n");
            }
        }
    }
}
