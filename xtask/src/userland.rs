//! The guests' programs: one Debian release serves every kernel. Also runs the few of them that
//! the host needs (`depmod`, `xz`), so that the host need not have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::packages::{Apt, tree_path, tree_path_for};
use crate::paths::{Paths, remove_dir};
use crate::say;

const RELEASE: &str = "trixie";
const COMMON: [&str; 13] = [
    "busybox-static",
    "multipath-tools",
    "sg3-utils",
    "fio",
    "dmsetup",
    "udev",
    "kmod",
    "iproute2",
    "ethtool",
    "open-iscsi",
    "strace",
    "xz-utils",
    "zstd",
];
const PEERS: [&str; 2] = ["bpftrace", "libbpf-tools"];

/// The root of an unpacked QEMU that runs guests of `arch`, with all it depends on, fetched if it is not here.
///
/// # Errors
/// The mirror or the disk says no.
pub(crate) fn qemu(arch: Arch, lab: &Path, refresh: bool) -> Result<PathBuf> {
    let apt = Apt::open(lab, RELEASE, refresh)?;
    if refresh {
        remove_dir(&tree_path(lab, RELEASE, &[arch.qemu_package()]))?;
    }
    let what = format!("QEMU for {arch}, as this machine has none");
    apt.tree(lab, &what, &[arch.qemu_package()])
}

/// The same if it is here.
pub(crate) fn known_qemu(arch: Arch, lab: &Path) -> Option<PathBuf> {
    let root = tree_path(lab, RELEASE, &[arch.qemu_package()]);
    root.exists().then_some(root)
}

/// What is in the image beside the common programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// What tests and the demonstration need.
    Common,
    /// The tracers to compare with as well.
    Bench,
}

impl Set {
    fn packages(self) -> Vec<&'static str> {
        match self {
            Self::Common => COMMON.to_vec(),
            Self::Bench => [&COMMON[..], &PEERS].concat(),
        }
    }

    /// Its name in file names.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Bench => "bench",
        }
    }
}

/// An unpacked set of programs.
#[derive(Debug, Clone)]
pub(crate) struct Userland {
    /// Of which processor.
    pub(crate) arch: Arch,
    /// Which set.
    pub(crate) set: Set,
    /// Where it lies.
    pub(crate) root: PathBuf,
}

impl Userland {
    /// The set, fetched if it is not here.
    pub(crate) fn get(paths: &Paths, arch: Arch, set: Set, refresh: bool) -> Result<Self> {
        let packages = set.packages();
        if !refresh && let Some(userland) = Self::known(&paths.lab, arch, set) {
            return Ok(userland);
        }
        let apt = Apt::open_for(arch, &paths.lab, RELEASE, refresh)?;
        if refresh {
            remove_dir(&tree_path_for(arch, &paths.lab, RELEASE, &packages))?;
        }
        let what = format!("the guests' programs ({} set, {arch})", set.name());
        let root = apt.tree(&paths.lab, &what, &packages)?;
        Ok(Self { arch, set, root })
    }

    /// The set if it is here.
    pub(crate) fn known(lab: &Path, arch: Arch, set: Set) -> Option<Self> {
        let root = tree_path_for(arch, lab, RELEASE, &set.packages());
        root.exists().then_some(Self { arch, set, root })
    }

    /// Runs one of its programs on the host, whose kind they must be, with its own loader and libraries.
    pub(crate) fn command(&self, program: &str, as_name: &str) -> Command {
        let mut command = Command::new(self.arch.loader(&self.root));
        command
            .arg("--library-path")
            .arg(self.arch.libraries(&self.root))
            .args(["--argv0", as_name])
            .arg(self.root.join(program));
        command
    }

    /// Writes `modules.dep` and its indexes below `tree`.
    pub(crate) fn depmod(&self, tree: &Path, release: &str) -> Result<()> {
        say::output(
            self.command("usr/bin/kmod", "depmod")
                .arg("-b")
                .arg(tree)
                .arg(release),
        )?;
        Ok(())
    }

    /// The contents of a kernel module, whatever it is packed with.
    pub(crate) fn unpacked(&self, module: &Path) -> Result<Vec<u8>> {
        let (program, name) = match module.extension().and_then(|extension| extension.to_str()) {
            Some("xz") => ("usr/bin/xz", "xz"),
            Some("zst") => ("usr/bin/zstd", "zstd"),
            _ => {
                return std::fs::read(module)
                    .with_context(|| format!("cannot read {}", module.display()));
            }
        };
        let out = self
            .command(program, name)
            .arg("-dc")
            .arg(module)
            .output()
            .with_context(|| format!("cannot run {name} on {}", module.display()))?;
        if !out.status.success() {
            bail!(
                "{name} cannot unpack {}: {}",
                module.display(),
                String::from_utf8_lossy(&out.stderr)
            );
        }
        Ok(out.stdout)
    }
}
