//! `alua-trace doctor`: loads and attaches every probe of the plan, detaches them again, and says
//! what became of each; then what is wrong with the multipath set-up. Status 0 only when a trace
//! would be complete.

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::{
    cli::DoctorConfig,
    inventory::model::Map,
    json,
    kernel::{
        attach::Probes,
        facts::{KernelFacts, Known},
        probes,
    },
    live,
    model::ProbeStatus,
    multipath_conf::{
        facts::{Host, Modules},
        section::Note,
        setup::Setup,
        source::Sources,
    },
    paths,
    report::{
        doctor::{DoctorReport, doctor},
        setup::setup as report_setup,
    },
    sysroot::Sysroot,
    topology::DmControl,
    trace::privileges,
};

/// Smallest logs that there are: the probes run for a moment only.
const RING_BYTES: u32 = 4096;
const WIDTH_WITHOUT_TERMINAL: u16 = 100;
/// Exit status: findings that are worse than advice.
const WANTING: u8 = 1;

/// Examines this host; gives the exit status.
///
/// # Errors
/// No type information, or one that must not be used; no privileges. The multipath set-up is
/// printed all the same.
pub fn run(config: &DoctorConfig) -> Result<u8> {
    if let Some(file) = &config.multipath_conf {
        return examine_file(file, config.json);
    }
    let root = Sysroot::default();
    let mut report = host_report(&root)?;
    let examined = examine(&root, config.btf.as_deref(), &mut report);
    report.error = examined.as_ref().err().map(|error| format!("{error:#}"));
    print(config, &report)?;
    examined?;
    Ok(if report.complete { 0 } else { 2 })
}

/// All but the probes.
fn host_report(root: &Sysroot) -> Result<DoctorReport> {
    let inventory = paths::all(root, &DmControl::new(root))?;
    let mut sources = Sources::of_host(root);
    let unknown = inventory.notes.iter().cloned();
    sources
        .notes
        .extend(unknown.map(|text| Note { at: None, text }));
    let modules = Modules {
        alua: Some(root.is_loaded("scsi_dh_alua")),
        rdac: Some(root.is_loaded("scsi_dh_rdac")),
    };
    let mapped = inventory.maps.iter().flat_map(Map::paths);
    Ok(DoctorReport {
        kernel: root.kernel_release().unwrap_or_default(),
        btf: Vec::new(),
        probes: Vec::new(),
        missing_rights: Vec::new(),
        paths: mapped.count() + inventory.unmapped.len(),
        maps: inventory.maps.len(),
        complete: false,
        error: None,
        multipath: Setup::new(sources, Some(&Host::of(&inventory, modules))),
    })
}

/// Tries the probes.
fn examine(root: &Sysroot, btf: Option<&Path>, report: &mut DoctorReport) -> Result<()> {
    let missing = privileges::missing(&report.kernel)?.into_iter();
    report.missing_rights = missing
        .map(|right| (right.capability.into(), right.lost_without.into()))
        .collect();
    privileges::check()?;
    privileges::lift_memory_limit();
    let facts = KernelFacts::gather(root, btf)?;
    let mut plan = probes::plan(&facts);
    if let Ok(target) = facts.target() {
        let loaded = Probes::load(target, Some(RING_BYTES), 0);
        let told = loaded.and_then(|(mut probes, inbox)| {
            let known = Known {
                generation: 1,
                ..Known::default()
            };
            probes.set_control(&facts.control(&known))?;
            Ok((probes, inbox))
        });
        match told {
            Ok((mut probes, _inbox)) => probes.attach(&mut plan),
            Err(error) => plan.iter_mut().for_each(|planned| {
                let remedy = "run as root on a kernel with BPF's ring buffer (Linux 5.8 or newer)";
                planned.set(ProbeStatus::Broken, format!("{error:#}"), remedy);
            }),
        }
    }
    report.btf = facts.sources.clone();
    report.complete = report.missing_rights.is_empty()
        && plan.iter().all(|planned| match planned.status {
            ProbeStatus::Ok => true,
            ProbeStatus::NotApplicable => !planned.spec.required,
            ProbeStatus::Unsupported | ProbeStatus::Broken => false,
        });
    // Not in the order of attaching: what nothing goes without comes first.
    plan.sort_by_key(|planned| !planned.spec.required);
    report.probes = plan.iter().map(probes::Planned::report).collect();
    Ok(())
}

fn print(config: &DoctorConfig, report: &DoctorReport) -> Result<()> {
    let text = if config.json {
        json::to_line(report)?
    } else {
        let width = live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL);
        doctor(report, width, config.verbose)
    };
    write(&text)
}

/// Examines a configuration file alone, or a directory of them; gives the exit status.
///
/// # Errors
/// The file cannot be read.
fn examine_file(file: &Path, as_json: bool) -> Result<u8> {
    let setup = Setup::new(Sources::of_path(file)?, None);
    let text = if as_json {
        json::to_line(&setup)?
    } else {
        report_setup(&setup, live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL))
    };
    write(&text)?;
    Ok(if setup.is_wanting() { WANTING } else { 0 })
}

fn write(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}
