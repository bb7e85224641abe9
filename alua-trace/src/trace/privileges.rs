//! What a trace needs to be allowed to do.

use anyhow::{Context, Result, bail};
use rustix::thread::{CapabilitySet, capabilities};

/// Checks that this process may load and attach probes.
///
/// # Errors
/// It may not; says what to do.
pub fn check() -> Result<()> {
    let effective = capabilities(None)
        .context("failed to read this process' capabilities")?
        .effective;
    let narrow = CapabilitySet::BPF | CapabilitySet::PERFMON;
    if effective.contains(CapabilitySet::SYS_ADMIN) || effective.contains(narrow) {
        return Ok(());
    }
    bail!(
        "not permitted to load probes: run it as root (sudo alua-trace …), or with the \
         capabilities CAP_BPF, CAP_PERFMON and CAP_SYSLOG"
    )
}
