//! Owns the mode parameter headers (SPC-4 7.5.5): where in MODE SENSE and MODE SELECT data the
//! first page begins. Knows no page.

use super::bytes::be16;

/// What comes before the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ModeHeader {
    /// Nothing: the page by itself.
    None,
    /// The four bytes of MODE SENSE(6) and MODE SELECT(6).
    Six,
    /// The eight bytes of MODE SENSE(10) and MODE SELECT(10).
    Ten,
}

impl ModeHeader {
    pub(super) const ALL: [Self; 3] = [Self::None, Self::Six, Self::Ten];
}

/// Where the first page begins: behind the header and the block descriptors. `None` if the header
/// is cut off.
pub(super) fn page_offset(data: &[u8], header: ModeHeader) -> Option<usize> {
    match header {
        ModeHeader::None => Some(0),
        ModeHeader::Six => data.get(3).map(|&descriptors| 4 + usize::from(descriptors)),
        ModeHeader::Ten => be16(data, 6).map(|descriptors| 8 + usize::from(descriptors)),
    }
}

/// The page code in byte 0 of a page, without PS and SPF.
pub(super) const fn page_code(byte: u8) -> u8 {
    byte & 0x3f
}

/// Whether byte 1 of a page with this byte 0 is a subpage code (SPF).
pub(super) const fn has_subpage(byte: u8) -> bool {
    byte & 0x40 != 0
}
