//! What no lint checks: every source file says what it owns and is not too long, no kernel version
//! decides, and no module uses another than the table of them allows.

mod edges;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Names that only code which compares kernel versions has a use for.
const VERSION_COMPARISONS: [&str; 4] = [
    "KernelVersion",
    "LINUX_VERSION_CODE",
    "KERNEL_VERSION(",
    "kernel_version_code",
];

/// A file of more lines owns more than one thing.
const MOST_LINES: usize = 500;

/// Checks every source file below `root`.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    sources(root, &mut files)?;
    let mut findings = Vec::new();
    for file in &files {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file
            .strip_prefix(root)
            .unwrap_or(file)
            .display()
            .to_string();
        findings.extend(faults(&name, &text));
    }
    if findings.is_empty() {
        Ok(())
    } else {
        bail!("{}", findings.join("\n"))
    }
}

fn faults(name: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push(format!(
            "{name}: does not begin with `//!` and what the file owns"
        ));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        found.push(format!(
            "{name}: {lines} lines: part it by what it owns ({MOST_LINES} at most)"
        ));
    }
    found.extend(edges::faults(name, text));
    if name.starts_with("alua-trace") {
        for (number, line) in text.lines().enumerate() {
            if let Some(word) = VERSION_COMPARISONS
                .iter()
                .find(|word| line.contains(**word))
            {
                found.push(format!(
                    "{name}:{}: {word}: ask the kernel and try, do not compare its version",
                    number + 1
                ));
            }
        }
    }
    found
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    for entry in entries.flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_must_say_what_it_owns() {
        assert_eq!(faults("xtask/src/a.rs", "use std::fs;\n").len(), 1);
        assert!(faults("xtask/src/a.rs", "//! Owns a.\n").is_empty());
    }

    #[test]
    fn a_file_must_not_be_too_long() {
        let text = format!("//! Owns a.\n{}", "// x\n".repeat(MOST_LINES));
        assert_eq!(faults("xtask/src/a.rs", &text).len(), 1);
    }

    #[test]
    fn versions_are_not_compared_in_the_tool() {
        let text = "//! x\nif version >= KernelVersion::new(6, 1, 0) {}\n";
        assert!(faults("alua-trace/src/format.rs", text)[0].contains("format.rs:2"));
        assert!(faults("xtask/src/a.rs", text).is_empty());
    }

    #[test]
    fn built_and_hidden_directories_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["target", ".git", "src"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("bad.rs"), "fn x() {}").unwrap();
        }
        let error = check(dir.path()).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
