//! Bytes of INQUIRY, vital product data, capacity, mode pages and REPORT LUNS. Pure.

use super::access::PathName;
use super::scsi::BLOCK_BYTES;

/// Who the array says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// INQUIRY vendor, raw: tests put anything here.
    pub(crate) vendor: [u8; 8],
    /// INQUIRY product.
    pub(crate) product: [u8; 16],
    /// Distinguishes arrays.
    pub(crate) serial: u32,
}

impl Identity {
    /// An array of its own name.
    pub(crate) fn new(serial: u32) -> Identity {
        Identity {
            vendor: *b"ALUALAB ",
            product: *b"TRACE-ARRAY     ",
            serial,
        }
    }

    /// NAA 6 identifier of the LUN.
    fn naa(&self) -> [u8; 16] {
        let mut naa = [0; 16];
        naa[..8].copy_from_slice(&[0x6a, 0x1a, 0x7a, 0xce, 0, 0, 0, 0]);
        naa[12..].copy_from_slice(&self.serial.to_be_bytes());
        naa
    }
}

/// INQUIRY data with the TPGS field `tpgs`.
pub(crate) fn standard_inquiry(identity: &Identity, tpgs: u8) -> Vec<u8> {
    let mut data = vec![0; 36];
    data[2] = 6; // SPC-4
    data[3] = 0x12; // HISUP, response format 2
    data[4] = 31;
    data[5] = tpgs << 4;
    data[7] = 0x02; // CMDQUE
    data[8..16].copy_from_slice(&identity.vendor);
    data[16..32].copy_from_slice(&identity.product);
    data[32..36].copy_from_slice(b"0001");
    data
}

fn vpd(page: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut data = vec![0, page, length[0], length[1]];
    data.extend_from_slice(body);
    data
}

/// Page 0x00.
pub(crate) fn supported_pages(pages: &[u8]) -> Vec<u8> {
    vpd(0x00, pages)
}

/// Page 0x80.
pub(crate) fn serial_number(identity: &Identity) -> Vec<u8> {
    vpd(0x80, format!("{:016X}", identity.serial).as_bytes())
}

/// Page 0x83: the LUN's NAA name, then the relative port and the port group of `path`.
pub(crate) fn device_identification(identity: &Identity, path: PathName) -> Vec<u8> {
    let mut body = vec![0x01, 0x03, 0, 16];
    body.extend_from_slice(&identity.naa());
    for (kind, value) in [
        (0x14, path.relative_port()),
        (0x15, path.controller.group()),
    ] {
        body.extend_from_slice(&[0x01, kind, 0, 4, 0, 0]);
        body.extend_from_slice(&value.to_be_bytes());
    }
    vpd(0x83, &body)
}

/// READ CAPACITY(10).
pub(crate) fn capacity_10(size_bytes: u64) -> Vec<u8> {
    let last = u32::try_from(size_bytes / BLOCK_BYTES - 1).unwrap_or(u32::MAX);
    let mut data = last.to_be_bytes().to_vec();
    data.extend_from_slice(&(BLOCK_BYTES as u32).to_be_bytes());
    data
}

/// READ CAPACITY(16).
pub(crate) fn capacity_16(size_bytes: u64) -> Vec<u8> {
    let mut data = (size_bytes / BLOCK_BYTES - 1).to_be_bytes().to_vec();
    data.extend_from_slice(&(BLOCK_BYTES as u32).to_be_bytes());
    data.resize(32, 0);
    data
}

/// Mode pages: caching (no write cache) and control. `None` for a page there is not.
fn mode_pages(page: u8) -> Option<Vec<u8>> {
    let mut caching = vec![0; 20];
    caching[..2].copy_from_slice(&[0x08, 18]);
    let mut control = vec![0; 12];
    control[..2].copy_from_slice(&[0x0a, 10]);
    match page {
        0x08 => Some(caching),
        0x0a => Some(control),
        0x3f => Some([caching, control].concat()),
        _ => None,
    }
}

/// MODE SENSE(6).
pub(crate) fn mode_sense_6(page: u8) -> Option<Vec<u8>> {
    let pages = mode_pages(page)?;
    let mut data = vec![3 + pages.len() as u8, 0, 0x10, 0];
    data.extend(pages);
    Some(data)
}

/// MODE SENSE(10).
pub(crate) fn mode_sense_10(page: u8) -> Option<Vec<u8>> {
    let pages = mode_pages(page)?;
    let mut data = vec![0, 6 + pages.len() as u8, 0, 0x10, 0, 0, 0, 0];
    data.extend(pages);
    Some(data)
}

/// REPORT LUNS: LUN 0.
pub(crate) fn luns() -> Vec<u8> {
    let mut data = vec![0; 16];
    data[3] = 8;
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inquiry_says_explicit_and_implicit() {
        let data = standard_inquiry(&Identity::new(1), 3);
        assert_eq!(
            data,
            b"\x00\x00\x06\x12\x1f\x30\x00\x02ALUALAB TRACE-ARRAY     0001".to_vec()
        );
    }

    #[test]
    fn device_identification_is_byte_exact() {
        let data = device_identification(&Identity::new(0x0102_0304), "B2".parse().unwrap());
        let mut expected = vec![0x00, 0x83, 0x00, 0x24, 0x01, 0x03, 0x00, 0x10];
        expected.extend([0x6a, 0x1a, 0x7a, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        expected.extend([0x01, 0x14, 0, 4, 0, 0, 0, 4]);
        expected.extend([0x01, 0x15, 0, 4, 0, 0, 0, 2]);
        assert_eq!(data, expected);
    }

    #[test]
    fn capacity_is_the_last_block() {
        assert_eq!(capacity_10(64 << 20), [0, 1, 0xff, 0xff, 0, 0, 2, 0]);
        assert_eq!(
            capacity_16(64 << 20)[..12],
            [0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 2, 0]
        );
        assert_eq!(capacity_10(4 << 40)[..4], [0xff; 4]);
    }

    #[test]
    fn mode_data_lengths_count_what_follows() {
        let six = mode_sense_6(0x3f).unwrap();
        assert_eq!(usize::from(six[0]), six.len() - 1);
        let ten = mode_sense_10(0x08).unwrap();
        assert_eq!(usize::from(ten[1]), ten.len() - 2);
        assert_eq!(mode_sense_6(0x1c), None);
    }
}
