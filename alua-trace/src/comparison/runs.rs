//! The runs of a side: recordings read one by one, and what is compared of each.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{
    conditions::Condition,
    facts::{Facts, facts},
    metrics::{Metric, SHIFTED},
};
use crate::{
    cli::{CompareConfig, IoClass},
    evidence::Evidence,
    model::{AccessState, Class, Latency},
    record::{Part, reader::Reader},
    safe,
    stats::bins::Bins,
};

/// One run of a side.
#[derive(Debug)]
pub struct Run {
    /// The recording's first file, as it was named.
    pub name: String,
    /// Reads and writes that are compared.
    pub commands: u64,
    /// Why it is not whole, if it is not.
    pub incomplete: Option<String>,
    /// In the order of [`Metric::ALL`].
    metrics: Vec<Option<f64>>,
    /// In the order of [`Condition::ALL`].
    conditions: Vec<Option<f64>>,
    /// By how much the mean of the commands over paths that are not optimized is more than that of the others, in ns;
    /// `None` where either are too few.
    pub not_optimized_costs_ns: Option<f64>,
    /// Latency at each percentile of the shift function, in ns.
    pub percentiles: Vec<Option<f64>>,
    /// What it was made under: the values of each fact, by its name.
    pub facts: Facts,
}

impl Run {
    /// Its value; `None` where the run does not carry it: one that is told as a ratio is more than 0.
    #[must_use]
    pub fn metric(&self, metric: Metric) -> Option<f64> {
        let at = Metric::ALL.iter().position(|it| *it == metric)?;
        let value = self.metrics.get(at).copied().flatten();
        value.filter(|it| it.is_finite() && (*it > 0.0 || !metric.is_ratio()))
    }

    /// For each command; `None` where the run does not carry it.
    #[must_use]
    pub fn condition(&self, condition: Condition) -> Option<f64> {
        let at = Condition::ALL.iter().position(|it| *it == condition)?;
        self.conditions.get(at).copied().flatten()
    }
}

/// The runs whose files these are. Files of one recording in several are one run, in the order of their names here.
///
/// # Errors
/// A file cannot be read, or says nothing of a trace.
pub(super) fn runs(files: &[PathBuf], config: &CompareConfig) -> Result<Vec<Run>> {
    let recordings = recordings(files)?;
    let runs = recordings.iter();
    runs.map(|files| run(files, &config.maps, config.class))
        .collect()
}

/// Files by the recording that they are of.
fn recordings(files: &[PathBuf]) -> Result<Vec<Vec<PathBuf>>> {
    let mut recordings: Vec<(Option<Part>, Vec<PathBuf>)> = Vec::new();
    for file in files {
        let part = part(file)?;
        let same = recordings.iter_mut().find(|(known, _)| {
            let of = |part: &Option<Part>| part.as_ref().map(|it| it.of.clone());
            part.is_some() && of(known) == of(&part)
        });
        match same {
            Some((_, files)) => files.push(file.clone()),
            None => recordings.push((part, vec![file.clone()])),
        }
    }
    Ok(recordings.into_iter().map(|(_, files)| files).collect())
}

fn part(file: &Path) -> Result<Option<Part>> {
    let reader = Reader::open(file).with_context(|| cannot(file))?;
    Ok(reader.meta().part.clone())
}

fn cannot(file: &Path) -> String {
    format!("cannot compare {}", safe::name(&file.to_string_lossy()))
}

/// The run whose recording these files are.
///
/// # Errors
/// A file cannot be read, or says nothing of a trace.
pub fn run(files: &[PathBuf], maps: &[String], class: Option<IoClass>) -> Result<Run> {
    let first = files.first().map_or(Path::new("-"), PathBuf::as_path);
    let evidence = Evidence::read(files, maps).with_context(|| cannot(first))?;
    let bins = Bins::of_latencies(latencies(&evidence, class));
    let metrics = Metric::ALL.iter();
    let conditions = Condition::ALL.iter();
    let summary = &evidence.summary;
    Ok(Run {
        name: first.to_string_lossy().into_owned(),
        commands: bins.commands(),
        incomplete: (!summary.complete).then(|| summary.incomplete_because.join("; ")),
        metrics: metrics
            .map(|metric| metric.of(&evidence, &bins, class))
            .collect(),
        conditions: conditions
            .map(|condition| condition.of(&evidence, bins.commands()))
            .collect(),
        not_optimized_costs_ns: not_optimized_costs_ns(&evidence, class),
        percentiles: SHIFTED.iter().map(|at| bins.between(*at)).collect(),
        facts: facts(&evidence),
    })
}

fn not_optimized_costs_ns(evidence: &Evidence, class: Option<IoClass>) -> Option<f64> {
    /// Of fewer a mean tells little.
    const LEAST: u64 = 100;
    let of = |optimized: bool| {
        let known = latencies(evidence, class).filter(|it| it.state != AccessState::Unknown);
        let bins = Bins::of_latencies(
            known.filter(|it| (it.state == AccessState::Optimized) == optimized),
        );
        bins.mean_ns().filter(|_| bins.commands() >= LEAST)
    };
    Some(of(false)? - of(true)?)
}

/// Reads and writes of all paths, or the one of them.
pub(super) fn latencies(
    evidence: &Evidence,
    wanted: Option<IoClass>,
) -> impl Iterator<Item = &Latency> {
    let latencies = evidence.summary.paths.iter().flat_map(|it| &it.latency);
    latencies.filter(move |it| match wanted {
        None => it.class != Class::Other,
        Some(IoClass::Read) => it.class == Class::Read,
        Some(IoClass::Write) => it.class == Class::Write,
    })
}
