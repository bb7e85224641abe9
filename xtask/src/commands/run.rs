//! `cargo xtask run`: alua-trace at work, on this host or in the lab.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alua_trace_tests::protocol::Task;
use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::cli::RunArgs;
use crate::lab::{Job, Lab};
use crate::paths::Paths;
use crate::programs::{self, Build, Programs};
use crate::say;
use crate::terminal;
use crate::toolchain::LinkerBuild;
use crate::userland::Set;

const DEMO_SECONDS: u32 = 40;
/// Boot, array, summary: what a demonstration takes beside its load.
const BESIDE_THE_LOAD: u32 = 180;

/// Runs it; false when what ran failed.
pub(crate) fn run(paths: &Paths, args: &RunArgs) -> Result<bool> {
    if args.lab {
        return demonstrate(paths, args);
    }
    match why_not_here(Path::new("/sys/block")) {
        None => trace_host(paths, args),
        Some(reason) if args.host => bail!("cannot trace this host: {reason}"),
        Some(reason) => {
            say::step(&format!(
                "not tracing this host: {reason}; starting the lab instead"
            ));
            demonstrate(paths, args)
        }
    }
}

fn why_not_here(blocks: &Path) -> Option<String> {
    let paths = scsi_paths(blocks);
    if paths.is_empty() {
        return Some("it has no dm-multipath map with a SCSI path".into());
    }
    (!rustix::process::geteuid().is_root()).then(|| {
        format!(
            "it has multipath storage ({}), but tracing needs root; run as root: \
             cargo xtask run --host",
            paths.join(", ")
        )
    })
}

/// The SCSI disks below multipath maps.
fn scsi_paths(blocks: &Path) -> Vec<String> {
    let names = |dir: PathBuf| -> Vec<String> {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    };
    let is_multipath = |name: &String| {
        fs::read_to_string(blocks.join(name).join("dm/uuid"))
            .is_ok_and(|uuid| uuid.starts_with("mpath-"))
    };
    let maps = names(blocks.to_path_buf()).into_iter().filter(is_multipath);
    let mut found = maps
        .flat_map(|map| names(blocks.join(map).join("slaves")))
        .filter(|slave| blocks.join(slave).join("device/scsi_level").exists())
        .collect::<Vec<_>>();
    found.sort();
    found.dedup();
    found
}

fn trace_host(paths: &Paths, args: &RunArgs) -> Result<bool> {
    let tool = programs::tool(paths, Arch::HOST, Build::Release)?;
    let mut command = Command::new(&tool);
    command.arg("run");
    if let Some(seconds) = args.seconds {
        command.args(["--duration", &format!("{seconds}s")]);
    }
    command.args(&args.arguments);
    say::step(&format!("tracing this host: {}", say::shown(&command)));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", tool.display()))?;
    Ok(status.success())
}

fn demonstrate(paths: &Paths, args: &RunArgs) -> Result<bool> {
    if !args.arguments.is_empty() {
        bail!(
            "{:?} are arguments for a trace of this host; in the lab, type them in \
             `cargo xtask lab`",
            args.arguments.join(" ")
        );
    }
    let linker = LinkerBuild::begin(paths);
    let lab = Lab::prepare(
        paths,
        Arch::HOST,
        Set::Common,
        &args.kernel,
        args.fetching.refresh,
    )?;
    if let Some(linker) = linker {
        linker.finish();
    }
    let programs = Programs::build(paths, Arch::HOST, Build::Quick)?;
    let seconds = args.seconds.unwrap_or(DEMO_SECONDS);
    let task = Task::Demo {
        terminal: terminal::describe(),
        seconds,
    };
    say::step(&format!(
        "starting a guest with Linux {}, an array with two controllers and four paths to its LUN, \
         and {seconds} s of load (about 10 s until it shows)",
        lab.kernel.release
    ));
    let limit = Duration::from_secs(u64::from(seconds + BESIDE_THE_LOAD));
    let job = Job {
        name: "demo",
        task: &task,
        limit: Some(limit),
        counted: false,
        interactive: true,
        array: false,
    };
    let report = lab.run(&programs, &job)?;
    Ok(report.finish_interactive())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::paths::create_dir;

    fn block(root: &Path, name: &str, file: &str, text: &str) {
        let path = root.join(name).join(file);
        create_dir(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    #[test]
    fn only_scsi_disks_below_multipath_maps_count() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        block(root, "dm-0", "dm/uuid", "mpath-3600a0b80\n");
        block(root, "dm-0", "slaves/sda", "");
        block(root, "dm-0", "slaves/nvme0c0n1", "");
        block(root, "dm-1", "dm/uuid", "LVM-abc\n");
        block(root, "dm-1", "slaves/sdb", "");
        block(root, "sda", "device/scsi_level", "6\n");
        block(root, "sdb", "device/scsi_level", "6\n");
        assert_eq!(scsi_paths(root), ["sda"]);
    }

    #[test]
    fn a_host_without_multipath_says_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(
            why_not_here(dir.path())
                .unwrap()
                .contains("no dm-multipath map")
        );
    }
}
