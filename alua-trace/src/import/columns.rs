//! Owns the reading of the tables that multipathd prints (libmultipath/print.c): a line that names
//! columns, and below it rows whose cells begin where the columns do.

/// Columns whose names are of two words or three: `host WWNN`, `vpd page data`.
const SECOND_WORDS: [(&str, &[&str]); 4] = [
    ("host", &["WWNN", "WWPN", "adapter"]),
    ("target", &["WWNN", "WWPN", "node"]),
    ("vpd", &["page data"]),
    ("LUN", &["hex"]),
];

/// A column: its name, and where it begins.
pub(super) type Column<'a> = (&'a str, usize);

/// Known columns for each that is not: releases to come have some more.
const KNOWN_PER_UNKNOWN: usize = 5;

/// The columns that a line names: two or more, known but for few, one of them a name of what the rows
/// are about.
pub(super) fn header<'a>(
    line: &'a str,
    is_known: impl Fn(&str) -> bool,
    names: &[&str],
) -> Option<Vec<Column<'a>>> {
    let mut columns = Vec::new();
    let mut at = 0;
    while let Some((column, end)) = next_name(line, at) {
        columns.push(column);
        at = end;
    }
    let known = columns.iter().filter(|(name, _)| is_known(name)).count();
    let unknown = columns.len() - known;
    let words = columns.iter();
    let words = words.filter(|(name, _)| name.starts_with(|c: char| c.is_ascii_alphabetic()));
    let named =
        words.count() == columns.len() && columns.iter().any(|(name, _)| names.contains(name));
    (known > 1 && known >= unknown * KNOWN_PER_UNKNOWN && named).then_some(columns)
}

/// The next name of a header from `at` on, and where it ends.
fn next_name(line: &str, at: usize) -> Option<(Column<'_>, usize)> {
    let rest = line.get(at..)?;
    let start = at + rest.len() - rest.trim_start().len();
    let name = line.get(start..)?;
    let mut end = name.find(char::is_whitespace).unwrap_or(name.len());
    let first = name.get(..end).filter(|name| !name.is_empty())?;
    let seconds = SECOND_WORDS.iter().find(|(known, _)| *known == first);
    let behind = name.get(end..).unwrap_or_default().trim_start_matches(' ');
    let second = seconds.and_then(|(_, all)| all.iter().find(|it| behind.starts_with(**it)));
    if let Some(second) = second {
        end = name.len() - behind.len() + second.len();
    }
    Some(((name.get(..end)?, start), start + end))
}

/// Cells by where the columns begin; `None` if words lie across a beginning.
pub(super) fn aligned<'a>(
    line: &'a str,
    columns: &[Column<'a>],
) -> Option<Vec<(&'a str, &'a str)>> {
    let begins = |at: usize| {
        let before = at
            .checked_sub(1)
            .map_or(" ", |it| line.get(it..at).unwrap_or(" "));
        before == " "
    };
    if !columns.iter().all(|(_, at)| begins(*at)) {
        return None;
    }
    let ends = columns.iter().skip(1).map(|(_, at)| *at);
    let ends = ends.chain([line.len()]);
    let cell = |((name, at), end): (&Column<'a>, usize)| {
        let text = line.get(*at..end.min(line.len())).unwrap_or_default();
        (*name, text.trim())
    };
    Some(columns.iter().zip(ends).map(cell).collect())
}

/// Cells word by word, for tables that lost their blanks: the columns up to the first that may be
/// empty or of several words, which are the `wide` ones.
pub(super) fn in_words<'a>(
    line: &'a str,
    columns: &[Column<'a>],
    wide: &[&str],
) -> Vec<(&'a str, &'a str)> {
    // Columns that are empty at the line's beginning.
    let blank = |at: usize| line.get(..at).is_some_and(|lead| lead.trim().is_empty());
    let ends = columns.iter().skip(1).map(|(_, at)| *at);
    let first = ends.take_while(|end| blank(*end)).count();
    let plain = columns.iter().skip(first);
    // The first may be wide: it has no blanks, mostly.
    plain
        .enumerate()
        .take_while(|(nth, (name, _))| *nth == 0 || !wide.contains(name))
        .map(|(_, column)| column)
        .map(|(name, _)| *name)
        .zip(line.split_whitespace())
        .collect()
}
