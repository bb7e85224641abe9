//! Where the cost of watching goes: the probes by the kernel's own statistics, the tool's threads by the
//! scheduler's account, each for one command of the same load. Guest time is instructions executed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};

use super::observers::{Observer, Watching};
use crate::lab::Lab;
use crate::protocol::Message;
use crate::sys::{self, bpf};

const NAME: &str = "breakdown";
const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
/// `-icount shift=1`: an instruction takes 2 ns.
const NS_PER_INSTRUCTION: f64 = 2.0;

/// What was used up to a moment.
struct Used {
    /// Programs by id: their run time and runs.
    programs: BTreeMap<u32, (u64, u64)>,
    /// The observer's threads by name: their CPU time in ns.
    threads: BTreeMap<String, u64>,
}

/// Nanoseconds for a command, by part.
pub(super) struct Parts {
    commands: u64,
    programs: Vec<f64>,
    threads: BTreeMap<String, f64>,
}

/// What of `observer` costs what, while `load` runs.
pub(super) fn measure(observer: &Observer, load: &dyn Fn() -> Result<f64>) -> Result<Parts> {
    let watching = observer.start()?.context("nobody watches")?;
    sys::write(STATISTICS, "1")?;
    let before = Used::now(&watching);
    let loaded = load();
    let after = Used::now(&watching);
    sys::write(STATISTICS, "0")?;
    watching.stop()?;
    loaded?;
    after?.since(&before?)
}

impl Used {
    fn now(watching: &Watching) -> Result<Self> {
        let programs = bpf::programs().context("cannot read the programs' statistics")?;
        let programs = programs
            .into_iter()
            .map(|it| (it.id, (it.run_time_ns, it.runs)));
        Ok(Self {
            programs: programs.collect(),
            threads: watching.threads()?,
        })
    }

    fn since(&self, before: &Self) -> Result<Parts> {
        let mut programs = Vec::new();
        for (id, (ns, runs)) in &self.programs {
            let (ns_before, runs_before) = before.programs.get(id).copied().unwrap_or_default();
            programs.push((ns - ns_before, runs - runs_before));
        }
        let commands = programs.iter().map(|it| it.1).max().unwrap_or(0);
        ensure!(commands > 0, "the kernel counted no runs");
        // By id: in the order in which they were loaded, ends before starts.
        programs.retain(|(_, runs)| *runs > commands / 2);
        let threads = self.threads.iter().map(|(name, ns)| {
            let ns = ns - before.threads.get(name).copied().unwrap_or(0);
            (name.clone(), ns as f64 / commands as f64)
        });
        Ok(Parts {
            commands,
            threads: threads.collect(),
            programs: programs
                .iter()
                .map(|(ns, _)| *ns as f64 / commands as f64)
                .collect(),
        })
    }
}

/// Sends a row for each part of an observer: `tool` beside what `empty` programs cost, as shares of an I/O that takes `io_ns`.
pub(super) fn report(
    lab: &Lab,
    observer: &str,
    empty: &Parts,
    tool: &Parts,
    io_ns: f64,
) -> Result<()> {
    // One program on both hooks: its time by its runs.
    let none = empty.programs.first().context("no empty program ran")?;
    let [completion, .., dispatch] = tool.programs[..] else {
        anyhow::bail!(
            "the tool has {} programs that run for each command",
            tool.programs.len()
        );
    };
    let send = |part: &str, ns: f64| {
        let cells = [
            ("part", part.to_owned()),
            ("observer", observer.to_owned()),
            ("ns a command", format!("{ns:.0}")),
            ("instructions", format!("{:.0}", ns / NS_PER_INSTRUCTION)),
            ("% of an I/O", format!("{:.2}", 100.0 * ns / io_ns)),
        ];
        lab.reporter().send(&Message::Row {
            source: NAME.to_owned(),
            cells: cells.map(|(name, text)| (name.to_owned(), text)).into(),
        });
    };
    // What the statistics themselves take is in each program's time.
    send("dispatch probe, less an empty program", dispatch - none);
    send("completion probe, less an empty program", completion - none);
    for (name, ns) in &tool.threads {
        send(&format!("thread {name}"), *ns);
    }
    lab.log(format!(
        "{observer}: the breakdown is of {} commands",
        tool.commands
    ));
    Ok(())
}
