//! The machine's Python with packages that are unpacked below `target`: what is installed stays as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{Paths, create_dir, fingerprint, remove_dir};
use crate::results::Totals;
use crate::say;

/// A Python that has what is required.
#[derive(Debug)]
pub(crate) struct Python {
    packages: std::path::PathBuf,
}

impl Python {
    /// With the packages that a file names; fetched when they are not here.
    ///
    /// # Errors
    /// There is no Python or pip; the packages cannot be fetched.
    pub(crate) fn with(paths: &Paths, requirements: &Path) -> Result<Self> {
        let version = say::output(Command::new("python3").arg("--version"))
            .context("there is no python3 here")?;
        let wanted = std::fs::read_to_string(requirements)
            .with_context(|| format!("cannot read {}", requirements.display()))?;
        let name = format!(
            "python-{}",
            fingerprint([version.as_str(), wanted.as_str()])
        );
        let packages = paths.target.join(name);
        let stamp = packages.join("complete");
        if !stamp.exists() {
            say::step("fetching Python's packages");
            remove_dir(&packages)?;
            create_dir(&packages)?;
            let mut pip = Command::new("python3");
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ])
            .args(["--root-user-action", "ignore", "--target"])
            .arg(&packages)
            .arg("--requirement")
            .arg(requirements);
            say::output(&mut pip).context("Python's pip cannot fetch them")?;
            crate::paths::write_whole(&stamp, b"")?;
        }
        Ok(Self { packages })
    }

    /// Without any packages.
    pub(crate) fn plain() -> Self {
        Self {
            packages: std::path::PathBuf::new(),
        }
    }

    /// A file of a package.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.packages.join(name)
    }

    /// To run a script.
    pub(crate) fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("python3");
        command
            .arg(script)
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Counts what a script checks: it prints a line for each check, and `ok` before those that hold.
    ///
    /// # Errors
    /// It cannot be started, or ends early.
    pub(crate) fn count(
        &self,
        script: &mut Command,
        name: &str,
        totals: &mut Totals,
    ) -> Result<()> {
        let output = script.output().context("cannot start python3")?;
        let said = String::from_utf8_lossy(&output.stdout);
        let mut has_failed = false;
        for line in said.lines() {
            match line.split_once(' ') {
                Some(("ok", check)) => totals.pass(&format!("{name}: {check}")),
                _ => {
                    has_failed = true;
                    totals.fail(name, line);
                }
            }
        }
        let complaint = say::last_lines(&String::from_utf8_lossy(&output.stderr), 3).join("; ");
        let has_ended = output.status.success() || has_failed;
        anyhow::ensure!(has_ended && !said.is_empty(), "{complaint}");
        Ok(())
    }
}
