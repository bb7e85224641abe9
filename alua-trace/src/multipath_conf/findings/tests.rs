//! Every finding has a case that raises it and one that does not.

use super::*;
use crate::multipath_conf::effective::Place;
use crate::multipath_conf::parse::parse;
use crate::multipath_conf::tables::Tables;

mod host;

fn configuration(conf: &str) -> Configuration {
    let mut configuration = Configuration::new(Tables::built_in());
    configuration.add_file(parse("a.conf", conf), Place::Main);
    configuration
}

/// `id line …` of each finding.
fn shown(found: &[Finding]) -> Vec<String> {
    let one = |finding: &Finding| {
        let lines = finding.at.iter().map(|at| format!(" {}", at.line));
        finding.id.name().to_owned() + &lines.collect::<String>()
    };
    found.iter().map(one).collect()
}

fn of_file(conf: &str) -> Vec<String> {
    shown(&findings(&configuration(conf), None))
}

const DEVICE: &str = "devices {\ndevice {\nvendor X\nproduct Y\n";
const END: &str = "\n}\n}\n";

/// Whether settings of a device raise exactly this finding, and others none.
#[track_caller]
fn raises_here_only(raises: &str, line: &str, does_not: &str) {
    assert_eq!(
        of_file(&format!("{DEVICE}{raises}{END}")),
        [line],
        "{raises}"
    );
    assert_eq!(
        of_file(&format!("{DEVICE}{does_not}{END}")),
        [""; 0],
        "{does_not}"
    );
}

#[test]
fn options_raise_their_findings_and_others_do_not() {
    for (raises, line, does_not) in [
        (
            "getuid_callout /sbin/scsi_id",
            "getuid-callout 5",
            "uid_attribute ID_SERIAL",
        ),
        ("prio_callout /bin/true", "prio-callout 5", "prio alua"),
        ("prio mpath_prio_alua", "mpath-prio-program 5", "prio alua"),
        (
            "prio \"/sbin/mpath_prio_emc /dev/%n\"",
            "mpath-prio-program 5",
            "vpd_vendor mpath_prio_x",
        ),
        (
            "path_checker alua",
            "path-checker-alua 5",
            "path_checker tur",
        ),
        (
            "retain_attached_hw_handler no",
            "retain-handler 5",
            "detect_checker no",
        ),
        ("detect_prio yes", "detect-prio-default 5", "detect_prio no"),
        (
            "rr_min_io 100",
            "rr-min-io 5",
            "path_selector \"round-robin 0\"",
        ),
        ("rr_min_io_rq 100", "rr-min-io 5", "rr_min_io 0"),
        ("rr_weight priorities", "rr-min-io 5", "rr_weight equal"),
        ("revision \"*\"", "pattern-invalid 5", "revision \".*\""),
    ] {
        raises_here_only(raises, line, does_not);
    }
}

#[test]
fn asymmetric_arrays_raise_their_findings_and_others_do_not() {
    for (raises, line, does_not) in [
        (
            "path_grouping_policy multibus\nhardware_handler \"1 alua\"",
            "multibus 5",
            "path_grouping_policy multibus",
        ),
        (
            "path_grouping_policy multibus\nprio alua",
            "multibus 5",
            "path_grouping_policy multibus\nprio alua\ndetect_pgpolicy yes",
        ),
        (
            "path_grouping_policy multibus\nprio emc\ndetect_pgpolicy yes",
            "multibus 5",
            "path_grouping_policy multibus\npath_grouping_policy failover\nprio emc",
        ),
        (
            "path_grouping_policy multibus\npath_grouping_policy mulitbus\nprio emc",
            "multibus 5",
            "path_grouping_policy mulitbus\nprio emc",
        ),
        (
            "path_grouping_policy multibus\npath_checker rdac",
            "multibus 5",
            "path_grouping_policy group_by_prio\nprio rdac",
        ),
        (
            "prio const\nhardware_handler \"1 rdac\"",
            "const-prio 5",
            "prio const\nhardware_handler \"1 alua\"",
        ),
        (
            "prio const\nhardware_handler \"1 alua\"\ndetect_prio no",
            "const-prio 5",
            "prio const",
        ),
        (
            "failback immediate\nprio rdac",
            "failback-immediate 5",
            "failback followover\nprio rdac",
        ),
        (
            "failback immediate\nprio emc",
            "failback-immediate 5",
            "failback immediate",
        ),
    ] {
        raises_here_only(raises, line, does_not);
    }
}

#[test]
fn options_are_found_in_every_section() {
    for section in [
        "defaults {",
        "overrides {",
        "multipaths {\nmultipath {\nwwid 1",
    ] {
        let conf = format!("{section}\nrr_min_io 5\n}}\n");
        let line = conf.lines().count() - 1;
        assert_eq!(of_file(&conf), [format!("rr-min-io {line}")]);
    }
    let conf = "overrides {\npath_grouping_policy multibus\nprio const\n}";
    assert_eq!(of_file(conf), ["multibus 2", "const-prio 3"]);
    assert_eq!(
        of_file("defaults {\npath_grouping_policy failover\n}"),
        [""; 0]
    );
}

/// The built-in entry of an entry's names is merged with it; others of its devices count, too.
#[test]
fn arrays_that_the_built_in_table_knows_need_no_sign_of_their_own() {
    for (vendor, product, is_known) in [
        ("DELL", "^MD3", true),
        ("DELL", "MD36xx(i|f)", true),
        ("LENOVO", "DE_Series", true),
        ("SUN", "STK6580_6780", true),
        ("ACME", "MD36xxi", false),
        ("DELL", ".*", false),
    ] {
        let conf = format!(
            "devices {{\ndevice {{\nvendor \"{vendor}\"\nproduct \"{product}\"\n\
             path_grouping_policy multibus\nprio const\n}}\n}}\n"
        );
        let expected: &[&str] = if is_known {
            &["multibus 5", "const-prio 6"]
        } else {
            &[]
        };
        assert_eq!(of_file(&conf), expected, "{vendor} {product}");
    }
}

#[test]
fn what_multipath_tools_refuse_is_a_problem_but_in_conf_d() {
    let conf = "blacklist {\nwwid \"*\"\n}\n";
    assert_eq!(of_file(conf), ["file-refused 2"]);
    let mut configuration = Configuration::new(Tables::built_in());
    let notes = configuration.add_file(parse("a.conf", conf), Place::Additional);
    assert_eq!(shown(&findings(&configuration, None)), [""; 0]);
    assert_eq!(notes.len(), 1, "{notes:?}");
}

#[test]
fn what_is_not_read_is_judged_as_it_may_be_meant() {
    let conf = "device {\nvendor X\nproduct Y\nprio emc\npath_grouping_policy multibus\n}\n";
    let found = findings(&configuration(conf), None);
    assert_eq!(shown(&found), ["multibus 5"]);
    assert!(
        found[0].reason.starts_with("as it may be meant"),
        "{found:?}"
    );
}

#[test]
fn defaults_are_worth_advice() {
    let conf = "defaults {\npath_grouping_policy multibus\nprio const\ndetect_prio no\n}";
    let found = findings(&configuration(conf), None);
    assert_eq!(shown(&found), ["multibus 2", "const-prio 3"]);
    assert!(found.iter().all(|it| it.severity == Severity::Advice));
}

#[test]
fn findings_that_differ_in_their_lines_only_are_one() {
    let conf = "defaults {\nrr_min_io 5\n}\noverrides {\nrr_min_io 5\nrr_min_io 6\n}";
    assert_eq!(of_file(conf), ["rr-min-io 2 5 6"]);
}

#[test]
fn the_samples_give_what_is_known_of_them() {
    assert_eq!(
        of_file(include_str!("../fixtures/multipath-md36xx-stock.conf")),
        ["rr-min-io 9", "failback-immediate 8"]
    );
    assert_eq!(
        of_file(include_str!("../fixtures/multipath-md36xx-alua.conf")),
        [
            "rr-min-io 9",
            "retain-handler 14",
            "failback-immediate 8",
            "detect-prio-default 13"
        ]
    );
    assert_eq!(
        of_file(include_str!("../fixtures/multipath-dgc.conf")),
        [
            "pattern-invalid 3",
            "prio-callout 6",
            "getuid-callout 5",
            "mpath-prio-program 6",
            "failback-immediate 10",
        ]
    );
}
