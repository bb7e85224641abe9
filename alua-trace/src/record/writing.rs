//! A recording as its thread sees it: packs what it is given, and writes it to where it goes.

use std::io;

use super::{
    Ending, Holds, Printed,
    chunk::Chunk,
    files::{Files, Head, Way},
    frame::Kind,
    inputs::Encoder,
    pack::Packer,
    recorder::{MOST_SPARE, Recorded, Spare, lock},
    state::State,
    window::{Frame, Window},
};
use crate::{
    model::{Line, Start},
    setup::Setup,
    sinks::Sink,
};

/// The thread's own.
pub(super) struct Writing {
    files: Files,
    window: Option<Window>,
    encoder: Encoder,
    packer: Packer,
    payload: Vec<u8>,
    state: State,
    start: Option<Start>,
    /// The last set-up, packed.
    setup: Option<Vec<u8>>,
    printed: Option<Printed>,
    /// When the last interval ended.
    last_ns: u64,
    spare: Spare,
}

impl Writing {
    pub(super) fn begin(files: Files, spare: Spare) -> io::Result<Self> {
        let window = match files.way {
            Way::Window { last_ns, bytes, .. } => Some(Window::new(last_ns, bytes)),
            _ => None,
        };
        Ok(Self {
            files,
            window,
            encoder: Encoder::new()?,
            packer: Packer::new()?,
            payload: Vec::new(),
            state: State::default(),
            start: None,
            setup: None,
            printed: None,
            last_ns: 0,
            spare,
        })
    }

    fn start(&mut self, start: &Start) -> io::Result<()> {
        self.start = Some(start.clone());
        self.last_ns = start.started_at_ns;
        if let Some(window) = &mut self.window {
            window.boundary(start.started_at_ns, &self.state);
        }
        self.files.json(Kind::Start, start)
    }

    fn setup(&mut self, setup: &Setup) -> io::Result<()> {
        let mut payload = Vec::new();
        self.packer
            .section(&mut payload, &serde_json::to_vec(setup)?);
        self.keep_and_write(Kind::Setup, &payload, (0, 0))?;
        self.setup = Some(payload);
        Ok(())
    }

    fn chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let goes_elsewhere = self.files.way != Way::Whole;
        let interval_ended_ns = match goes_elsewhere {
            true => chunk.follow(&mut self.state),
            false => None,
        };
        let mut payload = std::mem::take(&mut self.payload);
        payload.clear();
        self.encoder.pack(chunk, &mut payload)?;
        let outcome = self.keep_and_write(Kind::Inputs, &payload, (chunk.commands(), chunk.lost()));
        self.payload = payload;
        outcome?;
        match interval_ended_ns {
            Some(at_ns) => self.boundary(at_ns),
            None => Ok(()),
        }
    }

    /// Whether inputs are kept, and not lines.
    fn inputs(&self) -> bool {
        self.files.meta.holds == Holds::Commands
    }

    fn lines(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut payload = Vec::new();
        self.packer
            .section(&mut payload, &serde_json::to_vec(lines)?);
        self.keep_and_write(Kind::Lines, &payload, (0, 0))?;
        let ends = lines.iter().rev().find_map(|line| match line {
            Line::Interval(interval) => Some(interval.ended_at_ns),
            _ => None,
        });
        match ends {
            Some(at_ns) if self.files.way != Way::Whole => self.boundary(at_ns),
            _ => Ok(()),
        }
    }

    fn keep_and_write(&mut self, kind: Kind, payload: &[u8], counts: (u64, u64)) -> io::Result<()> {
        let (commands, not_recorded) = counts;
        if let Some(window) = &mut self.window {
            window.push(Frame {
                kind,
                payload: payload.to_vec(),
                commands,
                not_recorded,
            });
        }
        self.files.count(commands, not_recorded);
        self.files.frame(kind, payload)
    }

    /// An interval has ended: a file may end here, and another begin.
    fn boundary(&mut self, at_ns: u64) -> io::Result<()> {
        self.last_ns = at_ns;
        if let Some(window) = &mut self.window {
            window.boundary(at_ns, &self.state);
        }
        if !self.files.is_full(at_ns) {
            return Ok(());
        }
        self.files.end(Ending {
            goes_on: true,
            ..Ending::default()
        })?;
        if self.window.is_some() {
            return Ok(());
        }
        let inputs = self.inputs();
        let head = Head {
            inputs: inputs.then_some((&mut self.encoder, &self.state)),
            start: self.start.as_ref(),
            setup: self.setup.as_deref(),
        };
        self.files.make_from(head, at_ns)
    }

    /// The window goes to a file, and what follows for a while.
    fn trigger(&mut self) -> io::Result<()> {
        let inputs = self.inputs();
        let Some(window) = &self.window else {
            return Ok(());
        };
        if self.files.open.is_none()
            && let Some(oldest) = window.segments().next()
        {
            // The window's frames go on with what the encoder knew then, and it with what it knows now.
            let mut then = self.encoder.with_same_tokens()?;
            let head = Head {
                inputs: inputs.then_some((&mut then, &oldest.state)),
                start: self.start.as_ref(),
                setup: self.setup.as_deref(),
            };
            self.files.make_from(head, oldest.from_ns)?;
            for frame in window.segments().flat_map(|segment| &segment.frames) {
                self.files.count(frame.commands, frame.not_recorded);
                self.files.frame(frame.kind, &frame.payload)?;
            }
        }
        self.files.go_on_from(self.last_ns);
        Ok(())
    }

    fn write(&mut self, item: &Recorded) -> io::Result<()> {
        match item {
            Recorded::Start(start) => self.start(start),
            Recorded::Setup(setup) => self.setup(setup),
            Recorded::Printed(printed) => {
                self.printed = Some(printed.clone());
                Ok(())
            }
            Recorded::Chunk(chunk) => self.chunk(chunk),
            Recorded::Lines(lines) => self.lines(lines),
            Recorded::Trigger => self.trigger(),
        }
    }
}

impl Sink<Recorded> for Writing {
    fn take(&mut self, item: &Recorded) -> io::Result<()> {
        match self.write(item) {
            // A disk that is full now need not be when the next thing happens.
            Err(error) if self.window.is_some() => {
                self.files.give_up(&error);
                Ok(())
            }
            written => written,
        }
    }

    fn done(&mut self, items: Vec<Recorded>) {
        for item in items {
            if let Recorded::Chunk(mut chunk) = item {
                chunk.clear();
                let mut spare = lock(&self.spare);
                if spare.len() < MOST_SPARE {
                    spare.push(*chunk);
                }
            }
        }
    }

    fn end(&mut self) -> io::Result<()> {
        self.files.end(Ending {
            printed: self.printed.take(),
            ..Ending::default()
        })
    }

    fn cut(&mut self) {
        self.files.cut();
    }
}
