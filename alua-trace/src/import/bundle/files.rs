//! Owns which files of a bundle are read: by their names, without following links, within limits.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::import::sysfs;

/// Longest part of a file that is read: of a log its end.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// All that is read.
const MAX_ALL: u64 = 256 << 20;
/// Files and directories that are looked at.
const MAX_SEEN: usize = 100_000;
/// Directories within directories.
const MAX_DEPTH: usize = 16;
/// What the names of files have that tell of paths: commands, logs, attributes.
const NAMES: [&str; 16] = [
    "multipath",
    "mpio",
    "sg_",
    "dmesg",
    "messages",
    "syslog",
    "journal",
    "kern.log",
    "esxcli",
    "lsscsi",
    "dmsetup",
    "scsi",
    "iscsi",
    "systool",
    "boot.log",
    "console",
];

/// A file's name within the bundle, and what it says.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
}

/// Files that are read, and those that are not.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) read: Vec<File>,
    pub(super) n_seen: usize,
    pub(super) notes: Vec<String>,
    /// Attributes of SCSI devices, a line each.
    attributes: String,
    n_bytes: u64,
}

/// The files below a directory, by name.
///
/// # Errors
/// It cannot be read; it has too many files.
pub(super) fn of_directory(root: &Path) -> Result<Files> {
    let mut files = Files::default();
    let what = || format!("cannot read {}", root.display());
    fs::read_dir(root).with_context(what)?;
    let mut open = vec![(root.to_owned(), 0)];
    while let Some((directory, depth)) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else {
            files
                .notes
                .push(format!("cannot read {}", directory.display()));
            continue;
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            files.ensure_room(root)?;
            // Of the entry itself: what a link leads to is not the bundle's.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap_or(&path);
                let length = entry.metadata().map_or(0, |it| it.len());
                files.take(&name.display().to_string(), length, |skipped| {
                    bytes_from(&path, skipped)
                });
            }
        }
    }
    Ok(files.sorted())
}

impl Files {
    /// Takes the file of this name, of `length` bytes, if it may tell of paths; `read` gives what is
    /// behind the number of bytes that it is told.
    pub(super) fn take(
        &mut self,
        name: &str,
        length: u64,
        read: impl FnOnce(u64) -> Result<Vec<u8>>,
    ) {
        self.n_seen += 1;
        if !is_wanted(name) {
            return;
        }
        match self.text(name, length, read) {
            // What is no text is of no form that is known.
            Ok(text) if text.contains('\0') => {}
            // As `grep . FILE` prints it.
            Ok(text) if sysfs::is_attribute(name) => {
                self.attributes
                    .push_str(&format!("/{name}:{}\n", text.trim()));
            }
            Ok(text) => self.read.push(File {
                name: name.to_owned(),
                text,
            }),
            Err(error) => self.notes.push(format!("cannot read {name}: {error:#}")),
        }
    }

    fn text(
        &mut self,
        name: &str,
        length: u64,
        read: impl FnOnce(u64) -> Result<Vec<u8>>,
    ) -> Result<String> {
        self.n_bytes += length.min(MAX_FILE);
        ensure!(
            self.n_bytes <= MAX_ALL,
            "more than {} MiB in all: it is left out",
            MAX_ALL >> 20
        );
        let skipped = length.saturating_sub(MAX_FILE);
        if skipped > 0 {
            self.notes.push(format!(
                "only the last {} MiB of {name} are read",
                MAX_FILE >> 20
            ));
        }
        Ok(String::from_utf8_lossy(&read(skipped)?).into_owned())
    }

    /// By name, whatever order they were met in.
    pub(super) fn sorted(mut self) -> Self {
        if !self.attributes.is_empty() {
            self.read.push(File {
                name: "sysfs".to_owned(),
                text: std::mem::take(&mut self.attributes),
            });
        }
        self.read.sort_by(|a, b| a.name.cmp(&b.name));
        self
    }

    pub(super) fn ensure_room(&self, root: &Path) -> Result<()> {
        ensure!(
            self.n_seen < MAX_SEEN,
            "{} has more than {MAX_SEEN} files: name a directory within it",
            root.display()
        );
        Ok(())
    }
}

/// The file's bytes from one of them on, no more than are read of one.
fn bytes_from(path: &Path, skipped: u64) -> Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    file.seek(SeekFrom::Start(skipped))?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether a file may tell of paths, by its name.
fn is_wanted(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or(&name);
    let is_packed = [".gz", ".xz", ".bz2", ".tar"]
        .iter()
        .any(|it| last.ends_with(it));
    if last.ends_with(".conf") {
        let of_multipath = last == "multipath.conf" || name.contains("multipath/conf.d/");
        return of_multipath;
    }
    let is_known = NAMES.iter().any(|wanted| last.contains(wanted));
    !is_packed && (is_known || sysfs::is_attribute(&name))
}
