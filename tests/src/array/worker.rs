//! One nexus's thread: takes commands from its ring, holds each for its own delay, and hands it
//! back. Delays run side by side: a command waits for its due time, never for another command.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;

use super::access::Nexus;
use super::journal::Entry;
use super::model::{Shared, lock};
use super::scsi::{Reply, Request, Sense};
use super::tcmu::{Command, Ring};
use crate::sys;

const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A command that waits for its time. Ordered by that, then by arrival.
struct Waiting {
    due_at_ns: u64,
    entry: Entry,
    command: Command,
    request: Request,
    refused: Option<Reply>,
}

impl Waiting {
    fn key(&self) -> (u64, u64) {
        (self.due_at_ns, self.entry.sequence)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

/// Serves `nexus` until the array stops.
pub(super) fn run(nexus: Nexus, mut ring: Ring, shared: &Shared) -> Result<()> {
    // SAFETY: changes only how late this thread's own timers may fire.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    let mut waiting = BinaryHeap::new();
    while !shared.stop.load(Ordering::Acquire) {
        while let Some(command) = ring.next()? {
            waiting.push(Reverse(admit(nexus, command, shared)));
        }
        let mut completed = false;
        while let Some(command) = take_due(&mut waiting) {
            complete(nexus, &mut ring, command, shared);
            completed = true;
        }
        if completed {
            ring.kick()?;
        }
        let limit = waiting.peek().map_or(LONGEST_WAIT, |next| {
            let left = next.0.due_at_ns.saturating_sub(sys::monotonic_ns());
            Duration::from_nanos(left).min(LONGEST_WAIT)
        });
        ring.wait(limit)?;
    }
    Ok(())
}

fn admit(nexus: Nexus, command: Command, shared: &Shared) -> Waiting {
    let seen_at_ns = sys::monotonic_ns();
    let request = Request::parse(&command.cdb);
    let admission = shared.model().admit(nexus, request, seen_at_ns);
    let (lba, blocks) = match request {
        Request::Read { lba, blocks } | Request::Write { lba, blocks } => (lba, blocks),
        _ => (0, 0),
    };
    let sequence = shared.sequence.fetch_add(1, Ordering::Relaxed);
    let entry = Entry {
        sequence,
        opcode: command.cdb[0],
        asked: [command.cdb[1], command.cdb[2]],
        lba,
        blocks,
        seen_at_ns,
        ..Entry::default()
    };
    let due_at_ns = seen_at_ns + admission.delay_ns;
    Waiting {
        due_at_ns,
        entry,
        command,
        request,
        refused: admission.refused,
    }
}

fn take_due(waiting: &mut BinaryHeap<Reverse<Waiting>>) -> Option<Waiting> {
    let due = waiting.peek()?.0.due_at_ns <= sys::monotonic_ns();
    if due {
        waiting.pop().map(|next| next.0)
    } else {
        None
    }
}

fn complete(nexus: Nexus, ring: &mut Ring, waiting: Waiting, shared: &Shared) {
    let Waiting {
        mut entry,
        command,
        request,
        refused,
        ..
    } = waiting;
    let reply = refused.unwrap_or_else(|| execute(nexus, ring, &command, request, shared));
    if !reply.data.is_empty() {
        ring.scatter(&command, &reply.data);
    }
    entry.status = reply.status;
    entry.sense = reply.sense;
    entry.completed_at_ns = sys::monotonic_ns();
    if let Some(journal) = shared.journals.get(&nexus) {
        lock(journal).note(entry);
    }
    ring.complete(&command, &reply);
}

fn execute(
    nexus: Nexus,
    ring: &mut Ring,
    command: &Command,
    request: Request,
    shared: &Shared,
) -> Reply {
    let store = shared.stores.get(usize::from(nexus.lun));
    let done =
        match request {
            Request::Read { lba, blocks } => store
                .and_then(|store| store.read(lba, blocks, |bytes| ring.scatter(command, bytes))),
            Request::Write { lba, blocks } => store
                .and_then(|store| store.write(lba, blocks, |bytes| ring.gather(command, bytes))),
            _ => {
                let mut data_out = vec![0; command.room()];
                ring.gather(command, &mut data_out);
                let now_ns = sys::monotonic_ns();
                return shared.model().answer(nexus, request, &data_out, now_ns);
            }
        };
    done.map_or_else(|| Reply::check(Sense::OUT_OF_RANGE), |()| Reply::good())
}
