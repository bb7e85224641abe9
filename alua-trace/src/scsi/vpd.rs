//! Owns the header of vital product data pages, their names, and the two pages that are no more
//! than a list (00h) and a string (80h) (SPC-4 7.8).

use super::bytes::{DecodeError, be16, expect_bytes, require, text, up_to};

/// Bytes before a page's own.
pub(super) const HEADER_BYTES: usize = 4;

/// What a page holds behind its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Body<'a> {
    /// As much as is there.
    pub data: &'a [u8],
    /// The data ends before the page does.
    pub truncated: bool,
}

/// The body of page `code`, cut to the length in its header.
///
/// # Errors
/// Fewer than four bytes, or another page. `what` names the page in the error.
pub fn body<'a>(what: &'static str, page: &'a [u8], code: u8) -> Result<Body<'a>, DecodeError> {
    require(what, page, HEADER_BYTES)?;
    expect_bytes(what, page, 1, &[code])?;
    let length = usize::from(be16(page, 2).unwrap_or_default());
    let data = up_to(page, HEADER_BYTES, length);
    Ok(Body {
        data,
        truncated: data.len() < length,
    })
}

/// The codes of the pages the device has, from page 00h.
///
/// # Errors
/// As [`body`].
pub fn supported_pages(page: &[u8]) -> Result<Body<'_>, DecodeError> {
    body("VPD page 00h (supported pages)", page, 0x00)
}

/// The serial number of the logical unit, or of the array, from page 80h; without padding.
///
/// # Errors
/// As [`body`].
pub fn serial_number(page: &[u8]) -> Result<String, DecodeError> {
    Ok(text(body(SERIAL, page, 0x80)?.data))
}

/// Page 80h, as errors call it.
pub const SERIAL: &str = "VPD page 80h (unit serial number)";

/// The name of a page: of SPC-4 and SBC-3, or of the arrays that are decoded here.
pub const fn page_name(code: u8) -> Option<&'static str> {
    let name = match code {
        0x00 => "supported pages",
        0x80 => "unit serial number",
        0x83 => "device identification",
        0x85 => "management network addresses",
        0x86 => "extended INQUIRY data",
        0x87 => "mode page policy",
        0x88 => "SCSI ports",
        0x89 => "ATA information",
        0x8f => "third-party copy",
        0xb0 => "block limits",
        0xb1 => "block device characteristics",
        0xb2 => "logical block provisioning",
        0xc0 => "EMC: unit path report; RDAC: hardware version",
        0xc1 => "RDAC: firmware version",
        0xc2 => "RDAC: software version",
        0xc3 => "RDAC: feature parameters",
        0xc4 => "RDAC: subsystem identifier",
        0xc8 => "RDAC: extended device identification",
        0xc9 => "RDAC: volume access control",
        0xca => "RDAC: replicated volume source identifier",
        0xd0 => "RDAC: storage array world-wide name",
        _ => return None,
    };
    Some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_where_their_header_says() {
        let page = [0, 0x00, 0, 3, 0x00, 0x80, 0x83, 0xff];
        let pages = supported_pages(&page).unwrap();
        assert_eq!((pages.data, pages.truncated), (&page[4..7], false));
        let pages = supported_pages(&page[..6]).unwrap();
        assert_eq!((pages.data, pages.truncated), (&page[4..6], true));
    }

    #[test]
    fn serial_numbers_lose_their_padding() {
        assert_eq!(serial_number(b"\0\x80\0\x09 142002I ").unwrap(), "142002I");
        assert_eq!(serial_number(b"\0\x80\0\x00").unwrap(), "");
    }

    #[test]
    fn other_pages_and_short_ones_are_refused() {
        let error = serial_number(b"\0\x83\0\x01a").unwrap_err().to_string();
        assert!(error.contains("byte 1 is 0x83, must be 0x80"), "{error}");
        for end in 0..4 {
            assert!(supported_pages(&[0; 4][..end]).is_err());
        }
    }
}
