//! What is compared of a run.

use super::{conditions::per_io, runs::latencies};
pub use crate::cli::Metric;
use crate::{
    cli::IoClass,
    evidence::Evidence,
    format,
    stats::{bins::Bins, not_optimized_share, sum},
};

/// Percentiles of the shift function.
pub(super) const SHIFTED: [f64; 12] = [
    0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.999,
];

impl Metric {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Iops,
        Self::BytesPerS,
        Self::MeanNs,
        Self::P50Ns,
        Self::P99Ns,
        Self::P999Ns,
        Self::CpuNsPerIo,
        Self::NotOptimizedShare,
    ];

    /// As people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Iops => "IOPS",
            Self::BytesPerS => "throughput",
            Self::MeanNs => "mean",
            Self::P50Ns => "p50",
            Self::P99Ns => "p99",
            Self::P999Ns => "p99.9",
            Self::CpuNsPerIo => "CPU per I/O",
            Self::NotOptimizedShare => "not optimized",
        }
    }

    /// Whether a ratio says how the sides differ; else a difference does. A part may be 0.
    pub fn is_ratio(self) -> bool {
        self != Self::NotOptimizedShare
    }

    /// Of a change of it.
    pub fn unit(self) -> &'static str {
        match self.is_ratio() {
            true => "%",
            false => "points",
        }
    }

    /// Whether more of it is better.
    pub fn is_better_higher(self) -> bool {
        matches!(self, Self::Iops | Self::BytesPerS)
    }

    /// A value as text.
    pub fn shown(self, value: f64) -> String {
        match self {
            Self::Iops => format::rate(value),
            Self::BytesPerS => format!("{} MiB/s", format::mib(value)),
            Self::NotOptimizedShare => format::share(Some(value)),
            _ => format::latency(Some(value.max(0.0) as u64)),
        }
    }

    /// Of a run, whose reads and writes are in `bins`; `None` where the run does not carry it.
    pub(super) fn of(
        self,
        evidence: &Evidence,
        bins: &Bins,
        class: Option<IoClass>,
    ) -> Option<f64> {
        let seconds = evidence.summary.duration_ns as f64 / 1e9;
        let per_s = |count: u64| (seconds > 0.0 && count > 0).then(|| count as f64 / seconds);
        match self {
            Self::Iops => per_s(bins.commands()),
            Self::BytesPerS => per_s(bytes(evidence, class)),
            Self::MeanNs => bins.mean_ns(),
            Self::P50Ns => bins.between(0.5),
            Self::P99Ns => bins.between(0.99),
            Self::P999Ns => bins.between(0.999),
            Self::CpuNsPerIo => cpu_ns_per_io(evidence, bins.commands()),
            Self::NotOptimizedShare => not_optimized_share(latencies(evidence, class)),
        }
    }
}

fn bytes(evidence: &Evidence, class: Option<IoClass>) -> u64 {
    sum(latencies(evidence, class).map(|it| it.bytes))
}

/// The time that all CPUs worked.
fn cpu_ns_per_io(evidence: &Evidence, commands: u64) -> Option<f64> {
    per_io(evidence, commands, |setup| setup.cpus.busy_ns).filter(|it| *it > 0.0)
}
