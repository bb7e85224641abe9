//! Looking at the topology apart from the ring: a scan reads sysfs for every path, and may take
//! longer than the ring holds.

use std::{path::PathBuf, sync::mpsc, thread};

use anyhow::{Context, Result, anyhow};
use tokio::sync::mpsc as inbox;

use crate::{
    clock::monotonic_ns,
    kernel::types::TypesError,
    kernel::{facts::KernelFacts, probes::Facts},
    setup::{self, Setup},
    sysroot::Sysroot,
    topology::{DmControl, Looks, Topology},
};

/// Modules that may come and go while tracing.
pub(super) const OPTIONAL_MODULES: [&str; 4] =
    ["dm_mod", "dm_multipath", "scsi_dh_alua", "scsi_dh_rdac"];

/// What a look found.
pub(super) struct Scan {
    /// When it began, on the monotonic clock.
    pub began_ns: u64,
    pub topology: Topology,
    /// The kernel's facts, when a module has come or gone since the scan before.
    pub facts: Option<Result<KernelFacts, TypesError>>,
    /// What the trace is made under, when it is wanted and has changed since the scan before.
    pub setup: Option<Box<Setup>>,
}

/// What the thread compares with.
struct Before {
    loaded: [bool; 4],
    looks: Looks,
    /// What made the set-up; `None` when nobody wants it.
    shape: Option<Vec<String>>,
}

/// Looks that nothing has announced: fewer on a host without I/O, which nothing is at stake for.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    had_io: bool,
    left_out: u32,
}

/// So many of them are left out in a row, at most.
const MOST_LEFT_OUT: u32 = 5;

impl Unannounced {
    /// There was I/O.
    pub fn io(&mut self) {
        self.had_io = true;
    }

    /// Whether the next one is to be made.
    pub fn is_due(&mut self) -> bool {
        let is_due = std::mem::take(&mut self.had_io) || self.left_out >= MOST_LEFT_OUT;
        self.left_out = if is_due { 0 } else { self.left_out + 1 };
        is_due
    }
}

/// The thread that looks.
pub(super) struct Scanner {
    requests: mpsc::Sender<bool>,
    scans: inbox::UnboundedReceiver<Scan>,
    /// When the scan under way was asked for.
    asked_ns: Option<u64>,
    /// Another one is wanted after it: whether something has changed.
    again: Option<bool>,
}

impl Scanner {
    /// Starts the thread. `facts` are those the trace began with.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(
        root: Sysroot,
        btf: Option<PathBuf>,
        facts: &KernelFacts,
        with_setup: bool,
    ) -> Result<Self> {
        let (requests, asked) = mpsc::channel::<bool>();
        let (sender, scans) = inbox::unbounded_channel();
        let mut before = Before {
            loaded: OPTIONAL_MODULES.map(|module| facts.module(module).loaded),
            looks: Looks::default(),
            shape: with_setup.then(Vec::new),
        };
        thread::Builder::new()
            .name("topology".to_owned())
            .spawn(move || {
                while let Ok(announced) = asked.recv() {
                    let scan = look(&root, btf.as_ref(), &mut before, announced);
                    if sender.send(scan).is_err() {
                        return;
                    }
                }
            })
            .context("failed to start a thread for the topology")?;
        Ok(Self {
            requests,
            scans,
            asked_ns: None,
            again: None,
        })
    }

    /// Asks for a scan that begins from now on; one at a time is under way. `announced` says that something has changed,
    /// or may have: every device is read ([`Looks`]).
    pub fn ask(&mut self, now_ns: u64, announced: bool) {
        if self.asked_ns.is_some() {
            self.again = Some(announced || self.again == Some(true));
            return;
        }
        self.asked_ns = Some(now_ns);
        // The thread ends with the trace; without it there are no scans, which `next` tells.
        let _ = self.requests.send(announced);
    }

    /// Whether one is under way.
    pub fn is_busy(&self) -> bool {
        self.asked_ns.is_some()
    }

    /// Waits for the next scan.
    ///
    /// # Errors
    /// The thread is gone.
    pub async fn next(&mut self) -> Result<Scan> {
        let scan = self.scans.recv().await;
        self.asked_ns = None;
        if let Some(announced) = self.again.take() {
            self.ask(monotonic_ns(), announced);
        }
        scan.ok_or_else(|| anyhow!("the thread that looks at the topology is gone"))
    }
}

fn look(root: &Sysroot, btf: Option<&PathBuf>, before: &mut Before, announced: bool) -> Scan {
    let now = OPTIONAL_MODULES.map(|module| root.is_loaded(module));
    let facts =
        (now != before.loaded).then(|| KernelFacts::gather(root, btf.map(PathBuf::as_path)));
    before.loaded = now;
    let began_ns = monotonic_ns();
    let dm = DmControl::new(root);
    let topology = before.looks.look(root, &dm, announced);
    let setup = before.shape.as_mut().and_then(|shape| {
        let now = setup::shape(&topology);
        let is_other = std::mem::replace(shape, now) != *shape;
        is_other.then(|| Box::new(Setup::read(root, &dm, &topology, began_ns)))
    });
    Scan {
        began_ns,
        topology,
        facts,
        setup,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_io_every_sixth_look_is_made() {
        let mut looks = Unannounced::default();
        let made = (0..12).filter(|_| looks.is_due()).count();
        assert_eq!(made, 2);
        looks.io();
        assert!(looks.is_due() && !looks.is_due());
    }
}
