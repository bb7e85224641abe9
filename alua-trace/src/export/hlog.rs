//! HdrHistogram's log format: an interval histogram for each path, class and state, with a tag that names
//! them. Times are seconds since the start of the trace, the maximum in the log is in ms.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, Tag},
    },
};

use crate::{
    model::{Cell, Interval, Line, Start},
    replay::Audience,
    report::words,
    stats,
};

const NS_IN_MS: f64 = 1e6;

/// The log on its way.
pub(super) struct Hlog<W> {
    out: W,
    serializer: V2DeflateSerializer,
}

impl<W: Write> Hlog<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            serializer: V2DeflateSerializer::new(),
        }
    }

    /// Everything goes out.
    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The head of the log. Its times are since the start, which a reader adds.
    fn start(&mut self, start: &Start) -> io::Result<()> {
        let began = SystemTime::UNIX_EPOCH + Duration::from_nanos(start.wall_unix_ns);
        IntervalLogWriterBuilder::new()
            .add_comment(&format!("[alua-trace {}, latencies in ns]", start.version))
            .with_start_time(began)
            .with_base_time(began)
            .with_max_value_divisor(NS_IN_MS)
            .begin_log_with(&mut self.out, &mut self.serializer)
            .map(|_| ())
    }

    fn interval(&mut self, interval: &Interval) -> io::Result<()> {
        for row in &interval.rows {
            for cell in &row.cells {
                let tag = tag(&row.path.hctl, cell);
                self.cell(interval, &tag, cell)?;
            }
        }
        Ok(())
    }

    fn cell(&mut self, interval: &Interval, tag: &str, cell: &Cell) -> io::Result<()> {
        let histogram = histogram(cell)?;
        let from = interval.elapsed_ns.saturating_sub(interval.interval_ns);
        let mut entry = Vec::new();
        let mut log = IntervalLogWriterBuilder::new();
        let mut log = log
            .with_max_value_divisor(NS_IN_MS)
            .begin_log_with(&mut entry, &mut self.serializer)?;
        log.write_histogram(
            &histogram,
            Duration::from_nanos(from),
            Duration::from_nanos(interval.interval_ns),
            Tag::new(tag),
        )
        .map_err(|error| io::Error::other(error.to_string()))?;
        // The head was written once.
        let text = entry.split_inclusive(|byte| *byte == b'\n');
        for line in text.filter(|line| !line.starts_with(b"#")) {
            self.out.write_all(line)?;
        }
        Ok(())
    }
}

/// `3:0:0:1/read/AO`: a tag has neither commas nor spaces.
fn tag(hctl: &str, cell: &Cell) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == ':' {
            c
        } else {
            '_'
        }
    };
    let hctl: String = hctl.chars().map(plain).collect();
    format!(
        "{hctl}/{}/{}",
        words::class(cell.class),
        words::state(cell.state)
    )
}

fn histogram(cell: &Cell) -> io::Result<Histogram<u64>> {
    let mut histogram = stats::empty();
    for (bound, count) in &cell.buckets {
        histogram
            .record_n(*bound, *count)
            .map_err(|error| io::Error::other(error.to_string()))?;
    }
    Ok(histogram)
}

impl<W: Write> Audience for Hlog<W> {
    fn line(&mut self, line: Line) -> io::Result<()> {
        match line {
            Line::Start(start) => self.start(&start),
            Line::Interval(interval) => self.interval(&interval),
            _ => Ok(()),
        }
    }
}
