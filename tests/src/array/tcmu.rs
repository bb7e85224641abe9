//! One TCMU device's shared memory (`linux/target_core_user.h`): mailbox, command ring, data.
//!
//! Commands are copied out of the ring as soon as they are seen, so an answer may use any entry:
//! the kernel looks a completion up by the `cmd_id` it finds in the entry at `cmd_tail`, in
//! whatever order the commands came.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::mm::{MapFlags, ProtFlags};

use super::scsi::Reply;
use crate::sys;

const OP_MASK: u32 = 0x7;
const OP_COMMAND: u32 = 1;
const FLAG_OUT_OF_ORDER: u16 = 1 << 0;
const FLAG_READ_LENGTH: u16 = 1 << 1;
const UFLAG_READ_LENGTH: u8 = 0x2;
/// Offsets in `struct tcmu_mailbox`.
const CMD_HEAD: usize = 12;
const CMD_TAIL: usize = 64;
/// Offsets in `struct tcmu_cmd_entry`: packed outside, but not the structures in its union.
const ENTRY_CMD_ID: usize = 4;
const ENTRY_UFLAGS: usize = 7;
const ENTRY_BODY: usize = 8;
const ENTRY_CDB_OFFSET: usize = 24;
const ENTRY_IOV: usize = 48;
const RESPONSE_BYTES: usize = 8 + 96;

/// A command taken from the ring.
#[derive(Debug)]
pub(super) struct Command {
    /// The kernel's number for it.
    pub(super) id: u16,
    /// CDB, padded to 16 bytes.
    pub(super) cdb: [u8; 16],
    /// Pieces of its data buffer: offset in the mapping and length.
    pieces: Vec<(usize, usize)>,
}

impl Command {
    /// Size of its data buffer.
    pub(super) fn room(&self) -> usize {
        self.pieces.iter().map(|piece| piece.1).sum()
    }
}

/// One device's ring.
pub(super) struct Ring {
    uio: File,
    base: NonNull<u8>,
    size: usize,
    ring_offset: usize,
    ring_size: usize,
    read_length: bool,
    /// Next entry not seen yet, relative to the ring.
    next: usize,
}

// SAFETY: the mapping belongs to the ring alone; it moves to its thread and stays there.
unsafe impl Send for Ring {}

impl Ring {
    /// Maps `/dev/<uio>`.
    pub(super) fn open(uio: &str) -> Result<Ring> {
        let device = format!("/dev/{uio}");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&device)
            .with_context(|| format!("failed to open {device}"))?;
        let size = sys::read(format!("/sys/class/uio/{uio}/maps/map0/size"))?;
        let size = usize::from_str_radix(size.trim_start_matches("0x"), 16)?;
        // SAFETY: a new mapping of a device whose size the kernel told.
        let base = unsafe {
            rustix::mm::mmap(
                std::ptr::null_mut(),
                size,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                &file,
                0,
            )
        }
        .with_context(|| format!("failed to map {device}"))?;
        let base = NonNull::new(base.cast()).context("mapped at address 0")?;
        let mut ring = Ring {
            uio: file,
            base,
            size,
            ring_offset: 0,
            ring_size: 0,
            read_length: false,
            next: 0,
        };
        ring.read_mailbox()?;
        Ok(ring)
    }

    fn read_mailbox(&mut self) -> Result<()> {
        let [version, flags] = [0, 2].map(|at| u16::from_ne_bytes(self.bytes(at)));
        ensure!(version == 2, "mailbox version {version} is not 2");
        ensure!(
            flags & FLAG_OUT_OF_ORDER != 0,
            "the kernel wants completions in order"
        );
        self.read_length = flags & FLAG_READ_LENGTH != 0;
        self.ring_offset = u32::from_ne_bytes(self.bytes(4)) as usize;
        self.ring_size = u32::from_ne_bytes(self.bytes(8)) as usize;
        ensure!(
            self.ring_size > 0 && self.ring_offset + self.ring_size <= self.size,
            "the command ring lies outside the mapping"
        );
        self.next = self.word(CMD_TAIL).load(Ordering::Acquire) as usize;
        Ok(())
    }

    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut bytes = [0; N];
        self.copy_out(at, &mut bytes);
        bytes
    }

    /// Copies out of the mapping; what lies outside it reads as it was.
    fn copy_out(&self, at: usize, to: &mut [u8]) {
        if at.checked_add(to.len()).is_some_and(|end| end <= self.size) {
            // SAFETY: within the mapping, checked; `to` is memory of our own.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    self.base.as_ptr().add(at),
                    to.as_mut_ptr(),
                    to.len(),
                );
            }
        }
    }

    /// Copies into the mapping; nothing outside it.
    fn copy_in(&mut self, at: usize, from: &[u8]) {
        if at
            .checked_add(from.len())
            .is_some_and(|end| end <= self.size)
        {
            // SAFETY: within the mapping, checked; `from` is memory of our own.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    from.as_ptr(),
                    self.base.as_ptr().add(at),
                    from.len(),
                );
            }
        }
    }

    /// `cmd_head` or `cmd_tail`.
    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: both offsets are 4-aligned and in the first page of the mapping, which lives
        // as long as `self`; the kernel reads and writes these words whole.
        unsafe { AtomicU32::from_ptr(self.base.as_ptr().add(at).cast()) }
    }

    fn header(&self, entry: usize) -> (u32, usize) {
        let len_op = u32::from_ne_bytes(self.bytes(self.ring_offset + entry));
        (len_op & OP_MASK, (len_op & !OP_MASK) as usize)
    }

    fn after(&self, entry: usize, length: usize) -> usize {
        (entry + length) % self.ring_size
    }

    /// The next command that was not seen yet.
    pub(super) fn next(&mut self) -> Result<Option<Command>> {
        loop {
            let head = self.word(CMD_HEAD).load(Ordering::Acquire) as usize;
            if self.next == head {
                return Ok(None);
            }
            let (op, length) = self.header(self.next);
            if length == 0 {
                bail!("an entry of the command ring has no length");
            }
            let entry = self.ring_offset + self.next;
            self.next = self.after(self.next, length);
            if op == OP_COMMAND {
                return Ok(Some(self.copy_command(entry)));
            }
        }
    }

    fn copy_command(&self, entry: usize) -> Command {
        let iov_count = u32::from_ne_bytes(self.bytes(entry + ENTRY_BODY)) as usize;
        let cdb_offset = u64::from_ne_bytes(self.bytes(entry + ENTRY_CDB_OFFSET)) as usize;
        let word = |at: usize| u64::from_ne_bytes(self.bytes(at)) as usize;
        let pieces = (0..iov_count)
            .map(|index| entry + ENTRY_IOV + 16 * index)
            .map(|at| (word(at), word(at + 8)))
            .collect();
        Command {
            id: u16::from_ne_bytes(self.bytes(entry + ENTRY_CMD_ID)),
            cdb: self.bytes(cdb_offset),
            pieces,
        }
    }

    /// Copies `data` into the command's buffer, as far as there is room.
    pub(super) fn scatter(&mut self, command: &Command, data: &[u8]) {
        let mut rest = data;
        for (at, length) in &command.pieces {
            let (now, later) = rest.split_at(rest.len().min(*length));
            self.copy_in(*at, now);
            rest = later;
        }
    }

    /// Copies the command's buffer into `data`, as far as it goes.
    pub(super) fn gather(&self, command: &Command, data: &mut [u8]) {
        let mut done = 0;
        for (at, length) in &command.pieces {
            let end = data.len().min(done + length);
            self.copy_out(*at, &mut data[done..end]);
            done = end;
        }
    }

    /// Hands a command back; [`Ring::kick`] makes the kernel look.
    pub(super) fn complete(&mut self, command: &Command, reply: &Reply) {
        let mut tail = self.word(CMD_TAIL).load(Ordering::Relaxed) as usize;
        let (mut op, mut length) = self.header(tail);
        while op != OP_COMMAND && length > 0 && tail != self.next {
            tail = self.after(tail, length);
            (op, length) = self.header(tail);
        }
        let entry = self.ring_offset + tail;
        self.copy_in(entry + ENTRY_CMD_ID, &command.id.to_ne_bytes());
        let partial = self.read_length && reply.sense.is_none() && !reply.data.is_empty();
        self.copy_in(
            entry + ENTRY_UFLAGS,
            &[if partial { UFLAG_READ_LENGTH } else { 0 }],
        );
        let mut response = [0; RESPONSE_BYTES];
        response[0] = reply.status;
        response[4..8].copy_from_slice(&(reply.data.len() as u32).to_ne_bytes());
        if let Some(sense) = reply.sense {
            response[8..26].copy_from_slice(&sense.to_bytes());
        }
        self.copy_in(entry + ENTRY_BODY, &response);
        let tail = self.after(tail, length) as u32;
        self.word(CMD_TAIL).store(tail, Ordering::Release);
    }

    /// Tells the kernel that `cmd_tail` moved.
    pub(super) fn kick(&mut self) -> Result<()> {
        self.uio
            .write_all(&1u32.to_ne_bytes())
            .context("failed to tell the kernel")
    }

    /// Waits for new commands, at most `limit`.
    pub(super) fn wait(&mut self, limit: Duration) -> Result<()> {
        let timeout = Timespec {
            tv_sec: limit.as_secs() as i64,
            tv_nsec: i64::from(limit.subsec_nanos()),
        };
        let readable = {
            let mut files = [PollFd::new(&self.uio, PollFlags::IN)];
            match rustix::event::poll(&mut files, Some(&timeout)) {
                Ok(ready) => ready > 0,
                Err(rustix::io::Errno::INTR) => false,
                Err(error) => return Err(error).context("failed to wait for commands"),
            }
        };
        if readable {
            let mut count = [0; 4];
            self.uio
                .read_exact(&mut count)
                .context("failed to read the interrupt count")?;
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open` and nothing refers to it any more.
        let _ = unsafe { rustix::mm::munmap(self.base.as_ptr().cast(), self.size) };
    }
}
