//! Arguments of `compare`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::{Gates, JsonTarget, gate::ComparisonGateArgs, values};

#[derive(Debug, Args)]
pub(super) struct CompareArgs {
    /// Recordings of the other side: one for each run
    #[arg(long = "vs", value_name = "FILE", required = true, num_args = 1..)]
    other: Vec<PathBuf>,
    /// Only this metric: fewer that are looked at need fewer runs; may be given several times
    #[arg(long = "metric", value_name = "METRIC", value_enum)]
    metrics: Vec<Metric>,
    /// Only reads, or only writes
    #[arg(long, value_name = "CLASS", value_enum)]
    class: Option<IoClass>,
    /// A difference that would matter: what is smaller is no difference
    #[arg(long, value_name = "PERCENT", default_value = "5", value_parser = values::percent)]
    within: f64,
    /// What is compared, by a part of its name ("mtu"): that it differs is no warning; may be given several times
    #[arg(long = "meant", value_name = "NAME", value_parser = values::name)]
    meant: Vec<String>,
    /// Write the comparison as one JSON object to this file, or to standard output with "-"
    #[arg(long, value_name = "FILE|-", value_parser = values::json_target())]
    json: Option<JsonTarget>,
    /// Only this multipath map, by name, dm-N or WWID as they were; may be given several times
    #[arg(long = "map", value_name = "MAP", value_parser = values::name)]
    maps: Vec<String>,
    #[command(flatten)]
    gates: ComparisonGateArgs,
    /// Recordings of the one side: one for each run
    #[arg(value_name = "FILE", required = true)]
    one: Vec<PathBuf>,
}

/// A metric of a run: of its reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Commands per second of the trace
    Iops,
    /// Bytes per second of the trace
    #[value(name = "throughput")]
    BytesPerS,
    /// Mean latency, in ns
    #[value(name = "mean")]
    MeanNs,
    /// Median latency, in ns
    #[value(name = "p50")]
    P50Ns,
    /// 99th percentile of the latency, in ns
    #[value(name = "p99")]
    P99Ns,
    /// 99.9th percentile of the latency, in ns
    #[value(name = "p99.9")]
    P999Ns,
    /// Time that all CPUs of the host together worked for each command, in ns
    #[value(name = "cpu")]
    CpuNsPerIo,
    /// Part of the commands whose path was in another state than active/optimized
    #[value(name = "not-optimized")]
    NotOptimizedShare,
}

/// Reads or writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IoClass {
    /// Reads
    Read,
    /// Writes
    Write,
}

/// Runs to compare.
#[derive(Debug, Clone, PartialEq)]
pub struct CompareConfig {
    /// Recordings of the one side.
    pub one: Vec<PathBuf>,
    /// Recordings of the other.
    pub other: Vec<PathBuf>,
    /// What is compared of them; everything when empty.
    pub metrics: Vec<Metric>,
    /// Reads and writes when `None`.
    pub class: Option<IoClass>,
    /// A difference that would matter, as a part of 1.
    pub within: f64,
    /// Parts of the names of what is compared.
    pub meant: Vec<String>,
    /// Where the JSON goes, if anywhere.
    pub json: Option<JsonTarget>,
    /// What must not be true.
    pub gates: Gates,
    /// Names of maps; empty for those that the traces were of.
    pub maps: Vec<String>,
}

impl From<CompareArgs> for CompareConfig {
    fn from(args: CompareArgs) -> Self {
        Self {
            one: args.one,
            other: args.other,
            metrics: args.metrics,
            class: args.class,
            within: args.within / 100.0,
            meant: args.meant,
            json: args.json,
            gates: args.gates.into(),
            maps: args.maps,
        }
    }
}
