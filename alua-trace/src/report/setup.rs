//! What `alua-trace doctor` says of the multipath set-up: what counts for each map, and findings.

use std::fmt::Write;

use super::table::push_wrapped;
use super::table::{self, Column, label};
use crate::format;
use crate::multipath_conf::findings::{Finding, Severity};
use crate::multipath_conf::section::{Line, Note};
use crate::multipath_conf::setup::{MapSettings, Setup};
use crate::safe;

/// Most names of maps or paths in one line.
const MAX_NAMES: usize = 8;

const SETTINGS: [Column; 3] = [label("setting", 0), label("value", 0), label("from", 0)];

/// The report for people.
pub fn setup(setup: &Setup, width: u16) -> String {
    let mut out = String::new();
    let sources = match setup.sources.is_empty() {
        true => "only what multipath-tools have built in".to_owned(),
        false => list(&sentences(&setup.sources)),
    };
    push_wrapped(&mut out, &format!("Multipath set-up: {sources}"), width, 0);
    for maps in &setup.maps {
        push_settings(&mut out, maps, width);
    }
    for finding in &setup.findings {
        push_finding(&mut out, finding, width);
    }
    if !setup.notes.is_empty() {
        out.push_str("\nnotes\n");
    }
    for note in &setup.notes {
        push_note(&mut out, note, width);
    }
    let _ = writeln!(out, "\n{}", count(&setup.findings));
    out
}

fn push_settings(out: &mut String, maps: &MapSettings, width: u16) {
    let unknown = || "unknown".to_owned();
    let vendor = maps.vendor.as_deref().map_or_else(unknown, safe::name);
    let product = maps.product.as_deref().map_or_else(unknown, safe::name);
    out.push('\n');
    push_wrapped(
        out,
        &format!("{}: {vendor} {product}", names(&maps.maps)),
        width,
        0,
    );
    let settings = maps.settings.settings().iter();
    let rows: Vec<Vec<String>> = settings
        .map(|value| {
            let mut origin = value.origin.to_string();
            if let Some(unread) = &value.unread {
                let _ = write!(origin, "; {unread}");
            }
            vec![
                value.keyword.to_owned(),
                safe::name(&value.value),
                safe::sentence(&origin),
            ]
        })
        .collect();
    out.push_str(&table::render(&SETTINGS, &rows, width, 2));
}

fn push_finding(out: &mut String, finding: &Finding, width: u16) {
    let severity = severity(finding.severity);
    let mut at: Vec<String> = finding.at.iter().map(line).collect();
    at.insert(0, format!("{severity}: {}", finding.id.name()));
    out.push('\n');
    push_wrapped(out, &list(&at), width, 0);
    if !finding.subjects.is_empty() {
        push_wrapped(
            out,
            &format!("about: {}", names(&finding.subjects)),
            width,
            2,
        );
    }
    for (title, text) in [("why", finding.reason.as_str()), ("remedy", finding.remedy)] {
        push_wrapped(out, &format!("{title}: {}", safe::sentence(text)), width, 2);
    }
}

/// A finding in one sentence.
pub(super) fn headline(finding: &Finding) -> String {
    let about = if finding.subjects.is_empty() {
        String::new()
    } else {
        format!(" ({})", names(&finding.subjects))
    };
    format!(
        "Worst finding: {} {}{about}: {}",
        severity(finding.severity),
        finding.id.name(),
        safe::sentence(&finding.reason)
    )
}

fn push_note(out: &mut String, note: &Note, width: u16) {
    let at = note.at.as_ref().map(|at| format!("{}: ", line(at)));
    let text = safe::sentence(&note.text);
    push_wrapped(out, &format!("{}{text}", at.unwrap_or_default()), width, 2);
}

fn line(at: &Line) -> String {
    format!("{}:{}", safe::sentence(&at.file), at.line)
}

fn names(names: &[String]) -> String {
    let safe: Vec<String> = names.iter().map(|name| safe::name(name)).collect();
    list(&safe)
}

fn sentences(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| safe::sentence(text)).collect()
}

/// As many as are of use.
pub(super) fn list(all: &[String]) -> String {
    let mut shown: Vec<String> = all.iter().take(MAX_NAMES).cloned().collect();
    if let Some(more @ 1..) = all.len().checked_sub(MAX_NAMES) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Problem => "problem",
        Severity::Warning => "warning",
        Severity::Advice => "advice",
    }
}

fn count(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "The multipath set-up has no findings.".to_owned();
    }
    let number = |wanted: Severity| {
        let of_it = findings.iter().filter(|finding| finding.severity == wanted);
        of_it.count()
    };
    let parts = [
        format::plural(number(Severity::Problem) as u64, "problem"),
        format::plural(number(Severity::Warning) as u64, "warning"),
        format!("{} advice", number(Severity::Advice)),
    ];
    format!("The multipath set-up has {}.", parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::multipath_conf::effective::{Configuration, Place};
    use crate::multipath_conf::facts::{GroupFacts, Host, MapFacts, PathFacts};
    use crate::multipath_conf::parse::parse;
    use crate::multipath_conf::source::Sources;
    use crate::multipath_conf::tables::Tables;

    fn report(conf: &str, host: Option<&Host>) -> Setup {
        report_of("a.conf", conf, None, host)
    }

    fn report_of(name: &str, conf: &str, running: Option<&str>, host: Option<&Host>) -> Setup {
        let mut configuration = Configuration::new(Tables::built_in());
        let notes = configuration.add_file(parse(name, conf), Place::Main);
        configuration.running = running.map(Tables::of_multipathd);
        let sources = Sources {
            configuration,
            read: vec!["a.conf".to_owned()],
            notes,
        };
        Setup::new(sources, host)
    }

    fn host(name: &str) -> Host {
        let path = PathFacts {
            address: "1:0:0:1".to_owned(),
            vendor: Some("DELL".to_owned()),
            product: Some("MD36xxi\u{1b}".to_owned()),
            tpgs: Some(0),
            lists_c9: Some(true),
            ..PathFacts::default()
        };
        let group = GroupFacts {
            number: 1,
            active: true,
            paths: vec![path],
        };
        let map = |name: String| MapFacts {
            name,
            groups: vec![group.clone()],
            ..MapFacts::default()
        };
        Host {
            maps: (0..10)
                .map(|number| map(format!("{name}{number}")))
                .collect(),
            ..Host::default()
        }
    }

    #[test]
    fn findings_and_notes_say_where_why_and_what_to_do() {
        let conf = "devices {\ndevice {\nvendor X\nproduct Y\npath_checker alua\n}\n}\nodd\n";
        let expected = "\
Multipath set-up: a.conf

problem: path-checker-alua, a.conf:5
  why: there is no path checker alua: no path that depends on this line is checked
  remedy: remove the line: tur is the checker for ALUA arrays, rdac for RDAC

notes
  a.conf:8: 'odd' has no value: ignored

The multipath set-up has 1 problem, 0 warnings, 0 advice.
";
        assert_eq!(setup(&report(conf, None), 90), expected);
        let nothing = "Multipath set-up: a.conf\n\nThe multipath set-up has no findings.\n";
        assert_eq!(setup(&report("", None), 90), nothing);
    }

    #[test]
    fn maps_that_are_alike_are_shown_once_with_where_each_value_is_from() {
        let shown = setup(
            &report("overrides {\nprio const\n}\n", Some(&host("mpath"))),
            100,
        );
        let heading = "mpath0, mpath1, mpath2, mpath3, mpath4, mpath5, mpath6, mpath7, and 2 more: \
                       DELL MD36xxi\\x1b\n";
        assert_eq!(shown.matches(heading).count(), 1, "{shown}");
        for line in [
            "  path_grouping_policy  group_by_prio         built in\n",
            "  about: mpath0 1:0:0:1, mpath1 1:0:0:1,",
            "problem: const-prio, a.conf:2\n",
        ] {
            assert!(shown.contains(line), "{line} is not in\n{shown}");
        }
        let origin = shown
            .lines()
            .find(|line| line.starts_with("  prio "))
            .unwrap();
        assert!(
            origin.contains("const") && origin.ends_with("a.conf:2"),
            "{origin}"
        );
    }

    #[test]
    fn what_is_worse_than_advice_makes_a_set_up_wanting() {
        let entry = |setting| format!("device {{\nvendor X\nproduct Y\nprio rdac\n{setting}\n}}");
        for (setting, expected) in [
            ("", false),
            ("failback immediate", false),
            ("rr_min_io 5", true),
            ("path_checker alua", true),
        ] {
            let setup = report(&entry(setting), None);
            assert_eq!(setup.is_wanting(), expected, "{setting}");
        }
    }

    #[test]
    fn nothing_of_it_reaches_a_terminal_raw() {
        let conf = "\x1b {\n}\ndevices {\ndevice {\nvendor \"*\x1b[2J\u{202e}\"\nproduct \"\x07\"\n\
                    failback \"\x1b\"\nprio \"mpath_prio_\x1b\"\n}\n}\n\
                    overrides {\npath_checker \"\x1b]0;\"\nrr_min_io 1\n}\n";
        let running = "defaults {\n path_checker \"\x1b\"\n}";
        let host = host("\x1b[31m");
        let mut report = report_of("\x1b[0m", conf, Some(running), Some(&host));
        report.sources.push("\u{202e}".to_owned());
        assert!(report.findings.len() > 2 && !report.notes.is_empty());
        let shown = setup(&report, 40);
        assert!(
            !shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)),
            "{shown:?}"
        );
    }
}
