//! One session of an experiment: cell after cell, from where the last one ended.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::ExitStatus,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tokio::time::{sleep, sleep_until};

use super::{
    Signals, check,
    journal::{Journal, Step, Try},
    plan::{Plan, Words},
    shell::{self, Running, Watch},
    steady::{ROUNDS, Round, Steadiness},
};
use crate::{
    cli::ExperimentConfig,
    comparison::{self, Metric},
    format,
    model::{Class, Interval, Line},
    safe,
    stats::bins::Bins,
};

/// How often a warm-up is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// So many blocks in a row without a result, and it is not by chance.
const MOST_LEFT_OUT: usize = 2;
const WARM_UP: &str = "warm-up.jsonl";

/// How a session ended.
pub(super) enum Ended {
    /// Every cell that can be has its result.
    Whole,
    /// The user wanted it to.
    Interrupted(Signal),
}

/// What became of a step.
enum Outcome<T> {
    Done(T),
    /// It is no result, and why.
    Failed(String),
    Interrupted(Signal),
}

pub(super) struct Session<'a> {
    pub(super) config: &'a ExperimentConfig,
    pub(super) plan: &'a Plan,
    pub(super) journal: Journal,
    pub(super) watch: Watch,
    pub(super) signals: Signals,
    /// When it began, and how many cells it has done.
    pub(super) began: Instant,
    pub(super) cells_done: u32,
}

impl Session<'_> {
    /// Runs what has no result yet.
    pub(super) async fn run(&mut self) -> Result<Ended> {
        let schedule = self.journal.done.schedule.clone();
        let mut left_out = 0;
        for (block, cells) in schedule.iter().enumerate() {
            let open = |cell: &&usize| self.journal.done.run_of(block, **cell).is_none();
            let open: Vec<usize> = cells.iter().filter(open).copied().collect();
            if open.is_empty() {
                continue;
            }
            say(&format!("block {} of {}", block + 1, schedule.len()));
            match self.block(block, &open).await? {
                Outcome::Done(()) => left_out = 0,
                Outcome::Failed(why) => {
                    left_out += 1;
                    say(&format!("! block {} is left out: {why}", block + 1));
                    if left_out == MOST_LEFT_OUT {
                        bail!("two blocks in a row have no result, the last one because {why}");
                    }
                }
                Outcome::Interrupted(signal) => return Ok(Ended::Interrupted(signal)),
            }
        }
        Ok(Ended::Whole)
    }

    async fn block(&mut self, block: usize, cells: &[usize]) -> Result<Outcome<()>> {
        for cell in cells {
            let mut nth = 0;
            loop {
                nth += 1;
                let of = self.journal.done.next_try(block, *cell);
                self.journal.say(Step::Started(of))?;
                match self.cell(of).await? {
                    Outcome::Done(()) => break,
                    Outcome::Failed(why) => {
                        let name = self.plan.name_of(*cell, " ");
                        say(&format!("! {name}: {why}"));
                        self.journal.say(Step::Failed {
                            of,
                            why: why.clone(),
                        })?;
                        if nth >= self.plan.tries {
                            return Ok(Outcome::Failed(format!("{name}: {why}")));
                        }
                    }
                    Outcome::Interrupted(signal) => return Ok(Outcome::Interrupted(signal)),
                }
            }
        }
        Ok(Outcome::Done(()))
    }

    async fn cell(&mut self, of: Try) -> Result<Outcome<()>> {
        if let Err(error) = self.switch(of.cell).await {
            return Ok(Outcome::Failed(format!("{error:#}")));
        }
        let warm_up = match self.warm_up(of).await? {
            Outcome::Done(warm_up) => warm_up,
            Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
            Outcome::Interrupted(signal) => return Ok(Outcome::Interrupted(signal)),
        };
        let recording = match self.record(of).await? {
            Outcome::Done(recording) => recording,
            Outcome::Failed(why) => return Ok(Outcome::Failed(why)),
            Outcome::Interrupted(signal) => return Ok(Outcome::Interrupted(signal)),
        };
        let file = self.journal.dir().join(&recording);
        let run = match comparison::run_of(&[file], &self.plan.maps, None) {
            Ok(run) => run,
            Err(error) => return Ok(Outcome::Failed(format!("{error:#}"))),
        };
        if let Some(why) = run.incomplete {
            return Ok(Outcome::Failed(format!(
                "its recording is incomplete: {why}"
            )));
        }
        if run.commands == 0 {
            return Ok(Outcome::Failed(
                "the load has sent no read and no write over the paths that are traced".to_owned(),
            ));
        }
        let (name, steady) = (self.plan.name_of(of.cell, " "), warm_up.words());
        let rounds = warm_up.rounds;
        self.journal.say(Step::Done {
            of,
            recording,
            warm_up,
        })?;
        self.cells_done += 1;
        let shown = |metric: Metric| {
            let value = run.metric(metric)?;
            Some(format!("{} {}", metric.name(), metric.shown(value)))
        };
        let shown: Vec<String> = self
            .plan
            .metrics
            .iter()
            .filter_map(|it| shown(*it))
            .collect();
        say(&format!(
            "  {name}: {}; {}",
            shown.join(", "),
            self.time_left()
        ));
        say(&format!("    steady after {rounds} rounds: {steady}"));
        check::frames(self.plan, &self.journal, of)?;
        Ok(Outcome::Done(()))
    }

    fn time_left(&self) -> String {
        let (done, all) = self.journal.done.progress();
        let of_a_cell = self.began.elapsed() / self.cells_done.max(1);
        let left = of_a_cell * u32::try_from(all.saturating_sub(done)).unwrap_or(u32::MAX);
        match done < all {
            true => format!(
                "{done} of {all} cells, about {} left",
                format::duration(ns(left))
            ),
            false => format!("all {all} cells"),
        }
    }

    /// Sets every factor: what the cell before has left is nobody's to know.
    async fn switch(&mut self, cell: usize) -> Result<()> {
        for (factor, level) in self.plan.levels_of(cell) {
            let set = shell::run(&level.set, "", factor.at_most, &mut self.watch).await;
            set.with_context(|| format!("cannot set {} to {}", factor.name, level.name))?;
        }
        for (factor, level) in self.plan.levels_of(cell) {
            let Some(check) = &level.check else { continue };
            let checked = shell::run(check, "", factor.at_most, &mut self.watch).await;
            checked.with_context(|| format!("{} is not {}", factor.name, level.name))?;
        }
        Ok(())
    }

    /// The load, again and again, until it is steady.
    async fn warm_up(&mut self, of: Try) -> Result<Outcome<Steadiness>> {
        let load = self.plan.warm_up.load.as_ref().unwrap_or(&self.plan.load);
        let told = self.journal.dir().join(WARM_UP);
        let (round, told_as) = (self.plan.warm_up.round, told.to_string_lossy().into_owned());
        let interval = format!("{}ms", round.as_millis());
        let verb = [
            "run",
            "--no-live",
            "--interval",
            &interval,
            "--json",
            &told_as,
        ];
        let words = traced(self.config, self.plan, &verb, load.words());
        let log_file = self.file_of(of, "log");
        let mut rounds: Vec<Round> = Vec::new();
        let began = Instant::now();
        loop {
            let before = rounds.len();
            // What the last one told is not of this one.
            let _ = fs::remove_file(&told);
            let log = log(&log_file)?;
            let from = log.metadata()?.len();
            let mut running = Running::start(&words, &log, &mut self.watch).await?;
            let mut following = Following::new(&told);
            loop {
                let ended = running.try_ended()?;
                rounds.extend(following.rounds(ns(round))?);
                if let Some(steadiness) = Steadiness::of(&rounds, &self.plan.warm_up.measures)
                    && steadiness.is_steady()
                {
                    running.end().await?;
                    let _ = fs::remove_file(&told);
                    return Ok(Outcome::Done(steadiness));
                }
                if rounds.len() >= self.plan.warm_up.rounds {
                    running.end().await?;
                    return Ok(Outcome::Failed(not_steady(
                        &rounds,
                        &self.plan.warm_up.measures,
                    )));
                }
                if began.elapsed() > self.plan.at_most {
                    running.end().await?;
                    return Ok(Outcome::Failed(self.too_long("the warm-up")));
                }
                if let Some(status) = ended {
                    if !status.success() {
                        return Ok(Outcome::Failed(failed(load, status, &log_file, from)));
                    }
                    break;
                }
                tokio::select! {
                    () = sleep(LOOK) => {}
                    signal = self.signals.next() => {
                        running.end().await?;
                        return Ok(Outcome::Interrupted(signal));
                    }
                }
            }
            if rounds.len() == before {
                let round = format::duration(ns(round));
                return Ok(Outcome::Failed(format!(
                    "the load of the warm-up takes less than a round of {round}: give it one that takes longer \
                     (warm_up.load), or shorter rounds (warm_up.round)"
                )));
            }
        }
    }

    /// The load, recorded; gives the recording's name.
    async fn record(&mut self, of: Try) -> Result<Outcome<String>> {
        let file = self.file_of(of, "atr");
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut labels: Vec<String> = self
            .plan
            .levels_of(of.cell)
            .map(|(factor, level)| format!("{}={}", factor.name, level.name))
            .collect();
        labels.push(format!("block={}", of.block + 1));
        let file = file.to_string_lossy().into_owned();
        let mut verb = vec!["record", "-o", &file];
        for label in &labels {
            verb.extend(["--label", label]);
        }
        let words = traced(self.config, self.plan, &verb, self.plan.load.words());
        let log_file = self.file_of(of, "log");
        let log = log(&log_file)?;
        let from = log.metadata()?.len();
        let mut running = Running::start(&words, &log, &mut self.watch).await?;
        let until = tokio::time::Instant::now() + self.plan.at_most;
        tokio::select! {
            status = running.ended() => match status? {
                status if status.success() => Ok(Outcome::Done(name)),
                status => Ok(Outcome::Failed(failed(&self.plan.load, status, &log_file, from))),
            },
            signal = self.signals.next() => {
                running.end().await?;
                Ok(Outcome::Interrupted(signal))
            }
            () = sleep_until(until) => {
                running.end().await?;
                Ok(Outcome::Failed(self.too_long("the load")))
            }
        }
    }

    fn too_long(&self, what: &str) -> String {
        let limit = format::duration(ns(self.plan.at_most));
        format!("{what} took longer than {limit} (at_most)")
    }

    /// `block-03.ALUA=on-MTU=9000.try-1.atr`.
    fn file_of(&self, of: Try, kind: &str) -> PathBuf {
        let name = self.plan.name_of(of.cell, "-");
        let name = format!("block-{:02}.{name}.try-{}.{kind}", of.block + 1, of.nth);
        self.journal.dir().join(name)
    }
}

/// Words of the tracer's command line, with its load if there is one.
fn traced(config: &ExperimentConfig, plan: &Plan, verb: &[&str], load: &[String]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![config.tracer.clone().into()];
    words.extend(verb.iter().map(Into::into));
    for map in &plan.maps {
        words.extend(["--map".into(), map.into()]);
    }
    if let Some(btf) = &config.btf {
        words.extend(["--btf".into(), btf.into()]);
    }
    if !load.is_empty() {
        words.push("--".into());
        words.extend(load.iter().map(Into::into));
    }
    words
}

/// Whether this host can be traced: asked before anything is switched.
///
/// # Errors
/// It cannot, and why.
pub(super) async fn try_trace(
    config: &ExperimentConfig,
    plan: &Plan,
    watch: &mut Watch,
) -> Result<()> {
    const WITHIN: Duration = Duration::from_secs(120);
    let verb = ["run", "--no-live", "--duration", "100ms"];
    let words = traced(config, plan, &verb, &[]);
    let tried = shell::run_words(&words, "", WITHIN, watch).await;
    tried
        .map(drop)
        .context("cannot trace this host; nothing has been switched")
}

/// A line of progress.
pub(super) fn say(text: &str) {
    use std::io::Write;
    // A reader that is gone is no reason to end hours of work.
    let _ = writeln!(std::io::stdout(), "{}", safe::sentence(text));
}

pub(super) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn not_steady(rounds: &[Round], measures: &[Metric]) -> String {
    let words = Steadiness::of(rounds, measures)
        .map(|it| it.words())
        .unwrap_or_default();
    format!(
        "not steady in {} rounds; the last {ROUNDS}: {words}",
        rounds.len()
    )
}

/// What the trace or its load has said last is in the log from there on.
fn failed(load: &Words, status: ExitStatus, log: &Path, from: u64) -> String {
    let (how, tail) = (shell::how(status), shell::tail(log, from));
    let load = load.words().join(" ");
    format!(
        "the trace of `{load}` {how}: {tail} (all of it is in {})",
        log.display()
    )
}

fn log(file: &Path) -> Result<File> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened.with_context(|| {
        format!(
            "cannot write {}; make room, then run the same again",
            file.display()
        )
    })
}

/// A file of JSON lines that grows.
struct Following<'a> {
    file: &'a Path,
    at: u64,
    /// The load begins in the first round: that is none.
    has_begun: bool,
}

impl<'a> Following<'a> {
    fn new(file: &'a Path) -> Self {
        Self {
            file,
            at: 0,
            has_begun: false,
        }
    }

    /// Whole rounds that have been told since the last time.
    fn rounds(&mut self, round_ns: u64) -> Result<Vec<Round>> {
        // The tracer makes it when it begins.
        let Ok(mut file) = File::open(self.file) else {
            return Ok(Vec::new());
        };
        let mut text = Vec::new();
        file.seek(SeekFrom::Start(self.at))?;
        file.read_to_end(&mut text)?;
        let whole = text
            .iter()
            .rposition(|it| *it == b'\n')
            .map_or(0, |at| at + 1);
        self.at += whole as u64;
        let lines = text[..whole].split(|it| *it == b'\n');
        let lines = lines.filter_map(|line| serde_json::from_slice::<Line>(line).ok());
        let intervals = lines.filter_map(|line| match line {
            Line::Interval(interval) => Some(interval),
            _ => None,
        });
        // The last one of a load is cut short.
        let whole = |it: &Arc<Interval>| it.interval_ns >= round_ns / 10 * 9;
        let rounds = intervals
            .filter(|_| std::mem::replace(&mut self.has_begun, true))
            .filter(whole)
            .map(|interval| round(&interval));
        Ok(rounds.collect())
    }
}

/// What the reads and writes of an interval come to.
fn round(interval: &Interval) -> Round {
    let mut bins = Bins::default();
    let cells = interval.rows.iter().flat_map(|row| &row.cells);
    for cell in cells.filter(|cell| cell.class != Class::Other && cell.commands > 0) {
        bins.add_cell(cell);
    }
    let seconds = interval.interval_ns as f64 / 1e9;
    Round {
        iops: (seconds > 0.0).then(|| bins.commands() as f64 / seconds),
        mean_ns: bins.mean_ns(),
        p50_ns: bins.between(0.5),
        p99_ns: bins.between(0.99),
    }
}

/// How every factor is set now.
pub(super) async fn saved(plan: &Plan, watch: &mut Watch) -> Result<BTreeMap<String, String>> {
    let mut saved = BTreeMap::new();
    for factor in &plan.factors {
        if let Some(save) = &factor.save {
            let text = shell::run(save, "", factor.at_most, watch).await;
            let text = text.with_context(|| {
                format!(
                    "cannot find out how {} is set; nothing has been switched",
                    factor.name
                )
            })?;
            saved.insert(factor.name.clone(), text);
        }
    }
    Ok(saved)
}
