//! Owns the regular expressions of `vendor`, `product` and `revision`: POSIX extended, case
//! sensitive, not anchored (libmultipath/config.c `hwe_regmatch`).

use regex_lite::{Regex, RegexBuilder};

/// Longest expression that is tried; the longest in the built-in table has 70 characters.
const MAX_CHARS: usize = 512;
/// Size of a compiled expression, in bytes.
const MAX_COMPILED: usize = 64 * 1024;

/// A regular expression as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// Its text.
    pub text: String,
    /// Why it is none.
    pub error: Option<String>,
}

impl Pattern {
    /// Reads an expression. It is compiled again for each match, so that a table of thousands
    /// keeps no more than its text.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            error: compile(text).err(),
        }
    }

    /// Whether it is found in `text`; one that is no expression never is.
    pub fn is_found_in(&self, text: &str) -> bool {
        compile(&self.text).is_ok_and(|regex| regex.is_match(text))
    }
}

fn compile(text: &str) -> Result<Regex, String> {
    if text.chars().count() > MAX_CHARS {
        return Err(format!("longer than {MAX_CHARS} characters"));
    }
    let unfounded = |c: char| matches!(c, '*' | '+' | '?' | '{');
    if text.trim_start_matches(['^', '(']).starts_with(unfounded) {
        return Err("there is nothing to repeat".to_owned());
    }
    RegexBuilder::new(&translated(text))
        .size_limit(MAX_COMPILED)
        .build()
        .map_err(|error| error.to_string())
}

/// The expression in the words of `regex_lite`, which reads brackets otherwise: in POSIX a
/// backslash in them is itself, and sets are not nested.
fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut brackets = Brackets::Outside;
    while let Some(c) = chars.next() {
        match (brackets, c) {
            (Brackets::Outside, '\\') => {
                out.push(c);
                out.extend(chars.next());
            }
            (Brackets::Outside, '[') => {
                out.push(c);
                out.extend(chars.next_if_eq(&'^'));
                if chars.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
                brackets = Brackets::Inside;
            }
            (Brackets::Inside, '[') if chars.peek() == Some(&':') => {
                out.push(c);
                brackets = Brackets::Class;
            }
            (Brackets::Inside, '\\' | '[' | '&' | '~') => out.extend(['\\', c]),
            (Brackets::Inside | Brackets::Class, ']') => {
                out.push(c);
                brackets = match brackets {
                    Brackets::Class => Brackets::Inside,
                    _ => Brackets::Outside,
                };
            }
            _ => out.push(c),
        }
    }
    out
}

/// Where in an expression.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Brackets {
    Outside,
    Inside,
    /// In `[:alpha:]`.
    Class,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_posix_extended_expressions_do() {
        for (pattern, text, expected) in [
            ("DELL", "DELL", true),
            ("bar", "rhabarber", true),
            ("bar", "Barbie", false),
            ("^MD3", "MD36xxi", true),
            ("^MD3", "XMD3", false),
            ("MD36xx(i|f)", "MD36xxf", true),
            ("MD36xx(i|f)", "MD36xxs", false),
            ("^(RAID|DISK|VRAID)", "VRAID", true),
            ("^DD[46]A-", "DD4A-1", true),
            ("LUN$", "LUN C-Mode", false),
            (".*", "", true),
            ("[[:digit:]]+i", "36i", true),
            ("[[:digit:]]+i", "xi", false),
            ("[]x]y", "]y", true),
            ("[^]x]y", "]y", false),
            ("[\\]", "\\", true),
            ("[a&&b]", "&", true),
            ("[[]", "[", true),
            ("a\\.b", "axb", false),
            ("a{2}", "caab", true),
        ] {
            let pattern = Pattern::new(pattern);
            assert_eq!(pattern.error, None, "{pattern:?}");
            assert_eq!(pattern.is_found_in(text), expected, "{pattern:?} in {text}");
        }
    }

    #[test]
    fn what_is_no_expression_says_so_and_matches_nothing() {
        for text in [
            "*",
            "+",
            "^*",
            "(*a)",
            "?x",
            "{",
            "(",
            "[a",
            "a|*",
            &"a".repeat(600),
        ] {
            let pattern = Pattern::new(text);
            assert!(pattern.error.is_some(), "{text}");
            assert!(
                !pattern.is_found_in("a") && !pattern.is_found_in(text),
                "{text}"
            );
        }
    }
}
