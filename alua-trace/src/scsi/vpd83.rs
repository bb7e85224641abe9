//! Owns the decoding of VPD page 83h, device identification (SPC-4 7.8.6), into designators and
//! the numbers in them.

mod names;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fmt::Write as _;

use super::bytes::{DecodeError, text};
use super::vpd;

pub use names::{lun_wwid, multipath_wwid};

/// The page, as errors call it.
const WHAT: &str = "VPD page 83h (device identification)";
const DESIGNATOR: &str = "designator";
const DESIGNATOR_HEADER_BYTES: usize = 4;

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

impl fmt::Display for Association {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LogicalUnit => "logical unit",
            Self::TargetPort => "target port",
            Self::TargetDevice => "target device",
            Self::Reserved => "reserved",
        })
    }
}

/// One designator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Designator<'a> {
    /// What it belongs to.
    pub association: Association,
    /// Its type, byte 1 bits 3:0.
    pub kind: u8,
    /// How its value is written, byte 0 bits 3:0: 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// Transport protocol (SPC-4 table 452), if the designator is of one.
    pub protocol: Option<u8>,
    /// Where in the page its header begins.
    pub offset: usize,
    /// Its value; may be empty.
    pub value: &'a [u8],
}

const T10_VENDOR_ID: u8 = 1;
const EUI64: u8 = 2;
const NAA: u8 = 3;
const RELATIVE_PORT: u8 = 4;
const PORT_GROUP: u8 = 5;
const UNIT_GROUP: u8 = 6;
const NAME_STRING: u8 = 8;
const PROTOCOL_PORT: u8 = 9;
const UUID: u8 = 10;

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
    fn header(&mut self) -> Result<(), DecodeError> {
        let body = vpd::body(WHAT, self.page, 0x83)?;
        self.page = self
            .page
            .get(..vpd::HEADER_BYTES + body.data.len())
            .unwrap_or(self.page);
        self.at = vpd::HEADER_BYTES;
        self.state = State::Designators;
        Ok(())
    }

    fn designator(&mut self) -> Result<Option<Designator<'a>>, DecodeError> {
        let offset = self.at;
        let rest = self.page.get(offset..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let cut_off = |needed: usize| DecodeError::CutOff {
            what: DESIGNATOR,
            offset,
            needed,
            found: rest.len(),
        };
        let &[protocol, flags, _, length, ref tail @ ..] = rest else {
            return Err(cut_off(DESIGNATOR_HEADER_BYTES));
        };
        let length = usize::from(length);
        let value = tail
            .get(..length)
            .ok_or(cut_off(DESIGNATOR_HEADER_BYTES + length))?;
        self.at += DESIGNATOR_HEADER_BYTES + length;
        let association = match flags >> 4 & 3 {
            0 => Association::LogicalUnit,
            1 => Association::TargetPort,
            2 => Association::TargetDevice,
            _ => Association::Reserved,
        };
        Ok(Some(Designator {
            association,
            kind: flags & 0x0f,
            code_set: protocol & 0x0f,
            // PIV; it means nothing for a logical unit.
            protocol: (flags & 0x80 != 0 && association != Association::LogicalUnit)
                .then_some(protocol >> 4),
            offset,
            value,
        }))
    }
}

impl<'a> Iterator for Designators<'a> {
    type Item = Result<Designator<'a>, DecodeError>;

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

    /// What the type is called (SPC-4 table 455).
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            0 => "vendor-specific",
            T10_VENDOR_ID => "T10 vendor identification",
            EUI64 => "EUI-64",
            NAA => "NAA",
            RELATIVE_PORT => "relative target port",
            PORT_GROUP => "target port group",
            UNIT_GROUP => "logical unit group",
            7 => "MD5 logical unit identifier",
            NAME_STRING => "SCSI name string",
            PROTOCOL_PORT => "protocol-specific port",
            UUID => "UUID",
            _ => "reserved",
        }
    }

    /// The value in the form its type is written in: numbers, names, text as the device wrote it,
    /// else hexadecimal.
    pub fn value_text(&self) -> String {
        if let Some(number) = [RELATIVE_PORT, PORT_GROUP, UNIT_GROUP]
            .into_iter()
            .find_map(|kind| self.number(kind))
        {
            return number.to_string();
        }
        match (self.kind, self.code_set, self.value) {
            (NAA, ..) => hex("naa.", self.value),
            (EUI64, ..) => hex("eui.", self.value),
            (UUID, _, [_, _, uuid @ ..]) if uuid.len() == 16 => dashed(uuid),
            (_, 2 | 3, _) | (NAME_STRING, ..) => text(self.value),
            _ => hex("", self.value),
        }
    }

    fn number(&self, kind: u8) -> Option<u16> {
        match *self.value {
            [_, _, high, low, ..] if self.kind == kind => Some(u16::from_be_bytes([high, low])),
            _ => None,
        }
    }
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

/// Whether a page has an NAA designator of another length than its type has (SPC-4 7.8.6.6): 16 bytes
/// for NAA 6, else 8.
pub fn has_malformed_naa(page: &[u8]) -> bool {
    let malformed = |designator: Designator<'_>| {
        let nibble = designator.value.first().map_or(0, |byte| byte >> 4);
        let length = if nibble == 6 { 16 } else { 8 };
        designator.kind == NAA && designator.value.len() != length
    };
    designators(page).map_while(Result::ok).any(malformed)
}

fn hex(prefix: &str, bytes: &[u8]) -> String {
    let mut text = prefix.to_owned();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// A UUID with its dashes (RFC 4122).
fn dashed(uuid: &[u8]) -> String {
    let mut text = hex("", uuid);
    for at in [20, 16, 12, 8] {
        text.insert(at, '-');
    }
    text
}
