//! Which module of the tool may use which: the table behind the drawing in `docs/architecture.md`.

use std::collections::BTreeSet;

/// Modules from the bottom up, with what each may use. All of it stands above it in this table, so
/// that there is no circle.
const ROOMS: [(&str, &[&str]); 40] = [
    ("clock", &[]),
    ("sysroot", &[]),
    ("scsi", &[]),
    ("format", &[]),
    ("safe", &[]),
    ("cli", &[]),
    ("inference", &[]),
    ("model", &["format"]),
    ("json", &["model", "safe"]),
    ("out", &["cli", "json"]),
    ("stats", &["model"]),
    ("ingest", &["stats"]),
    ("gates", &["cli", "format", "model", "safe", "stats"]),
    ("iscsi", &["sysroot"]),
    ("topology", &["scsi", "sysroot"]),
    ("kernel", &["ingest", "model", "sysroot"]),
    (
        "engine",
        &[
            "format", "ingest", "iscsi", "model", "scsi", "stats", "topology",
        ],
    ),
    ("inventory", &["cli", "json", "safe", "scsi"]),
    ("decode", &["cli", "json", "safe", "scsi"]),
    ("multipath_conf", &["inventory", "scsi", "sysroot"]),
    ("report", &["format", "model", "multipath_conf", "safe"]),
    ("live", &["format", "model", "report", "safe"]),
    ("sinks", &["json", "live", "model", "report"]),
    (
        "metrics",
        &[
            "cli", "clock", "model", "report", "safe", "sinks", "stats", "sysroot",
        ],
    ),
    (
        "import",
        &[
            "cli",
            "decode",
            "inventory",
            "json",
            "live",
            "multipath_conf",
            "report",
            "safe",
            "scsi",
            "topology",
        ],
    ),
    (
        "paths",
        &[
            "cli",
            "inventory",
            "iscsi",
            "live",
            "safe",
            "scsi",
            "sysroot",
            "topology",
        ],
    ),
    (
        "setup",
        &[
            "inventory",
            "multipath_conf",
            "paths",
            "sysroot",
            "topology",
        ],
    ),
    (
        "record",
        &[
            "clock", "engine", "iscsi", "model", "setup", "sinks", "stats", "topology",
        ],
    ),
    (
        "alerts",
        &["cli", "gates", "model", "record", "report", "safe", "sinks"],
    ),
    (
        "replay",
        &[
            "cli", "engine", "gates", "json", "model", "record", "safe", "setup", "sinks",
            "topology",
        ],
    ),
    (
        "evidence",
        &[
            "engine", "format", "model", "record", "replay", "report", "setup", "stats",
        ],
    ),
    (
        "page",
        &[
            "cli", "evidence", "format", "gates", "live", "model", "out", "record", "replay",
            "report", "safe", "setup", "stats",
        ],
    ),
    (
        "comparison",
        &[
            "cli",
            "evidence",
            "format",
            "gates",
            "inference",
            "model",
            "out",
            "record",
            "safe",
            "setup",
            "stats",
        ],
    ),
    (
        "export",
        &[
            "cli", "engine", "evidence", "format", "model", "record", "replay", "report", "safe",
            "scsi", "stats",
        ],
    ),
    (
        "trace",
        &[
            "cli", "clock", "engine", "format", "gates", "ingest", "iscsi", "kernel", "live",
            "metrics", "model", "record", "safe", "setup", "sinks", "stats", "sysroot", "topology",
        ],
    ),
    (
        "gain",
        &[
            "cli",
            "format",
            "inference",
            "model",
            "out",
            "replay",
            "safe",
            "scsi",
            "trace",
        ],
    ),
    (
        "experiment",
        &[
            "cli",
            "comparison",
            "format",
            "gates",
            "inference",
            "model",
            "out",
            "page",
            "safe",
            "stats",
            "trace",
        ],
    ),
    (
        "doctor",
        &[
            "cli",
            "inventory",
            "json",
            "kernel",
            "live",
            "model",
            "multipath_conf",
            "paths",
            "report",
            "sysroot",
            "topology",
            "trace",
        ],
    ),
    (
        "watch",
        &[
            "alerts", "cli", "clock", "model", "record", "safe", "sinks", "sysroot", "trace",
        ],
    ),
    ("lib", &[]),
];

/// What is wrong with the modules that a file of the tool uses.
pub(super) fn faults(name: &str, text: &str) -> Vec<String> {
    let Some(module) = module_of(name) else {
        return Vec::new();
    };
    let Some((_, allowed)) = ROOMS.iter().find(|(room, _)| *room == module) else {
        return vec![format!(
            "{name}: {module} has no place in tidy's table of modules"
        )];
    };
    used(text)
        .into_iter()
        .filter(|other| *other != module && !allowed.contains(other))
        .map(|other| format!("{name}: {module} may not use {other} (xtask/src/tidy/edges.rs)"))
        .collect()
}

/// The module of the tool that a file is part of; none for tests and for what is no part of it.
fn module_of(name: &str) -> Option<&str> {
    let inside = name.strip_prefix("alua-trace/src/")?;
    let is_test = inside.contains("/tests/") || inside.ends_with("tests.rs");
    let module = inside.split('/').next()?.trim_end_matches(".rs");
    // The binary names the library; what tests are given is no module's.
    (!is_test && module != "main" && !inside.ends_with("samples.rs")).then_some(module)
}

/// Modules named behind `crate::`, in braces too, before the tests.
fn used(text: &str) -> BTreeSet<&str> {
    let text = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let mut found = BTreeSet::new();
    for (at, path) in text.match_indices("crate::") {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|it| it.is_alphanumeric() || it == '_') {
            continue;
        }
        let rest = &text[at + path.len()..];
        match rest.strip_prefix('{') {
            Some(group) => found.extend(heads(group)),
            None => found.extend(word(rest)),
        }
    }
    found
}

/// The first word of each path of a group, until its brace is closed.
fn heads(group: &str) -> Vec<&str> {
    let (mut depth, mut found, mut is_head) = (1, Vec::new(), true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' => is_head = true,
            _ if character.is_whitespace() => {}
            _ => {
                if is_head && depth == 1 {
                    found.extend(word(&group[at..]));
                }
                is_head = false;
            }
        }
        if depth == 0 {
            break;
        }
    }
    found
}

fn word(text: &str) -> Option<&str> {
    let end = text.find(|it: char| !it.is_alphanumeric() && it != '_');
    let word = &text[..end.unwrap_or(text.len())];
    // Types and macros at the crate's root are no modules.
    word.starts_with(|it: char| it.is_ascii_lowercase())
        .then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_uses_stands_above_it() {
        for (at, (room, allowed)) in ROOMS.iter().enumerate() {
            for other in *allowed {
                let above = ROOMS[..at].iter().any(|(it, _)| it == other);
                assert!(above, "{room} uses {other}");
            }
        }
    }

    #[test]
    fn an_edge_that_is_not_in_the_table_is_named() {
        let text = "//! x\nuse crate::{\n    model::{self, report},\n    report::safe,\n};\n";
        let found = faults("alua-trace/src/engine/paths.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("engine may not use report"));
        let fine = "use crate::model::Line;\nuse crate::engine::flags;\n";
        assert!(faults("alua-trace/src/engine/paths.rs", fine).is_empty());
        assert!(faults("alua-trace/src/engine/tests/mod.rs", text).is_empty());
        assert!(faults("xtask/src/main.rs", text).is_empty());
        let in_tests = "fn a() {}\n#[cfg(test)]\nmod tests {\n    use crate::report::samples;\n}\n";
        assert!(faults("alua-trace/src/engine/paths.rs", in_tests).is_empty());
        assert_eq!(faults("alua-trace/src/new.rs", "").len(), 1);
    }
}
