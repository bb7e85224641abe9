//! The machine's Python with packages that are unpacked below `target`: what is installed stays as it is.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::paths::{Paths, create_dir, fingerprint, remove_dir};
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
            say::step("fetching Python's packages that read exports");
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

    /// To run a script.
    pub(crate) fn command(&self, script: &Path) -> Command {
        let mut command = Command::new("python3");
        command
            .arg(script)
            .env("PYTHONPATH", &self.packages)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }
}
