//! Lays out a plain table: columns as wide as their content, and as many of them as fit.

/// A column.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Header.
    pub(crate) title: &'static str,
    /// Text starts at the left edge; numbers end at the right one.
    pub(crate) left: bool,
    /// Columns with the highest number are left out first when the table is too wide; 0 stays.
    pub(crate) rank: u8,
}

/// A column of numbers.
pub(crate) const fn number(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        left: false,
        rank,
    }
}

/// A column of text.
pub(crate) const fn label(title: &'static str, rank: u8) -> Column {
    Column {
        title,
        left: true,
        rank,
    }
}

/// The table in at most `width` characters if leaving out columns allows it, each line indented.
/// Cells must be safe for a terminal. A row of one cell is a heading: it spans the table.
pub(crate) fn render(
    columns: &[Column],
    rows: &[Vec<String>],
    width: u16,
    indent: usize,
) -> String {
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| column_width(columns, rows, i))
        .collect();
    let (kept, gap) = fit(columns, &widths, usize::from(width).saturating_sub(indent));
    let mut out = String::new();
    let titles = columns.iter().map(|column| column.title);
    push_row(&mut out, columns, &widths, &kept, titles, (indent, gap));
    for row in rows {
        if let [heading] = row.as_slice() {
            out.extend(std::iter::repeat_n(' ', indent));
            out.push_str(heading);
            out.push('\n');
            continue;
        }
        let cells = row.iter().map(String::as_str);
        push_row(&mut out, columns, &widths, &kept, cells, (indent, gap));
    }
    out
}

/// Appends `text` as lines of at most `width` characters, indented by `indent` and, from the second
/// line on, two more. Breaks at blanks; a longer word stays whole.
pub(crate) fn push_wrapped(out: &mut String, text: &str, width: u16, indent: usize) {
    let mut column = 0;
    for word in text.split_whitespace() {
        let chars = word.chars().count();
        if column > 0 && column + 1 + chars > usize::from(width) {
            out.push('\n');
            column = indent + 2;
            out.extend(std::iter::repeat_n(' ', column));
        } else {
            let blanks = if column == 0 { indent } else { 1 };
            out.extend(std::iter::repeat_n(' ', blanks));
            column += blanks;
        }
        out.push_str(word);
        column += chars;
    }
    out.push('\n');
}

fn column_width(columns: &[Column], rows: &[Vec<String>], index: usize) -> usize {
    let title = columns
        .get(index)
        .map_or(0, |column| column.title.chars().count());
    let cells = rows
        .iter()
        .filter(|row| row.len() > 1)
        .filter_map(|row| row.get(index));
    let cells = cells.map(|cell| cell.chars().count());
    cells.max().unwrap_or(0).max(title)
}

/// Which columns stay, and how many blanks go between them.
fn fit(columns: &[Column], widths: &[usize], room: usize) -> (Vec<bool>, usize) {
    let mut kept = vec![true; columns.len()];
    loop {
        let used: usize = widths
            .iter()
            .zip(&kept)
            .filter(|(_, kept)| **kept)
            .map(|(w, _)| w)
            .sum();
        let gaps = kept.iter().filter(|kept| **kept).count().saturating_sub(1);
        for gap in [2, 1] {
            if used + gaps * gap <= room {
                return (kept, gap);
            }
        }
        let next = (0..columns.len()).filter(|i| kept[*i] && columns[*i].rank > 0);
        match next.max_by_key(|i| columns[*i].rank) {
            Some(index) => kept[index] = false,
            None => return (kept, 1),
        }
    }
}

fn push_row<'a>(
    out: &mut String,
    columns: &[Column],
    widths: &[usize],
    kept: &[bool],
    cells: impl Iterator<Item = &'a str>,
    (indent, gap): (usize, usize),
) {
    let start = out.len();
    let mut blanks = indent;
    for (index, cell) in cells
        .enumerate()
        .filter(|(index, _)| kept.get(*index) == Some(&true))
    {
        let fill = widths[index].saturating_sub(cell.chars().count());
        let (before, after) = if columns[index].left {
            (0, fill)
        } else {
            (fill, 0)
        };
        out.extend(std::iter::repeat_n(' ', blanks + before));
        out.push_str(cell);
        blanks = after + gap;
    }
    debug_assert!(!out[start..].contains('\n'), "a cell breaks the line");
    out.truncate(start + out[start..].trim_end_matches(' ').len());
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [label("path", 0), number("IOPS", 0), number("p99", 1)];

    fn rows() -> Vec<Vec<String>> {
        vec![
            vec!["3:0:0:1".into(), "12".into(), "87.2 µs".into()],
            vec!["3:0:0:10".into(), "12,345".into(), "–".into()],
        ]
    }

    #[test]
    fn columns_are_as_wide_as_their_content() {
        let expected = "  path        IOPS      p99\n  \
                        3:0:0:1       12  87.2 µs\n  \
                        3:0:0:10  12,345        –\n";
        assert_eq!(render(&COLUMNS, &rows(), 80, 2), expected);
    }

    #[test]
    fn blanks_shrink_before_columns_go() {
        assert!(render(&COLUMNS, &rows(), 23, 0).contains("3:0:0:1      12 87.2 µs\n"));
        assert!(!render(&COLUMNS, &rows(), 22, 0).contains("p99"));
        assert!(render(&COLUMNS, &rows(), 3, 0).contains("3:0:0:10 12,345\n"));
    }

    #[test]
    fn sentences_wrap_at_blanks() {
        let mut out = String::new();
        push_wrapped(&mut out, "one two three four", 9, 2);
        assert_eq!(out, "  one two\n    three\n    four\n");
        out.clear();
        push_wrapped(&mut out, "", 9, 2);
        assert_eq!(out, "\n");
    }
}
