//! What is remembered of a path's last block I/O: whether it still completes any, and whether large ones do.

use alua_trace_ebpf::CommandRecord;

/// More data than a segment of an Ethernet without jumbo frames has room for: 1500 bytes less the headers of IP
/// and TCP.
pub const LARGE_BYTES: u32 = 1460;
/// Host bytes of `scsi_cmnd.result` (include/scsi/scsi_status.h) that say that the transport was lost under a command:
/// DID_TRANSPORT_DISRUPTED, DID_TRANSPORT_FAILFAST.
const TRANSPORT_LOST: [u32; 2] = [0x0e, 0x0f];
/// A path that completes nothing for so long and then this is why the commands that end it took so long.
const SILENCE_NS: u64 = 1_000_000_000;
/// Dispatches remembered: who has completed so many since a moment goes on.
const REMEMBERED: usize = 4;

/// When a command began, and when it ended. All times are in ns on the monotonic clock; 0 is never.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    pub dispatch_ns: u64,
    pub completion_ns: u64,
}

/// Of one path.
#[derive(Debug, Clone, Copy, Default)]
pub struct Watched {
    /// When the last one ended, well or not.
    pub completed_ns: u64,
    /// When the last one ended well.
    pub done_ns: u64,
    /// When the last ones that ended well were dispatched, in no order.
    recent_ns: [u64; REMEMBERED],
    next: u8,
    /// The last one of more than [`LARGE_BYTES`] that ended well.
    pub large_done: Span,
    /// The last such one that ended because the transport was lost.
    pub large_lost: Span,
    /// Commands that a silence of the path held up, and until when the last one was.
    hung: u64,
    silent_until_ns: u64,
    /// The oldest one in flight when the probes' slots were last read, and the time before.
    pub oldest_ns: Option<u64>,
    pub oldest_before_ns: Option<u64>,
    /// Commands in flight then.
    pub in_flight: u64,
    /// When that was last found to be none, and how many had been dispatched by then.
    pub clear_ns: u64,
    pub clear_dispatched: u64,
    /// When dm last failed the path.
    pub failed_ns: u64,
}

impl Watched {
    /// A block I/O ended.
    #[inline]
    pub fn completed(&mut self, record: &CommandRecord) {
        let span = Span {
            dispatch_ns: record.dispatch_ns,
            completion_ns: record.completion_ns,
        };
        if span.completion_ns.saturating_sub(span.dispatch_ns) >= SILENCE_NS {
            self.took_long(span);
        }
        self.completed_ns = self.completed_ns.max(record.completion_ns);
        if record.result != 0 {
            if record.bytes > LARGE_BYTES && TRANSPORT_LOST.contains(&(record.result >> 16 & 0xff))
            {
                self.large_lost = span;
            }
            return;
        }
        self.done_ns = self.done_ns.max(record.completion_ns);
        self.recent_ns[usize::from(self.next) % REMEMBERED] = record.dispatch_ns;
        self.next = self.next.wrapping_add(1);
        if record.bytes > LARGE_BYTES {
            self.large_done = span;
        }
    }

    #[cold]
    fn took_long(&mut self, span: Span) {
        let before_ns = self.completed_ns.max(span.dispatch_ns);
        if span.completion_ns.saturating_sub(before_ns) >= SILENCE_NS {
            self.silent_until_ns = span.completion_ns;
        }
        if span.dispatch_ns < self.silent_until_ns {
            self.hung += 1;
        }
    }

    /// Commands that say nothing of what the path is used to, of so many: a silence held them up. A path on which they are
    /// no exception is used to it.
    pub fn hung(&self, of: u64) -> u64 {
        self.hung.min(of / 10)
    }

    /// The probes' slots were read at `at_ns`, when so many had been dispatched.
    pub fn looked(
        &mut self,
        (oldest_ns, in_flight): (Option<u64>, u64),
        at_ns: u64,
        dispatched: u64,
    ) {
        self.oldest_before_ns = self.oldest_ns;
        (self.oldest_ns, self.in_flight) = (oldest_ns, in_flight);
        if oldest_ns.is_none() {
            (self.clear_ns, self.clear_dispatched) = (at_ns, dispatched);
        }
    }

    /// How many of the last ones that ended well were dispatched after that.
    pub fn done_since(&self, ns: u64) -> usize {
        self.recent_ns.iter().filter(|it| **it > ns).count()
    }

    /// The oldest in flight, where two readings in a row have found the same: one alone may have been made while a
    /// slot changed hands.
    pub fn waiting_since_ns(&self) -> Option<u64> {
        self.oldest_ns
            .filter(|_| self.oldest_ns == self.oldest_before_ns)
    }
}
