//! What the text of a configuration comes to, however odd.

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

#[test]
fn a_lone_device_is_read_as_vendors_print_it() {
    assert_eq!(shape_of("device {\n vendor X\n}"), "device@1{vendor=X@2}");
    let [note] = &notes("device {\n vendor X\n}")[..] else {
        panic!()
    };
    assert!(
        note.starts_with("1: a device section outside of `devices { … }`"),
        "{note}"
    );
}

#[test]
fn missing_braces_cost_no_other_section() {
    let text = "devices {\n device {\n  vendor X\n device {\n  vendor Y\ndefaults {\n prio alua\n";
    assert_eq!(
        shape_of(text),
        "devices@1{device@2{vendor=X@3} device@4{vendor=Y@5}} defaults@6{prio=alua@7}"
    );
    assert_eq!(
        notes(text),
        [
            "4: the brace that closes 'device' of line 2 is missing",
            "6: the brace that closes 'device' of line 4 is missing",
            "6: the brace that closes 'devices' of line 1 is missing",
            "7: the brace that closes 'defaults' of line 6 is missing",
        ]
    );
}

#[test]
fn what_is_not_understood_becomes_a_note_with_its_line() {
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
        (
            "defaults {\n prio alua }",
            "2: multipath-tools ignore what begins with '}'",
            "defaults@1{prio=alua@2}",
        ),
        (
            "defaults {\n prio \"alua\n}",
            "2: the quotes are not closed: read to the end of the line",
            "defaults@1{prio=alua@2}",
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
            "odd {\n defaults {\n prio alua\n }\n}\ndefaults {\n}",
            "1: no section is called 'odd': ignored with all in it",
            "defaults@6{}",
        ),
        (
            "{\n prio x\n}",
            "1: a brace without the name of a section: ignored with all in it",
            "",
        ),
    ] {
        assert_eq!(notes(text), [expected], "{text}");
        assert_eq!(shape_of(text), shape, "{text}");
    }
}

#[test]
fn a_section_in_one_line_is_read() {
    let text = "defaults { prio alua }\noverrides { }";
    assert_eq!(shape_of(text), "defaults@1{prio=alua@1} overrides@2{}");
    assert_eq!(
        notes(text),
        [
            "1: multipath-tools ignore what begins with 'prio'",
            "1: multipath-tools ignore what begins with '}'",
            "2: multipath-tools ignore what begins with '}'",
        ]
    );
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
