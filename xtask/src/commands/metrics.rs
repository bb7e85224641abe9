//! Metrics of recordings, scraped by a real Prometheus, and what ships for one: rules and a dashboard.

use std::path::Path;

use anyhow::Result;

use crate::arch::Arch;
use crate::packages::Apt;
use crate::paths::{Paths, create_dir, remove_dir};
use crate::programs::cargo_in;
use crate::python::Python;
use crate::results::Totals;
use crate::say;
use crate::toolchain;

/// The release whose Prometheus has stable native histograms.
const RELEASE: &str = "sid";
const PACKAGES: [&str; 1] = ["prometheus"];
/// Scenes whose metrics are scraped.
const SCENES: [&str; 2] = ["transfer", "many"];

/// Runs all of it.
pub(crate) fn run(paths: &Paths, totals: &mut Totals) {
    say::step("metrics, by a real Prometheus");
    let root = match Apt::open(&paths.lab, RELEASE, false)
        .and_then(|apt| apt.tree(&paths.lab, "Prometheus", &PACKAGES))
    {
        Ok(root) => root,
        Err(error) => {
            totals.skip("metrics by Prometheus", &format!("{error:#}"));
            return;
        }
    };
    for scene in SCENES {
        if let Err(error) = scrape(paths, &root, scene, totals) {
            totals.fail(&format!("metrics of {scene}"), &format!("{error:#}"));
        }
    }
}

fn scrape(paths: &Paths, root: &Path, scene: &str, totals: &mut Totals) -> Result<()> {
    let environment = toolchain::prepare(paths)?;
    let mut build = cargo_in(paths, "build");
    build
        .args(["--quiet", "--package", "alua-trace", "--bins"])
        .args(["--example", "make_recording", "--example", "serve_metrics"])
        .envs(environment);
    say::run(&mut build)?;
    let directory = paths.target.join("metrics").join(scene);
    remove_dir(&directory)?;
    create_dir(&directory)?;
    let debug = paths.target.join("debug");
    let (recording, lines) = (directory.join("trace.atr"), directory.join("trace.jsonl"));
    let mut make = std::process::Command::new(debug.join("examples/make_recording"));
    say::output(make.arg(scene).arg(&recording))?;
    let mut replay = std::process::Command::new(debug.join("alua-trace"));
    // Some recordings are of traces that lost something, which its status says.
    replay
        .arg("replay")
        .arg(&recording)
        .arg("--json")
        .arg(&lines);
    say::output(&mut replay)?;
    let mut check = Python::plain().command(&paths.root.join("tests/metrics/check.py"));
    check
        .env("LOADER", Arch::HOST.loader(root))
        .env("LIBRARIES", Arch::HOST.libraries(root))
        .arg(root)
        .arg(debug.join("examples/serve_metrics"))
        .args([&recording, &lines, &directory]);
    Python::plain().count(&mut check, &format!("metrics of {scene}"), totals)
}
