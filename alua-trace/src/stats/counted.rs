//! What the probes have counted, where commands have no record of their own.

/// What has been counted of one path, class and state since the last time: never nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counted {
    /// Id of the path.
    pub path: u16,
    /// Index of the class: see [`alua_trace_ebpf::CLASSES`].
    pub class: u8,
    /// [`alua_trace_ebpf::state_index`].
    pub state: u8,
    /// Data, in bytes.
    pub bytes: u64,
    /// Latencies.
    pub sum_ns: u64,
    /// Commands that came through a dm map.
    pub mapped: u64,
    /// Commands that ended with a result other than 0.
    pub errors: u64,
    /// Commands that are no block I/O.
    pub passthrough: u64,
    /// The smallest latency in a bucket, in ns, and how many were in it.
    pub buckets: Vec<(u64, u32)>,
}

impl Counted {
    /// Commands.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.buckets
            .iter()
            .map(|(_, count)| u64::from(*count))
            .sum()
    }
}
