//! Owns the account of lines that were not understood: how many, and the first.

use crate::safe;

/// Longest part of a line that is quoted, in characters.
const QUOTE_CHARS: usize = 80;

/// Lines of one sort.
#[derive(Debug, Default)]
pub(super) struct Leftover<'a> {
    count: usize,
    first: Option<(usize, &'a str)>,
}

impl<'a> Leftover<'a> {
    /// One more; `nth` counts from 0.
    pub(super) fn add(&mut self, nth: usize, line: &'a str) {
        self.count += 1;
        self.first.get_or_insert((nth, line));
    }

    /// `what` has happened to them, with their number before it and the first of them behind it;
    /// `None` if there are none.
    pub(super) fn note(&self, what: &str) -> Option<String> {
        let (nth, line) = self.first?;
        let (count, lines) = (self.count, if self.count == 1 { "line" } else { "lines" });
        let quoted = safe::text(line.trim(), QUOTE_CHARS);
        Some(format!(
            "{count} {lines} {what}, the first is line {}: {quoted}",
            nth + 1
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_is_quoted_and_made_safe() {
        let mut left = Leftover::default();
        assert_eq!(left.note("not understood"), None);
        left.add(6, "  a\x1b[2Jb ");
        assert_eq!(
            left.note("not understood").unwrap(),
            "1 line not understood, the first is line 7: a\\x1b[2Jb"
        );
        left.add(9, "other");
        assert!(
            left.note("left out")
                .unwrap()
                .starts_with("2 lines left out, the first is line 7:")
        );
    }
}
