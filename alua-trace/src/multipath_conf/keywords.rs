//! Owns the keywords of multipath.conf and the sections that take them (multipath-tools 0.4.9 to
//! 0.11, libmultipath/dict.c `init_keywords`; multipath.conf(5)).

use super::section::Kind;

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

/// Keywords that write-ups still print and no version since 0.4.9 heeds. Each is a finding.
pub(super) const RETIRED: [&str; 2] = ["getuid_callout", "prio_callout"];

/// Which keyword is read in which sections; those that are [`RETIRED`] are not here.
const KEYWORDS: &[(u8, &str)] = &[
    (
        DEFAULTS,
        "verbosity polling_interval max_polling_interval reassign_maps multipath_dir pg_timeout \
         uid_attrs max_fds queue_without_daemon checker_timeout allow_usb_devices bindings_file \
         wwids_file prkeys_file log_checker_err force_sync strict_timing partition_delimiter \
         config_dir marginal_pathgroups find_multipaths find_multipaths_timeout uxsock_timeout \
         retrigger_tries retrigger_delay missing_uev_wait_timeout disable_changed_wwids \
         remove_retries enable_foreign auto_resize udev_dir",
    ),
    (
        EVERYWHERE,
        "path_grouping_policy path_selector prio prio_args failback rr_weight no_path_retry \
         rr_min_io rr_min_io_rq flush_on_last_del features user_friendly_names deferred_remove \
         delay_watch_checks delay_wait_checks skip_kpartx max_sectors_kb ghost_delay \
         san_path_err_threshold san_path_err_forget_rate san_path_err_recovery_time \
         marginal_path_err_sample_time marginal_path_err_rate_threshold \
         marginal_path_err_recheck_gap_time marginal_path_double_failed_time purge_disconnected",
    ),
    (
        NOT_PER_MAP,
        "uid_attribute path_checker alias_prefix eh_deadline retain_attached_hw_handler \
         detect_prio detect_checker detect_pgpolicy detect_pgpolicy_use_tpg all_tg_pt recheck_wwid",
    ),
    (NOT_PER_MAP | PROTOCOL, "fast_io_fail_tmo dev_loss_tmo"),
    (PROTOCOL, "eh_deadline type"),
    (DEFAULTS | DEVICE, "hardware_handler"),
    (DEFAULTS | MULTIPATH, "reservation_key mode uid gid"),
    (DEVICE, "revision product_blacklist bl_product vpd_vendor"),
    (DEVICE | BLACKLIST_DEVICE, "vendor product"),
    (MULTIPATH, "alias"),
    (MULTIPATH | BLACKLIST, "wwid"),
    (BLACKLIST, "devnode property protocol"),
];

/// What a keyword is where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is read.
    Read,
    /// It is read in other sections.
    Elsewhere,
    /// No version knows it.
    Unknown,
}

/// What `keyword` is in a section of `kind`; `in_blacklist` when that is part of a blacklist.
pub(super) fn standing(keyword: &str, kind: Kind, in_blacklist: bool) -> Standing {
    let section = match kind {
        Kind::Defaults => DEFAULTS,
        Kind::Device if in_blacklist => BLACKLIST_DEVICE,
        Kind::Device => DEVICE,
        Kind::Overrides => OVERRIDES,
        Kind::Multipath => MULTIPATH,
        Kind::Blacklist | Kind::BlacklistExceptions => BLACKLIST,
        Kind::Protocol => PROTOCOL,
        Kind::Devices | Kind::Multipaths => 0,
    };
    let mut known = sections(keyword).peekable();
    if known.peek().is_none() {
        return Standing::Unknown;
    }
    if known.any(|sections| sections & section != 0) {
        Standing::Read
    } else {
        Standing::Elsewhere
    }
}

/// Whether any section takes, or took, `word` as a keyword.
pub(super) fn is_keyword(word: &str) -> bool {
    RETIRED.contains(&word) || sections(word).next().is_some()
}

fn sections(keyword: &str) -> impl Iterator<Item = u8> {
    let known = KEYWORDS.iter();
    let known = known.filter(move |(_, words)| words.split_whitespace().any(|w| w == keyword));
    known.map(|(sections, _)| *sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyword_is_read_in_some_sections_only() {
        use Standing::{Elsewhere, Read, Unknown};
        for (keyword, kind, expected) in [
            ("prio", Kind::Multipath, Read),
            ("path_checker", Kind::Overrides, Read),
            ("path_checker", Kind::Multipath, Elsewhere),
            ("hardware_handler", Kind::Device, Read),
            ("hardware_handler", Kind::Overrides, Elsewhere),
            ("eh_deadline", Kind::Protocol, Read),
            ("eh_deadline", Kind::Defaults, Read),
            ("prio", Kind::Devices, Elsewhere),
            ("wwid", Kind::BlacklistExceptions, Read),
            ("getuid_callout", Kind::Defaults, Unknown),
            ("", Kind::Defaults, Unknown),
        ] {
            assert_eq!(
                standing(keyword, kind, false),
                expected,
                "{keyword} {kind:?}"
            );
        }
        assert_eq!(standing("vendor", Kind::Device, true), Read);
        assert_eq!(standing("prio", Kind::Device, true), Elsewhere);
    }
}
