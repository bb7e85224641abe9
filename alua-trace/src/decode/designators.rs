//! Owns the reading of what sg_vpd and sg_inq print in words of VPD page 83h (sg3_utils lib/sg_lib.c
//! `sg_get_designation_descriptor_str`): the page is made again of what the words tell.

use super::hexdump;

/// Before each designator: of sg_vpd, and of sg_inq and `sg_vpd --long`.
const HEADINGS: [&str; 2] = ["designator type:", "designator_type:"];
/// Designator types by their names, of all releases.
const TYPES: [(&str, u8); 11] = [
    ("vendor specific", 0),
    ("T10 vendor identification", 1),
    ("EUI-64", 2),
    ("NAA", 3),
    ("Relative target port", 4),
    ("Target port group", 5),
    ("Logical unit group", 6),
    ("MD5", 7),
    ("SCSI name string", 8),
    ("Protocol specific port", 9),
    ("UUID", 10),
];
const ASSOCIATIONS: [(&str, u8); 3] = [
    ("addressed logical unit", 0),
    ("target port", 1),
    ("target device", 2),
];
/// Bytes of a T10 vendor identification before what is the vendor's.
const VENDOR_BYTES: usize = 8;

/// Whether a text has designators in words.
pub(super) fn has_words(text: &str) -> bool {
    HEADINGS.iter().any(|heading| text.contains(heading))
}

/// The page, and how many of its designators have a value that the words do not tell.
pub(super) fn page(text: &str) -> (Vec<u8>, usize) {
    let (mut body, mut untold) = (Vec::new(), 0);
    let mut association = 0;
    let [heading, other] = HEADINGS;
    let text = text.replace(other, heading);
    let mut parts = text.split(heading);
    association = named(parts.next().unwrap_or_default()).unwrap_or(association);
    for part in parts {
        let mut lines = part.lines();
        let first = lines.next().unwrap_or_default();
        let designator = Designator::new(first, association, lines.clone());
        match designator.bytes() {
            Some(bytes) => body.extend(bytes),
            None => untold += 1,
        }
        // A heading of its own is for those that follow it.
        association = named(part).unwrap_or(association);
    }
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
    let mut page = vec![0, 0x83];
    page.extend(length.to_be_bytes());
    page.extend(body);
    (page, untold)
}

/// The association that the last heading in `text` names.
fn named(text: &str) -> Option<u8> {
    let headings = text
        .lines()
        .rev()
        .map(|line| line.trim().to_ascii_lowercase());
    let mut found = headings.filter_map(|line| {
        let title = line.strip_suffix(':')?.to_owned();
        let known = ASSOCIATIONS
            .iter()
            .find(|(name, _)| title.starts_with(name));
        // "Target port group: 0x1" is a value; as a heading it has nothing behind its colon.
        known.map(|(_, code)| *code)
    });
    found.next()
}

struct Designator<'a> {
    kind: Option<u8>,
    code_set: u8,
    association: u8,
    lines: Vec<&'a str>,
}

impl<'a> Designator<'a> {
    fn new(first: &str, association: u8, lines: std::str::Lines<'a>) -> Self {
        let (name, set) = first.split_once(',').unwrap_or((first, ""));
        let kind = TYPES
            .iter()
            .find(|(known, _)| name.trim().starts_with(known));
        let code_set = match set {
            set if set.contains("ASCII") => 2,
            set if set.contains("UTF-8") => 3,
            _ => 1,
        };
        let lines: Vec<&str> = lines.take_while(|line| !line.trim().is_empty()).collect();
        // sg_inq says with each what it belongs to.
        let own = lines.iter().find_map(|line| {
            let whose = line.trim().strip_prefix("associated with the ")?;
            let whose = whose.to_ascii_lowercase();
            ASSOCIATIONS
                .iter()
                .find(|(name, _)| whose.starts_with(name))
        });
        Self {
            kind: kind.map(|(_, code)| *code),
            code_set,
            association: own.map_or(association, |(_, code)| *code),
            lines,
        }
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let kind = self.kind?;
        let value = self.value(kind).filter(|value| !value.is_empty())?;
        let length = u8::try_from(value.len()).ok()?;
        let mut bytes = vec![self.code_set, self.association << 4 | kind, 0, length];
        bytes.extend(value);
        Some(bytes)
    }

    fn value(&self, kind: u8) -> Option<Vec<u8>> {
        match kind {
            1 => self.vendor_identification(),
            2 => self.eui().or_else(|| self.digits()),
            4 => self.number("Relative target port:"),
            5 => self.number("Target port group:"),
            6 => self.number("Logical unit group:"),
            8 => self.name_string(),
            _ => self.digits(),
        }
        .or_else(|| self.dump())
    }

    fn after(&self, name: &str) -> Option<&'a str> {
        let mut lines = self.lines.iter();
        lines.find_map(|line| line.trim_start().strip_prefix(name))
    }

    fn hexadecimal(&self, name: &str) -> Option<u64> {
        u64::from_str_radix(self.after(name)?.trim().strip_prefix("0x")?, 16).ok()
    }

    fn number(&self, name: &str) -> Option<Vec<u8>> {
        let number = u16::try_from(self.hexadecimal(name)?).ok()?;
        Some(u32::from(number).to_be_bytes().to_vec())
    }

    fn vendor_identification(&self) -> Option<Vec<u8>> {
        let vendor = self.after("vendor id:")?.trim();
        let mut value = format!("{vendor:VENDOR_BYTES$}").into_bytes();
        if let Some(own) = self.after("vendor specific:") {
            let own = own.strip_prefix(' ').unwrap_or(own);
            match own.trim().strip_prefix("0x").and_then(bytes_of) {
                Some(bytes) if self.code_set == 1 => value.extend(bytes),
                _ => value.extend(own.bytes()),
            }
        }
        Some(value)
    }

    /// Long form: the parts of the number, of older and newer releases.
    fn eui(&self) -> Option<Vec<u8>> {
        let identifier = match self.hexadecimal("IEEE identifier:") {
            Some(identifier) => identifier,
            None => {
                self.hexadecimal("IEEE Company_id:")? << 40
                    | self.hexadecimal("Vendor Specific Extension Identifier:")?
            }
        };
        let mut value = Vec::new();
        if let Some(extension) = self.hexadecimal("Identifier extension:") {
            value.extend(extension.to_be_bytes());
        }
        value.extend(identifier.to_be_bytes());
        if let Some(directory) = self.hexadecimal("Directory ID:") {
            value.extend(u32::try_from(directory).ok()?.to_be_bytes());
        }
        Some(value)
    }

    fn name_string(&self) -> Option<Vec<u8>> {
        let heading = |line: &str| line.trim() == "SCSI name string:";
        let at = self.lines.iter().position(|line| heading(line))?;
        let name = self.lines.get(at + 1)?.trim();
        Some(name.as_bytes().to_vec())
    }

    /// `0x6001…`, or `[0x6001…]` behind its parts.
    fn digits(&self) -> Option<Vec<u8>> {
        let of = |line: &str| {
            let line = line.trim();
            let inner = line.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
            bytes_of(inner.unwrap_or(line).strip_prefix("0x")?)
        };
        self.lines.iter().find_map(|line| of(line))
    }

    /// A dump, as is printed of what is odd.
    fn dump(&self) -> Option<Vec<u8>> {
        let lines = self.lines.iter().skip_while(|line| !line.contains("<<"));
        let text: Vec<&str> = lines.skip(1).copied().collect();
        hexdump::parse(&text.join("\n")).ok()
    }
}

/// Bytes of an even number of digits.
fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.trim();
    let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !is_hex {
        return None;
    }
    let pairs = digits.as_bytes().chunks_exact(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scsi::vpd83;

    const HEAD: &str = "Device Identification VPD page:\n  Addressed logical unit:\n";

    fn name(words: &str) -> Option<String> {
        let (page, _) = page(&format!("{HEAD}{words}"));
        vpd83::lun_wwid(&page)
    }

    fn of(kind: &str, set: &str, lines: &[&str]) -> String {
        let lines: String = lines.iter().map(|line| format!("      {line}\n")).collect();
        format!("    designator type: {kind},  code set: {set}\n{lines}")
    }

    #[test]
    fn every_kind_of_name_is_read() {
        for (kind, set, lines, expected) in [
            (
                "SCSI name string",
                "UTF-8",
                &["SCSI name string:", "eui.0A1A7ACE00000001"][..],
                "eui.0A1A7ACE00000001",
            ),
            (
                "EUI-64 based",
                "Binary",
                &["0x0a1a7ace00000001"],
                "eui.0a1a7ace00000001",
            ),
            (
                "EUI-64 based",
                "Binary",
                &[
                    "EUI-64 based 16 byte identifier",
                    "Identifier extension: 0x1",
                    "IEEE identifier: 0xa1a7ace00000001",
                ],
                "eui.00000000000000010a1a7ace00000001",
            ),
            (
                "EUI-64 based",
                "Binary",
                &[
                    "EUI-64 based 8 byte identifier",
                    "IEEE Company_id: 0xa1a7a",
                    "Vendor Specific Extension Identifier: 0xce00000001",
                ],
                "eui.0a1a7ace00000001",
            ),
            (
                "NAA",
                "Binary",
                &[
                    "NAA 5, AOI: 0x1405",
                    "Vendor Specific Identifier: 0x1",
                    "[0x5001405000000001]",
                ],
                "naa.5001405000000001",
            ),
            (
                "T10 vendor identification",
                "ASCII",
                &["vendor id: ACME", "vendor specific: x1"],
                "t10.ACME    x1",
            ),
            (
                "NAA",
                "Binary",
                &[
                    "<< unexpected NAA 6 identifier length: 0x8 >>",
                    "00     60 a1 a7 ac e0 00 00 01",
                ],
                "naa.60a1a7ace0000001",
            ),
        ] {
            assert_eq!(
                name(&of(kind, set, lines)).as_deref(),
                Some(expected),
                "{lines:?}"
            );
        }
        // NAA 2 is not the kernel's name in words either.
        assert_eq!(name(&of("NAA", "Binary", &["0x2001405000000001"])), None);
    }

    #[test]
    fn words_say_whose_a_designator_is() {
        let text = include_str!("../../fixtures/sg_vpd-83-words.txt");
        let (bytes, untold) = page(text);
        assert_eq!(untold, 0);
        assert_eq!(vpd83::designators(&bytes).count(), 5);
        assert_eq!(vpd83::port_of(&bytes), (Some(1), Some(0x1a)));
        let wwid = vpd83::lun_wwid(&bytes);
        assert_eq!(
            wwid.as_deref(),
            Some("naa.600140536d4ae520009fffff00000100")
        );
        let inq = "designator type: NAA,  code set: Binary\n    associated with the Target port\n\
                   \x20     0x5001405000000001\n";
        assert_eq!(vpd83::lun_wwid(&page(inq).0), None);
        assert_eq!(page("designator type: NAA,  code set: Binary\n").1, 1);
    }

    #[test]
    fn prefixes_never_panic() {
        let text = include_str!("../../fixtures/sg_vpd-83-words.txt");
        for end in 0..text.len() {
            let _ = page(&text[..end]);
        }
    }
}
