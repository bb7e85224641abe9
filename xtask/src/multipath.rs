//! Real multipath-tools to compare with: Debian's packages of two releases, unpacked with all they
//! depend on, so that their `multipath -t` runs in a directory of its own.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::packages::Apt;
use crate::say;
use crate::version;

const PACKAGE: &str = "multipath-tools";
/// The release whose hardware table most users have: 0.9.4.
const STABLE: &str = "bookworm";
/// Suites that may have the newest release.
const SUITES: [&str; 3] = ["trixie", "sid", "experimental"];

/// The roots of Debian 12's release and of the newest of the mirror's suites.
///
/// # Errors
/// The mirror or the disk says no.
pub(crate) fn roots(lab: &Path) -> Result<[PathBuf; 2]> {
    Ok([get(lab, STABLE)?, get(lab, newest_suite(lab)?)?])
}

fn get(lab: &Path, suite: &str) -> Result<PathBuf> {
    let apt = Apt::open(lab, suite, false)?;
    let what = format!("{PACKAGE} {}", apt.version(PACKAGE)?);
    apt.tree(lab, &what, &[PACKAGE])
}

fn newest_suite(lab: &Path) -> Result<&'static str> {
    let mut newest: Option<(String, &'static str)> = None;
    for suite in SUITES {
        let version = Apt::open(lab, suite, false).and_then(|apt| apt.version(PACKAGE));
        match version {
            Err(error) => say::note(&format!("suite {suite} is left out: {error}")),
            Ok(version) => {
                let better = |known: &(String, _)| version::compare(&version, &known.0).is_gt();
                if newest.as_ref().is_none_or(better) {
                    newest = Some((version, suite));
                }
            }
        }
    }
    let (_, suite) = newest.with_context(|| format!("no suite of the mirror has {PACKAGE}"))?;
    Ok(suite)
}
