//! JSON to a file, a FIFO or standard output.

use std::{fs::File, io};

use super::Sink;
use crate::{json::JsonWriter, model::Line};

/// Where JSON goes, and how many bytes of it are whole lines.
pub struct Target {
    out: Box<dyn io::Write + Send>,
    /// The file, to be cut to whole lines when writing it fails.
    file: Option<File>,
    written: u64,
    whole: u64,
}

impl Target {
    /// Standard output.
    pub fn stdout() -> Self {
        Self::new(Box::new(io::stdout()), None)
    }

    /// A file just made.
    pub fn file(file: File) -> io::Result<Self> {
        let out = file.try_clone()?;
        Ok(Self::new(Box::new(out), Some(file)))
    }

    fn new(out: Box<dyn io::Write + Send>, file: Option<File>) -> Self {
        Self {
            out,
            file,
            written: 0,
            whole: 0,
        }
    }
}

impl io::Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        if let Some(end) = bytes[..written].iter().rposition(|byte| *byte == b'\n') {
            self.whole = self.written + end as u64 + 1;
        }
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Lines as JSON.
pub struct Json {
    writer: JsonWriter<Target>,
}

impl Json {
    /// Lines to this target.
    pub fn new(target: Target) -> Self {
        Self {
            writer: JsonWriter::new(target),
        }
    }
}

impl Sink<Line> for Json {
    fn take(&mut self, line: &Line) -> io::Result<()> {
        self.writer.write(line)
    }

    fn end(&mut self) -> io::Result<()> {
        self.writer.flush()
    }

    fn cut(&mut self) {
        let target = self.writer.target();
        if let Some(file) = &target.file {
            // Only a file can be cut; of what cannot, the reader has the half line.
            let _ = file.set_len(target.whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use io::Write;

    use super::*;

    #[test]
    fn what_is_whole_ends_with_a_line() {
        let mut target = Target::new(Box::new(io::sink()), None);
        target.write_all(b"{}\n{\"a\"").unwrap();
        assert_eq!((target.written, target.whole), (7, 3));
        target.write_all(b":1}\n").unwrap();
        assert_eq!((target.written, target.whole), (11, 11));
    }
}
