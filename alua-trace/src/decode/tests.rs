//! What is shown of each page, and that no input can break it.

use clap::ValueEnum;

use super::*;
use crate::scsi::bytes::Noise;

const SAMPLES: [(DecodePage, &str); 4] = [
    (
        DecodePage::VolumeAccess,
        include_str!("../../fixtures/sg_vpd-c9.txt"),
    ),
    (
        DecodePage::Inquiry,
        include_str!("../../fixtures/sg_inq-md36xxi.txt"),
    ),
    (
        DecodePage::Inquiry,
        include_str!("../../fixtures/sg_inq-netapp.txt"),
    ),
    (
        DecodePage::Rtpg,
        include_str!("../../fixtures/sg_rtpg-vvd.txt"),
    ),
];

const ACCESS: &str = "\
page c9, 48 bytes
   8  flags                         0xf1
   8  AVT                           1     automatic volume transfer
   8  sector 0 reads                1     transfer nothing
   8  I/O shipping                  1     enabled
   8  port group data               1     in bytes 10 to 13
   8  newer priority fields         0     absent
   8  owned                         1     this controller owns the volume
   9  path priority                 1     preferred
  10  this controller: state        0x00  active/optimized
  11  this controller: status       0x01  operating normally
  12  alternate controller: state   0x01  active/non-optimized
  13  alternate controller: status  0x01  operating normally
      mode                                IOSHIP
      rdac priority                       14 = 2 owned + 4 preferred + 8 IOSHIP
";

fn text(page: DecodePage, input: &[u8]) -> String {
    show(page, false, input).unwrap()
}

fn refused(page: DecodePage, input: &[u8]) -> String {
    format!("{:#}", show(page, false, input).unwrap_err())
}

/// A page of `length` bytes that begins with `start`.
fn padded(start: &[u8], length: usize) -> Vec<u8> {
    let mut page = start.to_vec();
    page.resize(length, 0);
    page
}

#[test]
fn the_volume_access_page_is_shown_field_by_field() {
    let (page, dump) = SAMPLES[0];
    assert_eq!(text(page, dump.as_bytes()), ACCESS);
    let bytes = padded(b"\0\xc9\0\x2cvac1\xf1\x01\x00\x01\x01\x01", 48);
    assert_eq!(text(page, &bytes), ACCESS);
    let json = show(page, true, &bytes).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["page"], &json["bytes"]), (&"c9".into(), &48.into()));
    let mode = &json["fields"][12];
    assert_eq!(mode["meaning"], "IOSHIP");
    assert!(mode["offset"].is_null(), "{mode}");
}

#[test]
fn words_are_shown_with_what_they_lack() {
    let shown = text(SAMPLES[3].0, SAMPLES[3].1.as_bytes());
    for line in [
        "   4  group 1: state                   0x01    active/non-optimized (AN)\n",
        "   9  group 1: status code             0x01    state changed last by SET",
        "note: truncated: ",
        "note: asked for /dev/sde, opened /dev/sdg: ",
        "note: made of words: ",
    ] {
        assert!(shown.contains(line), "{line} in\n{shown}");
    }
    let shown = text(SAMPLES[1].0, SAMPLES[1].1.as_bytes());
    assert!(
        shown.contains("  16  product               MD36xxi\n"),
        "{shown}"
    );
    assert!(
        shown.contains("TPGS                  0        none, or vendor"),
        "{shown}"
    );
}

/// A page, the bytes of its dump, and what must be shown of it.
#[test]
fn every_page_says_what_matters() {
    let mut select = padded(&[0, 0, 0, 0, 0x2c, 0x68], 110);
    (select[39], select[49], select[51]) = (2, 0x81, 0x81);
    let mut unit_path = padded(&[0, 0xc0, 0, 62, 1, 1, 0, 3, 0], 66);
    unit_path[28] = 4;
    let mut edid = padded(b"\0\xc8\0\xabedid", 175);
    edid[29..33].copy_from_slice(b"\0v\x009");
    edid[174] = 31;
    let cases: [(DecodePage, &[u8], &str); 14] = [
        (
            DecodePage::SupportedPages,
            b"\0\0\0\x02\0\xc9",
            "RDAC: volume access control",
        ),
        (DecodePage::SerialNumber, b"\0\x80\0\x07142002I", "142002I"),
        (
            DecodePage::Identification,
            b"\0\x83\0\x08\x51\x95\0\x04\0\0\0\x11",
            "target port group (target port)  00000011  17, iSCSI",
        ),
        (
            DecodePage::UnitPath,
            &unit_path,
            "bound, but not owned by this SP",
        ),
        (
            DecodePage::UnitPath,
            &padded(b"\0\xc0\0\x9chwr4\x02", 160),
            "RDAC hardware version",
        ),
        (
            DecodePage::SoftwareVersion,
            b"\0\xc2\0\x0cswr4\x07\x35\x31\x08\x14\x09\x10\x40",
            "with MODE SELECT(10)",
        ),
        (
            DecodePage::Subsystem,
            &padded(b"\0\xc4\0\x1csubs", 32),
            "controller B",
        ),
        (
            DecodePage::ExtendedIdentification,
            &edid,
            "volume label  v9\n",
        ),
        (
            DecodePage::Stpg,
            b"\0\0\0\0\0\0\0\x01",
            "active/optimized (AO)",
        ),
        (
            DecodePage::RedundantController,
            &select,
            "moves LUN 5, 7 to this controller",
        ),
        (
            DecodePage::Trespass,
            b"\0\0\0\0\x22\x02\x81\xff",
            "even if another host reserved it",
        ),
        (
            DecodePage::Sense,
            b"\x70\0\x05\0\0\0\0\x0a\0\0\0\0\x94\x01\0\0\0\0",
            "05/94/01 RDAC: this controller does not own",
        ),
        (
            DecodePage::Cdb,
            b"\xa3\x2a\0\0\0\0\0\0\x04\0\0\0",
            "REPORT TARGET PORT GROUPS",
        ),
        (
            DecodePage::Rtpg,
            b"\0\0\0\x08\x05\0\0\x01\0\0\0\0",
            "reserved (0x5)\n",
        ),
    ];
    for (page, data, words) in cases {
        let shown = text(page, data);
        assert!(shown.contains(words), "{words} in\n{shown}");
    }
}

#[test]
fn what_is_wrong_is_said_with_what_is_needed() {
    for (page, input, words) in [
        (
            DecodePage::SerialNumber,
            SAMPLES[0].1.as_bytes(),
            "page 80 needs what `sg_vpd --page=0x80 --hex DEVICE` prints: VPD page 80h (unit \
             serial number): byte 1 is 0xc9, must be 0x80",
        ),
        (
            DecodePage::Rtpg,
            b"00 00\n00 0z\n",
            "line 2, column 4: \"0z\" is no hexadecimal byte",
        ),
        (DecodePage::VolumeAccess, b"", "the input is empty"),
        (
            DecodePage::VolumeAccess,
            b"sg_vpd: error\n",
            "no hexadecimal dump",
        ),
        (
            DecodePage::VolumeAccess,
            b"00 c9",
            "needs 4 bytes, there are only 2",
        ),
    ] {
        let error = refused(page, input);
        assert!(error.contains(words), "{words} in {error}");
    }
}

#[test]
fn strings_of_devices_reach_no_terminal_raw() {
    let mut data = padded(&[0, 0, 5, 2, 31], 36);
    data[8..16].copy_from_slice(b"\x1b[2J\xe2\x80\xae\n");
    let shown = text(DecodePage::Inquiry, &data);
    assert!(shown.contains(r"\x1b[2J\u{202e}\x0a"), "{shown}");
    let json = show(DecodePage::Inquiry, true, &data).unwrap();
    for output in [shown, json] {
        assert!(
            !output
                .chars()
                .any(|c| c != '\n' && crate::safe::is_unsafe(c)),
            "{output}"
        );
    }
}

/// A page of 64 KiB can list as many pages; no device has more than 256.
#[test]
fn fields_that_no_page_has_are_counted_not_shown() {
    let shown = text(DecodePage::SupportedPages, &padded(b"\0\0\xff\xff", 65_539));
    assert_eq!(shown.lines().count(), 2048 + 2);
    assert!(
        shown.ends_with("note: 63487 more fields are not shown\n"),
        "{}",
        shown.len()
    );
}

#[test]
fn every_prefix_of_every_sample_as_every_page_never_panics() {
    for (own, sample) in SAMPLES {
        let bytes = input::bytes(own, sample.as_bytes()).unwrap().bytes;
        for page in DecodePage::value_variants() {
            for end in 0..=sample.len() {
                let _ = show(*page, false, &sample.as_bytes()[..end]);
            }
            for end in 0..=bytes.len() {
                let _ = show(*page, end % 2 == 0, &bytes[..end]);
            }
        }
    }
}

#[test]
fn arbitrary_bytes_as_every_page_never_panic() {
    let mut noise = Noise::new();
    for page in DecodePage::value_variants() {
        for round in 0..600 {
            let _ = show(*page, round % 2 == 0, &noise.bytes(&[], round % 320));
        }
    }
}
