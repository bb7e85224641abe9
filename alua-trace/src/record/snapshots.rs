//! Asking for what has led to this to be written, from another thread, and learning what its file is called.

use std::{
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;

/// Shared by who asks and who writes.
#[derive(Debug, Clone, Default)]
pub struct Snapshots(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    asked: Notify,
    /// Files that were made, and the last of them.
    made: Mutex<(u64, Option<PathBuf>)>,
    changed: Condvar,
    /// Somebody writes: a window is kept.
    is_kept: std::sync::atomic::AtomicBool,
}

impl Snapshots {
    /// Asks for a snapshot, and waits for its name, at most for `within`; the last one's where a file that is
    /// still written takes this in; `None` where no window is kept.
    #[must_use]
    pub fn ask(&self, within: Duration) -> Option<PathBuf> {
        if !self.0.is_kept.load(std::sync::atomic::Ordering::Acquire) {
            return None;
        }
        let made = self.made();
        let before = made.0;
        self.0.asked.notify_one();
        let waited = self
            .0
            .changed
            .wait_timeout_while(made, within, |made| made.0 == before);
        let (made, _) = waited.unwrap_or_else(PoisonError::into_inner);
        made.1.clone()
    }

    /// The last file that was made.
    #[must_use]
    pub fn latest(&self) -> Option<PathBuf> {
        self.made().1.clone()
    }

    /// A window is kept.
    pub fn keep(&self) {
        self.0
            .is_kept
            .store(true, std::sync::atomic::Ordering::Release);
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        self.0.asked.notified().await;
    }

    /// A file was made.
    pub fn made_file(&self, path: PathBuf) {
        let mut made = self.made();
        *made = (made.0 + 1, Some(path));
        self.0.changed.notify_all();
    }

    fn made(&self) -> MutexGuard<'_, (u64, Option<PathBuf>)> {
        self.0.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_learns_the_name_of_the_file() {
        let snapshots = Snapshots::default();
        assert_eq!(snapshots.ask(Duration::from_secs(60)), None);
        snapshots.keep();
        let writer = snapshots.clone();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let thread = std::thread::spawn(move || {
            runtime.block_on(writer.asked());
            writer.made_file("a.atr".into());
        });
        assert_eq!(snapshots.ask(Duration::from_secs(60)), Some("a.atr".into()));
        thread.join().unwrap();
        // One that goes on takes this in: no other is made.
        assert_eq!(
            snapshots.ask(Duration::from_millis(10)),
            Some("a.atr".into())
        );
    }
}
