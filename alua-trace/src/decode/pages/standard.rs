//! Owns how what SPC defines for every device is shown: INQUIRY data, vital product data of every
//! vendor, sense data and CDBs.

use crate::decode::fields::{Report, hex};
use crate::scsi::cdb::{Cdb, DataLength, Page};
use crate::scsi::inquiry::{self, Inquiry};
use crate::scsi::sense::{self, SenseData};
use crate::scsi::{DecodeError, vpd, vpd83};

/// Bits of INQUIRY data that say what a device can do: byte, mask, name, meaning.
const INQUIRY_BITS: [(usize, u8, &str, &str); 9] = [
    (3, 0x20, "NORMACA", "normal ACA"),
    (3, 0x10, "HISUP", "hierarchical LUNs"),
    (5, 0x80, "SCCS", "storage controller commands"),
    (5, 0x40, "ACC", "access controls"),
    (5, 0x08, "3PC", "third-party copy"),
    (5, 0x01, "PROTECT", "protection information"),
    (6, 0x40, "ENCSERV", "enclosure services"),
    (6, 0x10, "MULTIP", "two or more ports"),
    (7, 0x02, "CMDQUE", "command queuing"),
];

/// Standard INQUIRY data.
pub(super) fn inquiry(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let inquiry = Inquiry::parse(data)?;
    let qualifier = inquiry::qualifier_text(inquiry.qualifier);
    report.field(0, "peripheral qualifier", inquiry.qualifier, qualifier);
    report.byte(
        0,
        "device type",
        inquiry.device_type,
        inquiry::device_type_name(inquiry.device_type),
    );
    report.bit(1, "RMB", inquiry.removable, "medium can be removed");
    report.byte(
        2,
        "version",
        inquiry.version,
        inquiry::version_name(inquiry.version),
    );
    report.field(4, "length of the answer", inquiry.whole_bytes, "bytes");
    report.field(5, "TPGS", inquiry.tpgs.code(), inquiry.tpgs);
    for (at, mask, name, meaning) in INQUIRY_BITS {
        let set = data.get(at).is_some_and(|byte| byte & mask != 0);
        report.bit(at, name, set, meaning);
    }
    for (at, name, value) in [
        (8, "vendor", &inquiry.vendor),
        (16, "product", &inquiry.product),
        (32, "revision", &inquiry.revision),
    ] {
        if let Some(value) = value {
            report.field(at, name, value, "");
        }
    }
    report.truncated(inquiry.truncated);
    Ok(report)
}

/// VPD page 00h.
pub(super) fn supported_pages(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let pages = vpd::supported_pages(data)?;
    for (nth, &page) in pages.data.iter().enumerate() {
        let name = vpd::page_name(page).unwrap_or("not known here");
        report.byte(4 + nth, "page", page, name);
    }
    report.truncated(pages.truncated);
    Ok(report)
}

/// VPD page 80h.
pub(super) fn serial_number(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let serial = vpd::serial_number(data)?;
    report.field(4, "unit serial number", serial, "");
    report.truncated(vpd::body(vpd::SERIAL, data, 0x80)?.truncated);
    Ok(report)
}

/// VPD page 83h. What precedes an error in the page is shown, with a note.
pub(super) fn identification(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    for designator in vpd83::designators(data) {
        let designator = match designator {
            Ok(designator) => designator,
            Err(error @ DecodeError::CutOff { .. }) => {
                report.notes.push(format!("truncated: {error}"));
                break;
            }
            Err(error) => return Err(error),
        };
        let protocol = designator.protocol.map(protocol_name);
        let of_protocol = protocol.map_or_else(String::new, |name| format!(", {name}"));
        report.field(
            designator.offset,
            format!("{} ({})", designator.kind_name(), designator.association),
            hex(designator.value),
            format_args!("{}{of_protocol}", designator.value_text()),
        );
    }
    let (kernel, multipath) = (vpd83::lun_wwid(data), vpd83::multipath_wwid(data));
    if let Some(wwid) = &kernel {
        report.computed("name of the logical unit, as the kernel chooses it", wwid);
    }
    if let Some(wwid) = &multipath {
        report.computed(
            "name of the logical unit, as multipath-tools choose it",
            wwid,
        );
    }
    let value = |name: &Option<String>| name.as_deref().map(bare);
    if value(&kernel) != value(&multipath) {
        report.notes.push(
            "the kernel and multipath-tools take different designators for the name of the unit"
                .to_owned(),
        );
    }
    if vpd83::has_malformed_naa(data) {
        report.notes.push(
            "malformed: an NAA designator of another length than its type has (SPC-4 7.8.6)"
                .to_owned(),
        );
    }
    Ok(report)
}

/// A name without what the kernel or multipath-tools begin it with, as far as it is hexadecimal.
fn bare(name: &str) -> String {
    let bare = name
        .strip_prefix("naa.")
        .or_else(|| name.strip_prefix("eui."))
        .or_else(|| name.strip_prefix(['2', '3']));
    bare.unwrap_or("T10 or text").to_ascii_lowercase()
}

/// The name of a transport protocol (SPC-4 table 452).
const fn protocol_name(protocol: u8) -> &'static str {
    match protocol {
        0x0 => "Fibre Channel",
        0x1 => "parallel SCSI",
        0x2 => "SSA",
        0x3 => "IEEE 1394",
        0x4 => "SRP",
        0x5 => "iSCSI",
        0x6 => "SAS",
        0x7 => "ADT",
        0x8 => "ATA",
        0x9 => "UAS (USB)",
        0xa => "SCSI over PCIe",
        0xb => "PCIe",
        0xf => "no protocol",
        _ => "reserved protocol",
    }
}

/// Sense data of either format.
pub(super) fn sense(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let decoded = SenseData::parse(data)?;
    let format = match (decoded.has_descriptors(), decoded.deferred()) {
        (false, false) => "fixed format, current",
        (false, true) => "fixed format, deferred",
        (true, false) => "descriptor format, current",
        (true, true) => "descriptor format, deferred",
    };
    let (key_at, code_at) = if decoded.has_descriptors() {
        (1, 2)
    } else {
        (2, 12)
    };
    let code = decoded.sense;
    report.byte(0, "response code", decoded.response_code, format);
    report.byte(key_at, "sense key", code.key, sense::key_name(code.key));
    report.byte(code_at, "additional sense code", code.asc, "");
    report.byte(code_at + 1, "qualifier", code.ascq, "");
    report.computed("sense", code);
    sense_extent(&mut report, &decoded);
    if let Some(unit) = decoded.unit {
        report.computed("field replaceable unit", format_args!("0x{unit:02x}"));
    }
    if let Some(pointer) = decoded.field_pointer() {
        let place = if pointer.in_cdb {
            "the CDB"
        } else {
            "the parameter list"
        };
        let bit = pointer
            .bit
            .map_or_else(String::new, |bit| format!(" bit {bit}"));
        report.computed(
            "refused field",
            format_args!("byte {}{bit} of {place}", pointer.byte),
        );
    }
    report.truncated(decoded.truncated);
    Ok(report)
}

/// How far the command got, and where.
fn sense_extent(report: &mut Report, decoded: &SenseData) {
    if let Some(information) = decoded.information {
        let what = if decoded.information_is_block() {
            ": the logical block"
        } else {
            ""
        };
        report.computed("information", format_args!("{information}{what}"));
    }
    if let Some(specific) = decoded.command_specific {
        report.computed("command-specific information", specific);
    }
    for (set, name, meaning) in [
        (
            decoded.marks.filemark,
            "FILEMARK",
            "a filemark or setmark was read",
        ),
        (decoded.marks.end_of_medium, "EOM", "end of medium"),
        (
            decoded.marks.wrong_length,
            "ILI",
            "not the length of the block",
        ),
        (
            decoded.marks.overflow,
            "SDAT_OVFL",
            "there was more sense data",
        ),
        (
            decoded.forwarded,
            "forwarded",
            "it holds sense data of another device",
        ),
    ] {
        if set {
            report.computed(name, meaning);
        }
    }
    if let Some(progress) = decoded.progress() {
        let percent = f64::from(progress) * 100.0 / 65_536.0;
        report.computed("progress", format_args!("{percent:.1} %"));
    }
    if let Some(retries) = decoded.retries() {
        report.computed("retries of the device", retries);
    }
}

/// A command descriptor block.
pub(super) fn cdb(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let cdb = Cdb::parse(data)?;
    report.byte(0, "operation code", cdb.opcode, cdb.name());
    if let Some(action) = cdb.service_action {
        report.computed("service action", format_args!("0x{action:02x}"));
    }
    if let Some(page) = cdb.page {
        report.computed("page", page_text(page));
    }
    if let Some(lba) = cdb.lba {
        report.computed("first logical block", lba);
    }
    if let Some(blocks) = cdb.blocks {
        report.computed("blocks", blocks);
    }
    match cdb.length {
        Some(DataLength::Allocation(bytes)) => {
            report.computed("room for the answer", format_args!("{bytes} bytes"));
        }
        Some(DataLength::ParameterList(bytes)) => {
            report.computed("parameter list", format_args!("{bytes} bytes"));
        }
        None => {}
    }
    if cdb.extended_header {
        report.computed("header", "extended: with the implicit transition time");
    }
    Ok(report)
}

fn page_text(page: Page) -> String {
    match page {
        Page::Vital(code) => {
            let name = vpd::page_name(code).unwrap_or("not known here");
            format!("VPD 0x{code:02x}: {name}")
        }
        Page::Mode(code, subpage) => format!("mode page 0x{code:02x}, subpage 0x{subpage:02x}"),
        Page::Log(code, subpage) => format!("log page 0x{code:02x}, subpage 0x{subpage:02x}"),
    }
}
