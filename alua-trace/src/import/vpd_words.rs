//! Owns the reading of what sg_vpd prints in words (sg3_utils src/sg_vpd.c, src/sg_vpd_vendor.c, and
//! src/sg_vpd_common.c since 1.48).

use super::priority;
use super::sg::Told;
use crate::inventory::model::{Access, AccessSource, Priority, Rdac};
use crate::scsi::AccessState;

/// What the words in `text` tell; `None` if they are none of sg_vpd's, or of a page that is not
/// shown.
pub(super) fn parse(text: &str) -> Option<Told> {
    // Names are written differently: `Volume Access via:` to 1.47, `Volume access via:` since.
    let value = |name: &str| {
        let after = |line: &'_ str| {
            let (start, rest) = line.trim().split_at_checked(name.len())?;
            start.eq_ignore_ascii_case(name).then_some(rest.len())
        };
        text.lines()
            .find_map(|line| {
                let line = line.trim();
                line.get(line.len() - after(line)?..)
            })
            .map(str::trim)
            .filter(|value| !value.is_empty())
    };
    let serial = value("Unit serial number:").or_else(|| value("Product serial number:"));
    if let Some(serial) = serial {
        let mut told = Told::default();
        told.path.serial = Some(serial.to_owned());
        return Some(told);
    }
    if let Some(via) = value("Volume Access via:") {
        let access = VolumeAccess {
            via,
            priority: value("Path priority:"),
            shipping: value("IOShipping (ALUA):"),
            avt: value("AVT:"),
            state: value("Asymmetric Access State:"),
        };
        return Some(access.told());
    }
    if value("Subsystem ID:").is_some() {
        return Some(subsystem(value("Slot ID:")));
    }
    if let Some(array) = value("Storage Array User Label:") {
        let mut told = Told::default();
        told.path.rdac = Some(Rdac {
            array: Some(array.to_owned()),
            volume: value("Volume User Label:").map(str::to_owned),
            ..Rdac::default()
        });
        return Some(told);
    }
    None
}

/// The words on page C9h.
struct VolumeAccess<'a> {
    via: &'a str,
    priority: Option<&'a str>,
    shipping: Option<&'a str>,
    avt: Option<&'a str>,
    /// The first is this controller's.
    state: Option<&'a str>,
}

impl VolumeAccess<'_> {
    /// sg_vpd calls it I/O shipping only if AVT and reads of sector 0 are set, too; else it tells of
    /// AVT alone, and whether I/O is shipped stays unknown, unless sector 0 is named: with I/O
    /// shipping it would not be.
    fn mode(&self) -> Option<&'static str> {
        match (self.shipping, self.avt) {
            (Some("Enabled"), _) => Some("IOSHIP"),
            (_, Some(avt)) if avt.contains("sector 0") => Some("AVT"),
            _ => None,
        }
    }

    fn told(&self) -> Told {
        let mut told = Told::default();
        let mode = self.mode();
        let preferred = match self.priority.and_then(|priority| priority.chars().next()) {
            Some('1') => Some(true),
            Some('2') => Some(false),
            _ => None,
        };
        // Words to sg3_utils 1.47, the bit since.
        let owned = match self.via {
            "primary controller" | "1" => Some(true),
            "alternate controller" | "0" => Some(false),
            _ => None,
        };
        if mode.is_none() {
            let note = "sg_vpd's words do not tell whether the mode is IOSHIP; its --hex does";
            told.notes.push(note.to_owned());
        }
        told.path.preferred = preferred;
        told.path.access = self.access(mode);
        told.path.priority = priority(mode, owned, preferred);
        told.path.rdac = Some(Rdac {
            mode: mode.map(str::to_owned),
            owned,
            preferred,
            ..Rdac::default()
        });
        told
    }

    /// States are printed whenever AVT is set, whether or not the page has any; with I/O shipping it
    /// does.
    fn access(&self, mode: Option<&str>) -> Option<Access> {
        let state = self.state.filter(|_| mode == Some("IOSHIP"))?;
        Some(Access {
            state: AccessState::from_sysfs(&state.to_ascii_lowercase())?,
            source: AccessSource::Printed,
            age_ms: None,
        })
    }
}

fn priority(mode: Option<&str>, owned: Option<bool>, preferred: Option<bool>) -> Option<Priority> {
    let value = if mode? == "IOSHIP" { 8 } else { 0 }
        + if owned? { 2 } else { 0 }
        + if preferred? { 4 } else { 1 };
    Some(Priority {
        value,
        reason: priority::rdac(value)?,
        prioritizer: Some("rdac".to_owned()),
    })
}

/// Page C4h: the slot's two characters; the second one, `1`, is controller A.
fn subsystem(slot: Option<&str>) -> Told {
    let mut told = Told::default();
    let bytes = slot.map(str::as_bytes).filter(|slot| slot.len() == 2);
    told.path.rdac = Some(Rdac {
        controller: bytes.map(|slot| if slot.last() == Some(&b'1') { 'A' } else { 'B' }),
        slot: bytes.map(|slot| slot.iter().map(|byte| format!("{byte:02x}")).collect()),
        ..Rdac::default()
    });
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_on_volume_access_tell_the_mode_only_sometimes() {
        let page = "Volume access control (RDAC) VPD Page:\n";
        for (line, mode) in [
            ("  IOShipping (ALUA): Enabled\n", Some("IOSHIP")),
            ("  AVT: Enabled (Allow reads on sector 0)\n", Some("AVT")),
            ("  AVT: Enabled\n", None),
            ("  AVT: Disabled\n", None),
        ] {
            let words = format!(
                "{page}{line}  Volume Access via: primary controller\n  Path priority: 1 (preferred path)\n"
            );
            let told = parse(&words).unwrap();
            let rdac = told.path.rdac.unwrap();
            assert_eq!(
                (rdac.mode.as_deref(), rdac.owned, rdac.preferred),
                (mode, Some(true), Some(true)),
                "{line}"
            );
            assert_eq!(told.notes.is_empty(), mode.is_some(), "{line}");
        }
        let words = format!(
            "{page}  Volume Access via: alternate controller\n  Path priority: 2 (secondary path)\n"
        );
        let rdac = parse(&words).unwrap().path.rdac.unwrap();
        assert_eq!((rdac.owned, rdac.preferred), (Some(false), Some(false)));
    }

    #[test]
    fn words_with_io_shipping_tell_state_and_priority() {
        let words = "  IOShipping (ALUA): Enabled\n  Volume Access via: alternate controller\n  \
                     Path priority: 2 (secondary path)\n Target Port Group Data (This controller):\n  \
                     Asymmetric Access State: Active/Non-Optimized\n  Vendor Specific Field: Operating \
                     normally\n Target Port Group Data (Alternate controller):\n  Asymmetric Access \
                     State: Active/Optimized\n";
        let path = parse(words).unwrap().path;
        assert_eq!(path.access.unwrap().state, AccessState::NON_OPTIMIZED);
        assert_eq!(path.priority.unwrap().reason, "9 = 1 secondary + 8 IOSHIP");
        let avt = words.replace(
            "IOShipping (ALUA): Enabled",
            "AVT: Enabled (Allow reads on sector 0)",
        );
        let path = parse(&avt).unwrap().path;
        assert_eq!((path.access, path.priority.unwrap().value), (None, 1));
    }

    #[test]
    fn serial_number_and_other_pages_are_read() {
        let told = parse("Unit serial number VPD page:\n  Unit serial number: 142002I\n").unwrap();
        assert_eq!(told.path.serial.as_deref(), Some("142002I"));
        assert_eq!(
            parse("Supported VPD pages VPD page:\n  0x00  Supported VPD pages\n"),
            None
        );
    }
}
