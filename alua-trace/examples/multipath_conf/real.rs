//! A release of multipath-tools, run in its own root directory.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use alua_trace::multipath_conf::{effective::Place, keywords::Release};
use anyhow::{Context, Result, ensure};

use crate::{File, release};

const MAIN: &str = "etc/multipath.conf";
const ADDITIONAL: &str = "etc/multipath/conf.d/a.conf";

/// A release of multipath-tools.
pub struct Real {
    root: PathBuf,
    pub release: Release,
}

impl Real {
    /// The release in `root`.
    pub fn new(root: &str) -> Result<Self> {
        let root = PathBuf::from(root);
        let output = multipath(&root, "-h")?;
        let text = text(&output.stderr) + &text(&output.stdout);
        let release = release(&text).with_context(|| format!("no version in: {text}"))?;
        Ok(Self { root, release })
    }

    /// What `multipath -t` prints with these files; `None` when it refuses them.
    pub fn print(&self, files: &[File]) -> Result<Option<String>> {
        for (place, name) in [(Place::Main, MAIN), (Place::Additional, ADDITIONAL)] {
            let path = self.root.join(name);
            match files.iter().find(|(at, _)| *at == place) {
                Some((_, text)) => write(&path, text)?,
                None => remove(&path)?,
            }
        }
        let output = multipath(&self.root, "-t")?;
        if output.status.code() == Some(1) {
            return Ok(None);
        }
        ensure!(
            output.status.success(),
            "multipath -t failed ({}): {}",
            output.status,
            text(&output.stderr)
        );
        Ok(Some(text(&output.stdout)))
    }

    /// Whether this release heeds a keyword.
    pub fn counts(&self, keyword: &str) -> bool {
        match keyword {
            "rr_min_io" | "rr_min_io_rq" => self.release < Release(0, 15, 0),
            "detect_pgpolicy" => self.release >= Release(0, 9, 6),
            _ => true,
        }
    }
}

/// As root by chroot alone, else in a namespace of users.
fn multipath(root: &Path, option: &str) -> Result<Output> {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("chroot")
    } else {
        let mut unshare = Command::new("unshare");
        unshare.args(["--map-root-user", "chroot"]);
        unshare
    };
    command.arg(root).args(["/usr/sbin/multipath", option]);
    command
        .output()
        .with_context(|| format!("cannot run {command:?}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().context("a path with a directory")?;
    fs::create_dir_all(directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
