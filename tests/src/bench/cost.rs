//! What watching costs: the same load alone and under each observer, in alternating rounds; then where it goes.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};

use super::breakdown;
use super::observers::{COUNTING, EMPTY, OBSERVERS, OWN, Observer};
use crate::lab::Lab;
use crate::lab::load::{Load, Until};
use crate::lab::multipath::{Map, MapOptions};
use crate::protocol::Message;
use crate::runner::Reporter;

const NAME: &str = "cost";
/// Each observer is in each place of a round once: what is periodic in the guest falls on all alike.
const ROUNDS: usize = OBSERVERS.len();
const LIMIT: Duration = Duration::from_secs(600);
const LOAD_MS: u64 = 5000;

#[derive(Default)]
struct Measured {
    iops: Vec<f64>,
    max_rss_kib: u64,
    lost: Option<u64>,
    problem: Option<String>,
}

/// Runs it and sends a row for each observer.
pub(super) fn run(reporter: &Reporter, rounds: Option<usize>) -> Result<()> {
    let mut lab = Lab::new(reporter, NAME);
    lab.lio()?;
    let map = lab.map(&MapOptions::default())?;
    load(&map, 1000)?;
    let mut measured: BTreeMap<&str, Measured> = BTreeMap::new();
    for round in 1..=rounds.unwrap_or(ROUNDS) {
        let (last, first) = OBSERVERS.split_at(round % OBSERVERS.len());
        for observer in first.iter().chain(last) {
            lab.log(format!("round {round}: {}", observer.name));
            let entry = measured.entry(observer.name).or_default();
            if entry.problem.is_none() {
                entry.problem = measure(observer, &map, entry)
                    .err()
                    .map(|it| format!("{it:#}"));
            }
        }
    }
    let none = measured
        .get("none")
        .and_then(Measured::mean)
        .context("no baseline")?;
    for observer in OBSERVERS {
        if let Some(result) = measured.get(observer.name) {
            report(&lab, observer, result, none);
        }
    }
    break_down(&lab, &map, 1e9 / none)?;
    lab.tear_down()
}

fn break_down(lab: &Lab, map: &Map, io_ns: f64) -> Result<()> {
    let of = |name: &str| {
        let observer = OBSERVERS.iter().find(|it| it.name == name);
        breakdown::measure(observer.context("no such observer")?, &|| {
            load(map, LOAD_MS)
        })
    };
    let empty = of(EMPTY)?;
    for observer in [OWN, COUNTING] {
        breakdown::report(lab, observer, &empty, &of(observer)?, io_ns)?;
    }
    Ok(())
}

/// psync and 8 jobs: batching at a greater depth would hide the cost of a probe.
pub(super) fn load(map: &Map, milliseconds: u64) -> Result<f64> {
    let load = Load {
        engine: "psync",
        depth: 1,
        jobs: 8,
        until: Until::Milliseconds(milliseconds),
        ..Load::random_reads(&map.node(), 0)
    };
    Ok(load.run(LIMIT)?.read.iops)
}

fn measure(observer: &Observer, map: &Map, into: &mut Measured) -> Result<()> {
    let watching = observer.start()?;
    let iops = load(map, LOAD_MS)?;
    if let Some(watching) = watching {
        let end = watching.stop()?;
        into.max_rss_kib = into.max_rss_kib.max(end.max_rss_kib);
        into.lost = match (into.lost, end.lost) {
            (Some(before), Some(now)) => Some(before + now),
            (before, now) => before.or(now),
        };
    }
    into.iops.push(iops);
    Ok(())
}

impl Measured {
    fn mean(&self) -> Option<f64> {
        let count = self.iops.len();
        (count > 0).then(|| self.iops.iter().sum::<f64>() / count as f64)
    }
}

fn report(lab: &Lab, observer: &Observer, result: &Measured, none: f64) {
    let unknown = || "?".to_owned();
    let delta = result.mean().map(|mean| 100.0 * (mean - none) / none);
    let rounds: Vec<String> = result
        .iops
        .iter()
        .map(|iops| format!("{iops:.0}"))
        .collect();
    let watches = observer.name != "none";
    let rss = watches.then(|| format!("{:.1}", result.max_rss_kib as f64 / 1024.0));
    let lost = watches.then(|| result.lost.map_or_else(unknown, |lost| lost.to_string()));
    let cells = [
        ("observer", observer.name.to_owned()),
        (
            "IOPS",
            result
                .mean()
                .map_or_else(unknown, |mean| format!("{mean:.0}")),
        ),
        (
            "delta %",
            delta.map_or_else(unknown, |delta| format!("{delta:+.2}")),
        ),
        ("rounds", rounds.join(" ")),
        ("max RSS MiB", rss.unwrap_or_default()),
        ("events lost", lost.unwrap_or_default()),
        ("problem", result.problem.clone().unwrap_or_default()),
    ];
    let cells = cells
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text))
        .collect();
    lab.reporter().send(&Message::Row {
        source: NAME.to_owned(),
        cells,
    });
    if let Some(mean) = result.mean() {
        lab.figure(&format!("{}: IOPS", observer.name), mean, "1/s");
    }
    if let Some(delta) = delta.filter(|_| watches) {
        lab.figure(&format!("{}: change of IOPS", observer.name), delta, "%");
    }
}
