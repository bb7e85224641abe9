//! What people see: the live view, or plain lines, and the summary at the end.

use std::{
    io::{self, Write as _},
    sync::Arc,
};

use super::{Order, Sink};
use crate::{
    live::{self, Screen, Terminal},
    model::{Line, Summary},
    report::{lines::Lines, summary::summary},
};

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// How people see the trace.
pub struct View {
    way: Way,
    started_at_ns: u64,
}

enum Way {
    Live {
        screen: Box<Screen>,
        terminal: Box<Terminal>,
        /// Not all the screen knows has been drawn.
        stale: bool,
    },
    Plain(Lines),
}

impl View {
    /// The live view, on a terminal that has been taken over.
    pub fn live(screen: Screen, terminal: Terminal, started_at_ns: u64) -> Self {
        Self {
            way: Way::Live {
                screen: Box::new(screen),
                terminal: Box::new(terminal),
                stale: false,
            },
            started_at_ns,
        }
    }

    /// Plain lines on standard output.
    pub fn plain() -> Self {
        Self {
            way: Way::Plain(Lines::new(0)),
            started_at_ns: 0,
        }
    }

    /// Plain lines on standard output for what happens, none for what an interval saw.
    pub fn events() -> Self {
        Self {
            way: Way::Plain(Lines::new(0).without_intervals()),
            started_at_ns: 0,
        }
    }

    /// Ends the live view: the terminal is the user's again.
    fn leave_live(&mut self) {
        if let Way::Live { .. } = self.way {
            self.way = Way::Plain(Lines::new(self.started_at_ns));
        }
    }
}

impl Sink<Line> for View {
    fn take(&mut self, line: &Line) -> io::Result<()> {
        match line {
            Line::Start(start) => self.started_at_ns = start.started_at_ns,
            Line::Summary(end) => {
                self.leave_live();
                return print(&text(end, self.started_at_ns));
            }
            _ => {}
        }
        match &mut self.way {
            Way::Plain(lines) => print(&lines.line(line)),
            Way::Live { screen, stale, .. } => {
                match line {
                    Line::Interval(interval) => screen.interval(Arc::clone(interval)),
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
        if let Way::Live {
            screen,
            terminal,
            stale,
        } = &mut self.way
            && std::mem::take(stale)
        {
            terminal.draw(screen)?;
        }
        Ok(())
    }

    fn obey(&mut self, order: Order) -> io::Result<()> {
        match order {
            Order::LeaveLive(left) => {
                self.leave_live();
                // Whoever waited may have given up.
                let _ = left.send(());
                Ok(())
            }
            Order::Say(text) if matches!(self.way, Way::Plain(_)) => print(&text),
            Order::Say(_) => Ok(()),
            Order::Key(key) => {
                if let Way::Live { screen, stale, .. } = &mut self.way {
                    screen.key(key);
                    *stale = true;
                }
                Ok(())
            }
        }
    }
}

/// The summary as people read it.
pub fn text(end: &Summary, started_at_ns: u64) -> String {
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
