//! Owns the making of a [`Topology`]: what cannot be read becomes a note, never an error.

use std::collections::HashMap;
use std::io;

use super::Device;
use super::DmSource;
use super::Hctl;
use super::Map;
use super::Topology;
use crate::sysroot;
use crate::sysroot::Sysroot;

/// So many devices are read at least by a look that nothing has announced.
const FEW: usize = 64;
/// After so many of them every device has been read.
const ROUND: usize = 12;

/// Collects what there is. Sends no SCSI command. Devices that vanish meanwhile are left out.
pub fn scan(sysroot: &Sysroot, dm: &dyn DmSource) -> Topology {
    Looks::default().look(sysroot, dm, true)
}

/// Looks one after the other. The kernel announces what changes, but for what somebody writes to sysfs: a look without
/// an announcement reads new devices and some of the others, so that it costs little on a host with a thousand.
#[derive(Debug, Default)]
pub struct Looks {
    known: HashMap<Hctl, Device>,
    /// The first device, in their order, that the next such look reads.
    turn: usize,
}

impl Looks {
    /// As [`scan`]; what is told of a device that was not read is what was true when it was read last.
    pub fn look(&mut self, sysroot: &Sysroot, dm: &dyn DmSource, announced: bool) -> Topology {
        let mut notes = Vec::new();
        let hctls = hctls(sysroot, &mut notes);
        let mut known = std::mem::take(&mut self.known);
        let number = hctls.len();
        let reads = FEW.max(number.div_ceil(ROUND));
        let is_due = |place: usize| (place + number - self.turn % number) % number < reads;
        let devices: Vec<Device> = hctls
            .into_iter()
            .enumerate()
            .filter_map(|(place, hctl)| match known.remove(&hctl) {
                Some(device) if !announced && !is_due(place) => Some(device),
                // What it is would have been announced.
                Some(device) if !announced => device.read_again(sysroot),
                _ => Device::read(sysroot, hctl),
            })
            .collect();
        self.turn = (self.turn + reads) % number.max(1);
        self.known = devices.iter().map(|it| (it.hctl, it.clone())).collect();
        let maps = maps(dm, &mut notes);
        Topology::new(devices, maps, notes)
    }
}

fn hctls(sysroot: &Sysroot, notes: &mut Vec<String>) -> Vec<Hctl> {
    let names = match sysroot::entries(&sysroot.scsi_devices_dir()) {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            notes.push("there are no SCSI devices: scsi_mod is not loaded".to_owned());
            return Vec::new();
        }
        Err(error) => {
            notes.push(format!("SCSI devices are unknown: {error}"));
            return Vec::new();
        }
    };
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

fn maps(dm: &dyn DmSource, notes: &mut Vec<String>) -> Vec<Map> {
    let tables = dm.tables().unwrap_or_else(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => "; device-mapper answers root alone",
            _ => "",
        };
        notes.push(format!("multipath maps are unknown: {error}{remedy}"));
        Vec::new()
    });
    let mut maps = Vec::new();
    for table in &tables {
        match Map::from_dm(table) {
            Ok(map) => maps.push(map),
            Err(error) => notes.push(format!("map {} is not understood: {error}", table.name)),
        }
    }
    maps
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::DmTable;
    use super::*;
    use crate::scsi::AccessState;

    struct Fails;

    impl DmSource for Fails {
        fn tables(&self) -> io::Result<Vec<DmTable>> {
            Err(io::ErrorKind::PermissionDenied.into())
        }
    }

    fn write(dir: &Path, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn device_dir(root: &Path, hctl: &str) -> std::path::PathBuf {
        root.join("sys/class/scsi_device").join(hctl).join("device")
    }

    fn inquiry() -> Vec<u8> {
        let mut inquiry = vec![0, 0, 6, 2, 31, 0x30, 0, 2];
        inquiry.extend(b"LIO-ORG lun0            4.0 ");
        inquiry
    }

    const VPD83: &[u8] = &[
        0, 0x83, 0, 36, 1, 3, 0, 16, 0x60, 1, 0x40, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0x14,
        0, 4, 0, 0, 0, 2, 1, 0x15, 0, 4, 0, 0, 0, 0x10,
    ];

    #[test]
    fn a_disk_under_a_handler_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let files: &[(&str, &[u8])] = &[
            ("inquiry", &inquiry()),
            ("vpd_pg83", VPD83),
            ("wwid", b"naa.from-sysfs\n"),
            ("block/sda/dev", b"8:0\n"),
            ("dh_state", b"alua\n"),
            ("access_state", b"active/non-optimized\n"),
            ("preferred_path", b"1\n"),
            ("state", b"running\n"),
        ];
        write(&device_dir(dir.path(), "1:0:2:3"), files);
        let topology = scan(&Sysroot::at(dir.path()), &Vec::new());
        let [device] = topology.devices() else {
            panic!("{topology:?}")
        };
        assert!(device.running && device.is_disk());
        assert_eq!(device.hctl.to_string(), "1:0:2:3");
        assert_eq!(device.name.as_deref(), Some("sda"));
        assert_eq!(device.devno.unwrap().to_string(), "8:0");
        assert_eq!(device.wwid.as_deref(), Some("naa.from-sysfs"));
        assert_eq!(device.vendor.as_deref(), Some("LIO-ORG"));
        assert_eq!(device.product.as_deref(), Some("lun0"));
        assert_eq!(device.revision.as_deref(), Some("4.0"));
        assert_eq!(device.state.as_deref(), Some("running"));
        assert_eq!(device.handler.as_deref(), Some("alua"));
        let state = device.access_state.as_ref().and_then(|text| text.state());
        assert_eq!(state, Some(AccessState::NON_OPTIMIZED));
        assert_eq!((device.preferred, device.tpgs), (Some(true), Some(3)));
        assert_eq!(
            (device.port_group, device.relative_port),
            (Some(0x10), Some(2))
        );
        assert!(topology.notes().is_empty());
    }

    #[test]
    fn what_is_missing_is_none() {
        let dir = tempfile::tempdir().unwrap();
        write(
            &device_dir(dir.path(), "0:0:0:0"),
            &[("state", b"offline"), ("dh_state", b"detached")],
        );
        let files: &[(&str, &[u8])] = &[
            ("state", b"running"),
            ("vpd_pg83", VPD83),
            ("inquiry", &[5]),
            ("vendor", b"x"),
        ];
        write(&device_dir(dir.path(), "0:0:1:0"), files);
        let topology = scan(&Sysroot::at(dir.path()), &Vec::new());
        let [offline, other] = topology.devices() else {
            panic!("{topology:?}")
        };
        let mut unknown = Device::unknown("0:0:0:0".parse().unwrap());
        unknown.state = Some("offline".to_owned());
        assert_eq!(offline, &unknown);
        assert_eq!(
            (other.device_type, other.vendor.as_deref()),
            (Some(5), None)
        );
        assert_eq!(
            other.wwid.as_deref(),
            Some("naa.60014005000000000000000000000001")
        );
    }

    #[test]
    fn devices_that_vanish_and_other_entries_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        write(
            &device_dir(dir.path(), "0:0:0:0"),
            &[("inquiry", &inquiry())],
        );
        write(
            &dir.path().join("sys/class/scsi_device"),
            &[("host0/device/state", b"running")],
        );
        fs::create_dir_all(dir.path().join("sys/class/scsi_device/0:0:0:1")).unwrap();
        let topology = scan(&Sysroot::at(dir.path()), &Vec::new());
        assert!(topology.devices().is_empty() && topology.notes().is_empty());
    }

    #[test]
    fn what_cannot_be_asked_becomes_a_note() {
        let dir = tempfile::tempdir().unwrap();
        let topology = scan(&Sysroot::at(dir.path()), &Fails);
        assert_eq!(topology.notes().len(), 2, "{topology:?}");
        assert!(topology.notes()[1].ends_with("root alone"), "{topology:?}");
        let table = DmTable {
            name: "odd".to_owned(),
            devno: "254:0".parse().unwrap(),
            uuid: None,
            status: "2 0".to_owned(),
            table: String::new(),
        };
        let topology = scan(&Sysroot::at(dir.path()), &vec![table]);
        assert!(topology.notes()[1].starts_with("map odd is not understood"));
    }

    #[test]
    fn a_look_that_nothing_announced_reads_few_devices_and_all_in_a_while() {
        const DEVICES: usize = FEW * ROUND + 40;
        let dir = tempfile::tempdir().unwrap();
        let root = Sysroot::at(dir.path());
        let hctl = |lun: usize| format!("0:0:0:{lun}");
        let say = |lun, state: &str| {
            write(
                &device_dir(dir.path(), &hctl(lun)),
                &[("state", state.as_bytes())],
            );
        };
        (0..DEVICES).for_each(|lun| say(lun, "running"));
        let mut looks = Looks::default();
        let mut offline = |announced| {
            let topology = looks.look(&root, &Vec::new(), announced);
            let devices = topology.devices().iter();
            let offline = devices.filter(|it| it.state.as_deref() == Some("offline"));
            (topology.devices().len(), offline.count())
        };
        assert_eq!(offline(false), (DEVICES, 0));
        (0..DEVICES).for_each(|lun| say(lun, "offline"));
        let some = DEVICES.div_ceil(ROUND);
        assert_eq!(offline(false), (DEVICES, some));
        // One that comes is read at once, one that goes is gone at once.
        say(DEVICES, "offline");
        fs::remove_dir_all(dir.path().join("sys/class/scsi_device").join(hctl(5))).unwrap();
        let (devices, seen) = offline(false);
        assert_eq!(devices, DEVICES);
        assert!(
            seen > 2 * some - 3 && seen < 2 * some + 3,
            "{seen} of {some}"
        );
        for _ in 2..ROUND {
            offline(false);
        }
        assert_eq!(offline(false), (DEVICES, DEVICES));
        (0..10).for_each(|lun| say(lun + 10, "running"));
        assert_eq!(offline(true), (DEVICES, DEVICES - 10));
    }

    #[test]
    fn a_big_array_is_read_fast_enough() {
        let dir = tempfile::tempdir().unwrap();
        let inquiry = inquiry();
        for lun in 0..32 {
            for host in 0..8 {
                let name = format!("block/sd{host}x{lun}/dev");
                let number = format!("8:{}", host * 32 + lun);
                let files: &[(&str, &[u8])] = &[
                    ("inquiry", &inquiry),
                    ("vpd_pg83", VPD83),
                    (&name, number.as_bytes()),
                    ("dh_state", b"alua"),
                    ("access_state", b"standby"),
                    ("preferred_path", b"0"),
                    ("state", b"running"),
                ];
                write(&device_dir(dir.path(), &format!("{host}:0:0:{lun}")), files);
            }
        }
        let topology = scan(&Sysroot::at(dir.path()), &Vec::new());
        assert_eq!(topology.devices().len(), 256);
        assert_eq!(
            topology
                .paths_of_lun("naa.60014005000000000000000000000001")
                .count(),
            256
        );
    }
}
