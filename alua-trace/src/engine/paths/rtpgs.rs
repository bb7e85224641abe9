//! REPORT TARGET PORT GROUPS of a path: how long the array took, and how often it failed.

use std::{cell::OnceCell, sync::Arc};

use crate::{model::Rtpg, stats::LatencyHistogram};

/// Those that have ended.
#[derive(Debug, Default)]
pub(in crate::engine) struct Rtpgs {
    latency: LatencyHistogram,
    failed: u64,
    sum_ns: u64,
    /// As they are told: intervals are more frequent than RTPGs, and paths may be a thousand.
    told: OnceCell<Arc<Rtpg>>,
}

impl Rtpgs {
    /// One has ended, with this result of SCSI.
    pub fn ended(&mut self, latency_ns: u64, result: u32) {
        self.latency.record(latency_ns);
        self.sum_ns = self.sum_ns.saturating_add(latency_ns);
        self.failed += u64::from(result != 0);
        self.told.take();
    }

    /// All of them.
    pub fn so_far(&self) -> Arc<Rtpg> {
        let tell = || {
            Arc::new(Rtpg {
                failed: self.failed,
                sum_ns: self.sum_ns,
                buckets: self.latency.non_empty_buckets(),
            })
        };
        Arc::clone(self.told.get_or_init(tell))
    }
}
