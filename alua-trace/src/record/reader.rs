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
use crate::{engine::Input, model::Start, setup::Setup};

/// Read at once: a frame is some 100 KiB.
const BUFFER_BYTES: usize = 256 << 10;

/// A recording that is being read.
pub struct Reader<R> {
    frames: Frames<R>,
    decoder: Decoder,
    meta: Meta,
    ending: Option<Ending>,
}

/// Who takes what a recording tells.
pub trait Taker {
    /// The line that the trace began with.
    fn start(&mut self, start: Start);

    /// What the trace was made under, at the start and when it changed.
    fn setup(&mut self, _: Setup) {}

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
        })
    }

    /// What it is of.
    pub fn meta(&self) -> &Meta {
        &self.meta
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
            ..
        } = self;
        let Some((kind, payload)) = frames.next()? else {
            return match ending {
                Some(_) => Ok(false),
                None => Err(frames.cut_short("the tool was ended before the trace was")),
            };
        };
        let taken = match kind {
            _ if ending.is_some() => Err(Malformed("something follows the ending")),
            Kind::Meta => Err(Malformed("it says again what is recorded")),
            Kind::Start => json(payload).map(|start| taker.start(start)),
            Kind::Inputs => decoder.inputs(payload, &mut |at_ns, input| taker.input(at_ns, input)),
            Kind::Ending => json(payload).map(|it| *ending = Some(it)),
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
