//! The observers that are compared: how each is started, when it watches, and what it cost.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};

use crate::lab::bpf::Traces;
use crate::lab::recording::{self, RECORDING};
use crate::lab::tracer::TOOL;
use crate::sys;
use crate::sys::terminal::{OnTerminal, Shown};
use crate::sys::usage;

const JSON: &str = "/tmp/cost.jsonl";
/// A latency histogram per SCSI device, the way people write it.
const PER_DEVICE: &str = "\
tracepoint:scsi:scsi_dispatch_cmd_start {
  @start[args->host_no, args->channel, args->id, args->lun, args->scheduler_tag] = nsecs;
}
tracepoint:scsi:scsi_dispatch_cmd_done
/@start[args->host_no, args->channel, args->id, args->lun, args->scheduler_tag]/ {
  $s = @start[args->host_no, args->channel, args->id, args->lun, args->scheduler_tag];
  @us[args->host_no, args->channel, args->id, args->lun] = hist((nsecs - $s) / 1000);
  delete(@start[args->host_no, args->channel, args->id, args->lun, args->scheduler_tag]);
}
";

/// Someone who watches, or nobody.
pub(super) struct Observer {
    pub(super) name: &'static str,
    program: &'static [&'static str],
    /// Draws on a terminal, and tells its losses in [`JSON`].
    own: bool,
}

/// The observer that does nothing in its programs.
pub(super) const EMPTY: &str = "empty programs";
/// The tool as it is used.
pub(super) const OWN: &str = "alua-trace";

/// The tool where commands are counted in the kernel.
pub(super) const COUNTING: &str = "alua-trace --aggregate";

pub(super) const OBSERVERS: &[Observer] = &[
    Observer {
        name: "none",
        program: &[],
        own: false,
    },
    Observer {
        name: EMPTY,
        program: &["/init", "empty-programs"],
        own: false,
    },
    Observer {
        name: OWN,
        program: &[TOOL, "run", "--json", JSON],
        own: true,
    },
    Observer {
        name: COUNTING,
        program: &[TOOL, "run", "--json", JSON, "--aggregate"],
        own: true,
    },
    Observer {
        name: "alua-trace, recording",
        program: &[TOOL, "run", "--json", JSON, "--record", RECORDING],
        own: true,
    },
    Observer {
        name: "biolatency -D",
        program: &["biolatency-libbpf", "-D"],
        own: false,
    },
    Observer {
        name: "bpftrace",
        program: &["bpftrace", "-e", PER_DEVICE],
        own: false,
    },
];

/// What an observer cost, and what it missed when it says so.
pub(super) struct End {
    pub(super) max_rss_kib: u64,
    pub(super) lost: Option<u64>,
}

/// A running observer.
pub(super) struct Watching {
    child: Child,
    output: Shown,
    own: bool,
}

impl Observer {
    /// Starts it and waits until its programs are in the kernel.
    pub(super) fn start(&self) -> Result<Option<Watching>> {
        let [program, arguments @ ..] = self.program else {
            return Ok(None);
        };
        let before = Traces::now().programs();
        let mut command = Command::new(program);
        command.args(arguments);
        let mut watching = if self.own {
            on_terminal(&mut command)?
        } else {
            piped(&mut command)?
        };
        let watches = sys::wait_for(
            Duration::from_secs(60),
            &format!("{program} to watch"),
            || {
                let ended = watching.child.try_wait()?;
                anyhow::ensure!(ended.is_none(), "{program} ended: {ended:?}");
                Ok(Traces::now().programs() > before)
            },
        );
        if watches.is_err() {
            // It must not begin to watch beside the next one.
            let _ = watching.child.kill();
            let _ = watching.child.wait();
        }
        watches?;
        settle()?;
        Ok(Some(watching))
    }
}

/// Programs are loaded one by one: it watches when their number no longer grows.
fn settle() -> Result<()> {
    let mut programs = Traces::now().programs();
    for _ in 0..10 {
        sys::sleep_ms(2000);
        let now = Traces::now().programs();
        if now == programs {
            return Ok(());
        }
        programs = now;
    }
    Ok(())
}

fn piped(command: &mut Command) -> Result<Watching> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("failed to start {command:?}"))?;
    let output = Shown::of(child.stdout.take().context("no output")?);
    Ok(Watching {
        child,
        output,
        own: false,
    })
}

fn on_terminal(command: &mut Command) -> Result<Watching> {
    let _ = std::fs::remove_file(JSON);
    recording::forget();
    let OnTerminal { child, shown, .. } = OnTerminal::start(command)?;
    Ok(Watching {
        child,
        output: shown,
        own: true,
    })
}

impl Watching {
    /// Ends it by SIGINT, as a user does.
    pub(super) fn stop(mut self) -> Result<End> {
        let pid = self.child.id();
        let max_rss_kib = usage::peak_memory_kib(pid)?;
        rustix::process::kill_process(Pid::from_child(&self.child), Signal::INT)
            .context("failed to interrupt it")?;
        let ended = sys::wait_for(Duration::from_secs(120), "the observer's end", || {
            Ok(self.child.try_wait()?.is_some())
        });
        if ended.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        ended?;
        let _ = self.output.whole();
        let lost = if self.own { Some(lost()?) } else { None };
        Ok(End { max_rss_kib, lost })
    }
}

impl Watching {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// CPU time of its threads by their name, in ns.
    pub(super) fn threads(&self) -> Result<BTreeMap<String, u64>> {
        usage::threads_ns(self.child.id())
    }
}

/// Losses the tool tells in its summary.
fn lost() -> Result<u64> {
    let text = sys::read(JSON)?;
    let last = text.lines().last().context("no summary")?;
    let summary: serde_json::Value = serde_json::from_str(last)?;
    summary["losses"]["ring_full"]
        .as_u64()
        .context("the summary tells no losses")
}
