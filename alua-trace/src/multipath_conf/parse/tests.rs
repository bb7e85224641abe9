//! What the text of a configuration comes to, however odd.

use super::super::section::Note;
use super::notes::MAX_NOTES;
use super::*;

fn file(text: &str) -> File {
    parse("a.conf", text)
}

fn notes(text: &str) -> Vec<String> {
    let notes = file(text).notes;
    let line = |note: &Note| note.at.as_ref().map_or(0, |at| at.line);
    notes
        .iter()
        .map(|note| format!("{}: {}", line(note), note.text))
        .collect()
}

/// `kind@line{keyword=value@line …}` with the sections in it.
fn shape(sections: &[Section]) -> String {
    let one = |section: &Section| {
        let settings = section.settings.iter();
        let settings = settings.map(|s| format!("{}={}@{}", s.keyword, s.value, s.line));
        let mut parts: Vec<_> = settings.collect();
        if !section.sections.is_empty() {
            parts.push(shape(&section.sections));
        }
        format!(
            "{}@{}{{{}}}",
            section.kind.name(),
            section.line,
            parts.join(" ")
        )
    };
    sections.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn shape_of(text: &str) -> String {
    shape(&file(text).sections)
}

#[test]
fn every_section_is_read_with_its_lines() {
    let text = "\
defaults {
    prio alua  # why not
}
blacklist {
    devnode \"!^sd[a-z]\"
    device {
        vendor X
    }
}
blacklist_exceptions {
    wwid 3600
}
devices {
    device {
        vendor \"DELL\"
        product \"MD36xx(i|f)\"
    }
    device {
        vendor \"2.5\"\" SSD\"
    }
}
multipaths {
    multipath {
        wwid 3600
        prio const
        prio rdac
    }
}
overrides {
    failback manual
    protocol {
        type scsi:iscsi
        dev_loss_tmo 60
    }
}
";
    assert_eq!(notes(text), Vec::<String>::new());
    assert_eq!(
        shape_of(text),
        "defaults@1{prio=alua@2} \
         blacklist@4{devnode=!^sd[a-z]@5 device@6{vendor=X@7}} \
         blacklist_exceptions@10{wwid=3600@11} \
         devices@13{device@14{vendor=DELL@15 product=MD36xx(i|f)@16} device@18{vendor=2.5\" SSD@19}} \
         multipaths@22{multipath@23{wwid=3600@24 prio=const@25 prio=rdac@26}} \
         overrides@29{failback=manual@30 protocol@31{type=scsi:iscsi@32 dev_loss_tmo=60@33}}"
    );
}

/// As multipath-tools read it; as it may be meant.
fn both(text: &str) -> (String, Option<String>) {
    let file = file(text);
    (shape(&file.sections), file.meant.map(|it| shape(&it)))
}

#[test]
fn a_lone_device_is_meant_as_vendors_print_it() {
    let text = "device {\n checker tur\n}\ndefaults {\n prio alua\n}";
    assert_eq!(
        both(text),
        (
            "defaults@4{prio=alua@5}".to_owned(),
            Some("device@1{path_checker=tur@2} defaults@4{prio=alua@5}".to_owned())
        )
    );
    assert_eq!(
        notes(text),
        ["1: a device section outside of `devices { … }`: multipath-tools ignore it there"]
    );
}

#[test]
fn without_its_brace_a_section_takes_in_what_follows() {
    let text = "devices {\n device {\n  vendor X\n device {\n  product Y\ndefaults {\n prio alua\n";
    assert_eq!(
        both(text),
        (
            "devices@1{device@2{vendor=X@3 product=Y@5 prio=alua@7}}".to_owned(),
            Some(
                "devices@1{device@2{vendor=X@3} device@4{product=Y@5}} defaults@6{prio=alua@7}"
                    .to_owned()
            )
        )
    );
    assert_eq!(
        notes(text),
        [
            "4: 'device' is no section of 'device' (line 2), whose closing brace may be missing: \
             multipath-tools ignore the line and read on in 'device'",
            "5: 'product' is read as a setting of 'device' (line 2)",
            "6: 'defaults' is no section of 'device' (line 2), whose closing brace may be missing: \
             multipath-tools ignore the line and read on in 'device'",
            "7: 'prio' is read as a setting of 'device' (line 2)",
            "8: the brace that closes 'device' of line 2 is missing",
            "8: the brace that closes 'devices' of line 1 is missing",
        ]
    );
}

#[test]
fn the_brace_of_an_unknown_section_closes_the_one_around_it() {
    let text = "devices {\n devcie {\n  vendor X\n }\n device {\n  vendor X\n }\n}\ndefaults {\n}";
    assert_eq!(
        both(text),
        (
            "devices@1{} defaults@9{}".to_owned(),
            Some("devices@1{device@5{vendor=X@6}} defaults@9{}".to_owned())
        )
    );
    assert_eq!(
        notes(text),
        [
            "2: no section is called 'devcie': multipath-tools ignore it",
            "4: this brace, meant for 'devcie' (line 2), closes 'devices' (line 1): what follows is \
             read outside of it",
            "5: a device section outside of `devices { … }`: multipath-tools ignore it there",
            "6: lines 6 to 8 are ignored, as they stand outside of any section",
        ]
    );
}

/// Whether a text gives one note, or none, and these sections.
#[track_caller]
fn is_read_so(text: &str, note: &str, shape: &str) {
    let expected: Vec<_> = Some(note).filter(|it| !it.is_empty()).into_iter().collect();
    assert_eq!(notes(text), expected, "{text}");
    assert_eq!(shape_of(text), shape, "{text}");
}

#[test]
fn what_is_not_read_becomes_a_note_with_its_line() {
    for (text, expected, shape) in [
        ("}", "1: a brace closes nothing: ignored", ""),
        ("prio alua", "1: 'prio' outside of any section: ignored", ""),
        (
            "defaults {\n prio\n}",
            "2: 'prio' has no value: ignored",
            "defaults@1{}",
        ),
        (
            "defaults {\n}\n\nx",
            "4: 'x' has no value: ignored",
            "defaults@1{}",
        ),
        (
            "defaults {\n prio alua emc\n}",
            "2: multipath-tools ignore what begins with 'emc'",
            "defaults@1{prio=alua@2}",
        ),
        (
            "defaults {\n prio alua{\n}",
            "2: multipath-tools ignore what begins with '{'",
            "defaults@1{prio=alua@2}",
        ),
        ("defaults {\n prio {\n}", "", "defaults@1{prio={@2}"),
        (
            "defaults {\n prio \"alua\n}",
            "2: the quotes are not closed: read to the end of the line",
            "defaults@1{prio=alua@2}",
        ),
        (
            "defaults {\n \"prio\" alua\n}",
            "2: 'prio' is in quotes, which no keyword is: ignored",
            "defaults@1{}",
        ),
        (
            "defaults\n{\n prio alua\n}",
            "1: there is no brace behind 'defaults'",
            "defaults@1{prio=alua@3}",
        ),
        (
            "defaults # {\n prio alua\n}",
            "1: there is no brace behind 'defaults'",
            "defaults@1{prio=alua@2}",
        ),
        (
            "defaults x {\n prio alua\n}",
            "1: there is no brace behind 'defaults'",
            "defaults@1{prio=alua@2}",
        ),
        (
            "overrides\n{\n prio alua\n}",
            "1: there is no brace behind 'overrides' in its line: multipath-tools ignore the whole \
             section",
            "",
        ),
        (
            "overrides x\n prio alua\n}",
            "1: there is no brace behind 'overrides'",
            "overrides@1{prio=alua@2}",
        ),
    ] {
        is_read_so(text, expected, shape);
    }
}

#[test]
fn keywords_are_those_of_their_sections_and_releases() {
    for (text, expected, shape) in [
        (
            "defaults {\n brio alua\n}",
            "2: no version of multipath-tools knows 'brio': ignored",
            "defaults@1{}",
        ),
        (
            "overrides {\n hardware_handler \"1 alua\"\n}",
            "2: 'hardware_handler' is not read in 'overrides': ignored",
            "overrides@1{}",
        ),
        (
            "defaults {\n max_retries 3\n}",
            "2: multipath-tools know 'max_retries' since 0.9.7: older ones ignore it",
            "defaults@1{max_retries=3@2}",
        ),
        (
            "defaults {\n checker tur\n}",
            "",
            "defaults@1{path_checker=tur@2}",
        ),
        (
            "defaults {\n default_features \"0\"\n}",
            "2: multipath-tools know 'default_features' up to 0.8.9: newer ones ignore it",
            "defaults@1{}",
        ),
        (
            "devnode_blacklist {\n devnode sda\n}",
            "1: multipath-tools know 'devnode_blacklist' up to 0.8.9: newer ones ignore it",
            "",
        ),
        (
            "odd {\n prio alua\n}\ndefaults {\n}",
            "1: no section is called 'odd': multipath-tools ignore it",
            "defaults@4{}",
        ),
        (
            "{\n prio x\n}",
            "1: a brace without the name of a section: ignored",
            "",
        ),
        (
            "defaults {\n failback 9999999999\n}",
            "2: 9999999999 is beyond the limits of failback: multipath-tools take 2147483647",
            "defaults@1{failback=2147483647@2}",
        ),
        (
            "defaults {\n failback 5\n failback 0\n}",
            "",
            "defaults@1{failback=@3}",
        ),
        (
            "multipaths {\n multipath {\n failback 5\n failback 0\n}\n}",
            "",
            "multipaths@1{multipath@2{}}",
        ),
        (
            "blacklist {\n protocol \"scsi:usb\"\n devnode \"^zram\"\n}",
            "",
            "blacklist@1{protocol=scsi:usb@2 devnode=^zram@3}",
        ),
    ] {
        is_read_so(text, expected, shape);
    }
}

#[test]
fn a_value_that_is_none_leaves_the_earlier_one() {
    let text = "defaults {\n prio_args x\n path_grouping_policy multibus\n \
                path_grouping_policy mulitbus\n detect_prio NO\n}";
    assert_eq!(
        shape_of(text),
        "defaults@1{prio_args=x@2 path_grouping_policy=multibus@3}"
    );
    assert_eq!(
        notes(text),
        [
            "4: 'mulitbus' is no value of path_grouping_policy, and ignored: it takes failover, \
             multibus, group_by_serial, group_by_prio, group_by_node_name or group_by_tpg",
            "5: 'NO' is no value of detect_prio, and ignored: it takes yes, no, 1 or 0",
        ]
    );
}

#[test]
fn some_mistakes_make_multipath_tools_refuse_the_file() {
    for (text, lines) in [
        ("blacklist {\n wwid \"*\"\n}", vec![2]),
        ("blacklist_exceptions {\n devnode \"!*\"\n}", vec![2]),
        (
            "blacklist {\n device {\n vendor \"(\"\n product \"[\"\n}\n}",
            vec![3, 4],
        ),
        ("devices {\n device {\n vendor \"*\"\n}\n}", vec![]),
        ("defaults {\n reservation_key x\n}", vec![2]),
    ] {
        let refusals = file(text).refusals;
        let found: Vec<_> = refusals.iter().map(|it| it.at.line).collect();
        assert_eq!(found, lines, "{text}");
    }
}

#[test]
fn a_section_in_one_line_has_only_its_beginning_read() {
    let text = "defaults { prio alua }\noverrides { }";
    assert_eq!(
        both(text),
        (
            "defaults@1{}".to_owned(),
            Some("defaults@1{prio=alua@1} overrides@2{}".to_owned())
        )
    );
    assert_eq!(
        notes(text),
        [
            "1: multipath-tools ignore what begins with 'prio'",
            "2: 'overrides' is no section of 'defaults' (line 1), whose closing brace may be \
             missing: multipath-tools ignore the line and read on in 'defaults'",
            "2: the brace that closes 'defaults' of line 1 is missing",
        ]
    );
}

#[test]
fn a_line_is_read_in_pieces_and_up_to_a_carriage_return() {
    let long = format!("defaults {{\n prio {}\n}}", "a".repeat(2000));
    let read = file(&long);
    let value = &read.sections[0].settings[0].value;
    assert_eq!(value.len(), MAX_LINE - " prio ".len());
    assert_eq!(
        shape_of("defaults {\r\nprio alua\r\n}\r\n"),
        "defaults@1{prio=alua@2}"
    );
    assert_eq!(
        shape_of("defaults {\nprio\0x\nprio alua\rx\n}"),
        "defaults@1{prio=alua@3}"
    );
}

#[test]
fn an_older_release_knows_less() {
    let text = "overrides {\n detect_pgpolicy yes\n path_grouping_policy group_by_tpg\n}";
    let read = parse_as("a.conf", text, Release(0, 9, 4));
    assert_eq!(shape(&read.sections), "overrides@1{}");
    assert_eq!(read.notes.len(), 2);
    assert_eq!(shape(&parse_as("", text, Release(0, 5, 0)).sections), "");
}

#[test]
fn retired_keywords_are_kept() {
    let text = "defaults {\n getuid_callout x\n prio_callout y\n}";
    assert_eq!(
        shape_of(text),
        "defaults@1{getuid_callout=x@2 prio_callout=y@3}"
    );
    assert!(notes(text).is_empty());
}

#[test]
fn notes_settings_and_sections_are_bounded() {
    let read = file(&"}\n".repeat(1000));
    assert_eq!(read.notes.len(), MAX_NOTES + 1);
    assert_eq!(
        read.notes.last().unwrap().text,
        "950 more notes on a.conf are not shown"
    );
    let read = file(&format!("defaults {{\n{}}}", "prio alua\n".repeat(1000)));
    assert_eq!(read.sections[0].settings.len(), MAX_SETTINGS);
    let read = file(&"defaults{\n}\n".repeat(MAX_SECTIONS + 10));
    assert_eq!(read.sections.len(), MAX_SECTIONS);
    assert!(!read.notes.is_empty());
}

#[test]
fn no_text_makes_it_panic() {
    let text = include_str!("../fixtures/multipath-dgc.conf");
    let odd = [
        "{", "}", "\"", "\"\"", "#", "\u{202e}", "\0", "device", "devices", " ", "\n", "é",
    ];
    let mut state = 1_u32;
    for _ in 0..20_000 {
        let mut noise = String::new();
        for _ in 0..12 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            noise.push_str(odd[(state >> 16) as usize % odd.len()]);
        }
        let _ = file(&noise);
    }
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        let _ = file(&text[..end]);
    }
}
