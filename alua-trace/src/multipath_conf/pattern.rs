//! Owns the regular expressions of multipath.conf: POSIX extended, case sensitive, not anchored, as
//! the C library compiles them (libmultipath/config.c `hwe_regmatch`, blacklist.c `store_ble`): the
//! library that multipath-tools use decides what is an expression.

use std::ffi::{CStr, CString, c_char, c_int};
use std::mem::MaybeUninit;

/// Longest expression that is tried, in bytes; the longest in the built-in table has 70.
const MAX_BYTES: usize = 512;
/// Most atoms that an expression has once its repetitions are written out, which is what the C
/// library does.
const MAX_ATOMS: u64 = 5000;
/// Most back references: each multiplies the ways that are tried.
const MAX_REFERENCES: usize = 4;

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
            error: Regex::new(text).err(),
        }
    }

    /// Whether it is found in `text`; one that is no expression never is.
    pub fn is_found_in(&self, text: &str) -> bool {
        // Most entries are plain text, for which nothing need be compiled.
        let (anchored, plain) = match self.text.strip_prefix('^') {
            Some(rest) => (true, rest),
            None => (false, self.text.as_str()),
        };
        match (is_plain(plain), anchored) {
            (true, true) => text.starts_with(plain),
            (true, false) => text.contains(plain),
            (false, _) => {
                self.error.is_none()
                    && Regex::new(&self.text).is_ok_and(|regex| regex.is_found_in(text))
            }
        }
    }
}

/// Whether a text stands for itself as an expression.
fn is_plain(text: &str) -> bool {
    let stands_for_itself = |byte: &u8| byte.is_ascii_alphanumeric() || b" -_/,:".contains(byte);
    text.len() <= MAX_BYTES && text.as_bytes().iter().all(stands_for_itself)
}

/// A compiled expression.
struct Regex(libc::regex_t);

impl Regex {
    fn new(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("longer than {MAX_BYTES} bytes"));
        }
        bounded(text)?;
        let text = CString::new(text).map_err(|_| "it has a NUL character".to_owned())?;
        let mut regex = MaybeUninit::uninit();
        // SAFETY: both pointers are good for the call; what is compiled is kept only when the call
        // says that it has been.
        let code = unsafe {
            libc::regcomp(
                regex.as_mut_ptr(),
                text.as_ptr(),
                libc::REG_EXTENDED | libc::REG_NOSUB,
            )
        };
        if code != 0 {
            return Err(message(code));
        }
        // SAFETY: regcomp has filled it in.
        Ok(Self(unsafe { regex.assume_init() }))
    }

    fn is_found_in(&self, text: &str) -> bool {
        // The C library would stop there, too.
        let text = text.split('\0').next().unwrap_or_default();
        let Ok(text) = CString::new(text) else {
            return false;
        };
        // SAFETY: the expression is compiled; no places of matches are asked for.
        let code =
            unsafe { libc::regexec(&raw const self.0, text.as_ptr(), 0, std::ptr::null_mut(), 0) };
        code == 0
    }
}

impl Drop for Regex {
    fn drop(&mut self) {
        // SAFETY: it is compiled, and nobody uses it any more.
        unsafe { libc::regfree(&raw mut self.0) }
    }
}

/// What the C library calls an error.
fn message(code: c_int) -> String {
    let mut text = [0_u8; 128];
    // SAFETY: the buffer is as long as is said; glibc looks at no expression for these codes.
    unsafe {
        libc::regerror(
            code,
            std::ptr::null(),
            text.as_mut_ptr().cast::<c_char>(),
            text.len(),
        )
    };
    let text = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    let text = text.to_string_lossy();
    if code == libc::REG_BADRPT {
        return "there is nothing that a *, + or ? could repeat".to_owned();
    }
    text.to_lowercase()
}

/// Whether compiling and matching stay within bounds: the C library has none of its own.
fn bounded(text: &str) -> Result<(), String> {
    let too_large = || "its repetitions make it too large".to_owned();
    let (mut atoms, mut groups, mut last, mut references) = (0_u64, Vec::new(), 0_u64, 0);
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'\\' => {
                references += usize::from(after.first().is_some_and(u8::is_ascii_digit));
                rest = after.get(1..).unwrap_or_default();
                (atoms, last) = (atoms + 1, 1);
            }
            b'[' => {
                rest = behind_brackets(after);
                (atoms, last) = (atoms + 1, 1);
            }
            b'(' => {
                groups.push(atoms);
                last = 0;
            }
            b')' => last = atoms - groups.pop().unwrap_or(atoms),
            b'{' => {
                let end = after.iter().position(|byte| *byte == b'}');
                let most = end.and_then(|end| most(after.get(..end)?)).unwrap_or(1);
                let more = last.saturating_mul(most.saturating_sub(1));
                (atoms, last) = (atoms.saturating_add(more), last.saturating_add(more));
            }
            // The C library writes `x+` out as `xx*`: several, one behind the other, double it each time.
            b'+' => {
                let more = last;
                (atoms, last) = (atoms.saturating_add(more), last.saturating_add(more));
            }
            b'*' | b'?' => {}
            _ => (atoms, last) = (atoms + 1, 1),
        }
        if atoms > MAX_ATOMS {
            return Err(too_large());
        }
    }
    if references > MAX_REFERENCES {
        return Err(format!("more than {MAX_REFERENCES} back references"));
    }
    Ok(())
}

/// The larger number of `2,5`.
fn most(repetition: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(repetition).ok()?;
    text.split(',').filter_map(|it| it.parse().ok()).max()
}

/// What follows a bracket expression; its first character may be a bracket that closes.
fn behind_brackets(text: &[u8]) -> &[u8] {
    let negated = text.strip_prefix(b"^").unwrap_or(text);
    let from = text.len() - negated.len() + usize::from(negated.first() == Some(&b']'));
    let rest = text.get(from..).unwrap_or_default();
    let end = rest.iter().position(|byte| *byte == b']');
    end.and_then(|end| rest.get(end + 1..)).unwrap_or_default()
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
            ("", "x", true),
            ("[[:digit:]]+i", "36i", true),
            ("[[:digit:]]+i", "xi", false),
            ("[]x]y", "]y", true),
            ("[^]x]y", "]y", false),
            ("[\\]", "\\", true),
            ("[a&&b]", "&", true),
            ("[[]", "[", true),
            ("a\\.b", "axb", false),
            ("a{2}", "caab", true),
            ("E{,3}i", "EEi", true),
            ("Eighteen)", "Eighteen)", true),
            ("(E)\\1", "EE", true),
            ("(E)\\1", "Ei", false),
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
            "?x",
            "(",
            "[a",
            "a{2",
            "a{2,1}",
            "\\",
            "a\0b",
            &"a".repeat(600),
            "(((a{99}){99}){99}){99}",
            "((a{99})+){99}",
            "(a)\\1\\1\\1\\1\\1",
        ] {
            let pattern = Pattern::new(text);
            assert!(pattern.error.is_some(), "{text}");
            assert!(
                !pattern.is_found_in("a") && !pattern.is_found_in(text),
                "{text}"
            );
        }
    }

    #[test]
    fn repetitions_of_repetitions_stay_within_bounds() {
        assert!(Pattern::new("x+y+(ab)+").error.is_none());
        for pattern in [
            format!("MD36xx{}", "+".repeat(60)),
            format!("({}", "a+".repeat(3)) + ")" + &"+".repeat(20),
        ] {
            let error = Pattern::new(&pattern).error.unwrap();
            assert!(error.contains("too large"), "{pattern}: {error}");
        }
    }
}
