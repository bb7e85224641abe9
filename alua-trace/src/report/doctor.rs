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

/// The report for people.
pub fn doctor(report: &DoctorReport, width: u16) -> String {
    let paths = format::plural(report.paths as u64, "path");
    let maps = format::plural(report.maps as u64, "map");
    let mut out = format!("Linux {}: {paths}, {maps}\n\n", safe::name(&report.kernel));
    if report.error.is_none() {
        push_probes(&mut out, report, width);
        out.push('\n');
    }
    out.push_str(&setup::setup(&report.multipath, width));
    for (capability, lost) in &report.missing_rights {
        let text = format!("{capability} is missing; lost without it: {lost}");
        push_wrapped(&mut out, &safe::sentence(&text), width, 0);
    }
    let _ = match (report.complete, &report.error) {
        (_, Some(_)) => writeln!(out, "No probe was tried."),
        (true, None) => writeln!(out, "A trace on this host is complete."),
        (false, None) => writeln!(out, "A trace on this host is NOT complete."),
    };
    out
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
    for probe in report
        .probes
        .iter()
        .filter(|probe| probe.status != ProbeStatus::Ok)
    {
        out.push('\n');
        push_remedy(out, probe, width);
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
    fn what_is_not_ok_is_explained_with_a_remedy() {
        let expected = "\
Linux 6.12.48: 4 paths, 1 map

module    BTF
scsi_mod  /sys/kernel/btf/scsi_mod

probe          status  hook
scsi-dispatch  ok      raw_tracepoint scsi_dispatch_cmd_start
alua-rtpg      broken  kprobe alua_rtpg_work

alua-rtpg is broken
  why: no symbol alua_rtpg_work
  without it: access states learned during the trace
  remedy: load scsi_dh_alua with symbols, or give its BTF with --btf

Multipath set-up: only what multipath-tools have built in

The multipath set-up has no findings.
A trace on this host is NOT complete.
";
        assert_eq!(doctor(&report(), 80), expected);
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
Linux 6.12.48: 4 paths, 1 map

Multipath set-up: only what multipath-tools have built in

The multipath set-up has no findings.
CAP_SYSLOG is missing; lost without it: the addresses
No probe was tried.
";
        assert_eq!(doctor(&report, 80), expected);
    }

    #[test]
    fn names_are_made_safe() {
        let mut report = report();
        report.probes = samples::hostile_summary().probes;
        report.btf = vec![("\x1b".to_owned(), "\n".to_owned())];
        report.kernel = "\x1b]0;".to_owned();
        let shown = doctor(&report, 40);
        assert!(
            !shown.chars().any(|c| c != '\n' && safe::is_unsafe(c)),
            "{shown:?}"
        );
    }
}
