//! Keeps every processor busy with nothing, so that no command waits for one to wake up: how long
//! an emulated processor takes for that is the host's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Processors are awake until it is dropped.
#[derive(Debug)]
pub(crate) struct Awake {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Awake {
    /// A thread a processor that gives way to every other (nice 19).
    pub(crate) fn start() -> Awake {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..processors)
            .map(|_| {
                let stop = Arc::clone(&stop);
                std::thread::spawn(move || idle(&stop))
            })
            .collect();
        Awake { stop, threads }
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn idle(stop: &AtomicBool) {
    // Linux keeps it by thread.
    let _ = rustix::process::nice(19);
    while !stop.load(Ordering::Relaxed) {
        std::hint::spin_loop();
    }
}
