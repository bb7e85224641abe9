//! What the tool tells of factors and gains on a real kernel, against what was planted in the array.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::{Case, Clock, Group, Kernels, Outcome};
use crate::array::Controller;
use crate::lab::Lab;
use crate::lab::load::{Load, UNTIL_STOPPED_MS, Until};
use crate::lab::loopback::LabPath;
use crate::lab::multipath::{Map, MapOptions, Selector};
use crate::lab::tracer::{self, TOOL, btf};
use crate::sys;
use crate::sys::process::{Background, command, run};

pub(super) const GROUP: Group = Group {
    name: "experiments",
    limit_seconds: 900,
    kernels: Kernels::DefaultOnly,
    clock: Clock::Instructions,
    array: false,
    cases: &[
        Case {
            name: "one-factor",
            run: one_factor,
        },
        Case {
            name: "gain",
            run: |lab| gains(lab, &[200, 5_000]),
        },
        Case {
            name: "compare",
            run: compare,
        },
        Case {
            name: "gain-of-other-sizes",
            run: other_sizes,
        },
    ],
};

pub(super) const LONG: Group = Group {
    name: "gain-of-20-runs",
    limit_seconds: 3600,
    kernels: Kernels::OnRequest,
    clock: Clock::Instructions,
    array: false,
    cases: &[Case {
        name: "planted",
        run: |lab| gains(lab, &[200, 1_000, 5_000].repeat(7)[..20]),
    }],
};

const LIMIT: Duration = Duration::from_secs(600);
const PLAN: &str = "/tmp/plan.toml";
const DIR: &str = "/tmp/made";
const RECORDING: &str = "/tmp/gain.atr";
const RESULTS: &str = "/tmp/results.json";
/// What an I/O over the other controller takes longer.
const PLANTED_NS: f64 = 2e6;

/// I/O on optimized paths alone against I/O over all of them.
fn one_factor(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?.ask("delay B 2ms")?;
    let map = lab.map(&MapOptions::default())?;
    let kept = run("dmsetup", &["table", &map.name])?;
    std::fs::write("/tmp/kept", &kept)?;
    let table = spread(&lab.paths(), &map, Selector::ServiceTime)?;
    std::fs::write("/tmp/spread", table)?;
    std::fs::write(PLAN, plan(&map))?;
    let _ = std::fs::remove_dir_all(DIR);
    killed(&map, &kept)?;
    let results = experiment(lab)?;
    ensure!(
        run("dmsetup", &["table", &map.name])? == kept,
        "the table is not as it was"
    );
    judge(lab, &results)?;
    Ok(Outcome::Passed)
}

fn plan(map: &Map) -> String {
    let name = &map.name;
    let switch = |table: &str| {
        format!("dmsetup load {name} {table} && dmsetup suspend {name} && dmsetup resume {name}")
    };
    let words = |milliseconds| {
        let load = load(&map.node(), Until::Milliseconds(milliseconds));
        load.arguments().join(" ")
    };
    let (warm_up, measured) = (words(UNTIL_STOPPED_MS), words(2_000));
    let (before, off, on) = (
        switch("/tmp/before"),
        switch("/tmp/spread"),
        switch("/tmp/kept"),
    );
    format!(
        r#"
title = "What does ALUA gain?"
blocks = 2
seed = 1
load = "fio {measured}"
maps = ["{name}"]
metrics = ["mean", "not-optimized"]
[warm_up]
load = "exec fio {warm_up}"
round = "500ms"
# Half of the I/O takes 2 ms longer: its median lies in between, and comes to no rest.
measures = ["iops", "mean", "p99"]
[[factor]]
name = "ALUA"
save = "dmsetup table {name}"
restore = "cat > /tmp/before; {before}"
[[factor.level]]
name = "off"
set = "{off}"
check = "dmsetup table {name} | grep -q '1 alua 1 1'"
[[factor.level]]
name = "on"
set = "{on}"
"#
    )
}

fn words() -> Vec<&'static str> {
    let mut words = vec!["experiment", PLAN, "--dir", DIR, "--json", RESULTS];
    words.extend(btf());
    words
}

/// Begins it, and kills it while the table is another one: that is as it was soon after.
fn killed(map: &Map, kept: &str) -> Result<()> {
    let table = || run("dmsetup", &["table", &map.name]);
    let mut begun = Background::start(&mut command(TOOL, &words()))?;
    sys::wait_for(LIMIT, "another table", || Ok(table()? != kept))?;
    begun.signal(Signal::KILL)?;
    begun.finish(LIMIT)?;
    sys::wait_for(Duration::from_secs(30), "the table as it was", || {
        Ok(table()? == kept)
    })
}

/// Makes the rest of it; two blocks are too few for a verdict, which is said.
fn experiment(lab: &mut Lab) -> Result<Value> {
    let said = tracer::say(&words(), LIMIT)?;
    let text = format!("{}{}", said.stdout, said.stderr);
    lab.evidence("experiment.txt", text.clone());
    let results =
        std::fs::read_to_string(RESULTS).with_context(|| format!("no results: {text}"))?;
    lab.evidence("results.json", results.clone());
    ensure!(
        said.code() == 2 && text.contains("No verdict: 2 whole blocks are too few"),
        "{text}"
    );
    Ok(serde_json::from_str(&results)?)
}

fn judge(lab: &Lab, results: &Value) -> Result<()> {
    let costs = &results["not_optimized_costs_ns"];
    let of = |name: &str| {
        let value = costs[name].as_f64();
        value.with_context(|| format!("no {name} of costs"))
    };
    lab.figure(
        "an I/O over the other controller takes longer by",
        of("value")?,
        "ns",
    );
    ensure!(
        of("low")? <= PLANTED_NS * 1.02 && PLANTED_NS * 0.98 <= of("high")?,
        "2 ms were planted, and {costs} are told"
    );
    // Some of the I/O went there: its selector avoids what is slow.
    let share = &results["metrics"][1]["effects"][0]["change"]["value"];
    let share = share
        .as_f64()
        .context("no effect on the part not optimized")?;
    lab.figure("no more over it", -100.0 * share, "% of the I/O");
    ensure!(
        (-0.55..=-0.02).contains(&share),
        "{share} of the I/O is no more on the other controller"
    );
    let notes = results["notes"].as_array().context("no notes")?;
    let groups = notes.iter().find(|it| it["what"] == "path groups");
    let with = groups.map(|it| it["goes_with"].clone());
    ensure!(
        with == Some("ALUA".into()),
        "the path groups go with {with:?}: {notes:?}"
    );
    Ok(())
}

/// The map's table with one group of all paths.
fn spread(paths: &[LabPath], map: &Map, selector: Selector) -> Result<String> {
    let table = run("dmsetup", &["table", &map.name])?;
    let mut words = table.split_whitespace();
    let sectors = words.nth(1).context("a table without a size")?;
    Ok(format!(
        "0 {sectors} multipath 1 queue_if_no_path 1 alua 1 1 {}\n",
        selector.group(paths)
    ))
}

/// Two reads at once, with pauses: what waits for the guest's only processor would wait the longer, the more the array
/// delays, and what is planted must be all there is.
fn load(device: &str, until: Until) -> Load {
    Load {
        engine: "psync",
        depth: 1,
        jobs: 2,
        think_us: 1000,
        until,
        ..Load::random_reads(device, 0)
    }
}

/// Over all paths, with the other controller slower by so much each time.
fn gains(lab: &mut Lab, planted_us: &[u64]) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let map = lab.map(&MapOptions {
        selector: Selector::RoundRobin,
        ..MapOptions::default()
    })?;
    let table = spread(&lab.paths(), &map, Selector::RoundRobin)?;
    std::fs::write("/tmp/spread", table)?;
    run("dmsetup", &["load", &map.name, "/tmp/spread"])?;
    run("dmsetup", &["suspend", &map.name])?;
    run("dmsetup", &["resume", &map.name])?;
    let mut worst: f64 = 0.0;
    for planted_us in planted_us {
        lab.array()?.ask("delay A 300us")?;
        lab.array()?
            .ask(&format!("delay B {}us", 300 + planted_us))?;
        // One at a time: a second one would wait for the first one's delay before the array has seen it.
        let running = Load {
            jobs: 1,
            think_us: 500,
            ..load(&map.node(), Until::Milliseconds(UNTIL_STOPPED_MS))
        };
        let running = running.start()?;
        let _ = std::fs::remove_file(RECORDING);
        lab.array()?.ask("forget")?;
        niced(&["record", "-o", RECORDING, "--duration", "12s"])?;
        running.stop()?;
        let planted = planted_ns(lab, measured()?)?;
        lab.evidence("report.txt", niced(&["report", RECORDING])?);
        let told: Value = serde_json::from_str(&niced(&["gain", RECORDING, "--json", "-"])?)?;
        let gain = &told["maps"][0];
        let of = |what: &str, end: &str| {
            let value = gain[what][end].as_f64();
            value.with_context(|| format!("{planted} ns were planted, and this is told: {gain}"))
        };
        let off = (of("costs_ns", "value")? / planted - 1.0).abs();
        lab.figure(&format!("{planted_us} us wanted, planted"), planted, "ns");
        lab.figure(&format!("{planted_us} us wanted, off by"), 100.0 * off, "%");
        // What is gained is what the mean would be less.
        let share = gain["not_optimized_share"].as_f64().unwrap_or_default();
        let mean = gain["mean_ns"].as_f64().unwrap_or_default();
        let truth = share * planted / mean;
        let off_gain = (of("gain", "value")? / truth - 1.0).abs();
        ensure!(
            off <= 0.05 && off_gain <= 0.05,
            "{planted} ns were planted, a gain of {truth}, and this is told: {gain}"
        );
        worst = worst.max(off);
    }
    lab.figure("worst of all", 100.0 * worst, "%");
    Ok(Outcome::Passed)
}

/// The whole seconds of the recording. Before and after them the tool has the guest's only processor for itself while it
/// attaches and writes its summary, and the array waits for it.
fn measured() -> Result<Range<u64>> {
    let told = niced(&["replay", RECORDING, "--json", "-"])?;
    let of_lines = |field: &str| -> Vec<u64> {
        let lines = told
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter_map(|it| it[field].as_u64()).collect()
    };
    let (starts, ends) = (of_lines("started_at_ns"), of_lines("interval_ns"));
    let start = *starts.first().context("no start of the trace")?;
    Ok(start + 1_000_000_000..start + ends.iter().sum::<u64>().saturating_sub(1_000_000_000))
}

/// What reads took longer in the array over the other controller, at that time: its delays are a thread's that sleeps.
fn planted_ns(lab: &mut Lab, during: Range<u64>) -> Result<f64> {
    let log = lab.array()?.log()?;
    let mean = |controller: Controller| {
        let reads = log.iter().filter(|it| {
            let is_read = it.opcode == 0x28 && it.path.controller == controller;
            is_read && during.contains(&it.seen_at_ns)
        });
        let times: Vec<f64> = reads
            .map(|it| (it.completed_at_ns - it.seen_at_ns) as f64)
            .collect();
        times.iter().sum::<f64>() / times.len().max(1) as f64
    };
    Ok(mean(Controller::B) - mean(Controller::A))
}

/// Small reads over one controller, large ones over the other: nothing of it is alike.
fn other_sizes(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?.ask("delay all 1ms")?;
    let map = lab.map(&MapOptions::default())?;
    let of_other = lab.path("B1")?.node();
    let small = load(&map.node(), Until::Milliseconds(UNTIL_STOPPED_MS)).start()?;
    let large = Load {
        block_bytes: 65_536,
        ..load(&of_other, Until::Milliseconds(UNTIL_STOPPED_MS))
    };
    let large = large.start()?;
    let told = gain(&["--duration", "6s"])?;
    small.stop()?;
    large.stop()?;
    let gain = &told["maps"][0];
    let why = gain["why"].as_str().unwrap_or_default();
    ensure!(
        gain["verdict"] == "cannot-tell" && why.contains("64 KiB against reads of 4 KiB"),
        "{gain}"
    );
    Ok(Outcome::Passed)
}

/// Two sides that differ in selector and queue depth, of two runs each; then of one.
fn compare(lab: &mut Lab) -> Result<Outcome> {
    lab.implicit_emulator()?;
    let record = |lab: &mut Lab, selector: Selector, names: [&str; 2]| -> Result<()> {
        let map = lab.map(&MapOptions {
            selector,
            ..MapOptions::default()
        })?;
        for name in names {
            let running = load(&map.node(), Until::Milliseconds(UNTIL_STOPPED_MS)).start()?;
            niced(&["record", "-o", name, "--duration", "3s"])?;
            running.stop()?;
        }
        map.remove()
    };
    let sides = [
        ["/tmp/a1.atr", "/tmp/a2.atr"],
        ["/tmp/b1.atr", "/tmp/b2.atr"],
    ];
    record(lab, Selector::ServiceTime, sides[0])?;
    let depth = lab.path("A1")?.sysfs("queue_depth");
    let before = sys::read(&depth)?;
    sys::write(&depth, "7")?;
    let recorded = record(lab, Selector::RoundRobin, sides[1]);
    sys::write(&depth, &before)?;
    recorded?;
    let ([a1, a2], [b1, b2]) = (sides[0], sides[1]);
    let told = tracer::say(&["compare", a1, a2, "--vs", b1, b2, "--json", "-"], LIMIT)?;
    lab.evidence("compare.txt", format!("{}{}", told.stdout, told.stderr));
    let told: Value = serde_json::from_str(&told.stdout)?;
    let differs = told["differs"].as_array().context("no differences")?;
    let whats: Vec<&str> = differs
        .iter()
        .filter_map(|it| it["what"].as_str())
        .collect();
    ensure!(
        whats == ["path selector", "queue depth"],
        "selector and queue depth differ, and these are told: {whats:?}"
    );
    let refused = tracer::say(&["compare", a1, "--vs", b1, b2], LIMIT)?;
    ensure!(
        refused.code() == 2 && refused.stderr.contains("one run tells nothing"),
        "{refused:?}"
    );
    Ok(Outcome::Passed)
}

fn gain(words: &[&str]) -> Result<Value> {
    let told = niced(&[&["gain", "--json", "-"], words].concat())?;
    serde_json::from_str(&told).with_context(|| format!("no JSON: {told}"))
}

/// What the tool prints. It takes what the load leaves of the guest's only processor: on a host with several it would
/// be another one's.
fn niced(words: &[&str]) -> Result<String> {
    let mut all = vec!["-n", "19", TOOL];
    all.extend(words);
    let traces = words.first() == Some(&"record") || !words.contains(&RECORDING);
    if traces {
        for word in btf() {
            all.push(word);
        }
    }
    let said = Background::start(&mut command("nice", &all))?.finish(LIMIT)?;
    ensure!(
        said.code() == 0,
        "{all:?} ended with {}: {}",
        said.code(),
        said.stderr
    );
    Ok(said.stdout)
}
