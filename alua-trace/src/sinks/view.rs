//! What people see: the live view, or plain lines, and the summary at the end.

use std::io::{self, Write as _};

use super::queue::{self, Order};
use crate::{
    live::{self, Screen, Terminal},
    model::{Line, Summary},
    report::{lines::Lines, summary::summary},
};

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// How people see the trace.
pub(super) enum View {
    Live {
        screen: Box<Screen>,
        terminal: Box<Terminal>,
        /// Not all the screen knows has been drawn.
        stale: bool,
        started_at_ns: u64,
    },
    Plain {
        lines: Lines,
        started_at_ns: u64,
    },
}

impl View {
    /// The live view, on a terminal that has been taken over.
    pub fn live(screen: Screen, terminal: Terminal, started_at_ns: u64) -> Self {
        Self::Live {
            screen: Box::new(screen),
            terminal: Box::new(terminal),
            stale: false,
            started_at_ns,
        }
    }

    /// Plain lines on standard output.
    pub fn plain(started_at_ns: u64) -> Self {
        Self::Plain {
            lines: Lines::new(started_at_ns),
            started_at_ns,
        }
    }

    fn started_at_ns(&self) -> u64 {
        match self {
            Self::Live { started_at_ns, .. } | Self::Plain { started_at_ns, .. } => *started_at_ns,
        }
    }

    /// Ends the live view: the terminal is the user's again.
    fn leave_live(&mut self) {
        if let Self::Live { started_at_ns, .. } = self {
            *self = Self::plain(*started_at_ns);
        }
    }
}

impl queue::Write for View {
    fn line(&mut self, line: &Line) -> io::Result<()> {
        if let Line::Summary(end) = line {
            self.leave_live();
            return print(&text(end, self.started_at_ns()));
        }
        match self {
            Self::Plain { lines, .. } => print(&lines.line(line)),
            Self::Live { screen, stale, .. } => {
                match line {
                    Line::Interval(interval) => screen.interval(interval.clone()),
                    Line::Flag(event) => screen.flag(event),
                    Line::Transfer(event) => screen.transfer(event),
                    _ => return Ok(()),
                }
                *stale = true;
                Ok(())
            }
        }
    }

    /// A terminal that was stopped for a while need not see every picture of that time.
    fn idle(&mut self) -> io::Result<()> {
        if let Self::Live {
            screen,
            terminal,
            stale,
            ..
        } = self
            && std::mem::take(stale)
        {
            terminal.draw(screen)?;
        }
        Ok(())
    }

    fn take(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::LeaveLive(left) => {
                self.leave_live();
                // Whoever waited may have given up.
                let _ = left.send(());
                Ok(())
            }
            Order::Say(text) if matches!(self, Self::Plain { .. }) => print(&text),
            Order::Say(_) => Ok(()),
        }
    }
}

/// The summary as people read it.
pub(super) fn text(end: &Summary, started_at_ns: u64) -> String {
    let width = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
    summary(end, started_at_ns, width)
}

fn print(text: &str) -> io::Result<()> {
    if text.is_empty() {
        return Ok(());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}
