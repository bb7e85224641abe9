//! One guest from start to end: watched, limited in time, tried again when it never spoke or when
//! the emulator itself broke it.

use std::fs::{self, File};
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use alua_trace_tests::protocol::Message;
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::console::kernel_failure;
use crate::kernels::Kernel;
use crate::paths::write_whole;
use crate::qemu::{self, Accelerator, Machine, Qemu};
use crate::results::{Lines, Report};
use crate::say;
use crate::terminal::Raw;
use crate::wire::Wire;

/// A guest that has not said hello by then is started again, once.
const HELLO_WITHIN: Duration = Duration::from_secs(30);
/// The second try may be slow for a reason; so are one counting processor and a big image.
const HELLO_AT_LAST: Duration = Duration::from_secs(120);
/// Between the guest's goodbye and its powering off.
const POWER_OFF_WITHIN: Duration = Duration::from_secs(20);
/// A broken kernel may still print the rest of its trace.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
const CONSOLE_LINES: usize = 60;

/// What to start.
#[derive(Debug)]
pub(crate) struct Boot<'a> {
    /// What runs it.
    pub(crate) qemu: &'a Qemu,
    /// The kernel.
    pub(crate) kernel: &'a Kernel,
    /// Its first file system.
    pub(crate) initrd: &'a Path,
    /// What executes it.
    pub(crate) accelerator: Accelerator,
    /// Whether it owns the user's terminal.
    pub(crate) interactive: bool,
    /// Where its console log and results go.
    pub(crate) dir: &'a Path,
    /// How long it may run, counted from its hello; no limit for a person at work.
    pub(crate) limit: Option<Duration>,
    /// Networks that it shares with another guest.
    pub(crate) wires: &'a [Wire],
    /// Set when nobody needs it any more.
    pub(crate) unneeded: &'a AtomicBool,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It finished its task with this status.
    Bye(i32),
    /// It did not; this says why, with the end of its console.
    Broken(String),
}

/// Why watching stopped.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    Bye(i32),
    Exited,
    Silent(Duration),
    OutOfTime(Duration),
    Kernel(String),
}

/// Runs the guest; its messages go into `report`.
pub(crate) fn run(boot: &Boot, report: &mut Report) -> Result<Ended> {
    let interrupted = interrupts()?;
    let first = match boot.accelerator {
        Accelerator::Counted => HELLO_AT_LAST,
        Accelerator::Kvm | Accelerator::Tcg => HELLO_WITHIN,
    };
    for (again, within) in [(true, first), (false, HELLO_AT_LAST)] {
        let stop = attempt(boot, report, within, &interrupted)?;
        if interrupted.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        match stop {
            Stop::Bye(status) => return Ok(Ended::Bye(status)),
            Stop::Silent(limit) if again => say::note(&format!(
                "the guest said nothing for {} s; starting it once more",
                limit.as_secs()
            )),
            Stop::Kernel(line) if again && is_emulation_fault(boot.accelerator, &line) => {
                say::note(&format!(
                    "the guest's kernel failed with {line:?}: emulated processors may run stale \
                     code while the kernel patches its own, as it does when a tracepoint is \
                     switched on; starting the guest once more"
                ));
                report.restart();
            }
            stop => return Ok(Ended::Broken(describe(boot, &stop))),
        }
    }
    bail!("the guest was started twice and neither ended nor failed")
}

/// A breakpoint where the kernel has none: it had put one there while it patched an instruction
/// (`smp_text_poke_batch_finish`), and QEMU's threads ran its translation of it too late. On
/// real processors, and on KVM, this cannot happen: there it is what it seems.
fn is_emulation_fault(accelerator: Accelerator, line: &str) -> bool {
    accelerator == Accelerator::Tcg && line.contains("int3")
}

/// Set once a signal asked this process to end. Listened to for good from the first guest on.
fn interrupts() -> Result<Arc<AtomicBool>> {
    static FLAG: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(flag) = FLAG.get() {
        return Ok(Arc::clone(flag));
    }
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        signal_hook::flag::register(signal, Arc::clone(&flag))
            .context("cannot listen for signals")?;
    }
    Ok(Arc::clone(FLAG.get_or_init(|| flag)))
}

fn attempt(
    boot: &Boot,
    report: &mut Report,
    hello_within: Duration,
    interrupted: &AtomicBool,
) -> Result<Stop> {
    let (console, results) = (boot.dir.join("console.log"), boot.dir.join("results.jsonl"));
    write_whole(&console, b"")?;
    write_whole(&results, b"")?;
    let machine = Machine {
        qemu: boot.qemu,
        kernel: boot.kernel,
        initrd: boot.initrd,
        accelerator: boot.accelerator,
        interactive: boot.interactive,
        console: &console,
        results: &results,
        wires: boot.wires,
    };
    let lines = Lines::open(&results)?;
    let mut raw = boot.interactive.then(Raw::enter);
    let log = boot.dir.join("qemu.log");
    let errors = File::create(&log).with_context(|| format!("cannot create {}", log.display()))?;
    let mut child = qemu::start(&machine, errors)?;
    let mut watch = Watch {
        lines,
        console: &console,
        begun: Instant::now(),
        hello: None,
        bye: None,
    };
    let stop = watch.until_stop(&mut child, boot, report, hello_within, interrupted);
    qemu::stop(&mut child);
    if let (Some(raw), Ok(Stop::Bye(_))) = (&mut raw, &stop) {
        raw.ended_well();
    }
    drop(raw);
    stop
}

struct Watch<'a> {
    lines: Lines,
    console: &'a Path,
    begun: Instant,
    hello: Option<Instant>,
    bye: Option<(i32, Instant)>,
}

impl Watch<'_> {
    fn until_stop(
        &mut self,
        child: &mut Child,
        boot: &Boot,
        report: &mut Report,
        hello_within: Duration,
        interrupted: &AtomicBool,
    ) -> Result<Stop> {
        loop {
            // Asked first: what an ended guest wrote is then complete.
            let exited = child.try_wait().context("cannot wait for QEMU")?.is_some();
            self.listen(report)?;
            if let Some(line) = self.kernel_failure(exited) {
                return Ok(Stop::Kernel(line));
            }
            if let Some((status, since)) = self.bye
                && (exited || since.elapsed() > POWER_OFF_WITHIN)
            {
                return Ok(Stop::Bye(status));
            }
            let is_over =
                interrupted.load(Ordering::Relaxed) || boot.unneeded.load(Ordering::Relaxed);
            if exited || is_over {
                return Ok(Stop::Exited);
            }
            match (self.hello, boot.limit) {
                (None, _) if self.begun.elapsed() > hello_within => {
                    return Ok(Stop::Silent(hello_within));
                }
                (Some(hello), Some(limit)) if hello.elapsed() > limit => {
                    qemu::interrupt(child);
                    return Ok(Stop::OutOfTime(limit));
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn listen(&mut self, report: &mut Report) -> Result<()> {
        for message in self.lines.messages()? {
            match message {
                Ok(Message::Hello { .. }) => self.hello = Some(Instant::now()),
                Ok(Message::Bye { status }) => self.bye = Some((status, Instant::now())),
                Ok(message) => report.take(message)?,
                Err(error) => report.garbage(&error),
            }
        }
        Ok(())
    }

    /// The line that tells of a broken kernel, read again after its trace had time to follow.
    fn kernel_failure(&self, exited: bool) -> Option<String> {
        let text =
            || String::from_utf8_lossy(&fs::read(self.console).unwrap_or_default()).into_owned();
        let line = kernel_failure(&text())?.to_owned();
        if !exited {
            thread::sleep(AFTER_FAILURE);
        }
        Some(line)
    }
}

fn describe(boot: &Boot, stop: &Stop) -> String {
    let what = match stop {
        Stop::Bye(status) => format!("the guest ended with status {status}"),
        Stop::Exited => "the guest ended without a goodbye".into(),
        Stop::Silent(limit) => format!("the guest said nothing for {} s", limit.as_secs()),
        Stop::OutOfTime(limit) => {
            format!(
                "the guest did not finish within its limit of {} s",
                limit.as_secs()
            )
        }
        Stop::Kernel(line) => format!("the guest's kernel failed: {line}"),
    };
    let console = boot.dir.join("console.log");
    let tail = say::tail(&console, CONSOLE_LINES);
    let tail = if tail.trim().is_empty() {
        "(nothing)".into()
    } else {
        tail.replace('\r', "")
    };
    format!(
        "{what}; the end of its console ({}):\n{tail}",
        console.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_emulated_breakpoint_is_the_emulators_fault() {
        let line = "[   15.383639] Oops: int3: 0000 [#1] SMP NOPTI";
        assert!(is_emulation_fault(Accelerator::Tcg, line));
        assert!(!is_emulation_fault(Accelerator::Kvm, line));
        assert!(!is_emulation_fault(
            Accelerator::Tcg,
            "Oops: general protection fault"
        ));
    }
}
