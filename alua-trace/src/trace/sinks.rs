//! Where lines go: JSON, the live view or plain lines, and the summary at the end.

use std::{
    fs::File,
    io::{self, Write},
};

use anyhow::{Context, Result};

use crate::{
    cli::{JsonTarget, RunConfig},
    live::{self, Screen, Terminal},
    model::{Line, Start, Summary},
    report::{
        json::{JsonWriter, Outcome},
        lines::Lines,
        summary::summary,
    },
};

const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// How people see the trace.
enum View {
    Live {
        screen: Box<Screen>,
        terminal: Box<Terminal>,
    },
    Plain(Lines),
    None,
}

/// All outputs of a trace.
pub(super) struct Sinks {
    json: Option<JsonWriter<Box<dyn Write>>>,
    view: View,
    /// Someone stopped reading: nothing more is said, which is no error.
    closed: bool,
    started_at_ns: u64,
}

impl Sinks {
    /// Opens what the user wants.
    pub fn open(config: &RunConfig, start: &Start, maps: &[String]) -> Result<Self> {
        let json: Option<Box<dyn Write>> = match &config.json {
            None => None,
            Some(JsonTarget::Stdout) => Some(Box::new(io::stdout())),
            Some(JsonTarget::File(path)) => {
                Some(Box::new(File::create(path).with_context(|| {
                    format!(
                        "cannot write --json {}; name a file that can be made",
                        path.display()
                    )
                })?))
            }
        };
        let view = if config.json == Some(JsonTarget::Stdout) {
            View::None
        } else if config.live && live::usable() {
            View::Live {
                screen: Box::new(Screen::new(start, maps)),
                terminal: Box::new(Terminal::enter().context("cannot use the terminal")?),
            }
        } else {
            View::Plain(Lines::new(start.started_at_ns))
        };
        let mut sinks = Self {
            json: json.map(JsonWriter::new),
            view,
            closed: false,
            started_at_ns: start.started_at_ns,
        };
        sinks.say(Line::Start(start.clone()))?;
        Ok(sinks)
    }

    /// The live view has the terminal.
    pub fn is_live(&self) -> bool {
        matches!(self.view, View::Live { .. })
    }

    /// Nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Says one thing everywhere.
    pub fn say(&mut self, line: Line) -> Result<()> {
        if let Some(json) = &mut self.json {
            let outcome = json.write(&line).context("failed to write JSON")?;
            self.closed |= outcome == Outcome::Closed;
        }
        match &mut self.view {
            View::Live { screen, terminal } => {
                match line {
                    Line::Interval(interval) => screen.interval(interval),
                    Line::Flag(event) => screen.flag(&event),
                    Line::Transfer(event) => screen.transfer(&event),
                    _ => return Ok(()),
                }
                terminal
                    .draw(screen)
                    .context("failed to draw on the terminal")?;
            }
            View::Plain(lines) => {
                let text = lines.line(&line);
                self.print(&text)?;
            }
            View::None => {}
        }
        Ok(())
    }

    /// Ends the live view: the terminal is the user's again.
    pub fn leave_live(&mut self) {
        if self.is_live() {
            self.view = View::Plain(Lines::new(self.started_at_ns));
        }
    }

    /// Says how it all ended.
    pub fn finish(&mut self, end: &Summary) -> Result<()> {
        self.leave_live();
        if let Some(json) = &mut self.json {
            json.write(&Line::Summary(end.clone()))
                .context("failed to write JSON")?;
            json.flush().context("failed to write JSON")?;
        }
        if matches!(self.view, View::Plain(_)) {
            let width = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
            let text = summary(end, self.started_at_ns, width);
            self.print(&text)?;
        }
        Ok(())
    }

    fn print(&mut self, text: &str) -> Result<()> {
        if self.closed || text.is_empty() {
            return Ok(());
        }
        let mut stdout = io::stdout().lock();
        match stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
        {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(())
            }
            result => result.context("failed to write to standard output"),
        }
    }
}
