//! Owns the decoding of VPD page 83h, device identification (SPC-4 7.8.6), into designators and
//! the names and numbers made of them.

use std::fmt;
use std::fmt::Write as _;

/// What is wrong with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Vpd83Error {
    /// Not even a header.
    #[error("page of {0} bytes is shorter than its header")]
    NoHeader(usize),
    /// Another page than 83h.
    #[error("page 0x{0:02x} is not the device identification page")]
    OtherPage(u8),
    /// A designator says that it is longer than what is left of the page.
    #[error("designator at byte {0} is longer than the rest of the page")]
    Truncated(usize),
}

/// What a designator belongs to (byte 1 bits 5:4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Association {
    /// The logical unit.
    LogicalUnit,
    /// The target port that the page was read through.
    TargetPort,
    /// The target device.
    TargetDevice,
    /// Code 3.
    Reserved,
}

/// One designator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Designator<'a> {
    /// What it belongs to.
    pub association: Association,
    /// Its type, byte 1 bits 3:0.
    pub kind: u8,
    /// Its value; may be empty.
    pub value: &'a [u8],
}

const T10_VENDOR_ID: u8 = 1;
const EUI64: u8 = 2;
const NAA: u8 = 3;
const RELATIVE_PORT: u8 = 4;
const PORT_GROUP: u8 = 5;
const NAME_STRING: u8 = 8;

/// The designators of a page, in its order. After an error there are no more.
pub fn designators(page: &[u8]) -> Designators<'_> {
    Designators {
        page,
        at: 0,
        state: State::Header,
    }
}

/// See [`designators`].
#[derive(Debug, Clone)]
pub struct Designators<'a> {
    page: &'a [u8],
    at: usize,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Designators,
    Done,
}

impl<'a> Designators<'a> {
    /// Checks the header and cuts the page to the length in it. A length beyond the buffer is no
    /// error by itself: it shows when a designator is cut off.
    fn header(&mut self) -> Result<(), Vpd83Error> {
        let &[_, code, high, low, ..] = self.page else {
            return Err(Vpd83Error::NoHeader(self.page.len()));
        };
        if code != 0x83 {
            return Err(Vpd83Error::OtherPage(code));
        }
        let end = 4 + usize::from(u16::from_be_bytes([high, low]));
        self.page = self.page.get(..end).unwrap_or(self.page);
        self.at = 4;
        self.state = State::Designators;
        Ok(())
    }

    fn designator(&mut self) -> Result<Option<Designator<'a>>, Vpd83Error> {
        let rest = self.page.get(self.at..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let truncated = Vpd83Error::Truncated(self.at);
        let &[_, flags, _, length, ref tail @ ..] = rest else {
            return Err(truncated);
        };
        let value = tail.get(..usize::from(length)).ok_or(truncated)?;
        self.at += 4 + value.len();
        let association = match flags >> 4 & 3 {
            0 => Association::LogicalUnit,
            1 => Association::TargetPort,
            2 => Association::TargetDevice,
            _ => Association::Reserved,
        };
        Ok(Some(Designator {
            association,
            kind: flags & 0x0f,
            value,
        }))
    }
}

impl<'a> Iterator for Designators<'a> {
    type Item = Result<Designator<'a>, Vpd83Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Header
            && let Err(error) = self.header()
        {
            self.state = State::Done;
            return Some(Err(error));
        }
        if self.state == State::Done {
            return None;
        }
        let next = self.designator().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.state = State::Done;
        }
        next
    }
}

impl Designator<'_> {
    /// The relative target port identifier (type 4); `None` for other types.
    pub fn relative_port(&self) -> Option<u16> {
        self.number(RELATIVE_PORT)
    }

    /// The target port group (type 5); `None` for other types.
    pub fn port_group(&self) -> Option<u16> {
        self.number(PORT_GROUP)
    }

    fn number(&self, kind: u8) -> Option<u16> {
        match *self.value {
            [_, _, high, low, ..] if self.kind == kind => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }

    /// The kernel's rank of a logical unit's name, higher is better (drivers/scsi/scsi_lib.c
    /// `designator_prio`); `None` for what names no logical unit.
    fn rank(&self) -> Option<u8> {
        if self.association != Association::LogicalUnit {
            return None;
        }
        let first = *self.value.first()?;
        match (self.kind, first >> 4, self.value.len()) {
            (NAME_STRING, ..) => Some(9),
            (NAA, 6, 16) => Some(8),
            (EUI64, _, 16) => Some(7),
            (EUI64, _, 12) => Some(6),
            (NAA, 5, 8) => Some(5),
            // NAA 2, the older IEEE extended form, is not in the kernel's table.
            (NAA, 4, 8) => Some(4),
            (EUI64, _, 8) => Some(3),
            (NAA, 3, 8) | (T10_VENDOR_ID, ..) => Some(1),
            _ => None,
        }
    }

    /// The name as the kernel's sysfs `wwid` writes it: `naa.`, `eui.` or `t10.` and the value,
    /// or a SCSI name string as it is. `None` for designators that name nothing so.
    pub fn wwid(&self) -> Option<String> {
        self.rank()?;
        match self.kind {
            NAA => Some(hex("naa.", self.value)),
            EUI64 => Some(hex("eui.", self.value)),
            T10_VENDOR_ID => Some(Escaped(self.value).to_string()),
            NAME_STRING => {
                let end = self.value.iter().position(|&byte| byte == 0);
                let text = self
                    .value
                    .get(..end.unwrap_or(self.value.len()))
                    .unwrap_or_default();
                Some(String::from_utf8_lossy(text).into_owned())
            }
            _ => None,
        }
    }
}

/// The page's best name of the logical unit, as the kernel chooses it (drivers/scsi/scsi_lib.c
/// `scsi_vpd_lun_id`): what precedes an error in the page still counts.
pub fn lun_wwid(page: &[u8]) -> Option<String> {
    let mut best: Option<(u8, Designator<'_>)> = None;
    for designator in designators(page).map_while(Result::ok) {
        let Some(rank) = designator.rank() else {
            continue;
        };
        let longer = |old: &Designator<'_>| {
            designator.kind != T10_VENDOR_ID || old.value.len() <= designator.value.len()
        };
        if best
            .as_ref()
            .is_none_or(|(old, name)| *old < rank || *old == rank && longer(name))
        {
            best = Some((rank, designator));
        }
    }
    best.and_then(|(_, designator)| designator.wwid())
}

/// Target port group and relative target port of the path the page was read through
/// (drivers/scsi/scsi_lib.c `scsi_vpd_tpg_id`: the last of each counts).
pub fn port_of(page: &[u8]) -> (Option<u16>, Option<u16>) {
    let mut port = (None, None);
    for designator in designators(page).map_while(Result::ok) {
        port.0 = designator.port_group().or(port.0);
        port.1 = designator.relative_port().or(port.1);
    }
    port
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    let mut text = prefix.to_owned();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A T10 vendor id as the kernel's `%*pE` prints it: printable ASCII as it is, the rest escaped.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("t10.")?;
        for &byte in self.0 {
            match byte {
                b' '..=b'~' => f.write_char(char::from(byte))?,
                b'\n' => f.write_str("\\n")?,
                b'\r' => f.write_str("\\r")?,
                b'\t' => f.write_str("\\t")?,
                0x0b => f.write_str("\\v")?,
                0x0c => f.write_str("\\f")?,
                0x1b => f.write_str("\\e")?,
                0x07 => f.write_str("\\a")?,
                0 => f.write_str("\\0")?,
                _ => write!(f, "\\{byte:03o}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(designators: &[(u8, &[u8])]) -> Vec<u8> {
        let mut page = vec![0, 0x83, 0, 0];
        for (flags, value) in designators {
            page.extend([1, *flags, 0, u8::try_from(value.len()).unwrap()]);
            page.extend(*value);
        }
        let length = u16::try_from(page.len() - 4).unwrap();
        page[2..4].copy_from_slice(&length.to_be_bytes());
        page
    }

    const NAA6: [u8; 16] = [
        0x60, 0x01, 0x40, 0x5a, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xfc,
    ];

    #[test]
    fn naa_names_win_over_longer_vendor_ids() {
        let page = page(&[
            (1, b"LIO-ORG array:0123456789abcdef0123456789"),
            (3, &NAA6),
            (0x14, &[0, 0, 0x01, 0x02]),
            (0x15, &[0, 0, 0, 0x11]),
            (0x13, &[0x50, 0, 0, 0, 0, 0, 0, 1]),
        ]);
        assert_eq!(
            lun_wwid(&page).unwrap(),
            "naa.6001405a0102030405060708090a0bfc"
        );
        assert_eq!(port_of(&page), (Some(0x11), Some(0x102)));
        assert_eq!(designators(&page).count(), 5);
    }

    #[test]
    fn other_forms_are_written_as_the_kernel_writes_them() {
        let eui = [0x00, 0x25, 0x38, 0xff, 1, 2, 3, 4];
        assert_eq!(
            lun_wwid(&page(&[(2, &eui)])).unwrap(),
            "eui.002538ff01020304"
        );
        let t10 = lun_wwid(&page(&[(1, b"ATA     QEMU\x00\x01")])).unwrap();
        assert_eq!(t10, "t10.ATA     QEMU\\0\\001");
        let iqn = b"iqn.2003-01.org:disk,L,0x01\0";
        assert_eq!(
            lun_wwid(&page(&[(8, iqn), (3, &NAA6)])).unwrap(),
            "iqn.2003-01.org:disk,L,0x01"
        );
        let short: &[(u8, &[u8])] = &[(1, b"longer"), (1, b"short"), (3, b""), (2, b"123")];
        assert_eq!(lun_wwid(&page(short)).unwrap(), "t10.longer");
    }

    #[test]
    fn names_of_ports_and_targets_are_not_the_luns() {
        assert_eq!(
            lun_wwid(&page(&[(0x13, &NAA6), (0x23, &NAA6), (0x33, &NAA6)])),
            None
        );
    }

    #[test]
    fn lies_about_lengths_end_the_iteration_with_an_error() {
        let good = page(&[(3, &NAA6), (0x15, &[0, 0, 0, 1])]);
        for end in 4..good.len() {
            let items: Vec<_> = designators(&good[..end]).collect();
            let whole = end == 4 || end == 24;
            assert_eq!(
                items.iter().filter(|item| item.is_err()).count(),
                usize::from(!whole)
            );
            assert_eq!(lun_wwid(&good[..end]).is_some(), end >= 24);
        }
        for end in 0..4 {
            let items: Vec<_> = designators(&good[..end]).collect();
            assert_eq!(items, [Err(Vpd83Error::NoHeader(end))]);
        }
        let mut lying = good.clone();
        lying[7] = 200;
        let items: Vec<_> = designators(&lying).collect();
        assert_eq!(items, [Err(Vpd83Error::Truncated(4))]);
        lying[1] = 0x80;
        let items: Vec<_> = designators(&lying).collect();
        assert_eq!(items, [Err(Vpd83Error::OtherPage(0x80))]);
    }

    #[test]
    fn a_page_ends_where_its_header_says() {
        let mut page = page(&[(3, &NAA6), (0x15, &[0, 0, 0, 1])]);
        page[3] = 20;
        assert_eq!(designators(&page).count(), 1);
    }

    #[test]
    fn arbitrary_bytes_never_panic() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed.to_le_bytes()[0]
        };
        for round in 0..20_000_usize {
            let mut bytes: Vec<u8> = (0..round % 90).map(|_| random() & random()).collect();
            if let Some(code) = bytes.get_mut(1) {
                *code = 0x83;
            }
            let n_items = designators(&bytes).count();
            assert!(n_items <= bytes.len() / 4 + 1);
            let _ = (lun_wwid(&bytes), port_of(&bytes));
        }
    }
}
