//! What has been done of an experiment: a line of JSON for each step, on the disk before the next one is taken. What
//! follows from it, however the last session ended, is in [`Done`].

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::steady::Steadiness;
use crate::safe;

const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum Step {
    /// The first one.
    Begun {
        /// Version of alua-trace.
        version: String,
        /// The plan, word for word.
        plan: String,
        /// What the order was drawn by.
        seed: u64,
        /// The cells of each block, in order.
        schedule: Vec<Vec<usize>>,
    },
    /// Factors are being switched from here on. What their `save` printed, by name.
    Switched {
        /// Printed by `save`; empty where there is none.
        saved: BTreeMap<String, String>,
    },
    /// A cell is tried.
    Started(Try),
    /// Its load has been steady, and its run is recorded.
    Done {
        /// Which.
        #[serde(flatten)]
        of: Try,
        /// The recording, in the experiment's directory.
        recording: String,
        /// Of the warm-up.
        warm_up: Steadiness,
    },
    /// It is no result.
    Failed {
        /// Which.
        #[serde(flatten)]
        of: Try,
        /// Why.
        why: String,
    },
    /// Every factor is as it was; or not.
    Restored {
        /// Why it is not.
        problem: Option<String>,
    },
}

/// A cell of a block, tried for the nth time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Try {
    /// Block, from 0.
    pub block: usize,
    /// Cell, from 0.
    pub cell: usize,
    /// From 1.
    #[serde(rename = "try")]
    pub nth: usize,
}

/// A run that is a result.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// Which.
    pub of: Try,
    /// The recording, in the experiment's directory.
    pub recording: String,
    /// Of its warm-up.
    pub warm_up: Steadiness,
}

/// What a journal says.
#[derive(Debug, Default)]
pub struct Done {
    /// The plan, word for word.
    pub plan: String,
    /// What the order was drawn by.
    pub seed: u64,
    /// The cells of each block, in order.
    pub schedule: Vec<Vec<usize>>,
    /// Results, in the order in which they were made.
    pub runs: Vec<Run>,
    /// Tries that were none, and why.
    pub failed: Vec<(Try, String)>,
    /// The last number of each cell that was tried, by block and cell.
    tries: BTreeMap<(usize, usize), usize>,
    /// What `save` printed, where factors are not as they were.
    pub switched: Option<BTreeMap<String, String>>,
    /// Why they are not, where that was tried.
    pub problem: Option<String>,
}

impl Done {
    fn take(&mut self, step: Step) {
        match step {
            Step::Begun {
                plan,
                seed,
                schedule,
                ..
            } => {
                (self.plan, self.seed, self.schedule) = (plan, seed, schedule);
            }
            Step::Switched { saved } => {
                // What was saved first is how it was before.
                self.switched.get_or_insert(saved);
            }
            Step::Started(of) => _ = self.tries.insert((of.block, of.cell), of.nth),
            Step::Done {
                of,
                recording,
                warm_up,
            } => self.runs.push(Run {
                of,
                recording,
                warm_up,
            }),
            Step::Failed { of, why } => self.failed.push((of, why)),
            Step::Restored { problem } => {
                if problem.is_none() {
                    self.switched = None;
                }
                self.problem = problem;
            }
        }
    }

    /// The result of a cell.
    #[must_use]
    pub fn run_of(&self, block: usize, cell: usize) -> Option<&Run> {
        let mut runs = self.runs.iter();
        runs.find(|it| (it.of.block, it.of.cell) == (block, cell))
    }

    /// The next try of a cell.
    #[must_use]
    pub fn next_try(&self, block: usize, cell: usize) -> Try {
        let before = self.tries.get(&(block, cell)).copied().unwrap_or(0);
        Try {
            block,
            cell,
            nth: before + 1,
        }
    }

    /// Cells that have a result, and all of them.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.runs.len(), self.schedule.iter().map(Vec::len).sum())
    }
}

/// The directory of an experiment, which is one process' at a time.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    file: File,
    lock: File,
    /// What it says.
    pub done: Done,
}

impl Journal {
    /// Opens that of a directory, which is made where there is none. Waits until another process has given it back;
    /// `waiting` is called when it must.
    ///
    /// # Errors
    /// The directory cannot be made or read, or what is in it is no journal.
    pub fn open(dir: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let shown = safe::name(&dir.to_string_lossy());
        let cannot =
            || format!("cannot use {shown} for the experiment; name a directory with --dir");
        fs::create_dir_all(dir).with_context(cannot)?;
        let open = |name: &str| {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true);
            options.open(dir.join(name)).with_context(cannot)
        };
        let lock = open(LOCK)?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            waiting();
            flock(&lock, FlockOperation::LockExclusive).with_context(cannot)?;
        }
        let mut file = open(JOURNAL)?;
        let done = read(&mut file).with_context(|| {
            format!("{shown} is no directory of an experiment; name another with --dir")
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            lock,
            done,
        })
    }

    /// That of a directory which the process that started this one has, too.
    ///
    /// # Errors
    /// What is there is no journal.
    pub fn beside(dir: &Path) -> Result<Self> {
        let open = |name: &str| {
            OpenOptions::new()
                .read(true)
                .append(true)
                .open(dir.join(name))
        };
        let (mut file, lock) = (open(JOURNAL)?, open(LOCK)?);
        let done = read(&mut file)?;
        Ok(Self {
            dir: dir.to_owned(),
            file,
            lock,
            done,
        })
    }

    /// Without writing to it, for those that only look; whoever has it.
    ///
    /// # Errors
    /// What is there is no journal.
    pub fn look(dir: &Path) -> Result<Done> {
        match File::open(dir.join(JOURNAL)) {
            Ok(mut file) => parse(&mut file).map(|(done, _)| done),
            Err(_) => Ok(Done::default()),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What says that the directory is in use, for a process that goes on using it.
    #[must_use]
    pub fn lock(&self) -> &File {
        &self.lock
    }

    /// Says that a step has been taken: it is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn say(&mut self, step: Step) -> Result<()> {
        let mut line = serde_json::to_vec(&step).context("a step that is no JSON")?;
        line.push(b'\n');
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        written.with_context(|| {
            let file = self.dir.join(JOURNAL);
            format!(
                "cannot write {}; make room, then run the same again",
                file.display()
            )
        })?;
        self.done.take(step);
        Ok(())
    }
}

/// What it says; a last line that was not written whole is cut off.
fn read(file: &mut File) -> Result<Done> {
    let (done, whole) = parse(file)?;
    if file.seek(SeekFrom::End(0))? > whole {
        file.set_len(whole)?;
    }
    Ok(done)
}

/// What it says, and how long it is up to its last whole line.
fn parse(file: &mut File) -> Result<(Done, u64)> {
    let mut text = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut text)?;
    let whole = text
        .iter()
        .rposition(|it| *it == b'\n')
        .map_or(0, |at| at + 1);
    let mut done = Done::default();
    let lines = text[..whole]
        .split(|it| *it == b'\n')
        .filter(|it| !it.is_empty());
    for (nth, line) in lines.enumerate() {
        let step: Step = serde_json::from_slice(line)
            .with_context(|| format!("line {} of its {JOURNAL}", nth + 1))?;
        ensure!(
            (nth == 0) == matches!(step, Step::Begun { .. }),
            "line {} of its {JOURNAL} does not belong there",
            nth + 1
        );
        done.take(step);
    }
    Ok((done, whole as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Step {
        Step::Begun {
            version: "0".to_owned(),
            plan: "p".to_owned(),
            seed: 7,
            schedule: vec![vec![1, 0], vec![0, 1]],
        }
    }

    fn open(dir: &Path) -> Result<Journal> {
        Journal::open(dir, || panic!("nobody else has it"))
    }

    const OF: Try = Try {
        block: 0,
        cell: 1,
        nth: 1,
    };

    fn done(of: Try) -> Step {
        Step::Done {
            of,
            recording: "r".to_owned(),
            warm_up: Steadiness::default(),
        }
    }

    #[test]
    fn what_was_said_is_known_again_wherever_it_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = open(dir.path()).unwrap();
        let saved = BTreeMap::from([("MTU".to_owned(), "1500\n".to_owned())]);
        for step in [
            begun(),
            Step::Switched {
                saved: saved.clone(),
            },
            Step::Started(OF),
        ] {
            journal.say(step).unwrap();
        }
        drop(journal);
        let file = dir.path().join(JOURNAL);
        let so_far = fs::read(&file).unwrap();
        let mut journal = open(dir.path()).unwrap();
        assert_eq!(journal.done.next_try(0, 1).nth, 2);
        journal.say(done(OF)).unwrap();
        drop(journal);
        let whole = fs::read(&file).unwrap();
        for end in so_far.len()..=whole.len() {
            fs::write(&file, &whole[..end]).unwrap();
            let mut journal = open(dir.path()).unwrap();
            let is_whole = end == whole.len();
            assert_eq!(journal.done.progress(), (usize::from(is_whole), 4), "{end}");
            assert_eq!(journal.done.switched, Some(saved.clone()));
            // What comes next is a line of its own.
            journal.say(Step::Restored { problem: None }).unwrap();
            drop(journal);
            assert_eq!(open(dir.path()).unwrap().done.switched, None);
        }
    }

    #[test]
    fn a_factor_that_is_not_restored_is_known_as_it_was_first() {
        let mut done = Done::default();
        let switched = |text: &str| Step::Switched {
            saved: BTreeMap::from([("MTU".to_owned(), text.to_owned())]),
        };
        for step in [
            switched("1500"),
            Step::Restored {
                problem: Some("no".to_owned()),
            },
            switched("9000"),
        ] {
            done.take(step);
        }
        assert_eq!(done.switched.unwrap()["MTU"], "1500");
    }

    #[test]
    fn other_files_are_no_journal() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["hello\n", "{\"step\":\"restored\",\"problem\":null}\n"] {
            fs::write(dir.path().join(JOURNAL), text).unwrap();
            let error = format!("{:#}", open(dir.path()).unwrap_err());
            assert!(error.contains("no directory of an experiment"), "{error}");
            assert_eq!(fs::read_to_string(dir.path().join(JOURNAL)).unwrap(), text);
        }
    }
}
