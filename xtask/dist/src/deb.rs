//! A Debian package (deb(5)): an ar archive of three members.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::contents::{File, packed};
use crate::{DESCRIPTION, MAINTAINER, NAME, Package, SUMMARY};

/// What happens to the unit (debhelper's dh_installsystemd does the same).
const AFTER: &str = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then\n  systemctl daemon-reload || true\n  \
if [ \"$1\" = configure ] && [ -n \"$2\" ]; then systemctl try-restart alua-trace.service || true; fi\nfi\n";
const BEFORE_REMOVAL: &str = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ] && [ \"$1\" = remove ]; then\n  \
systemctl disable --now alua-trace.service || true\nfi\n";
const AFTER_REMOVAL: &str = "#!/bin/sh\nset -e\nif [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi\n\
if [ \"$1\" = purge ]; then rm -rf /var/lib/alua-trace /var/lib/private/alua-trace; fi\n";

pub(crate) fn make(package: &Package, files: &[File]) -> Result<Vec<u8>> {
    let configuration: String = files
        .iter()
        .filter(|file| file.is_configuration)
        .map(|file| format!("/{}\n", file.path))
        .collect();
    let control = control(package, files);
    let scripts = [
        ("conffiles", configuration.as_str(), 0o644),
        ("control", control.as_str(), 0o644),
        ("postinst", AFTER, 0o755),
        ("postrm", AFTER_REMOVAL, 0o755),
        ("prerm", BEFORE_REMOVAL, 0o755),
    ];
    let mut of_control = Tar::new(package.time);
    for (name, text, mode) in scripts {
        of_control.file(name, text.as_bytes(), mode)?;
    }
    let mut of_data = Tar::new(package.time);
    for directory in directories(files) {
        of_data.directory(&directory)?;
    }
    for file in files {
        of_data.file(&file.path, &file.bytes, file.mode)?;
    }
    let mut out = b"!<arch>\n".to_vec();
    member(&mut out, package, "debian-binary", b"2.0\n")?;
    member(&mut out, package, "control.tar.gz", &of_control.packed()?)?;
    member(&mut out, package, "data.tar.gz", &of_data.packed()?)?;
    Ok(out)
}

fn control(package: &Package, files: &[File]) -> String {
    let bytes: usize = files.iter().map(|file| file.bytes.len()).sum();
    let Package { version, arch, .. } = package;
    format!(
        "Package: {NAME}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\n\
         Section: admin\nPriority: optional\nRecommends: multipath-tools\nDescription: {SUMMARY}\n {}\n",
        bytes.div_ceil(1024),
        DESCRIPTION
    )
}

/// Directories above all files, from the top down.
fn directories(files: &[File]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for file in files {
        let above = Path::new(&file.path).ancestors().skip(1);
        let names = above
            .filter_map(Path::to_str)
            .filter(|name| !name.is_empty());
        all.extend(names.map(str::to_owned));
    }
    all
}

/// An archive whose members are root's and as old as the commit.
struct Tar {
    builder: tar::Builder<Vec<u8>>,
    time: u32,
}

impl Tar {
    fn new(time: u32) -> Self {
        Self {
            builder: tar::Builder::new(Vec::new()),
            time,
        }
    }

    fn header(&self, mode: u32) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_mode(mode);
        header.set_mtime(u64::from(self.time));
        header.set_uid(0);
        header.set_gid(0);
        header
    }

    fn directory(&mut self, path: &str) -> Result<()> {
        let mut header = self.header(0o755);
        header.set_entry_type(tar::EntryType::Directory);
        header.set_size(0);
        let path = format!("./{path}/");
        Ok(self
            .builder
            .append_data(&mut header, path, std::io::empty())?)
    }

    fn file(&mut self, path: &str, bytes: &[u8], mode: u32) -> Result<()> {
        let mut header = self.header(mode);
        header.set_size(bytes.len() as u64);
        let path = format!("./{path}");
        Ok(self.builder.append_data(&mut header, path, bytes)?)
    }

    fn packed(self) -> Result<Vec<u8>> {
        packed(&self.builder.into_inner()?)
    }
}

/// A member of an ar archive (ar(5)): even lengths.
fn member(out: &mut Vec<u8>, package: &Package, name: &str, bytes: &[u8]) -> Result<()> {
    let (time, size) = (package.time, bytes.len());
    writeln!(
        out,
        "{name:<16}{time:<12}{:<6}{:<6}{:<8}{size:<10}`",
        0, 0, "100644"
    )?;
    out.extend_from_slice(bytes);
    if size % 2 == 1 {
        out.push(b'\n');
    }
    Ok(())
}
