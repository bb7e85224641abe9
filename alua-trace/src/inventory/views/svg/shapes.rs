//! Owns the shapes that the picture is made of, and how words from outside become text of it.

use std::fmt::Write;

use crate::safe;

/// Width of a character, a little more than fonts make it.
pub(super) const CHAR: u32 = 8;
/// Between a box and its words.
pub(super) const PADDING: u32 = 10;

/// Where boxes are, from left to right.
pub(super) struct Column {
    pub(super) x: u32,
    pub(super) width: u32,
}

impl Column {
    pub(super) const fn end(&self) -> u32 {
        self.x + self.width
    }

    pub(super) const fn middle(&self) -> u32 {
        self.x + self.width / 2
    }

    /// Characters that fit.
    pub(super) const fn chars(&self) -> u32 {
        (self.width - 2 * PADDING) / CHAR
    }
}

pub(super) fn rect(
    out: &mut String,
    class: &str,
    column: &Column,
    y: u32,
    height: u32,
    round: u32,
) {
    let Column { x, width } = column;
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
    );
}

pub(super) fn text(out: &mut String, class: &str, x: u32, y: u32, words: &str) {
    anchored(out, class, "start", x, y, words);
}

pub(super) fn middle_text(out: &mut String, class: &str, x: u32, y: u32, words: &str) {
    anchored(out, class, "middle", x, y, words);
}

pub(super) fn end_text(out: &mut String, class: &str, x: u32, y: u32, words: &str) {
    anchored(out, class, "end", x, y, words);
}

fn anchored(out: &mut String, class: &str, anchor: &str, x: u32, y: u32, words: &str) {
    if words.is_empty() {
        return;
    }
    let words = safe::xml(words);
    let _ = writeln!(
        out,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x}\" y=\"{y}\">{words}</text>"
    );
}

/// As much as has room for `chars` characters, made safe. What is not ASCII may be twice as wide.
pub(super) fn fit(words: &str, chars: u32) -> String {
    let room = usize::try_from(chars).unwrap_or_default();
    let words = safe::text(words, room);
    let width = |c: char| if c.is_ascii() || c == '…' { 1 } else { 2 };
    if words.chars().map(width).sum::<usize>() <= room {
        return words;
    }
    let mut left = room.saturating_sub(1);
    let mut fitting: String = words
        .chars()
        .take_while(|c| {
            let fits = width(*c) <= left;
            left = left.saturating_sub(width(*c));
            fits
        })
        .collect();
    fitting.push('…');
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_their_boxes() {
        assert_eq!(fit("short", 5), "short");
        assert_eq!(fit("longer", 5), "long…");
        assert_eq!(fit("日本語日本語", 6), "日本…");
        assert_eq!(fit("é", 1), "…");
    }
}
