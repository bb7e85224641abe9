//! An RPM package.

use anyhow::Result;
use rpm::{BuildConfig, CompressionType, FileOptions, PackageBuilder, Timestamp};

use crate::contents::File;
use crate::{DESCRIPTION, LICENCE, NAME, Package, SUMMARY};

const AFTER: &str = "if [ -d /run/systemd/system ]; then\n  systemctl daemon-reload || :\n  \
if [ \"$1\" -gt 1 ]; then systemctl try-restart alua-trace.service || :; fi\nfi\n";
const BEFORE_REMOVAL: &str = "if [ -d /run/systemd/system ] && [ \"$1\" = 0 ]; then systemctl disable --now alua-trace.service || :; fi\n";
const AFTER_REMOVAL: &str = "if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi\n\
if [ \"$1\" = 0 ]; then rm -rf /var/lib/alua-trace /var/lib/private/alua-trace; fi\n";

pub(crate) fn make(package: &Package, files: &[File]) -> Result<Vec<u8>> {
    let config = BuildConfig::v4()
        .compression(CompressionType::Gzip)
        .source_date(package.time);
    let arch = match package.arch.as_str() {
        "amd64" => "x86_64",
        _ => "aarch64",
    };
    let mut builder = PackageBuilder::new(NAME, package.version, LICENCE, arch, SUMMARY);
    builder
        .using_config(config)
        .release("1")
        .description(DESCRIPTION)
        .build_host("localhost")
        .post_install_script(AFTER)
        .pre_uninstall_script(BEFORE_REMOVAL)
        .post_uninstall_script(AFTER_REMOVAL);
    for file in files {
        let mut options = FileOptions::new(format!("/{}", file.path))
            .permissions(u16::try_from(file.mode)?)
            .modified_at(Timestamp(package.time));
        if file.is_configuration {
            options = options.config().noreplace();
        }
        builder.with_file_contents(file.bytes.clone(), options)?;
    }
    let mut out = Vec::new();
    builder.build()?.write(&mut out)?;
    Ok(out)
}
