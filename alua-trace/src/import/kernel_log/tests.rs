//! Kernel logs of every form, as timelines and as paths.

use super::*;
use crate::inventory::model::Path;

const AVT: &str = include_str!("../../../fixtures/dmesg-rdac-avt.txt");
const IOSHIP: &str = include_str!("../../../fixtures/dmesg-rdac-ioship.txt");
const ALUA: &str = include_str!("../../../fixtures/dmesg-alua.txt");

fn events(imported: &Imported) -> Vec<(&str, &str, &str)> {
    let timeline = imported.timeline.as_ref().unwrap();
    timeline
        .iter()
        .map(|event| {
            (
                event.time.as_deref().unwrap_or("-"),
                event.path.as_deref().unwrap_or("-"),
                event.what.as_str(),
            )
        })
        .collect()
}

fn rdac(path: &Path) -> (&str, Option<&str>, Option<bool>) {
    let rdac = path.rdac.as_ref().unwrap();
    (path.address.as_str(), rdac.mode.as_deref(), rdac.owned)
}

#[test]
fn the_avt_sample_is_a_timeline_of_four_paths() {
    let imported = parse(AVT).unwrap();
    let events = events(&imported);
    assert_eq!(events.len(), 9);
    assert_eq!(events[0], ("98.790309", "-", "device handler registered"));
    assert_eq!(events[1], ("98.796762", "4:0:0:0", "AVT mode detected"));
    assert_eq!(
        events[8],
        (
            "98.799691",
            "7:0:0:0",
            "LUN 0 is owned by this controller, mode AVT"
        )
    );
    let paths: Vec<_> = imported.inventory.unmapped.iter().map(rdac).collect();
    let avt = Some("AVT");
    let owned = Some(true);
    assert_eq!(
        paths,
        [
            ("4:0:0:0", avt, owned),
            ("5:0:0:0", avt, owned),
            ("6:0:0:0", avt, owned),
            ("7:0:0:0", avt, owned)
        ]
    );
    assert!(imported.inventory.notes.is_empty());
}

#[test]
fn the_ioship_sample_is_read_with_its_times() {
    let imported = parse(IOSHIP).unwrap();
    let events = events(&imported);
    assert_eq!(events.len(), 6);
    assert_eq!(
        events[0],
        (
            "Mar 11 09:45:45",
            "8:0:0:1",
            "LUN 1 is owned by this controller, mode IOSHIP"
        )
    );
    assert_eq!(
        events[1],
        (
            "Mar 11 09:45:46",
            "9:0:0:0",
            "LUN 0 is owned by the other controller, mode IOSHIP"
        )
    );
    let paths: Vec<_> = imported.inventory.unmapped.iter().map(rdac).collect();
    let mode = Some("IOSHIP");
    assert_eq!(
        paths,
        [
            ("8:0:0:1", mode, Some(true)),
            ("9:0:0:0", mode, Some(false)),
            ("9:0:0:1", mode, Some(true)),
            ("10:0:0:0", mode, Some(true)),
            ("10:0:0:1", mode, Some(false)),
            ("11:0:0:0", mode, Some(true)),
        ]
    );
    assert!(
        imported
            .inventory
            .unmapped
            .iter()
            .all(|path| path.handler.as_deref() == Some("rdac"))
    );
}

/// A failover as kernels log it, told by either handler.
#[test]
fn a_log_of_alua_and_device_mapper_tells_the_last_state_of_each_path() {
    let imported = parse(ALUA).unwrap();
    let what: Vec<_> = events(&imported)
        .into_iter()
        .map(|(_, path, what)| format!("{path} {what}"))
        .collect();
    assert_eq!(
        what,
        [
            "0:0:0:0 the array offers implicit and explicit ALUA",
            "0:0:0:0 is in port group 1, relative port 1, logical unit naa.600140536d4ae520009fffff00000100",
            "0:0:0:0 transition timeout set to 60 seconds",
            "1:0:0:0 is in port group 1, relative port 26, logical unit naa.600140536d4ae520009fffff00000100",
            "0:0:0:0 port group 1 is active/optimized, not preferred; can be active/optimized, \
             active/non-optimized, standby, unavailable, offline, transitioning",
            "0:0:0:0 the array says: asymmetric access state changed",
            "0:0:0:0 port group 1 is active/non-optimized, not preferred; can be active/optimized, \
             active/non-optimized, standby, unavailable, offline, transitioning",
            "0:0:0:0 path failed (8:0)",
            "8:16 path failed",
            "0:0:0:0 path reinstated (8:0)",
            "0:0:1:0 array LABARRAY, controller 1: queueing MODE_SELECT command",
            "0:0:1:0 array LABARRAY, controller 1: MODE_SELECT completed",
            "0:0:1:0 rtpg failed, something new",
            "- Could not failover device 8:32: Handler scsi_dh_alua error 14.",
        ]
    );
    let [first, unit, other, unknown] = &imported.inventory.unmapped[..] else {
        panic!("{:?}", imported.inventory.unmapped);
    };
    assert_eq!(
        (first.device.as_deref(), first.devno.as_deref()),
        (Some("sda"), Some("8:0"))
    );
    assert_eq!(
        (first.dm_state.as_deref(), first.tpgs),
        (Some("active"), Some(3))
    );
    let state = first.access.as_ref().unwrap();
    assert_eq!(
        (state.state.abbreviation(), first.preferred),
        ("AN", Some(false))
    );
    assert_eq!((first.port_group, first.relative_port), (Some(1), Some(1)));
    // Told by its sibling in the same group.
    assert_eq!(other.address, "1:0:0:0");
    assert_eq!(
        (other.access.as_ref(), other.relative_port),
        (first.access.as_ref(), Some(26))
    );
    assert_eq!(
        unit.rdac.as_ref().unwrap().array.as_deref(),
        Some("LABARRAY")
    );
    assert_eq!(
        (unknown.address.as_str(), unknown.devno.as_deref()),
        ("", Some("8:16"))
    );
    assert_eq!(unknown.dm_state.as_deref(), Some("failed"));
    assert_eq!(
        imported.inventory.notes,
        [
            "2 lines of other parts of the kernel left out, the first is line 1: [    0.000000] Linux version 6.1.0"
        ]
    );
}

/// Lines of the transport, of other handlers and of multipathd explain what a path did.
#[test]
fn what_explains_a_path_is_part_of_the_story() {
    let log = "\
[  1.0]  connection1:0: detected conn error (1022)
[  2.0]  session1: session recovery timed out after 120 secs
[  3.0]  rport-1:0-3: blocked FC remote port time out: removing target and saving binding
[  4.0] sd 1:0:0:1: emc: at SP A Port 4 (owned, default SP A)
[  5.0] sd 1:0:0:1: [sdb] Unhandled sense code
[  5.1] sd 1:0:0:1: [sdb] Sense Key : Hardware Error [current]
[  5.2] sd 1:0:0:1: [sdb] <<vendor>> ASC=0x94 ASCQ=0x1
[  5.3] sd 1:0:0:1: [sdb] CDB: Write(10): 2a 00 00 00 00 10 00 00 01 00
Nov 28 10:00:06 host multipathd: 8:16: reinstated
Nov 28 10:00:07 host multipathd[9]: mpatha: switch to path group #2
";
    let imported = parse(log).unwrap();
    let what: Vec<_> = events(&imported)
        .into_iter()
        .map(|(_, path, what)| format!("{path} {what}"))
        .collect();
    assert_eq!(
        what,
        [
            "- connection1:0: detected conn error (1022)",
            "- session1: session recovery timed out after 120 secs",
            "- rport-1:0-3: blocked FC remote port time out: removing target and saving binding",
            "1:0:0:1 emc: at SP A Port 4 (owned, default SP A)",
            "1:0:0:1 WRITE(10) at LBA 0x10, 1 block, failed: 04/94/01",
            "1:0:0:1 8:16: reinstated (8:16)",
            "- mpatha: switch to path group #2",
        ]
    );
    assert_eq!(
        imported.inventory.notes.len(),
        1,
        "{:?}",
        imported.inventory.notes
    );
}

#[test]
fn the_timeline_is_shown_in_columns_and_made_safe() {
    let log = "[    1.5] sd 0:0:0:0: alua: Attached\n[  100.25] device-mapper: multipath: 254:0: Failing path 8:16.\n\
               rdac: a\x1b[2Jb\n";
    let imported = parse(log).unwrap();
    assert_eq!(
        show::text(&imported.timeline.unwrap(), &["a note".to_owned()]),
        "   1.5  0:0:0:0  alua  Attached\n\
         100.25  8:16     dm    path failed\n     -  -        rdac  a\\x1b[2Jb\nnote: a note\n"
    );
    let imported = parse(log).unwrap();
    let json = crate::import::show::show(&imported, crate::cli::View::Json, 100).unwrap();
    assert!(!json.contains('\x1b'), "{json}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let event = serde_json::json!({"time": "100.25", "source": "device-mapper", "path": "8:16", "what": "path failed"});
    assert_eq!(json["timeline"][1], event);
    assert_eq!(json["timeline"][2]["time"], serde_json::Value::Null);
    assert_eq!(json["unmapped"][0]["address"], "0:0:0:0");
}

#[test]
fn every_form_of_log_tells_the_same() {
    let plain = parse(AVT).unwrap();
    let dmesg_t = AVT.replace("[   98.", "[Mon Nov 21 10:00:");
    let syslog = AVT.replace("[   ", "Nov 21 10:00:00 host kernel: [   ");
    for log in [dmesg_t, syslog] {
        let other = parse(&log).unwrap();
        assert_eq!(other.inventory, plain.inventory, "{log}");
    }
}

#[test]
fn logs_without_a_line_of_interest_are_refused() {
    assert!(
        parse("[    0.0] Linux version 6.1\n[    1.0] sd 0:0:0:0: [sda] Attached SCSI disk\n")
            .is_err()
    );
}

#[test]
fn every_prefix_is_read_or_refused() {
    for text in [AVT, IOSHIP, ALUA] {
        for end in 0..=text.len() {
            let _ = parse(&text[..end]);
        }
    }
}
