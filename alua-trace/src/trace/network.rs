//! Following iSCSI connections apart from the ring: sysfs and the kernel's socket tables may take their time.

use std::{sync::mpsc, thread, time::Duration};

use anyhow::{Context, Result};
use tokio::sync::mpsc as inbox;

use crate::{
    clock::monotonic_ns,
    iscsi::{Connection, Watch},
    sysroot::Sysroot,
};

/// How often connections are asked for: what stands still for a few seconds must be seen in time.
const EVERY: Duration = Duration::from_millis(500);

/// Connections, and when they were asked for.
pub(super) struct Seen {
    pub at_ns: u64,
    pub connections: Vec<Connection>,
}

/// The thread that looks. It ends with this.
pub(super) struct Network {
    seen: inbox::UnboundedReceiver<Seen>,
    _end: mpsc::Sender<()>,
}

impl Network {
    /// Starts it. A host without iSCSI sessions costs a look at an empty directory each time.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(root: Sysroot) -> Result<Self> {
        let (sender, seen) = inbox::unbounded_channel();
        let (end, ended) = mpsc::channel::<()>();
        thread::Builder::new()
            .name("network".to_owned())
            .spawn(move || {
                let mut watch = Watch::new(root);
                let mut had_any = false;
                while ended.recv_timeout(EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                    let at_ns = monotonic_ns();
                    let connections = watch.look();
                    // That there are none any more is told once.
                    let is_news = had_any || !connections.is_empty();
                    had_any = !connections.is_empty();
                    if is_news && sender.send(Seen { at_ns, connections }).is_err() {
                        return;
                    }
                }
            })
            .context("failed to start a thread for iSCSI connections")?;
        Ok(Self { seen, _end: end })
    }

    /// Waits for the next look; forever once the thread is gone.
    pub async fn next(&mut self) -> Seen {
        match self.seen.recv().await {
            Some(seen) => seen,
            None => std::future::pending().await,
        }
    }
}
