//! The kernel log as an independent witness, with its times on CLOCK_MONOTONIC.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

use crate::sys;

const DEVICE: &str = "/dev/kmsg";

/// Reads what the kernel says from now on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
    /// Monotonic clock minus the log's own, from a line written at a known time.
    offset_ns: i64,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Monotonic time.
    pub(crate) at_ns: u64,
    /// Text.
    pub(crate) text: String,
}

impl KernelLog {
    /// Starts listening and measures how far the two clocks lie apart.
    pub(crate) fn open() -> Result<KernelLog> {
        let mut file = open()?;
        file.seek(SeekFrom::End(0))
            .context("failed to seek in the kernel log")?;
        let mark = format!("alua-trace-tests: mark {}", sys::monotonic_ns());
        // Without the newline the record stays open for a continuation and cannot be read.
        let record = format!("{mark}\n");
        let before = sys::monotonic_ns();
        OpenOptions::new()
            .write(true)
            .open(DEVICE)?
            .write_all(record.as_bytes())
            .context("failed to write to the kernel log")?;
        let after = sys::monotonic_ns();
        let mut log = KernelLog { file, offset_ns: 0 };
        let lines = log.lines()?;
        let line = lines
            .iter()
            .find(|line| line.text.contains(&mark))
            .context("the mark is not in the kernel log")?;
        let written = i64::try_from(before + (after - before) / 2)?;
        log.offset_ns = written - i64::try_from(line.at_ns)?;
        Ok(log)
    }

    /// Monotonic clock minus the log's clock.
    pub(crate) fn offset_ns(&self) -> i64 {
        self.offset_ns
    }

    /// Lines since the last call.
    pub(crate) fn lines(&mut self) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        let mut record = [0; 8192];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return Ok(lines),
                Ok(length) => {
                    let text = String::from_utf8_lossy(&record[..length]);
                    lines.extend(parse(&text, self.offset_ns));
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return Ok(lines),
                // Lines were overwritten before they were read: go on with the oldest.
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {}
                Err(error) => return Err(error).context("failed to read the kernel log"),
            }
        }
    }
}

fn open() -> Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DEVICE)
        .context("failed to open the kernel log")
}

/// `priority,sequence,microseconds,flags;text`.
fn parse(record: &str, offset_ns: i64) -> Option<Line> {
    let (header, text) = record.split_once(';')?;
    let microseconds: u64 = header.split(',').nth(2)?.parse().ok()?;
    let at_ns = (microseconds * 1000).checked_add_signed(offset_ns)?;
    Some(Line {
        at_ns,
        text: text.lines().next()?.to_owned(),
    })
}

/// The last `count` lines, with their times.
pub(crate) fn tail(count: usize) -> String {
    let Ok(file) = open() else {
        return String::new();
    };
    let lines = KernelLog { file, offset_ns: 0 }.lines().unwrap_or_default();
    lines
        .iter()
        .skip(lines.len().saturating_sub(count))
        .map(|line| format!("[{:12.6}] {}\n", line.at_ns as f64 / 1e9, line.text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_and_moved_to_the_other_clock() {
        let record = "6,339,5140900,-;alua: port group 01 state N\n SUBSYSTEM=scsi\n";
        let line = parse(record, -900).unwrap();
        assert_eq!(line.at_ns, 5_140_899_100);
        assert_eq!(line.text, "alua: port group 01 state N");
        assert_eq!(parse("nonsense", 0), None);
    }
}
