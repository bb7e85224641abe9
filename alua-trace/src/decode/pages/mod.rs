//! Owns how each page is shown: which fields, in which words. What they mean is known to
//! [`crate::scsi`].

mod groups;
mod standard;
mod vendor;

use crate::cli::DecodePage;
use crate::scsi::DecodeError;

use super::fields::Report;

/// The report on `data` as the page `page`.
pub(super) fn report(page: DecodePage, data: &[u8]) -> Result<Report, DecodeError> {
    let report = Report::new(page, data.len());
    match page {
        DecodePage::Inquiry => standard::inquiry(report, data),
        DecodePage::SupportedPages => standard::supported_pages(report, data),
        DecodePage::SerialNumber => standard::serial_number(report, data),
        DecodePage::Identification => standard::identification(report, data),
        DecodePage::UnitPath => vendor::page_c0(report, data),
        DecodePage::SoftwareVersion => vendor::software_version(report, data),
        DecodePage::Subsystem => vendor::subsystem(report, data),
        DecodePage::ExtendedIdentification => vendor::extended_identification(report, data),
        DecodePage::VolumeAccess => vendor::volume_access(report, data),
        DecodePage::Rtpg => groups::report(report, data),
        DecodePage::Stpg => groups::set(report, data),
        DecodePage::RedundantController => vendor::redundant_controller(report, data),
        DecodePage::Trespass => vendor::trespass(report, data),
        DecodePage::Sense => standard::sense(report, data),
        DecodePage::Cdb => standard::cdb(report, data),
    }
}
