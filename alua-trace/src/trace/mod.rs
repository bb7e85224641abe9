//! `alua-trace run`: from the user's wish to the summary. Owns the order in which things are
//! checked, attached, run and taken down.

use anyhow::{Context, Result, bail};

use crate::{
    cli::RunConfig,
    kernel::facts::KernelFacts,
    model::Line,
    record::Snapshots,
    sinks::Sink,
    sysroot::Sysroot,
    topology::{self, DmControl},
};
use load::Load;
use session::Session;

mod attached;
mod beginning;
mod copied;
mod counting;
mod draining;
mod ending;
mod feed;
mod load;
mod network;
mod outputs;
mod placement;
pub mod privileges;
mod recording;
mod scanner;
mod session;
mod signals;
mod slots;
mod waiting;

pub use signals::EndSignals;

/// What else takes part in a trace.
#[derive(Default)]
pub struct Extras {
    /// Other outputs, by their names.
    pub outputs: Vec<(&'static str, Box<dyn Sink<Line>>)>,
    /// Who asks for what has led to this to be written.
    pub snapshots: Snapshots,
    /// What SIGHUP is for, if not for the end.
    pub on_hang_up: Option<Box<dyn FnMut() + Send>>,
}

/// Runs a trace; gives the exit status.
///
/// # Errors
/// As [`run_with`].
pub fn run(config: &RunConfig) -> Result<u8> {
    run_with(config, Extras::default())
}

/// The same, with others taking part in it.
///
/// # Errors
/// Everything that keeps a trace from being made, with what to do about it. Checked before
/// anything is attached, as far as it can be.
pub fn run_with(config: &RunConfig, extras: Extras) -> Result<u8> {
    privileges::check()?;
    let root = Sysroot::default();
    let release = root.kernel_release().unwrap_or_default();
    for right in privileges::missing(&release)? {
        let (name, lost) = (right.capability, right.lost_without);
        eprintln!("alua-trace: {name} is missing; lost without it: {lost}");
    }
    privileges::lift_memory_limit();
    give_memory_back();
    let load = Load::find(&config.command)?;
    // What is wrong with it is said after what is wrong with the host.
    let facts = KernelFacts::gather(&root, config.btf.as_deref());
    let topology = topology::scan(&root, &DmControl::new(&root));
    let maps: Vec<String> = topology::named(&topology, &config.maps)?
        .into_iter()
        .map(|map| map.name.clone())
        .collect();
    if !topology.devices().iter().any(topology::Device::is_disk) {
        bail!(
            "no SCSI disk on this host: there is nothing to trace; attach one (multipath -ll and \
             lsscsi show what the kernel has), or try `cargo xtask run --lab`"
        );
    }
    let facts = facts?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(async {
        let session = Session::start(config, root, facts, (&topology, &maps), extras)?;
        session.run(load).await
    })
}

/// Buffers of a start are large, and soon free: the C library's heap would keep them, for as long as a trace runs, once the
/// first of them has taught it that such sizes are usual (mallopt(3), M_MMAP_THRESHOLD).
fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number, before there is another thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
    }
}
