//! The lab's kernels: which one a person means, where it comes from, and its unpacked tree.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::arch::Arch;
use crate::packages::Apt;
use crate::paths::{Paths, beside, write_whole};
use crate::say;
use crate::userland::Userland;
use crate::version;

/// The kernel used unless another is asked for.
pub(crate) const DEFAULT: &str = "6.1";
/// The highest version that any suite of the mirror has.
pub(crate) const NEWEST: &str = "newest";

/// Suites searched, and the kernel series for which the one suite is enough.
const SUITES: [(&str, &str); 6] = [
    ("bullseye", "5.10"),
    ("bookworm", "6.1"),
    ("trixie", "6.12"),
    ("trixie-backports", ""),
    ("sid", ""),
    ("experimental", ""),
];

/// An unpacked kernel, ready to boot.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    /// What `uname -r` will say.
    pub(crate) release: String,
    /// The boot image.
    pub(crate) vmlinuz: PathBuf,
    /// The tree that holds `lib/modules/<release>`.
    pub(crate) tree: PathBuf,
}

impl Kernel {
    /// The kernel meant by `request`, fetched if it is not here.
    pub(crate) fn get(
        paths: &Paths,
        arch: Arch,
        userland: &Userland,
        request: &str,
        refresh: bool,
    ) -> Result<Self> {
        let memory = paths.lab.join("kernels.json");
        let mut known = remembered(&memory);
        if !refresh
            && let Some(release) = known.get(&key(arch, request))
            && let Ok(kernel) = Self::unpacked(&paths.lab, release)
        {
            return Ok(kernel);
        }
        let choice = choose(&paths.lab, arch, request, refresh)?;
        let tree = tree_path(&paths.lab, &choice.release);
        if !tree.exists() {
            let names = choice
                .packages
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>();
            let what = format!("kernel {}", choice.release);
            let raw = beside(&tree, ".raw");
            choice.apt.unpack_only(&what, &names, &raw)?;
            userland.depmod(&raw, &choice.release)?;
            fs::rename(&raw, &tree)
                .with_context(|| format!("cannot rename {} into place", raw.display()))?;
        }
        let kernel = Self::unpacked(&paths.lab, &choice.release)?;
        known.insert(key(arch, request), choice.release);
        write_whole(&memory, serde_json::to_string_pretty(&known)?.as_bytes())?;
        Ok(kernel)
    }

    /// The release remembered for `request`, without fetching anything.
    pub(crate) fn known(lab: &Path, arch: Arch, request: &str) -> Option<Self> {
        let release = remembered(&lab.join("kernels.json")).remove(&key(arch, request))?;
        Self::unpacked(lab, &release).ok()
    }

    fn unpacked(lab: &Path, release: &str) -> Result<Self> {
        let tree = tree_path(lab, release);
        let places = [
            format!("boot/vmlinuz-{release}"),
            format!("usr/lib/modules/{release}/vmlinuz"),
            format!("usr/lib/modules/{release}/vmlinuz.unsigned"),
        ];
        let vmlinuz = places
            .iter()
            .map(|place| tree.join(place))
            .find(|path| path.exists())
            .with_context(|| format!("no vmlinuz in {}", tree.display()))?;
        Ok(Self {
            release: release.to_owned(),
            vmlinuz,
            tree,
        })
    }

    /// `lib/modules/<release>`.
    pub(crate) fn modules(&self) -> PathBuf {
        self.tree.join("usr/lib/modules").join(&self.release)
    }
}

fn tree_path(lab: &Path, release: &str) -> PathBuf {
    lab.join(format!("kernel-{release}"))
}

/// What a request is remembered by.
fn key(arch: Arch, request: &str) -> String {
    if arch.is_host() {
        request.to_owned()
    } else {
        format!("{request} {arch}")
    }
}

fn remembered(memory: &Path) -> BTreeMap<String, String> {
    fs::read(memory)
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

struct Choice {
    release: String,
    packages: Vec<String>,
    apt: Apt,
}

fn choose(lab: &Path, arch: Arch, request: &str, refresh: bool) -> Result<Choice> {
    let mut best: Option<Choice> = None;
    for suite in suites_for(request) {
        let found = Apt::open_for(arch, lab, suite, refresh)
            .and_then(|apt| Ok((apt.names("linux-")?, apt)));
        let (names, apt) = match found {
            Ok(found) => found,
            Err(error) => {
                let cause = error.to_string();
                let detail = format!("{:#}", error.root_cause());
                let reason = detail
                    .lines()
                    .rfind(|line| line.starts_with("E:"))
                    .unwrap_or(&cause);
                say::note(&format!("suite {suite} is left out: {reason}"));
                continue;
            }
        };
        let Some(release) = newest(arch, &names, request) else {
            continue;
        };
        let better = best
            .as_ref()
            .is_none_or(|best| version::compare(release, &best.release).is_gt());
        if better {
            let packages = packages(arch, &names, release);
            let release = format!("{release}-{arch}");
            best = Some(Choice {
                release,
                packages,
                apt,
            });
        }
    }
    match best {
        Some(best) => Ok(best),
        None => bail!(
            "no kernel {request} in any suite this machine's mirror gave; \
             `--kernel` takes 6.1, 6.12, newest or the beginning of a version"
        ),
    }
}

fn suites_for(request: &str) -> Vec<&'static str> {
    let known = SUITES
        .iter()
        .find(|(_, series)| !series.is_empty() && matches(request, series));
    match known {
        Some((suite, _)) => vec![suite],
        None => SUITES.iter().skip(1).map(|(suite, _)| *suite).collect(),
    }
}

/// Whether `version` is `prefix` or continues it at a boundary: 6.1 means 6.1.0-56, not 6.12.
fn matches(version: &str, prefix: &str) -> bool {
    version
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.chars().next().is_none_or(|c| !c.is_ascii_digit()))
}

fn newest<'a>(arch: Arch, names: &'a [String], request: &str) -> Option<&'a str> {
    let suffix = format!("-{arch}");
    let request = request.strip_suffix(&suffix).unwrap_or(request);
    names
        .iter()
        .filter_map(|name| version_of(arch, name))
        .filter(|version| is_concrete(arch, names, version))
        .filter(|version| request == NEWEST || matches(version, request))
        .max_by(|left, right| version::compare(left, right))
}

/// The version in the name of a package with a bootable image: no debug symbols, no real-time or
/// cloud flavour.
fn version_of(arch: Arch, name: &str) -> Option<&str> {
    let rest = ["linux-image-", "linux-binary-unsigned-", "linux-binary-"]
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))?;
    let rest = rest.strip_suffix("-unsigned").unwrap_or(rest);
    let version = rest.strip_suffix(arch.debian())?.strip_suffix('-')?;
    let plain = !version.ends_with("-rt") && !version.ends_with("-cloud");
    (plain && version.starts_with(|c: char| c.is_ascii_digit())).then_some(version)
}

/// Whether there is an image of this very version: `linux-image-6.12-amd64` only points to one.
fn is_concrete(arch: Arch, names: &[String], version: &str) -> bool {
    version.matches('.').count() >= 2 || names.contains(&format!("linux-modules-{version}-{arch}"))
}

/// The packages that hold image and modules of `version`. Debian 6.19 and later split them.
fn packages(arch: Arch, names: &[String], version: &str) -> Vec<String> {
    let has = |name: &String| names.contains(name);
    let modules = format!("linux-modules-{version}-{arch}");
    let either = |signed: String, unsigned: String| if has(&signed) { signed } else { unsigned };
    if has(&modules) {
        let image = either(
            format!("linux-binary-{version}-{arch}"),
            format!("linux-binary-unsigned-{version}-{arch}"),
        );
        let base = format!("linux-base-{version}-{arch}");
        return [image, modules, base].into_iter().filter(has).collect();
    }
    let image = format!("linux-image-{version}-{arch}");
    vec![either(image.clone(), format!("{image}-unsigned"))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn picks_the_newest_of_a_series_by_version_not_by_text() {
        let index = names(&[
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-amd64-dbg",
            "linux-image-6.1.0-57-rt-amd64",
            "linux-image-6.1.0-57-cloud-amd64-unsigned",
            "linux-image-6.12.117+deb12-amd64",
            "linux-image-6.12-amd64",
            "linux-image-amd64",
            "linux-image-amd64-signed-template",
        ]);
        assert_eq!(newest(Arch::Amd64, &index, "6.1"), Some("6.1.0-56"));
        assert_eq!(
            newest(Arch::Amd64, &index, "6.1.0-9-amd64"),
            Some("6.1.0-9")
        );
        assert_eq!(newest(Arch::Amd64, &index, "6.12"), Some("6.12.117+deb12"));
        assert_eq!(newest(Arch::Amd64, &index, NEWEST), Some("6.12.117+deb12"));
        assert_eq!(newest(Arch::Amd64, &index, "7"), None);
        assert_eq!(newest(Arch::Arm64, &index, NEWEST), None);
        let arm = names(&["linux-image-6.1.0-56-arm64", "linux-image-6.1.0-57-amd64"]);
        assert_eq!(newest(Arch::Arm64, &arm, "6.1"), Some("6.1.0-56"));
    }

    #[test]
    fn newest_may_exist_only_unsigned_and_split() {
        let index = names(&[
            "linux-image-7.2.12+deb13-amd64",
            "linux-binary-7.2.12+deb13-amd64",
            "linux-modules-7.2.12+deb13-amd64",
            "linux-binary-unsigned-7.3.4+deb13-amd64",
            "linux-modules-7.3.4+deb13-amd64",
            "linux-base-7.3.4+deb13-amd64",
            "linux-image-7.3.4+deb13-amd64-dbg",
        ]);
        let version = newest(Arch::Amd64, &index, NEWEST).unwrap();
        assert_eq!(version, "7.3.4+deb13");
        assert_eq!(
            packages(Arch::Amd64, &index, version),
            [
                "linux-binary-unsigned-7.3.4+deb13-amd64",
                "linux-modules-7.3.4+deb13-amd64",
                "linux-base-7.3.4+deb13-amd64"
            ]
        );
        assert_eq!(
            packages(Arch::Amd64, &index, "7.2.12+deb13")[0],
            "linux-binary-7.2.12+deb13-amd64"
        );
    }

    #[test]
    fn a_first_release_has_one_dot_only() {
        let index = names(&[
            "linux-binary-7.3-amd64",
            "linux-modules-7.3-amd64",
            "linux-image-9.9-amd64",
        ]);
        assert_eq!(newest(Arch::Amd64, &index, NEWEST), Some("7.3"));
    }

    #[test]
    fn whole_images_prefer_the_signed_package() {
        let both = names(&[
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-amd64-unsigned",
        ]);
        assert_eq!(
            packages(Arch::Amd64, &both, "6.1.0-56"),
            ["linux-image-6.1.0-56-amd64"]
        );
        assert_eq!(
            packages(Arch::Amd64, &both[1..], "6.1.0-56"),
            ["linux-image-6.1.0-56-amd64-unsigned"]
        );
    }

    #[test]
    fn known_series_need_one_index_only() {
        assert_eq!(suites_for("6.1"), ["bookworm"]);
        assert_eq!(suites_for("6.1.0-50"), ["bookworm"]);
        assert_eq!(suites_for("6.12"), ["trixie"]);
        assert_eq!(suites_for("5.10"), ["bullseye"]);
        assert!(suites_for(NEWEST).len() > 3);
    }
}
