//! The summary of a recording that has none: what was told of a trace, of which only histograms were kept,
//! until its recording ends early or goes on in another file.

use std::collections::BTreeMap;

use super::{
    Gathering,
    timeline::{Key, Seen, Track},
};
use crate::engine;
use crate::model::{Class, Counts, Latency, Ownership, PathSummary, Quantile, Summary, Transfer};
use crate::stats::sum;

/// What the intervals add up to.
pub(super) fn summary(gathering: &Gathering, why: String) -> Summary {
    let mut paths: Vec<PathSummary> = gathering.timeline.tracks.values().map(path).collect();
    engine::share(&mut paths);
    Summary {
        duration_ns: gathering.timeline.end_ns(),
        complete: false,
        incomplete_because: vec![why],
        paths,
        flags: gathering.flags.values().cloned().collect(),
        ownership: ownership(gathering.transfers.values()),
        holds: Vec::new(),
        counting: None,
        losses: gathering.losses.unwrap_or_default(),
        probes: gathering
            .start
            .iter()
            .flat_map(|it| it.probes.clone())
            .collect(),
        command_status: None,
        cost: None,
    }
}

fn path(track: &Track) -> PathSummary {
    let mut seen: BTreeMap<Key, Seen> = BTreeMap::new();
    for (key, more) in track.columns.iter().flat_map(|column| &column.seen) {
        seen.entry(*key).or_default().add(more);
    }
    let latency: Vec<Latency> = seen.into_iter().map(latency).collect();
    let commands = sum(latency.iter().map(|it| it.commands));
    PathSummary {
        path: (*track.path).clone(),
        present: true,
        // What the kernel has counted is told at the end.
        counts: Counts {
            dispatched: commands,
            completed: commands,
            recorded: commands,
            ..Counts::default()
        },
        share: 0.0,
        latency,
        network: None,
    }
}

fn latency(((class, state), seen): (Key, Seen)) -> Latency {
    let quantiles = seen.bins.quantiles();
    let value = |at: f64| {
        let told = quantiles.iter().find(|it: &&Quantile| it.quantile == at);
        told.map(|it| it.value_ns)
    };
    Latency {
        class,
        state,
        commands: seen.bins.commands(),
        passthrough: 0,
        mapped: if class == Class::Other {
            0
        } else {
            seen.bins.commands()
        },
        errors: seen.errors,
        bytes: seen.bytes,
        min_ns: seen.bins.min_ns().unwrap_or(0),
        mean_ns: seen.bins.mean_ns().unwrap_or(0.0),
        p50_ns: value(0.5),
        p90_ns: value(0.9),
        p99_ns: value(0.99),
        p999_ns: value(0.999),
        max_ns: seen.bins.max_ns().unwrap_or(0),
        buckets: seen.bins.to_vec(),
        quantiles,
        slowest: Vec::new(),
    }
}

fn ownership<'a>(transfers: impl Iterator<Item = &'a Transfer>) -> Vec<Ownership> {
    let mut units: BTreeMap<&String, Ownership> = BTreeMap::new();
    for transfer in transfers {
        let unit = units.entry(&transfer.subject).or_insert_with(|| Ownership {
            subject: transfer.subject.clone(),
            wwid: transfer.wwid.clone(),
            tenures: Vec::new(),
            transfers: Vec::new(),
            transfers_left_out: 0,
        });
        unit.transfers.push(transfer.clone());
    }
    units.into_values().collect()
}
