//! Signals that ask for the end of a trace.

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP.
pub struct EndSignals {
    interrupt: Signals,
    terminate: Signals,
    hang_up: Signals,
}

impl EndSignals {
    /// From here on they are told by [`Self::next`] alone.
    ///
    /// # Errors
    /// The runtime cannot listen.
    pub fn new() -> Result<Self> {
        let listen = |kind| signal(kind).context("failed to listen to signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hang_up: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hang_up.recv() => Signal::HUP,
        }
    }
}

/// Listens to SIGUSR1, which asks for what has led to this.
///
/// # Errors
/// The runtime cannot listen.
pub(super) fn snapshots() -> Result<Signals> {
    signal(SignalKind::user_defined1()).context("failed to listen to SIGUSR1")
}

/// Waits for SIGUSR1, where it means something.
pub(super) async fn asked(snapshots: &mut Option<Signals>) {
    match snapshots {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}
