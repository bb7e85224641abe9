//! What a trace begins with.

use super::{attached::Attached, feed::Feed};
use crate::{
    cli::RunConfig,
    clock::{monotonic_ns, wall_unix_ns},
    engine::Wanted,
    model::{SCHEMA, Start},
    sysroot::Sysroot,
};

/// What the user wants of the engine.
pub(super) fn wanted(config: &RunConfig, maps: &[String]) -> Wanted {
    Wanted {
        maps: maps.to_vec(),
        commands: config.commands,
        ..Wanted::default()
    }
}

/// The line that a trace begins with.
pub(super) fn start_line(
    root: &Sysroot,
    attached: &Attached,
    feed: &Feed,
    started_at_ns: u64,
) -> Start {
    let now_ns = monotonic_ns();
    Start {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION").into(),
        kernel: root.kernel_release().unwrap_or_default(),
        wall_unix_ns: wall_unix_ns().saturating_sub(now_ns.saturating_sub(started_at_ns)),
        started_at_ns,
        probes: attached.report(),
        paths: feed.engine.shown_paths(),
    }
}
