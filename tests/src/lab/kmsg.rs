//! The kernel log as an independent witness, with its times on CLOCK_MONOTONIC.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

use crate::sys;

const DEVICE: &str = "/dev/kmsg";
/// Whoever is interrupted while it writes a line does not know when that was: how often it is tried
/// again.
const ATTEMPTS: u32 = 20;
/// Whoever took less was not interrupted.
const TIGHT_NS: u64 = 100_000;

/// Reads what the kernel says from now on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
    /// Monotonic clock minus the log's own, from a line written at a known time.
    offset_ns: i64,
}

/// How far the two clocks lie apart, and how long the write took: twice what that is off by at most.
struct Offset {
    offset_ns: i64,
    took_ns: u64,
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
        let mut log = KernelLog { file, offset_ns: 0 };
        let mut tightest = log.measure()?;
        for _ in 1..ATTEMPTS {
            if tightest.took_ns < TIGHT_NS {
                break;
            }
            let next = log.measure()?;
            if next.took_ns < tightest.took_ns {
                tightest = next;
            }
        }
        log.offset_ns = tightest.offset_ns;
        Ok(log)
    }

    /// Writes a line and compares its time with the clock's before and after.
    fn measure(&mut self) -> Result<Offset> {
        // One for each line: the kernel takes only ten in five seconds of one writer.
        let mut writer = OpenOptions::new().write(true).open(DEVICE)?;
        let mark = format!("alua-trace-tests: mark {}", sys::monotonic_ns());
        // Without the newline the record stays open for a continuation and cannot be read.
        let record = format!("{mark}\n");
        let before = sys::monotonic_ns();
        writer
            .write_all(record.as_bytes())
            .context("failed to write to the kernel log")?;
        let took_ns = sys::monotonic_ns() - before;
        let lines = self.lines()?;
        let line = lines
            .iter()
            .find(|line| line.text.contains(&mark))
            .context("the mark is not in the kernel log")?;
        let written = i64::try_from(before + took_ns / 2)?;
        Ok(Offset {
            offset_ns: written - i64::try_from(line.at_ns)?,
            took_ns,
        })
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
