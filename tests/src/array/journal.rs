//! The log of one LUN over one path: what it was asked, when it saw that and when it was done. Memory is taken
//! once; commands beyond it are counted.

use std::io::{self, Write};

use super::access::Nexus;
use super::scsi::Sense;

/// One command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Entry {
    /// Order in which the array saw it, over all paths and LUNs.
    pub(crate) sequence: u64,
    /// First CDB byte.
    pub(crate) opcode: u8,
    /// Second and third CDB byte: service action or EVPD, and page.
    pub(crate) asked: [u8; 2],
    /// Status byte.
    pub(crate) status: u8,
    /// Sense of a CHECK CONDITION.
    pub(crate) sense: Option<Sense>,
    /// Logical block, for reads and writes.
    pub(crate) lba: u64,
    /// Blocks, for reads and writes.
    pub(crate) blocks: u32,
    /// Monotonic time at which the array saw it.
    pub(crate) seen_at_ns: u64,
    /// Monotonic time just before it was handed back.
    pub(crate) completed_at_ns: u64,
}

/// A nexus's log.
#[derive(Debug)]
pub(crate) struct Journal {
    entries: Vec<Entry>,
    dropped: u64,
}

impl Journal {
    /// Room for `capacity` commands.
    pub(crate) fn new(capacity: usize) -> Journal {
        Journal {
            entries: Vec::with_capacity(capacity),
            dropped: 0,
        }
    }

    /// Notes a command.
    pub(crate) fn note(&mut self, entry: Entry) {
        if self.entries.len() < self.entries.capacity() {
            self.entries.push(entry);
        } else {
            self.dropped += 1;
        }
    }

    /// Forgets everything but the memory.
    pub(crate) fn forget(&mut self) {
        self.entries.clear();
        self.dropped = 0;
    }

    /// Commands noted, and commands there was no room for.
    pub(crate) fn counts(&self) -> (usize, u64) {
        (self.entries.len(), self.dropped)
    }

    /// Writes a line a command: path, LUN, sequence, CDB bytes 0 to 2, status, sense or `-`, lba, blocks,
    /// seen, completed.
    pub(crate) fn write(&self, nexus: Nexus, to: &mut impl Write) -> io::Result<()> {
        for it in &self.entries {
            let sense = it.sense.map_or("-".to_owned(), |sense| sense.to_string());
            writeln!(
                to,
                "{} {} {} {:02x} {:02x} {:02x} {:02x} {sense} {} {} {} {}",
                nexus.path,
                nexus.lun,
                it.sequence,
                it.opcode,
                it.asked[0],
                it.asked[1],
                it.status,
                it.lba,
                it.blocks,
                it.seen_at_ns,
                it.completed_at_ns
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_counted() {
        let mut journal = Journal::new(2);
        let room = journal.entries.capacity();
        for _ in 0..room + 3 {
            journal.note(Entry::default());
        }
        assert_eq!(journal.counts(), (room, 3));
        journal.forget();
        assert_eq!(journal.counts(), (0, 0));
    }
}
