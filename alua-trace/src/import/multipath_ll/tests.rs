//! Both forms of `multipath -ll`, whole and broken.

use super::*;
use crate::inventory::model::{Access, AccessSource};
use crate::scsi::AccessState;

const OLD: &str = include_str!("../../../fixtures/multipath-ll-0.4.9.txt");
const NEW: &str = include_str!("../../../fixtures/multipath-ll-0.9.txt");

fn states(map: &Map) -> Vec<Option<&Access>> {
    map.paths().map(|path| path.access.as_ref()).collect()
}

fn by_priority(state: AccessState) -> Access {
    Access {
        state,
        source: AccessSource::Priority,
        age_ms: None,
    }
}

#[test]
fn the_old_form_is_read_field_by_field() {
    let inventory = parse(OLD).unwrap();
    assert_eq!((inventory.maps.len(), inventory.notes.len()), (1, 0));
    let map = &inventory.maps[0];
    assert_eq!(map.name, "mpath2");
    assert_eq!(
        map.wwid.as_deref(),
        Some("3600601602df02d00abe0159e5c21e111")
    );
    assert_eq!(map.dm.as_deref(), Some("dm-4"));
    assert_eq!(
        (map.vendor.as_deref(), map.product.as_deref()),
        (Some("DGC"), Some("VRAID"))
    );
    assert_eq!(map.size_bytes, Some(100 << 30));
    assert_eq!(map.features.as_deref(), Some("queue_if_no_path"));
    assert_eq!(
        (map.handler.as_deref(), map.read_only),
        (Some("alua"), Some(false))
    );
    let groups: Vec<_> = map
        .groups
        .iter()
        .map(|group| {
            (
                group.number,
                group.selector.as_deref(),
                group.priority,
                group.state.as_deref(),
                group.paths.len(),
            )
        })
        .collect();
    let selector = Some("round-robin 0");
    assert_eq!(
        groups,
        [
            (1, selector, Some(50), Some("active"), 2),
            (2, selector, Some(10), Some("enabled"), 2)
        ]
    );
    let first = &map.groups[0].paths[0];
    assert_eq!(first.address, "1:0:3:20");
    assert_eq!(
        (first.device.as_deref(), first.devno.as_deref()),
        (Some("sds"), Some("70:724"))
    );
    assert_eq!(first.dm_state.as_deref(), Some("active"));
    assert_eq!(
        (
            first.checker_state.as_deref(),
            first.device_state.as_deref()
        ),
        (Some("ready"), None)
    );
    assert_eq!(
        first.priority.as_ref().unwrap().reason,
        "50 = active/optimized"
    );
    assert_eq!(first.current, Some(true));
    let last = &map.groups[1].paths[1];
    assert_eq!(
        (last.address.as_str(), last.current),
        ("1:0:2:20", Some(false))
    );
    let [ao, an] = [AccessState::OPTIMIZED, AccessState::NON_OPTIMIZED].map(by_priority);
    assert_eq!(states(map), [Some(&ao), Some(&ao), Some(&an), Some(&an)]);
}

/// Documents lose the backslash; machines print it.
#[test]
fn the_backslash_of_the_old_form_makes_no_difference() {
    assert_eq!(
        parse(&OLD.replace("_ ", "\\_ ")).unwrap(),
        parse(OLD).unwrap()
    );
    let older = "mpath1 (3600d0230003228bc000339414edb8101)\n[size=10 GB][features=\"0\"][hwhandler=\"0\"]\n\
                 \\_ round-robin 0 [prio=1][active]\n \\_ 2:0:0:6 sdb 8:16 [active][ready]\n\
                 \\_ round-robin 0 [enabled]\n \\_ 3:0:0:6 sdc 8:64 [failed][faulty]\n";
    let inventory = parse(older).unwrap();
    let map = &inventory.maps[0];
    assert_eq!((map.dm.as_deref(), map.size_bytes), (None, Some(10 << 30)));
    assert_eq!(
        (map.features.as_deref(), map.handler.as_deref()),
        (Some(""), Some(""))
    );
    assert_eq!(map.read_only, None);
    assert_eq!(map.groups[1].priority, None);
    let failed = &map.groups[1].paths[0];
    assert_eq!(
        (failed.dm_state.as_deref(), failed.checker_state.as_deref()),
        (Some("failed"), Some("faulty"))
    );
    assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
}

#[test]
fn the_new_form_is_read_with_several_maps_and_a_log_between() {
    let inventory = parse(NEW).unwrap();
    let names: Vec<_> = inventory.maps.iter().map(|map| map.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "mpatha",
            "36782bcb0002c039d00005f7851dd65de",
            "mpath",
            "mpathd"
        ]
    );
    let [alua, rdac, ..] = &inventory.maps[..] else {
        panic!("{names:?}");
    };
    assert_eq!(
        alua.features.as_deref(),
        Some("queue_if_no_path pg_init_retries 50")
    );
    assert_eq!(
        (alua.size_bytes, alua.read_only),
        (Some(3 << 39), Some(true))
    );
    assert_eq!(alua.groups[0].selector.as_deref(), Some("service-time 0"));
    let preferred = alua.groups[1].paths[0].priority.as_ref().unwrap();
    assert_eq!(
        preferred.reason,
        "90 = 10 active/non-optimized + 80 preferred"
    );
    assert_eq!(alua.groups[1].paths[0].preferred, Some(true));
    assert_eq!(
        rdac.wwid.as_deref(),
        Some("36782bcb0002c039d00005f7851dd65de")
    );
    assert_eq!(
        (rdac.vendor.as_deref(), rdac.product.as_deref()),
        (Some("DELL"), Some("MD36xxi"))
    );
    let reasons: Vec<_> = rdac
        .paths()
        .map(|path| path.priority.as_ref().unwrap().reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "14 = 2 owned + 4 preferred + 8 IOSHIP",
            "9 = 1 secondary + 8 IOSHIP"
        ]
    );
    assert!(rdac.paths().all(|path| path.access.is_none()));
    let ghost = &rdac.groups[1].paths[0];
    assert_eq!(ghost.checker_state.as_deref(), Some("ghost"));
}

#[test]
fn states_of_every_kind_are_read_and_unknown_ones_are_unknown() {
    let inventory = parse(NEW).unwrap();
    let [_, _, multibus, gone] = &inventory.maps[..] else {
        panic!("{inventory:?}");
    };
    // The mean of 50 and 10 is nobody's priority.
    assert!(
        multibus
            .paths()
            .all(|path| path.priority.is_none() && path.access.is_none())
    );
    let states: Vec<_> = multibus
        .paths()
        .map(|path| {
            (
                path.dm_state.as_deref(),
                path.checker_state.as_deref(),
                path.device_state.as_deref(),
                path.current,
            )
        })
        .collect();
    assert_eq!(
        states,
        [
            (
                Some("active"),
                Some("i/o pending"),
                Some("running"),
                Some(true)
            ),
            (Some("failed"), Some("faulty"), Some("offline"), Some(false)),
        ]
    );
    assert_eq!(
        (gone.dm.as_deref(), gone.vendor.as_deref(), gone.read_only),
        (None, None, None)
    );
    let path = &gone.groups[0].paths[0];
    assert_eq!(
        (
            path.address.as_str(),
            path.device.as_deref(),
            path.devno.as_deref()
        ),
        ("", None, Some("8:96"))
    );
    assert_eq!(
        (
            path.dm_state.as_deref(),
            path.checker_state.as_deref(),
            path.current
        ),
        (Some("failed"), None, None)
    );
    assert_eq!(
        inventory.notes,
        [
            "1 line not understood, the first is line 22: something else (here)",
            "2 lines of multipath's log left out, the first is line 1: Nov 21 10:00:00 | \
             /etc/multipath.conf line 3, invalid keyword: getuid_callout",
        ]
    );
}

#[test]
fn names_with_blanks_are_t10_vendor_identifications() {
    let body = "size=16G features='0' hwhandler='0'\n wp=rw\n\
                `-+- policy='round-robin 0' prio=1 status=active\n  \
                `- 3:0:0:1 sdb 8:16 active ready running\n";
    let text = format!(
        "mpatha (1IET     00080001) dm-0 IET,VIRTUAL-DISK\n{body}\
         1IET     00080002 dm-1 IET,VIRTUAL-DISK\n{body}\
         some words about dm-1 here\n{body}"
    );
    let inventory = parse(&text).unwrap();
    let names: Vec<_> = inventory
        .maps
        .iter()
        .map(|map| (map.name.as_str(), map.wwid.as_deref(), map.paths().count()))
        .collect();
    assert_eq!(
        names,
        [
            ("mpatha", Some("1IET     00080001"), 1),
            ("1IET     00080002", Some("1IET     00080002"), 1),
            ("unnamed", None, 1)
        ]
    );
    assert!(
        inventory
            .maps
            .iter()
            .all(|map| map.read_only == Some(false))
    );
}

#[test]
fn sizes_are_multiples_of_1024() {
    for (text, bytes) in [
        ("100G", Some(100 << 30)),
        ("64M", Some(64 << 20)),
        ("1.5T", Some(3 << 39)),
        ("512K", Some(512 << 10)),
        ("2.0P", Some(2 << 50)),
        ("10 GB", Some(10 << 30)),
        ("x", None),
        ("9X", None),
        ("99999999999P", None),
        ("1.0.0G", None),
        (".", None),
    ] {
        assert_eq!(line::size_bytes(text), bytes, "{text}");
    }
}

#[test]
fn lines_that_belong_to_nothing_are_counted_not_guessed() {
    let paths_only = " `- 1:0:0:0 sdb 8:16 active ready running\n";
    let cut = parse(paths_only).unwrap();
    let [map] = &cut.maps[..] else {
        panic!("{cut:?}")
    };
    assert_eq!((map.name.as_str(), map.paths().count()), ("unnamed", 1));
    assert!(
        cut.notes[0].contains("beginning is cut off"),
        "{:?}",
        cut.notes
    );
    assert!(parse("foo (bar)\n\nsome text, and more\n").is_err());
    let after = format!("{NEW}stray dm-9 X,Y\n{paths_only}");
    let inventory = parse(&after).unwrap();
    assert_eq!(inventory.maps.len(), 4);
    assert!(
        inventory.notes[0].starts_with("3 lines not understood"),
        "{:?}",
        inventory.notes
    );
}

#[test]
fn every_prefix_is_read_or_refused() {
    for text in [OLD, NEW] {
        for end in (0..=text.len()).filter(|end| text.is_char_boundary(*end)) {
            let _ = parse(&text[..end]);
        }
    }
}
