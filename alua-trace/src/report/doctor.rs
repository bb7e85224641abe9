//! What `alua-trace doctor` says: which probes this host offers, what is lost without the others,
//! and what to do about it.

use std::fmt::Write;

use serde::Serialize;

use super::table::{self, Column, label, push_wrapped};
use super::{setup, words};
use crate::format;
use crate::model::{Probe, ProbeStatus};
use crate::multipath_conf::setup::Setup;
use crate::safe;

/// Facts about this host.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DoctorReport {
    /// `uname -r`.
    pub kernel: String,
    /// Module, and where its BTF was found or why it was not.
    pub btf: Vec<(String, String)>,
    /// Every probe of the table and what would become of it.
    pub probes: Vec<Probe>,
    /// Capabilities that this process lacks, and what is lost without each.
    pub missing_rights: Vec<(String, String)>,
    /// SCSI paths found.
    pub paths: usize,
    /// Multipath maps found.
    pub maps: usize,
    /// A trace on this host would be complete.
    pub complete: bool,
    /// Why no probe could be tried; `None` when they were.
    pub error: Option<String>,
    /// The multipath set-up and its findings.
    pub multipath: Setup,
}

const PROBES: [Column; 3] = [label("probe", 0), label("status", 0), label("hook", 1)];
const BTF: [Column; 2] = [label("module", 0), label("BTF", 0)];

/// The report for people: the verdict, the worst finding, then the evidence; with every probe and its
/// module if it is `verbose`.
pub fn doctor(report: &DoctorReport, width: u16, verbose: bool) -> String {
    let mut out = String::new();
    push_wrapped(&mut out, &verdict(report), width, 0);
    if let Some(worst) = report.multipath.findings.first() {
        push_wrapped(&mut out, &setup::headline(worst), width, 0);
    }
    let paths = format::plural(report.paths as u64, "path");
    let maps = format::plural(report.maps as u64, "map");
    let _ = writeln!(
        out,
        "\nLinux {}: {paths}, {maps}",
        safe::name(&report.kernel)
    );
    for (capability, lost) in &report.missing_rights {
        let text = format!("{capability} is missing; lost without it: {lost}");
        push_wrapped(&mut out, &safe::sentence(&text), width, 0);
    }
    if report.error.is_none() {
        out.push('\n');
        if verbose {
            push_probes(&mut out, report, width);
        } else {
            push_groups(&mut out, &report.probes, width);
        }
    }
    out.push('\n');
    out.push_str(&setup::setup(&report.multipath, width));
    out
}

/// In one sentence.
fn verdict(report: &DoctorReport) -> String {
    let n_lacking = lacking(&report.probes).count() as u64;
    match (report.complete, &report.error) {
        (_, Some(error)) => format!("No probe was tried: {}", safe::sentence(error)),
        (true, None) => "A trace on this host is complete.".to_owned(),
        (false, None) if report.paths == 0 => {
            "A trace on this host is NOT complete: it has no SCSI disk.".to_owned()
        }
        (false, None) => {
            let rights = report.missing_rights.len() as u64;
            let parts = [(n_lacking, "probe"), (rights, "capability")];
            let parts: Vec<String> = parts
                .into_iter()
                .filter(|(number, _)| *number > 0)
                .map(|(number, what)| match (number, what) {
                    (2.., "capability") => format!("{number} capabilities"),
                    _ => format::plural(number, what),
                })
                .collect();
            format!(
                "A trace on this host is NOT complete: it lacks {}.",
                parts.join(" and ")
            )
        }
    }
}

/// Probes that do not work.
fn lacking(probes: &[Probe]) -> impl Iterator<Item = &Probe> {
    probes
        .iter()
        .filter(|probe| probe.status != ProbeStatus::Ok)
}

/// What the remedy of a probe begins with that attaches by itself.
const NONE_NEEDED: &str = "none needed";

/// Probes that do not work, those of one status and remedy in one paragraph.
fn push_groups(out: &mut String, probes: &[Probe], width: u16) {
    let n_ok = probes.len() - lacking(probes).count();
    let _ = writeln!(
        out,
        "{} of {} attach",
        n_ok,
        format::plural(probes.len() as u64, "probe")
    );
    let mut groups: Vec<Vec<&Probe>> = Vec::new();
    for probe in lacking(probes) {
        let key = |probe: &Probe| (probe.status, probe.remedy.clone());
        let same = groups
            .iter_mut()
            .find(|group| group.first().is_some_and(|it| key(it) == key(probe)));
        match same {
            Some(group) => group.push(probe),
            None => groups.push(vec![probe]),
        }
    }
    for group in groups {
        out.push('\n');
        push_group(out, &group, width);
    }
}

fn push_group(out: &mut String, group: &[&Probe], width: u16) {
    let Some(first) = group.first() else { return };
    let names: Vec<String> = group.iter().map(|probe| safe::name(&probe.name)).collect();
    let are = if group.len() == 1 { "is" } else { "are" };
    let status = words::status(first.status);
    push_wrapped(
        out,
        &format!("{} {are} {status}", setup::list(&names)),
        width,
        0,
    );
    let texts = |of: fn(&Probe) -> &str| {
        let mut texts: Vec<String> = Vec::new();
        for text in group.iter().map(|probe| safe::sentence(of(probe))) {
            if !text.is_empty() && !texts.contains(&text) {
                texts.push(text);
            }
        }
        texts.join("; ")
    };
    let by_itself = first.remedy.starts_with(NONE_NEEDED);
    let lost = if by_itself {
        String::new()
    } else {
        texts(|it| &it.lost_without)
    };
    let parts = [
        ("why", texts(|it| &it.reason)),
        ("without", lost),
        ("remedy", safe::sentence(&first.remedy)),
    ];
    for (title, text) in parts.iter().filter(|(_, text)| !text.is_empty()) {
        push_wrapped(out, &format!("{title}: {text}"), width, 2);
    }
}

fn push_probes(out: &mut String, report: &DoctorReport, width: u16) {
    let btf: Vec<Vec<String>> = report
        .btf
        .iter()
        .map(|(module, found)| vec![safe::name(module), safe::sentence(found)])
        .collect();
    out.push_str(&table::render(&BTF, &btf, width, 0));
    out.push('\n');
    let probes: Vec<Vec<String>> = report
        .probes
        .iter()
        .map(|p| {
            vec![
                safe::name(&p.name),
                words::status(p.status).to_owned(),
                safe::name(&p.hook),
            ]
        })
        .collect();
    out.push_str(&table::render(&PROBES, &probes, width, 0));
    for probe in lacking(&report.probes) {
        out.push('\n');
        push_remedy(out, probe, width);
    }
    let is_ok = |probe: &&Probe| probe.status == ProbeStatus::Ok && !probe.reason.is_empty();
    for probe in report.probes.iter().filter(is_ok) {
        let text = format!(
            "{} is told no types, which may cost a little more: {}",
            probe.name, probe.reason
        );
        out.push('\n');
        push_wrapped(out, &safe::sentence(&text), width, 0);
    }
}

fn push_remedy(out: &mut String, probe: &Probe, width: u16) {
    let status = words::status(probe.status);
    let _ = writeln!(out, "{} is {status}", safe::name(&probe.name));
    let parts = [
        ("why", &probe.reason),
        ("without it", &probe.lost_without),
        ("remedy", &probe.remedy),
    ];
    for (title, text) in parts.into_iter().filter(|(_, text)| !text.is_empty()) {
        push_wrapped(out, &format!("{title}: {}", safe::sentence(text)), width, 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn report() -> DoctorReport {
        DoctorReport {
            kernel: "6.12.48".to_owned(),
            btf: vec![("scsi_mod".to_owned(), "/sys/kernel/btf/scsi_mod".to_owned())],
            probes: samples::probes(),
            missing_rights: Vec::new(),
            paths: 4,
            maps: 1,
            complete: false,
            error: None,
            multipath: Setup::default(),
        }
    }

    #[test]
    fn the_verdict_comes_first_then_what_does_not_work_with_its_remedy() {
        let expected = "\
A trace on this host is NOT complete: it lacks 1 probe.

Linux 6.12.48: 4 paths, 1 map

1 of 2 probes attach

alua-rtpg is broken
  why: no symbol alua_rtpg_work
  without: access states learned during the trace
  remedy: load scsi_dh_alua with symbols, or give its BTF with --btf

Multipath set-up: only what multipath-tools have built in

The multipath set-up has no findings.
";
        assert_eq!(doctor(&report(), 80, false), expected);
        let verbose = doctor(&report(), 80, true);
        for line in [
            "module    BTF\nscsi_mod  /sys/kernel/btf/scsi_mod\n",
            "scsi-dispatch  ok      raw_tracepoint scsi_dispatch_cmd_start\n",
            "  without it: access states",
        ] {
            assert!(verbose.contains(line), "{verbose}");
        }
        assert!(!verbose.contains("is told no types"), "{verbose}");
        let mut copying = report();
        copying.probes[0].reason = "no types of scsi_mod".to_owned();
        let said = "\nscsi-dispatch is told no types, which may cost a little more: no types of scsi_mod\n";
        let verbose = doctor(&copying, 90, true);
        assert!(verbose.contains(said), "{verbose}");
    }

    #[test]
    fn probes_of_one_remedy_are_one_paragraph() {
        let mut report = report();
        let waiting = |name: &str, module: &str| Probe {
            name: name.to_owned(),
            status: ProbeStatus::NotApplicable,
            reason: format!("{module} is not loaded"),
            remedy: "none needed: it attaches when the module loads".to_owned(),
            ..report.probes[0].clone()
        };
        report.probes = vec![
            waiting("a", "dm_mod"),
            waiting("b", "scsi_dh_rdac"),
            waiting("c", "dm_mod"),
        ];
        report.paths = 0;
        let text = doctor(&report, 80, false);
        let paragraph = "a, b, c are not applicable\n  why: dm_mod is not loaded; scsi_dh_rdac is not \
                         loaded\n  remedy: none needed: it attaches when the module loads\n";
        assert!(text.contains(paragraph), "{text}");
        assert!(text.starts_with("A trace on this host is NOT complete: it has no SCSI disk.\n"));
    }

    #[test]
    fn without_privileges_the_multipath_set_up_is_shown_all_the_same() {
        let report = DoctorReport {
            btf: Vec::new(),
            probes: Vec::new(),
            error: Some("not permitted".to_owned()),
            missing_rights: vec![("CAP_SYSLOG".to_owned(), "the addresses".to_owned())],
            ..report()
        };
        let expected = "\
No probe was tried: not permitted

Linux 6.12.48: 4 paths, 1 map
CAP_SYSLOG is missing; lost without it: the addresses

Multipath set-up: only what multipath-tools have built in

The multipath set-up has no findings.
";
        assert_eq!(doctor(&report, 80, false), expected);
    }

    #[test]
    fn names_are_made_safe() {
        let mut report = report();
        report.probes = samples::hostile_summary().probes;
        report.btf = vec![("\x1b".to_owned(), "\n".to_owned())];
        report.kernel = "\x1b]0;".to_owned();
        let shown = [doctor(&report, 40, false), doctor(&report, 40, true)].concat();
        assert!(
            !shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)),
            "{shown:?}"
        );
    }
}
