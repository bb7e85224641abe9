//! `cargo xtask test`: unit tests here, then the lab's groups on real kernels, and one total.

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use alua_trace_tests::protocol::Task;
use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::arch::Arch;
use crate::cli::TestArgs;
use crate::commands::{evidence, metrics, soak, statistics};
use crate::kernels;
use crate::lab::{Job, Lab};
use crate::paths::Paths;
use crate::programs::{self, Build, Programs};
use crate::results::Totals;
use crate::say;
use crate::units;
use crate::userland::Set;

/// The filters that name what is made of recordings, and the statistics by scipy.
const EVIDENCE: &str = "evidence";
const METRICS: &str = "metrics";
const STATISTICS: &str = "statistics";

/// What `guest --list` prints.
#[derive(Debug, Deserialize)]
struct Listing {
    groups: Vec<Group>,
}

#[derive(Debug, Clone, Deserialize)]
struct Group {
    name: String,
    seconds: u64,
    kernels: Kernels,
    clock: Clock,
    /// Whether its array is another guest.
    array: bool,
    cases: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kernels {
    /// Every kernel tested.
    All,
    /// The first kernel only.
    Default,
    /// Every kernel tested, but only when it is named: the whole has a time to keep.
    OnRequest,
}

/// What the group's guest takes for time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Clock {
    /// The host's.
    Host,
    /// Instructions executed.
    Instructions,
}

/// Runs it; false when anything failed or could not run: that is no pass.
pub(crate) fn test(paths: &Paths, args: &TestArgs) -> Result<bool> {
    let begun = Instant::now();
    let mut totals = Totals::default();
    if !args.lab {
        totals.add(units::run(paths, &args.filters)?, "unit");
        if args.filters.is_empty() {
            soak::short(paths, &mut totals);
        }
        let is_wanted =
            |name: &str| args.filters.is_empty() || args.filters.iter().any(|it| it == name);
        if is_wanted(STATISTICS) {
            statistics::run(paths, &mut totals);
        }
        if is_wanted(EVIDENCE) {
            evidence::run(paths, &mut totals);
        }
        if is_wanted(METRICS) {
            metrics::run(paths, &mut totals);
        }
    }
    if !args.unit {
        lab_tests(paths, args, &mut totals)?;
    }
    println!();
    totals.print();
    say::step(&format!("{} s in all", begun.elapsed().as_secs()));
    if totals.is_empty() {
        bail!("no test has {} in its name", args.filters.join(" or "));
    }
    Ok(totals.all_passed())
}

fn lab_tests(paths: &Paths, args: &TestArgs, totals: &mut Totals) -> Result<()> {
    let programs = match Programs::build(paths, args.arch, Build::Release) {
        Ok(programs) => programs,
        Err(error) => {
            totals.fail("lab", &format!("{error:#}"));
            return Ok(());
        }
    };
    // Of this machine's kind: the list is the same.
    let guest = programs::guest(paths, Arch::HOST)?;
    let listing = say::output(Command::new(guest).arg("--list"))?;
    let listing: Listing =
        serde_json::from_str(&listing).context("cannot read the list of the lab's groups")?;
    let mut groups = selected(&listing.groups, &args.filters);
    if args.filters.is_empty() {
        groups.retain(|(group, _)| {
            let wanted = group.kernels != Kernels::OnRequest;
            if !wanted {
                say::note(&format!(
                    "not run unless named: cargo xtask test --lab {}",
                    group.name
                ));
            }
            wanted
        });
    }
    let defaults = [kernels::DEFAULT.to_owned(), kernels::NEWEST.to_owned()];
    let wanted = if args.kernels.is_empty() {
        &defaults[..]
    } else {
        &args.kernels
    };
    let mut done = Vec::new();
    for (at, kernel) in wanted.iter().enumerate() {
        let jobs = groups
            .iter()
            .filter(|(group, _)| at == 0 || group.kernels != Kernels::Default);
        let jobs = jobs.cloned().collect::<Vec<_>>();
        match Lab::prepare(paths, args.arch, Set::Common, kernel, args.fetching.refresh) {
            Err(error) => {
                for (group, _) in &jobs {
                    totals.skip(&format!("{kernel} {}", group.name), &format!("{error:#}"));
                }
            }
            Ok(lab) if done.contains(&lab.kernel.release) => {
                let again = format!("{kernel} is Linux {} again", lab.kernel.release);
                say::note(&again);
                // Nobody asked for the same one twice: the suites with a newer one are out of reach.
                if args.kernels.is_empty() {
                    totals.skip(kernel, &again);
                }
            }
            Ok(lab) => {
                run_groups(&lab, &programs, &jobs, totals)?;
                done.push(lab.kernel.release);
            }
        }
    }
    Ok(())
}

/// Guests with the host's clock run alone, as whatever else runs would slow them; those that count
/// instructions do not care and run side by side.
fn run_groups(
    lab: &Lab,
    programs: &Programs,
    jobs: &[(Group, Vec<String>)],
    totals: &mut Totals,
) -> Result<()> {
    let (counting, alone): (Vec<_>, Vec<_>) = jobs
        .iter()
        .partition(|(group, _)| group.clock == Clock::Instructions);
    let processors = thread::available_parallelism().map_or(1, usize::from);
    for (jobs, at_once) in [(alone, 1), (counting, processors)] {
        let (jobs, totals) = (Mutex::new(jobs.into_iter()), Mutex::new(&mut *totals));
        let next = || locked(&jobs).next();
        let worker = || {
            while let Some((group, filters)) = next() {
                run_group(lab, programs, (group, filters), &totals)?;
            }
            anyhow::Ok(())
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(worker)).collect();
            let ended = workers.into_iter().map(|worker| {
                worker
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("a thread of the lab's panicked")))
            });
            ended.collect::<Result<Vec<()>>>()
        })?;
    }
    Ok(())
}

fn run_group(
    lab: &Lab,
    programs: &Programs,
    (group, filters): (&Group, &[String]),
    totals: &Mutex<&mut Totals>,
) -> Result<()> {
    let release = &lab.kernel.release;
    println!("\n{} on Linux {release}", group.name);
    let begun = Instant::now();
    let task = Task::Test {
        group: group.name.clone(),
        filters: filters.to_vec(),
    };
    let job = Job {
        name: &format!("test-{release}-{}", group.name),
        task: &task,
        limit: Some(Duration::from_secs(group.seconds)),
        counted: group.clock == Clock::Instructions,
        interactive: false,
        array: group.array,
    };
    let report = lab.run(programs, &job)?;
    // Locked first: what another group prints must not come between.
    let mut totals = locked(totals);
    println!(
        "  {}: {} ({} s)",
        group.name,
        report.totals.line(),
        begun.elapsed().as_secs()
    );
    report.print_figures();
    totals.add(report.totals, &format!("{release} {}", group.name));
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Groups with a case whose full name, `group/case`, a filter is part of.
fn selected(groups: &[Group], filters: &[String]) -> Vec<(Group, Vec<String>)> {
    let wanted = |group: &&Group| {
        filters.is_empty()
            || group.cases.iter().any(|case| {
                let name = format!("{}/{case}", group.name);
                filters.iter().any(|filter| name.contains(filter))
            })
    };
    groups
        .iter()
        .filter(wanted)
        .map(|group| (group.clone(), filters.to_vec()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups() -> Vec<Group> {
        let text = r#"{"groups":[
            {"name":"alua-lio","seconds":90,"kernels":"all","clock":"host","array":true,"cases":["a","switch-b"]},
            {"name":"rdac","seconds":60,"kernels":"default","clock":"instructions","array":false,"cases":["x"]}]}"#;
        serde_json::from_str::<Listing>(text).unwrap().groups
    }

    #[test]
    fn the_listing_is_understood() {
        let groups = groups();
        assert_eq!(groups[0].kernels, Kernels::All);
        assert_eq!(
            (groups[1].seconds, groups[1].kernels),
            (60, Kernels::Default)
        );
        assert!(groups[0].array && !groups[1].array);
        assert_eq!(groups[0].clock, Clock::Host);
        assert_eq!(groups[1].clock, Clock::Instructions);
    }

    #[test]
    fn a_filter_chooses_by_the_full_name_of_a_case() {
        let names = |filters: &[&str]| -> Vec<String> {
            let filters: Vec<String> = filters.iter().map(|it| (*it).to_owned()).collect();
            let chosen = selected(&groups(), &filters).into_iter();
            chosen.map(|(group, _)| group.name).collect()
        };
        assert_eq!(names(&[]), ["alua-lio", "rdac"]);
        assert_eq!(names(&["rdac"]), ["rdac"]);
        assert_eq!(names(&["switch"]), ["alua-lio"]);
        assert_eq!(names(&["lio/a"]), ["alua-lio"]);
        assert!(names(&["nothing"]).is_empty());
    }
}
