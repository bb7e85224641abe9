//! Owns the reading of what sg_inq and sg_rtpg print in words, for those who have no dump: the
//! bytes are made again of what the words tell.

use anyhow::{Context, Result};

use super::designators;
use crate::cli::DecodePage;

/// The bytes that the words in `text` stand for; `None` if they are not those of this page.
pub(super) fn bytes(page: DecodePage, text: &str) -> Result<Option<Vec<u8>>> {
    match page {
        DecodePage::Inquiry if text.contains("PQual=") => inquiry(text).map(Some),
        DecodePage::Rtpg if text.contains(GROUP) => Ok(Some(groups(text)?)),
        DecodePage::Identification if designators::has_words(text) => {
            Ok(Some(designators::page(text).0))
        }
        _ => Ok(None),
    }
}

/// A remark if some designators have values that the words do not tell.
pub(super) fn untold(page: DecodePage, text: &str) -> Option<String> {
    let untold = (page == DecodePage::Identification).then(|| designators::page(text).1)?;
    let many = if untold == 1 {
        "designator has"
    } else {
        "designators have"
    };
    (untold > 0).then(|| format!("{untold} {many} a value that the words do not tell"))
}

/// A remark if the command was asked for one device and opened another: `sdX` is no identity.
pub(super) fn renamed(text: &str) -> Option<String> {
    let asked = text
        .lines()
        .filter_map(|line| line.strip_prefix("# ")?.split_whitespace().last())
        .find(|device| device.starts_with("/dev/"))?;
    let opened = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("open ")?.split_whitespace().next())?;
    (asked != opened).then(|| {
        format!("asked for {asked}, opened {opened}: such names are no identity, and may change")
    })
}

/// Where sg_inq's names of fields belong: name, or older and newer one, byte, and lowest bit.
const INQUIRY_BITS: [(&[&str], usize, u8); 14] = [
    (&["PQual"], 0, 5),
    (&["Device_type", "PDT"], 0, 0),
    (&["RMB"], 1, 7),
    (&["version"], 2, 0),
    (&["NormACA"], 3, 5),
    (&["HiSUP"], 3, 4),
    (&["Resp_data_format"], 3, 0),
    (&["SCCS"], 5, 7),
    (&["TPGS"], 5, 4),
    (&["3PC"], 5, 3),
    (&["Protect"], 5, 0),
    (&["EncServ"], 6, 6),
    (&["MultiP"], 6, 4),
    (&["CmdQue"], 7, 1),
];

fn inquiry(text: &str) -> Result<Vec<u8>> {
    let mut data = vec![0; 36];
    for (names, at, shift) in INQUIRY_BITS {
        let value = names.iter().find_map(|name| number_after(text, name, "="));
        let bits = value.and_then(|value| u8::try_from(value << shift).ok());
        let bits = bits.with_context(|| format!("sg_inq's words: no valid {}=", names[0]))?;
        data[at] |= bits;
    }
    let length = number_after(text, "length", "=").and_then(|length| length.checked_sub(5));
    data[4] = length
        .and_then(|length| u8::try_from(length).ok())
        .context("sg_inq's words: no valid length=")?;
    for (name, from, to) in [
        ("Vendor identification:", 8, 16),
        ("Product identification:", 16, 32),
        ("Product revision level:", 32, 36),
    ] {
        data[from..to].fill(b' ');
        let value = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(name))
            .unwrap_or_default();
        for (byte, value) in data[from..to].iter_mut().zip(value.trim().bytes()) {
            *byte = value;
        }
    }
    Ok(data)
}

const GROUP: &str = "target port group id";
/// RETURN DATA FORMAT of the extended header.
const EXTENDED: u8 = 0x10;
/// sg_rtpg's names of the supported states, and their bits.
const SUPPORTED: [(&str, u8); 7] = [
    ("T_SUP", 0x80),
    ("O_SUP", 0x40),
    ("LBD_SUP", 0x10),
    ("U_SUP", 0x08),
    ("S_SUP", 0x04),
    ("AN_SUP", 0x02),
    ("AO_SUP", 0x01),
];

fn groups(text: &str) -> Result<Vec<u8>> {
    let mut data = vec![0; 4];
    let mut parts = text.split(GROUP);
    let header = parts.next().unwrap_or_default();
    if let Some(time) = number_after(header, "Implicit transition time", ":") {
        // The extended header (SPC-4 6.37).
        data.extend([EXTENDED, u8::try_from(time)?, 0, 0]);
    }
    for (nth, part) in parts.enumerate() {
        let group = group(part).with_context(|| format!("sg_rtpg's words on group {}", nth + 1))?;
        data.extend(group);
    }
    let length = match number_after(header, "Report list length", "=") {
        Some(length) => length.saturating_sub(4),
        None => u32::try_from(data.len() - 4)?,
    };
    data[..4].copy_from_slice(&length.to_be_bytes());
    Ok(data)
}

/// The descriptor of one group, from what follows its heading.
fn group(text: &str) -> Result<Vec<u8>> {
    let byte = |name: &str, separator: &str| {
        number_after(text, name, separator)
            .and_then(|value| u8::try_from(value).ok())
            .with_context(|| format!("no valid \"{name}\""))
    };
    let id = text.trim_start().strip_prefix(':').and_then(number);
    let id = id.and_then(|id| u16::try_from(id).ok());
    let id = id.context("no valid id")?.to_be_bytes();
    let mut state = byte("access state", ":")? & 0x0f;
    if byte("Pref", "=")? != 0 {
        state |= 0x80;
    }
    let supported = SUPPORTED.iter().filter(|(name, _)| {
        // LBD_SUP is new: older versions do not print it.
        number_after(text, name, ":").is_some_and(|set| set != 0)
    });
    let supported = supported.fold(0, |bits, (_, bit)| bits | bit);
    // Where the rest of a group was cut off, as people do: no status and no port is told.
    if !text.contains("status code") {
        return Ok(vec![state, supported, id[0], id[1], 0, 0, 0, 0]);
    }
    let (status, vendor) = (
        byte("status code", ":")?,
        byte("vendor unique status", ":")?,
    );
    // Two hexadecimal digits, without 0x.
    let count = after(text, "target port count", ":").and_then(|text| {
        let digits = text.trim_start().get(..2)?;
        u8::from_str_radix(digits.trim_end(), 16).ok()
    });
    let count = count.context("no valid \"target port count\"")?;
    let mut data = vec![state, supported, id[0], id[1], 0, status, vendor, count];
    let ports = after(text, "Relative target port ids", ":").unwrap_or_default();
    for port in ports.split_whitespace().take(usize::from(count)) {
        let port = number(port).and_then(|port| u16::try_from(port).ok());
        data.extend(u32::from(port.context("no valid port")?).to_be_bytes());
    }
    Ok(data)
}

/// What follows `name`, perhaps spaces, and `separator`. The name must not be the end of a longer
/// one.
fn after<'a>(text: &'a str, name: &str, separator: &str) -> Option<&'a str> {
    text.match_indices(name).find_map(|(at, name)| {
        let before = text.get(..at)?.chars().next_back();
        let whole = before.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let rest = text.get(at + name.len()..)?.trim_start_matches(' ');
        rest.strip_prefix(separator).filter(|_| whole)
    })
}

fn number_after(text: &str, name: &str, separator: &str) -> Option<u32> {
    number(after(text, name, separator)?)
}

/// The number at the beginning of `text`, decimal or with 0x.
fn number(text: &str) -> Option<u32> {
    let text = text.trim_start();
    let (text, radix) = text.strip_prefix("0x").map_or((text, 10), |hex| (hex, 16));
    let end = text.find(|c: char| !c.is_digit(radix));
    u32::from_str_radix(text.get(..end.unwrap_or(text.len()))?, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::AccessState;
    use crate::scsi::inquiry::{Inquiry, Tpgs};
    use crate::scsi::rtpg::{self, StatusCode};

    const DELL: &str = include_str!("../../fixtures/sg_inq-md36xxi.txt");
    const NETAPP: &str = include_str!("../../fixtures/sg_inq-netapp.txt");
    const GROUPS: &str = include_str!("../../fixtures/sg_rtpg-vvd.txt");

    #[test]
    fn words_of_sg_inq_make_inquiry_data() {
        let data = bytes(DecodePage::Inquiry, DELL).unwrap().unwrap();
        assert_eq!(data[..8], [0, 0, 5, 0x32, 69, 0x08, 0x50, 0x02]);
        assert_eq!(&data[8..], b"DELL    MD36xxi         0784");
        let data = bytes(DecodePage::Inquiry, NETAPP).unwrap().unwrap();
        let inquiry = Inquiry::parse(&data).unwrap();
        assert_eq!(inquiry.tpgs, Tpgs::Implicit);
        assert_eq!((inquiry.version, inquiry.whole_bytes), (4, 117));
        assert_eq!(inquiry.product.as_deref(), Some("LUN"));
    }

    /// Missing is not zero.
    #[test]
    fn words_without_a_field_are_refused() {
        for field in ["TPGS=0", "version=0x05", "length=74"] {
            let error = bytes(DecodePage::Inquiry, &DELL.replace(field, "")).unwrap_err();
            let name = field.split('=').next().unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
        let newer = DELL.replace("Device_type=0", "PDT=31");
        let data = bytes(DecodePage::Inquiry, &newer).unwrap().unwrap();
        assert_eq!(data[0], 31);
        assert!(bytes(DecodePage::Inquiry, &DELL.replace("TPGS=0", "TPGS=16")).is_err());
    }

    #[test]
    fn words_of_sg_rtpg_make_the_answer_as_far_as_they_go() {
        let data = bytes(DecodePage::Rtpg, GROUPS).unwrap().unwrap();
        let answer = rtpg::parse(&data).unwrap();
        assert_eq!((answer.whole_bytes, answer.truncated), (116, true));
        let group = &answer.groups[0];
        assert_eq!((group.id, group.preferred, group.n_ports), (1, false, 2));
        assert_eq!(group.state, AccessState::NON_OPTIMIZED);
        assert_eq!(group.status, StatusCode::SetTargetPortGroups);
        assert_eq!(group.supported.to_string(), "AO AN UA");
        let more = GROUPS.replace(" 116", " 36").replace("Pref=0", "Pref=1");
        let group = more.split_once(GROUP).unwrap().1;
        let ports = "      0x01\n      0x0103\n";
        let two = format!("{more}{ports}  {GROUP}{group}{ports}");
        let data = bytes(DecodePage::Rtpg, &two).unwrap().unwrap();
        let answer = rtpg::parse(&data).unwrap();
        assert!(!answer.truncated, "{answer:?}");
        assert!(answer.groups[1].preferred);
        assert_eq!(answer.groups[1].ports, [1, 0x103]);
    }

    #[test]
    fn words_of_the_extended_header_tell_the_transition_time() {
        let extended = GROUPS.replace(
            "Report target port groups:",
            "Report target port groups:\n  Implicit transition time: 60",
        );
        let data = bytes(DecodePage::Rtpg, &extended).unwrap().unwrap();
        let answer = rtpg::parse(&data).unwrap();
        assert_eq!(answer.implicit_transition_s, Some(60));
        assert_eq!(answer.groups.len(), 1);
    }

    /// "sdX names a path", some say: sg_rtpg was asked for sde here, and opened sdg.
    #[test]
    fn names_that_changed_are_remarked() {
        let note = renamed(GROUPS).unwrap();
        assert!(note.contains("/dev/sde, opened /dev/sdg"), "{note}");
        assert_eq!(renamed(&GROUPS.replace("/dev/sde", "/dev/sdg")), None);
        assert_eq!(renamed(DELL), None);
    }

    #[test]
    fn prefixes_never_panic() {
        for (page, text) in [
            (DecodePage::Inquiry, DELL),
            (DecodePage::Inquiry, NETAPP),
            (DecodePage::Rtpg, GROUPS),
        ] {
            for end in 0..text.len() {
                let _ = (bytes(page, &text[..end]), renamed(&text[..end]));
            }
        }
        assert_eq!(bytes(DecodePage::VolumeAccess, DELL).unwrap(), None);
    }
}
