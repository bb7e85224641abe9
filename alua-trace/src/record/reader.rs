//! Reading a recording: frame by frame, in bounded memory.

use std::{
    fs::File,
    io::{BufReader, Read},
    path::Path,
};

use super::{
    Ending, Meta, RecordingError,
    error::Malformed,
    frame::{Frames, Kind},
    inputs::Decoder,
    pack::{MOST_UNPACKED, Unpacker},
};
use crate::{
    engine::Input,
    model::{Line, Start},
    setup::Setup,
};

/// Read at once: a frame is some 100 KiB.
const BUFFER_BYTES: usize = 256 << 10;

/// A recording that is being read.
pub struct Reader<R> {
    frames: Frames<R>,
    decoder: Decoder,
    meta: Meta,
    ending: Option<Ending>,
    /// What has been read before goes on here: what repeats it is not told.
    goes_on: bool,
    /// Nothing but what repeats has been read yet.
    in_head: bool,
}

/// Who takes what a recording tells.
pub trait Taker {
    /// The line that the trace began with.
    fn start(&mut self, start: Start);

    /// What the trace was made under, at the start and when it changed.
    fn setup(&mut self, _: Setup) {}

    /// What the engine said, where that is recorded instead of its inputs.
    fn lines(&mut self, _: Vec<Line>) {}

    /// An input of the engine, with its time.
    fn input(&mut self, at_ns: u64, input: Input<'_>);
}

impl Reader<BufReader<File>> {
    /// Opens a file.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Self::new(BufReader::with_capacity(BUFFER_BYTES, File::open(path)?))
    }
}

impl<R: Read> Reader<R> {
    /// Reads the header and what the recording is of.
    ///
    /// # Errors
    /// It is no recording, or none that can be read here.
    pub fn new(from: R) -> Result<Self, RecordingError> {
        let mut frames = Frames::open(from)?;
        let meta: Meta = match frames.next()? {
            Some((Kind::Meta, payload)) => {
                let meta = json(payload);
                meta.map_err(|error| frames.last_is_damaged(error.0))?
            }
            Some(_) => return Err(frames.last_is_damaged("it does not say what is recorded")),
            None => return Err(frames.cut_short("there is nothing in it")),
        };
        meta.check()?;
        Ok(Self {
            frames,
            decoder: Decoder::new()?,
            meta,
            ending: None,
            goes_on: false,
            in_head: true,
        })
    }

    /// What it is of.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The next file of a recording that is in several, read behind `self`.
    ///
    /// # Errors
    /// As [`Self::open`]; [`RecordingError::OtherRecording`] where it is not the next.
    pub fn behind<P: Read>(mut self, before: &Reader<P>) -> Result<Self, RecordingError> {
        let next = match (&before.meta.part, &self.meta.part) {
            (Some(one), Some(other)) => one.of == other.of && other.number == one.number + 1,
            _ => false,
        };
        if !next {
            return Err(RecordingError::OtherRecording);
        }
        self.goes_on = true;
        Ok(self)
    }

    /// Bytes that have been read of it.
    pub fn offset(&self) -> u64 {
        self.frames.offset()
    }

    /// What it ends with, once that has been read.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    /// Gives what the next frame tells; false behind the last one.
    ///
    /// # Errors
    /// The frame is damaged, or the recording ends without its ending.
    pub fn next(&mut self, taker: &mut impl Taker) -> Result<bool, RecordingError> {
        let Self {
            frames,
            decoder,
            ending,
            goes_on,
            in_head,
            ..
        } = self;
        let Some((kind, payload)) = frames.next()? else {
            return match ending {
                Some(_) => Ok(false),
                None => Err(frames.cut_short("the tool was ended before the trace was")),
            };
        };
        *in_head &= !matches!(kind, Kind::Inputs | Kind::Lines);
        let taken = match kind {
            _ if ending.is_some() => Err(Malformed("something follows the ending")),
            Kind::Meta => Err(Malformed("it says again what is recorded")),
            Kind::Start if *goes_on => Ok(()),
            Kind::Start => json(payload).map(|start| taker.start(start)),
            Kind::Resumed if *goes_on => decoder.inputs(payload, &mut |_, _| {}),
            Kind::Resumed | Kind::Inputs => {
                decoder.inputs(payload, &mut |at_ns, input| taker.input(at_ns, input))
            }
            Kind::Lines => json(payload).map(|lines| taker.lines(lines)),
            Kind::Ending => json(payload).map(|it| *ending = Some(it)),
            Kind::Setup if *goes_on && *in_head => Ok(()),
            Kind::Setup => json(payload).map(|setup| taker.setup(setup)),
            Kind::Unknown => Ok(()),
        };
        taken.map_err(|error| frames.last_is_damaged(error.0))?;
        Ok(true)
    }

    /// Reads to the end; gives what was recorded.
    ///
    /// # Errors
    /// As [`Self::next`]; what comes before has been given.
    pub fn read(&mut self, taker: &mut impl Taker) -> Result<Ending, RecordingError> {
        while self.next(taker)? {}
        Ok(self.ending.clone().unwrap_or_default())
    }
}

/// What [`super::recorder`] packed: one section of JSON.
fn json<T: serde::de::DeserializeOwned>(mut payload: &[u8]) -> Result<T, Malformed> {
    let mut text = Vec::new();
    let mut unpacker = Unpacker::new().map_err(|_| Malformed("no memory to unpack it"))?;
    unpacker.section(&mut payload, &mut text, MOST_UNPACKED)?;
    serde_json::from_slice(&text).map_err(|_| Malformed("its JSON is none, or another one"))
}
