//! Owns how a text is recognised.

use clap::ValueEnum;

use super::{
    config, dmsetup, esxcli_paths, iscsiadm, kernel_log, lsscsi, multipath_ll, multipathd, sg,
    show_maps, show_paths, sysfs,
};
use crate::cli::ImportKind;

/// What `text` is, by the first line that only one tool prints; `None` if there is no such line.
pub fn detect(text: &str) -> Option<ImportKind> {
    if sg::is_json(text) {
        let is_inquiry = text.contains("\"standard_inquiry_data");
        let kinds = [ImportKind::SgVpd, ImportKind::SgInq];
        return Some(kinds[usize::from(is_inquiry)]);
    }
    if text.trim_start().starts_with('{') || text.contains("\"path_groups\"") {
        let names = ["\"maps\"", "\"map\"", "\"paths\""];
        let is_known = names.iter().any(|name| text.contains(name));
        return is_known.then_some(ImportKind::MultipathdJson);
    }
    let by_line = text.lines().find_map(kind_of_line);
    by_line.or_else(|| sg::is_vpd_dump(text).then_some(ImportKind::SgVpd))
}

/// What only one tool prints in a line.
pub(super) fn kind_of_line(line: &str) -> Option<ImportKind> {
    let trimmed = line.trim();
    let starts = |words: &[&str]| words.iter().any(|word| trimmed.starts_with(word));
    if esxcli_paths::is_line(line) {
        Some(ImportKind::EsxcliPaths)
    } else if starts(&["Device Display Name:", "Storage Array Type:"]) {
        Some(ImportKind::EsxcliNmp)
    } else if starts(&[
        "Report target port groups",
        "Report list length",
        sg::NOT_SUPPORTED,
        "target port group id",
    ]) {
        Some(ImportKind::SgRtpg)
    } else if sg::is_export(line)
        || starts(&[
            "standard INQUIRY:",
            "Vendor identification:",
            "Vendor_identification:",
        ])
    {
        Some(ImportKind::SgInq)
    } else if starts(&["VPD INQUIRY:", "designator type:", "designator_type:"]) || is_title(trimmed)
    {
        Some(ImportKind::SgVpd)
    } else if show_paths::is_header(line) || show_paths::is_log(line) {
        Some(ImportKind::ShowPaths)
    } else if show_maps::is_header(line) {
        Some(ImportKind::ShowMaps)
    } else if config::is_line(line) {
        Some(ImportKind::MultipathConf)
    } else if multipathd::is_line(line) {
        Some(ImportKind::Multipathd)
    } else if iscsiadm::is_line(line) {
        Some(ImportKind::Iscsiadm)
    } else if sysfs::is_line(line) {
        Some(ImportKind::Sysfs)
    } else if dmsetup::is_line(line) {
        Some(ImportKind::Dmsetup)
    } else if lsscsi::is_line(line) {
        Some(ImportKind::Lsscsi)
    } else if multipath_ll::is_list(line) {
        Some(ImportKind::MultipathLl)
    } else {
        kernel_log::is_event(line).then_some(ImportKind::KernelLog)
    }
}

/// `Device Identification VPD page:`, `Volume access control (RDAC) VPD Page:`.
fn is_title(line: &str) -> bool {
    ["VPD page:", "VPD Page:"]
        .iter()
        .any(|end| line.ends_with(end))
}

/// The kind as it is named on the command line.
pub(super) fn name(kind: ImportKind) -> String {
    let value = kind.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}
