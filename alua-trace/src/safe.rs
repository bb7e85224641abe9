//! Makes strings safe for a terminal. Names, INQUIRY data and command lines come from devices and
//! users; printed raw they could move the cursor, change colours or reorder the text around them.
//! Everything that is printed goes through here.

use std::ffi::OsStr;
use std::fmt::Write;

/// Longest name (map, device, WWID) that is printed, in characters.
pub const NAME_CHARS: usize = 64;
/// Longest sentence that is printed, in characters.
pub const TEXT_CHARS: usize = 400;

/// Whether a character may change how other text is shown, or is not shown itself: C0, DEL, C1,
/// bidirectional controls, zero-width and other format characters, line separators.
pub fn is_unsafe(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Appends `text` to `out`, with unsafe characters escaped as `\x1b` or `\u{202e}`, and no more
/// than `max_chars` characters; the last one is `…` when something was cut.
pub fn push(out: &mut String, text: &str, max_chars: usize) {
    let plain = text.len() <= max_chars && text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if plain {
        out.push_str(text);
        return;
    }
    let mut room = max_chars;
    // Where to cut back to if the rest does not fit: always leaves room for the `…`.
    let mut cut = out.len();
    for c in text.chars() {
        let start = out.len();
        let used = push_char(out, c);
        if used > room {
            out.truncate(cut);
            if max_chars > 0 {
                out.push('…');
            }
            return;
        }
        room -= used;
        if room > 0 {
            cut = out.len();
        } else if used > 1 {
            cut = start;
        }
    }
}

/// Appends one character, escaped if need be, and says how many characters that took.
fn push_char(out: &mut String, c: char) -> usize {
    if !is_unsafe(c) {
        out.push(c);
        return 1;
    }
    let before = out.len();
    let code = u32::from(c);
    // Writing to a String cannot fail.
    let _ = if code < 0x100 {
        write!(out, "\\x{code:02x}")
    } else {
        write!(out, "\\u{{{code:x}}}")
    };
    out.len() - before
}

/// `text` safe for a terminal, at most `max_chars` long.
pub fn text(text: &str, max_chars: usize) -> String {
    let mut out = String::with_capacity(text.len().min(max_chars));
    push(&mut out, text, max_chars);
    out
}

/// A name safe for a terminal.
pub fn name(name: &str) -> String {
    text(name, NAME_CHARS)
}

/// A sentence safe for a terminal.
pub fn sentence(sentence: &str) -> String {
    text(sentence, TEXT_CHARS)
}

/// An argument or file name safe for a terminal; bytes that are no UTF-8 become U+FFFD.
pub fn os(value: &OsStr) -> String {
    sentence(&value.to_string_lossy())
}

/// For text and attributes of XML; what XML cannot have at all is replaced.
pub fn xml(words: &str) -> String {
    let mut out = String::with_capacity(words.len());
    for c in words.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn plain_names_stay_as_they_are() {
        assert_eq!(name("mpatha"), "mpatha");
        assert_eq!(name("naa.600a0b80-é"), "naa.600a0b80-é");
        assert_eq!(name("87.2 µs → 1 ms …"), "87.2 µs → 1 ms …");
    }

    #[test]
    fn escape_sequences_are_written_out() {
        assert_eq!(name("a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(name("a\u{9b}31m\n\t\x7f"), "a\\x9b31m\\x0a\\x09\\x7f");
        assert_eq!(name("a\u{202e}b\u{200b}"), "a\\u{202e}b\\u{200b}");
    }

    #[test]
    fn bytes_that_are_no_utf8_become_replacement_characters() {
        assert_eq!(os(OsStr::from_bytes(b"fio\xff\x1b")), "fio\u{fffd}\\x1b");
    }

    #[test]
    fn long_text_is_cut_and_says_so() {
        assert_eq!(text("abcdef", 6), "abcdef");
        assert_eq!(text("abcdef", 5), "abcd…");
        assert_eq!(text("äbcdef", 1), "…");
        assert_eq!(text("abcdef", 0), "");
        assert_eq!(text("ab\x1b", 6), "ab\\x1b");
        assert_eq!(text("ab\x1b", 5), "ab…");
        assert_eq!(text("ab\x1bc", 6), "ab…");
    }

    #[test]
    fn no_unsafe_character_ever_gets_through_and_length_is_bounded() {
        for code in 0..=0x0010_ffff_u32 {
            let Some(c) = char::from_u32(code) else {
                continue;
            };
            let shown = text(&format!("{c}{c}x"), 40);
            assert!(
                !shown.chars().any(|c| c.is_control() || is_unsafe(c)),
                "{code:x}"
            );
        }
        let hostile: String = (0..300).filter_map(char::from_u32).collect();
        for max in 0..80 {
            assert!(text(&hostile, max).chars().count() <= max, "{max}");
        }
    }
}
