//! Owns the values of multipath.conf's keywords: which texts multipath-tools read as one, and what
//! becomes of others (libmultipath/dict.c, the handler of each keyword). A text that is no value
//! leaves the earlier one in force.

use super::keywords::Release;
use super::pattern::Pattern;

/// What multipath-tools make of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reading {
    /// A value.
    Value(String),
    /// A number beyond the limits, and the limit that counts instead.
    Capped(String),
    /// The value that stands for none: it takes back what the section set before.
    Unset,
    /// No value: it counts for nothing.
    Invalid(String),
    /// What makes multipath-tools refuse the whole file, and why.
    Refused(String),
}

/// What a keyword takes.
#[derive(Clone, Copy)]
enum Takes {
    /// Any text.
    Text,
    /// Text without a slash.
    NoSlash,
    /// Words, the one at this index saying how many follow it.
    Counted(usize),
    /// Exactly one of these words.
    Word(&'static [&'static str]),
    /// What begins with one of these words.
    Beginning(&'static [(&'static str, Release)]),
    /// One of these words, or a number within limits. The number 0 stands for none where it has no
    /// meaning of its own.
    Number(&'static [&'static str], i64, i64),
    /// A number that must not be negative; it may have anything behind it.
    Digits(&'static [&'static str], u32),
    /// A regular expression; what is none makes multipath-tools refuse the file.
    Pattern,
    /// A persistent reservation key; what is none makes multipath-tools refuse the file.
    Key,
}

const MAX: i64 = i32::MAX as i64;
const ANY: Release = Release(0, 4, 9);
const POLICIES: &[(&str, Release)] = &[
    ("failover", ANY),
    ("multibus", ANY),
    ("group_by_serial", ANY),
    ("group_by_prio", ANY),
    ("group_by_node_name", ANY),
    ("group_by_tpg", Release(0, 9, 6)),
];

/// By keyword; those that are not here take any text.
#[rustfmt::skip]
const TAKES: &[(&str, Takes)] = &[
    ("path_grouping_policy", Takes::Beginning(POLICIES)),
    ("features hardware_handler", Takes::Counted(0)),
    ("path_selector", Takes::Counted(1)),
    ("alias alias_prefix partition_delimiter", Takes::NoSlash),
    ("reassign_maps queue_without_daemon allow_usb_devices force_sync strict_timing \
      user_friendly_names retain_attached_hw_handler detect_prio detect_checker detect_pgpolicy \
      detect_pgpolicy_use_tpg deferred_remove skip_kpartx purge_disconnected all_tg_pt recheck_wwid",
     Takes::Word(&["yes", "no", "1", "0"])),
    ("find_multipaths",
     Takes::Word(&["off", "on", "strict", "greedy", "smart", "yes", "no", "1", "0"])),
    ("marginal_pathgroups", Takes::Word(&["off", "on", "fpin", "yes", "no", "1", "0"])),
    ("flush_on_last_del", Takes::Word(&["never", "always", "unused", "yes", "no", "1", "0"])),
    ("auto_resize", Takes::Word(&["never", "grow_only", "grow_shrink"])),
    ("rr_weight", Takes::Word(&["priorities", "uniform"])),
    ("log_checker_err", Takes::Word(&["once", "always"])),
    ("vpd_vendor", Takes::Word(&["undef", "hp3par"])),
    ("type", Takes::Word(&[
        "undef", "ccw", "cciss", "scsi:fcp", "scsi:spi", "scsi:ssa", "scsi:sbp", "scsi:srp",
        "scsi:iscsi", "scsi:sas", "scsi:adt", "scsi:ata", "scsi:usb", "scsi:unspec", "nvme:pcie",
        "nvme:rdma", "nvme:fc", "nvme:tcp", "nvme:loop", "nvme:apple-nvme", "nvme:unspec"])),
    ("failback", Takes::Number(&["manual", "immediate", "followover"], 0, MAX)),
    ("no_path_retry", Takes::Number(&["fail", "queue", "0"], 1, MAX)),
    ("fast_io_fail_tmo eh_deadline", Takes::Number(&["off", "0"], 1, MAX)),
    ("max_retries", Takes::Number(&["off", "0"], 1, 5)),
    ("max_fds", Takes::Number(&["max"], 0, MAX)),
    ("delay_watch_checks delay_wait_checks san_path_err_threshold san_path_err_forget_rate \
      san_path_err_recovery_time marginal_path_err_sample_time marginal_path_err_rate_threshold \
      marginal_path_err_recheck_gap_time marginal_path_double_failed_time ghost_delay",
     Takes::Number(&["no", "0"], 1, MAX)),
    ("rr_min_io rr_min_io_rq max_sectors_kb checker_timeout retrigger_tries retrigger_delay \
      missing_uev_wait_timeout remove_retries", Takes::Number(&[], 0, MAX)),
    ("verbosity", Takes::Number(&[], 0, 4)),
    ("find_multipaths_timeout", Takes::Number(&[], -MAX - 1, MAX)),
    ("uxsock_timeout", Takes::Number(&[], 4000, MAX)),
    ("polling_interval max_polling_interval", Takes::Number(&[], 0, u32::MAX as i64)),
    ("dev_loss_tmo", Takes::Digits(&["infinity"], 10)),
    ("mode", Takes::Digits(&[], 8)),
    ("devnode property protocol product_blacklist", Takes::Pattern),
    ("reservation_key", Takes::Key),
];

/// Keywords whose number 0 stands for none.
pub(super) const ZERO_IS_NONE: [&str; 4] =
    ["failback", "rr_min_io", "rr_min_io_rq", "max_sectors_kb"];

/// What `release` makes of `text` as the value of `keyword`; `in_blacklist` when that is part of a
/// blacklist, whose values are all regular expressions.
pub(super) fn read(keyword: &str, text: &str, in_blacklist: bool, release: Release) -> Reading {
    let takes = TAKES
        .iter()
        .find(|(words, _)| words.split_whitespace().any(|word| word == keyword))
        .map_or(Takes::Text, |(_, takes)| *takes);
    let takes = if in_blacklist { Takes::Pattern } else { takes };
    let value = || Reading::Value(text.to_owned());
    match takes {
        Takes::Text => value(),
        Takes::NoSlash if text.contains('/') => invalid("a slash is not allowed"),
        Takes::NoSlash => value(),
        Takes::Counted(at) => match count(text, at) {
            Ok(()) => value(),
            Err(why) => Reading::Invalid(why),
        },
        Takes::Word(words) if words.contains(&text) => value(),
        Takes::Word(words) => invalid(&format!("it takes {}", list(words))),
        Takes::Beginning(words) => beginning(text, words, release),
        Takes::Number(words, ..) if words.contains(&text) => value(),
        Takes::Number(words, least, most) => number(keyword, text, words, least..=most),
        Takes::Digits(words, radix) if !words.contains(&text) => digits(text, radix),
        Takes::Digits(..) => value(),
        Takes::Pattern => pattern(text),
        Takes::Key => key(text),
    }
}

fn invalid(why: &str) -> Reading {
    Reading::Invalid(why.to_owned())
}

fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [word] => (*word).to_owned(),
        [words @ .., last] => format!("{} or {last}", words.join(", ")),
    }
}

/// `get_pgpolicy_id` compares as many characters as the word has.
fn beginning(text: &str, words: &[(&str, Release)], release: Release) -> Reading {
    let known = || words.iter().filter(|(_, since)| *since <= release);
    match known().find(|(word, _)| text.starts_with(word)) {
        Some((word, _)) => Reading::Value((*word).to_owned()),
        None => {
            let words: Vec<&str> = known().map(|(word, _)| *word).collect();
            invalid(&format!("it takes {}", list(&words)))
        }
    }
}

/// `set_arg_str`: the word at `at` says how many words follow it.
fn count(text: &str, at: usize) -> Result<(), String> {
    let words: Vec<&str> = text
        .split([' ', '\x0c', '\r', '\t', '\x0b'])
        .filter(|word| !word.is_empty())
        .collect();
    let told = words.get(at).and_then(|word| {
        let number = word.split('\n').next().unwrap_or_default();
        number.parse::<i64>().ok().filter(|number| *number >= 0)
    });
    let follow = words.len().saturating_sub(at + 1);
    match told {
        Some(told) if usize::try_from(told) == Ok(follow) => Ok(()),
        Some(told) => Err(format!(
            "it says that {told} arguments follow, and {follow} do"
        )),
        None => {
            let example = if at == 0 { "1 alua" } else { "service-time 0" };
            Err(format!(
                "the number of arguments is missing, as in \"{example}\""
            ))
        }
    }
}

/// `do_set_int`: what `strtol` reads, with blanks around it.
fn number(
    keyword: &str,
    text: &str,
    words: &[&str],
    limits: std::ops::RangeInclusive<i64>,
) -> Reading {
    let trimmed = text.trim_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let digits = trimmed.strip_prefix(['+', '-']).unwrap_or(trimmed);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let words = words.iter().filter(|word| **word != "0");
        let words: String = words.map(|word| format!("{word}, ")).collect();
        return invalid(&format!("it takes {words}or a number"));
    }
    // What is longer than 18 digits is beyond every limit.
    let most = if trimmed.starts_with('-') {
        i64::MIN
    } else {
        i64::MAX
    };
    let number = trimmed.parse().unwrap_or(most);
    let kept = number.clamp(*limits.start(), *limits.end());
    if kept == 0 && ZERO_IS_NONE.contains(&keyword) {
        Reading::Unset
    } else if kept == number {
        Reading::Value(kept.to_string())
    } else {
        Reading::Capped(kept.to_string())
    }
}

/// `sscanf` of a number: blanks before it, anything behind it.
fn digits(text: &str, radix: u32) -> Reading {
    let text = text.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '\x0b');
    let end = text
        .find(|c: char| !c.is_digit(radix))
        .unwrap_or(text.len());
    match text.get(..end) {
        Some("") | None => invalid("it takes a number"),
        Some(digits) => Reading::Value(digits.to_owned()),
    }
}

/// Blacklists (libmultipath/blacklist.c `store_ble`): a leading `!` negates, `\!` is a plain one.
fn pattern(text: &str) -> Reading {
    let escaped = text.strip_prefix('\\').filter(|rest| rest.starts_with('!'));
    let expression = text.strip_prefix('!').or(escaped).unwrap_or(text);
    match Pattern::new(expression).error {
        Some(error) => Reading::Refused(format!("'{text}' is no regular expression: {error}")),
        None => Reading::Value(text.to_owned()),
    }
}

/// libmultipath/prkey.c `parse_prkey_flags`.
fn key(text: &str) -> Reading {
    let number = text.split(':').next().unwrap_or_default();
    let rest = number.strip_prefix('0').unwrap_or(number);
    let digits = rest.strip_prefix(['x', 'X']).unwrap_or(rest);
    let is_key = !digits.is_empty()
        && digits.len() <= 16
        && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if text == "file" || is_key {
        Reading::Value(text.to_owned())
    } else {
        Reading::Refused(format!("'{text}' is no reservation key"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::keywords::NEWEST;
    use super::*;

    fn shown(keyword: &str, text: &str) -> String {
        match read(keyword, text, false, NEWEST) {
            Reading::Value(value) => value,
            Reading::Capped(value) => format!("capped {value}"),
            Reading::Unset => "unset".to_owned(),
            Reading::Invalid(_) => "invalid".to_owned(),
            Reading::Refused(_) => "refused".to_owned(),
        }
    }

    #[test]
    fn values_are_read_as_multipath_tools_read_them() {
        for (keyword, text, expected) in [
            ("path_grouping_policy", "multibus", "multibus"),
            ("path_grouping_policy", "multibus2", "multibus"),
            ("path_grouping_policy", "mulitbus", "invalid"),
            ("path_grouping_policy", " multibus", "invalid"),
            ("path_grouping_policy", "group_by_pri", "invalid"),
            ("hardware_handler", "1 alua", "1 alua"),
            ("hardware_handler", "0", "0"),
            ("hardware_handler", "alua", "invalid"),
            ("hardware_handler", "2 alua", "invalid"),
            ("hardware_handler", "", "invalid"),
            ("features", "2 pg_init_retries 50", "2 pg_init_retries 50"),
            ("features", " 1  x ", " 1  x "),
            ("features", "-1", "invalid"),
            ("path_selector", "service-time 0", "service-time 0"),
            ("path_selector", "service-time", "invalid"),
            ("path_selector", "round-robin 1 x", "round-robin 1 x"),
            ("detect_prio", "yes", "yes"),
            ("detect_prio", "0", "0"),
            ("detect_prio", "NO", "invalid"),
            ("detect_prio", "on", "invalid"),
            ("failback", "immediate", "immediate"),
            ("failback", " immediate", "invalid"),
            ("failback", " 10 ", "10"),
            ("failback", "+10", "10"),
            ("failback", "0", "unset"),
            ("failback", "-3", "unset"),
            ("failback", "99999999999999999999", "capped 2147483647"),
            ("failback", "10s", "invalid"),
            ("failback", "", "invalid"),
            ("no_path_retry", "queue", "queue"),
            ("no_path_retry", "many", "invalid"),
            ("no_path_retry", "-1", "capped 1"),
            ("max_retries", "9", "capped 5"),
            ("uxsock_timeout", "1", "capped 4000"),
            ("dev_loss_tmo", "infinity", "infinity"),
            ("dev_loss_tmo", "30x", "30"),
            ("dev_loss_tmo", "x", "invalid"),
            ("mode", "0644", "0644"),
            ("mode", "8", "invalid"),
            ("alias", "a/b", "invalid"),
            ("prio", "", ""),
            ("wwid", "*", "*"),
            ("devnode", "*", "refused"),
            ("devnode", "!^sd", "!^sd"),
            ("devnode", "!*", "refused"),
            ("reservation_key", "0x123abc:aptpl", "0x123abc:aptpl"),
            ("reservation_key", "file", "file"),
            ("reservation_key", "key", "refused"),
        ] {
            assert_eq!(shown(keyword, text), expected, "{keyword} {text:?}");
        }
        for (text, expected) in [("*", true), ("a", false)] {
            let reading = read("wwid", text, true, NEWEST);
            assert_eq!(matches!(reading, Reading::Refused(_)), expected, "{text}");
        }
        let old = read(
            "path_grouping_policy",
            "group_by_tpg",
            false,
            Release(0, 9, 4),
        );
        assert!(matches!(old, Reading::Invalid(_)));
    }
}
