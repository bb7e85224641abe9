//! `alua-trace experiment`: factors switched as a plan says, each combination of their levels measured in blocks whose
//! order is drawn by lot, and what that tells of each factor and of whether they add up. However it ends, every factor
//! is as it was; run again, it goes on where it stopped.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    cli::{ExperimentConfig, ExperimentWish},
    format, gates, out, safe,
    trace::EndSignals as Signals,
};
use journal::{Done, Journal, Step};
use plan::Plan;
use session::{Ended, Session, ns, say};

mod check;
mod effects;
mod guard;
mod journal;
mod notes;
mod page;
mod plan;
mod schedule;
mod session;
mod shell;
mod steady;
mod text;

pub use effects::{EffectOf, MetricOf, Results};
pub use guard::run as guard;

const PAGE: &str = "report.html";
/// There is no verdict, or no result.
const FAILED: u8 = 2;

/// Makes an experiment, or says what it would do; gives the exit status.
///
/// # Errors
/// The plan says something that cannot be, a factor cannot be switched or set back, or the load does not do what it
/// should: what was done is kept, and the same command goes on from there.
pub fn run(config: &ExperimentConfig) -> Result<u8> {
    let (plan, text) = Plan::read(&config.plan)?;
    match config.wish {
        ExperimentWish::Make => make(config, &plan, text),
        ExperimentWish::DryRun => {
            say_plan(&plan, &Journal::look(&config.dir)?, &config.dir);
            Ok(0)
        }
        ExperimentWish::Power(part) => power(config, &plan, part),
        ExperimentWish::Results => {
            let done = Journal::look(&config.dir)?;
            ensure!(done.plan == text, other_plan(&config.dir));
            tell(config, &plan, &done)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

fn other_plan(dir: &Path) -> String {
    let dir = safe::name(&dir.to_string_lossy());
    format!(
        "{dir} is of another plan, or of this one before it was changed; name another directory with --dir"
    )
}

fn make(config: &ExperimentConfig, plan: &Plan, text: String) -> Result<u8> {
    let mut journal = Journal::open(&config.dir, || {
        say("another session has the directory, or is setting everything back: waiting for it");
    })?;
    if journal.done.plan.is_empty() {
        let seed = plan.seed.unwrap_or_else(|| fastrand::u64(..1_000_000));
        let cells = plan.factorial()?.cells();
        journal.say(Step::Begun {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            plan: text,
            seed,
            schedule: schedule::schedule(seed, plan.blocks, cells),
        })?;
    } else {
        ensure!(journal.done.plan == text, other_plan(&config.dir));
    }
    let (done, all) = journal.done.progress();
    if done < all || journal.done.switched.is_some() {
        let ended = runtime()?.block_on(session(config, plan, journal))?;
        if let Ended::Interrupted(signal) = ended {
            let (done, all) = Journal::look(&config.dir)?.progress();
            say(&format!(
                "! interrupted with {done} of {all} cells done; the same command goes on from there"
            ));
            return Ok(u8::try_from(128 + signal.as_raw()).unwrap_or(FAILED));
        }
    }
    let done = Journal::look(&config.dir)?;
    tell(config, plan, &done)
}

/// One session, with everything as it was at its end.
async fn session(config: &ExperimentConfig, plan: &Plan, journal: Journal) -> Result<Ended> {
    let signals = Signals::new()?;
    if journal.done.switched.is_some() {
        say("the last session could not set everything back: doing that first");
        let (child, watch) = guard::start(config, &journal)?;
        drop(watch);
        restored(child, &config.dir).await?;
    }
    // The guard may have said so since.
    drop(journal);
    let mut journal = Journal::open(&config.dir, || {})?;
    if journal.done.progress().0 == journal.done.progress().1 {
        return Ok(Ended::Whole);
    }
    let (child, mut watch) = guard::start(config, &journal)?;
    session::try_trace(config, plan, &mut watch).await?;
    let saved = session::saved(plan, &mut watch).await?;
    journal.say(Step::Switched { saved })?;
    let mut session = Session {
        config,
        plan,
        journal,
        watch,
        signals,
        began: std::time::Instant::now(),
        cells_done: 0,
    };
    let ended = session.run().await;
    let names: Vec<&str> = plan.factors.iter().map(|it| it.name.as_str()).collect();
    say(&format!("setting {} back", names.join(" and ")));
    drop(session);
    let restored = restored(child, &config.dir).await;
    match (ended, restored) {
        (Ok(ended), Ok(())) => Ok(ended),
        (Err(error), Ok(())) => {
            Err(error.context("what was done is kept: run the same command again to go on"))
        }
        (Ok(_), Err(problem)) => Err(problem),
        (Err(error), Err(problem)) => Err(problem.context(format!("{error:#}"))),
    }
}

async fn restored(mut child: tokio::process::Child, dir: &Path) -> Result<()> {
    let status = child
        .wait()
        .await
        .context("cannot wait for the factors to be set back")?;
    if status.success() {
        return Ok(());
    }
    let problem = Journal::look(dir)?.problem;
    let problem = problem.unwrap_or_else(|| format!("what does that {}", shell::how(status)));
    bail!(
        "NOT EVERYTHING IS AS IT WAS: {problem}; mend that, then run the same command again: it sets back first"
    )
}

/// The results so far, told.
fn tell(config: &ExperimentConfig, plan: &Plan, done: &Done) -> Result<u8> {
    let results = effects::results(plan, done, &config.dir)?;
    let text = text::text(&results);
    let file = config.dir.join(PAGE);
    fs::write(&file, page::page(&results)).with_context(|| {
        format!(
            "cannot write {}; make room, then run the same again",
            file.display()
        )
    })?;
    let page = safe::name(&file.to_string_lossy());
    let text = format!("{text}\nThe page is {page}: open it in a browser.\n");
    out::tell(config.json.as_ref(), &results, &text)?;
    let outcomes = effects::outcomes(&config.gates, &results);
    Ok(match gates::told(&config.gates, "experiment", &outcomes)? {
        0 if results.blocks_needed.is_some() => FAILED,
        status => status,
    })
}

/// The schedule, and how long it takes.
fn say_plan(plan: &Plan, done: &Done, dir: &Path) {
    let cells = plan.factorial().map_or(0, |it| it.cells());
    let (schedule, drawn) = if done.schedule.is_empty() {
        match plan.seed {
            Some(seed) => (
                schedule::schedule(seed, plan.blocks, cells),
                format!("seed {seed}"),
            ),
            None => (
                schedule::schedule(0, plan.blocks, cells),
                "an example: the plan has no seed".to_owned(),
            ),
        }
    } else {
        (done.schedule.clone(), format!("seed {}", done.seed))
    };
    say(&format!(
        "{}: {} blocks of {cells} cells, order by {drawn}",
        plan.title,
        schedule.len()
    ));
    for (block, order) in schedule.iter().enumerate() {
        say(&format!("block {}", block + 1));
        for cell in order {
            let is_done = done.run_of(block, *cell).is_some();
            let mark = if is_done { "done" } else { "" };
            say(format!("  {:<40} {mark}", plan.name_of(*cell, " ")).trim_end());
        }
    }
    let warm_up = plan.warm_up.round * u32::try_from(steady::ROUNDS).unwrap_or(1);
    let longest = plan.warm_up.round * u32::try_from(plan.warm_up.rounds).unwrap_or(u32::MAX);
    let all = schedule.iter().map(Vec::len).sum::<usize>();
    let left = all.saturating_sub(done.runs.len());
    let runs = u32::try_from(left).unwrap_or(u32::MAX);
    say(&format!(
        "{left} runs to make, each after a warm-up of {} to {}, in {}",
        format::duration(ns(warm_up)),
        format::duration(ns(longest)),
        dir.display()
    ));
    match plan.takes {
        Some(takes) => say(&format!(
            "that takes from {} to {}, and what switching takes",
            format::duration(ns((warm_up + takes) * runs)),
            format::duration(ns((longest + takes) * runs))
        )),
        None => say("how long the load itself takes the plan does not say (takes = \"1m\")"),
    }
}

fn power(config: &ExperimentConfig, plan: &Plan, part: f64) -> Result<u8> {
    let done = Journal::look(&config.dir)?;
    let results = effects::results(plan, &done, &config.dir)?;
    ensure!(
        results.blocks >= 3 && !results.metrics.is_empty(),
        "nobody knows yet how much blocks vary: {} of {} are whole, and it takes 3; run the experiment, and end it by \
         Ctrl-C when there are as many",
        results.blocks,
        config.dir.display()
    );
    let effect = format::share(Some(part));
    say(&format!(
        "An effect of {effect} is found in four of five experiments, by what {} blocks vary:",
        results.blocks
    ));
    for (metric, needed) in effects::power(&results, part) {
        say(&match needed {
            Some(blocks) => format!("  {:<14} with {blocks} blocks", metric.name()),
            None => format!(
                "  {:<14} with more blocks than anybody makes",
                metric.name()
            ),
        });
    }
    Ok(0)
}
