//! Groups of test cases: one guest boot each. Owns how a case is chosen, run, judged, reported and
//! cleaned up after.

mod alua_lab;
mod bad_input;
mod cluster;
mod command_mode;
mod conservation;
mod conservation_faults;
mod experiments;
mod fio_one_path;
mod flags;
mod follows;
mod ground_truth;
mod hostile;
mod iscsi;
mod judge;
mod judgements;
mod lab_itself;
mod long_runs;
mod many_paths;
mod network;
mod paths_lab;
mod rdac_lab;
mod readers;
mod recordings;
mod rights;
mod state_swaps;
mod timeline;
mod transfers;
mod transitions;
mod waits;
mod watch;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::json;

use crate::lab::Lab;
use crate::protocol::{Message, Verdict};
use crate::runner::Reporter;

/// Which kernels a group is worth a boot on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kernels {
    /// Every one.
    All,
    /// The default one: the answer hardly depends on the kernel, or the other groups give it, too.
    DefaultOnly,
    /// Every one, when the group is named: the whole has a time to keep.
    OnRequest,
}

/// What the guest's time is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    /// The host's time, on two processors.
    Host,
    /// Instructions executed, on one processor: a time measured does not depend on what else the
    /// host does. For cases that compare times, and for those that do too little to be slow so.
    Instructions,
}

/// What a case came to, when no assertion failed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    /// It holds.
    Passed,
    /// It could not be tried here, and why.
    NotRun(String),
}

/// One case.
struct Case {
    name: &'static str,
    run: fn(&mut Lab) -> Result<Outcome>,
}

/// Cases that share a boot.
struct Group {
    name: &'static str,
    limit_seconds: u32,
    kernels: Kernels,
    clock: Clock,
    /// Whether the array is another guest.
    array: bool,
    cases: &'static [Case],
}

/// Those with the host's clock run first, one by one; of those that run side by side the longest
/// comes first.
const GROUPS: &[&Group] = &[
    &lab_itself::GROUP,
    &alua_lab::GROUP,
    &rdac_lab::GROUP,
    &conservation::GROUP,
    &state_swaps::GROUP,
    &flags::LATENCY,
    &ground_truth::GROUP,
    &fio_one_path::GROUP,
    &recordings::GROUP,
    &long_runs::GROUP,
    &iscsi::GROUP,
    &network::GROUP,
    &flags::GROUP,
    &follows::GROUP,
    &judgements::GROUP,
    &many_paths::GROUP,
    &many_paths::IDLE,
    &command_mode::GROUP,
    &bad_input::GROUP,
    &conservation_faults::GROUP,
    &transfers::GROUP,
    &transitions::GROUP,
    &cluster::GROUP,
    &waits::GROUP,
    &watch::GROUP,
    &readers::GROUP,
    &experiments::GROUP,
    &experiments::LONG,
    &network::LONG,
    &recordings::LONG,
    &long_runs::LONG,
    &rights::GROUP,
    &paths_lab::GROUP,
];

/// Prints the groups for the host.
pub(crate) fn print_list() -> ExitCode {
    println!("{}", list());
    ExitCode::SUCCESS
}

fn list() -> serde_json::Value {
    let groups: Vec<_> = GROUPS
        .iter()
        .map(|group| {
            let kernels = match group.kernels {
                Kernels::All => "all",
                Kernels::DefaultOnly => "default",
                Kernels::OnRequest => "on-request",
            };
            let clock = match group.clock {
                Clock::Host => "host",
                Clock::Instructions => "instructions",
            };
            let cases: Vec<_> = group.cases.iter().map(|case| case.name).collect();
            json!({
                "name": group.name,
                "seconds": group.limit_seconds,
                "kernels": kernels,
                "clock": clock,
                "array": group.array,
                "cases": cases,
            })
        })
        .collect();
    json!({ "groups": groups })
}

/// How long a group may take.
pub(crate) fn limit(group: &str) -> Duration {
    let seconds = find(group).map_or(60, |group| group.limit_seconds);
    Duration::from_secs(u64::from(seconds))
}

fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().copied().find(|group| group.name == name)
}

/// Runs the chosen cases of a group; the exit status is 0 when none failed.
pub(crate) fn run_group(reporter: &Reporter, group: &str, filters: &[String]) -> Result<i32> {
    let group = find(group).with_context(|| format!("no group {group}"))?;
    let mut status = 0;
    let wanted = |case: &&Case| chosen(&format!("{}/{}", group.name, case.name), filters);
    for case in group.cases.iter().filter(wanted) {
        if run_case(reporter, group.name, case) == Verdict::Failed {
            status = 1;
        }
    }
    Ok(status)
}

fn chosen(name: &str, filters: &[String]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| name.contains(filter.as_str()))
}

fn run_case(reporter: &Reporter, group: &str, case: &Case) -> Verdict {
    let name = format!("{group}/{}", case.name);
    reporter.send(&Message::CaseStarted { name: name.clone() });
    let started = Instant::now();
    let mut lab = Lab::new(reporter, &name.replace('/', "-"));
    let outcome = catch_unwind(AssertUnwindSafe(|| judge(&mut lab, case)))
        .unwrap_or_else(|panic| Err(anyhow::anyhow!("panicked: {}", panic_text(&*panic))));
    let (verdict, detail) = match outcome {
        Ok(Outcome::Passed) => (Verdict::Passed, String::new()),
        Ok(Outcome::NotRun(why)) => (Verdict::NotRun, why),
        Err(error) => (Verdict::Failed, format!("{error:#}")),
    };
    if verdict == Verdict::Failed {
        lab.send_evidence();
    }
    let (verdict, detail) = match lab.tear_down() {
        Ok(()) => (verdict, detail),
        Err(error) => (
            Verdict::Failed,
            format!("{detail} {error:#}").trim().to_owned(),
        ),
    };
    let duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    reporter.send(&Message::Case {
        name,
        verdict,
        detail,
        duration_ms,
    });
    verdict
}

/// The case's own judgement, and what every trace must satisfy whatever the case is about.
fn judge(lab: &mut Lab, case: &Case) -> Result<Outcome> {
    let outcome = (case.run)(lab)?;
    for (index, report) in lab.reports.iter().enumerate() {
        report
            .check_conservation()
            .and_then(|()| report.check_judgements())
            .and_then(|()| report.check_replay())
            .with_context(|| format!("trace {}", index + 1))?;
        if !lab.may_lose {
            report
                .check_complete()
                .with_context(|| format!("trace {}", index + 1))?;
        }
    }
    Ok(outcome)
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_chosen_by_any_part_of_its_name() {
        assert!(chosen("state-swaps-lio", &[]));
        assert!(chosen(
            "state-swaps-lio",
            &["nothing".to_owned(), "lio".to_owned()]
        ));
        assert!(!chosen("state-swaps-lio", &["emulator".to_owned()]));
    }

    #[test]
    fn names_are_unique_and_limits_are_set() {
        let mut names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), GROUPS.len());
        for group in GROUPS {
            let mut cases: Vec<&str> = group.cases.iter().map(|case| case.name).collect();
            cases.sort_unstable();
            cases.dedup();
            assert_eq!(cases.len(), group.cases.len(), "{}", group.name);
            assert!(
                !cases.is_empty() && group.limit_seconds > 0,
                "{}",
                group.name
            );
        }
        assert_eq!(list()["groups"][0]["name"], GROUPS[0].name);
    }
}
