//! The report as one JSON object: described in `docs/report.md`.

use serde::Serialize;

use crate::{
    evidence::{
        Evidence,
        timeline::{Seen, Track},
        verdict::{self, MapShare, Sentence},
    },
    model::{AccessState, Class, Flag, Path, Quantile, Start, Summary, Transfer},
    record::{Ending, Meta},
    setup::Setup,
};

/// The whole report.
#[derive(Debug, Serialize)]
pub struct Object<'a> {
    verdict: Vec<Sentence>,
    recording: &'a Meta,
    /// `null` where the recording ends early.
    ending: Option<&'a Ending>,
    /// Why it does.
    missing: Option<String>,
    start: &'a Start,
    maps: Vec<MapShare>,
    timeline: Over<'a>,
    transfers: Vec<&'a Transfer>,
    flags: Vec<&'a Flag>,
    summary: &'a Summary,
    setups: &'a [Setup],
}

/// What every path carried over time.
#[derive(Debug, Serialize)]
struct Over<'a> {
    /// `[from, to]` of each column, in ns since the start of the trace.
    columns_ns: Vec<[u64; 2]>,
    paths: Vec<Of<'a>>,
}

#[derive(Debug, Serialize)]
struct Of<'a> {
    path: &'a Path,
    /// In the order of `columns_ns`; those at the end may be missing.
    columns: Vec<Total>,
}

/// All commands of a path in a column.
#[derive(Debug, Serialize)]
struct Total {
    path_group: Option<u32>,
    commands: u64,
    bytes: u64,
    errors: u64,
    p50: Option<Quantile>,
    p99: Option<Quantile>,
    max_ns: Option<u64>,
    /// By class and access state at dispatch.
    cells: Vec<CellOf>,
}

#[derive(Debug, Serialize)]
struct CellOf {
    class: Class,
    state: AccessState,
    commands: u64,
    bytes: u64,
    errors: u64,
    /// Non-empty buckets: inclusive upper bound and count.
    buckets: Vec<(u64, u64)>,
}

/// The report on a recording.
pub fn object(evidence: &Evidence) -> Object<'_> {
    Object {
        verdict: verdict::sentences(evidence),
        recording: &evidence.meta,
        ending: evidence.ending.as_ref(),
        missing: evidence.missing.as_ref().map(ToString::to_string),
        start: &evidence.start,
        maps: verdict::shares(evidence),
        timeline: Over {
            columns_ns: evidence
                .timeline
                .spans
                .iter()
                .map(|it| [it.from_ns, it.to_ns])
                .collect(),
            paths: evidence.timeline.tracks.values().map(of).collect(),
        },
        transfers: evidence.transfers.values().collect(),
        flags: evidence.flags.values().collect(),
        summary: &evidence.summary,
        setups: &evidence.setups,
    }
}

fn of(track: &Track) -> Of<'_> {
    let columns = track.columns.iter().map(|column| {
        let Seen {
            bins,
            bytes,
            errors,
        } = column.total();
        Total {
            path_group: column.path_group,
            commands: bins.commands(),
            bytes,
            errors,
            p50: bins.quantile(0.5),
            p99: bins.quantile(0.99),
            max_ns: bins.max_ns(),
            cells: column
                .seen
                .iter()
                .map(|((class, state), seen)| CellOf {
                    class: *class,
                    state: *state,
                    commands: seen.bins.commands(),
                    bytes: seen.bytes,
                    errors: seen.errors,
                    buckets: seen.bins.to_vec(),
                })
                .collect(),
        }
    });
    Of {
        path: &track.path,
        columns: columns.collect(),
    }
}
