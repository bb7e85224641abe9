//! fio: a load, and an independent opinion about its latency.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::Deserialize;

use crate::sys::process::{Background, command};

/// What fio does.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Device node.
    pub(crate) device: String,
    /// fio's `rw`.
    pub(crate) rw: &'static str,
    /// fio's `ioengine`: `psync` or `libaio`.
    pub(crate) engine: &'static str,
    /// Bytes of an I/O.
    pub(crate) block_bytes: u64,
    /// Commands in flight a job.
    pub(crate) depth: u32,
    /// Jobs.
    pub(crate) jobs: u32,
    /// Pause of a job after each of its I/Os, in µs.
    pub(crate) think_us: u32,
    /// When it ends.
    pub(crate) until: Until,
    /// Keep the latency of each I/O, for exact percentiles.
    pub(crate) each: bool,
}

/// When a load ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// After so many milliseconds.
    Milliseconds(u64),
    /// After so many I/Os a job.
    Count(u64),
}

/// For loads that somebody stops, however long the host takes until then: an hour.
pub(crate) const UNTIL_STOPPED_MS: u64 = 3_600_000;
const BLOCK: u64 = 4096;
const LOG_PREFIX: &str = "/tmp/fio-lat";

impl Load {
    /// 4 KiB random reads through libaio, 16 in flight, for `milliseconds`.
    pub(crate) fn random_reads(device: &str, milliseconds: u64) -> Load {
        Load {
            device: device.to_owned(),
            rw: "randread",
            engine: "libaio",
            block_bytes: BLOCK,
            depth: 16,
            jobs: 1,
            think_us: 0,
            until: Until::Milliseconds(milliseconds),
            each: false,
        }
    }

    /// Like [`Load::random_reads`], 500 a second: whoever only needs I/O to go on leaves the
    /// guest's processors to others.
    pub(crate) fn paced_reads(device: &str, milliseconds: u64) -> Load {
        Load {
            think_us: 2000,
            ..Load::random_reads(device, milliseconds)
        }
    }

    /// The words of fio's command line, without `fio`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut words = vec![
            "--name=load".to_owned(),
            format!("--filename={}", self.device),
            format!("--rw={}", self.rw),
            format!("--bs={}", self.block_bytes),
            format!("--ioengine={}", self.engine),
            format!("--iodepth={}", self.depth),
            format!("--numjobs={}", self.jobs),
            format!("--thinktime={}", self.think_us),
            "--direct=1".to_owned(),
            "--thread".to_owned(),
            "--group_reporting".to_owned(),
            "--norandommap".to_owned(),
            "--randrepeat=0".to_owned(),
            "--clocksource=clock_gettime".to_owned(),
            "--output-format=json".to_owned(),
            "--percentile_list=50:99:99.9".to_owned(),
        ];
        match self.until {
            Until::Milliseconds(time) => {
                words.extend(["--time_based".to_owned(), format!("--runtime={time}ms")]);
            }
            Until::Count(count) => words.push(format!("--io_size={}", count * self.block_bytes)),
        }
        if self.each {
            words.extend([
                format!("--write_lat_log={LOG_PREFIX}"),
                "--log_avg_msec=0".to_owned(),
                "--log_unix_epoch=1".to_owned(),
                "--per_job_logs=0".to_owned(),
            ]);
        }
        words
    }

    /// Starts it in the background.
    pub(crate) fn start(&self) -> Result<Running> {
        let words = self.arguments();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = Background::start(&mut command("fio", &words))?;
        Ok(Running {
            process,
            each: self.each,
        })
    }

    /// Runs it to its end, at most `limit`.
    pub(crate) fn run(&self, limit: Duration) -> Result<Done> {
        self.start()?.finish(limit)
    }
}

/// A load in the background.
#[derive(Debug)]
pub(crate) struct Running {
    process: Background,
    each: bool,
}

impl Running {
    /// Asks it to end now, and waits for what it has to say.
    pub(crate) fn stop(mut self) -> Result<Done> {
        self.process.signal(Signal::INT)?;
        self.finish(Duration::from_secs(60))
    }

    /// Waits for its end, at most `limit`.
    pub(crate) fn finish(self, limit: Duration) -> Result<Done> {
        let output = self.process.finish(limit)?;
        let code = output.code();
        // Ended by SIGINT, fio says 128 and still reports.
        if code != 0 && code != 128 && !output.stdout.contains("\"jobs\"") {
            bail!("fio ended with {code}: {}", output.stderr.trim());
        }
        let mut done = parse(&output.stdout)?;
        if self.each {
            done.each = read_logs()?;
        }
        Ok(done)
    }
}

/// What fio saw.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Done {
    /// Reads.
    pub(crate) read: Direction,
    /// Writes.
    pub(crate) write: Direction,
    /// fio's error number.
    pub(crate) error: i64,
    /// Each I/O, unordered; with [`Load::each`] only.
    pub(crate) each: Vec<Logged>,
}

/// One I/O as fio logged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Logged {
    /// When it was reaped, in ms of the wall clock since 1970.
    pub(crate) ended_unix_ms: u64,
    /// From submission to reaping, in ns.
    pub(crate) latency_ns: u64,
}

impl Done {
    /// Reads and writes.
    pub(crate) fn total_ios(&self) -> u64 {
        self.read.total_ios + self.write.total_ios
    }

    /// Latency of each I/O in ns, unordered.
    pub(crate) fn each_ns(&self) -> Vec<u64> {
        self.each.iter().map(|it| it.latency_ns).collect()
    }

    /// Exact percentile of [`Done::each_ns`], nearest rank.
    pub(crate) fn exact_percentile(&self, percent: f64) -> Result<u64> {
        let mut sorted = self.each_ns();
        sorted.sort_unstable();
        percentile(&sorted, percent).context("fio logged no I/O")
    }
}

/// Nearest-rank percentile of sorted values.
pub(crate) fn percentile(sorted: &[u64], percent: f64) -> Option<u64> {
    let rank = rank(percent, sorted.len() as u64) as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// Nearest rank of a percentile among `count` values, from 1. 99.9 % of 1000 is 999, although
/// 0.999 has no exact binary form.
pub(crate) fn rank(percent: f64, count: u64) -> u64 {
    ((percent * count as f64 / 100.0 - 1e-6).ceil() as u64).max(1)
}

/// fio's reads or writes.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Direction {
    /// I/Os.
    pub(crate) total_ios: u64,
    /// I/Os a second.
    pub(crate) iops: f64,
    /// Submission.
    pub(crate) slat_ns: Times,
    /// Submission to reaping.
    pub(crate) clat_ns: Times,
    /// All of it.
    pub(crate) lat_ns: Times,
}

/// fio's statistics of one kind of latency.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Times {
    /// Mean.
    pub(crate) mean: f64,
    /// Smallest.
    pub(crate) min: u64,
    /// Largest.
    pub(crate) max: u64,
    #[serde(default)]
    percentile: BTreeMap<String, u64>,
}

impl Times {
    /// A percentile fio was asked for: 50, 99 or 99.9.
    pub(crate) fn percentile(&self, percent: f64) -> Result<u64> {
        let key = format!("{percent:.6}");
        self.percentile
            .get(&key)
            .copied()
            .with_context(|| format!("fio gave no {percent} %"))
    }
}

#[derive(Deserialize)]
struct Root {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    error: i64,
    read: Direction,
    write: Direction,
}

/// Reads fio's JSON, which its warnings may precede.
fn parse(text: &str) -> Result<Done> {
    let start = text.find("{\n").context("fio printed no JSON")?;
    let root: Root = serde_json::Deserializer::from_str(&text[start..])
        .into_iter()
        .next()
        .context("fio printed no JSON")?
        .context("bad JSON of fio's")?;
    let job = root.jobs.into_iter().next().context("fio ran no job")?;
    Ok(Done {
        read: job.read,
        write: job.write,
        error: job.error,
        each: Vec::new(),
    })
}

/// What fio logged, one line an I/O: `time, latency, direction, …`, from submission to reaping. Not its
/// completion latencies: those of libaio begin when `io_submit` has returned.
fn read_logs() -> Result<Vec<Logged>> {
    let mut values = Vec::new();
    for name in crate::sys::names("/tmp") {
        let path = format!("/tmp/{name}");
        if !path.starts_with(LOG_PREFIX) {
            continue;
        }
        if name.contains("_lat.") {
            let text = std::fs::read_to_string(&path).context("failed to read fio's log")?;
            values.extend(text.lines().filter_map(logged));
        }
        let _ = std::fs::remove_file(&path);
    }
    Ok(values)
}

fn logged(line: &str) -> Option<Logged> {
    let mut numbers = line.split(',').map(|word| word.trim().parse().ok());
    Some(Logged {
        ended_unix_ms: numbers.next()??,
        latency_ns: numbers.next()??,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_output_of_fio_is_read() {
        let done = parse(include_str!("../../fixtures/fio-3.39-randread.json")).unwrap();
        assert_eq!(done.error, 0);
        assert_eq!(done.total_ios(), done.read.total_ios);
        assert!(done.read.total_ios > 0);
        let p50 = done.read.clat_ns.percentile(50.0).unwrap();
        let p999 = done.read.clat_ns.percentile(99.9).unwrap();
        assert!(done.read.clat_ns.min <= p50 && p50 <= p999);
        assert!(done.read.clat_ns.percentile(90.0).is_err(), "not asked for");
    }

    #[test]
    fn output_without_json_is_an_error() {
        assert!(parse("fio: failed to open\n").is_err());
    }

    #[test]
    fn percentiles_are_nearest_rank() {
        let values: Vec<u64> = (1..=1000).collect();
        assert_eq!(percentile(&values, 50.0), Some(500));
        assert_eq!(percentile(&values, 99.9), Some(999));
        assert_eq!(percentile(&values[..1], 50.0), Some(1));
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn log_lines_give_their_value() {
        let io = Logged {
            ended_unix_ms: 1_763_000_000_012,
            latency_ns: 2_034_567,
        };
        assert_eq!(logged("1763000000012, 2034567, 0, 4096, 0"), Some(io));
        assert_eq!(logged("fio: no numbers"), None);
    }
}
