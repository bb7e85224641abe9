//! The terminal while the live view has it, and giving it back whatever happens.
//!
//! No raw mode: Ctrl-C must stay a signal. Turned off are echo, which would scroll the view, waiting for whole
//! lines, since keys are read one by one, and suspending, because a stopped collector loses records.

use std::io::{self, IsTerminal, Stdout, Write};
use std::sync::{Mutex, Once, PoisonError};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::{cursor, execute, terminal};
use ratatui::layout::Rect;
use ratatui::{TerminalOptions, Viewport};
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};

use super::Screen;
use super::draw::{draw, layout, needed_lines};

/// `_POSIX_VDISABLE` of Linux: no key.
const NO_KEY: u8 = 0;

/// What to restore; `Some` while the live view has the terminal.
static ENTERED: Mutex<Option<Saved>> = Mutex::new(None);

struct Saved {
    modes: Option<Termios>,
}

/// Whether standard output is a terminal that can show the live view: not dumb, and with this
/// process in the foreground.
pub fn usable() -> bool {
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let stdout = io::stdout();
    let foreground =
        || termios::tcgetpgrp(&stdout).is_ok_and(|pg| pg == rustix::process::getpgrp());
    stdout.is_terminal() && !dumb && foreground()
}

/// Width of the terminal on standard output, if there is one: for the summary.
pub fn columns() -> Option<u16> {
    let size = termios::tcgetwinsize(io::stdout()).ok()?;
    Some(size.ws_col).filter(|columns| *columns > 0)
}

/// The terminal, taken over; dropping it, or a panic, gives it back.
#[derive(Debug)]
pub struct Terminal {
    /// The lines in use, and what they show.
    inner: ratatui::Terminal<CrosstermBackend<Whole>>,
    area: Rect,
}

impl Terminal {
    /// Takes the terminal on standard output over: alternate screen, no cursor, no echo.
    pub fn enter() -> io::Result<Self> {
        restore_on_panic();
        let area = Rect::ZERO;
        let inner = lines(area)?;
        *ENTERED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Saved { modes: quiet() });
        // From here on dropping restores.
        let entered = Self { inner, area };
        execute!(io::stdout(), terminal::EnterAlternateScreen, cursor::Hide)?;
        Ok(entered)
    }

    /// Shows `screen`; only what has changed is written, in one go.
    pub fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        let (columns, room) = layout(screen, width, height);
        screen.fit(columns, room);
        let area = Rect::new(0, 0, width, needed_lines(screen, height));
        if area != self.area {
            // Not ratatui's `resize`: it asks the terminal for the cursor position and waits for
            // the answer in raw mode, without Ctrl-C.
            self.inner = lines(area)?;
            self.area = area;
            execute!(io::stdout(), terminal::Clear(terminal::ClearType::All))?;
        }
        self.inner.draw(|frame| draw(screen, frame)).map(drop)
    }
}

/// The terminal's lines in `area`, with nothing on them.
fn lines(area: Rect) -> io::Result<ratatui::Terminal<CrosstermBackend<Whole>>> {
    ratatui::Terminal::with_options(
        CrosstermBackend::new(Whole::default()),
        TerminalOptions {
            viewport: Viewport::Fixed(area),
        },
    )
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Turns echo, lines and suspending off, and returns the modes before.
fn quiet() -> Option<Termios> {
    let stdout = io::stdout();
    let before = termios::tcgetattr(&stdout).ok()?;
    let mut modes = before.clone();
    modes
        .local_modes
        .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON);
    modes.special_codes[SpecialCodeIndex::VSUSP] = NO_KEY;
    termios::tcsetattr(&stdout, OptionalActions::Now, &modes).ok()?;
    Some(before)
}

/// Gives the terminal back, once: leaving the alternate screen a second time would move the cursor
/// back over what was printed since.
fn restore() {
    let Some(saved) = ENTERED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take()
    else {
        return;
    };
    let mut stdout = io::stdout();
    // If the terminal is gone there is nothing to restore.
    let _ = execute!(stdout, terminal::LeaveAlternateScreen, cursor::Show);
    if let Some(modes) = saved.modes {
        // Flush: keys typed meanwhile were not meant for the shell.
        let _ = termios::tcsetattr(&stdout, OptionalActions::Flush, &modes);
    }
}

/// Makes a panic print its message to the normal screen.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// Standard output, written to only when a frame is whole; what is left of one that is not is
/// dropped, so that it cannot reach the normal screen.
#[derive(Debug)]
struct Whole {
    stdout: Stdout,
    frame: Vec<u8>,
}

impl Default for Whole {
    fn default() -> Self {
        Self {
            stdout: io::stdout(),
            frame: Vec::with_capacity(16 << 10),
        }
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.frame.is_empty() {
            return Ok(());
        }
        let mut stdout = self.stdout.lock();
        let result = stdout.write_all(&self.frame).and_then(|()| stdout.flush());
        self.frame.clear();
        result
    }
}
