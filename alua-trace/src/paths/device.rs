//! Owns what `paths` reads from sysfs beyond what a trace needs: attributes of SCSI and block
//! devices that the kernel answers from memory. Sends no SCSI command.

use crate::scsi::{vpd, vpd83};
use crate::sysroot::{Directory, Sysroot};
use crate::topology::{Device, Hctl};

/// More about a SCSI device. `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// The unit's serial number, from the kernel's copy of page 80h.
    pub(super) serial: Option<String>,
    /// `queue_depth`: commands the device takes at once.
    pub(super) queue_depth: Option<u32>,
    /// Whether the kernel's copy of VPD page 00h lists page C9h.
    pub(super) lists_c9: Option<bool>,
    /// What of its pages is not understood.
    pub(super) complaints: Vec<String>,
}

impl Extra {
    /// Reads what is there; a device that is gone leaves it empty.
    pub(super) fn read(root: &Sysroot, device: &Device) -> Self {
        let mut extra = Self::default();
        let Ok(dir) = Directory::open(&root.scsi_device_dir(&device.hctl.to_string())) else {
            return extra;
        };
        extra.queue_depth = dir.number("queue_depth");
        extra.lists_c9 = lists_c9(&dir);
        if let Ok(page) = dir.bytes("vpd_pg80") {
            match vpd::serial_number(&page) {
                Ok(serial) => extra.serial = Some(serial).filter(|serial| !serial.is_empty()),
                Err(error) => extra.complain(device.hctl, &error),
            }
        }
        if device.port_group.is_none() || device.relative_port.is_none() {
            extra.examine_identification(&dir, device.hctl);
        }
        extra
    }

    /// Says why designators are missing, if page 83h is there and broken.
    fn examine_identification(&mut self, dir: &Directory, hctl: Hctl) {
        let Ok(page) = dir.bytes("vpd_pg83") else {
            return;
        };
        if let Some(error) = vpd83::designators(&page).find_map(Result::err) {
            self.complain(hctl, &error);
        }
    }

    fn complain(&mut self, hctl: Hctl, error: &dyn std::error::Error) {
        self.complaints
            .push(format!("{hctl}: not understood in sysfs: {error}"));
    }
}

/// Whether page 00h lists the page of RDAC arrays that tells who owns a volume; `None` when the kernel
/// has no copy of it.
fn lists_c9(dir: &Directory) -> Option<bool> {
    const VOLUME_ACCESS: u8 = 0xc9;
    let page = dir.bytes("vpd_pg0").ok()?;
    let pages = vpd::supported_pages(&page).ok()?;
    let listed = pages.data.contains(&VOLUME_ACCESS);
    // What is cut off may hold it.
    (listed || !pages.truncated).then_some(listed)
}

/// What the block layer tells of a map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Its size in bytes.
    pub(super) size_bytes: Option<u64>,
    /// Whether it can only be read.
    pub(super) read_only: Option<bool>,
}

impl Block {
    /// Reads the attributes of a block device, named `dm-0`.
    pub(super) fn read(root: &Sysroot, name: &str) -> Self {
        /// Bytes in which sysfs counts, whatever the device's own blocks are.
        const SECTOR_BYTES: u64 = 512;
        let Ok(dir) = Directory::open(&root.block_dir().join(name)) else {
            return Self::default();
        };
        let sectors = dir.number::<u64>("size");
        Self {
            size_bytes: sectors.and_then(|sectors| sectors.checked_mul(SECTOR_BYTES)),
            read_only: dir.number::<u8>("ro").map(|flag| flag != 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::Tree;
    use super::*;

    fn read(files: &[(&str, &[u8])]) -> Extra {
        let tree = Tree::new();
        tree.device("1:0:0:0", files);
        let device = Device::unknown("1:0:0:0".parse().unwrap());
        Extra::read(&tree.root(), &device)
    }

    #[test]
    fn what_sysfs_has_is_read() {
        let extra = read(&[
            ("vpd_pg80", b"\0\x80\0\x06 6d4ae"),
            ("queue_depth", b"32\n"),
        ]);
        assert_eq!(extra.serial.as_deref(), Some("6d4ae"));
        assert_eq!(extra.queue_depth, Some(32));
        assert!(extra.complaints.is_empty());
    }

    #[test]
    fn broken_pages_are_unknown_and_said() {
        let extra = read(&[
            ("vpd_pg80", b"\0\x83\0\x06 6d4ae"),
            ("vpd_pg83", b"\0\x83\0\x40\x01\x03\0\x10\x60"),
        ]);
        assert_eq!(extra.serial, None);
        assert_eq!(extra.complaints.len(), 2, "{extra:?}");
        assert!(extra.complaints[1].contains("cut") || extra.complaints[1].contains("left"));
    }

    #[test]
    fn a_device_that_is_gone_is_unknown() {
        let tree = Tree::new();
        let device = Device::unknown("1:0:0:0".parse().unwrap());
        assert_eq!(Extra::read(&tree.root(), &device), Extra::default());
        assert_eq!(Block::read(&tree.root(), "dm-0"), Block::default());
    }

    #[test]
    fn a_maps_size_is_in_sectors_of_512_bytes() {
        let tree = Tree::new();
        tree.file("sys/block/dm-0/size", b"131072\n");
        tree.file("sys/block/dm-0/ro", b"1\n");
        let block = Block::read(&tree.root(), "dm-0");
        assert_eq!(block.size_bytes, Some(64 << 20));
        assert_eq!(block.read_only, Some(true));
        tree.file("sys/block/dm-0/size", b"18446744073709551615\n");
        assert_eq!(Block::read(&tree.root(), "dm-0").size_bytes, None);
    }
}
