//! Owns which files of a bundle are read: by their names, without following links, within limits.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Longest part of a file that is read: of a log its end.
const MAX_FILE: u64 = 16 << 20;
/// All that is read.
const MAX_ALL: u64 = 256 << 20;
/// Files and directories that are looked at.
const MAX_SEEN: usize = 100_000;
/// Directories within directories.
const MAX_DEPTH: usize = 16;
/// What the names of files have that tell of paths: commands, logs, attributes.
const NAMES: [&str; 14] = [
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
            ensure!(
                files.n_seen < MAX_SEEN,
                "{} has more than {MAX_SEEN} files: name a directory within it",
                root.display()
            );
            // Of the entry itself: what a link leads to is not the bundle's.
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            if kind.is_dir() && depth < MAX_DEPTH {
                open.push((entry.path(), depth + 1));
            } else if kind.is_file() {
                files.n_seen += 1;
                files.take(root, &entry.path());
            }
        }
    }
    files.read.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

impl Files {
    fn take(&mut self, root: &Path, path: &Path) {
        let name = path
            .strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string();
        if !is_wanted(&name) {
            return;
        }
        let text = match self.text(path) {
            Ok(text) => text,
            Err(error) => return self.notes.push(format!("cannot read {name}: {error:#}")),
        };
        // What is no text is of no form that is known.
        if !text.contains('\0') {
            self.read.push(File { name, text });
        }
    }

    fn text(&mut self, path: &Path) -> Result<String> {
        let mut file = fs::File::open(path)?;
        let length = file.metadata()?.len();
        let skipped = length.saturating_sub(MAX_FILE);
        if skipped > 0 {
            std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(skipped))?;
            let name = path.display();
            self.notes.push(format!(
                "only the last {} MiB of {name} are read",
                MAX_FILE >> 20
            ));
        }
        self.n_bytes += length.min(MAX_FILE);
        ensure!(
            self.n_bytes <= MAX_ALL,
            "more than {} MiB in all: it is left out",
            MAX_ALL >> 20
        );
        let mut bytes = Vec::new();
        file.take(MAX_FILE).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Whether a file may tell of paths, by its name.
fn is_wanted(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit('/').next().unwrap_or(&name);
    let is_packed = [".gz", ".xz", ".bz2", ".tar", ".conf"]
        .iter()
        .any(|it| last.ends_with(it));
    !is_packed && NAMES.iter().any(|wanted| last.contains(wanted))
}
