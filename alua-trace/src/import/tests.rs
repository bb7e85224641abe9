//! Every sample is recognised, shown, and never breaks anything.

use clap::ValueEnum;

use super::*;
use crate::cli::View;
use crate::safe;
use crate::scsi::bytes::Noise;

const SAMPLES: [(ImportKind, &str); 13] = [
    (
        ImportKind::MultipathLl,
        include_str!("../../fixtures/multipath-ll-0.4.9.txt"),
    ),
    (
        ImportKind::MultipathLl,
        include_str!("../../fixtures/multipath-ll-0.9.txt"),
    ),
    (
        ImportKind::MultipathdJson,
        include_str!("../../fixtures/multipathd-maps.json"),
    ),
    (
        ImportKind::EsxcliNmp,
        include_str!("../../fixtures/esxcli-nmp-device-list.txt"),
    ),
    (
        ImportKind::EsxcliNmp,
        include_str!("../../fixtures/esxcli-nmp-several.txt"),
    ),
    (
        ImportKind::KernelLog,
        include_str!("../../fixtures/dmesg-rdac-avt.txt"),
    ),
    (
        ImportKind::KernelLog,
        include_str!("../../fixtures/dmesg-rdac-ioship.txt"),
    ),
    (
        ImportKind::KernelLog,
        include_str!("../../fixtures/dmesg-alua.txt"),
    ),
    (
        ImportKind::SgRtpg,
        include_str!("../../fixtures/sg_rtpg-vvd.txt"),
    ),
    (
        ImportKind::SgInq,
        include_str!("../../fixtures/sg_inq-md36xxi.txt"),
    ),
    (
        ImportKind::SgInq,
        include_str!("../../fixtures/sg_inq-netapp.txt"),
    ),
    (
        ImportKind::SgVpd,
        include_str!("../../fixtures/sg_vpd-c9.txt"),
    ),
    (
        ImportKind::SgVpd,
        include_str!("../../fixtures/sg_vpd-83-words.txt"),
    ),
];

#[test]
fn mails_and_terminals_are_no_obstacle() {
    for (kind, text) in SAMPLES {
        let plain = parse(None, text).unwrap();
        let decorations: [fn(usize, &str) -> String; 4] = [
            |_, line| format!("> {line}\r"),
            |_, line| format!("      {line}"),
            |nth, line| format!("{:4}  {line}", nth + 1),
            |_, line| format!("\x1b[32m{line}\x1b[0m"),
        ];
        for decorate in decorations {
            let lines = text.lines().enumerate();
            let decorated: String = lines.map(|(nth, it)| decorate(nth, it) + "\n").collect();
            let read = parse(None, &decorated).unwrap();
            assert_eq!(
                read.inventory.maps, plain.inventory.maps,
                "{kind:?} {decorated}"
            );
            assert_eq!(read.timeline, plain.timeline, "{kind:?} {decorated}");
        }
        let prompted = format!("[root@host ~]# some command\n{text}");
        let read = parse(None, &prompted).unwrap();
        assert_eq!(read.inventory.maps, plain.inventory.maps, "{kind:?}");
    }
}

#[test]
fn every_sample_is_recognised_and_read() {
    for (kind, text) in SAMPLES {
        assert_eq!(detect(text), Some(kind), "{text}");
        assert!(parse(None, text).is_ok(), "{text}");
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(detect(&crlf), Some(kind), "{text}");
        assert_eq!(
            parse(None, &crlf).unwrap().inventory.maps,
            parse(None, text).unwrap().inventory.maps
        );
    }
    assert_eq!(
        detect("00 c9 00 2c 76 61 63 31  f1 01\n"),
        Some(ImportKind::SgVpd)
    );
}

#[test]
fn what_is_nothing_known_is_refused_with_what_can_be_read() {
    let text = "total 0\ndrwxr-xr-x 2 root root 40 Nov 21 10:00 .\n";
    assert_eq!(detect(text), None);
    for kind in ImportKind::value_variants() {
        let error = format!("{:#}", parse(Some(*kind), text).unwrap_err());
        assert!(error.starts_with("read as "), "{error}");
    }
    for text in [text, "", " \n"] {
        let error = parse(None, text).unwrap_err().to_string();
        for kind in ImportKind::value_variants() {
            let name = detect::name(*kind);
            assert!(error.contains(&name), "{name} in {error}");
        }
    }
}

#[test]
fn a_kind_that_is_given_wins() {
    let (_, json) = SAMPLES[2];
    let error = format!(
        "{:#}",
        parse(Some(ImportKind::EsxcliNmp), json).unwrap_err()
    );
    assert!(error.starts_with("read as esxcli-nmp: "), "{error}");
}

#[test]
fn kernel_logs_are_shown_as_timelines_except_in_the_views_of_paths() {
    let imported = parse(None, SAMPLES[5].1).unwrap();
    let shown = show::show(&imported, View::Tree, 100).unwrap();
    assert!(
        shown.starts_with("98.790309  -        rdac  device handler registered\n"),
        "{shown}"
    );
    let json = show::show(&imported, View::Json, 100).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["timeline"].as_array().unwrap().len(), 9);
    let imported = parse(None, SAMPLES[0].1).unwrap();
    let json = show::show(&imported, View::Json, 100).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["schema"], &json["maps"][0]["name"]),
        (&1.into(), &"mpath2".into())
    );
    assert!(json.get("timeline").is_none());
}

#[test]
fn nothing_from_the_input_reaches_a_terminal_raw() {
    for (kind, text) in SAMPLES {
        for bad in ["\x1b[2J", "\u{202e}", "\u{9b}"] {
            let hostile: String = text
                .lines()
                .map(|line| format!("{line}{bad}\nx{bad} dm-1 {bad},{bad}\n{bad}\n"))
                .collect();
            let Ok(imported) = parse(Some(kind), &hostile) else {
                continue;
            };
            for view in View::value_variants() {
                let shown = show::show(&imported, *view, 100).unwrap_or_default();
                let raw = shown.chars().find(|c| *c != '\n' && safe::is_unsafe(*c));
                assert_eq!(raw, None, "{kind:?} {view:?}\n{shown}");
            }
        }
    }
}

#[test]
fn prefixes_and_mixtures_of_samples_never_panic() {
    let mut noise = Noise::new();
    for (_, text) in SAMPLES {
        for kind in ImportKind::value_variants() {
            for end in (0..text.len()).step_by(7) {
                let _ = parse(Some(*kind), &text[..end]);
            }
        }
        for _ in 0..200 {
            let mixed: String = text
                .chars()
                .map(|c| match noise.byte() {
                    0..=5 => char::from(noise.byte()),
                    6 => '\n',
                    _ => c,
                })
                .collect();
            let _ = parse(None, &mixed);
        }
    }
}

#[test]
fn what_stands_in_comments_is_read_but_no_configuration() {
    let table = "# multipathd> show maps\n# name   sysfs uuid\n# mpatha dm-0  3600\n";
    let imported = parse(None, table).unwrap();
    assert_eq!(imported.inventory.maps[0].name, "mpatha");
    let configuration = "#defaults {\n#\tuser_friendly_names yes\n#}\n";
    assert!(parse(None, configuration).is_err());
    assert!(parse(None, &"#>".repeat(100_000)).is_err());
}

#[test]
fn warnings_before_json_are_counted() {
    let text = "22.29 | /etc/multipath.conf line 35: ignoring deprecated option \"rr_weight\"\n\
                {\"maps\": [{\"name\": \"mpatha\", \"path_groups\": []}]}\n";
    let imported = parse(None, text).unwrap();
    assert_eq!(imported.inventory.maps[0].name, "mpatha");
    assert!(
        imported.inventory.notes[0].starts_with("1 line before or behind the JSON left out"),
        "{imported:?}"
    );
}

#[test]
fn sections_of_a_configuration_are_no_commands() {
    let text = "multipaths {\n    multipath {\n        wwid 3600\n        alias data\n    }\n}\n";
    let imported = parse(None, text).unwrap();
    assert_eq!(imported.configuration[0].1, text);
    let typed = format!("$ cat /etc/multipath.conf\n{text}$ multipath -ll\n");
    let imported = parse(None, &typed).unwrap();
    assert!(
        imported.configuration[0].1.contains("    multipath {\n"),
        "{imported:?}"
    );
}
