//! A trace that is over, and what every trace must satisfy.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::schema::{self, Class, Line, PathSummary, Start, State, Summary};
use crate::sys::process::Output;

/// A trace that is over.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    /// Every line as written.
    pub(crate) raw: String,
    /// Every line.
    pub(crate) lines: Vec<Line>,
    /// The first one.
    pub(crate) start: Start,
    /// The last one.
    pub(crate) summary: Summary,
    /// Exit status.
    pub(crate) status: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained about.
    pub(crate) stderr: String,
    /// What its recording gave.
    pub(crate) replay: Replay,
}

/// What became of a trace's recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replay {
    /// There is none.
    Unrecorded,
    /// It gave what the trace gave.
    Same,
    /// It did not.
    Other(String),
}

impl Replay {
    pub(crate) fn of(checked: Result<()>) -> Replay {
        checked.map_or_else(
            |error| Replay::Other(format!("{error:#}")),
            |()| Replay::Same,
        )
    }
}

pub(crate) fn parse_lines(text: &str) -> Result<Vec<Line>> {
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("line {} is not what was agreed: {line}", index + 1))
        })
        .collect()
}

impl Report {
    pub(crate) fn parse(raw: String, output: Output) -> Result<Report> {
        let lines = parse_lines(&raw)?;
        let Some(Line::Start(start)) = lines.first().cloned() else {
            bail!("the trace does not begin with `start`");
        };
        let Some(Line::Summary(summary)) = lines.last().cloned() else {
            bail!(
                "the trace does not end with `summary`: {}",
                output.stderr.trim()
            );
        };
        ensure!(
            start.schema == schema::SCHEMA,
            "schema {} is not known",
            start.schema
        );
        let status = output.code();
        Ok(Report {
            raw,
            lines,
            start,
            summary,
            status,
            stdout: output.stdout,
            stderr: output.stderr,
            replay: Replay::Unrecorded,
        })
    }

    /// Every command, in the order written.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &schema::Command> {
        self.lines.iter().filter_map(|line| match line {
            Line::Command(command) => Some(command),
            _ => None,
        })
    }

    /// Every change of a path.
    pub(crate) fn path_events(&self) -> impl Iterator<Item = &schema::PathEvent> {
        self.lines.iter().filter_map(|line| match line {
            Line::Path(event) => Some(event),
            _ => None,
        })
    }

    /// Every change of a flag.
    pub(crate) fn flag_events(&self) -> impl Iterator<Item = &schema::FlagEvent> {
        self.lines.iter().filter_map(|line| match line {
            Line::Flag(event) => Some(event),
            _ => None,
        })
    }

    /// The summary of the path at `hctl`: the last one, should it have come back.
    pub(crate) fn path(&self, hctl: &str) -> Result<&PathSummary> {
        let found = self
            .summary
            .paths
            .iter()
            .rev()
            .find(|path| path.path.hctl == hctl);
        found.with_context(|| format!("the summary has no path {hctl}"))
    }

    /// Per path `dispatched = completed + failed + …` and `completed = recorded + losses`, and
    /// the histograms hold what was recorded.
    pub(crate) fn check_conservation(&self) -> Result<()> {
        for summary in &self.summary.paths {
            let slowest = summary
                .latency
                .iter()
                .try_for_each(|it| check_slowest(it, summary.counts.counted));
            check_path(summary)
                .and(slowest)
                .with_context(|| format!("path {}", summary.path.hctl))?;
        }
        self.check_intervals()?;
        let lost: u64 = self
            .summary
            .paths
            .iter()
            .map(|path| path.counts.ring_full)
            .sum();
        ensure!(
            lost == self.summary.losses.ring_full,
            "paths lost {lost}, the summary says {}",
            self.summary.losses.ring_full
        );
        ensure!(
            self.summary.complete == self.summary.incomplete_because.is_empty(),
            "complete is {} with the reasons {:?}",
            self.summary.complete,
            self.summary.incomplete_because
        );
        Ok(())
    }

    /// Intervals add up to the summary: by H:C:T:L, since an id may turn out to be another one's.
    fn check_intervals(&self) -> Result<()> {
        type Key<'a> = (&'a str, Class, State);
        let mut sums: BTreeMap<Key<'_>, (u64, u64, BTreeMap<u64, u64>)> = BTreeMap::new();
        if self
            .lines
            .iter()
            .any(|line| matches!(line, Line::LeftOut(_)))
        {
            return Ok(());
        }
        for line in &self.lines {
            let Line::Interval(interval) = line else {
                continue;
            };
            for row in &interval.rows {
                let of_cells: u64 = row.cells.iter().map(|cell| cell.commands).sum();
                ensure!(of_cells == row.commands, "{of_cells} in cells: {row:?}");
                for cell in &row.cells {
                    let key = (row.path.hctl.as_str(), cell.class, cell.state);
                    let (bytes, errors, buckets) = sums.entry(key).or_default();
                    *bytes += cell.bytes;
                    *errors += cell.errors;
                    for (bound, count) in &cell.buckets {
                        *buckets.entry(*bound).or_default() += count;
                    }
                }
            }
        }
        for path in &self.summary.paths {
            for latency in &path.latency {
                let key = (path.path.hctl.as_str(), latency.class, latency.state);
                if let Some((bytes, errors, buckets)) = sums.get_mut(&key) {
                    *bytes = bytes.wrapping_sub(latency.bytes);
                    *errors = errors.wrapping_sub(latency.errors);
                    for (bound, count) in &latency.buckets {
                        let sum = buckets.entry(*bound).or_default();
                        *sum = sum.wrapping_sub(*count);
                    }
                }
                ensure!(
                    latency.commands == 0 || sums.contains_key(&key),
                    "no interval has {key:?}"
                );
            }
        }
        let other = sums.iter().find(|(_, (bytes, errors, buckets))| {
            (*bytes, *errors) != (0, 0) || buckets.values().any(|count| *count != 0)
        });
        ensure!(
            other.is_none(),
            "intervals and summary are apart by {other:?}"
        );
        Ok(())
    }

    /// Its recording gave the same when replayed, byte for byte.
    pub(crate) fn check_replay(&self) -> Result<()> {
        match &self.replay {
            Replay::Unrecorded => bail!("nothing was recorded"),
            Replay::Same => Ok(()),
            Replay::Other(why) => bail!("{why}"),
        }
    }

    /// No flag contradicts itself: no path is in two lists of a judgement, none offends in a state
    /// that is optimized or unknown, and an alternative is named if there is one.
    pub(crate) fn check_judgements(&self) -> Result<()> {
        let said = self.flag_events().map(|event| &event.flag);
        for flag in said.chain(&self.summary.flags) {
            for judgement in &flag.judgements {
                check_judgement(judgement).with_context(|| format!("{flag:?}"))?;
            }
            ensure!(
                flag.kind != schema::FlagKind::NonOptimizedIo || !flag.judgements.is_empty(),
                "not judged: {flag:?}"
            );
        }
        Ok(())
    }

    /// Nothing was lost, but what kernels since 7.0 leave out of a preempted program's runs, and then
    /// the ends that those runs would have seen.
    pub(crate) fn check_complete(&self) -> Result<()> {
        let summary = &self.summary;
        let allowed = match summary.losses.missed_runs {
            0 => 0,
            _ => 1 + usize::from(summary.losses.superseded > 0),
        };
        ensure!(
            summary.incomplete_because.len() == allowed,
            "the trace is incomplete: {:?}",
            summary.incomplete_because
        );
        Ok(())
    }
}

fn check_path(summary: &PathSummary) -> Result<()> {
    let it = summary.counts;
    let ends =
        it.completed + it.failed + it.timed_out + it.superseded + it.untracked + it.in_flight;
    ensure!(
        it.dispatched == ends,
        "dispatched {}, ends {ends}: {it:?}",
        it.dispatched
    );
    let kept = it.recorded + it.ring_full + it.implausible;
    ensure!(
        it.completed == kept,
        "completed {}, kept or lost {kept}: {it:?}",
        it.completed
    );
    let commands: u64 = summary.latency.iter().map(|latency| latency.commands).sum();
    ensure!(
        commands == it.recorded,
        "recorded {}, in histograms {commands}",
        it.recorded
    );
    for latency in &summary.latency {
        let in_buckets: u64 = latency.buckets.iter().map(|bucket| bucket.1).sum();
        ensure!(
            in_buckets == latency.commands,
            "{:?} {:?}: {} commands, {in_buckets} in buckets",
            latency.class,
            latency.state,
            latency.commands
        );
    }
    Ok(())
}

/// The slowest of all is among them, and they are in order. A command that was `counted` because its record found no room may
/// have been slower.
fn check_slowest(latency: &schema::Latency, counted: u64) -> Result<()> {
    let slowest: Vec<u64> = latency.slowest.iter().map(|it| it.latency_ns).collect();
    ensure!(
        slowest.is_sorted_by(|a, b| a >= b)
            && (counted > 0 || slowest.first().copied().unwrap_or(0) == latency.max_ns)
            && (counted > 0 || slowest.len() as u64 == latency.commands.min(5)),
        "{:?} {:?}: the slowest of {} commands (max {} ns) are {slowest:?}",
        latency.class,
        latency.state,
        latency.commands,
        latency.max_ns
    );
    Ok(())
}

fn check_judgement(judgement: &schema::Judgement) -> Result<()> {
    let offenders = judgement.paths.iter().map(|it| &it.hctl);
    let mut all: Vec<&String> = offenders
        .chain(&judgement.alternatives)
        .chain(&judgement.outside_map)
        .collect();
    let listed = all.len();
    all.sort();
    all.dedup();
    ensure!(all.len() == listed, "a path is listed twice: {judgement:?}");
    ensure!(
        !judgement.paths.is_empty()
            && judgement
                .paths
                .iter()
                .all(|it| !matches!(it.state, schema::State::Optimized | schema::State::Unknown)),
        "no offence: {judgement:?}"
    );
    let avoidable = judgement.verdict == schema::Verdict::Avoidable;
    ensure!(
        !avoidable || !judgement.alternatives.is_empty(),
        "avoidable, but how: {judgement:?}"
    );
    Ok(())
}

/// Commands of `class` of a path, over all states.
pub(crate) fn commands_of(summary: &PathSummary, class: Class) -> u64 {
    summary
        .latency
        .iter()
        .filter(|latency| latency.class == class)
        .map(|latency| latency.commands)
        .sum()
}

/// Buckets of some histograms added up.
pub(crate) fn merge_buckets<'a>(
    latencies: impl IntoIterator<Item = &'a schema::Latency>,
) -> BTreeMap<u64, u64> {
    let mut merged = BTreeMap::new();
    for (bound, count) in latencies.into_iter().flat_map(|latency| &latency.buckets) {
        *merged.entry(*bound).or_insert(0) += count;
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(counts: schema::Counts, commands: u64) -> PathSummary {
        let text = r#"{"path":{"id":0,"hctl":"0:0:0:0","device":null,"devno":null,"wwid":null,
            "map":null,"dm":null,"path_group":null,"port_group":null,"relative_port":null,
            "vendor":null,"product":null,"handler":null,"state":"AO","state_source":"rtpg-seen",
            "preferred":null},"present":true,"counts":{"dispatched":0,"completed":0,"failed":0,
            "timed_out":0,"superseded":0,"untracked":0,"in_flight":0,"recorded":0,"counted":0,"ring_full":0,
            "implausible":0,"rejected":0},"share":1.0,"latency":[{"class":"read","state":"AO","commands":0,
            "passthrough":0,"mapped":0,"errors":0,"bytes":0,"min_ns":1,"mean_ns":1.0,"p50_ns":1,
            "p90_ns":1,"p99_ns":1,"p999_ns":1,"max_ns":1,"quantiles":[],"buckets":[],"slowest":[]}]}"#;
        let mut summary: PathSummary = serde_json::from_str(text).unwrap();
        summary.counts = counts;
        summary.latency[0].commands = commands;
        summary.latency[0].buckets = vec![(100, commands)];
        summary
    }

    #[test]
    fn a_lost_command_is_noticed_wherever_it_went() {
        let good = schema::Counts {
            dispatched: 10,
            completed: 8,
            failed: 1,
            in_flight: 1,
            recorded: 5,
            ring_full: 3,
            ..Default::default()
        };
        check_path(&summary(good, 5)).unwrap();
        assert!(
            check_path(&summary(
                schema::Counts {
                    dispatched: 11,
                    ..good
                },
                5
            ))
            .is_err()
        );
        assert!(
            check_path(&summary(
                schema::Counts {
                    ring_full: 2,
                    ..good
                },
                5
            ))
            .is_err()
        );
        assert!(check_path(&summary(good, 4)).is_err());
    }

    #[test]
    fn a_judgement_that_contradicts_itself_is_noticed() {
        let good = schema::Judgement {
            at_ns: 1,
            verdict: schema::Verdict::Avoidable,
            paths: vec![schema::PathState {
                hctl: "0:0:0:0".to_owned(),
                state: schema::State::NonOptimized,
            }],
            alternatives: vec!["0:0:1:0".to_owned()],
            outside_map: Vec::new(),
        };
        check_judgement(&good).unwrap();
        let with = |change: fn(&mut schema::Judgement)| {
            let mut judgement = good.clone();
            change(&mut judgement);
            check_judgement(&judgement)
        };
        with(|it| it.alternatives = vec!["0:0:0:0".to_owned()]).unwrap_err();
        with(|it| it.outside_map = vec!["0:0:1:0".to_owned()]).unwrap_err();
        with(|it| it.alternatives.clear()).unwrap_err();
        with(|it| it.paths.clear()).unwrap_err();
        with(|it| it.paths[0].state = schema::State::Optimized).unwrap_err();
    }

    #[test]
    fn a_field_nobody_agreed_on_is_refused() {
        let line = r#"{"type":"flag","change":"raised","flag":{},"more":1}"#;
        assert!(serde_json::from_str::<Line>(line).is_err());
        assert!(serde_json::from_str::<Line>(r#"{"type":"surprise"}"#).is_err());
    }
}
