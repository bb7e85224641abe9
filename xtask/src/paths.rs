//! Where everything lies: the workspace, cargo's target directory and the lab's cache.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::say;

/// The directories xtask works in.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The lab's cache: packages, kernels, images, artefacts.
    pub(crate) lab: PathBuf,
    /// Compilers and linkers fetched for the probes.
    pub(crate) toolchain: PathBuf,
}

impl Paths {
    /// The directories of this checkout. Nothing is created.
    pub(crate) fn find() -> Result<Self> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = manifest
            .parent()
            .with_context(|| format!("{} has no parent directory", manifest.display()))?
            .to_path_buf();
        let target =
            env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        let target = if target.is_absolute() {
            target
        } else {
            root.join(target)
        };
        let own = root.join("target");
        Ok(Self {
            target,
            lab: own.join("lab"),
            toolchain: own.join("toolchain"),
            root,
        })
    }

    /// Takes the lab's lock until the returned file is dropped: two runs never fetch the same
    /// thing at the same time.
    pub(crate) fn lock(&self) -> Result<File> {
        create_dir(&self.lab)?;
        let path = self.lab.join("lock");
        let file =
            File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        if file.try_lock().is_err() {
            say::step("waiting for another `cargo xtask` that is preparing the lab");
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
        }
        Ok(file)
    }
}

/// Creates `path` and its parents.
pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Removes `path` with everything below it; a path that is not there is fine.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Writes a file so that it is either there complete or not at all.
pub(crate) fn write_whole(path: &Path, contents: &[u8]) -> Result<()> {
    let partial = beside(path, ".partial");
    fs::write(&partial, contents)
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `path` with `suffix` added to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A short, stable name for a list of inputs (FNV-1a).
pub(crate) fn fingerprint<'a>(parts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    format!("{:08x}", (hash ^ (hash >> 32)) & 0xffff_ffff)
}

/// Bytes of all files below `path`; what cannot be read counts nothing.
pub(crate) fn size_below(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => size_below(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_separates_parts() {
        assert_eq!(fingerprint(["a", "b"]), fingerprint(["a", "b"]));
        assert_ne!(fingerprint(["a", "b"]), fingerprint(["ab"]));
        assert_ne!(fingerprint(["a", "b"]), fingerprint(["b", "a"]));
    }

    #[test]
    fn size_counts_nested_files() {
        let dir = tempfile::tempdir().unwrap();
        create_dir(&dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/x"), [0; 5]).unwrap();
        fs::write(dir.path().join("y"), [0; 2]).unwrap();
        assert_eq!(size_below(dir.path()), 7);
        assert_eq!(size_below(&dir.path().join("absent")), 0);
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        remove_dir(&dir.path().join("absent")).unwrap();
    }
}
