//! Latencies as fio's JSON has them (`--output-format=json+`): a job for each path and access state, so that
//! fio's own tools read them. Percentiles stand with their interval, which fio has not; those that the
//! commands do not carry are not there.

use serde_json::{Map, Value, json};

use crate::{
    evidence::Evidence,
    model::{Class, Latency, PathSummary},
    report::words,
};

/// The object.
pub(super) fn object(evidence: &Evidence) -> Value {
    let summary = &evidence.summary;
    let mut jobs = Vec::new();
    for path in &summary.paths {
        let mut states: Vec<_> = path.latency.iter().map(|latency| latency.state).collect();
        states.sort_unstable();
        states.dedup();
        for state in states {
            let of = |class: Class| {
                let mut all = path.latency.iter();
                all.find(|it| it.class == class && it.state == state && it.commands > 0)
            };
            if [Class::Read, Class::Write]
                .into_iter()
                .any(|class| of(class).is_some())
            {
                jobs.push(job(evidence, path, words::state(state), of));
            }
        }
    }
    json!({
        "fio version": format!("alua-trace-{}", evidence.start.version),
        "timestamp": evidence.start.wall_unix_ns / 1_000_000_000,
        "timestamp_ms": evidence.start.wall_unix_ns / 1_000_000,
        "complete": summary.complete,
        "jobs": jobs,
    })
}

fn job<'a>(
    evidence: &Evidence,
    path: &PathSummary,
    state: &str,
    of: impl Fn(Class) -> Option<&'a Latency>,
) -> Value {
    let map = path.path.map.as_deref().unwrap_or("-");
    let runtime_ms = evidence.summary.duration_ns / 1_000_000;
    json!({
        "jobname": format!("{map} {} {state}", words::path(&path.path)),
        "groupid": 0,
        "job_runtime": runtime_ms,
        "read": direction(of(Class::Read), runtime_ms),
        "write": direction(of(Class::Write), runtime_ms),
        "trim": direction(None, runtime_ms),
    })
}

fn direction(latency: Option<&Latency>, runtime_ms: u64) -> Value {
    let seconds = (runtime_ms as f64 / 1e3).max(1e-3);
    let (commands, bytes) = latency.map_or((0, 0), |it| (it.commands, it.bytes));
    let mut out = json!({
        "io_bytes": bytes,
        "io_kbytes": bytes / 1024,
        "bw_bytes": (bytes as f64 / seconds) as u64,
        "bw": (bytes as f64 / seconds / 1024.0) as u64,
        "iops": commands as f64 / seconds,
        "runtime": runtime_ms,
        "total_ios": commands,
        "short_ios": 0,
    });
    if let (Value::Object(out), Some(latency)) = (&mut out, latency) {
        out.insert("clat_ns".to_owned(), completion(latency));
    }
    out
}

fn completion(latency: &Latency) -> Value {
    let percentiles = latency
        .quantiles
        .iter()
        .map(|it| (percent(it.quantile), json!(it.value_ns)));
    let intervals = latency
        .quantiles
        .iter()
        .map(|it| (percent(it.quantile), json!([it.low_ns, it.high_ns])));
    let counts = latency
        .buckets
        .iter()
        .map(|(bound, count)| (bound.to_string(), json!(count)));
    json!({
        "min": latency.min_ns,
        "max": latency.max_ns,
        "mean": latency.mean_ns,
        "stddev": deviation_ns(latency),
        "N": latency.commands,
        "percentile": percentiles.collect::<Map<_, _>>(),
        "percentile_interval_95": intervals.collect::<Map<_, _>>(),
        "bins": counts.collect::<Map<_, _>>(),
    })
}

/// `99.000000`, as fio writes it.
fn percent(quantile: f64) -> String {
    format!("{:.6}", quantile * 100.0)
}

/// By the middles of the bins.
fn deviation_ns(latency: &Latency) -> f64 {
    let squares = latency.buckets.iter().map(|(bound, count)| {
        let low = crate::stats::quantile::bin_low_ns(*bound);
        let middle = low as f64 + (bound - low) as f64 / 2.0;
        (middle - latency.mean_ns).powi(2) * *count as f64
    });
    (squares.sum::<f64>() / latency.commands.max(1) as f64).sqrt()
}
