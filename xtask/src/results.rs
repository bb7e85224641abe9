//! A guest's messages: read from the growing results file, counted, and shown as they come.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use alua_trace_tests::protocol::{Message, Verdict};
use anyhow::{Context, Result};

use crate::paths::create_dir;
use crate::say;

/// Reads whole lines from a file that is still written.
#[derive(Debug)]
pub(crate) struct Lines {
    file: File,
    rest: Vec<u8>,
}

impl Lines {
    /// From the beginning of `path`.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
        Ok(Self {
            file,
            rest: Vec::new(),
        })
    }

    /// The messages that came since the last call; a line that is none is told as such.
    pub(crate) fn messages(&mut self) -> Result<Vec<Result<Message, String>>> {
        self.file
            .read_to_end(&mut self.rest)
            .context("cannot read the guest's results")?;
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole = self.rest.drain(..=end).collect::<Vec<_>>();
        Ok(String::from_utf8_lossy(&whole)
            .lines()
            .filter(|line| !line.trim().is_empty())
            .map(parse)
            .collect())
    }
}

fn parse(line: &str) -> Result<Message, String> {
    serde_json::from_str(line).map_err(|error| format!("{error} in {line:?}"))
}

/// A case that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unpassed {
    /// Its name.
    pub(crate) name: String,
    /// Why.
    pub(crate) detail: String,
}

/// How many cases ended how.
#[derive(Debug, Default, Clone)]
pub(crate) struct Totals {
    /// Cases that passed.
    pub(crate) passed: u64,
    /// Cases that failed.
    pub(crate) failed: Vec<Unpassed>,
    /// Cases that could not run.
    pub(crate) not_run: Vec<Unpassed>,
}

impl Totals {
    /// Adds a failure.
    pub(crate) fn fail(&mut self, name: &str, detail: &str) {
        self.failed.push(Unpassed {
            name: name.into(),
            detail: detail.into(),
        });
    }

    /// Adds one that passed.
    pub(crate) fn pass(&mut self, name: &str) {
        println!("  ok       {name}");
        self.passed += 1;
    }

    /// Adds something that could not run.
    pub(crate) fn skip(&mut self, name: &str, detail: &str) {
        self.not_run.push(Unpassed {
            name: name.into(),
            detail: detail.into(),
        });
    }

    /// Adds another's counts, its names prefixed by where they ran.
    pub(crate) fn add(&mut self, other: Self, place: &str) {
        let named = |case: Unpassed| Unpassed {
            name: format!("{place} {}", case.name),
            ..case
        };
        self.passed += other.passed;
        self.failed.extend(other.failed.into_iter().map(named));
        self.not_run.extend(other.not_run.into_iter().map(named));
    }

    /// Whether nothing was there to run.
    pub(crate) fn is_empty(&self) -> bool {
        self.passed == 0 && self.failed.is_empty() && self.not_run.is_empty()
    }

    /// Whether everything ran, and passed.
    pub(crate) fn all_passed(&self) -> bool {
        self.failed.is_empty() && self.not_run.is_empty()
    }

    /// The one line at the end.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} passed, {} failed, {} not run",
            self.passed,
            self.failed.len(),
            self.not_run.len()
        )
    }

    /// Prints what did not pass, then the totals.
    pub(crate) fn print(&self) {
        let cases = [("FAILED", &self.failed), ("not run", &self.not_run)];
        for (word, list) in cases {
            for case in list {
                println!("{word:8} {}", case.name);
                for line in case.detail.lines() {
                    println!("         {line}");
                }
            }
        }
        println!("{}", self.line());
    }
}

/// Everything one guest reported.
#[derive(Debug)]
pub(crate) struct Report {
    /// Counts.
    pub(crate) totals: Totals,
    /// The case that began and has not ended.
    pub(crate) running: Option<String>,
    artefacts: PathBuf,
    /// Files that the guest has sent.
    saved: Vec<PathBuf>,
    quiet: bool,
    figures: Vec<(String, String, f64, String)>,
    rows: BTreeMap<String, Vec<BTreeMap<String, String>>>,
}

impl Report {
    /// Nothing reported yet; files go to `artefacts`. A quiet report leaves the screen to the guest.
    pub(crate) fn new(artefacts: &Path, quiet: bool) -> Self {
        Self {
            totals: Totals::default(),
            running: None,
            artefacts: artefacts.to_path_buf(),
            saved: Vec::new(),
            quiet,
            figures: Vec::new(),
            rows: BTreeMap::new(),
        }
    }

    /// Forgets everything: the guest starts again from the beginning.
    pub(crate) fn restart(&mut self) {
        *self = Self::new(&self.artefacts, self.quiet);
    }

    /// Takes one message in.
    pub(crate) fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::Hello { .. } | Message::Bye { .. } => {}
            Message::CaseStarted { name } => self.running = Some(name),
            Message::Case {
                name,
                verdict,
                detail,
                duration_ms,
            } => {
                self.running = None;
                self.case(&name, verdict, &detail, duration_ms);
            }
            Message::Figure {
                source,
                name,
                value,
                unit,
            } => {
                self.figures.push((source, name, value, unit));
            }
            Message::Row { source, cells } => self.rows.entry(source).or_default().push(cells),
            Message::Log { text } => self.say(&format!("  {text}")),
            Message::File { name, text } => self.file(&name, &text)?,
        }
        Ok(())
    }

    /// Takes a line in that is no message: the guest is broken, so the run is.
    pub(crate) fn garbage(&mut self, error: &str) {
        self.totals
            .fail("results port", &format!("not a message: {error}"));
    }

    /// The guest did not finish while `case` ran.
    pub(crate) fn broken(&mut self, case: &str, why: &str) {
        self.say(&format!(
            "  {:8} {case}: {}",
            "FAILED",
            why.lines().next().unwrap_or_default()
        ));
        self.totals.fail(case, why);
    }

    fn case(&mut self, name: &str, verdict: Verdict, detail: &str, duration_ms: u64) {
        let word = match verdict {
            Verdict::Passed => "ok",
            Verdict::Failed => "FAILED",
            Verdict::NotRun => "not run",
        };
        let (seconds, tenths) = (duration_ms / 1000, duration_ms % 1000 / 100);
        self.say(&format!("  {word:8} {name}  ({seconds}.{tenths} s)"));
        match verdict {
            Verdict::Passed => self.totals.passed += 1,
            Verdict::Failed => self.totals.fail(name, detail),
            Verdict::NotRun => self.totals.skip(name, detail),
        }
        if verdict != Verdict::Passed {
            for line in detail.lines() {
                self.say(&format!("           {line}"));
            }
        }
    }

    fn file(&mut self, name: &str, text: &str) -> Result<()> {
        let base = Path::new(name)
            .file_name()
            .context("a guest's file has no name")?;
        create_dir(&self.artefacts)?;
        let path = self.artefacts.join(base);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        self.say(&format!("  saved {}", path.display()));
        self.saved.push(path);
        Ok(())
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            println!("{text}");
        }
    }

    /// Ends a guest that had the screen: says what went wrong, if anything did.
    pub(crate) fn finish_interactive(&self) -> bool {
        self.print_figures();
        for path in &self.saved {
            let is_page = path.extension().is_some_and(|it| it == "html");
            let what = if is_page {
                "open in a browser"
            } else {
                "saved"
            };
            say::step(&format!("{what}: {}", path.display()));
        }
        let good = self.totals.failed.is_empty();
        if !good {
            self.totals.print();
        }
        good
    }

    /// Prints tables and figures.
    pub(crate) fn print_figures(&self) {
        for (source, rows) in &self.rows {
            println!("\n{source}");
            print!("{}", table(rows));
        }
        if self.figures.is_empty() {
            return;
        }
        let width = self
            .figures
            .iter()
            .map(|(source, name, ..)| source.len() + name.len())
            .max();
        println!();
        for (source, name, value, unit) in &self.figures {
            let label = format!("{source}: {name}");
            let (width, value) = (width.unwrap_or(0) + 2, rounded(*value));
            println!("  {label:<width$}  {value:>14} {unit}");
        }
    }
}

/// As many digits as a person compares: three after the point below ten, none from a thousand on.
fn rounded(value: f64) -> String {
    let digits = match value.abs() {
        _ if value.fract() == 0.0 => 0,
        size if size < 10.0 => 3,
        size if size < 1000.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

/// Rows with the columns that any of them has, in columns' order by name.
fn table(rows: &[BTreeMap<String, String>]) -> String {
    let mut columns: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, cell) in rows.iter().flatten() {
        let width = columns.entry(name).or_default();
        *width = (*width).max(name.chars().count()).max(cell.chars().count());
    }
    let line = |cell: &dyn Fn(&str) -> String| {
        let cells = columns
            .iter()
            .map(|(name, width)| format!("{:<width$}", cell(name)));
        format!("  {}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    let mut text = line(&|name| name.to_owned());
    for row in rows {
        text += &line(&|name| row.get(name).cloned().unwrap_or_else(|| "-".into()));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn half_a_line_waits_for_its_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut writer = file.reopen().unwrap();
        let mut lines = Lines::open(file.path()).unwrap();
        writer.write_all(b"{\"message\":\"hello\",\"ker").unwrap();
        assert!(lines.messages().unwrap().is_empty());
        writer
            .write_all(b"nel\":\"6.1\"}\n{\"message\":\"bye\",")
            .unwrap();
        let hello = Message::Hello {
            kernel: "6.1".into(),
        };
        assert_eq!(lines.messages().unwrap(), [Ok(hello)]);
        writer.write_all(b"\"status\":0}\nrubbish\n").unwrap();
        let rest = lines.messages().unwrap();
        assert_eq!(rest[0], Ok(Message::Bye { status: 0 }));
        assert!(rest[1].as_ref().unwrap_err().contains("rubbish"));
    }

    fn case(name: &str, verdict: Verdict) -> Message {
        Message::Case {
            name: name.into(),
            verdict,
            detail: "why".into(),
            duration_ms: 1500,
        }
    }

    #[test]
    fn not_run_is_never_passed() {
        let mut report = Report::new(Path::new("/nonexistent"), true);
        report
            .take(Message::CaseStarted { name: "a".into() })
            .unwrap();
        assert_eq!(report.running.as_deref(), Some("a"));
        report.take(case("a", Verdict::Passed)).unwrap();
        assert_eq!(report.running, None);
        report.take(case("b", Verdict::Failed)).unwrap();
        report.take(case("c", Verdict::NotRun)).unwrap();
        report.garbage("x");
        assert_eq!(report.totals.line(), "1 passed, 2 failed, 1 not run");
    }

    #[test]
    fn files_cannot_leave_the_artefacts() {
        let dir = tempfile::tempdir().unwrap();
        let mut report = Report::new(&dir.path().join("run"), true);
        report
            .take(Message::File {
                name: "../evil".into(),
                text: "x".into(),
            })
            .unwrap();
        assert!(dir.path().join("run/evil").exists());
        assert!(!dir.path().join("evil").exists());
    }

    #[test]
    fn figures_are_rounded_to_what_is_compared() {
        for (value, text) in [
            (1.5, "1.500"),
            (2.0, "2"),
            (123.456, "123.5"),
            (681_820.346_6, "681820"),
            (-0.06, "-0.060"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }

    #[test]
    fn tables_show_a_missing_cell_as_such() {
        let row = |cells: &[(&str, &str)]| {
            cells
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect::<BTreeMap<_, _>>()
        };
        let text = table(&[
            row(&[("iops", "15208"), ("tool", "none")]),
            row(&[("tool", "x")]),
        ]);
        assert_eq!(text, "  iops   tool\n  15208  none\n  -      x\n");
    }
}
