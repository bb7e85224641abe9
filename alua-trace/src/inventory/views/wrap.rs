//! Owns how a list of items becomes lines that fit a terminal.

/// Appends items with commas between them, in lines of at most `columns` characters: broken between
/// items, and within those that are longer than a line, between words.
pub(super) fn push_wrapped(
    out: &mut String,
    items: &[String],
    first: &str,
    next: &str,
    columns: usize,
) {
    if items.is_empty() {
        return;
    }
    out.push_str(first);
    let mut used = first.chars().count();
    let indent = next.chars().count();
    let break_line = |out: &mut String| {
        trim_end(out);
        out.push('\n');
        out.push_str(next);
        indent
    };
    for (nth, item) in items.iter().enumerate() {
        let comma = if nth + 1 < items.len() { ", " } else { "" };
        let item = format!("{item}{comma}");
        if nth > 0 && used + width(&item) > columns {
            used = break_line(out);
        }
        // Words keep the blanks behind them: columns keep their widths.
        for (nth, word) in item.split_inclusive(' ').enumerate() {
            if nth > 0 && used + width(word) > columns {
                used = break_line(out);
            }
            out.push_str(word);
            used += word.chars().count();
        }
    }
    trim_end(out);
    out.push('\n');
}

/// Characters of a text without the blanks at its end.
fn width(text: &str) -> usize {
    text.trim_end().chars().count()
}

fn trim_end(out: &mut String) {
    out.truncate(out.trim_end_matches(' ').len());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapped(items: &[&str], columns: usize) -> String {
        let items: Vec<String> = items.iter().map(ToString::to_string).collect();
        let mut out = String::new();
        push_wrapped(&mut out, &items, "- ", "  ", columns);
        out
    }

    #[test]
    fn lines_break_between_items_first() {
        assert_eq!(wrapped(&["a b", "c d"], 10), "- a b, c d\n");
        assert_eq!(wrapped(&["a b", "c d"], 9), "- a b,\n  c d\n");
    }

    #[test]
    fn an_item_longer_than_a_line_breaks_between_words() {
        assert_eq!(wrapped(&["a", "bb cc dd"], 8), "- a,\n  bb cc\n  dd\n");
        assert_eq!(wrapped(&["abcdefghijkl"], 8), "- abcdefghijkl\n");
        assert_eq!(wrapped(&[], 8), "");
    }
}
