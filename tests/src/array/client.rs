//! The other end of the control socket, and the reader of both logs.

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::access::PathName;
use super::changes::StateChange;
use super::scsi::Sense;

/// A connection to a running array.
pub(crate) struct Client {
    requests: Box<dyn Write + Send>,
    answers: BufReader<Box<dyn Read + Send>>,
    /// It runs on another machine: its files are not here.
    is_remote: bool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.is_remote { "there" } else { "here" };
        write!(f, "Client({place})")
    }
}

/// An answer takes no longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// Nor when a whole log comes over a network.
const NETWORK_ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// A command in the array's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LoggedCommand {
    /// Path it came over.
    pub(crate) path: PathName,
    /// Logical unit it was for.
    pub(crate) lun: u8,
    /// Order in which the array saw it.
    pub(crate) sequence: u64,
    /// First CDB byte.
    pub(crate) opcode: u8,
    /// Second and third CDB byte: service action or EVPD, and page.
    pub(crate) asked: [u8; 2],
    /// Status byte.
    pub(crate) status: u8,
    /// Sense of a CHECK CONDITION.
    pub(crate) sense: Option<Sense>,
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
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        let answers: Box<dyn Read + Send> = Box::new(stream.try_clone()?);
        Ok(Client {
            requests: Box::new(stream),
            answers: BufReader::new(answers),
            is_remote: false,
        })
    }

    /// Connects to an array's guest.
    pub(crate) fn over_network(address: &str) -> Result<Client> {
        let to = address
            .parse()
            .with_context(|| format!("{address} is no address"))?;
        let stream = TcpStream::connect_timeout(&to, Duration::from_secs(2))
            .with_context(|| format!("failed to reach {address}"))?;
        stream.set_read_timeout(Some(NETWORK_ANSWER_WITHIN))?;
        let answers: Box<dyn Read + Send> = Box::new(stream.try_clone()?);
        Ok(Client {
            requests: Box::new(stream),
            answers: BufReader::new(answers),
            is_remote: true,
        })
    }

    /// Sends a request and returns what it answers before `ok`.
    pub(crate) fn ask(&mut self, request: &str) -> Result<Vec<String>> {
        let line = format!("{request}\n");
        (self.requests.write_all(line.as_bytes()))
            .with_context(|| format!("failed to send {request}"))?;
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
        self.written("log")?.lines().map(parse_line).collect()
    }

    /// Every change of an owner or a state since the log was emptied, in order of time. A log that
    /// has lost some is an error.
    pub(crate) fn transfers(&mut self) -> Result<Vec<StateChange>> {
        let text = self.written("transfers")?;
        let mut changes: Vec<StateChange> = text.lines().map(str::parse).collect::<Result<_>>()?;
        changes.sort_by_key(|change| change.at_ns);
        Ok(changes)
    }

    /// What the array writes to a file at `request`.
    fn written(&mut self, request: &str) -> Result<String> {
        let file = format!("/tmp/array.{request}");
        self.ask(&format!("{request} {file}"))?;
        if self.is_remote {
            return Ok(self.ask(&format!("read {file}"))?.join("\n"));
        }
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("failed to read {file}"))?;
        let _ = std::fs::remove_file(&file);
        Ok(text)
    }
}

fn parse_line(line: &str) -> Result<LoggedCommand> {
    let words: Vec<&str> = line.split(' ').collect();
    let [
        path,
        lun,
        sequence,
        opcode,
        second,
        third,
        status,
        sense,
        lba,
        blocks,
        seen,
        completed,
    ] = words[..]
    else {
        bail!("bad line in the array's log: {line:?}");
    };
    Ok(LoggedCommand {
        path: path.parse()?,
        lun: lun.parse()?,
        sequence: sequence.parse()?,
        opcode: u8::from_str_radix(opcode, 16)?,
        asked: [
            u8::from_str_radix(second, 16)?,
            u8::from_str_radix(third, 16)?,
        ],
        status: u8::from_str_radix(status, 16)?,
        sense: match sense {
            "-" => None,
            sense => Some(sense.parse()?),
        },
        lba: lba.parse()?,
        blocks: blocks.parse()?,
        seen_at_ns: seen.parse()?,
        completed_at_ns: completed.parse()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::access::Nexus;
    use super::super::journal::{Entry, Journal};
    use super::*;

    #[test]
    fn what_the_array_writes_is_read_back() {
        let mut journal = Journal::new(1);
        let entry = Entry {
            sequence: 7,
            opcode: 0x28,
            asked: [0x0a, 0x83],
            status: 2,
            sense: Some(Sense::NOT_THE_OWNER),
            lba: 9,
            blocks: 8,
            seen_at_ns: 100,
            completed_at_ns: 250,
        };
        journal.note(entry);
        let mut text = Vec::new();
        let path = "B2".parse().unwrap();
        journal.write(Nexus { path, lun: 3 }, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let read = parse_line(text.trim_end()).unwrap();
        assert_eq!((read.path, read.lun), (path, 3));
        assert_eq!(read.sense, Some(Sense::NOT_THE_OWNER));
        assert_eq!((read.sequence, read.opcode, read.status), (7, 0x28, 2));
        assert_eq!(read.asked, [0x0a, 0x83]);
        assert_eq!((read.lba, read.blocks), (9, 8));
        assert_eq!((read.seen_at_ns, read.completed_at_ns), (100, 250));
        assert!(parse_line("A1 1 2").is_err());
    }
}
