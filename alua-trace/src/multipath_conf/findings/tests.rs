//! Every finding has a case that raises it and one that does not.

use super::*;
use crate::multipath_conf::parse::parse;
use crate::multipath_conf::tables::Tables;

mod host;

fn configuration(conf: &str) -> Configuration {
    let mut files = Tables::built_in();
    files.add_file(parse("a.conf", conf));
    Configuration::new(files)
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
        ("rr_min_io 100", "rr-min-io 5", "rr_min_io_rq 100"),
        (
            "rr_min_io 100",
            "rr-min-io 5",
            "rr_min_io 100\nfeatures \"2 queue_mode bio\"",
        ),
        ("revision \"*\"", "pattern-invalid 5", "revision \".*\""),
        (
            "path_grouping_policy multibus\nhardware_handler \"1 alua\"",
            "multibus 5",
            "path_grouping_policy multibus",
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
