//! Owns the form of a kernel log's line: when, and what. As `dmesg`, `dmesg -T`, `dmesg -x`,
//! `dmesg -r`, `journalctl -k` and syslog write it, and as mails break it.

use std::borrow::Cow;

use super::message;

/// Longest line that is put together again, in bytes.
const MAX_WHOLE: usize = 1000;

/// A line of a kernel log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogLine<'a> {
    /// As it is written there; `None` when there is none.
    pub(super) time: Option<&'a str>,
    pub(super) writer: Writer,
    pub(super) message: &'a str,
}

/// Which program's line it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    Kernel,
    Multipathd,
}

/// The lines of a log, with their places. Those that a mail broke are whole again, where lines have
/// times: what has none belongs to the one before it.
pub(super) fn unwrapped(text: &str) -> Vec<(usize, Cow<'_, str>)> {
    let mut lines: Vec<(usize, Cow<'_, str>)> = Vec::new();
    let mut is_stamped = false;
    for (nth, line) in text.lines().enumerate() {
        if split(line).time.is_some() {
            is_stamped = true;
        } else if is_stamped
            && is_rest(line)
            && let Some((_, last)) = lines.last_mut()
            && last.len() + line.len() < MAX_WHOLE
        {
            // A soft line break of quoted-printable stands within a word.
            let whole = match last.strip_suffix('=') {
                Some(start) => format!("{start}{line}"),
                None => format!("{} {}", last.trim_end(), line.trim()),
            };
            *last = Cow::Owned(whole);
            continue;
        } else {
            is_stamped = false;
        }
        lines.push((nth, Cow::Borrowed(line)));
    }
    lines
}

/// Whether a line may be the end of one that was broken.
fn is_rest(line: &str) -> bool {
    let line = line.trim();
    let is_other = line.is_empty() || line.starts_with(['#', '$', '[', '-', '*']);
    !is_other && message::parse(line).is_none()
}

/// The parts of any line.
pub(super) fn split(line: &str) -> LogLine<'_> {
    let line = line.trim();
    if let Some((before, message)) = of_multipathd(line) {
        return LogLine {
            time: Some(before.rsplit_once(' ').map_or(before, |(time, _)| time)),
            writer: Writer::Multipathd,
            message,
        };
    }
    let (wall, rest) = match line.split_once(" kernel: ") {
        // Before it: the time, then the host's name.
        Some((before, rest)) => (
            Some(before.rsplit_once(' ').map_or(before, |(time, _)| time)),
            rest,
        ),
        None => (None, line),
    };
    let (stamp, message) = bracketed(level_stripped(rest));
    LogLine {
        time: wall.or(stamp),
        writer: Writer::Kernel,
        message,
    }
}

/// What comes before the name of multipathd or multipath in syslog, and what it says:
/// `Oct 30 12:36:15 host multipathd[812]: mpatha: …`.
fn of_multipathd(line: &str) -> Option<(&str, &str)> {
    let (before, rest) = [" multipathd", " multipath"]
        .into_iter()
        .find_map(|name| line.split_once(name))?;
    let rest = match rest.strip_prefix('[') {
        Some(rest) => rest
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix(']')?,
        None => rest,
    };
    // The words of the kernel's own lines may have the same name.
    let is_syslog = before.contains(':') && !before.ends_with(':') && !before.contains(" kernel:");
    Some((before, rest.strip_prefix(": ")?)).filter(|_| is_syslog)
}

/// Without what `dmesg -r` and `dmesg -x` put before the time: `<6>`, `kern  :info  : `.
fn level_stripped(text: &str) -> &str {
    if let Some((level, rest)) = text.strip_prefix('<').and_then(|rest| rest.split_once('>'))
        && level.bytes().all(|byte| byte.is_ascii_digit())
    {
        return rest;
    }
    match text.split_once(": [") {
        Some((before, _)) if before.starts_with("kern ") || before.starts_with("kern:") => {
            text.get(before.len() + 2..).unwrap_or(text)
        }
        _ => text,
    }
}

/// `[   98.790309] message`, `[Mon Nov 21 10:00:00 2026] message`.
fn bracketed(text: &str) -> (Option<&str>, &str) {
    let text = text.trim_start();
    let Some((inside, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) else {
        return (None, text);
    };
    let time = inside.trim();
    let is_time = time.starts_with(|c: char| c.is_ascii_digit()) || time.matches(':').count() == 2;
    // With CONFIG_PRINTK_CALLER a second bracket names the task: [T123].
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((caller, rest)) if is_caller(caller) => rest.trim_start(),
        _ => rest,
    };
    if is_time {
        (Some(time), rest)
    } else {
        (None, text)
    }
}

fn is_caller(text: &str) -> bool {
    let id = text.trim().strip_prefix(['T', 'C']);
    id.is_some_and(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_time_and_message() {
        for (line, time) in [
            ("[   98.790309] rdac: x", Some("98.790309")),
            ("<6>[   98.790309] rdac: x", Some("98.790309")),
            ("kern  :info  : [   98.790309] rdac: x", Some("98.790309")),
            (
                "[Mon Nov 21 10:00:00 2026] rdac: x",
                Some("Mon Nov 21 10:00:00 2026"),
            ),
            ("[   98.790309] [  T123] rdac: x", Some("98.790309")),
            (
                "Mar 11 09:45:45 xs65test kernel: [   70.823257] rdac: x",
                Some("Mar 11 09:45:45"),
            ),
            (
                "Mar 11 09:45:45 xs65test kernel: rdac: x",
                Some("Mar 11 09:45:45"),
            ),
            (
                "2026-11-21T10:00:00+0000 host kernel: rdac: x\r",
                Some("2026-11-21T10:00:00+0000"),
            ),
            ("rdac: x", None),
        ] {
            let message = "rdac: x";
            let writer = Writer::Kernel;
            let expected = LogLine {
                time,
                writer,
                message,
            };
            assert_eq!(split(line), expected, "{line}");
        }
        for line in [
            "Oct 30 12:36:15 host multipathd[812]: mpatha: x",
            "Oct 30 12:36:15 host multipathd: mpatha: x",
        ] {
            let expected = LogLine {
                time: Some("Oct 30 12:36:15"),
                writer: Writer::Multipathd,
                message: "mpatha: x",
            };
            assert_eq!(split(line), expected, "{line}");
        }
        assert_eq!(split("[sda] Attached").message, "[sda] Attached");
        assert_eq!(split("").message, "");
    }
}
