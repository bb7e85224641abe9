//! The file's frames: what every byte of a recording is wrapped in, so that damage is found, and located.

use std::io::{self, IoSlice, Read, Write};

use super::error::RecordingError;

/// First bytes of a recording; the line feed shows what a transfer as text has done to it.
const MAGIC: [u8; 8] = *b"\x89ATRACE\n";
/// Version of the format: rises when a reader of the version before would understand something wrong.
pub const VERSION: u16 = 5;
/// The oldest that is read.
const OLDEST: u16 = 1;
const FILE_HEADER_BYTES: usize = 16;
const HEADER_BYTES: usize = 20;
/// Most bytes of a frame's payload: a reader never makes room for more.
pub const MOST_BYTES: usize = 64 << 20;

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// [`super::Meta`]: the first one.
    Meta = 1,
    /// The line that a trace begins with.
    Start = 2,
    /// Inputs of the engine.
    Inputs = 3,
    /// [`super::Ending`]: the last one.
    Ending = 4,
    /// [`crate::setup::Setup`].
    Setup = 5,
    /// What somebody must know who begins to read here: the trace was under way.
    Resumed = 6,
    /// Lines that the engine has said, where inputs are not recorded.
    Lines = 7,
    /// Any kind from [`MAY_BE_SKIPPED`] on that is not known here.
    Unknown = 255,
}

/// Kinds from here on are for those who know them: others lose nothing that they know of.
const MAY_BE_SKIPPED: u8 = 128;

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        let known = [
            Self::Meta,
            Self::Start,
            Self::Inputs,
            Self::Ending,
            Self::Setup,
            Self::Resumed,
            Self::Lines,
        ];
        let known = known.into_iter().find(|kind| *kind as u8 == byte);
        known.or((byte >= MAY_BE_SKIPPED).then_some(Self::Unknown))
    }
}

/// The file's header, then frames, numbered from 0.
pub fn file_header() -> [u8; FILE_HEADER_BYTES] {
    let mut header = [0; FILE_HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..10].copy_from_slice(&VERSION.to_le_bytes());
    let sum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// What stands before a frame's payload.
fn header(kind: Kind, number: u32, payload: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[0] = kind as u8;
    header[4..8].copy_from_slice(&number.to_le_bytes());
    // Payloads are bounded far below 4 GiB by who makes them.
    header[8..12].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[12..16].copy_from_slice(&crc32fast::hash(payload).to_le_bytes());
    let sum = crc32fast::hash(&header[..16]);
    header[16..].copy_from_slice(&sum.to_le_bytes());
    header
}

/// Reads frames, one after the other.
#[derive(Debug)]
pub struct Frames<R> {
    from: R,
    payload: Vec<u8>,
    /// Where the next frame begins.
    offset: u64,
    number: u32,
}

impl<R: Read> Frames<R> {
    /// Checks the file's header.
    ///
    /// # Errors
    /// [`RecordingError::Foreign`], [`RecordingError::NotReadableHere`], [`RecordingError::Io`]; a header
    /// that is damaged is [`RecordingError::Damaged`] as frame 0.
    pub fn open(mut from: R) -> Result<Self, RecordingError> {
        let mut header = [0; FILE_HEADER_BYTES];
        let got = read_up_to(&mut from, &mut header)?;
        if got == 0 {
            return Err(RecordingError::Foreign("the file is empty"));
        }
        if !header[..got].starts_with(&MAGIC[..got.min(8)]) {
            return Err(RecordingError::Foreign("its first bytes are others"));
        }
        if got < FILE_HEADER_BYTES {
            return Err(RecordingError::CutShort {
                offset: 0,
                frames: 0,
                why: "the file's header is not whole",
            });
        }
        if crc32fast::hash(&header[..12]).to_le_bytes() != header[12..] {
            return Err(RecordingError::Damaged {
                offset: 0,
                frame: 0,
                why: "the file's header has another checksum",
            });
        }
        let version = u16::from_le_bytes([header[8], header[9]]);
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(RecordingError::NotReadableHere(format!(
                "by a newer alua-trace, in version {version} of the format (this one reads {OLDEST} to {VERSION})"
            )));
        }
        Ok(Self {
            from,
            payload: Vec::new(),
            offset: FILE_HEADER_BYTES as u64,
            number: 0,
        })
    }

    /// Where the next frame begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next frame; `None` where the file ends between two.
    ///
    /// # Errors
    /// [`RecordingError::CutShort`], [`RecordingError::Damaged`], [`RecordingError::Io`].
    pub fn next(&mut self) -> Result<Option<(Kind, &[u8])>, RecordingError> {
        let mut header = [0; HEADER_BYTES];
        match read_up_to(&mut self.from, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            _ => return Err(self.cut_short("the header of the next frame is not whole")),
        }
        let (kind, length, sum) = self.header(&header)?;
        self.payload.clear();
        let payload = (&mut self.from)
            .take(length as u64)
            .read_to_end(&mut self.payload)?;
        if payload < length {
            return Err(self.cut_short("the next frame is not whole"));
        }
        if crc32fast::hash(&self.payload) != sum {
            return Err(self.damaged("its payload has another checksum"));
        }
        self.offset += (HEADER_BYTES + length) as u64;
        self.number = self.number.wrapping_add(1);
        Ok(Some((kind, &self.payload)))
    }

    fn header(&self, header: &[u8; HEADER_BYTES]) -> Result<(Kind, usize, u32), RecordingError> {
        let word = |at: usize| {
            u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        if crc32fast::hash(&header[..16]) != word(16) {
            return Err(self.damaged("its header has another checksum"));
        }
        if word(4) != self.number {
            return Err(self.damaged("it has another number: frames are missing before it"));
        }
        let length = word(8) as usize;
        if length > MOST_BYTES {
            return Err(self.damaged("it is longer than frames are"));
        }
        let kind = Kind::of(header[0]).ok_or_else(|| {
            RecordingError::NotReadableHere(format!(
                "by a newer alua-trace: frame {} is of kind {}",
                self.number, header[0]
            ))
        })?;
        Ok((kind, length, word(12)))
    }

    /// The file ends too early, where the next frame should be or go on.
    pub fn cut_short(&self, why: &'static str) -> RecordingError {
        RecordingError::CutShort {
            offset: self.offset,
            frames: self.number,
            why,
        }
    }

    fn damaged(&self, why: &'static str) -> RecordingError {
        RecordingError::Damaged {
            offset: self.offset,
            frame: self.number,
            why,
        }
    }

    /// The frame read last says something that cannot be.
    pub fn last_is_damaged(&self, why: &'static str) -> RecordingError {
        RecordingError::Damaged {
            offset: self.offset - (HEADER_BYTES + self.payload.len()) as u64,
            frame: self.number.wrapping_sub(1),
            why,
        }
    }
}

/// Fills as much of `into` as there is.
fn read_up_to(from: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < into.len() {
        match from.read(&mut into[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

/// Writes both with one write, if the writer takes all of it at once.
fn write_both(to: &mut impl Write, first: &[u8], then: &[u8]) -> io::Result<()> {
    let mut both = [IoSlice::new(first), IoSlice::new(then)];
    let mut left = &mut both[..];
    while !left.is_empty() {
        match to.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Writes frames, each with one write: what a killed process has written is whole.
#[derive(Debug)]
pub struct FrameWriter<W> {
    to: W,
    number: u32,
    bytes: u64,
}

impl<W: Write> FrameWriter<W> {
    /// Writes the file's header.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn begin(mut to: W) -> io::Result<Self> {
        let header = file_header();
        to.write_all(&header)?;
        Ok(Self {
            to,
            number: 0,
            bytes: header.len() as u64,
        })
    }

    /// Writes a frame.
    ///
    /// # Errors
    /// Those of the writer; then [`Self::whole_bytes`] says where the last whole frame ends.
    pub fn write(&mut self, kind: Kind, payload: &[u8]) -> io::Result<()> {
        let header = header(kind, self.number, payload);
        write_both(&mut self.to, &header, payload)?;
        self.number = self.number.wrapping_add(1);
        self.bytes += (header.len() + payload.len()) as u64;
        Ok(())
    }

    /// Bytes of the header and of whole frames.
    pub fn whole_bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it writes to.
    pub fn target(&self) -> &W {
        &self.to
    }
}
