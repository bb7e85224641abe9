//! When the host took the guest's processors away: threads that sleep a millisecond at a time and
//! write down when they overslept. A time that is off is the tool's fault unless this explains it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use rustix::thread::{CpuSet, sched_setaffinity};

use super::{monotonic_ns, sleep_ms};

/// Oversleeping by less is nothing.
const LEAST_NS: u64 = 1_000_000;
const NAP_MS: u64 = 1;

/// From and until when a processor was away.
type Gap = (u64, u64);

/// Watches every processor until it is dropped.
#[derive(Debug)]
pub(crate) struct Stalls {
    stop: Arc<AtomicBool>,
    gaps: Arc<Mutex<Vec<Gap>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Stalls {
    /// Begins to watch.
    pub(crate) fn watch() -> Stalls {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (stop, gaps) = (Arc::default(), Arc::default());
        let threads = (0..processors)
            .map(|processor| {
                let (stop, gaps) = (Arc::clone(&stop), Arc::clone(&gaps));
                std::thread::spawn(move || nap(processor, &stop, &gaps))
            })
            .collect();
        Stalls {
            stop,
            gaps,
            threads,
        }
    }

    /// For how many ns a processor was away between two moments.
    pub(crate) fn between(&self, from_ns: u64, until_ns: u64) -> u64 {
        let gaps = self.gaps.lock().unwrap_or_else(PoisonError::into_inner);
        away(&gaps, from_ns, until_ns)
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn away(gaps: &[Gap], from_ns: u64, until_ns: u64) -> u64 {
    let overlap = |(from, until): &Gap| until_ns.min(*until).saturating_sub(from_ns.max(*from));
    gaps.iter().map(overlap).sum()
}

fn nap(processor: usize, stop: &AtomicBool, gaps: &Mutex<Vec<Gap>>) {
    let mut only = CpuSet::new();
    only.set(processor);
    // Without it, it watches whatever processor it happens to run on.
    let _ = sched_setaffinity(None, &only);
    let _ = rustix::process::nice(-20);
    while !stop.load(Ordering::Relaxed) {
        let due = monotonic_ns() + NAP_MS * 1_000_000;
        sleep_ms(NAP_MS);
        let now = monotonic_ns();
        if now.saturating_sub(due) >= LEAST_NS {
            let mut gaps = gaps.lock().unwrap_or_else(PoisonError::into_inner);
            gaps.push((due, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_within_counts() {
        let gaps = [(10, 20), (30, 40)];
        assert_eq!(away(&gaps, 0, 100), 20);
        assert_eq!(away(&gaps, 15, 35), 10);
        assert_eq!(away(&gaps, 20, 30), 0);
        assert_eq!(away(&gaps, 40, 10), 0);
    }
}
