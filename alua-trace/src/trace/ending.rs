//! The end of a trace: what was announced is looked at, the probes are taken down so that every count
//! is final, and it is summed up.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::sleep;

use super::{
    session::{POLL, Session},
    slots::in_flight,
};
use crate::{
    clock::{cpu_ns, monotonic_ns},
    engine::{End, Input},
    kernel::probes,
    model::{Cost, Line, Summary},
    setup::Setup,
    sysroot,
    topology::{self, DmControl},
};

/// How long the end waits for a look at the topology.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// How long a program that is being detached may still run: a grace period of the kernel's.
const GRACE: Duration = Duration::from_millis(20);

impl Session<'_> {
    /// Takes what has been announced, and the scan under way: a module may be gone.
    pub(super) async fn last_look(&mut self) -> Result<()> {
        if self.announced {
            self.look(monotonic_ns());
        }
        let deadline = sleep(LAST_LOOK);
        tokio::pin!(deadline);
        while self.scanner.is_busy() {
            let next = sleep(self.filling.next(POLL));
            tokio::select! {
                scan = self.scanner.next() => self.scanned(scan?)?,
                () = next => self.drain(),
                () = &mut deadline => break,
            }
        }
        Ok(())
    }

    /// Takes the probes down so that every count is final, and sums up.
    pub(super) async fn finish(&mut self, command_status: Option<i32>) -> Result<Summary> {
        let ended_at_ns = monotonic_ns();
        self.attached.stop_caching()?;
        // Programs tell it while they are loaded.
        let missed = self.attached.probes.missed_runs();
        let costs = self.attached.probes.costs();
        self.feed.take(ended_at_ns, Input::MissedRuns(missed));
        // The start goes first: what it has counted can still be seen to end.
        for spec in probes::TABLE.iter().rev() {
            self.attached.probes.detach(spec.name);
            if spec.name == "scsi_dispatch_cmd_start" {
                sleep(GRACE).await;
                self.drain();
            }
        }
        sleep(GRACE).await;
        self.drain_all();
        self.look_last()?;
        self.read_counts()?;
        self.tick();
        let end = End {
            ended_at_ns,
            in_flight: in_flight(&self.attached.probes.tables)?,
            probes: self.attached.report(),
            command_status,
            cost: Some(Cost {
                cpu_ns: cpu_ns().saturating_sub(self.cpu_at_start_ns),
                memory_bytes: sysroot::own_peak_memory().unwrap_or(0),
                probes: costs,
            }),
            ..End::default()
        };
        self.record_setup();
        self.feed.take(monotonic_ns(), Input::End(&end));
        let mut lines = self.feed.lines();
        let Some(Line::Summary(summary)) = lines.pop() else {
            bail!("the trace ended without a summary");
        };
        self.outputs.say(lines);
        Ok(summary)
    }

    /// What has moved since the start, such as retransmits, is what it ends with.
    fn record_setup(&mut self) {
        if let Some(recording) = &mut self.feed.recording {
            let dm = DmControl::new(&self.root);
            let topology = topology::scan(&self.root, &dm);
            let setup = Setup::read(&self.root, &dm, &topology, monotonic_ns());
            recording.recorder.setup(setup);
        }
    }

    /// Paths whose commands never completed have no record, and topology may not know them yet.
    fn look_last(&mut self) -> Result<()> {
        let now_ns = monotonic_ns();
        let (slots, feed) = (&mut self.slots, &mut self.feed);
        let tables = &self.attached.probes.tables;
        slots.meet_all(tables, &mut |input| feed.take(now_ns, input));
        if self.feed.engine.wants_scan_before_end() {
            let topology = topology::scan(&self.root, &DmControl::new(&self.root));
            self.feed.take(now_ns, Input::Topology(&topology));
        }
        Ok(())
    }
}

/// Of a trace that has ended; says what is missing of it.
pub(super) fn exit_status(command_status: Option<i32>, unloaded: &[&str], unsaid: &[String]) -> u8 {
    for what in unsaid {
        eprintln!("alua-trace: {what}");
    }
    if !unloaded.is_empty() {
        eprintln!(
            "alua-trace: {} was unloaded while tracing: the trace is incomplete; keep it loaded \
             and trace again",
            unloaded.join(", ")
        );
    }
    match command_status {
        Some(status) if status != 0 => u8::try_from(status).unwrap_or(1),
        _ if unloaded.is_empty() && unsaid.is_empty() => 0,
        _ => 2,
    }
}
