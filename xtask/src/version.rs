//! Debian's version ordering, for choosing a kernel from an index.

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does (without epochs, which kernel
/// releases do not have).
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left_upstream, left_revision) = split(left);
    let (right_upstream, right_revision) = split(right);
    part(left_upstream, right_upstream).then_with(|| part(left_revision, right_revision))
}

fn split(version: &str) -> (&str, &str) {
    version.rsplit_once('-').unwrap_or((version, ""))
}

fn part(mut left: &str, mut right: &str) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = take(left, |byte| !byte.is_ascii_digit());
        let (right_text, right_rest) = take(right, |byte| !byte.is_ascii_digit());
        let order = text(left_text, right_text);
        if order != Ordering::Equal {
            return order;
        }
        let (left_number, left_rest) = take(left_rest, |byte| byte.is_ascii_digit());
        let (right_number, right_rest) = take(right_rest, |byte| byte.is_ascii_digit());
        let order = number(left_number, right_number);
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn take(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !belongs(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

fn text(left: &str, right: &str) -> Ordering {
    let rank = |byte: Option<&u8>| match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    };
    let (left, right) = (left.as_bytes(), right.as_bytes());
    (0..left.len().max(right.len()))
        .map(|at| rank(left.get(at)).cmp(&rank(right.get(at))))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

fn number(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAIRS: [(&str, &str); 9] = [
        ("6.1.0-9", "6.1.0-56"),
        ("6.1.0-56", "6.12.107+deb13"),
        ("6.12.115+deb13", "6.12.115+deb13.1"),
        ("6.12.117+deb12", "6.12.117+deb13"),
        ("6.12.94+deb13", "6.12.107+deb13"),
        ("6.19.14+deb13", "7.0.4+deb13"),
        ("7.4~rc3", "7.4"),
        ("7.4-rc3", "7.4.1"),
        ("1.0a", "1.0+"),
    ];

    #[test]
    fn orders_kernel_releases() {
        for (less, more) in PAIRS {
            assert_eq!(compare(less, more), Ordering::Less, "{less} < {more}");
            assert_eq!(compare(more, less), Ordering::Greater, "{more} > {less}");
            assert_eq!(compare(less, less), Ordering::Equal, "{less}");
        }
    }

    #[test]
    fn agrees_with_dpkg_where_there_is_one() {
        for (less, more) in PAIRS {
            let dpkg = std::process::Command::new("dpkg")
                .args(["--compare-versions", less, "lt", more])
                .status();
            if let Ok(status) = dpkg {
                assert!(status.success(), "dpkg does not say {less} < {more}");
            }
        }
    }
}
