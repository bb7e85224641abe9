//! Owns what people's terminals, mails and tickets add to a text: colours, carriage returns, quoting,
//! line numbers, indentation and prompts. Lines keep their places, so that notes name them rightly.

use std::borrow::Cow;

/// Quoting within quoting that is taken off.
const MAX_QUOTING: usize = 4;
/// Longest line of a quoted-printable text, and the shortest that is believed to be broken there.
const MAX_QUOTED_CHARS: usize = 76;
const MIN_SOFT_CHARS: usize = 72;
/// Fewest lines of which line numbers are believed.
const MIN_NUMBERED: usize = 3;

/// A text as a tool printed it.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    let plain = without_escapes(text);
    let plain = unquoted_printable(&plain);
    let plain = without_markup(&plain);
    let lines: Vec<&str> = plain
        .lines()
        .map(|line| line.trim_end_matches('\r'))
        .collect();
    let lines = unquoted(lines);
    let lines = unnumbered(lines);
    let lines = unindented(lines);
    let lines: Vec<Cow<'_, str>> = lines.into_iter().map(unprompted).collect();
    let cleaned = lines.join("\n");
    // What nobody has touched stays as it is, with whatever ends it.
    if cleaned == text.trim_end_matches('\n') {
        return Cow::Borrowed(text);
    }
    Cow::Owned(cleaned + "\n")
}

/// Without terminals' sequences: `ESC [ … letter`, and titles, `ESC ] … BEL`.
fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.contains('\x1b') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut parts = text.split('\x1b');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let rest = match part.chars().next() {
            Some('[') => part
                .find(|c: char| c.is_ascii_alphabetic())
                .map(|end| end + 1),
            Some(']') => part.find('\x07').map(|end| end + 1),
            // No sequence: it stays, and is made safe where it is printed.
            _ => {
                out.push('\x1b');
                Some(0)
            }
        };
        out.push_str(rest.and_then(|end| part.get(end..)).unwrap_or_default());
    }
    Cow::Owned(out)
}

/// As it was before a mail program wrote it as quoted-printable (RFC 2045 6.7): `=3D` is `=`, and a `=` at a
/// line's end is none.
fn unquoted_printable(text: &str) -> Cow<'_, str> {
    let is_soft = |line: &&str| {
        let is_long = (MIN_SOFT_CHARS..=MAX_QUOTED_CHARS).contains(&line.len());
        is_long && line.ends_with('=') && !line.ends_with(" =")
    };
    let is_quoted = text.contains("=3D")
        || text.lines().any(|line| line.ends_with("=20"))
        || text.lines().filter(is_soft).count() > 1;
    if !is_quoted {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('=') {
        bytes.extend(before.bytes());
        let byte = after
            .get(..2)
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match (after.strip_prefix('\n'), byte) {
            (Some(rest), _) => rest,
            (None, Some(byte)) => {
                bytes.push(byte);
                after.get(2..).unwrap_or_default()
            }
            (None, None) => {
                bytes.push(b'=');
                after
            }
        };
    }
    bytes.extend(rest.bytes());
    Cow::Owned(String::from_utf8_lossy(&bytes).into_owned())
}

/// Marks that pages put around words.
const TAGS: [&str; 11] = [
    "strong",
    "b",
    "em",
    "i",
    "code",
    "pre",
    "tt",
    "samp",
    "br",
    "p",
    "blockquote",
];
const ENTITIES: [(&str, &str); 6] = [
    ("&#x3C;", "<"),
    ("&lt;", "<"),
    ("&gt;", ">"),
    ("&quot;", "\""),
    ("&#39;", "'"),
    ("&amp;", "&"),
];

/// Without the tags of a page, and without the backslashes that Markdown puts before `_`.
fn without_markup(text: &str) -> Cow<'_, str> {
    let has_tags = text.contains("</");
    let escaped = |at: usize| {
        let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let (before, after) = text.split_at(at);
        is_word(before.chars().next_back()) && is_word(after.chars().nth(2))
    };
    let has_escapes = text.match_indices("\\_").any(|(at, _)| escaped(at));
    if !has_tags && !has_escapes {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '\\']) {
        let (before, after) = rest.split_at(at);
        out.push_str(before);
        let skipped = if after.starts_with('<') {
            if has_tags { tag(after) } else { 0 }
        } else {
            usize::from(escaped(text.len() - after.len()))
        };
        // What is no markup stays.
        let kept = usize::from(skipped == 0);
        out.push_str(after.get(..kept).unwrap_or_default());
        rest = after.get(skipped.max(kept)..).unwrap_or_default();
    }
    out.push_str(rest);
    if has_tags {
        for (entity, character) in ENTITIES {
            if out.contains(entity) {
                out = out.replace(entity, character);
            }
        }
    }
    Cow::Owned(out)
}

/// The length of the tag that a text begins with, 0 if it is none of those that are taken off.
fn tag(text: &str) -> usize {
    let Some(end) = text.find('>').filter(|end| *end < 80) else {
        return 0;
    };
    let inside = text.get(1..end).unwrap_or_default();
    let name = inside.trim_start_matches('/').split([' ', '/']).next();
    if name.is_some_and(|name| TAGS.contains(&name)) {
        end + 1
    } else {
        0
    }
}

/// Without the `>` that mails put before every line.
fn unquoted(mut lines: Vec<&str>) -> Vec<&str> {
    for _ in 0..MAX_QUOTING {
        let mut filled = lines
            .iter()
            .filter(|line| !line.trim().is_empty())
            .peekable();
        if filled.peek().is_none() || !filled.all(|line| line.starts_with('>')) {
            return lines;
        }
        for line in &mut lines {
            let rest = line.strip_prefix('>').unwrap_or(line);
            *line = rest.strip_prefix(' ').unwrap_or(rest);
        }
    }
    lines
}

/// A text every line of which somebody has made a comment of a script's, without the `#`; `None` if it is
/// no such text.
pub(super) fn uncommented(text: &str) -> Option<String> {
    let is_comment = |line: &str| line.trim_start().starts_with('#');
    let mut filled = text.lines().filter(|line| !line.trim().is_empty());
    if !filled.clone().any(is_comment) || !filled.all(is_comment) {
        return None;
    }
    let lines = text.lines().map(|line| {
        let rest = line.trim_start();
        let rest = rest.strip_prefix('#').unwrap_or(rest);
        rest.strip_prefix(' ').unwrap_or(rest)
    });
    let lines: Vec<&str> = lines.collect();
    Some(lines.join("\n") + "\n")
}

/// Without the numbers of `cat -n`, `grep -n ''` and pagers: each line's is the one before and one.
fn unnumbered(lines: Vec<&str>) -> Vec<&str> {
    let filled = || lines.iter().filter(|line| !line.trim().is_empty());
    // Bytes of a dump may follow each other, too.
    let is_byte = |word: &str| word.len() == 2 && word.bytes().all(|it| it.is_ascii_hexdigit());
    let is_dump = filled().all(|line| line.split_whitespace().all(is_byte));
    if filled().count() < MIN_NUMBERED || is_dump {
        return lines;
    }
    let Some(numbered): Option<Vec<_>> = lines.iter().map(|line| number(line)).collect() else {
        return lines;
    };
    let numbers = numbered.iter().map(|(number, _)| *number);
    let follow = numbers
        .clone()
        .zip(numbers.skip(1))
        .all(|(one, next)| next == one + 1);
    if follow {
        numbered.into_iter().map(|(_, rest)| rest).collect()
    } else {
        lines
    }
}

fn number(line: &str) -> Option<(u64, &str)> {
    let start = line.trim_start();
    let end = start
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(start.len());
    let (digits, rest) = start.split_at(end);
    let rest = rest.trim_start_matches([':', '|', ')']);
    let separated =
        rest.len() < start.len() - end || rest.is_empty() || rest.starts_with(['\t', ' ']);
    let rest = rest.strip_prefix(['\t', ' ']).unwrap_or(rest);
    let number = digits
        .parse::<u64>()
        .ok()
        .filter(|number| *number < u64::MAX);
    Some((number?, rest)).filter(|_| separated)
}

/// Without the blanks that all lines begin with.
fn unindented(mut lines: Vec<&str>) -> Vec<&str> {
    let filled = lines.iter().filter(|line| !line.trim().is_empty());
    let blanks = |line: &&str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let common = filled.map(blanks).min().unwrap_or_default();
    for line in &mut lines {
        // Blanks and tabs are one byte each.
        *line = line.get(common..).unwrap_or_default();
    }
    lines
}

/// A command behind a prompt, as one behind `# `: `[root@host ~]# multipath -ll`.
fn unprompted(line: &str) -> Cow<'_, str> {
    let Some(command) = command(line) else {
        return Cow::Borrowed(line);
    };
    Cow::Owned(format!("# {command}"))
}

fn command(line: &str) -> Option<&str> {
    for shell in ["$ ", "~ # ", "$> ", "multipathd> "] {
        // multipathd's own prompt stands before tables, too.
        let command = line.strip_prefix(shell);
        if let Some(command) = command.filter(|it| shell != "multipathd> " || is_query(it)) {
            return Some(command);
        }
    }
    // VMware's: `[root@esx1:~] esxcli storage nmp device list`.
    if let Some((prompt, command)) = line.split_once("] ")
        && prompt.starts_with('[')
        && prompt.contains('@')
        && !prompt.contains(' ')
    {
        return Some(command.trim_start());
    }
    let end = line.find(['#', '$'])?;
    let (prompt, rest) = line.split_at(end);
    let is_prompt = prompt.contains('@')
        && prompt.contains(['~', ':', '/', ']'])
        && prompt.len() < 80
        && prompt.split_whitespace().count() <= 2;
    let rest = rest.get(1..)?.strip_prefix(' ')?;
    is_prompt.then_some(rest)
}

/// A command of multipathd's shell: `show paths`.
fn is_query(text: &str) -> bool {
    ["show ", "list ", "reconfigure"]
        .iter()
        .any(|command| text.starts_with(command))
}

/// Programs whose command lines people copy without a prompt.
const PROGRAMS: [&str; 9] = [
    "multipath",
    "multipathd",
    "esxcli",
    "lsscsi",
    "dmsetup",
    "iscsiadm",
    "sg_rtpg",
    "sg_inq",
    "sg_vpd",
];

/// Whether a line is a command that somebody typed.
pub(super) fn is_command(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let program = words.next().and_then(|word| word.rsplit('/').next());
    // `multipath {` is a section's beginning.
    let is_word = |word: &str| !word.contains(['=', '(', ')', '\'', ',', '{']);
    let is_typed = program.is_some_and(|program| PROGRAMS.contains(&program))
        && !line.contains("--table")
        && words
            .clone()
            .next()
            .is_none_or(|word| word.parse::<u64>().is_err())
        && words.all(is_word);
    line.starts_with("# ") || is_typed || is_query(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "mpatha (36001) dm-0 X,Y\nsize=1G features='0' hwhandler='0' wp=rw\n`-+- policy='x'\n\nend\n";

    fn each_line(of: impl Fn(usize, &str) -> String) -> String {
        let lines = PLAIN.lines().enumerate();
        lines.map(|(nth, line)| of(nth, line) + "\n").collect()
    }

    #[test]
    fn what_terminals_and_mails_add_is_taken_off() {
        assert!(matches!(clean(PLAIN), Cow::Borrowed(_)));
        for decorated in [
            each_line(|_, line| format!("{line}\r")),
            each_line(|_, line| format!("> {line}")),
            each_line(|_, line| format!(">> {line}")),
            each_line(|_, line| format!("    {line}")),
            each_line(|_, line| format!("\t{line}")),
            each_line(|nth, line| format!("{:6}\t{line}", nth + 1)),
            each_line(|nth, line| format!("{}:{line}", nth + 40)),
            each_line(|nth, line| format!("> {}: {line}", nth + 1)),
            each_line(|_, line| format!("\x1b[1;31m{line}\x1b[0m")),
            format!("\x1b]0;title\x07{PLAIN}"),
        ] {
            assert_eq!(clean(&decorated), PLAIN, "{decorated}");
        }
    }

    #[test]
    fn prompts_become_comments() {
        for line in [
            "[root@host ~]# multipath -ll",
            "root@host:/etc# multipath -ll",
            "me@host:~$ multipath -ll",
            "$ multipath -ll",
            "# multipath -ll",
        ] {
            assert_eq!(
                clean(line),
                if line.starts_with('#') {
                    "# multipath -ll"
                } else {
                    "# multipath -ll\n"
                }
            );
        }
        for line in ["a@b.c: x", "0:0:0:0 sda #x", "policy='x $ y'"] {
            assert_eq!(clean(line), line);
        }
    }

    #[test]
    fn numbers_that_do_not_follow_are_data() {
        for text in ["1 a\n3 b\n4 c\n", "00 c9\n01 2c\n02 00\n", "7 a\n8 b\nx\n"] {
            assert_eq!(clean(text), text);
        }
    }

    #[test]
    fn soft_breaks_are_joined_where_a_mail_breaks_lines() {
        let line = format!("{:=<76}", "x".repeat(75));
        let text = format!("{line}\nMU,\n{line}\nMU,\n");
        let whole = "x".repeat(75) + "MU,\n";
        assert_eq!(clean(&text), whole.repeat(2));
        // An empty value is no break.
        let values = "ID_SERIAL_SHORT=\nID_MODEL=\nID_REVISION=\n";
        assert_eq!(clean(values), values);
    }

    #[test]
    fn comments_are_taken_off_only_where_all_is_one() {
        assert_eq!(uncommented("# a\n#\n  # b\n").as_deref(), Some("a\n\nb\n"));
        assert_eq!(uncommented("# a\nb\n"), None);
        assert_eq!(uncommented("\n"), None);
    }
}
