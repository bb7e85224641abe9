//! Bytes of INQUIRY, vital product data, capacity, mode pages and REPORT LUNS. Pure.

use super::access::Nexus;
use super::scsi::{BLOCK_BYTES, ModeForm};

/// Who the array says it is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    /// INQUIRY vendor, raw: tests put anything here.
    pub(crate) vendor: [u8; 8],
    /// INQUIRY product.
    pub(crate) product: [u8; 16],
    /// INQUIRY revision.
    pub(crate) revision: [u8; 4],
    /// Distinguishes arrays.
    pub(crate) serial: u32,
}

impl Identity {
    /// An array of its own name.
    pub(crate) fn new(serial: u32) -> Identity {
        Identity {
            vendor: *b"ALUALAB ",
            product: *b"TRACE-ARRAY     ",
            revision: *b"0001",
            serial,
        }
    }

    /// A Dell MD36xxi, which the kernel and multipath-tools know as RDAC by these names.
    pub(crate) fn rdac(serial: u32) -> Identity {
        Identity {
            vendor: *b"DELL    ",
            product: *b"MD36xxi         ",
            revision: *b"0784",
            serial,
        }
    }

    /// NAA 6 identifier of a LUN.
    pub(crate) fn naa(&self, lun: u8) -> [u8; 16] {
        let mut naa = [0; 16];
        naa[..8].copy_from_slice(&[0x6a, 0x1a, 0x7a, 0xce, 0, 0, 0, 0]);
        naa[11] = lun;
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
    data[32..36].copy_from_slice(&identity.revision);
    data
}

/// A vital product data page around its body.
pub(crate) fn vpd(page: u8, body: &[u8]) -> Vec<u8> {
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
pub(crate) fn serial_number(identity: &Identity, lun: u8) -> Vec<u8> {
    vpd(0x80, format!("{lun:08X}{:08X}", identity.serial).as_bytes())
}

/// Page 0x83: the LUN's NAA name, the relative port of the path, and its port group in an array
/// that has some.
pub(crate) fn device_identification(
    identity: &Identity,
    nexus: Nexus,
    group: Option<u16>,
) -> Vec<u8> {
    let mut body = vec![0x01, 0x03, 0, 16];
    body.extend_from_slice(&identity.naa(nexus.lun));
    let port = (0x14, nexus.path.relative_port());
    for (kind, value) in [port].into_iter().chain(group.map(|group| (0x15, group))) {
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
pub(crate) fn mode_pages(page: u8) -> Option<Vec<u8>> {
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

/// MODE SENSE data: header and pages.
pub(crate) fn mode_data(form: ModeForm, pages: &[u8]) -> Vec<u8> {
    const DPO_FUA: u8 = 0x10;
    let mut data = match form {
        ModeForm::Six => vec![3 + pages.len() as u8, 0, DPO_FUA, 0],
        ModeForm::Ten => {
            let length = (6 + pages.len() as u16).to_be_bytes();
            vec![length[0], length[1], 0, DPO_FUA, 0, 0, 0, 0]
        }
    };
    data.extend_from_slice(pages);
    data
}

/// REPORT LUNS: so many, from 0.
pub(crate) fn luns(count: u8) -> Vec<u8> {
    let mut data = vec![0; 8];
    for lun in 0..count {
        data.extend([0, lun, 0, 0, 0, 0, 0, 0]);
    }
    data[..4].copy_from_slice(&(8 * u32::from(count)).to_be_bytes());
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
        let path = "B2".parse().unwrap();
        let identity = Identity::new(0x0102_0304);
        let data = device_identification(&identity, Nexus { path, lun: 0 }, Some(2));
        let mut expected = vec![0x00, 0x83, 0x00, 0x24, 0x01, 0x03, 0x00, 0x10];
        expected.extend([0x6a, 0x1a, 0x7a, 0xce, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4]);
        expected.extend([0x01, 0x14, 0, 4, 0, 0, 0, 4]);
        expected.extend([0x01, 0x15, 0, 4, 0, 0, 0, 2]);
        assert_eq!(data, expected);
        let other = device_identification(&identity, Nexus { path, lun: 9 }, None);
        assert_eq!((other[3], other[19]), (0x1c, 9));
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
        let pages = mode_pages(0x3f).unwrap();
        let six = mode_data(ModeForm::Six, &pages);
        assert_eq!(usize::from(six[0]), six.len() - 1);
        let ten = mode_data(ModeForm::Ten, &[0; 300]);
        assert_eq!(ten[..2], [1, 50]);
        assert_eq!(mode_pages(0x1c), None);
    }

    #[test]
    fn every_lun_is_reported() {
        let data = luns(3);
        assert_eq!((data.len(), data[3], data[17], data[25]), (32, 24, 1, 2));
    }
}
