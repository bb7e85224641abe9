//! Recording and replaying on this machine, without a kernel: `cargo xtask bench record`.
//!
//! Commands as a load of random 4 KiB reads over eight paths at a million a second makes them are recorded to
//! a file, and the file is read into a new engine. Prints `name value unit` lines. Rates are of processor
//! time, all threads together: what one core can do. `COMMANDS` is how many (10,000,000 unless said), `RATE`
//! how many a second of the recorded time (1,000,000).

use std::{fs, path::PathBuf};

use alua_trace::{
    engine::{End, Engine, Input, Wanted},
    model::Start,
    record::{
        Meta,
        reader::{Reader, Taker},
        recorder::{Recorder, Way},
    },
};
use alua_trace_ebpf::{
    CommandRecord, Followed, GlobalCounts, PathCounts, PathSlot, access_state, record_kind,
    state_source,
};
use anyhow::{Context, Result, ensure};

const COMMANDS: u64 = 10_000_000;
const PATHS: u16 = 8;
const RATE: u64 = 1_000_000;
const POLLS: u64 = 20;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise| match words.get(at) {
        Some(word) => word.parse().with_context(|| format!("{word} is no number")),
        None => Ok(otherwise),
    };
    let load = Load {
        commands: number(0, COMMANDS)?,
        rate: number(1, RATE)?.max(POLLS),
    };
    let file = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench.atr"));
    let _ = fs::remove_file(&file);
    let outcome = measure(&file, &load);
    let _ = fs::remove_file(&file);
    outcome
}

fn measure(file: &std::path::Path, load: &Load) -> Result<()> {
    let commands = load.commands;
    let (alone_ns, _) = timed(|| {
        let mut taken = 0;
        load.give(&mut |_, _| taken += 1);
        ensure!(taken > commands);
        Ok(())
    })?;
    let (record_ns, _) = timed(|| record(file, load))?;
    let each = |ns: u64| ns as f64 / commands as f64;
    let written = each(record_ns.saturating_sub(alone_ns));
    println!("recording {written:.1} ns a command");
    println!("recording {:.2} million commands/s", 1e3 / written);
    let bytes = fs::metadata(file)?.len();
    println!(
        "recording {:.2} bytes a command",
        bytes as f64 / commands as f64
    );
    let (engine_ns, ()) = timed(|| {
        let mut engine = Engine::new(Wanted::default());
        load.give(&mut |at_ns, input| engine.take(at_ns, input));
        ensure!(engine.take_lines().len() > 1);
        Ok(())
    })?;
    let before_kib = peak_kib()?;
    let (replay_ns, lines) = timed(|| replay(file))?;
    let read = each(replay_ns);
    println!(
        "replaying {read:.1} ns a command, of it the engine {:.1}",
        each(engine_ns.saturating_sub(alone_ns))
    );
    println!("replaying {:.2} million commands/s", 1e3 / read);
    println!("replaying {} lines", lines);
    println!(
        "peak {:.1} MiB resident, before the replay {:.1}",
        peak_kib()? as f64 / 1024.0,
        before_kib as f64 / 1024.0
    );
    Ok(())
}

/// What it took of the processors, in ns.
fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(u64, T)> {
    let before = processor_ns();
    let outcome = what()?;
    Ok((processor_ns() - before, outcome))
}

fn processor_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the kernel fills the struct that it is given. Without the vdso, whose pages profilers hide.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

fn peak_kib() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.context("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(number.parse()?)
}

/// Commands, and how many a second.
struct Load {
    commands: u64,
    rate: u64,
}

impl Load {
    /// Gives the inputs of a trace, one after the other.
    fn give(&self, take: &mut impl FnMut(u64, Input<'_>)) {
        for id in 0..PATHS {
            let slot = PathSlot {
                target: u32::from(id),
                ..PathSlot::FREE
            };
            take(1, Input::Path(id, &slot));
        }
        take(1, Input::Begin);
        let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut below = |limit: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % limit
        };
        let mut counts: Vec<(u16, PathCounts)> =
            (0..PATHS).map(|id| (id, PathCounts::default())).collect();
        let mut at_ns = 1 << 40;
        let mut bytes = [0; size_of::<CommandRecord>()];
        for nth in 1..=self.commands {
            at_ns += below(2_000_000_000 / self.rate);
            let path = below(u64::from(PATHS)) as u16;
            counts[usize::from(path)].1.completed += 1;
            counts[usize::from(path)].1.dispatched_by_state[0] += 1;
            let latency_ns = 150_000 + below(1 << 17);
            fill(
                &mut bytes,
                path,
                at_ns,
                latency_ns,
                below(1 << 24) as u32 * 8,
            );
            take(at_ns, Input::Record(&bytes));
            if nth % (self.rate / POLLS) == 0 {
                take(at_ns, Input::Tick);
            }
            if nth % self.rate == 0 {
                take(at_ns, Input::Counts(&GlobalCounts::default(), &counts));
                take(at_ns, Input::Interval);
            }
        }
        take(at_ns, Input::Counts(&GlobalCounts::default(), &counts));
        let end = End {
            ended_at_ns: at_ns,
            ..End::default()
        };
        take(at_ns, Input::End(&end));
    }
}

/// The record of a read.
fn fill(
    bytes: &mut [u8; size_of::<CommandRecord>()],
    path: u16,
    at_ns: u64,
    latency_ns: u64,
    block: u32,
) {
    let state = (access_state::OPTIMIZED, state_source::RTPG_SEEN);
    let followed = Followed::new(path, path, state.0, state.1, 0);
    bytes[0] = record_kind::COMMAND;
    bytes[8..16].copy_from_slice(&(at_ns - latency_ns).to_ne_bytes());
    bytes[16..24].copy_from_slice(&at_ns.to_ne_bytes());
    bytes[24..32].copy_from_slice(&followed.0.to_ne_bytes());
    bytes[32] = 0x28;
    bytes[34..38].copy_from_slice(&block.to_be_bytes());
    bytes[40] = 8;
    bytes[44..48].copy_from_slice(&4096_u32.to_ne_bytes());
}

fn record(file: &std::path::Path, load: &Load) -> Result<()> {
    let mut recorder = Recorder::create(file, Way::Whole, Meta::new(&[]))?;
    recorder.start(&Start {
        schema: 1,
        version: String::new(),
        kernel: String::new(),
        wall_unix_ns: 0,
        started_at_ns: 1,
        probes: Vec::new(),
        paths: Vec::new(),
    });
    load.give(&mut |at_ns, input| {
        // A load waits for nobody; this one waits for the disk, so that all of it is there.
        while recorder.is_behind() {
            std::thread::yield_now();
        }
        recorder.take(at_ns, input);
    });
    if let Some(ended) = recorder.close() {
        ended.blocking_recv()?;
    }
    ensure!(recorder.failure().is_none(), "{:?}", recorder.failure());
    ensure!(
        recorder.not_recorded() == 0,
        "{} commands were not recorded",
        recorder.not_recorded()
    );
    Ok(())
}

struct Replay {
    engine: Engine,
    lines: usize,
}

impl Taker for Replay {
    fn start(&mut self, _: Start) {}

    #[inline]
    fn input(&mut self, at_ns: u64, input: Input<'_>) {
        self.engine.take(at_ns, input);
        if self.engine.waiting_lines() > 0 {
            self.lines += self.engine.take_lines().len();
        }
    }
}

fn replay(file: &std::path::Path) -> Result<usize> {
    let mut replay = Replay {
        engine: Engine::new(Wanted::default()),
        lines: 0,
    };
    Reader::open(file)?.read(&mut replay)?;
    Ok(replay.lines)
}
