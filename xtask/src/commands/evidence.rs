//! What is made of recordings, looked at with what it is for: pages in a browser, exports in Python. Of scenes,
//! recordings of traces that never were.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::arch::Arch;
use crate::browser::{Browser, Look};
use crate::paths::{Paths, create_dir, remove_dir};
use crate::programs::cargo_in;
use crate::python::Python;
use crate::results::Totals;
use crate::say;
use crate::toolchain;
use crate::userland::{Set, Userland};

/// Scenes whose page is opened, and how many pixels high that is about.
const PAGES: [&str; 5] = ["one-path", "transfer", "many", "lossy", "idle"];
/// Scenes that are exported.
const EXPORTS: [&str; 3] = ["transfer", "lossy", "idle"];
const FORMS: [(&str, &str); 5] = [
    ("hlog", "hlog"),
    ("csv", "csv"),
    ("parquet", "parquet"),
    ("fio", "fio.json"),
    ("perfetto", "perfetto-trace"),
];
const WIDTHS: [u32; 2] = [1280, 400];
const HEIGHT: u32 = 6000;
const CLAT2CSV: &str = "usr/bin/fio_jsonplus_clat2csv";

/// Runs all of it.
pub(crate) fn run(paths: &Paths, totals: &mut Totals) {
    say::step("pages and exports of recordings");
    let made = match Made::new(paths) {
        Ok(made) => made,
        Err(error) => {
            totals.fail("evidence", &format!("{error:#}"));
            return;
        }
    };
    match Browser::get(paths) {
        Ok(browser) => pages(&made, &browser, totals),
        Err(error) => totals.skip("pages in Chromium", &format!("{error:#}")),
    }
    let requirements = paths.root.join("tests/exports/requirements.txt");
    match Python::with(paths, &requirements) {
        Ok(python) => exports(paths, &made, &python, totals),
        Err(error) => totals.skip("exports in Python", &format!("{error:#}")),
    }
}

/// The tool, and where what it makes goes.
struct Made {
    tool: PathBuf,
    scenes: PathBuf,
    directory: PathBuf,
}

impl Made {
    fn new(paths: &Paths) -> Result<Self> {
        let environment = toolchain::prepare(paths)?;
        let mut build = cargo_in(paths, "build");
        build
            .args(["--quiet", "--package", "alua-trace", "--bins"])
            .args(["--example", "make_recording"])
            .envs(environment);
        say::run(&mut build)?;
        let directory = paths.target.join("evidence");
        remove_dir(&directory)?;
        create_dir(&directory)?;
        let debug = paths.target.join("debug");
        Ok(Self {
            tool: debug.join("alua-trace"),
            scenes: debug.join("examples/make_recording"),
            directory,
        })
    }

    fn file(&self, scene: &str, extension: &str) -> PathBuf {
        self.directory.join(format!("{scene}.{extension}"))
    }

    fn recording(&self, scene: &str) -> Result<PathBuf> {
        let file = self.file(scene, "atr");
        if !file.exists() {
            say::output(Command::new(&self.scenes).arg(scene).arg(&file))?;
        }
        Ok(file)
    }
}

fn pages(made: &Made, browser: &Browser, totals: &mut Totals) {
    for scene in PAGES {
        let page = made.file(scene, "html");
        let report = made.recording(scene).and_then(|recording| {
            let mut report = Command::new(&made.tool);
            report
                .arg("report")
                .arg(recording)
                .arg("--output")
                .arg(&page);
            say::output(&mut report)
        });
        if let Err(error) = report {
            totals.fail(&format!("page of {scene}"), &format!("{error:#}"));
            continue;
        }
        for width in WIDTHS {
            for dark in [false, true] {
                let shade = if dark { "dark" } else { "light" };
                let name = format!("{scene}-{shade}-{width}");
                let look = Look {
                    width,
                    height: HEIGHT,
                    dark,
                };
                let complaints = browser.open(&page, look, &made.file(&name, "png"));
                count(totals, &format!("page {name}"), complaints.and_then(none));
            }
        }
    }
}

fn none(complaints: Vec<String>) -> Result<()> {
    anyhow::ensure!(
        complaints.is_empty(),
        "the page complains: {}",
        complaints.join("; ")
    );
    Ok(())
}

fn exports(paths: &Paths, made: &Made, python: &Python, totals: &mut Totals) {
    let fio = match Userland::get(paths, Arch::HOST, Set::Common, false) {
        Ok(userland) => userland.root.join(CLAT2CSV),
        Err(error) => {
            totals.skip("fio's tools", &format!("{error:#}"));
            PathBuf::from("-")
        }
    };
    let script = paths.root.join("tests/exports/check.py");
    for scene in EXPORTS {
        let mut check = python.command(&script);
        check.arg(&made.directory).arg(scene).arg(&fio);
        let outcome = export(made, scene).and_then(|()| python.count(&mut check, scene, totals));
        if let Err(error) = outcome {
            totals.fail(&format!("exports of {scene}"), &format!("{error:#}"));
        }
    }
}

fn export(made: &Made, scene: &str) -> Result<()> {
    let recording = made.recording(scene)?;
    let mut report = Command::new(&made.tool);
    report
        .arg("report")
        .arg(&recording)
        .arg("--json")
        .arg(made.file(scene, "report.json"));
    say::output(&mut report)?;
    for (form, extension) in FORMS {
        let mut export = Command::new(&made.tool);
        export.arg("export").arg(&recording).args(["--to", form]);
        export.arg("--output").arg(made.file(scene, extension));
        say::output(&mut export)?;
    }
    Ok(())
}

fn count(totals: &mut Totals, name: &str, outcome: Result<()>) {
    match outcome {
        Ok(()) => totals.pass(name),
        Err(error) => totals.fail(name, &format!("{error:#}")),
    }
}
