//! Owns texts that hold what several tools printed, one after the other, as people paste them and as
//! `multipath -v3` prints: each tool's lines are read by themselves, and what they tell is joined.

use anyhow::Result;

use super::join::Joined;
use super::{Imported, clean, detect, multipath_ll, parse_kind};
use crate::cli::ImportKind;

/// What each of several tools printed in `text`; `None` when one tool printed all of it.
///
/// # Errors
/// Nothing of it is understood.
pub(super) fn parse(text: &str) -> Option<Result<Imported>> {
    let parts = parts(text);
    if parts.len() < 2 {
        return None;
    }
    let (mut joined, mut failures) = (Joined::default(), Vec::new());
    let mut n_read = 0;
    for (kind, text) in parts {
        let name = detect::name(kind);
        match parse_kind(kind, &text) {
            Ok(imported) => {
                n_read += 1;
                joined.add(&name, imported);
            }
            Err(error) => failures.push((name, error)),
        }
    }
    if n_read == 0 {
        return failures.into_iter().next().map(|(_, error)| Err(error));
    }
    let mut imported = joined.finish();
    let notes = failures.iter();
    let notes = notes.map(|(name, error)| format!("{name}: {}", error.root_cause()));
    imported.inventory.notes.extend(notes);
    Some(Ok(imported))
}

/// The lines of each kind, in the order in which kinds are met.
fn parts(text: &str) -> Vec<(ImportKind, String)> {
    if text.trim_start().starts_with('{') {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    // Where lines of another kind begin.
    let mut begins: Vec<(usize, ImportKind)> = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let before = begins.last().map(|(_, kind)| *kind);
        let known = detect::kind_of_line(line).filter(|kind| !belongs(&lines, at, *kind, before));
        if let Some(kind) = known.filter(|kind| before != Some(*kind)) {
            let floor = begins.last().map_or(0, |(at, _)| *at + 1);
            begins.push((beginning(&lines, at, kind, floor), kind));
        }
    }
    let mut parts: Vec<(ImportKind, String)> = Vec::new();
    for (nth, (begin, kind)) in begins.iter().enumerate() {
        // What is before the first is the first's.
        let begin = if nth == 0 { 0 } else { *begin };
        let end = begins.get(nth + 1).map_or(lines.len(), |(at, _)| *at);
        let mut own = lines.get(begin..end).unwrap_or_default().join("\n");
        own.push('\n');
        match parts.iter_mut().find(|(known, _)| known == kind) {
            Some((_, text)) => text.push_str(&own),
            None => parts.push((*kind, own)),
        }
    }
    parts
}

/// Whether a line that looks like one of `kind` belongs to what is before it.
fn belongs(lines: &[&str], at: usize, kind: ImportKind, before: Option<ImportKind>) -> bool {
    let line_before = at.checked_sub(1).and_then(|at| lines.get(at));
    match (before, kind) {
        // A row of a table looks like a path of a map.
        (Some(_), ImportKind::MultipathLl) => lines
            .get(at)
            .is_some_and(|line| multipath_ll::is_path(line)),
        // The lists of paths name the device, too.
        (Some(ImportKind::EsxcliPaths), ImportKind::EsxcliNmp) => {
            line_before.is_some_and(|line| line.trim().starts_with("Device:"))
        }
        // A log within a log: multipathd's lines are of both.
        (Some(ImportKind::KernelLog), ImportKind::ShowPaths) => true,
        // Sections of a configuration name what they are of.
        (Some(ImportKind::MultipathConf), ImportKind::Multipathd) => true,
        _ => false,
    }
}

/// Where the lines of a kind begin whose first known one is `at`: with the command that printed them,
/// and with what stands above them.
fn beginning(lines: &[&str], at: usize, kind: ImportKind, floor: usize) -> usize {
    let stands_above = |line: &str| match kind {
        ImportKind::MultipathLl => multipath_ll::is_heading(line),
        ImportKind::EsxcliNmp | ImportKind::EsxcliPaths => {
            !line.trim().is_empty() && detect::kind_of_line(line).is_none()
        }
        _ => false,
    };
    let above = |at: usize| at.checked_sub(1).filter(|above| *above >= floor);
    let mut begin = at;
    if let Some(line) = above(begin)
        && stands_above(lines[line])
    {
        begin = line;
    }
    while let Some(line) = above(begin)
        && clean::is_command(lines[line])
    {
        begin = line;
    }
    begin
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(ImportKind, usize)> {
        let parts = parts(text).into_iter();
        parts
            .map(|(kind, text)| (kind, text.lines().count()))
            .collect()
    }

    const TABLE: &str = "Oct 28 14:02:44 | sdb: vendor = IET\n\
===== paths list =====\n\
uuid hcil    dev dev_t pri dm_st chk_st vend/prod/rev       dev_st\n     \
3:0:0:1 sdb 8:16  -1  undef ready  IET,VIRTUAL-DISK    running\n";
    const LIST: &str = "mpathg (36f01faf000da36) dm-2 DELL,MD36xxi\n\
size=54T features='3 queue_if_no_path pg_init_retries 50' hwhandler='1 rdac' wp=rw\n\
`-+- policy='round-robin 0' prio=0 status=active\n  `- 3:0:0:1 sdb 8:16   active ready running\n";

    #[test]
    fn the_maps_behind_the_table_of_verbose_multipath_are_read() {
        let text = format!("{TABLE}Oct 28 14:02:44 | *word = 0, len = 1\n{LIST}");
        assert_eq!(
            kinds(&text),
            [(ImportKind::ShowPaths, 5), (ImportKind::MultipathLl, 4)]
        );
        let imported = parse(&text).unwrap().unwrap();
        let [map] = &imported.inventory.maps[..] else {
            panic!("{imported:?}")
        };
        assert_eq!(
            (map.name.as_str(), map.handler.as_deref()),
            ("mpathg", Some("rdac"))
        );
        let path = map.paths().next().unwrap();
        assert_eq!(
            (path.address.as_str(), path.vendor.as_deref()),
            ("3:0:0:1", Some("IET"))
        );
        assert!(imported.inventory.unmapped.is_empty());
    }

    #[test]
    fn one_tool_s_text_is_none() {
        assert!(parse(LIST).is_none());
        assert!(parse(TABLE).is_none());
        assert!(parse("nothing known\n").is_none());
    }

    #[test]
    fn commands_and_headings_go_with_what_is_below_them() {
        let text = format!(
            "# lsscsi\n[3:0:0:1]    disk    IET      VIRTUAL-DISK     0001  /dev/sdb\n\n\
             # multipath -ll\n{LIST}# dmsetup table\n\
             mpathg: 0 2097152 multipath 0 1 rdac 1 1 round-robin 0 1 1 8:16 1\n"
        );
        assert_eq!(
            kinds(&text),
            [
                (ImportKind::Lsscsi, 3),
                (ImportKind::MultipathLl, 5),
                (ImportKind::Dmsetup, 2)
            ]
        );
        let imported = parse(&text).unwrap().unwrap();
        assert_eq!(imported.inventory.maps.len(), 1);
        assert_eq!(imported.inventory.notes, [] as [String; 0]);
    }
}
