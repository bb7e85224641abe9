//! Owns how the pages of RDAC and EMC arrays are shown.

use crate::decode::fields::{Report, hex};
use crate::scsi::DecodeError;
use crate::scsi::bytes::text;
use crate::scsi::emc::{Trespass, UnitPathReport};
use crate::scsi::rdac::{
    ControllerState, ExtendedIdentification, Form, HardwareVersion, LunSlot, RedundantController,
    SoftwareVersion, SubsystemIdentifier, Transfer, VolumeAccess,
};

/// VPD page C0h: RDAC's names itself, any other is taken for EMC's.
pub(super) fn page_c0(report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    if HardwareVersion::matches(data) {
        hardware_version(report, data)
    } else {
        unit_path(report, data)
    }
}

fn hardware_version(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let hardware = HardwareVersion::parse(data)?;
    report.field(4, "page identifier", "hwr4", "RDAC hardware version");
    report.field(8, "channels", hardware.channels, "");
    report.field(10, "processor memory", hardware.memory_mib, "MiB");
    report.field(16, "board name", hardware.board_name, "");
    report.field(80, "board part number", hardware.part_number, "");
    report.field(112, "board serial number", hardware.serial_number, "");
    report.field(144, "manufactured", hardware.manufactured, "");
    Ok(report)
}

fn unit_path(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let path = UnitPathReport::parse(data)?;
    let operations = if path.operations == 0 {
        "normal"
    } else {
        "rejected: the SP restarts or its firmware is being replaced"
    };
    report.byte(4, "LUN state", path.lun_state as u8, path.lun_state);
    report.byte(5, "default owner", path.default_owner.0, path.default_owner);
    report.field(7, "port", path.port, "");
    report.byte(8, "this path leads to", path.this.0, path.this);
    report.field(10, "LUN WWN", hex(&path.wwn), "");
    report.field(
        28,
        "failover mode",
        path.failover_mode,
        path.failover_text(),
    );
    report.byte(48, "operations", path.operations, operations);
    if let Some(serial) = path.array_serial {
        report.field(50, "array serial number", serial, "");
    }
    Ok(report)
}

/// VPD page C2h.
pub(super) fn software_version(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let software = SoftwareVersion::parse(data)?;
    let [major, minor, patch] = software.version;
    let [month, day, year] = software.date;
    let alua = if software.alua() {
        "with asymmetric logical unit access"
    } else {
        "without asymmetric logical unit access"
    };
    let command = if software.uses_mode_select_10() {
        "32 or more: volumes are moved with MODE SELECT(10)"
    } else {
        "fewer than 32: volumes are moved with MODE SELECT(6)"
    };
    let version = format!("{major:02x}.{minor:02x}.{patch:02x}");
    report.field(8, "software version", version, "");
    let date = format!("{month:02}/{day:02}/{year:02}");
    report.field(11, "software date", date, "month/day/year");
    report.byte(14, "features", software.features, alua);
    report.field(15, "max LUNs", software.max_luns, command);
    Ok(report)
}

/// VPD page C4h.
pub(super) fn subsystem(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let subsystem = SubsystemIdentifier::parse(data)?;
    let controller = format!("controller {}", subsystem.controller());
    report.field(8, "subsystem id", subsystem.subsystem_id, "");
    report.field(24, "subsystem revision", subsystem.revision, "");
    report.field(28, "slot", hex(&subsystem.slot), controller);
    Ok(report)
}

/// VPD page C8h.
pub(super) fn extended_identification(
    mut report: Report,
    data: &[u8],
) -> Result<Report, DecodeError> {
    let edid = ExtendedIdentification::parse(data)?;
    report.field(12, "volume id", hex(&edid.volume_id), "");
    report.field(29, "volume label", edid.volume_label, "");
    report.field(90, "array id", hex(&edid.array_id), "");
    report.field(107, "array label", edid.array_label, "");
    report.field(174, "LUN", edid.lun, "at which this host sees the volume");
    Ok(report)
}

/// Bits of byte 8 of VPD page C9h: mask, name, meaning if set and if not.
const ACCESS_BITS: [(u8, &str, [&str; 2]); 6] = [
    (0x80, "AVT", ["disabled", "automatic volume transfer"]),
    (
        0x40,
        "sector 0 reads",
        ["transfer like others", "transfer nothing"],
    ),
    (0x20, "I/O shipping", ["disabled", "enabled"]),
    (0x10, "port group data", ["absent", "in bytes 10 to 13"]),
    (
        0x08,
        "newer priority fields",
        ["absent", "in bytes 14 and 15"],
    ),
    (
        0x01,
        "owned",
        [
            "the alternate controller owns the volume",
            "this controller owns the volume",
        ],
    ),
];

/// VPD page C9h.
pub(super) fn volume_access(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let access = VolumeAccess::parse(data)?;
    report.byte(8, "flags", access.flags, "");
    for (mask, name, [clear, set]) in ACCESS_BITS {
        let is_set = access.flags & mask != 0;
        report.bit(8, name, is_set, if is_set { set } else { clear });
    }
    let priority = data.get(9).copied().unwrap_or_default() & 0x0f;
    report.field(9, "path priority", priority, access.path_priority);
    for (at, name, state) in [
        (10, "this controller", access.this),
        (12, "alternate controller", access.alternate),
    ] {
        if let Some(state) = state {
            controller(&mut report, at, name, state);
        }
    }
    if let Some([failback, priority]) = access.new_priority {
        report.byte(14, "failback settings", failback, failback_text(failback));
        report.field(15, "newer path priority", priority & 0x0f, "");
    }
    report.computed("mode", access.mode);
    let rdac = access.priority();
    report.computed(
        "rdac priority",
        format_args!("{} = {}", rdac.value, rdac.reason),
    );
    Ok(report)
}

fn controller(report: &mut Report, at: usize, name: &str, state: ControllerState) {
    report.byte(
        at,
        format!("{name}: state"),
        state.state.code(),
        state.state,
    );
    report.byte(
        at + 1,
        format!("{name}: status"),
        state.vendor_status,
        state.status_text(),
    );
}

/// Implicit failback, the two lowest bits of byte 14 (sg3_utils `decode_rdac_vpd_c9`).
const fn failback_text(byte: u8) -> &'static str {
    match byte & 0x03 {
        1 => "implicit failback disabled",
        2 => "implicit failback enabled",
        _ => "implicit failback unknown",
    }
}

/// Mode page 2Ch. Whether it was sent or received is not known: both meanings are shown.
pub(super) fn redundant_controller(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let page = RedundantController::parse(data)?;
    let (form, common) = match page.form {
        Form::Legacy => ("legacy, 32 LUNs", page.page_offset + 2),
        Form::Expanded => ("subpage 1, 256 LUNs", page.page_offset + 4),
    };
    report.field(page.page_offset, "page", "0x2c", form);
    for (at, name, serial) in [
        (0, "controller serial number", &page.controller_serial),
        (16, "alternate serial number", &page.alternate_serial),
    ] {
        report.field(common + at, name, text(serial), "");
    }
    for (at, name, mode) in [
        (32, "mode", page.mode),
        (34, "alternate mode", page.alternate_mode),
    ] {
        report.field(common + at, name, hex(&mode.0), mode.sensed());
    }
    report.field(
        common + 36,
        "quiescence timeout",
        page.quiescence_timeout_s,
        "seconds",
    );
    report.byte(common + 37, "options", page.options, "");
    report.bit(common + 37, "ALUA", page.alua(), "");
    report.bit(common + 37, "forced quiescence", page.forced(), "");
    for (lun, &slot) in page.lun_table.iter().enumerate() {
        if slot != LunSlot(0) {
            report.byte(common + 38 + lun, format!("LUN {lun}"), slot.0, slot);
        }
    }
    report.computed("as a MODE SELECT", transfer_text(&page));
    report.truncated(page.truncated);
    Ok(report)
}

fn transfer_text(page: &RedundantController) -> String {
    match page.transfer() {
        Transfer::None => "moves nothing".to_owned(),
        Transfer::All => "moves all LUNs to this controller".to_owned(),
        Transfer::Luns(luns) if luns.is_empty() => "moves no LUN".to_owned(),
        Transfer::Luns(luns) => {
            let luns: Vec<_> = luns.iter().map(u8::to_string).collect();
            format!("moves LUN {} to this controller", luns.join(", "))
        }
    }
}

/// Mode page 22h.
pub(super) fn trespass(mut report: Report, data: &[u8]) -> Result<Report, DecodeError> {
    let trespass = Trespass::parse(data)?;
    let at = trespass.page_offset;
    let form = if trespass.short {
        "short form, of FC arrays"
    } else {
        "long form"
    };
    let reservations = if trespass.ignores_reservations {
        "moves the LUN even if another host reserved it"
    } else {
        "honours reservations"
    };
    report.field(at, "page", "0x22", form);
    report.byte(at + 2, "trespass code", trespass.code, "move this LUN");
    report.bit(
        at + 2,
        "ignore reservations",
        trespass.ignores_reservations,
        reservations,
    );
    let target = format!("0x{:04x}", trespass.target);
    report.field(at + 3, "target", target, trespass.target_text());
    Ok(report)
}
