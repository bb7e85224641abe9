//! What a trace waits for beside its time: timers, and what the kernel announces.

use std::time::Duration;

use tokio::{
    io::unix::AsyncFd,
    time::{Instant, Interval, MissedTickBehavior, interval_at},
};

use crate::topology::Uevents;

/// A timer whose first tick comes after its first period, and that does not catch up.
pub(super) fn timer(period: Duration) -> Interval {
    let mut timer = interval_at(Instant::now() + period, period);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    timer
}

/// The kernel's announcements, where it lets this process hear them.
pub(super) fn listen_to_uevents() -> Option<AsyncFd<Uevents>> {
    let uevents = Uevents::open().ok()?;
    // SAFETY: `Uevents` owns its socket, gives the same descriptor until it is dropped, and
    // `AsyncFd` keeps it from being dropped or replaced before.
    unsafe { AsyncFd::register(uevents) }.ok()
}

/// Waits for an announcement that matters.
pub(super) async fn announcement(uevents: &mut Option<AsyncFd<Uevents>>) {
    let Some(uevents) = uevents else {
        return std::future::pending().await;
    };
    loop {
        let Ok(mut ready) = uevents.readable_mut().await else {
            return std::future::pending().await;
        };
        let matters = ready.get_inner_mut().drain();
        ready.clear_ready();
        if matters {
            return;
        }
    }
}
