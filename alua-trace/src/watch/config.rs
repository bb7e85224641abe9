//! The watcher's configuration: TOML, with a default for everything. `dist/watch.toml` shows all of it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;

use crate::{
    alerts::{Action, Plan, Rule},
    cli::{self, Gates, Listen, Placement, RecordTo, RecordWay, RunConfig, Show, Telling},
    model::Severity,
};

/// Where it is, unless somebody says otherwise.
pub const PATH: &str = "/etc/alua-trace/watch.toml";
/// The action that is always there.
const JOURNAL: &str = "journal";
/// The last so long may be asked of: six parts of it are kept in memory.
const LONGEST: Duration = Duration::from_secs(3600);

/// What to watch, and what to do about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The trace.
    pub run: RunConfig,
    /// Where recordings of what led to something go, and how many stay; `None` for none.
    pub recordings: Option<Recordings>,
    /// The alerts.
    pub plan: Plan,
}

/// Where recordings go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recordings {
    /// A directory of their own.
    pub directory: PathBuf,
    /// How many stay.
    pub keep: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    maps: Vec<String>,
    interval: String,
    count: bool,
    btf: Option<PathBuf>,
    metrics: String,
    journal: bool,
    recording: RecordingTable,
    placement: PlacementTable,
    action: BTreeMap<String, ActionTable>,
    alert: Vec<AlertTable>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RecordingTable {
    directory: PathBuf,
    last: String,
    memory: String,
    keep: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PlacementTable {
    cpus: String,
    nice: Option<i32>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ActionTable {
    exec: Option<Vec<String>>,
    webhook: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlertTable {
    name: String,
    when: String,
    #[serde(default = "one_minute")]
    over: String,
    #[serde(default, rename = "for")]
    hold: String,
    #[serde(default = "warning")]
    severity: Severity,
    #[serde(default = "to_journal")]
    tell: Vec<String>,
}

fn one_minute() -> String {
    "1m".to_owned()
}

fn warning() -> Severity {
    Severity::Warning
}

fn to_journal() -> Vec<String> {
    vec![JOURNAL.to_owned()]
}

impl Default for File {
    fn default() -> Self {
        Self {
            maps: Vec::new(),
            interval: "10s".to_owned(),
            count: true,
            btf: None,
            metrics: "127.0.0.1:9909".to_owned(),
            journal: true,
            recording: RecordingTable::default(),
            placement: PlacementTable::default(),
            action: BTreeMap::new(),
            alert: Vec::new(),
        }
    }
}

impl Default for RecordingTable {
    fn default() -> Self {
        Self {
            directory: "/var/lib/alua-trace".into(),
            last: "5m".to_owned(),
            memory: "64M".to_owned(),
            keep: 20,
        }
    }
}

impl Config {
    /// Reads a file: the usual one where none is named, which need not be there.
    ///
    /// # Errors
    /// It cannot be read, or says something that cannot be: which, and what it could be.
    pub fn read(named: Option<&Path>) -> Result<Self> {
        let path = named.unwrap_or(Path::new(PATH));
        let failed = || format!("cannot use {}", path.display());
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && named.is_none() => {
                String::new()
            }
            text => text.with_context(failed)?,
        };
        Self::parse(&text).with_context(failed)
    }

    /// Of the text of a file.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).map_err(|error| anyhow!("{error}"))?;
        let actions = actions(file.action)?;
        let mut names = Vec::new();
        let mut rules = Vec::with_capacity(file.alert.len());
        for alert in file.alert {
            let name = alert.name.clone();
            ensure!(!names.contains(&name), "two alerts are called {name:?}");
            rules.push(rule(alert, &actions).with_context(|| format!("alert {name:?}"))?);
            names.push(name);
        }
        let recordings = (!file.recording.directory.as_os_str().is_empty()).then(|| Recordings {
            directory: file.recording.directory.clone(),
            keep: file.recording.keep.max(1),
        });
        let last = value("recording.last", &file.recording.last, cli::duration)?;
        let memory = value("recording.memory", &file.recording.memory, cli::size)?;
        Ok(Self {
            run: RunConfig {
                duration: None,
                interval: value("interval", &file.interval, cli::interval)?,
                maps: file.maps,
                json: None,
                commands: false,
                metrics: listen(&file.metrics)?,
                ring_bytes: None,
                telling: if file.count {
                    Telling::Counted
                } else {
                    Telling::Each
                },
                cost: false,
                placement: placement(&file.placement)?,
                btf: file.btf,
                show: Show::Events,
                record: recordings.as_ref().map(|to| RecordTo {
                    file: to.directory.clone(),
                    labels: BTreeMap::new(),
                    way: RecordWay::Last {
                        time: last,
                        memory,
                        keep: Some(to.keep),
                    },
                    histograms_only: false,
                }),
                gates: Gates::default(),
                command: Vec::new(),
            },
            recordings,
            plan: Plan {
                rules,
                actions,
                journal: file.journal,
            },
        })
    }
}

fn value<T>(name: &str, text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<T> {
    read(text).map_err(|why| anyhow!("{name} = {text:?}: {why}"))
}

fn listen(text: &str) -> Result<Option<Listen>> {
    if text.is_empty() {
        return Ok(None);
    }
    value("metrics", text, cli::listen).map(Some)
}

fn placement(table: &PlacementTable) -> Result<Placement> {
    if let Some(nice) = table.nice {
        ensure!(
            (-20..=19).contains(&nice),
            "placement.nice = {nice}: it is from -20 to 19"
        );
    }
    let cpus = match table.cpus.as_str() {
        "" => Vec::new(),
        text => value("placement.cpus", text, cli::cpus)?,
    };
    Ok(Placement {
        cpus,
        nice: table.nice,
    })
}

fn actions(tables: BTreeMap<String, ActionTable>) -> Result<BTreeMap<String, Action>> {
    let mut actions = BTreeMap::from([(JOURNAL.to_owned(), Action::Journal)]);
    for (name, table) in tables {
        ensure!(
            name != JOURNAL,
            "action {JOURNAL:?} is the journal, and needs no table"
        );
        let action = action(table).with_context(|| format!("action {name:?}"))?;
        actions.insert(name, action);
    }
    Ok(actions)
}

fn action(table: ActionTable) -> Result<Action> {
    ensure!(
        table.headers.is_empty() || table.webhook.is_some(),
        "headers are a web hook's"
    );
    match (table.exec, table.webhook, table.file) {
        (Some(words), None, None) => {
            let program = words
                .first()
                .context("exec = []: it names a program and its arguments")?;
            ensure!(
                Path::new(program).is_absolute(),
                "exec: the path of a program begins with /, and {program:?} does not"
            );
            Ok(Action::Exec(words))
        }
        (None, Some(url), None) => {
            let is_url = url.starts_with("https://") || url.starts_with("http://");
            ensure!(
                is_url,
                "webhook = {url:?}: an address begins with https:// or http://"
            );
            Ok(Action::Webhook {
                url,
                headers: table.headers.into_iter().collect(),
            })
        }
        (None, None, Some(path)) => {
            ensure!(path.is_absolute(), "file: a path begins with /");
            Ok(Action::File(path))
        }
        _ => bail!("it is one of exec, webhook and file"),
    }
}

fn rule(table: AlertTable, actions: &BTreeMap<String, Action>) -> Result<Rule> {
    ensure!(!table.name.is_empty(), "it has no name");
    let when = cli::gate(&table.when).map_err(|why| anyhow!("when: {why}"))?;
    let over = value("over", &table.over, cli::duration)?;
    ensure!(
        over <= LONGEST,
        "over = {:?}: it is at most an hour",
        table.over
    );
    let hold = match table.hold.as_str() {
        "" | "0" | "0s" => Duration::ZERO,
        text => value("for", text, cli::duration)?,
    };
    for name in &table.tell {
        if !actions.contains_key(name) {
            let known: Vec<&str> = actions.keys().map(String::as_str).collect();
            bail!(
                "tell: there is no action {name:?}, but {}",
                known.join(", ")
            );
        }
    }
    Ok(Rule {
        name: table.name,
        when,
        over,
        hold,
        severity: table.severity,
        actions: table.tell,
    })
}
