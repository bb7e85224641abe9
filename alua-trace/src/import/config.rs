//! Owns how a configuration of multipath is recognised: a file, or what multipathd runs with.

use anyhow::{Result, ensure};

use super::Imported;

/// What a configuration is called that has no name of its own.
pub(super) const INPUT: &str = "input";
/// Sections that a configuration begins with.
const SECTIONS: [&str; 8] = [
    "defaults",
    "blacklist",
    "blacklist_exceptions",
    "devices",
    "device",
    "multipaths",
    "multipath",
    "overrides",
];

/// Whether a line begins a section.
pub(super) fn is_line(line: &str) -> bool {
    let Some(name) = line.trim().strip_suffix('{') else {
        return false;
    };
    SECTIONS.contains(&name.trim())
}

/// The text, to be judged when all is known.
///
/// # Errors
/// There is no section in it.
pub(super) fn parse(text: &str) -> Result<Imported> {
    ensure!(text.lines().any(is_line), "there is no section in it");
    Ok(Imported {
        configuration: vec![(INPUT.to_owned(), text.to_owned())],
        ..Imported::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sections_are_taken_for_some() {
        assert!(is_line("defaults {") && is_line("\tdevice{"));
        assert!(!is_line("{") && !is_line("struct device {") && !is_line("defaults"));
    }
}
