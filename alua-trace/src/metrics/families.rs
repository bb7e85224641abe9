//! What each metric is called, means and is labelled with.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, MetricEncoder, NativeHistogram,
        NativeHistogramBuckets, NoLabelSet,
    },
    metrics::MetricType,
    registry::Unit,
};

use super::{
    Metrics, OfCell, OfPath, Shared,
    distribution::{Distribution, SCHEMA},
};
use crate::model::{AccessState, Class, Counts, FlagKind, Losses, Path, Rtpg};
use crate::report::words;
use crate::stats::STATES;
use crate::{clock, safe, sysroot};

/// Longest label: dm allows its names 127 characters.
const LABEL_CHARS: usize = 128;

impl Collector for Shared {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let metrics = self.lock();
        let mut out = Out(&mut encoder);
        out.trace(&metrics)?;
        let paths = named(&metrics);
        out.paths(&paths)?;
        out.rtpgs(&paths)?;
        out.commands(&paths)?;
        out.holds(&metrics)?;
        out.events(&metrics)
    }
}

/// A path with its labels.
struct Named<'metrics> {
    /// Map, as `node_dmmultipath_path_state` has it; empty without one.
    device: String,
    /// Kernel name of the disk, or its H:C:T:L.
    path: String,
    of: &'metrics OfPath,
}

/// Paths by their labels. Of several with the same ones, it is the one that is still there, or the newest.
fn named(metrics: &Metrics) -> Vec<Named<'_>> {
    let mut named: BTreeMap<(String, String), &OfPath> = BTreeMap::new();
    for of in metrics.paths.values() {
        let label = &of.label;
        let key = (
            label.map.as_deref().map(safe_label).unwrap_or_default(),
            safe_label(label.device.as_ref().unwrap_or(&label.hctl)),
        );
        let is_gone = |it: &&OfPath| it.gone_at_ns.is_some();
        if !named.get(&key).is_some_and(|_| is_gone(&of)) {
            named.insert(key, of);
        }
    }
    let all = named.into_iter();
    all.map(|((device, path), of)| Named { device, path, of })
        .collect()
}

fn safe_label(text: &str) -> String {
    safe::text(text, LABEL_CHARS)
}

/// Where families go.
struct Out<'encoder, 'out>(&'encoder mut DescriptorEncoder<'out>);

type Labels<'a, const N: usize> = [(&'a str, &'a str); N];

impl Out<'_, '_> {
    fn family(
        &mut self,
        (name, help): (&str, &str),
        unit: Option<&Unit>,
        metric_type: MetricType,
        encode: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit, metric_type)?;
        encode(&mut metric)
    }

    fn counters<'a, const N: usize, V: EncodeCounterValue>(
        &mut self,
        about: (&str, &str),
        unit: Option<&Unit>,
        samples: impl Iterator<Item = (Labels<'a, N>, V)>,
    ) -> fmt::Result {
        self.family(about, unit, MetricType::Counter, |metric| {
            for (labels, value) in samples {
                let mut metric = metric.encode_family(&labels)?;
                metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
            }
            Ok(())
        })
    }

    fn gauges<'a, const N: usize>(
        &mut self,
        about: (&str, &str),
        unit: Option<&Unit>,
        samples: impl Iterator<Item = (Labels<'a, N>, f64)>,
    ) -> fmt::Result {
        self.family(about, unit, MetricType::Gauge, |metric| {
            for (labels, value) in samples {
                metric.encode_family(&labels)?.encode_gauge(&value)?;
            }
            Ok(())
        })
    }

    /// The trace as a whole, and what it costs.
    fn trace(&mut self, metrics: &Metrics) -> fmt::Result {
        if let Some(start) = &metrics.start {
            let (version, kernel) = (safe_label(&start.version), safe_label(&start.kernel));
            let labels = [("version", &*version), ("kernel", &*kernel)];
            let about = ("build", "What traces, and which kernel is traced");
            self.family(about, None, MetricType::Info, |metric| {
                metric.encode_info(&labels)
            })?;
            let at_s = start.wall_unix_ns as f64 / 1e9;
            let about = ("start_time", "When the trace began, since the epoch");
            self.gauges(about, Some(&Unit::Seconds), one(at_s))?;
        }
        let about = (
            "counting",
            "Whether ordinary commands are counted in the kernel (1) or have a record each (0)",
        );
        self.gauges(about, None, one(f64::from(u8::from(metrics.is_counting))))?;
        let about = (
            "lost",
            "Commands or records that are in no histogram or not whole, by cause",
        );
        let lost = causes(&metrics.losses).into_iter();
        self.counters(
            about,
            None,
            lost.map(|(cause, lost)| ([("cause", cause)], lost)),
        )?;
        let cpu_s = clock::cpu_ns() as f64 / 1e9;
        let about = ("cpu", "Processor time of alua-trace itself");
        self.counters(about, Some(&Unit::Seconds), one(cpu_s))?;
        let Ok(bytes) = sysroot::own_memory() else {
            return Ok(());
        };
        let about = ("resident_memory", "Memory that alua-trace has resident");
        self.gauges(about, Some(&Unit::Bytes), one(bytes as f64))
    }

    /// Paths, their states and exact counts.
    fn paths(&mut self, paths: &[Named<'_>]) -> fmt::Result {
        let about = ("path_info", "What a path is: join it by device and path");
        self.family(about, None, MetricType::Gauge, |metric| {
            for it in paths {
                let info = info(&it.of.label);
                let info = info.iter().map(|(name, value)| (*name, &**value));
                let labels: Vec<(&str, &str)> = it.labels().into_iter().chain(info).collect();
                metric.encode_family(&labels)?.encode_gauge(&1_u32)?;
            }
            Ok(())
        })?;
        let about = (
            "access_state",
            "Access state of a path: 1 for the state that it has (SPC-4 5.15.2.4)",
        );
        let present = || paths.iter().filter(|it| it.of.gone_at_ns.is_none());
        let states = present().flat_map(|it| {
            STATES.into_iter().map(|state| {
                let is_in = f64::from(u8::from(it.of.label.state == state));
                (it.labels_with(("state", state_name(state))), is_in)
            })
        });
        self.gauges(about, None, states)?;
        let about = ("in_flight", "Commands dispatched and not ended");
        let in_flight = present().map(|it| (it.labels(), it.of.in_flight as f64));
        self.gauges(about, None, in_flight)?;
        let about = (
            "not_completed",
            "Commands that did not complete: refused by the driver (failed) or the device handler (rejected), timed out, or not followed",
        );
        let ends = paths.iter().flat_map(|it| {
            ends(&it.of.so_far.counts)
                .into_iter()
                .map(|(end, count)| (it.labels_with(("end", end)), count))
        });
        self.counters(about, None, ends)?;
        let about = ("dispatched", "Commands handed to the low-level driver");
        let dispatched = paths
            .iter()
            .map(|it| (it.labels(), it.of.so_far.counts.dispatched));
        self.counters(about, None, dispatched)?;
        let about = (
            "retried",
            "Commands that SCSI had retried before they were dispatched",
        );
        let retried = paths.iter().map(|it| (it.labels(), it.of.so_far.retried));
        self.counters(about, None, retried)?;
        let about = (
            "path_active",
            "Whether dm-multipath sends I/O to a path (1) or has failed it (0)",
        );
        let active = present().filter_map(|it| {
            let is_active = it.of.so_far.dm_active?;
            Some((it.labels(), f64::from(u8::from(is_active))))
        });
        self.gauges(about, None, active)?;
        let about = (
            "network_rtt",
            "Smoothed round-trip time of a path's TCP connection",
        );
        let rtt = present().filter_map(|it| Some((it.labels(), f64::from(it.of.rtt_us?) / 1e6)));
        self.gauges(about, Some(&Unit::Seconds), rtt)?;
        let about = (
            "network_retransmits",
            "Segments that this host has sent again on a path's TCP connection",
        );
        let sent_again = paths
            .iter()
            .filter_map(|it| Some((it.labels(), it.of.retransmits?)));
        self.counters(about, None, sent_again)
    }

    /// How the array answers REPORT TARGET PORT GROUPS.
    fn rtpgs(&mut self, paths: &[Named<'_>]) -> fmt::Result {
        let rtpgs = || {
            let rtpg = |it| Some((it, Named::rtpg(it)?));
            paths.iter().filter_map(rtpg)
        };
        let about = (
            "rtpg_errors",
            "REPORT TARGET PORT GROUPS that ended with a result other than 0",
        );
        let failed = rtpgs().map(|(it, rtpg)| (it.labels(), rtpg.failed));
        self.counters(about, None, failed)?;
        let about = (
            "rtpg_latency",
            "Time that REPORT TARGET PORT GROUPS took, whoever sent it",
        );
        let latencies = rtpgs().map(|(it, rtpg)| {
            let latency = Distribution::of(&rtpg.buckets, u128::from(rtpg.sum_ns));
            (it.labels(), latency)
        });
        self.histograms(about, latencies)
    }

    /// I/O that waited in dm, by map.
    fn holds(&mut self, metrics: &Metrics) -> fmt::Result {
        let about = (
            "held",
            "Time that I/O waited in dm before its dispatch, of what waited for 1 ms or longer",
        );
        let names: Vec<String> = metrics.holds.iter().map(|it| safe_label(&it.map)).collect();
        let holds = metrics.holds.iter().zip(&names).map(|(hold, name)| {
            let sum_ns = (hold.mean_ns * hold.commands as f64) as u128;
            (
                [("device", &**name)],
                Distribution::of(&hold.buckets, sum_ns),
            )
        });
        self.histograms(about, holds)
    }

    fn histograms<'a, const N: usize>(
        &mut self,
        about: (&str, &str),
        samples: impl Iterator<Item = (Labels<'a, N>, Distribution)>,
    ) -> fmt::Result {
        self.family(
            about,
            Some(&Unit::Seconds),
            MetricType::Histogram,
            |metric| {
                for (labels, latency) in samples {
                    histogram(&mut metric.encode_family(&labels)?, &latency)?;
                }
                Ok(())
            },
        )
    }

    /// Commands by path, class and access state at dispatch.
    fn commands(&mut self, paths: &[Named<'_>]) -> fmt::Result {
        let cells = || paths.iter().flat_map(Named::cells);
        let about = (
            "command_errors",
            "Commands that ended with a result other than 0",
        );
        let errors = cells().map(|(labels, cell)| (labels, cell.errors));
        self.counters(about, None, errors)?;
        let about = ("command", "Data of completed commands");
        let bytes = cells().map(|(labels, cell)| (labels, cell.bytes));
        self.counters(about, Some(&Unit::Bytes), bytes)?;
        let about = (
            "command_latency",
            "Time from dispatch to completion, by access state at dispatch",
        );
        self.family(
            about,
            Some(&Unit::Seconds),
            MetricType::Histogram,
            |metric| {
                for (labels, cell) in cells() {
                    histogram(&mut metric.encode_family(&labels)?, &cell.latency)?;
                }
                Ok(())
            },
        )
    }

    /// Transfers and flags.
    fn events(&mut self, metrics: &Metrics) -> fmt::Result {
        let about = (
            "transfers",
            "Moves of a logical unit to another port group or controller, by what moved it",
        );
        let transfers = metrics.transfers.iter();
        let transfers: Vec<_> = transfers
            .map(|((device, cause), count)| (safe_label(device), cause.name(), *count))
            .collect();
        let samples = transfers
            .iter()
            .map(|(device, cause, count)| ([("device", &**device), ("cause", cause)], *count));
        self.counters(about, None, samples)?;
        let mut active: BTreeMap<(String, FlagKind), u64> = BTreeMap::new();
        for (device, kind) in metrics.active.values() {
            *active.entry((safe_label(device), *kind)).or_default() += 1;
        }
        // One that was active is 0 afterwards, and not just gone.
        for (device, kind) in metrics.raised.keys() {
            active.entry((safe_label(device), *kind)).or_default();
        }
        let about = ("flags_active", "Findings that hold now, by kind");
        let samples = active.iter().map(|((device, kind), count)| {
            (
                [("device", &**device), ("kind", words::kind(*kind))],
                *count as f64,
            )
        });
        self.gauges(about, None, samples)?;
        let raised: Vec<_> = metrics
            .raised
            .iter()
            .map(|((device, kind), count)| (safe_label(device), words::kind(*kind), *count))
            .collect();
        let about = ("flags", "Findings so far, by kind");
        let samples = raised
            .iter()
            .map(|(device, kind, count)| ([("device", &**device), ("kind", *kind)], *count));
        self.counters(about, None, samples)
    }
}

impl Named<'_> {
    fn rtpg(&self) -> Option<&Rtpg> {
        self.of.so_far.rtpg.as_deref()
    }

    fn labels(&self) -> Labels<'_, 2> {
        [("device", &self.device), ("path", &self.path)]
    }

    fn labels_with<'a>(&'a self, label: (&'a str, &'a str)) -> Labels<'a, 3> {
        let [device, path] = self.labels();
        [device, path, label]
    }

    fn cells(&self) -> impl Iterator<Item = (Labels<'_, 4>, &OfCell)> {
        self.of.cells.iter().map(|((class, state), cell)| {
            let [device, path] = self.labels();
            let class = ("class", class_name(*class));
            ([device, path, class, ("state", state_name(*state))], cell)
        })
    }
}

fn one(value: f64) -> impl Iterator<Item = (Labels<'static, 0>, f64)> {
    std::iter::once(([], value))
}

/// Labels of `alua_trace_path_info`: those that are known.
fn info(path: &Path) -> Vec<(&'static str, String)> {
    let number = |number: Option<u32>| number.map(|number| number.to_string());
    [
        ("hctl", Some(path.hctl.clone())),
        ("wwid", path.wwid.clone()),
        ("dm", path.dm.clone()),
        ("path_group", number(path.path_group)),
        ("port_group", number(path.port_group.map(u32::from))),
        ("relative_port", number(path.relative_port.map(u32::from))),
        ("vendor", path.vendor.clone()),
        ("product", path.product.clone()),
        ("handler", path.handler.clone()),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, safe_label(&value?))))
    .collect()
}

fn histogram(metric: &mut MetricEncoder<'_>, latency: &Distribution) -> fmt::Result {
    let classic: Vec<(f64, u64)> = latency.classic().collect();
    let native = latency.native();
    let none = NativeHistogramBuckets {
        spans: &[],
        deltas: &[],
    };
    metric.encode_histogram_with_native::<NoLabelSet>(
        latency.sum_seconds(),
        latency.count,
        &classic,
        None,
        NativeHistogram {
            schema: SCHEMA,
            // No latency is 0.
            zero_threshold: 0.0,
            zero_count: 0,
            negative: none,
            positive: NativeHistogramBuckets {
                spans: &native.spans,
                deltas: &native.deltas,
            },
            created: None,
        },
    )
}

fn ends(counts: &Counts) -> [(&'static str, u64); 5] {
    [
        ("failed", counts.failed),
        ("rejected", counts.rejected),
        ("timed_out", counts.timed_out),
        ("superseded", counts.superseded),
        ("untracked", counts.untracked),
    ]
}

fn causes(losses: &Losses) -> [(&'static str, u64); 10] {
    [
        ("ring_full", losses.ring_full),
        ("untracked", losses.untracked),
        ("superseded", losses.superseded),
        ("implausible", losses.implausible),
        ("undecodable", losses.undecodable),
        ("lost_records", losses.lost_records),
        ("path_table_full", losses.path_table_full),
        ("route_table_full", losses.route_table_full),
        ("failed_reads", losses.failed_reads),
        ("missed_runs", losses.missed_runs),
    ]
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Read => "read",
        Class::Write => "write",
        Class::Other => "other",
    }
}

/// SPC-4's word, as in a metric's label.
fn state_name(state: AccessState) -> &'static str {
    match state {
        AccessState::Optimized => "active/optimized",
        AccessState::NonOptimized => "active/non-optimized",
        AccessState::Standby => "standby",
        AccessState::Unavailable => "unavailable",
        AccessState::LbaDependent => "lba-dependent",
        AccessState::Offline => "offline",
        AccessState::Transitioning => "transitioning",
        AccessState::Unknown => "unknown",
    }
}
