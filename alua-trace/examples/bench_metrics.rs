//! What a scrape of many paths takes, in each form: `cargo run --release --example bench_metrics -- [PATHS]`.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alua_trace::cli::Listen;
use alua_trace::metrics::{Shared, server::Server};
use alua_trace::model::{AccessState, Cell, Class, Interval, Line, Losses, Path, Row, StateSource};
use alua_trace::sinks::Sink;
use alua_trace::stats::LatencyHistogram;
use anyhow::{Context, Result};

const SCRAPES: u32 = 20;
const FORMS: [(&str, &str); 4] = [
    ("text", ""),
    ("text, gzip", "Accept-Encoding: gzip\r\n"),
    ("protobuf", "Accept: application/vnd.google.protobuf\r\n"),
    (
        "protobuf, gzip",
        "Accept: application/vnd.google.protobuf\r\nAccept-Encoding: gzip\r\n",
    ),
];

fn main() -> Result<()> {
    let paths = std::env::args().nth(1).map_or(Ok(1024), |it| it.parse())?;
    let mut shared = Shared::default();
    let line = Line::Interval(Arc::new(interval(paths)));
    let begun = Instant::now();
    shared.take(&line)?;
    println!(
        "{paths} paths: an interval takes {:.2} ms",
        ms(begun.elapsed())
    );
    let listen = Listen::Loopback(SocketAddr::from(([127, 0, 0, 1], 0)));
    let server = Server::start(&listen, shared)?;
    let at = server
        .at
        .trim_start_matches("http://")
        .trim_end_matches("/metrics");
    for (name, headers) in FORMS {
        let mut times = Vec::new();
        let mut bytes = 0;
        for _ in 0..SCRAPES {
            let begun = Instant::now();
            bytes = scrape(at, headers)?;
            times.push(begun.elapsed());
        }
        times.sort();
        let (median, worst) = (times[times.len() / 2], times[times.len() - 1]);
        println!(
            "{name:>15}: {:.1} ms, at most {:.1} ms; {:.2} MiB",
            ms(median),
            ms(worst),
            bytes as f64 / f64::from(1 << 20)
        );
    }
    Ok(())
}

fn scrape(at: &str, headers: &str) -> Result<usize> {
    let mut stream = TcpStream::connect(at).context("no server")?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.len())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Reads and writes on each path, of latencies all over the place.
fn interval(paths: u16) -> Interval {
    let mut random = fastrand::Rng::with_seed(7);
    let rows = (0..paths).map(|id| {
        let state = if id % 2 == 0 {
            AccessState::Optimized
        } else {
            AccessState::NonOptimized
        };
        let cells = [Class::Read, Class::Write].map(|class| cell(class, state, &mut random));
        Row {
            cells: cells.to_vec(),
            ..Row::idle(Arc::new(path(id, state)))
        }
    });
    Interval {
        ended_at_ns: 1_000_000_000,
        elapsed_ns: 1_000_000_000,
        interval_ns: 1_000_000_000,
        rows: rows.collect(),
        losses: Losses::default(),
        holds: Vec::new(),
    }
}

fn cell(class: Class, state: AccessState, random: &mut fastrand::Rng) -> Cell {
    let mut histogram = LatencyHistogram::default();
    let mut sum_ns = 0;
    for _ in 0..1000 {
        let octave_ns = 1 << random.u32(16..24);
        let latency_ns = octave_ns + random.u64(..octave_ns);
        histogram.record(latency_ns);
        sum_ns += latency_ns;
    }
    Cell {
        class,
        state,
        commands: 1000,
        errors: 0,
        bytes: 4096 * 1000,
        sum_ns,
        min_ns: 0,
        max_ns: 0,
        buckets: histogram.non_empty_buckets(),
    }
}

fn path(id: u16, state: AccessState) -> Path {
    Path {
        id,
        hctl: format!("{}:0:0:{}", id % 16, id / 16),
        device: Some(format!("sd{id}")),
        devno: None,
        wwid: Some(format!("naa.600a0980383030{:08x}", id / 16)),
        map: Some(format!("mpath{}", id / 16)),
        dm: Some(format!("dm-{}", id / 16)),
        path_group: Some(1),
        port_group: Some(1),
        relative_port: Some(id % 16),
        vendor: Some("NETAPP".to_owned()),
        product: Some("LUN C-Mode".to_owned()),
        handler: Some("alua".to_owned()),
        state,
        state_source: StateSource::RtpgSeen,
        preferred: None,
    }
}
