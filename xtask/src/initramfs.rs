//! A guest's first file system: a base of Debian programs and kernel modules, kept between runs,
//! and a small overlay with our own programs and the task, made anew each time.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use alua_trace_tests::protocol::{BTF_DIR, TASK_PATH, Task};
use anyhow::{Context, Result};

use crate::cpio::Archive;
use crate::kernels::Kernel;
use crate::modules::{Dependencies, LOADED, OPTIONAL, name_of};
use crate::paths::{Paths, beside, create_dir, fingerprint, remove_dir, size_below};
use crate::say;
use crate::userland::Userland;

/// To be raised when the recipe below changes, so that kept images are made again.
const RECIPE: &str = "1";

/// Where PID 1 finds the modules to load, one name a line, in order.
const MODULES_LIST: &str = "etc/alua-trace/modules";

/// Directories of the programs' packages that no guest needs.
const LEFT_OUT: [&str; 23] = [
    "boot",
    "home",
    "media",
    "mnt",
    "opt",
    "srv",
    "var",
    "usr/bin/python3.13",
    "usr/games",
    "usr/include",
    "usr/share",
    "usr/src",
    "usr/lib/klibc",
    "usr/lib/python3",
    "usr/lib/python3.13",
    "usr/lib/systemd/system",
    "usr/lib/udev/hwdb.d",
    "usr/lib/x86_64-linux-gnu/gconv",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/x86_64-linux-gnu/security",
    "usr/lib/aarch64-linux-gnu/gconv",
    "usr/lib/aarch64-linux-gnu/perl-base",
    "usr/lib/aarch64-linux-gnu/security",
];

/// Directories that exist but hold nothing.
const EMPTY: [&str; 11] = [
    "dev",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "var",
    "var/lib",
    "var/log",
    "etc/target",
    "etc/alua-trace",
];

/// Groups that udev's rules name.
const GROUPS: [&str; 15] = [
    "root", "tty", "disk", "kmem", "dialout", "cdrom", "floppy", "tape", "audio", "video", "lp",
    "input", "render", "kvm", "sgx",
];

/// The base image for `userland` on `kernel`, made if it is not here or its inputs changed. `tools` are programs that run
/// here.
pub(crate) fn base(
    paths: &Paths,
    userland: &Userland,
    tools: &Userland,
    kernel: &Kernel,
) -> Result<PathBuf> {
    let path = base_path(paths, userland, kernel);
    if path.exists() {
        return Ok(path);
    }
    say::step(&format!(
        "making the {} image for {}",
        userland.set.name(),
        kernel.release
    ));
    let partial = beside(&path, ".partial");
    let file =
        File::create(&partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let mut archive = Archive::new(BufWriter::new(file));
    add_tree(&mut archive, &userland.root, Path::new(""))
        .and_then(|()| add_system_files(&mut archive, &userland.root))
        .with_context(|| format!("cannot write {}", partial.display()))?;
    add_modules(&mut archive, paths, tools, kernel)?;
    archive
        .finish()
        .with_context(|| format!("cannot write {}", partial.display()))?;
    fs::rename(&partial, &path)
        .with_context(|| format!("cannot rename {} into place", partial.display()))?;
    let size = fs::metadata(&path).map_or(0, |meta| meta.len());
    say::note(&format!("{}: {}", path.display(), say::megabytes(size)));
    Ok(path)
}

/// Where the base image lies once it is made.
pub(crate) fn base_path(paths: &Paths, userland: &Userland, kernel: &Kernel) -> PathBuf {
    let root = userland.root.to_string_lossy();
    let inputs = [RECIPE, &root, &kernel.release]
        .into_iter()
        .chain(LOADED)
        .chain(OPTIONAL);
    let name = format!(
        "base-{}-{}-{}",
        userland.set.name(),
        kernel.release,
        fingerprint(inputs)
    );
    paths.lab.join(name + ".cpio")
}

/// What one guest gets beside the base image.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    /// PID 1.
    pub(crate) guest: &'a Path,
    /// `alua-trace`.
    pub(crate) tool: &'a Path,
    /// Type information of the kernel's modules, `<module>.btf`: a directory, which need not be there.
    pub(crate) btf: &'a Path,
    /// What to do.
    pub(crate) task: &'a Task,
}

/// Writes the image for one guest to `path`: `base`, then our programs and the task.
pub(crate) fn with_overlay(base: &Path, overlay: &Overlay<'_>, path: &Path) -> Result<()> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let (guest, tool) = (read(overlay.guest)?, read(overlay.tool)?);
    let task = overlay.task;
    let task = serde_json::to_vec_pretty(task).context("cannot write the task as JSON")?;
    fs::copy(base, path)
        .with_context(|| format!("cannot copy {} to {}", base.display(), path.display()))?;
    let write = || -> std::io::Result<()> {
        let file = File::options().append(true).open(path)?;
        let mut archive = Archive::new(BufWriter::new(file));
        archive.file("init", 0o755, &guest)?;
        archive.file("usr/bin/alua-trace", 0o755, &tool)?;
        archive.file(TASK_PATH, 0o644, &task)?;
        add_btf(&mut archive, overlay.btf)?;
        archive.finish().map(drop)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

fn add_btf<W: Write>(archive: &mut Archive<W>, directory: &Path) -> std::io::Result<()> {
    if !directory.is_dir() {
        return Ok(());
    }
    archive.directory(BTF_DIR, 0o755)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = format!("{BTF_DIR}/{}", entry.file_name().to_string_lossy());
        archive.file(&name, 0o644, &fs::read(entry.path())?)?;
    }
    Ok(())
}

fn add_tree<W: Write>(archive: &mut Archive<W>, root: &Path, below: &Path) -> std::io::Result<()> {
    let mut names = fs::read_dir(root.join(below))?
        .map(|entry| entry.map(|entry| below.join(entry.file_name())))
        .collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    for path in names {
        let (Some(name), full) = (path.to_str(), root.join(&path)) else {
            continue;
        };
        if LEFT_OUT.contains(&name) || EMPTY.contains(&name) {
            continue;
        }
        let meta = fs::symlink_metadata(&full)?;
        let mode = meta.permissions().mode() & 0o7777;
        if meta.is_dir() {
            archive.directory(name, mode)?;
            add_tree(archive, root, &path)?;
        } else if meta.is_symlink() {
            archive.link(name, &fs::read_link(&full)?.to_string_lossy())?;
        } else if meta.is_file() {
            archive.file(name, mode, &fs::read(&full)?)?;
        }
    }
    Ok(())
}

/// What a package's installation would have made, and the little that PID 1 relies on.
fn add_system_files<W: Write>(archive: &mut Archive<W>, root: &Path) -> std::io::Result<()> {
    for name in EMPTY {
        archive.directory(name, if name == "tmp" { 0o1777 } else { 0o755 })?;
    }
    archive.link("var/run", "../run")?;
    archive.device("dev/console", 5, 1)?;
    archive.device("dev/null", 1, 3)?;
    if !root.join("usr/bin/sh").exists() {
        archive.link("usr/bin/sh", "busybox")?;
    }
    let groups = GROUPS
        .iter()
        .enumerate()
        .map(|(id, name)| format!("{name}:x:{id}:\n"))
        .collect::<String>();
    archive.file("etc/group", 0o644, groups.as_bytes())?;
    archive.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")
}

fn add_modules<W: Write>(
    archive: &mut Archive<W>,
    paths: &Paths,
    userland: &Userland,
    kernel: &Kernel,
) -> Result<()> {
    let dependencies = Dependencies::read(kernel)?;
    let staging = paths
        .lab
        .join(format!("modules-{}.staging", std::process::id()));
    let below = format!("usr/lib/modules/{}", kernel.release);
    let all = [&LOADED[..], &OPTIONAL].concat();
    for file in dependencies.in_load_order(&all) {
        let contents = userland.unpacked(&kernel.modules().join(&file))?;
        let plain = file
            .split_once(".ko")
            .map_or(file.clone(), |(stem, _)| format!("{stem}.ko"));
        let to = staging.join(&below).join(plain);
        create_dir(to.parent().unwrap_or(&staging))?;
        fs::write(&to, contents).with_context(|| format!("cannot write {}", to.display()))?;
    }
    for index in [
        "modules.builtin",
        "modules.builtin.modinfo",
        "modules.order",
    ] {
        let from = kernel.modules().join(index);
        if from.exists() {
            fs::copy(&from, staging.join(&below).join(index))
                .with_context(|| format!("cannot copy {}", from.display()))?;
        }
    }
    std::os::unix::fs::symlink("usr/lib", staging.join("lib"))
        .with_context(|| format!("cannot link in {}", staging.display()))?;
    userland.depmod(&staging, &kernel.release)?;
    say::note(&format!(
        "kernel modules: {}",
        say::megabytes(size_below(&staging))
    ));
    fs::remove_file(staging.join("lib")).context("cannot unlink lib in the modules' staging")?;
    let list = dependencies
        .in_load_order(&LOADED)
        .iter()
        .map(|file| name_of(file) + "\n")
        .collect::<String>();
    archive
        .directory("usr/lib/modules", 0o755)
        .and_then(|()| add_tree(archive, &staging, Path::new("usr/lib/modules")))
        .and_then(|()| archive.file(MODULES_LIST, 0o644, list.as_bytes()))
        .context("cannot write the modules into the image")?;
    remove_dir(&staging)
}
