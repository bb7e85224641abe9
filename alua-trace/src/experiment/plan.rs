//! The plan of an experiment: what is switched, how often, and under which load. Owns its TOML
//! (`docs/experiment.md`).

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde::{Deserialize, Deserializer, de::Error};

use crate::{
    cli::{self, Metric},
    inference::Factorial,
    safe,
};

/// More cells than anybody waits for.
const MOST_CELLS: usize = 64;
/// More blocks than anybody waits for.
const MOST_BLOCKS: usize = 1000;

/// What is compared where a plan names nothing: six, so that eight blocks carry a verdict.
const METRICS: [Metric; 6] = [
    Metric::Iops,
    Metric::MeanNs,
    Metric::P50Ns,
    Metric::P99Ns,
    Metric::CpuNsPerIo,
    Metric::NotOptimizedShare,
];

/// An experiment as somebody has written it down.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it is about.
    pub title: String,
    /// How often every combination of levels is run: each is in each block once.
    pub blocks: usize,
    /// Of the order within blocks; drawn where there is none.
    #[serde(default)]
    pub seed: Option<u64>,
    /// What is measured.
    pub load: Words,
    /// How long a run of it takes, as far as somebody knows: for `--dry-run`.
    #[serde(default, deserialize_with = "optional_time")]
    pub takes: Option<Duration>,
    /// No run takes longer.
    #[serde(default = "an_hour", deserialize_with = "time")]
    pub at_most: Duration,
    /// Only these maps, by name, dm-N or WWID.
    #[serde(default)]
    pub maps: Vec<String>,
    /// What is compared.
    #[serde(default = "metrics", deserialize_with = "named_metrics")]
    pub metrics: Vec<Metric>,
    /// A difference that would matter, in per cent.
    #[serde(default = "five")]
    pub within: f64,
    /// How often a cell is tried before its block is left out.
    #[serde(default = "two")]
    pub tries: usize,
    /// What comes before each run.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// What is switched; of the cells, the last one's levels change first.
    #[serde(rename = "factor")]
    pub factors: Vec<Factor>,
}

/// The load before a run, until it is steady.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WarmUp {
    /// The load, where it is not the one that is measured.
    #[serde(default)]
    pub load: Option<Words>,
    /// How long a round is.
    #[serde(default = "two_seconds", deserialize_with = "time")]
    pub round: Duration,
    /// It is not steady if it is not by then.
    #[serde(default = "thirty")]
    pub rounds: usize,
    /// What must be steady.
    #[serde(default = "measures", deserialize_with = "named_metrics")]
    pub measures: Vec<Metric>,
}

impl Default for WarmUp {
    fn default() -> Self {
        Self {
            load: None,
            round: two_seconds(),
            rounds: thirty(),
            measures: measures(),
        }
    }
}

/// Something that is switched.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Factor {
    /// Its name.
    pub name: String,
    /// What its second level stands for in a sentence: `jumbo frames`.
    #[serde(default)]
    pub called: Option<String>,
    /// Whether the frames of each I/O must change with it.
    #[serde(default)]
    pub kind: Kind,
    /// Prints how it is set now, for `restore`.
    #[serde(default)]
    pub save: Option<Words>,
    /// Sets it as it was; what `save` has printed is its standard input.
    pub restore: Words,
    /// No command of it takes longer.
    #[serde(default = "a_minute", deserialize_with = "time")]
    pub at_most: Duration,
    /// The first one is what the others are compared with.
    #[serde(rename = "level")]
    pub levels: Vec<Level>,
}

/// What a factor is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Anything.
    #[default]
    Any,
    /// The MTU: with offloads that put segments together it changes nothing, and shows nothing.
    Mtu,
}

/// One way in which a factor is set.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Its name.
    pub name: String,
    /// Sets it.
    pub set: Words,
    /// Fails where it is not set.
    #[serde(default)]
    pub check: Option<Words>,
}

/// A command: words, or a line for the shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// Program and arguments.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "a command: a line for the shell, or an array of words"
        )]
        enum Written {
            Line(String),
            Words(Vec<String>),
        }
        let words = match Written::deserialize(deserializer)? {
            Written::Line(line) if line.trim().is_empty() => Vec::new(),
            Written::Line(line) => ["sh", "-c", &line].map(str::to_owned).to_vec(),
            Written::Words(words) => words,
        };
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self(words)),
            _ => Err(D::Error::custom("a command needs a program")),
        }
    }
}

fn two() -> usize {
    2
}

fn thirty() -> usize {
    30
}

fn five() -> f64 {
    5.0
}

fn two_seconds() -> Duration {
    Duration::from_secs(2)
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

fn an_hour() -> Duration {
    Duration::from_secs(3600)
}

fn metrics() -> Vec<Metric> {
    METRICS.to_vec()
}

fn measures() -> Vec<Metric> {
    super::steady::MEASURES.to_vec()
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    cli::duration(&text).map_err(|why| D::Error::custom(format!("{text:?} {why}, such as \"10s\"")))
}

fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    time(deserializer).map(Some)
}

fn named_metrics<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Metric>, D::Error> {
    let names: Vec<String> = Vec::deserialize(deserializer)?;
    let of = |name: &String| {
        Metric::from_str(name, false).map_err(|_| {
            let known = Metric::value_variants().iter();
            let known = known.filter_map(|it| Some(it.to_possible_value()?.get_name().to_owned()));
            let known: Vec<String> = known.collect();
            D::Error::custom(format!(
                "no metric {name:?}; there are {}",
                known.join(", ")
            ))
        })
    };
    match names.iter().map(of).collect() {
        Ok(metrics) if names.is_empty() => {
            let _: Vec<Metric> = metrics;
            Err(D::Error::custom("needs a metric"))
        }
        other => other,
    }
}

impl Plan {
    /// Reads a plan, and gives its text as well.
    ///
    /// # Errors
    /// It cannot be read, or says something that cannot be: where, and what may stand there.
    pub fn read(file: &Path) -> Result<(Self, String)> {
        let name = safe::name(&file.to_string_lossy());
        let text = fs::read_to_string(file)
            .with_context(|| format!("cannot read the plan {name}; name a file in TOML"))?;
        let plan = Self::parse(&text).with_context(|| format!("in the plan {name}"))?;
        Ok((plan, text))
    }

    /// # Errors
    /// It says something that cannot be.
    pub fn parse(text: &str) -> Result<Self> {
        let plan: Self = toml::from_str(text)?;
        plan.check()?;
        Ok(plan)
    }

    fn check(&self) -> Result<()> {
        ensure!(
            (2..=MOST_BLOCKS).contains(&self.blocks),
            "blocks = {}: there must be from 2 to {MOST_BLOCKS}, and a verdict takes {}",
            self.blocks,
            crate::inference::blocks_for_verdict(self.metrics.len())
        );
        ensure!(
            self.within > 0.0 && self.within < 100.0,
            "within = {}: must be a number between 0 and 100, in per cent",
            self.within
        );
        ensure!(
            (1..=10).contains(&self.tries),
            "tries = {}: must be from 1 to 10",
            self.tries
        );
        let rounds = self.warm_up.rounds;
        ensure!(
            (super::steady::ROUNDS..=10_000).contains(&rounds),
            "warm_up.rounds = {rounds}: must be from {} to 10000",
            super::steady::ROUNDS
        );
        ensure!(
            self.warm_up.round >= Duration::from_millis(100),
            "warm_up.round: must be 100ms or more"
        );
        ensure!(
            self.warm_up
                .measures
                .iter()
                .all(|it| super::steady::KNOWN.contains(it)),
            "warm_up.measures: there are iops, mean, p50, p99"
        );
        names("factor", self.factors.iter().map(|it| &it.name))?;
        for factor in &self.factors {
            names("level", factor.levels.iter().map(|it| &it.name))
                .with_context(|| format!("factor {}", factor.name))?;
            ensure!(
                factor.levels.len() >= 2,
                "factor {} has one level: give what it is compared with",
                factor.name
            );
        }
        let cells = self.factors.iter().map(|it| it.levels.len());
        let cells = cells.fold(1, usize::saturating_mul);
        ensure!(
            (2..=MOST_CELLS).contains(&cells),
            "its factors make {cells} cells; there must be from 2 to {MOST_CELLS}"
        );
        Ok(())
    }

    /// Its factors, by how many levels they have.
    ///
    /// # Errors
    /// None, of a plan that has been checked.
    pub fn factorial(&self) -> Result<Factorial> {
        let levels: Vec<usize> = self.factors.iter().map(|it| it.levels.len()).collect();
        Factorial::new(&levels).context("a plan has factors with two levels or more")
    }

    /// The level of each factor in a cell.
    pub fn levels_of(&self, cell: usize) -> impl Iterator<Item = (&Factor, &Level)> {
        let levels = self
            .factorial()
            .map(|it| it.levels_of(cell))
            .unwrap_or_default();
        let factors = self.factors.iter().zip(levels);
        factors.filter_map(|(factor, level)| Some((factor, factor.levels.get(level)?)))
    }

    /// `ALUA=on MTU=9000`, with `between` in between.
    #[must_use]
    pub fn name_of(&self, cell: usize, between: &str) -> String {
        let levels = self.levels_of(cell);
        let levels: Vec<String> = levels
            .map(|(factor, level)| format!("{}={}", factor.name, level.name))
            .collect();
        levels.join(between)
    }
}

/// They become names of files and labels.
fn names<'a>(what: &str, names: impl Iterator<Item = &'a String>) -> Result<()> {
    let mut known = BTreeSet::new();
    for name in names {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > 32 || !name.chars().all(is_plain) {
            bail!(
                "the {what} {name:?} needs a name of letters, digits, '.', '_' and '-', 32 at most"
            );
        }
        ensure!(known.insert(name), "there are two of the {what} {name:?}");
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::experiment) const PLAN: &str = r#"
title = "Does it add up?"
blocks = 8
seed = 7
load = ["fio", "job.fio"]
takes = "1m"
[warm_up]
round = "1s"
[[factor]]
name = "ALUA"
restore = "restore-alua"
[[factor.level]]
name = "off"
set = "spread"
[[factor.level]]
name = "on"
set = ["keep", "optimized"]
check = "is-optimized"
[[factor]]
name = "MTU"
called = "jumbo frames"
kind = "mtu"
save = "cat /sys/class/net/eth0/mtu"
restore = "ip link set eth0 mtu $(cat)"
[[factor.level]]
name = "1500"
set = "ip link set eth0 mtu 1500"
[[factor.level]]
name = "9000"
set = "ip link set eth0 mtu 9000"
"#;

    #[test]
    fn a_plan_says_what_is_done() {
        let plan = Plan::parse(PLAN).unwrap();
        assert_eq!(plan.load.words(), ["fio", "job.fio"]);
        assert_eq!(
            plan.factors[0].levels[0].set.words(),
            ["sh", "-c", "spread"]
        );
        assert_eq!(plan.factors[0].levels[1].set.words(), ["keep", "optimized"]);
        assert_eq!(plan.factors[1].kind, Kind::Mtu);
        assert_eq!(plan.takes, Some(Duration::from_secs(60)));
        assert_eq!((plan.tries, plan.warm_up.rounds), (2, 30));
        assert_eq!(plan.metrics, METRICS);
        assert_eq!(plan.name_of(0, " "), "ALUA=off MTU=1500");
        assert_eq!(plan.name_of(3, "-"), "ALUA=on-MTU=9000");
    }

    #[test]
    fn the_plan_of_the_documentation_is_one() {
        let text = include_str!("../../../docs/experiment.md");
        let plan = text.split("```toml\n").nth(1).unwrap();
        let plan = Plan::parse(plan.split("```").next().unwrap()).unwrap();
        assert_eq!(plan.name_of(1, " "), "ALUA=off MTU=9000");
        let lab = Plan::parse(include_str!("../../../docs/alua-mtu.toml")).unwrap();
        assert_eq!(lab.name_of(2, " "), "ALUA=on MTU=1500");
        assert_eq!(lab.blocks, 8);
        assert!(lab.blocks >= crate::inference::blocks_for_verdict(lab.metrics.len()));
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (from, to, expected) in [
            ("blocks = 8", "bolcks = 8", "unknown field `bolcks`"),
            ("blocks = 8", "blocks = 1", "there must be from 2 to 1000"),
            ("blocks = 8", "blocks = \"8\"", "expected usize"),
            ("blocks = 8", "", "missing field `blocks`"),
            (
                "name = \"MTU\"",
                "name = \"ALUA\"",
                "there are two of the factor \"ALUA\"",
            ),
            (
                "name = \"MTU\"",
                "name = \"../x\"",
                "needs a name of letters",
            ),
            ("name = \"off\"", "name = \"\"", "needs a name of letters"),
            ("round = \"1s\"", "round = \"fast\"", "\"fast\""),
            ("round = \"1s\"", "round = \"1ms\"", "must be 100ms or more"),
            ("round = \"1s\"", "rounds = 4", "must be from 5"),
            (
                "seed = 7",
                "metrics = [\"p98\"]",
                "no metric \"p98\"; there are iops",
            ),
            ("seed = 7", "metrics = []", "needs a metric"),
            (
                "round = \"1s\"",
                "measures = [\"cpu\"]",
                "there are iops, mean, p50, p99",
            ),
            ("seed = 7", "tries = 0", "must be from 1 to 10"),
            ("seed = 7", "within = 0", "between 0 and 100"),
            ("set = \"spread\"", "set = []", "needs a program"),
            (
                "set = \"spread\"",
                "set = 7",
                "a line for the shell, or an array",
            ),
            (
                "kind = \"mtu\"",
                "kind = \"speed\"",
                "unknown variant `speed`",
            ),
            ("restore = \"restore-alua\"", "", "missing field `restore`"),
        ] {
            assert!(PLAN.contains(from), "{from}");
            let error = Plan::parse(&PLAN.replacen(from, to, 1)).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(expected), "{to}: {error}");
        }
        // Where it is, too.
        let error = Plan::parse("title = \"x\"\nblocks = = 8\n").unwrap_err();
        assert!(format!("{error:#}").contains("line 2, column"), "{error:#}");
    }
}
