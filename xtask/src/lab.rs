//! The lab as the commands use it: everything fetched and ready, then one guest per task.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use alua_trace_tests::protocol::Task;
use anyhow::{Context, Result, anyhow};

use crate::arch::Arch;
use crate::guest::{self, Boot, Ended};
use crate::initramfs::{self, Overlay};
use crate::kernels::Kernel;
use crate::paths::Paths;
use crate::programs::Programs;
use crate::qemu::{self, Accelerator, GuestDir, Qemu};
use crate::results::Report;
use crate::userland::{Set, Userland};
use crate::wire::Wire;

/// A kernel and an image to start guests from.
#[derive(Debug)]
pub(crate) struct Lab<'a> {
    paths: &'a Paths,
    /// The kernel.
    pub(crate) kernel: Kernel,
    base: std::path::PathBuf,
    accelerator: Accelerator,
    qemu: Qemu,
}

/// One guest to run.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// Names its directory below the artefacts.
    pub(crate) name: &'a str,
    /// What it does.
    pub(crate) task: &'a Task,
    /// How long it may take.
    pub(crate) limit: Option<Duration>,
    /// Whether its time is counted in instructions, on one processor, instead of the host's.
    pub(crate) counted: bool,
    /// Whether it owns the user's terminal.
    pub(crate) interactive: bool,
    /// Whether the array is another guest, over networks.
    pub(crate) array: bool,
}

/// Networks between the guests: one for each portal, and one for the control of the array.
const WIRES: u8 = 5;

impl<'a> Lab<'a> {
    /// Everything that guests of `arch` with `set` on `kernel` need, fetched or made where missing.
    pub(crate) fn prepare(
        paths: &'a Paths,
        arch: Arch,
        set: Set,
        kernel: &str,
        refresh: bool,
    ) -> Result<Self> {
        let _lock = paths.lock()?;
        let qemu = Qemu::get(paths, arch, refresh)?;
        // The common set has what unpacks kernels, whatever the guests get.
        let tools = Userland::get(paths, Arch::HOST, Set::Common, refresh)?;
        let userland = Userland::get(paths, arch, set, refresh)?;
        let kernel = Kernel::get(paths, arch, &tools, kernel, refresh)?;
        let base = initramfs::base(paths, &userland, &tools, &kernel)?;
        let accelerator = qemu::accelerator(paths, &qemu, &kernel)?;
        Ok(Self {
            paths,
            kernel,
            base,
            accelerator,
            qemu,
        })
    }

    /// Runs one guest to its end, with its array beside it where that is another one. A broken guest is a failure in
    /// the report.
    pub(crate) fn run(&self, programs: &Programs, job: &Job) -> Result<Report> {
        let unneeded = AtomicBool::new(false);
        if !job.array {
            return self.boot(programs, job, &[], &unneeded);
        }
        let sockets = tempfile::Builder::new().prefix("alua").tempdir();
        let sockets = sockets.context("no room for the sockets between guests; set TMPDIR")?;
        let (host, array) = Wire::pairs(sockets.path(), WIRES);
        let array_job = Job {
            name: &format!("{}-array", job.name),
            task: &Task::Array,
            limit: None,
            interactive: false,
            ..*job
        };
        thread::scope(|scope| {
            let beside = scope.spawn(|| self.boot(programs, &array_job, &array, &unneeded));
            let report = self.boot(programs, job, &host, &AtomicBool::new(false));
            unneeded.store(true, Ordering::Relaxed);
            let array = beside
                .join()
                .unwrap_or_else(|_| Err(anyhow!("the array's thread panicked")));
            let mut report = report?;
            // One that has failed before its host's end is why that failed, if it did.
            for failed in array?.totals.failed {
                report.totals.fail(
                    &format!("the array's guest: {}", failed.name),
                    &failed.detail,
                );
            }
            Ok(report)
        })
    }

    fn boot(
        &self,
        programs: &Programs,
        job: &Job,
        wires: &[Wire],
        unneeded: &AtomicBool,
    ) -> Result<Report> {
        let dir = GuestDir::take(self.paths, job.name)?;
        let initrd = dir.path.join("initrd");
        let btf = self.paths.root.join("tests/fixtures/btf");
        let overlay = Overlay {
            guest: &programs.guest,
            tool: &programs.tool,
            btf: &btf.join(&self.kernel.release),
            task: job.task,
        };
        initramfs::with_overlay(&self.base, &overlay, &initrd)?;
        let boot = Boot {
            qemu: &self.qemu,
            kernel: &self.kernel,
            initrd: &initrd,
            accelerator: if job.counted {
                Accelerator::Counted
            } else {
                self.accelerator
            },
            interactive: job.interactive,
            dir: &dir.path,
            limit: job.limit,
            wires,
            unneeded,
        };
        let mut report = Report::new(&dir.path, job.interactive);
        let ended = guest::run(&boot, &mut report);
        std::fs::remove_file(&initrd).ok();
        let ended = ended?;
        // One that was no more needed was ended, and has not failed.
        if !unneeded.load(Ordering::Relaxed) {
            judge(&mut report, &ended);
        }
        Ok(report)
    }
}

/// A guest that did not finish failed in the case it was running.
fn judge(report: &mut Report, ended: &Ended) {
    let case = report
        .running
        .take()
        .unwrap_or_else(|| "(no case running)".into());
    match ended {
        Ended::Broken(why) => report.broken(&case, why),
        Ended::Bye(0) => {}
        Ended::Bye(status) if report.totals.failed.is_empty() => {
            report.totals.fail(
                &case,
                &format!("the guest's task ended with status {status}"),
            );
        }
        Ended::Bye(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn report() -> Report {
        let mut report = Report::new(Path::new("/nonexistent"), true);
        report.running = Some("case-a".into());
        report
    }

    #[test]
    fn a_broken_guest_fails_the_running_case() {
        let mut report = report();
        judge(&mut report, &Ended::Broken("no goodbye".into()));
        assert_eq!(report.totals.failed[0].name, "case-a");
        assert_eq!(report.totals.passed, 0);
    }

    #[test]
    fn a_bad_status_fails_even_without_a_failed_case() {
        let mut report = report();
        judge(&mut report, &Ended::Bye(3));
        assert_eq!(report.totals.failed.len(), 1);
    }

    #[test]
    fn a_good_end_adds_nothing() {
        let mut report = report();
        judge(&mut report, &Ended::Bye(0));
        assert_eq!(report.totals.line(), "0 passed, 0 failed, 0 not run");
    }
}
