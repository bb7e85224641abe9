//! What a test case works with: an array, multipath maps, load, the tracer, and the promise that
//! all of it is gone afterwards.

pub(crate) mod bpf;
pub(crate) mod disk;
pub(crate) mod emulator;
pub(crate) mod kmsg;
pub(crate) mod lio;
pub(crate) mod load;
pub(crate) mod loopback;
pub(crate) mod multipath;
pub(crate) mod multipathd;
pub(crate) mod recording;
pub(crate) mod report;
pub(crate) mod schema;
pub(crate) mod tracer;

use std::time::Duration;

use anyhow::{Context, Result};

use crate::array::{Controller, Mode, Options, PathName};
use crate::protocol::Message;
use crate::runner::Reporter;
use crate::sys;

use emulator::Emulator;
use lio::Lio;
use loopback::LabPath;
use multipath::{Handler, Map, MapOptions};
use report::Report;
use tracer::{Trace, TraceOptions};

/// One case's laboratory.
pub(crate) struct Lab<'r> {
    reporter: &'r Reporter,
    /// Name of the case or benchmark.
    pub(crate) case: String,
    lio: Option<Lio>,
    emulator: Option<Emulator>,
    maps: Vec<Map>,
    /// The case is about losses: its traces need not be complete.
    pub(crate) may_lose: bool,
    /// Traces whose counts are checked when the case is over.
    pub(crate) reports: Vec<Report>,
    evidence: Vec<(String, String)>,
}

impl<'r> Lab<'r> {
    /// An empty laboratory.
    pub(crate) fn new(reporter: &'r Reporter, case: &str) -> Lab<'r> {
        Lab {
            reporter,
            case: case.to_owned(),
            lio: None,
            emulator: None,
            maps: Vec::new(),
            may_lose: false,
            reports: Vec::new(),
            evidence: Vec::new(),
        }
    }

    /// Sets up the kernel's own array, 4 paths.
    pub(crate) fn lio(&mut self) -> Result<&mut Lio> {
        self.lio_with(true)
    }

    /// Like [`Lab::lio`]; `rescan` makes kernels from 6.12 ask for the states at once.
    pub(crate) fn lio_with(&mut self, rescan: bool) -> Result<&mut Lio> {
        let lio = Lio::set_up(rescan).context("failed to set up LIO")?;
        Ok(self.lio.insert(lio))
    }

    /// Starts the emulator, 4 paths.
    pub(crate) fn emulator(&mut self) -> Result<&mut Emulator> {
        self.emulator_with(Options::default())
    }

    /// The emulator without SET TARGET PORT GROUPS: the host may send I/O to a non-optimized
    /// group, but cannot make it optimized. The states are known from the start.
    pub(crate) fn implicit_emulator(&mut self) -> Result<&mut Emulator> {
        self.emulator_with(Options {
            tpgs: 1,
            ..Options::default()
        })?;
        self.learn_states()?;
        self.array()
    }

    /// The emulator as an RDAC array of `luns` LUNs, all of them controller A's.
    pub(crate) fn rdac_emulator(&mut self, mode: Mode, luns: u8) -> Result<&mut Emulator> {
        self.emulator_with(Options {
            rdac: Some(mode),
            luns,
            ..Options::default()
        })?;
        self.expect_handler(Handler::Rdac)?;
        self.array()
    }

    /// The emulator as an ALUA array of `options`. The states are known from the start.
    pub(crate) fn alua_emulator(&mut self, options: Options) -> Result<&mut Emulator> {
        self.emulator_with(options)?;
        self.paths().iter().try_for_each(LabPath::rescan)?;
        self.expect_handler(Handler::Alua)?;
        self.array()
    }

    /// The emulator in the array's guest, over iSCSI. The states are known from the start.
    pub(crate) fn iscsi(&mut self, options: Options) -> Result<&mut Emulator> {
        let emulator =
            Emulator::start_remote(options).context("failed to connect the array's guest")?;
        self.emulator = Some(emulator);
        self.paths().iter().try_for_each(LabPath::rescan)?;
        self.array()
    }

    fn expect_handler(&self, handler: Handler) -> Result<()> {
        for path in self.paths() {
            let attached = sys::read(path.sysfs("dh_state"))?;
            anyhow::ensure!(
                attached == handler.name(),
                "{} has the handler {attached}",
                path.hctl
            );
        }
        Ok(())
    }

    /// The emulator with options of its own.
    pub(crate) fn emulator_with(&mut self, options: Options) -> Result<&mut Emulator> {
        let emulator = Emulator::start(options).context("failed to start the emulator")?;
        Ok(self.emulator.insert(emulator))
    }

    /// Makes the kernel ask for the states, and waits until it has them (A is optimized).
    pub(crate) fn learn_states(&mut self) -> Result<()> {
        self.paths().iter().try_for_each(LabPath::rescan)?;
        self.expect_states("active/optimized", "active/non-optimized")
    }

    /// Waits until the kernel knows these states of the two controllers.
    pub(crate) fn expect_states(&self, a: &str, b: &str) -> Result<()> {
        for path in self.paths() {
            let expected = if path.name.controller == Controller::A {
                a
            } else {
                b
            };
            let what = format!("{} to be {expected}", path.name);
            sys::wait_for(Duration::from_secs(5), &what, || {
                let handler = sys::read(path.sysfs("dh_state"))?;
                Ok(handler == "alua" && sys::read(path.sysfs("access_state"))? == expected)
            })?;
        }
        Ok(())
    }

    /// The emulator that runs.
    pub(crate) fn array(&mut self) -> Result<&mut Emulator> {
        self.emulator.as_mut().context("no emulator runs")
    }

    /// The LIO array that is set up.
    pub(crate) fn target(&mut self) -> Result<&mut Lio> {
        self.lio.as_mut().context("LIO is not set up")
    }

    /// Every LUN over every path, A1 B1 A2 B2.
    pub(crate) fn paths(&self) -> Vec<LabPath> {
        let lio = self.lio.iter().flat_map(|lio| lio.paths.clone());
        let emulator = self
            .emulator
            .iter()
            .flat_map(|emulator| emulator.paths.clone());
        lio.chain(emulator).collect()
    }

    /// The path `name`, such as `A1`, to LUN 0.
    pub(crate) fn path(&self, name: &str) -> Result<LabPath> {
        self.path_to(name, 0)
    }

    /// The path `name` to `lun`.
    pub(crate) fn path_to(&self, name: &str, lun: u8) -> Result<LabPath> {
        let name: PathName = name.parse()?;
        let mut paths = self.paths().into_iter();
        let found = paths.find(|path| path.name == name && path.lun == lun);
        found.with_context(|| format!("no path {name} to LUN {lun}"))
    }

    /// A map of one LUN with a path group per controller.
    pub(crate) fn map(&mut self, options: &MapOptions) -> Result<Map> {
        let controllers = [options.first, options.first.other()];
        let groups = controllers.map(|controller| {
            self.paths()
                .into_iter()
                .filter(|path| path.lun == options.lun && path.name.controller == controller)
                .collect()
        });
        let map = Map::create(options, &groups)?;
        self.maps.push(map.clone());
        Ok(map)
    }

    /// Starts the tracer.
    pub(crate) fn trace(&mut self, options: &TraceOptions) -> Result<Trace> {
        Trace::start(options)
    }

    /// Ends a trace by SIGINT, and keeps it to be checked and, if the case fails, sent.
    pub(crate) fn stop(&mut self, trace: Trace) -> Result<Report> {
        let report = trace.stop();
        self.keep(report)
    }

    /// Keeps a report that ended by itself.
    pub(crate) fn keep(&mut self, report: Result<Report>) -> Result<Report> {
        if let Ok(report) = &report {
            self.reports.push(report.clone());
        }
        report
    }

    /// Something to look at if the case fails.
    pub(crate) fn evidence(&mut self, name: &str, text: impl Into<String>) {
        self.evidence.push((name.to_owned(), text.into()));
    }

    /// Sends a measured number.
    pub(crate) fn figure(&self, name: &str, value: f64, unit: &str) {
        self.reporter.send(&Message::Figure {
            source: self.case.clone(),
            name: name.to_owned(),
            value,
            unit: unit.to_owned(),
        });
    }

    /// Sends a line for a person.
    pub(crate) fn log(&self, text: impl Into<String>) {
        self.reporter.log(text);
    }

    /// The message channel.
    pub(crate) fn reporter(&self) -> &'r Reporter {
        self.reporter
    }

    /// Sends everything that helps to understand a failure.
    pub(crate) fn send_evidence(&mut self) {
        for (index, report) in self.reports.iter().enumerate() {
            let name = format!("trace-{}.jsonl", index + 1);
            self.evidence.push((name, report.raw.clone()));
            self.evidence
                .push((format!("trace-{}.stderr", index + 1), report.stderr.clone()));
        }
        self.evidence
            .push(("dmesg.txt".to_owned(), kmsg::tail(200)));
        if let Some(Ok(stat)) = self.emulator.as_mut().map(|array| array.ask("stat")) {
            let text = stat.join("\n");
            self.evidence.push(("array-stat.txt".to_owned(), text));
        }
        if let Ok(status) = sys::process::run("dmsetup", &["status"]) {
            self.evidence
                .push(("dmsetup-status.txt".to_owned(), status));
        }
        for (name, text) in self.evidence.drain(..) {
            let name = format!("{}-{name}", self.case);
            self.reporter.send(&Message::File {
                name,
                text: shorten(text),
            });
        }
    }

    /// Removes maps, arrays and whatever a case left running.
    pub(crate) fn tear_down(&mut self) -> Result<()> {
        let mut problems = Vec::new();
        for map in self.maps.drain(..).rev() {
            problems.extend(map.remove().err());
        }
        problems.extend(multipath::remove_all().err());
        if let Some(mut emulator) = self.emulator.take() {
            problems.extend(emulator.stop().err());
        }
        if let Some(mut lio) = self.lio.take() {
            problems.extend(lio.tear_down().err());
        }
        let _ = sys::wait_for(Duration::from_secs(5), "disks to go", || {
            Ok(disk::scsi_disks().is_empty())
        });
        match problems.into_iter().next() {
            Some(problem) => Err(problem).context("failed to clean up"),
            None => Ok(()),
        }
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        let _ = self.tear_down();
    }
}

/// A megabyte is enough to look at: the start and the end.
fn shorten(text: String) -> String {
    const KEEP: usize = 512 << 10;
    if text.len() <= 2 * KEEP {
        return text;
    }
    let head: String = text.chars().take(KEEP).collect();
    let tail: Vec<char> = text.chars().rev().take(KEEP).collect();
    format!(
        "{head}\n[…]\n{}",
        tail.into_iter().rev().collect::<String>()
    )
}
