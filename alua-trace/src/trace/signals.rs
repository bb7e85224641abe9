//! Signals that ask for the end of a trace.

use anyhow::{Context, Result};
use rustix::process::Signal;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};

/// SIGINT, SIGTERM and SIGHUP.
pub struct EndSignals {
    interrupt: Signals,
    terminate: Signals,
    hang_up: Signals,
    on_hang_up: Option<Box<dyn FnMut() + Send>>,
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
            on_hang_up: None,
        })
    }

    /// SIGHUP is for something else, and told no more.
    #[must_use]
    pub fn on_hang_up(self, on_hang_up: Option<Box<dyn FnMut() + Send>>) -> Self {
        Self { on_hang_up, ..self }
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Signal {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Signal::INT,
                _ = self.terminate.recv() => return Signal::TERM,
                _ = self.hang_up.recv() => match &mut self.on_hang_up {
                    Some(on_hang_up) => on_hang_up(),
                    None => return Signal::HUP,
                },
            }
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
