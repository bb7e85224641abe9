//! The other end of the control socket, and the reader of the log.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::access::PathName;

/// A connection to a running array.
#[derive(Debug)]
pub(crate) struct Client {
    stream: UnixStream,
    answers: BufReader<UnixStream>,
}

/// A command in the array's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedCommand {
    /// Path it came over.
    pub(crate) path: PathName,
    /// Order in which the array saw it.
    pub(crate) sequence: u64,
    /// First CDB byte.
    pub(crate) opcode: u8,
    /// Status byte.
    pub(crate) status: u8,
    /// Logical block.
    pub(crate) lba: u64,
    /// Blocks.
    pub(crate) blocks: u32,
    /// When the array saw it.
    pub(crate) seen_at_ns: u64,
    /// When it was done.
    pub(crate) completed_at_ns: u64,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(socket: &str) -> Result<Client> {
        let stream =
            UnixStream::connect(socket).with_context(|| format!("failed to reach {socket}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let answers = BufReader::new(stream.try_clone()?);
        Ok(Client { stream, answers })
    }

    /// Sends a request and returns what it answers before `ok`.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<String>> {
        writeln!(self.stream, "{request}").with_context(|| format!("failed to send {request}"))?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.answers.read_line(&mut line);
            if read.with_context(|| format!("no answer to {request:?}"))? == 0 {
                bail!("the array went away at {request:?}");
            }
            let line = line.trim_end();
            if line == "ok" {
                return Ok(lines);
            }
            if let Some(error) = line.strip_prefix("error: ") {
                bail!("the array refused {request:?}: {error}");
            }
            lines.push(line.to_owned());
        }
    }

    /// Every command since the log was emptied, path by path in order of completion. A log that
    /// has lost commands is an error.
    pub(crate) fn log(&mut self) -> Result<Vec<LoggedCommand>> {
        if let Some(lossy) = self
            .ask("stat")?
            .iter()
            .find(|line| line.starts_with("path ") && !line.ends_with(" not-logged 0"))
        {
            bail!("the array's log overflowed: {lossy}");
        }
        let file = "/tmp/array.log";
        self.ask(&format!("log {file}"))?;
        let text = std::fs::read_to_string(file).context("failed to read the array's log")?;
        let _ = std::fs::remove_file(file);
        text.lines().map(parse_line).collect()
    }
}

fn parse_line(line: &str) -> Result<LoggedCommand> {
    let words: Vec<&str> = line.split(' ').collect();
    let [path, sequence, opcode, status, lba, blocks, seen, completed] = words[..] else {
        bail!("bad line in the array's log: {line:?}");
    };
    Ok(LoggedCommand {
        path: path.parse()?,
        sequence: sequence.parse()?,
        opcode: u8::from_str_radix(opcode, 16)?,
        status: u8::from_str_radix(status, 16)?,
        lba: lba.parse()?,
        blocks: blocks.parse()?,
        seen_at_ns: seen.parse()?,
        completed_at_ns: completed.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::journal::{Entry, Journal};
    use super::*;

    #[test]
    fn what_the_array_writes_is_read_back() {
        let mut journal = Journal::new(1);
        let entry = Entry {
            sequence: 7,
            opcode: 0x28,
            status: 2,
            lba: 9,
            blocks: 8,
            seen_at_ns: 100,
            completed_at_ns: 250,
        };
        journal.note(entry);
        let mut text = Vec::new();
        journal.write("B2".parse().unwrap(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let read = parse_line(text.trim_end()).unwrap();
        assert_eq!(read.path.to_string(), "B2");
        assert_eq!((read.sequence, read.opcode, read.status), (7, 0x28, 2));
        assert_eq!((read.lba, read.blocks), (9, 8));
        assert_eq!((read.seen_at_ns, read.completed_at_ns), (100, 250));
        assert!(parse_line("A1 1 2").is_err());
    }
}
