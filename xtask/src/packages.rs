//! Debian packages without installing them: a private apt below the lab's cache verifies the
//! signed index and the checksums; `dpkg -x` unpacks. The machine's own apt is only read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::paths::{beside, create_dir, fingerprint, remove_dir, size_below, write_whole};
use crate::say;
use crate::sources::{KEYRING, Mirror};

/// Apt settings that are the machine's business: how it reaches its mirror.
const INHERITED: [&str; 6] = [
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Retries ",
    "Acquire::ForceIPv",
    "Acquire::Check-Valid-Until ",
    "Acquire::Queue-Mode ",
];

/// A private apt for one Debian release.
#[derive(Debug)]
pub(crate) struct Apt {
    arch: Arch,
    release: String,
    dir: PathBuf,
}

impl Apt {
    /// The private apt for `release`; its index is fetched when missing or when `refresh`.
    pub(crate) fn open(lab: &Path, release: &str, refresh: bool) -> Result<Self> {
        Self::open_for(Arch::HOST, lab, release, refresh)
    }

    /// The same for packages of another processor.
    pub(crate) fn open_for(arch: Arch, lab: &Path, release: &str, refresh: bool) -> Result<Self> {
        let apt = Self {
            arch,
            release: release.to_owned(),
            dir: lab.join("apt").join(of_arch(release, arch)),
        };
        let stamp = apt.dir.join("index-complete");
        if stamp.exists() && !refresh {
            return Ok(apt);
        }
        let mirror = Mirror::find(Path::new("/etc/apt"))?;
        apt.configure(&mirror)?;
        apt.update()?;
        write_whole(&stamp, b"")?;
        Ok(apt)
    }

    fn configure(&self, mirror: &Mirror) -> Result<()> {
        create_dir(&self.dir.join("state/lists/partial"))?;
        create_dir(&self.dir.join("cache/archives/partial"))?;
        write_whole(&self.dir.join("dpkg-status"), b"")?;
        write_whole(
            &self.dir.join("sources.list"),
            self.sources(mirror).as_bytes(),
        )?;
        let dump = say::output(&mut tool("apt-config", &["dump"]))?;
        let inherited = dump
            .lines()
            .filter(|line| INHERITED.iter().any(|prefix| line.starts_with(prefix)))
            .map(|line| format!("{line}\n"))
            .collect::<String>();
        let text = inherited + &self.settings();
        write_whole(&self.dir.join("apt.conf"), text.as_bytes())
    }

    fn sources(&self, mirror: &Mirror) -> String {
        let line = |uri: &str, suite: &str| {
            let arch = self.arch;
            format!("deb [arch={arch} signed-by={KEYRING}] {uri} {suite} main\n")
        };
        let mut text = line(&mirror.main, &self.release);
        if is_stable(&self.release)
            && let Some(security) = &mirror.security
        {
            text += &line(security, &format!("{}-security", self.release));
        }
        text
    }

    fn settings(&self) -> String {
        let (dir, arch) = (self.dir.display(), self.arch);
        format!(
            "Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \"/dev/null\";\n\
             Dir::Etc::sourcelist \"{dir}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::State \"{dir}/state\";\nDir::State::status \"{dir}/dpkg-status\";\n\
             Dir::Cache \"{dir}/cache\";\nDir::Log \"{dir}\";\n\
             APT::Architecture \"{arch}\";\nAPT::Architectures {{ \"{arch}\"; }};\n\
             APT::Sandbox::User \"root\";\nAcquire::Languages \"none\";\n\
             Acquire::AllowInsecureRepositories \"false\";\n\
             APT::Get::AllowUnauthenticated \"false\";\n"
        )
    }

    fn update(&self) -> Result<()> {
        say::step(&format!(
            "fetching and verifying Debian's package index ({})",
            of_arch(&self.release, self.arch)
        ));
        let lists = self.dir.join("state/lists");
        say::watched(
            &mut self.apt("apt-get", &["update"]),
            &self.dir.join("update.log"),
            || format!("{} of index", say::megabytes(size_below(&lists))),
        )
        .with_context(|| {
            format!(
                "cannot fetch the {} index; check the network and that {KEYRING} is current",
                self.release
            )
        })
    }

    /// Names of all packages that begin with `prefix`.
    pub(crate) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let text = say::output(&mut self.apt("apt-cache", &["pkgnames", prefix]))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The version of `package` that would be installed.
    pub(crate) fn version(&self, package: &str) -> Result<String> {
        let show = ["show", "--no-all-versions", package];
        let text = say::output(&mut self.apt("apt-cache", &show))?;
        let version = text.lines().find_map(|line| line.strip_prefix("Version: "));
        let what = || format!("{} has no {package}", self.release);
        Ok(version.with_context(what)?.to_owned())
    }

    /// `packages` and all they depend on, unpacked; the directory is complete once it exists.
    pub(crate) fn tree(&self, lab: &Path, what: &str, packages: &[&str]) -> Result<PathBuf> {
        let path = tree_path_for(self.arch, lab, &self.release, packages);
        if !path.exists() {
            self.fetch_and_unpack(what, packages, true, &path)?;
        }
        Ok(path)
    }

    /// Exactly `packages`, without what they depend on, unpacked into `path`.
    pub(crate) fn unpack_only(&self, what: &str, packages: &[&str], path: &Path) -> Result<()> {
        if path.exists() {
            Ok(())
        } else {
            self.fetch_and_unpack(what, packages, false, path)
        }
    }

    fn fetch_and_unpack(
        &self,
        what: &str,
        packages: &[&str],
        dependencies: bool,
        path: &Path,
    ) -> Result<()> {
        let debs = beside(path, ".debs");
        let partial = beside(path, ".unpacking");
        create_dir(&debs.join("partial"))?;
        remove_dir(&partial)?;
        self.download(what, packages, dependencies, &debs)?;
        unpack(what, &debs, &partial)?;
        fs::rename(&partial, path)
            .with_context(|| format!("cannot rename {} into place", partial.display()))?;
        remove_dir(&debs)
    }

    fn download(
        &self,
        what: &str,
        packages: &[&str],
        dependencies: bool,
        debs: &Path,
    ) -> Result<()> {
        let archives = format!("Dir::Cache::archives={}", debs.display());
        let action: &[&str] = if dependencies {
            &[
                "install",
                "--download-only",
                "--no-install-recommends",
                "--yes",
            ]
        } else {
            &["download"]
        };
        let arguments = [&["-o", archives.as_str()][..], action, packages].concat();
        let plan = [&["-qq", "--print-uris"][..], &arguments].concat();
        let listing =
            say::output(self.apt("apt-get", &plan).current_dir(debs)).with_context(|| {
                format!(
                    "the {} index does not give {what} a solution; try --refresh",
                    self.release
                )
            })?;
        let present = size_below(debs);
        let total = present + listing.lines().filter_map(listed_size).sum::<u64>();
        say::step(&format!(
            "fetching {what}: {} packages, {}",
            listing.lines().filter_map(listed_size).count(),
            say::megabytes(total - present)
        ));
        say::watched(
            self.apt("apt-get", &arguments).current_dir(debs),
            &self.dir.join("download.log"),
            || {
                format!(
                    "{} of {}",
                    say::megabytes(size_below(debs)),
                    say::megabytes(total)
                )
            },
        )
        .with_context(|| {
            format!("cannot fetch {what}; if packages are gone from the mirror, try --refresh")
        })
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = tool(program, arguments);
        command.env("APT_CONFIG", self.dir.join("apt.conf"));
        command
    }
}

/// Where the unpacked `packages` of `release` lie.
pub(crate) fn tree_path(lab: &Path, release: &str, packages: &[&str]) -> PathBuf {
    tree_path_for(Arch::HOST, lab, release, packages)
}

/// The same for packages of another processor.
pub(crate) fn tree_path_for(arch: Arch, lab: &Path, release: &str, packages: &[&str]) -> PathBuf {
    lab.join(format!(
        "root-{}-{}",
        of_arch(release, arch),
        fingerprint(packages.iter().copied())
    ))
}

/// What stands for a release in names of files.
fn of_arch(release: &str, arch: Arch) -> String {
    if arch.is_host() {
        release.to_owned()
    } else {
        format!("{release}-{arch}")
    }
}

fn is_stable(release: &str) -> bool {
    !release.contains('-') && release != "sid" && release != "experimental"
}

fn tool(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("LC_ALL", "C");
    command
}

/// The size in a line of `--print-uris`: `'URI' file size hash`.
fn listed_size(line: &str) -> Option<u64> {
    line.strip_prefix('\'')?
        .split_whitespace()
        .nth(2)?
        .parse()
        .ok()
}

fn unpack(what: &str, debs: &Path, into: &Path) -> Result<()> {
    let mut files = fs::read_dir(debs)
        .with_context(|| format!("cannot list {}", debs.display()))?
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect::<Vec<_>>();
    files.sort();
    if files.is_empty() {
        bail!("apt fetched no package for {what} into {}", debs.display());
    }
    create_dir(into)?;
    let mut progress = say::Progress::new();
    say::step(&format!("unpacking {what}"));
    for (done, file) in files.iter().enumerate() {
        progress.show(&format!("{done} of {} packages", files.len()));
        say::output(Command::new("dpkg").arg("-x").arg(file).arg(into))?;
    }
    progress.end();
    merge_usr(into)
}

/// Debian's merged `/usr`, for packages from before it and whether or not `base-files` is in the
/// set.
fn merge_usr(root: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        let (old, new) = (root.join(name), root.join("usr").join(name));
        create_dir(&new)?;
        if old.is_symlink() {
            continue;
        }
        if old.is_dir() {
            move_into(&old, &new)?;
        }
        std::os::unix::fs::symlink(format!("usr/{name}"), &old)
            .with_context(|| format!("cannot link {}", old.display()))?;
    }
    Ok(())
}

/// Moves what is in `from` into `to`, which may have the same directories.
fn move_into(from: &Path, to: &Path) -> Result<()> {
    let entries = fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))?;
    for entry in entries.flatten() {
        let (old, new) = (entry.path(), to.join(entry.file_name()));
        let both = new.is_dir() && old.is_dir() && !old.is_symlink();
        if both {
            move_into(&old, &new)?;
        } else {
            fs::rename(&old, &new).with_context(|| format!("cannot move {}", old.display()))?;
        }
    }
    fs::remove_dir(from).with_context(|| format!("cannot remove {}", from.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_print_uris_lines() {
        let line = "'http://m.test/pool/a/apt_1%3a2_amd64.deb' apt_1%3a2_amd64.deb 1234 SHA256:ab";
        assert_eq!(listed_size(line), Some(1234));
        assert_eq!(listed_size("Reading package lists..."), None);
    }

    #[test]
    fn security_archive_is_only_for_stable_releases() {
        let mirror = Mirror {
            main: "http://m.test/d".into(),
            security: Some("http://m.test/s".into()),
        };
        let sources = |release: &str| {
            Apt {
                arch: Arch::HOST,
                release: release.into(),
                dir: PathBuf::new(),
            }
            .sources(&mirror)
        };
        assert!(sources("trixie").contains("http://m.test/s trixie-security main"));
        assert_eq!(sources("sid").lines().count(), 1);
        assert_eq!(sources("trixie-backports").lines().count(), 1);
    }

    #[test]
    fn old_packages_are_merged_into_usr() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        create_dir(&root.join("lib/modules/6.1")).unwrap();
        create_dir(&root.join("usr/lib/modules")).unwrap();
        fs::write(root.join("lib/modules/6.1/x.ko"), "x").unwrap();
        fs::write(root.join("usr/lib/modules/y"), "y").unwrap();
        merge_usr(root).unwrap();
        merge_usr(root).unwrap();
        assert_eq!(
            fs::read_link(root.join("lib")).unwrap(),
            Path::new("usr/lib")
        );
        assert_eq!(
            fs::read(root.join("usr/lib/modules/6.1/x.ko")).unwrap(),
            b"x"
        );
        assert!(root.join("lib/modules/y").exists());
        assert!(root.join("bin").is_symlink());
    }

    #[test]
    fn trees_differ_by_release_and_packages() {
        let lab = Path::new("/lab");
        assert_ne!(
            tree_path(lab, "trixie", &["a"]),
            tree_path(lab, "trixie", &["a", "b"])
        );
        assert_ne!(
            tree_path(lab, "trixie", &["a"]),
            tree_path(lab, "sid", &["a"])
        );
    }
}
