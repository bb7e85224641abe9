//! A sysfs tree for tests.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::sysroot::Sysroot;
use crate::topology::DmTable;

/// A tree that goes away with the test.
pub(super) struct Tree(tempfile::TempDir);

impl Tree {
    pub(super) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(super) fn root(&self) -> Sysroot {
        Sysroot::at(self.0.path())
    }

    /// Writes one file.
    pub(super) fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// Writes attributes of a SCSI device that is no link.
    pub(super) fn device(&self, hctl: &str, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            self.file(
                &format!("sys/class/scsi_device/{hctl}/device/{name}"),
                bytes,
            );
        }
    }

    /// Writes attributes of a SCSI device below `place`, as `host0/session1`, linked as by the
    /// kernel.
    pub(super) fn placed(&self, place: &str, hctl: &str, files: &[(&str, &[u8])]) {
        let (target, _) = hctl.rsplit_once(':').unwrap();
        let below = format!("{place}/target{target}/{hctl}/scsi_device/{hctl}");
        for (name, bytes) in files {
            self.file(&format!("sys/devices/{below}/device/{name}"), bytes);
        }
        let class = self.0.path().join("sys/class/scsi_device");
        fs::create_dir_all(&class).unwrap();
        symlink(Path::new("../../devices").join(below), class.join(hctl)).unwrap();
    }

    /// An ALUA disk, running, of the unit `6001…01`.
    pub(super) fn alua(&self, hctl: &str, name: &str, devno: &str, group: u8, state: &str) {
        let block = format!("block/{name}/dev");
        let page = page83(group);
        let files: [(&str, &[u8]); 9] = [
            ("inquiry", &inquiry()),
            ("vpd_pg80", b"\0\x80\0\x056d4ae"),
            ("vpd_pg83", &page),
            (&block, devno.as_bytes()),
            ("dh_state", b"alua\n"),
            ("access_state", state.as_bytes()),
            ("preferred_path", b"0\n"),
            ("queue_depth", b"32\n"),
            ("state", b"running\n"),
        ];
        self.device(hctl, &files);
    }
}

pub(super) fn inquiry() -> Vec<u8> {
    let mut inquiry = vec![0, 0, 6, 2, 31, 0x30, 0, 2];
    inquiry.extend(b"LIO-ORG lun0            4.0 ");
    inquiry
}

/// Page 83h of the unit, through a port of `group` whose own number is the same.
pub(super) fn page83(group: u8) -> Vec<u8> {
    let mut page = vec![0, 0x83, 0, 36, 1, 3, 0, 16, 0x60, 1, 0x40, 5];
    page.resize(23, 0);
    page.extend([
        1, 1, 0x14, 0, 4, 0, 0, 0, group, 1, 0x15, 0, 4, 0, 0, 0, group,
    ]);
    page
}

/// A map of two groups of one path each, the first in use.
pub(super) fn table() -> DmTable {
    DmTable {
        name: "mpatha".to_owned(),
        devno: "254:0".parse().unwrap(),
        uuid: Some("mpath-36001405000000000000000000000001".to_owned()),
        status: "2 0 0 0 2 1 A 0 1 2 8:0 A 3 0 1 E 0 1 2 8:16 A 0 0 1".to_owned(),
        table: "1 queue_if_no_path 1 alua 2 1 service-time 0 1 2 8:0 1 1 \
                service-time 0 1 2 8:16 1 1"
            .to_owned(),
    }
}
