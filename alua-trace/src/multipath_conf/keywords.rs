//! Owns the keywords of multipath.conf: which sections take them, and which releases of
//! multipath-tools (0.4.9 to 0.15.1, libmultipath/dict.c `init_keywords` of each).

use super::section::Kind;

/// A release of multipath-tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub u8, pub u8, pub u8);

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The newest release whose keywords are known here.
pub const NEWEST: Release = Release(0, 15, 1);
/// Releases before it are rare: that a keyword is younger is not worth a word.
const OLD: Release = Release(0, 9, 0);

/// Sections, as bits.
const DEFAULTS: u8 = 1;
const DEVICE: u8 = 2;
const OVERRIDES: u8 = 4;
const MULTIPATH: u8 = 8;
const EVERYWHERE: u8 = DEFAULTS | DEVICE | OVERRIDES | MULTIPATH;
const NOT_PER_MAP: u8 = DEFAULTS | DEVICE | OVERRIDES;
const BLACKLIST: u8 = 16;
const BLACKLIST_DEVICE: u8 = 32;
const PROTOCOL: u8 = 64;

/// Sections, the first release whose sections take them, and keywords.
#[rustfmt::skip]
const KEYWORDS: &[(u8, Release, &str)] = &[
    (DEFAULTS, Release(0, 4, 9),
     "verbosity polling_interval multipath_dir max_fds queue_without_daemon user_friendly_names"),
    (DEFAULTS | DEVICE | MULTIPATH, Release(0, 4, 9),
     "path_grouping_policy failback rr_min_io rr_weight no_path_retry pg_timeout flush_on_last_del"),
    (DEFAULTS | DEVICE, Release(0, 4, 9),
     "getuid_callout prio prio_args features path_checker checker fast_io_fail_tmo dev_loss_tmo"),
    (DEFAULTS | MULTIPATH, Release(0, 4, 9), "mode uid gid"),
    (BLACKLIST, Release(0, 4, 9), "devnode wwid"),
    (BLACKLIST_DEVICE | DEVICE, Release(0, 4, 9), "vendor product"),
    (DEVICE, Release(0, 4, 9), "product_blacklist hardware_handler"),
    (DEVICE | MULTIPATH, Release(0, 4, 9), "path_selector"),
    (MULTIPATH, Release(0, 4, 9), "wwid alias"),
    (DEFAULTS, Release(0, 5, 0),
     "max_polling_interval reassign_maps path_selector checker_timeout bindings_file wwids_file \
      log_checker_err"),
    (DEFAULTS | DEVICE, Release(0, 5, 0),
     "uid_attribute alias_prefix retain_attached_hw_handler detect_prio"),
    (DEFAULTS | DEVICE | MULTIPATH, Release(0, 5, 0), "rr_min_io_rq"),
    (DEFAULTS | MULTIPATH, Release(0, 5, 0), "reservation_key"),
    (BLACKLIST, Release(0, 5, 0), "property"),
    (DEVICE, Release(0, 5, 0), "revision"),
    (DEVICE | MULTIPATH, Release(0, 5, 0), "user_friendly_names"),
    (MULTIPATH, Release(0, 5, 0), "prio prio_args features"),
    (DEFAULTS, Release(0, 6, 0),
     "force_sync partition_delimiter config_dir find_multipaths uxsock_timeout retrigger_tries \
      retrigger_delay missing_uev_wait_timeout"),
    (EVERYWHERE, Release(0, 6, 0), "deferred_remove delay_watch_checks delay_wait_checks"),
    (OVERRIDES, Release(0, 6, 0),
     "path_grouping_policy uid_attribute getuid_callout path_selector path_checker checker \
      alias_prefix features prio prio_args failback rr_weight no_path_retry rr_min_io rr_min_io_rq \
      flush_on_last_del fast_io_fail_tmo dev_loss_tmo user_friendly_names \
      retain_attached_hw_handler detect_prio"),
    (DEFAULTS, Release(0, 6, 1), "strict_timing"),
    (EVERYWHERE, Release(0, 6, 4), "skip_kpartx"),
    (DEFAULTS, Release(0, 6, 4), "disable_changed_wwids"),
    (DEFAULTS, Release(0, 7, 0), "uid_attrs remove_retries"),
    (NOT_PER_MAP, Release(0, 7, 0), "detect_checker"),
    (EVERYWHERE, Release(0, 7, 0),
     "san_path_err_threshold san_path_err_forget_rate san_path_err_recovery_time max_sectors_kb"),
    (DEFAULTS, Release(0, 7, 3), "prkeys_file"),
    (EVERYWHERE, Release(0, 7, 4),
     "marginal_path_err_sample_time marginal_path_err_rate_threshold \
      marginal_path_err_recheck_gap_time marginal_path_double_failed_time"),
    (EVERYWHERE, Release(0, 7, 5), "ghost_delay"),
    (DEFAULTS, Release(0, 7, 7), "find_multipaths_timeout"),
    (NOT_PER_MAP, Release(0, 7, 8), "all_tg_pt"),
    (BLACKLIST, Release(0, 7, 8), "protocol"),
    (DEFAULTS, Release(0, 8, 3), "enable_foreign marginal_pathgroups"),
    (DEVICE, Release(0, 8, 4), "vpd_vendor"),
    (DEFAULTS, Release(0, 8, 5), "allow_usb_devices"),
    (NOT_PER_MAP, Release(0, 8, 6), "eh_deadline recheck_wwid"),
    (PROTOCOL, Release(0, 9, 0), "type fast_io_fail_tmo dev_loss_tmo eh_deadline"),
    (NOT_PER_MAP, Release(0, 9, 6), "detect_pgpolicy detect_pgpolicy_use_tpg"),
    (DEFAULTS, Release(0, 9, 7), "max_retries auto_resize"),
    (EVERYWHERE, Release(0, 14, 0), "purge_disconnected"),
];

/// Sections, the last release whose sections take them, and keywords.
const GONE: &[(u8, Release, &str)] = &[
    (DEFAULTS, Release(0, 4, 9), "udev_dir selector"),
    (
        DEFAULTS,
        Release(0, 8, 9),
        "default_selector default_path_grouping_policy default_getuid_callout default_features \
         default_path_checker default_uid_attribute",
    ),
];

/// Keywords that are taken and do nothing, and the first release of which that is so.
const IDLE: &[(Release, &str)] = &[
    (Release(0, 6, 0), "pg_timeout"),
    (Release(0, 9, 0), "getuid_callout multipath_dir config_dir"),
    (Release(0, 9, 6), "disable_changed_wwids"),
    (Release(0, 9, 7), "bindings_file wwids_file prkeys_file"),
    (Release(0, 15, 0), "rr_min_io rr_min_io_rq rr_weight"),
];

/// Keywords that write-ups still print and no release since 0.4.9 knows; and one that none since
/// 0.9.0 heeds. Each is a finding.
pub(super) const RETIRED: [&str; 2] = ["getuid_callout", "prio_callout"];

/// Sections that no release since `.1` has.
pub(super) const GONE_SECTION: (&str, Release) = ("devnode_blacklist", Release(0, 8, 9));

/// What a keyword is where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is read; first by this release if that is worth a word.
    Read(Option<Release>),
    /// It is taken and does nothing since this release.
    Idle(Release),
    /// It is read in other sections.
    Elsewhere,
    /// The last release that knew it.
    Gone(Release),
    /// No release knows it.
    Unknown,
}

/// What `keyword` is to `release` in a section of `kind`; `in_blacklist` when that is part of a
/// blacklist.
pub(super) fn standing(
    keyword: &str,
    kind: Kind,
    in_blacklist: bool,
    release: Release,
) -> Standing {
    let section = bit(kind, in_blacklist);
    let rows = || KEYWORDS.iter().filter(|row| has(row.2, keyword));
    if let Some(row) = rows().find(|row| row.0 & section != 0 && row.1 <= release) {
        let idle = IDLE.iter().find(|idle| has(idle.1, keyword));
        return match idle.filter(|idle| idle.0 <= release) {
            Some(idle) => Standing::Idle(idle.0),
            None => Standing::Read((row.1 > OLD).then_some(row.1)),
        };
    }
    let gone = GONE.iter().find(|row| has(row.2, keyword));
    match gone.filter(|row| row.0 & section != 0) {
        Some(row) if release <= row.1 => Standing::Read(None),
        Some(row) => Standing::Gone(row.1),
        None if gone.is_some() || rows().next().is_some() => Standing::Elsewhere,
        None => Standing::Unknown,
    }
}

fn bit(kind: Kind, in_blacklist: bool) -> u8 {
    match kind {
        Kind::Defaults => DEFAULTS,
        Kind::Device if in_blacklist => BLACKLIST_DEVICE,
        Kind::Device => DEVICE,
        Kind::Overrides => OVERRIDES,
        Kind::Multipath => MULTIPATH,
        Kind::Blacklist | Kind::BlacklistExceptions => BLACKLIST,
        Kind::Protocol => PROTOCOL,
        Kind::Devices | Kind::Multipaths => 0,
    }
}

fn has(words: &str, keyword: &str) -> bool {
    words.split_whitespace().any(|word| word == keyword)
}

/// The one name of a keyword that has two (dict.c `def_checker_name_handler`).
pub(super) fn one_name(keyword: &str) -> &str {
    match keyword {
        "checker" => "path_checker",
        _ => keyword,
    }
}

/// Whether any section takes, or took, `word` as a keyword.
pub(super) fn is_keyword(word: &str) -> bool {
    let gone = GONE.iter().map(|row| row.2);
    let known = KEYWORDS.iter().map(|row| row.2);
    RETIRED.contains(&word) || known.chain(gone).any(|words| has(words, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_read_in_some_sections_by_some_releases() {
        use Standing::{Elsewhere, Gone, Idle, Read, Unknown};
        for (keyword, kind, expected) in [
            ("prio", Kind::Multipath, Read(None)),
            ("path_checker", Kind::Overrides, Read(None)),
            ("checker", Kind::Overrides, Read(None)),
            ("path_checker", Kind::Multipath, Elsewhere),
            ("hardware_handler", Kind::Device, Read(None)),
            ("hardware_handler", Kind::Overrides, Elsewhere),
            ("hardware_handler", Kind::Defaults, Elsewhere),
            ("max_retries", Kind::Defaults, Read(Some(Release(0, 9, 7)))),
            ("eh_deadline", Kind::Protocol, Read(None)),
            ("prio", Kind::Devices, Elsewhere),
            ("wwid", Kind::BlacklistExceptions, Read(None)),
            ("protocol", Kind::Blacklist, Read(None)),
            ("bl_product", Kind::Device, Unknown),
            ("pg_timeout", Kind::Multipath, Idle(Release(0, 6, 0))),
            ("rr_weight", Kind::Device, Idle(Release(0, 15, 0))),
            ("getuid_callout", Kind::Defaults, Idle(Release(0, 9, 0))),
            ("default_features", Kind::Defaults, Gone(Release(0, 8, 9))),
            ("default_features", Kind::Device, Elsewhere),
            ("", Kind::Defaults, Unknown),
        ] {
            assert_eq!(
                standing(keyword, kind, false, NEWEST),
                expected,
                "{keyword} {kind:?}"
            );
        }
        assert_eq!(standing("vendor", Kind::Device, true, NEWEST), Read(None));
        assert_eq!(standing("prio", Kind::Device, true, NEWEST), Elsewhere);
        for (keyword, expected) in [
            ("detect_pgpolicy", Elsewhere),
            ("rr_weight", Read(None)),
            ("bindings_file", Read(None)),
        ] {
            let old = Release(0, 9, 4);
            assert_eq!(standing(keyword, Kind::Defaults, false, old), expected);
        }
    }
}
