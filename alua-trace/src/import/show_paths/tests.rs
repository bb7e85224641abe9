//! Tables of paths in every form, and the log of `multipath -v3`.

use super::*;

const TABLE: &str = "\
hcil     dev  dev_t  pri dm_st  chk_st dev_st  next_check
1:0:0:1  sdb  8:16   50  active ready  running XXX....... 7/20
2:0:0:1  sdc  8:32   10  failed faulty running X......... 2/20
3:0:0:1  sdd  8:48   1   undef  ghost  running orphan
";
const V3: &str = "\
Nov 28 10:00:00 | sdb: vendor = DELL
Nov 28 10:00:00 | sdb: product = MD36xxi
Nov 28 10:00:00 | sdb: h:b:t:l = 1:0:0:1
Nov 28 10:00:00 | sdb: uid = 36001 (udev)
Nov 28 10:00:00 | sdb: prio = rdac (setting: storage device configuration)
Nov 28 10:00:00 | sdb: rdac prio = 14
===== paths list =====
uuid  hcil    dev dev_t pri dm_st chk_st vend/prod/rev dev_st
36001 1:0:0:1 sdb 8:16  14  undef undef  DELL,MD36xxi  running
      2:0:0:1 sdc 8:32  -1  undef undef  DELL,MD36xxi  unknown
";

#[test]
fn the_table_of_multipathd_is_read() {
    let inventory = parse(TABLE).unwrap();
    assert_eq!(inventory.notes, [""; 0]);
    let [first, second, third] = &inventory.unmapped[..] else {
        panic!("{inventory:?}")
    };
    assert_eq!(
        (first.address.as_str(), first.device.as_deref()),
        ("1:0:0:1", Some("sdb"))
    );
    assert_eq!(first.priority.as_ref().unwrap().value, 50);
    assert_eq!(second.dm_state.as_deref(), Some("failed"));
    assert_eq!(second.checker_state.as_deref(), Some("faulty"));
    assert_eq!(
        (third.dm_state.as_deref(), third.checker_state.as_deref()),
        (None, Some("ghost"))
    );
}

#[test]
fn any_format_is_read_by_its_header() {
    let text = "dev multipath dev_st  vend/prod/rev    serial\n\
                sdb mpatha    running DELL,MD36xxi,07  A B\n\
                sdc mpatha    running DELL,MD36xxi,07\n\
                sdd [orphan]  offline DELL,MD36xxi,07  C\n";
    let inventory = parse(text).unwrap();
    let [map] = &inventory.maps[..] else {
        panic!("{inventory:?}")
    };
    assert_eq!((map.name.as_str(), map.paths().count()), ("mpatha", 2));
    let first = map.paths().next().unwrap();
    assert_eq!(first.serial.as_deref(), Some("A B"));
    assert_eq!(first.revision.as_deref(), Some("07"));
    assert_eq!(
        inventory.unmapped[0].device_state.as_deref(),
        Some("offline")
    );
    // Without its blanks the table is read as far as it is plain.
    let squeezed =
        "hcil dev dev_t pri dm_st\n1:0:0:1 sdb 8:16 50 active\n11:0:0:1 sdbc 8:32 1 failed\n";
    let inventory = parse(squeezed).unwrap();
    assert_eq!(inventory.unmapped[1].dm_state.as_deref(), Some("failed"));
    assert_eq!(inventory.unmapped[1].device.as_deref(), Some("sdbc"));
}

#[test]
fn the_log_of_v3_adds_to_its_table() {
    let inventory = parse(V3).unwrap();
    assert_eq!(inventory.notes, [""; 0]);
    let [first, second] = &inventory.unmapped[..] else {
        panic!("{inventory:?}")
    };
    assert_eq!(first.wwid.as_deref(), Some("36001"));
    let priority = first.priority.as_ref().unwrap();
    assert_eq!(
        (priority.value, priority.prioritizer.as_deref()),
        (14, Some("rdac"))
    );
    assert_eq!(
        (second.wwid.as_deref(), second.address.as_str()),
        (None, "2:0:0:1")
    );
    let only_log = V3.split("=====").next().unwrap();
    assert_eq!(parse(only_log).unwrap().unmapped[0].address, "1:0:0:1");
}

#[test]
fn what_is_no_path_is_refused_or_noted() {
    assert!(parse("some text\n").is_err());
    assert!(parse("dev hcil\n").is_err());
    let inventory = parse(&format!("{TABLE}ok\n? x\n")).unwrap();
    assert_eq!(inventory.notes.len(), 1, "{inventory:?}");
    for end in 0..TABLE.len() {
        let _ = parse(&TABLE[..end]);
    }
}
