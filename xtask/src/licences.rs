//! Whether everything that is built may be: licence expressions of all dependencies against the
//! list in `deny.toml` (which cargo-deny reads as well).

use std::fs;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::paths::Paths;
use crate::say;
use crate::toolchain::cargo;

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    /// Where it came from; a crate of this workspace came from nowhere.
    source: Option<String>,
}

/// Fails with the packages that are not allowed.
pub(crate) fn check(paths: &Paths) -> Result<()> {
    let deny = paths.root.join("deny.toml");
    let text =
        fs::read_to_string(&deny).with_context(|| format!("cannot read {}", deny.display()))?;
    let allowed = allowed(&text);
    let mut command = std::process::Command::new(cargo());
    command
        .current_dir(&paths.root)
        .args(["metadata", "--format-version", "1"]);
    let metadata: Metadata = serde_json::from_str(&say::output(&mut command)?)
        .context("cannot read what cargo metadata says")?;
    let refused = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_some())
        .filter(|package| {
            !package
                .license
                .as_ref()
                .is_some_and(|e| satisfied(e, &allowed))
        })
        .map(|package| {
            let licence = package.license.as_deref().unwrap_or("no licence");
            format!("{} {}: {licence}", package.name, package.version)
        })
        .collect::<Vec<_>>();
    if !refused.is_empty() {
        bail!("not allowed by {}:\n{}", deny.display(), refused.join("\n"));
    }
    say::note(&format!("{} packages", metadata.packages.len()));
    Ok(())
}

/// The strings of `allow = [...]` in the section `[licenses]`.
fn allowed(toml: &str) -> Vec<String> {
    let section = toml.split("[licenses]").nth(1).unwrap_or_default();
    let list = section
        .split("allow = [")
        .nth(1)
        .and_then(|rest| rest.split(']').next());
    let lines = list
        .unwrap_or_default()
        .lines()
        .map(|line| line.split('#').next().unwrap_or(""));
    let quoted = |line: &str| {
        line.split('"')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    lines
        .flat_map(|line| -> Vec<String> { quoted(line) })
        .collect()
}

/// Whether an SPDX expression can be met with what is allowed.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words = spaced.split_whitespace().collect::<Vec<_>>();
    let mut rest = words.as_slice();
    let result = alternatives(&mut rest, allowed);
    result && rest.is_empty()
}

fn alternatives(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut result = requirements(words, allowed);
    while let ["OR", rest @ ..] = words {
        *words = rest;
        result |= requirements(words, allowed);
    }
    result
}

fn requirements(words: &mut &[&str], allowed: &[String]) -> bool {
    let mut result = single(words, allowed);
    while let ["AND", rest @ ..] = words {
        *words = rest;
        result &= single(words, allowed);
    }
    result
}

fn single(words: &mut &[&str], allowed: &[String]) -> bool {
    match words {
        ["(", rest @ ..] => {
            *words = rest;
            let result = alternatives(words, allowed);
            match words {
                [")", rest @ ..] => {
                    *words = rest;
                    result
                }
                _ => false,
            }
        }
        [name, "WITH", exception, rest @ ..] => {
            let whole = format!("{name} WITH {exception}");
            *words = rest;
            allowed.contains(&whole)
        }
        [name, rest @ ..] => {
            let name = (*name).to_owned();
            *words = rest;
            allowed.contains(&name)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn expressions() {
        let allowed = list(&["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"]);
        for good in [
            "MIT",
            "MIT OR GPL-3.0-only",
            "MIT/Apache-2.0",
            "(MIT OR Zlib) AND Apache-2.0",
            "GPL-3.0-only OR Apache-2.0 WITH LLVM-exception",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in [
            "GPL-3.0-only",
            "MIT AND Zlib",
            "(MIT OR Zlib",
            "",
            "MIT MIT",
            "MIT WITH x",
        ] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn the_list_is_read_from_its_section() {
        let toml =
            "[bans]\nallow = [\"no\"]\n[licenses]\nallow = [\n  \"MIT\", # \"x\"\n  \"Zlib\",\n]\n";
        assert_eq!(allowed(toml), ["MIT", "Zlib"]);
    }
}
