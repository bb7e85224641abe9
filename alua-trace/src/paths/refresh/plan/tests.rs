//! Tests of [`super`].

use super::*;

fn inquiry(tpgs: u8) -> Asked {
    let mut data = vec![0, 0, 6, 2, 31, tpgs << 4, 0, 2];
    data.resize(36, b' ');
    (Command::Inquiry { bytes: 96 }, Answer::Data(data))
}

fn page(code: u8, length: u16) -> Asked {
    let [high, low] = length.to_be_bytes();
    let command = Command::Page { code, bytes: 252 };
    (command, Answer::Data(vec![0, code, high, low, 0]))
}

fn list(codes: &[u8]) -> Asked {
    let mut data = vec![0, 0, 0, u8::try_from(codes.len()).unwrap()];
    data.extend(codes);
    (
        Command::Page {
            code: 0,
            bytes: 252,
        },
        Answer::Data(data),
    )
}

const GROUPS: Command = Command::PortGroups {
    extended: true,
    bytes: 1024,
};

fn groups(command: Command, whole: u32) -> Asked {
    (command, Answer::Data((whole - 4).to_be_bytes().to_vec()))
}

/// All that is asked of a device that answers so.
fn script(answer: impl Fn(&Command) -> Answer) -> Vec<Command> {
    let mut asked = Vec::new();
    while let Some(command) = next(&asked) {
        asked.push((command, answer(&command)));
        assert!(asked.len() < 30, "no end: {asked:?}");
    }
    asked.into_iter().map(|(command, _)| command).collect()
}

#[test]
fn commands_are_on_the_wire_as_spc_has_them() {
    let cdb = Command::Inquiry { bytes: 96 }.cdb();
    assert_eq!(cdb, [0x12, 0, 0, 0, 96, 0]);
    let page = Command::Page {
        code: 0xc9,
        bytes: 0x1fc,
    };
    assert_eq!(page.cdb(), [0x12, 1, 0xc9, 1, 0xfc, 0]);
    assert_eq!(GROUPS.cdb(), [0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0]);
    let plain = Command::PortGroups {
        extended: false,
        bytes: 1024,
    };
    assert_eq!(plain.cdb()[..2], [0xa3, 0x0a]);
    assert_eq!((plain.room(), page.room()), (1024, 0x1fc));
}

#[test]
fn an_alua_array_is_asked_for_groups_and_identity() {
    let sent = script(|command| match command {
        Command::Inquiry { .. } => inquiry(1).1,
        Command::Page { code: 0, .. } => list(&[0, 0x80, 0x83, 0xb0]).1,
        Command::Page { code, .. } => page(*code, 1).1,
        Command::PortGroups { .. } => groups(GROUPS, 36).1,
    });
    let page = |code| Command::Page { code, bytes: 252 };
    let first = Command::Inquiry { bytes: 96 };
    assert_eq!(sent, [first, GROUPS, page(0), page(0x80), page(0x83)]);
}

#[test]
fn an_rdac_array_is_asked_for_its_pages_and_no_groups() {
    let sent = script(|command| match command {
        Command::Inquiry { .. } => inquiry(0).1,
        Command::Page { code: 0, .. } => list(&[0, 0x80, 0x83, 0xc2, 0xc4, 0xc8, 0xc9]).1,
        Command::Page { code, .. } => page(*code, 1).1,
        Command::PortGroups { .. } => panic!("no port groups here"),
    });
    let codes: Vec<String> = sent.iter().map(ToString::to_string).collect();
    let expected = [
        "INQUIRY",
        "INQUIRY of page 00h",
        "INQUIRY of page 80h",
        "INQUIRY of page 83h",
    ];
    assert_eq!(codes[..4], expected);
    assert_eq!(
        codes[4..],
        ["C4", "C8", "C9"].map(|page| format!("INQUIRY of page {page}h"))
    );
}

#[test]
fn the_extended_header_is_left_out_where_it_is_refused() {
    let refused = Answer::Refused(Sense::new(5, 0x24, 0));
    let asked = [inquiry(3), (GROUPS, refused)];
    let plain = Command::PortGroups {
        extended: false,
        bytes: 1024,
    };
    assert_eq!(next(&asked), Some(plain));
    let again = (plain, Answer::Refused(Sense::new(5, 0x24, 0)));
    let asked = [&asked[..], &[again]].concat();
    assert_eq!(
        next(&asked),
        Some(Command::Page {
            code: 0,
            bytes: 252
        })
    );
    let other = [
        inquiry(3),
        (GROUPS, Answer::Refused(Sense::new(5, 0x20, 0))),
    ];
    assert_eq!(
        next(&other),
        Some(Command::Page {
            code: 0,
            bytes: 252
        })
    );
}

/// As LIO answers of one group with one port: the length lacks the four bytes of the header.
#[test]
fn the_extended_header_is_left_out_where_it_is_not_counted() {
    let mut data = vec![0, 0, 0, 12, 0x10, 0, 0, 0, 0, 0x07, 0, 1, 0, 2, 0, 1];
    let asked = |data: &[u8]| {
        let answer = (GROUPS, Answer::Data(data.to_vec()));
        next(&[inquiry(3), answer])
    };
    let plain = Command::PortGroups {
        extended: false,
        bytes: 1024,
    };
    assert_eq!(asked(&data), Some(plain));
    assert_eq!(
        next(&[inquiry(3), (plain, Answer::Data(data.clone()))]),
        Some(Command::Page {
            code: 0,
            bytes: 252
        }),
        "once"
    );
    data[3] = 16;
    data.extend([0, 0, 0, 1]);
    assert!(matches!(asked(&data), Some(Command::Page { .. })));
    data.truncate(18);
    assert!(
        matches!(asked(&data), Some(Command::Page { .. })),
        "less came than was told"
    );
}

#[test]
fn a_list_that_does_not_fit_is_asked_for_again_with_room() {
    let longer = Command::PortGroups {
        extended: true,
        bytes: 2000,
    };
    assert_eq!(next(&[inquiry(1), groups(GROUPS, 2000)]), Some(longer));
    let asked = [inquiry(1), groups(GROUPS, 2000), groups(longer, 2000)];
    assert!(matches!(next(&asked), Some(Command::Page { .. })));
    let lying = [inquiry(1), groups(GROUPS, u32::MAX)];
    assert!(matches!(next(&lying), Some(Command::Page { .. })));
}

#[test]
fn a_unit_attention_is_heard_out_but_not_for_ever() {
    let attention = || Answer::Refused(Sense::new(6, 0x29, 0));
    let sent = script(|command| match command {
        Command::Inquiry { .. } => inquiry(3).1,
        Command::PortGroups { .. } => attention(),
        Command::Page { .. } => Answer::Refused(Sense::new(5, 0x24, 0)),
    });
    assert_eq!(sent.iter().filter(|command| is_groups(command)).count(), 6);
}

#[test]
fn a_page_longer_than_usual_is_asked_for_once_more() {
    let asked = [inquiry(0), list(&[0, 0x83]), page(0x83, 400)];
    let longer = Command::Page {
        code: 0x83,
        bytes: 404,
    };
    assert_eq!(next(&asked), Some(longer));
    let mut whole = page(0x83, 500);
    whole.0 = longer;
    assert_eq!(next(&[&asked[..], &[whole]].concat()), None);
    assert_eq!(
        next(&[inquiry(0), list(&[0, 0x83]), page(0x83, u16::MAX)]),
        None
    );
}

#[test]
fn whoever_refuses_an_inquiry_is_asked_nothing_else() {
    let refused = Answer::Refused(Sense::new(5, 0x25, 0));
    let first = Command::Inquiry { bytes: 96 };
    assert_eq!(next(&[(first, refused)]), None);
    assert_eq!(next(&[(first, Answer::Data(vec![0; 3]))]), None);
}

fn path(group: Option<u16>, dm_state: &str, device_state: &str) -> Path {
    Path {
        wwid: Some("naa.6001".to_owned()),
        port_group: group,
        dm_state: Some(dm_state.to_owned()),
        device_state: Some(device_state.to_owned()),
        ..Path::default()
    }
}

#[test]
fn one_path_per_port_group_is_asked() {
    let paths = [
        path(Some(1), "failed", "running"),
        path(Some(2), "active", "offline"),
        path(Some(1), "active", "running"),
        path(Some(1), "active", "running"),
        path(Some(2), "failed", "running"),
    ];
    assert_eq!(askers(&paths.iter().collect::<Vec<_>>()), [2, 4]);
}

#[test]
fn paths_without_a_port_group_stand_for_themselves() {
    let mut paths = [
        path(None, "active", "running"),
        path(None, "active", "running"),
        path(Some(1), "active", "running"),
        path(Some(1), "active", "running"),
    ];
    paths[3].wwid = Some("naa.6002".to_owned());
    assert_eq!(askers(&paths.iter().collect::<Vec<_>>()), [0, 1, 2, 3]);
}
