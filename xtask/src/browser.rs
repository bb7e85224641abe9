//! A Chromium that opens pages where nobody looks: the machine's own, else one unpacked below the lab's
//! cache. The machine's packages stay as they are.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::packages::{Apt, tree_path};
use crate::paths::{Paths, create_dir, remove_dir};
use crate::say;

const OWN: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const PACKAGES: [&str; 2] = ["chromium", "fonts-dejavu-core"];
/// It asks nobody but the page.
const QUIET: [&str; 14] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--v=0",
];

/// A browser.
#[derive(Debug)]
pub(crate) struct Browser {
    program: PathBuf,
    libraries: Vec<PathBuf>,
}

/// How a page is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    /// Pixels.
    pub(crate) width: u32,
    /// Pixels.
    pub(crate) height: u32,
    /// The user likes it dark.
    pub(crate) dark: bool,
}

impl Browser {
    /// One that runs here.
    pub(crate) fn get(paths: &Paths) -> Result<Self> {
        for name in OWN {
            let own = Self {
                program: name.into(),
                libraries: Vec::new(),
            };
            if own.runs().is_ok() {
                return Ok(own);
            }
        }
        let release = release_of_this_machine()?;
        let root = tree_path(&paths.lab, &release, &PACKAGES);
        if !root.exists() {
            let apt = Apt::open(&paths.lab, &release, false)?;
            apt.tree(&paths.lab, "Chromium, as this machine has none", &PACKAGES)?;
        }
        let libraries = Arch::HOST.libraries(&root);
        let unpacked = Self {
            program: root.join("usr/lib/chromium/chromium"),
            // libpulse looks for a part of it where a package would be installed.
            libraries: vec![libraries.join("pulseaudio"), libraries],
        };
        unpacked
            .runs()
            .context("the Chromium that was unpacked does not run here")?;
        Ok(unpacked)
    }

    fn runs(&self) -> Result<()> {
        say::output(self.command().arg("--version")).map(|_| ())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Ok(libraries) = std::env::join_paths(&self.libraries)
            && !libraries.is_empty()
        {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    /// Opens a page and takes a picture of it; gives what it complains of, a line each.
    pub(crate) fn open(&self, page: &Path, look: Look, picture: &Path) -> Result<Vec<String>> {
        let profile = picture.with_extension("profile");
        remove_dir(&profile)?;
        create_dir(&profile)?;
        remove_file(picture)?;
        let mut argument = OsString::from("--screenshot=");
        argument.push(picture);
        let mut user = OsString::from("--user-data-dir=");
        user.push(&profile);
        // 0 is dark, 1 light.
        let scheme = u8::from(!look.dark);
        let output = self
            .command()
            .args(QUIET)
            .arg(format!("--window-size={},{}", look.width, look.height))
            .arg(format!("--blink-settings=preferredColorScheme={scheme}"))
            .args([argument, user])
            .arg(format!("file://{}", page.display()))
            .output()
            .context("cannot start Chromium")?;
        remove_dir(&profile)?;
        let said = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() || !picture.exists() {
            bail!(
                "Chromium took no picture: {}",
                say::last_lines(&said, 3).join("; ")
            );
        }
        Ok(said
            .lines()
            .filter(|line| line.contains("CONSOLE"))
            .map(str::to_owned)
            .collect())
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Programs of a release run with the libraries of that: `bookworm`.
fn release_of_this_machine() -> Result<String> {
    let text =
        fs::read_to_string("/etc/os-release").context("what this machine runs is not known")?;
    let value = |name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))?;
        Some(line.trim_matches('"').to_owned())
    };
    match (value("ID").as_deref(), value("VERSION_CODENAME")) {
        (Some("debian"), Some(release)) => Ok(release),
        _ => bail!("there is no Chromium here, and this is no Debian to unpack one of"),
    }
}
