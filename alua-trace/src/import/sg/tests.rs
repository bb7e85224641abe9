//! What pages of one device become.

use super::*;
use crate::scsi::AccessState;

const RTPG: &str = include_str!("../../../fixtures/sg_rtpg-vvd.txt");
const DELL: &str = include_str!("../../../fixtures/sg_inq-md36xxi.txt");
const NETAPP: &str = include_str!("../../../fixtures/sg_inq-netapp.txt");
const C9: &str = include_str!("../../../fixtures/sg_vpd-c9.txt");

#[test]
fn port_groups_are_those_of_the_sample_and_the_device_stays_unnamed() {
    let inventory = rtpg(RTPG).unwrap();
    let map = &inventory.maps[0];
    let expected = PortGroup {
        id: 1,
        state: Some(AccessState::NON_OPTIMIZED),
        preferred: Some(false),
        supported: vec![
            AccessState::OPTIMIZED,
            AccessState::NON_OPTIMIZED,
            AccessState::UNAVAILABLE,
        ],
        status: Some("state changed last by SET TARGET PORT GROUPS (a host)".to_owned()),
        ports: Vec::new(),
        source: AccessSource::Printed,
    };
    assert_eq!(map.port_groups, [expected]);
    // Asked for sde, opened sdg: neither names the path.
    assert_eq!(
        (map.name.as_str(), map.groups[0].paths[0].device.as_deref()),
        ("sde", None)
    );
    let notes = inventory.notes.join("\n");
    for words in ["asked for /dev/sde, opened /dev/sdg", "cut off"] {
        assert!(notes.contains(words), "{words} in {notes}");
    }
    let same = rtpg(&RTPG.replace("/dev/sdg", "/dev/sde")).unwrap();
    assert_eq!(
        same.maps[0].groups[0].paths[0].device.as_deref(),
        Some("sde")
    );
}

#[test]
fn inquiry_of_a_map_names_the_map_and_of_a_disk_the_path() {
    let inventory = inquiry(DELL).unwrap();
    let map = &inventory.maps[0];
    let name = "36782bcb0002c039d00005f7851dd65de";
    assert_eq!((map.name.as_str(), map.wwid.as_deref()), (name, Some(name)));
    let words = [&map.vendor, &map.product, &map.revision, &map.serial].map(|word| word.as_deref());
    assert_eq!(
        words,
        [Some("DELL"), Some("MD36xxi"), Some("0784"), Some("142002I")]
    );
    let path = &map.groups[0].paths[0];
    assert_eq!((path.tpgs, path.device.as_deref()), (Some(0), None));
    let inventory = inquiry(NETAPP).unwrap();
    assert!(inventory.maps.is_empty());
    let path = &inventory.unmapped[0];
    assert_eq!(
        (path.device.as_deref(), path.tpgs, path.serial.as_deref()),
        (Some("sda"), Some(1), None)
    );
    assert_eq!(
        (path.vendor.as_deref(), path.product.as_deref()),
        (Some("NETAPP"), Some("LUN"))
    );
}

#[test]
fn volume_access_tells_mode_owner_preference_and_priority() {
    let inventory = vpd(C9).unwrap();
    let map = &inventory.maps[0];
    assert_eq!((map.name.as_str(), map.wwid.as_deref()), ("mpathb1", None));
    let path = &map.groups[0].paths[0];
    let rdac = path.rdac.as_ref().unwrap();
    assert_eq!(
        (rdac.mode.as_deref(), rdac.owned, rdac.preferred),
        (Some("IOSHIP"), Some(true), Some(true))
    );
    let priority = path.priority.as_ref().unwrap();
    assert_eq!(
        (priority.value, priority.reason.as_str()),
        (14, "14 = 2 owned + 4 preferred + 8 IOSHIP")
    );
    assert_eq!(path.access.as_ref().unwrap().state, AccessState::OPTIMIZED);
    assert_eq!(
        inventory.notes,
        [
            "this controller: active/optimized, operating normally",
            "the alternate controller: active/non-optimized, operating normally",
        ]
    );
}

#[test]
fn pages_in_hexadecimal_tell_what_they_tell() {
    let path = |dump: &str| vpd(dump).unwrap().unmapped.remove(0);
    assert_eq!(
        path("00 80 00 07 31 34 32 30 30 32 49").serial.as_deref(),
        Some("142002I")
    );
    let identification = path(
        "00 83 00 24 01 03 00 10 60 01 40 53 6d 4a e5 20\n00 9f ff ff 00 00 01 00 51 94 00 04 00 00 00 1a\n\
         51 95 00 04 00 00 00 02\n",
    );
    assert_eq!(
        identification.wwid.as_deref(),
        Some("naa.600140536d4ae520009fffff00000100")
    );
    assert_eq!(
        (identification.port_group, identification.relative_port),
        (Some(2), Some(26))
    );
    let slot = format!("00 c4 00 1a 73 75 62 73 {} 30 31", "41 ".repeat(20));
    let rdac = path(&slot).rdac.unwrap();
    assert_eq!(
        (rdac.controller, rdac.slot.as_deref()),
        (Some('A'), Some("3031"))
    );
    let mut edid = b"\0\xc8\0\xabedid".to_vec();
    edid.resize(175, 0);
    edid[29..33].copy_from_slice(b"\0v\x009");
    edid[107..111].copy_from_slice(b"\0L\0A");
    let dump: Vec<_> = edid.iter().map(|byte| format!("{byte:02x}")).collect();
    let rdac = path(&dump.join(" ")).rdac.unwrap();
    assert!(rdac.volume.is_some() && rdac.array.is_some(), "{rdac:?}");
    let error = vpd("00 b0 00 00").unwrap_err().to_string();
    assert!(error.contains("page b0h"), "{error}");
}
