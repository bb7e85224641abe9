//! Pages made by hand: designators, their forms, and lies about lengths.

use super::*;

fn page(designators: &[(u8, &[u8])]) -> Vec<u8> {
    let mut page = vec![0, 0x83, 0, 0];
    for (flags, value) in designators {
        page.extend([1, *flags, 0, u8::try_from(value.len()).unwrap()]);
        page.extend(*value);
    }
    let length = u16::try_from(page.len() - 4).unwrap();
    page[2..4].copy_from_slice(&length.to_be_bytes());
    page
}

const NAA6: [u8; 16] = [
    0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xfc,
];

#[test]
fn naa_names_win_over_longer_vendor_ids() {
    let page = page(&[
        (1, b"LIO-ORG array:0123456789abcdef0123456789"),
        (3, &NAA6),
        (0x14, &[0, 0, 0x01, 0x02]),
        (0x15, &[0, 0, 0, 0x11]),
        (0x13, &[0x50, 0, 0, 0, 0, 0, 0, 1]),
    ]);
    assert_eq!(
        lun_wwid(&page).unwrap(),
        "naa.6001405a0102030405060708090a0bfc"
    );
    assert_eq!(port_of(&page), (Some(0x11), Some(0x102)));
    assert_eq!(designators(&page).count(), 5);
}

#[test]
fn other_forms_are_written_as_the_kernel_writes_them() {
    let eui = [0x00, 0x25, 0x38, 0xff, 1, 2, 3, 4];
    assert_eq!(
        lun_wwid(&page(&[(2, &eui)])).unwrap(),
        "eui.002538ff01020304"
    );
    let t10 = lun_wwid(&page(&[(1, b"ATA     QEMU\x00\x01")])).unwrap();
    assert_eq!(t10, "t10.ATA     QEMU\\0\\001");
    let iqn = b"iqn.2003-01.org:disk,L,0x01\0";
    assert_eq!(
        lun_wwid(&page(&[(8, iqn), (3, &NAA6)])).unwrap(),
        "iqn.2003-01.org:disk,L,0x01"
    );
    let short: &[(u8, &[u8])] = &[(1, b"longer"), (1, b"short"), (3, b""), (2, b"123")];
    assert_eq!(lun_wwid(&page(short)).unwrap(), "t10.longer");
}

#[test]
fn names_of_ports_and_targets_are_not_the_luns() {
    assert_eq!(
        lun_wwid(&page(&[(0x13, &NAA6), (0x23, &NAA6), (0x33, &NAA6)])),
        None
    );
}

#[test]
fn lies_about_lengths_end_the_iteration_with_an_error() {
    let good = page(&[(3, &NAA6), (0x15, &[0, 0, 0, 1])]);
    for end in 4..good.len() {
        let items: Vec<_> = designators(&good[..end]).collect();
        let whole = end == 4 || end == 24;
        assert_eq!(
            items.iter().filter(|item| item.is_err()).count(),
            usize::from(!whole)
        );
        assert_eq!(lun_wwid(&good[..end]).is_some(), end >= 24);
    }
    for end in 0..4 {
        let items: Vec<_> = designators(&good[..end]).collect();
        assert!(matches!(items[..], [Err(DecodeError::TooShort { .. })]));
    }
    let mut lying = good.clone();
    lying[7] = 200;
    let first = |page: &[u8]| designators(page).next().unwrap().unwrap_err().to_string();
    assert_eq!(
        first(&lying),
        "designator at byte 4: 204 bytes long, only 28 are left"
    );
    lying[1] = 0x80;
    assert!(first(&lying).contains("byte 1 is 0x80, must be 0x83"));
}

#[test]
fn every_designator_is_written_in_its_own_form() {
    let uuid: Vec<u8> = [0x10, 0].into_iter().chain(0x10..0x20).collect();
    let page = page(&[
        (0x00, b"\xff\x01"),
        (0x01, b"DGC      LUN"),
        (0x02, &[0, 0x25, 0x38, 0xff, 1, 2, 3, 4]),
        (0x03, &NAA6),
        (0x14, &[0, 0, 0x01, 0x02]),
        (0x15, &[0, 0, 0, 0x11]),
        (0x06, &[0, 0, 0, 0x09]),
        (0x07, &[0xab; 16]),
        (0x28, b"iqn.2003-01.org:disk\0\0\0\0"),
        (0x99, &[0x80, 0, 0, 0]),
        (0x0a, &uuid),
        (0x0b, &[]),
    ]);
    let shown: Vec<_> = designators(&page)
        .map(|designator| {
            let designator = designator.unwrap();
            (designator.kind_name(), designator.value_text())
        })
        .collect();
    let expected = [
        ("vendor-specific", "ff01"),
        ("T10 vendor identification", "4447432020202020204c554e"),
        ("EUI-64", "eui.002538ff01020304"),
        ("NAA", "naa.6001405a0102030405060708090a0bfc"),
        ("relative target port", "258"),
        ("target port group", "17"),
        ("logical unit group", "9"),
        (
            "MD5 logical unit identifier",
            "abababababababababababababababab",
        ),
        ("SCSI name string", "iqn.2003-01.org:disk"),
        ("protocol-specific port", "80000000"),
        ("UUID", "10111213-1415-1617-1819-1a1b1c1d1e1f"),
        ("reserved", ""),
    ];
    assert_eq!(shown.len(), expected.len());
    for (shown, (kind, value)) in shown.iter().zip(expected) {
        assert_eq!((shown.0, shown.1.as_str()), (kind, value));
    }
}

#[test]
fn protocols_count_where_they_are_valid_and_text_where_it_is_text() {
    let mut page = page(&[(0x93, &NAA6), (0x83, &NAA6), (0x01, b"DGC     LUN ")]);
    page[4] = 0x51;
    page[24] = 0x51;
    page[44] = 0x02;
    let designators: Vec<_> = designators(&page).map(Result::unwrap).collect();
    assert_eq!(designators[0].protocol, Some(5));
    assert_eq!(designators[1].protocol, None);
    assert_eq!(designators[2].value_text(), "DGC     LUN");
    assert_eq!((designators[1].offset, designators[2].code_set), (24, 2));
}

#[test]
fn a_page_ends_where_its_header_says() {
    let mut page = page(&[(3, &NAA6), (0x15, &[0, 0, 0, 1])]);
    page[3] = 20;
    assert_eq!(designators(&page).count(), 1);
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()[0]
    };
    for round in 0..20_000_usize {
        let mut bytes: Vec<u8> = (0..round % 90).map(|_| random() & random()).collect();
        if let Some(code) = bytes.get_mut(1) {
            *code = 0x83;
        }
        let n_items = designators(&bytes).count();
        for designator in designators(&bytes).map_while(Result::ok) {
            let _ = (designator.kind_name(), designator.value_text());
        }
        assert!(n_items <= bytes.len() / 4 + 1);
        let _ = (lun_wwid(&bytes), port_of(&bytes));
    }
}
