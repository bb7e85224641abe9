//! What is remembered of a path's last block I/O: whether it still completes any, and whether large ones do.

use alua_trace_ebpf::CommandRecord;

/// More data than a segment of an Ethernet without jumbo frames has room for: 1500 bytes less the headers of IP
/// and TCP.
pub const LARGE_BYTES: u32 = 1460;
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
    /// The last such one that did not.
    pub large_failed: Span,
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
        self.completed_ns = self.completed_ns.max(record.completion_ns);
        let span = Span {
            dispatch_ns: record.dispatch_ns,
            completion_ns: record.completion_ns,
        };
        if record.result != 0 {
            if record.bytes > LARGE_BYTES {
                self.large_failed = span;
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
