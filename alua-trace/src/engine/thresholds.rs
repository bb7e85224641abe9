//! What makes a finding of what was seen: the numbers that a replay may judge by otherwise.

/// From when on something is a finding. Times are in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// Moves of a logical unit to and fro that are thrash; no more than 64 are remembered.
    pub thrash_transfers: usize,
    /// The time within which they are.
    pub thrash_ns: u64,
    /// A transition may take this long when the array does not say (the kernel's
    /// `ALUA_FAILOVER_TIMEOUT`, 60 s until 6.19).
    pub transition_stuck_ns: u64,
    /// A MODE SELECT has this long to be answered.
    pub mode_select_ns: u64,
    /// Whoever holds another state has this long to hear of the new one: a handler asks within milliseconds
    /// of a unit attention, multipathd every few seconds.
    pub disagrees_ns: u64,
    /// A logical unit may be away from its preferred owner for this long.
    pub not_preferred_ns: u64,
    /// A path that completes nothing for this long, and for ten times its p99, is stuck.
    pub stuck_ns: u64,
    /// A wait that counts as held in dm: near an event the waits of all commands are measured, and most are
    /// the few µs that dm takes.
    pub held_ns: u64,
}

impl Default for Thresholds {
    fn default() -> Self {
        const SECOND_NS: u64 = 1_000_000_000;
        Self {
            thrash_transfers: 3,
            thrash_ns: 60 * SECOND_NS,
            transition_stuck_ns: 60 * SECOND_NS,
            mode_select_ns: 30 * SECOND_NS,
            disagrees_ns: 3 * SECOND_NS,
            not_preferred_ns: 5 * SECOND_NS,
            stuck_ns: SECOND_NS,
            held_ns: SECOND_NS / 1000,
        }
    }
}
