//! Owns the reading of what sg_rtpg, sg_inq and sg_vpd print: one device's pages, as words or in
//! hexadecimal.

mod export;
mod json;

use anyhow::{Context, Result, bail, ensure};

use super::vpd_words;
use crate::cli::DecodePage;
use crate::decode::input;
use crate::inventory::model::{
    Access, AccessSource, Inventory, Map, Path, PathGroup, PortGroup, Priority, Rdac,
};
use crate::scsi::inquiry::Inquiry;
use crate::scsi::rdac::{
    ControllerState, ExtendedIdentification, PathPriority, SubsystemIdentifier, VolumeAccess,
};
use crate::scsi::rtpg;
use crate::scsi::{vpd, vpd83};

/// What sg_rtpg says of a device without target port groups.
pub(super) const NOT_SUPPORTED: &str = "Report Target Port Groups command not supported";

/// What a page tells of the path that it was read through, and of the unit behind it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Told {
    pub(super) path: Path,
    pub(super) port_groups: Vec<PortGroup>,
    pub(super) notes: Vec<String>,
}

/// Target port groups, as `sg_rtpg -d` prints them.
///
/// # Errors
/// It is no such answer.
pub(super) fn rtpg(text: &str) -> Result<Inventory> {
    ensure!(
        !text.contains(NOT_SUPPORTED),
        "the device refused REPORT TARGET PORT GROUPS: it has no ALUA"
    );
    let dump = input::bytes(DecodePage::Rtpg, text.as_bytes())?;
    let answer = rtpg::parse(&dump.bytes)?;
    let mut told = Told {
        port_groups: answer
            .groups
            .iter()
            .map(|group| PortGroup::reported(group, AccessSource::Printed))
            .collect(),
        notes: dump.notes,
        ..Told::default()
    };
    if answer.truncated {
        let note = "the answer is cut off: there are groups or ports that are not shown";
        told.notes.push(note.to_owned());
    }
    Ok(inventory(text, told, true))
}

/// Standard INQUIRY data, as `sg_inq` prints it.
///
/// # Errors
/// It is no such data.
pub(super) fn inquiry(text: &str) -> Result<Inventory> {
    if json::is_document(text) {
        return Ok(inventory(text, of_json(text)?, false));
    }
    if let Some(path) = export::parse(text) {
        return Ok(alone(text, path));
    }
    let Ok(dump) = input::bytes(DecodePage::Inquiry, text.as_bytes()) else {
        return names_of_unit(text);
    };
    let inquiry = Inquiry::parse(&dump.bytes)?;
    let serial = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("Unit serial number:"));
    let path = Path {
        vendor: inquiry.vendor,
        product: inquiry.product,
        revision: inquiry.revision,
        serial: serial.map(|serial| serial.trim().to_owned()),
        tpgs: Some(inquiry.tpgs.code()),
        ..Path::default()
    };
    let told = Told {
        path,
        notes: dump.notes,
        ..Told::default()
    };
    Ok(inventory(text, told, false))
}

/// What the lines of sg_inq tell by themselves, where some of the others are missing.
fn names_of_unit(text: &str) -> Result<Inventory> {
    // Some releases write `Vendor_identification:`.
    let plain = text.replace("_identification:", " identification:");
    let plain = plain.replace("_revision_level:", " revision level:");
    let plain = plain.replace("Product_revision", "Product revision");
    let value = |name: &str| {
        let mut lines = plain.lines();
        let value = lines
            .find_map(|line| line.trim().strip_prefix(name))?
            .trim();
        (!value.is_empty()).then(|| value.to_owned())
    };
    let tpgs = text.split_once("TPGS=").and_then(|(_, rest)| rest.get(..1));
    let path = Path {
        vendor: value("Vendor identification:"),
        product: value("Product identification:"),
        revision: value("Product revision level:"),
        serial: value("Unit serial number:"),
        tpgs: tpgs
            .and_then(|digit| digit.parse().ok())
            .filter(|tpgs| *tpgs < 4),
        ..Path::default()
    };
    ensure!(
        path.vendor.is_some() || path.product.is_some(),
        "it names neither vendor nor product"
    );
    Ok(alone(text, path))
}

fn alone(text: &str, path: Path) -> Inventory {
    let told = Told {
        path,
        ..Told::default()
    };
    inventory(text, told, false)
}

/// A page of vital product data, as `sg_vpd` prints it in words or in hexadecimal.
///
/// # Errors
/// It is no page of which anything is known.
pub(super) fn vpd(text: &str) -> Result<Inventory> {
    if json::is_document(text) {
        return Ok(inventory(text, of_json(text)?, false));
    }
    if let Some(path) = export::parse(text) {
        return Ok(alone(text, path));
    }
    let told = match vpd_words::parse(text) {
        // `sg_vpd --all` prints both pages.
        Some(told) if told.path.serial.is_some() && designators(text).is_some() => {
            let mut both = designators(text).unwrap_or_default();
            both.path.serial = told.path.serial;
            both
        }
        Some(told) => told,
        None => {
            // Words of page 83h, or a dump of any page: the bytes are looked at below.
            let dump = input::bytes(DecodePage::Identification, text.as_bytes())?;
            let mut told = page(&dump.bytes)?;
            told.notes.extend(
                dump.notes
                    .into_iter()
                    .filter(|it| !it.contains("made of words")),
            );
            told
        }
    };
    Ok(inventory(text, told, false))
}

/// What the words of page 83h in a text tell, if there are some.
fn designators(text: &str) -> Option<Told> {
    let has_words = text.contains("designator type:") || text.contains("designator_type:");
    let dump = input::bytes(DecodePage::Identification, text.as_bytes());
    page(&dump.ok().filter(|_| has_words)?.bytes).ok()
}

/// Whether a line is one of `sg_inq --export`.
pub(super) fn is_export(line: &str) -> bool {
    export::is_line(line)
}

/// Whether `text` is JSON of sg3_utils.
pub(super) fn is_json(text: &str) -> bool {
    json::is_document(text)
}

/// What JSON of sg_inq or sg_vpd tells.
fn of_json(text: &str) -> Result<Told> {
    let mut told = Told::default();
    match json::parse(text)? {
        json::Told::Inquiry {
            vendor,
            product,
            revision,
            tpgs,
        } => {
            told.path = Path {
                vendor,
                product,
                revision,
                tpgs,
                ..Path::default()
            };
        }
        json::Told::Pages {
            serial,
            identification,
        } => {
            if let Some(bytes) = identification {
                told = page(&bytes)?;
            }
            told.path.serial = serial;
        }
    }
    Ok(told)
}

/// Whether `text` is a dump of a page that is known.
pub(super) fn is_vpd_dump(text: &str) -> bool {
    let dump = input::bytes(DecodePage::SupportedPages, text.as_bytes());
    dump.is_ok_and(|dump| page(&dump.bytes).is_ok())
}

/// What a page tells.
fn page(bytes: &[u8]) -> Result<Told> {
    let mut told = Told::default();
    let path = &mut told.path;
    let code = bytes.get(1).copied().context("the page has no code")?;
    match code {
        0x80 => path.serial = Some(vpd::serial_number(bytes)?),
        0x83 => {
            vpd::body("VPD page 83h (device identification)", bytes, 0x83)?;
            path.wwid = vpd83::lun_wwid(bytes);
            (path.port_group, path.relative_port) = vpd83::port_of(bytes);
        }
        0xc4 => {
            let subsystem = SubsystemIdentifier::parse(bytes)?;
            path.rdac = Some(Rdac {
                controller: Some(subsystem.controller()),
                slot: Some(
                    subsystem
                        .slot
                        .iter()
                        .map(|byte| format!("{byte:02x}"))
                        .collect(),
                ),
                ..Rdac::default()
            });
        }
        0xc8 => {
            let edid = ExtendedIdentification::parse(bytes)?;
            path.rdac = Some(Rdac {
                array: Some(edid.array_label),
                volume: Some(edid.volume_label),
                ..Rdac::default()
            });
        }
        0xc9 => volume_access(&VolumeAccess::parse(bytes)?, &mut told),
        _ => bail!(
            "nothing that is shown is in VPD page {code:02x}h; those that are: 80, 83, c4, c8, c9"
        ),
    }
    Ok(told)
}

fn volume_access(access: &VolumeAccess, told: &mut Told) {
    let priority = access.priority();
    let preferred = preferred(access);
    told.path.preferred = preferred;
    told.path.access = access.this.map(|this| Access {
        state: this.state,
        source: AccessSource::Printed,
        age_ms: None,
    });
    told.path.priority = Some(Priority {
        value: i32::from(priority.value),
        reason: format!("{} = {}", priority.value, priority.reason),
        prioritizer: Some("rdac".to_owned()),
    });
    told.path.rdac = Some(Rdac {
        mode: Some(access.mode.to_string()),
        owned: Some(access.owned),
        preferred,
        ..Rdac::default()
    });
    for (name, state) in [("this", access.this), ("the alternate", access.alternate)] {
        told.notes
            .extend(state.map(|state| controller_note(name, state)));
    }
}

fn preferred(access: &VolumeAccess) -> Option<bool> {
    match access.path_priority {
        PathPriority::Preferred => Some(true),
        PathPriority::Secondary => Some(false),
        PathPriority::Reserved(_) => None,
    }
}

fn controller_note(name: &str, controller: ControllerState) -> String {
    format!(
        "{name} controller: {}, {}",
        controller.state,
        controller.status_text()
    )
}

/// Files what was told: below a map when the device is one, or when there are port groups, which only
/// maps have; else as a path by itself.
fn inventory(text: &str, told: Told, needs_map: bool) -> Inventory {
    let device = device(text);
    let disk = device.and_then(|device| device.strip_prefix("/dev/"));
    let map = device.and_then(|device| device.strip_prefix("/dev/mapper/"));
    let mut path = told.path;
    // A name that changed is no name.
    let renamed = told.notes.iter().any(|note| note.contains("no identity"));
    if map.is_none() && !renamed {
        path.device = disk.map(str::to_owned);
    }
    let mut inventory = Inventory {
        notes: told.notes,
        ..Inventory::default()
    };
    if map.is_none() && !needs_map {
        inventory.unmapped.push(path);
        return inventory;
    }
    let name = map.or(disk).unwrap_or("unnamed").to_owned();
    inventory.maps.push(Map {
        wwid: path
            .wwid
            .clone()
            .or(map.filter(|name| is_wwid(name)).map(str::to_owned)),
        name,
        vendor: path.vendor.clone(),
        product: path.product.clone(),
        revision: path.revision.clone(),
        serial: path.serial.clone(),
        port_groups: told.port_groups,
        groups: vec![PathGroup {
            number: 1,
            paths: vec![path],
            ..PathGroup::default()
        }],
        ..Map::default()
    });
    inventory
}

/// The device in the command's line: `# sg_inq /dev/sda`, `$ sudo sg_vpd -p 0xc9 /dev/sdb`; in JSON the
/// last of its words.
fn device(text: &str) -> Option<&str> {
    if json::is_document(text) {
        let (_, words) = text.split_once("\"argv\"")?;
        let mut words = words.split(']').next()?.rsplit('"');
        return words.find(|word| word.starts_with("/dev/"));
    }
    let command = text
        .lines()
        .find(|line| line.contains("sg_") && line.contains("/dev/"))?;
    command
        .split_whitespace()
        .find(|word| word.starts_with("/dev/"))
}

/// scsi_id's form of an NAA name: a 3, and 16 or 32 digits.
fn is_wwid(name: &str) -> bool {
    matches!(name.len(), 17 | 33)
        && name.starts_with('3')
        && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests;
