//! Owns the reading of `sg_inq --export` and `sg_vpd --export`, which udev's rules use (sg3_utils
//! lib/sg_lib.c, `SCSI_IDENT_…`).

use crate::inventory::model::Path;

/// Names of the unit, the better before: as the kernel chooses (drivers/scsi/scsi_lib.c `scsi_vpd_lun_id`).
const NAMES: [(&str, &str); 6] = [
    ("SCSI_IDENT_LUN_NAA_REGEXT=", "naa."),
    ("SCSI_IDENT_LUN_NAA_REG=", "naa."),
    ("SCSI_IDENT_LUN_NAA_EXT=", "naa."),
    ("SCSI_IDENT_LUN_EUI64=", "eui."),
    ("SCSI_IDENT_LUN_NAA_LOCAL=", "naa."),
    ("SCSI_IDENT_LUN_T10=", "t10."),
];

/// Whether a line is one of these.
pub(super) fn is_line(line: &str) -> bool {
    let starts = ["SCSI_IDENT_", "SCSI_TPGS=", "SCSI_VENDOR=", "SCSI_MODEL="];
    starts.iter().any(|start| line.trim().starts_with(start))
}

/// What the lines tell; `None` if there is none.
pub(super) fn parse(text: &str) -> Option<Path> {
    if !text.lines().any(is_line) {
        return None;
    }
    let value = |name: &str| {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.trim().strip_prefix(name))?;
        let value = value.trim_matches(['\'', '"']).trim();
        (!value.is_empty()).then_some(value)
    };
    let number = |name: &str| {
        let value = value(name)?;
        match value.strip_prefix("0x") {
            Some(digits) => u16::from_str_radix(digits, 16).ok(),
            None => value.parse().ok(),
        }
    };
    let own = |name: &str| value(name).map(str::to_owned);
    let mut names = NAMES.iter();
    Some(Path {
        wwid: names.find_map(|(name, prefix)| Some(format!("{prefix}{}", value(name)?))),
        vendor: own("SCSI_VENDOR="),
        product: own("SCSI_MODEL="),
        revision: own("SCSI_REVISION="),
        serial: own("SCSI_IDENT_SERIAL="),
        port_group: number("SCSI_IDENT_PORT_TARGET_PORT_GROUP="),
        relative_port: number("SCSI_IDENT_PORT_RELATIVE="),
        tpgs: number("SCSI_TPGS=")
            .and_then(|tpgs| u8::try_from(tpgs).ok())
            .filter(|it| *it < 4),
        ..Path::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ports_and_models_are_told() {
        let text = "SCSI_IDENT_SERIAL=1234\nSCSI_IDENT_LUN_T10=ACME_X\n\
                    SCSI_IDENT_LUN_NAA_REGEXT=60060160112233445566778899aabbcc\n\
                    SCSI_IDENT_PORT_RELATIVE=5\nSCSI_IDENT_PORT_TARGET_PORT_GROUP=0x12\n\
                    SCSI_IDENT_PORT_NAA_REG=500601603bde1122\nSCSI_TPGS=3\nSCSI_TYPE=disk\n\
                    SCSI_VENDOR=ACME\nSCSI_MODEL='Array'\nSCSI_REVISION=0001\n";
        let path = parse(text).unwrap();
        assert_eq!(
            path.wwid.as_deref(),
            Some("naa.60060160112233445566778899aabbcc")
        );
        assert_eq!(
            (path.port_group, path.relative_port, path.tpgs),
            (Some(0x12), Some(5), Some(3))
        );
        assert_eq!(
            (
                path.vendor.as_deref(),
                path.product.as_deref(),
                path.serial.as_deref()
            ),
            (Some("ACME"), Some("Array"), Some("1234"))
        );
        assert_eq!(parse("SCSI_TYPE=disk\n"), None);
    }
}
