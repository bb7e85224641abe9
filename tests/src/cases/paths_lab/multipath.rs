//! The same as multipath-tools say, of maps that multipathd made.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Comparison, inventory, list, tool};
use crate::array::Mode;
use crate::cases::Outcome;
use crate::lab::Lab;
use crate::lab::lio::State;
use crate::lab::multipathd::Multipathd;
use crate::sys::{self, process};

/// What `paths` may say instead of a word of `multipath -ll`, which asks the array: unknown, never
/// something else. Only without `--refresh`, and only of an RDAC array.
const UNKNOWN: [&str; 2] = ["undef", "prio=undef"];

/// Fields that `multipathd show maps json` does not have.
const NOT_IN_JSON: [&str; 2] = ["size_bytes", "address"];

/// What `multipath -ll` says twice in a row with a time between, and that is not `before`.
fn settled(before: &str) -> Result<String> {
    let mut last = String::new();
    sys::wait_for(Duration::from_secs(30), "multipathd to settle", || {
        let now = process::run("multipath", &["-ll"])?;
        let same = now == last && now != before && now.matches(":0 sd").count() == 4;
        last = now;
        if !same {
            sys::sleep_ms(1500);
        }
        Ok(same)
    })
    .with_context(|| format!("the last was: {last}"))?;
    Ok(last)
}

/// Line by line the same; with `unknown`, words may be unknown.
fn same_lines(ours: &str, theirs: &str, unknown: bool) -> Result<usize> {
    let explain = || format!("the tool:\n{ours}multipath -ll:\n{theirs}");
    ensure!(
        ours.lines().count() == theirs.lines().count(),
        "{}",
        explain()
    );
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        if !unknown {
            ensure!(ours == theirs, "{ours:?} is not {theirs:?}: {}", explain());
            continue;
        }
        let (ours, theirs): (Vec<&str>, Vec<&str>) = (
            ours.split_whitespace().collect(),
            theirs.split_whitespace().collect(),
        );
        let same = |(ours, theirs): (&&str, &&str)| ours == theirs || UNKNOWN.contains(ours);
        ensure!(
            ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same),
            "{ours:?} is not {theirs:?}: {}",
            explain()
        );
    }
    Ok(theirs.lines().count())
}

/// What can be compared of a map now.
#[derive(Default)]
struct Seen {
    lines: usize,
    imported: Comparison,
}

impl Seen {
    /// `multipath -ll` is `theirs`; `asks` is what makes the tool know as much.
    fn compare(&mut self, theirs: &str, asks: &[&str]) -> Result<()> {
        let ours = tool(&[&["paths", "--view", "mpath"], asks].concat())?;
        self.lines += same_lines(&ours, theirs, false)?;
        let ours = inventory(asks)?;
        let json = process::run("multipathd", &["show", "maps", "json"])?;
        for (name, text) in [("multipath -ll", theirs), ("multipathd", json.as_str())] {
            let file = "/tmp/import";
            sys::write(file, text)?;
            let imported = serde_json::from_str(&tool(&["import", "--json", file])?)?;
            compare_maps(&mut self.imported, name, &ours, &imported);
        }
        Ok(())
    }

    fn done(&self, lab: &Lab) -> Result<Outcome> {
        lab.figure("lines of multipath -ll compared", self.lines as f64, "");
        lab.figure(
            "imported fields compared",
            self.imported.compared as f64,
            "",
        );
        self.imported.result()?;
        Ok(Outcome::Passed)
    }
}

const OF_MAPS: [&str; 9] = [
    "name",
    "dm",
    "wwid",
    "vendor",
    "product",
    "size_bytes",
    "features",
    "handler",
    "read_only",
];
const OF_GROUPS: [&str; 4] = ["number", "selector", "state", "priority"];
const OF_PATHS: [&str; 5] = ["address", "device", "devno", "dm_state", "device_state"];

fn compare_maps(comparison: &mut Comparison, about: &str, ours: &Value, imported: &Value) {
    compare_list(
        comparison,
        about,
        (ours, imported),
        "maps",
        &OF_MAPS,
        |it, about, pair| {
            compare_list(it, about, pair, "groups", &OF_GROUPS, |it, about, pair| {
                compare_list(it, about, pair, "paths", &OF_PATHS, |_, _, _| {});
            });
        },
    );
}

/// Fields of each member of two lists, and what `inner` compares of them.
fn compare_list(
    comparison: &mut Comparison,
    about: &str,
    (ours, theirs): (&Value, &Value),
    kind: &str,
    names: &[&str],
    inner: fn(&mut Comparison, &str, (&Value, &Value)),
) {
    let (ours, theirs) = (&ours[kind], &theirs[kind]);
    let count = |value: &Value| Value::from(list(value).count());
    comparison.field(
        &format!("{about}: number of {kind}"),
        &count(ours),
        &count(theirs),
    );
    for (nth, (ours, theirs)) in list(ours).zip(list(theirs)).enumerate() {
        let about = format!("{about} {kind} {nth}");
        let told = |name: &&&str| !(about.starts_with("multipathd") && NOT_IN_JSON.contains(*name));
        for name in names.iter().filter(told) {
            comparison.field(&format!("{about} {name}"), &ours[name], &theirs[name]);
        }
        inner(comparison, &about, (ours, theirs));
    }
}

/// The states come from sysfs: nothing is unknown, nothing is asked.
pub(super) fn lio(lab: &mut Lab) -> Result<Outcome> {
    use State::{NonOptimized, Optimized, Standby};
    lab.lio()?;
    let daemon = Multipathd::start()?;
    let mut seen = Seen::default();
    let mut shown = settled("")?;
    seen.compare(&shown, &[])?;
    for (a, b) in [(NonOptimized, Optimized), (Standby, Optimized)] {
        lab.target()?.set_states(a, b)?;
        shown = settled(&shown)?;
        seen.compare(&shown, &[])?;
        seen.compare(&shown, &["--refresh"])?;
    }
    sys::write(lab.path("A2")?.sysfs("state"), "offline\n")?;
    shown = settled(&shown)?;
    seen.compare(&shown, &[])?;
    drop(daemon);
    seen.done(lab)
}

/// Who owns a volume only the array tells.
pub(super) fn rdac(lab: &mut Lab) -> Result<Outcome> {
    let mut seen = Seen::default();
    for mode in [Mode::Ioship, Mode::Rdac] {
        lab.rdac_emulator(mode, 1)?;
        let daemon = Multipathd::start()?;
        let mut shown = settled("")?;
        let silent = tool(&["paths", "--view", "mpath"])?;
        same_lines(&silent, &shown, true)?;
        ensure!(silent.contains("undef"), "who told it? {silent}");
        seen.compare(&shown, &["--refresh"])?;
        lab.array()?.ask("prefer none")?;
        shown = settled(&shown)?;
        seen.compare(&shown, &["--refresh"])?;
        drop(daemon);
        lab.tear_down()?;
    }
    seen.done(lab)
}
