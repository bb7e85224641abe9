//! Owns the reading of attributes of SCSI devices as people list them: `grep . …/access_state`, files of
//! a bundle, `systool -v -c scsi_device` (sysfsutils cmd/systool.c), `udevadm info -a` (systemd
//! src/udev/udevadm-info.c).

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{Access, AccessSource, Inventory, Path};
use crate::scsi::AccessState;
use crate::topology::Hctl;

/// Attributes that are understood (drivers/scsi/scsi_sysfs.c).
pub(super) const ATTRIBUTES: [&str; 10] = [
    "access_state",
    "preferred_path",
    "dh_state",
    "state",
    "queue_depth",
    "vendor",
    "model",
    "rev",
    "wwid",
    "dev",
];

/// Whether a line is an attribute of a SCSI device.
pub(super) fn is_line(line: &str) -> bool {
    let trimmed = line.trim();
    listed(line).is_some()
        || systool_device(trimmed).is_some()
        || udev_device(trimmed).is_some()
        || udev_attribute(trimmed).is_some_and(|(key, _)| ATTRIBUTES.contains(&key))
}

/// Whether a file of a tree is an attribute of a SCSI device.
pub(super) fn is_attribute(name: &str) -> bool {
    let Some((place, attribute)) = name.rsplit_once('/') else {
        return false;
    };
    let of_device = place
        .rsplit('/')
        .next()
        .is_some_and(|it| it == "device" || it.parse::<Hctl>().is_ok());
    of_device && ATTRIBUTES.contains(&attribute) && owner(place).is_some()
}

/// What an attribute is of.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Owner<'a> {
    Address(Hctl),
    /// A disk's name, where the path says no more: `/sys/block/sda/device/state`.
    Disk(&'a str),
}

/// `/sys/class/scsi_device/1:0:0:0/device/access_state:active/optimized`, or with `=` or a blank
/// between.
fn listed(line: &str) -> Option<(Owner<'_>, &str, &str)> {
    let line = line.trim();
    ATTRIBUTES.iter().find_map(|attribute| {
        line.match_indices(attribute).find_map(|(at, _)| {
            let place = line.get(..at)?.strip_suffix('/')?;
            let rest = line.get(at + attribute.len()..)?;
            let value = rest.strip_prefix([':', '=', ' ', '\t'])?;
            let value = value.trim().trim_start_matches(['=', ':']).trim();
            Some((owner(place)?, *attribute, value.trim_matches('"')))
        })
    })
}

/// The device that a directory is of.
fn owner(place: &str) -> Option<Owner<'_>> {
    let mut parts = place.rsplit('/');
    if let Some(address) = parts.clone().find_map(|part| part.parse().ok()) {
        return Some(Owner::Address(address));
    }
    let disk = parts.find(|part| is_disk(part) && place.contains("/block/"))?;
    Some(Owner::Disk(disk))
}

fn is_disk(name: &str) -> bool {
    let letters = name.strip_prefix("sd");
    letters.is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_lowercase()))
}

/// `Device = "1:0:0:0"`, `Class Device = "1:0:0:0"`.
fn systool_device(line: &str) -> Option<Hctl> {
    let rest = line.strip_prefix("Class ").unwrap_or(line);
    let value = rest.strip_prefix("Device = \"")?.strip_suffix('"')?;
    value.parse().ok()
}

/// `looking at parent device '/devices/…/1:0:0:0':`; the device's place.
fn udev_device(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("looking at ")?;
    let rest = rest.strip_prefix("parent ").unwrap_or(rest);
    let rest = rest.strip_prefix("device '")?;
    Some(
        rest.strip_suffix(':')
            .unwrap_or(rest)
            .trim_end_matches('\''),
    )
}

/// `ATTRS{dh_state}=="alua"`.
fn udev_attribute(line: &str) -> Option<(&str, &str)> {
    let rest = line.strip_prefix("ATTR")?;
    let rest = rest.strip_prefix('S').unwrap_or(rest).strip_prefix('{')?;
    let (key, value) = rest.split_once("}==")?;
    Some((key, value.trim().trim_matches('"')))
}

/// What udevadm says of a device besides its attributes, and the words that it begins with.
fn is_of_udev(line: &str) -> bool {
    let keys = ["KERNEL", "SUBSYSTEM", "DRIVER"];
    let is_key = keys.iter().any(|key| {
        let rest = line.strip_prefix(key);
        rest.is_some_and(|it| it.trim_start_matches('S').starts_with("=="))
    });
    let words = [
        "Udevadm info starts with the device",
        "walks up the chain of parent devices",
        "found, all possible attributes",
        "A rule to match, can be composed",
        "and the attributes from one single parent",
    ];
    is_key || words.iter().any(|it| line.starts_with(it))
}

/// What lines below one that names a device are about.
#[derive(Default)]
struct Place<'a> {
    /// The device, if it is one of SCSI.
    device: Option<Hctl>,
    /// The place of the disk that udevadm began with.
    disk: Option<&'a str>,
}

impl<'a> Place<'a> {
    /// The attribute that a line of systool or udevadm tells; `None` inside if it is of another device.
    fn told(&self, line: &'a str) -> Option<Option<(Owner<'a>, &'a str, &'a str)>> {
        let pair = match udev_attribute(line) {
            Some(pair) => pair,
            None if is_of_udev(line) => return Some(None),
            None => {
                let (key, value) = line.split_once('=')?;
                self.device?;
                (key.trim(), value.trim().trim_matches('"'))
            }
        };
        Some(self.device.map(|it| (Owner::Address(it), pair.0, pair.1)))
    }

    /// The disk above the device.
    fn disk(&self, device: &str) -> Option<&'a str> {
        let rest = self.disk?.strip_prefix(device)?;
        let name = rest.strip_prefix("/block/")?.split('/').next()?;
        is_disk(name).then_some(name)
    }
}

/// The devices in `text`.
///
/// # Errors
/// If it tells nothing of a path.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut room = Room::new(text);
    let mut paths: Vec<Path> = Vec::new();
    let mut other = Leftover::default();
    let mut place = Place::default();
    for (nth, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        let is_title = ["Class = ", "Bus = "]
            .iter()
            .any(|it| trimmed.starts_with(it));
        if trimmed.is_empty() || trimmed.starts_with('#') || is_title {
        } else if let Some(address) = systool_device(trimmed) {
            place.device = Some(address);
        } else if let Some(device) = udev_device(trimmed) {
            place.device = device.rsplit('/').next().and_then(|it| it.parse().ok());
            let disk = place.disk(device);
            if device.contains("/block/") {
                place.disk = Some(device);
            }
            if let (Some(name), Some(address)) = (disk, place.device)
                && let Some(path) = find(&mut paths, &mut room, Owner::Address(address))
            {
                path.device = Some(name.to_owned());
            }
        } else if let Some(told) = listed(line).map(Some).or_else(|| place.told(trimmed)) {
            // systool and udevadm list every attribute; those that are not understood say nothing of a
            // path.
            if let Some((owner, key, value)) = told
                && ATTRIBUTES.contains(&key)
                && let Some(path) = find(&mut paths, &mut room, owner)
            {
                learn(path, key, value.trim());
            }
        } else {
            other.add(nth, line);
        }
    }
    paths.retain(|path| *path != named(path));
    ensure!(!paths.is_empty(), "there is no attribute of a path in it");
    Ok(Inventory {
        unmapped: paths,
        notes: other.note("not understood").into_iter().collect(),
        ..Inventory::default()
    })
}

/// A path of which no more than its names is known.
fn named(path: &Path) -> Path {
    Path {
        address: path.address.clone(),
        device: path.device.clone(),
        ..Path::default()
    }
}

fn find<'a>(paths: &'a mut Vec<Path>, room: &mut Room, owner: Owner<'_>) -> Option<&'a mut Path> {
    let fresh = match owner {
        Owner::Address(address) => Path {
            address: address.to_string(),
            ..Path::default()
        },
        Owner::Disk(name) => Path {
            device: Some(name.to_owned()),
            ..Path::default()
        },
    };
    let is_it = |path: &Path| {
        path.address == fresh.address && (!fresh.address.is_empty() || path.device == fresh.device)
    };
    let known = paths.iter().position(is_it);
    let at = match known {
        Some(at) => at,
        None if room.take_path(0) => {
            push(paths, fresh);
            paths.len() - 1
        }
        None => return None,
    };
    paths.get_mut(at)
}

fn learn(path: &mut Path, attribute: &str, value: &str) {
    let text = || Some(value.to_owned()).filter(|it| !it.is_empty());
    match attribute {
        "access_state" => {
            path.access = AccessState::from_sysfs(value).map(|state| Access {
                state,
                source: AccessSource::Sysfs,
                age_ms: None,
            });
        }
        "preferred_path" => {
            path.preferred = match value {
                "1" => Some(true),
                "0" => Some(false),
                _ => None,
            }
        }
        // The kernel's word for none.
        "dh_state" => path.handler = Some(if value == "detached" { "" } else { value }.to_owned()),
        "state" => path.device_state = text(),
        "queue_depth" => path.queue_depth = value.parse().ok(),
        "vendor" => path.vendor = text(),
        "model" => path.product = text(),
        "rev" => path.revision = text(),
        "wwid" => path.wwid = text(),
        "dev" => path.devno = text(),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GREP: &str = "/sys/class/scsi_device/1:0:0:0/device/access_state:active/optimized\n\
/sys/class/scsi_device/1:0:0:0/device/preferred_path:1\n\
/sys/class/scsi_device/1:0:0:0/device/dh_state:alua\n\
/sys/class/scsi_device/1:0:0:0/device/state:running\n\
/sys/devices/pci0000:00/0000:00:04.0/host2/target2:0:0/2:0:0:0/access_state: standby\n\
/sys/devices/pci0000:00/0000:00:04.0/host2/target2:0:0/2:0:0:0/dh_state: detached\n\
/sys/block/sdq/device/state = offline\n";
    const SYSTOOL: &str = "Class = \"scsi_device\"\n\n  Class Device = \"1:0:0:0\"\n  \
Class Device path = \"/sys/devices/pci0000:00/host1/target1:0:0/1:0:0:0/scsi_device/1:0:0:0\"\n    \
uevent              = \n\n    Device = \"1:0:0:0\"\n    \
Device path = \"/sys/devices/pci0000:00/host1/target1:0:0/1:0:0:0\"\n      \
access_state        = \"active/non-optimized\"\n      delete              = <store method only>\n      \
dh_state            = \"alua\"\n      model               = \"VRAID           \"\n      \
preferred_path      = \"0\"\n      queue_depth         = \"32\"\n      vendor              = \"DGC     \"\n";

    #[test]
    fn lines_of_grep_are_read_by_their_paths() {
        let inventory = parse(GREP).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [one, two, disk] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        let state = |path: &Path| path.access.as_ref().map(|access| access.state);
        assert_eq!(one.address, "1:0:0:0");
        assert_eq!(state(one), Some(AccessState::OPTIMIZED));
        assert_eq!(
            (
                one.preferred,
                one.handler.as_deref(),
                one.device_state.as_deref()
            ),
            (Some(true), Some("alua"), Some("running"))
        );
        assert_eq!(
            (two.address.as_str(), two.handler.as_deref()),
            ("2:0:0:0", Some(""))
        );
        assert_eq!(state(two), Some(AccessState::STANDBY));
        assert_eq!(
            (disk.device.as_deref(), disk.device_state.as_deref()),
            (Some("sdq"), Some("offline"))
        );
    }

    #[test]
    fn systool_tells_the_same() {
        let inventory = parse(SYSTOOL).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [path] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (
                path.vendor.as_deref(),
                path.product.as_deref(),
                path.queue_depth
            ),
            (Some("DGC"), Some("VRAID"), Some(32))
        );
        assert_eq!(
            path.access.as_ref().unwrap().state,
            AccessState::NON_OPTIMIZED
        );
        assert_eq!(path.preferred, Some(false));
    }

    #[test]
    fn other_lines_are_none() {
        assert!(!is_line("the state: running"));
        assert!(!is_line("/proc/1:0:0:0/status: x"));
        assert!(is_line(
            "/sys/class/scsi_device/1:0:0:0/device/access_state:lba-dependent"
        ));
        assert!(parse("/sys/class/scsi_device/1:0:0:0/device/state:").is_err());
    }

    #[test]
    fn udevadm_tells_of_the_disk_and_of_no_other_device() {
        let text = "Udevadm info starts with the device specified by the devpath and then\n\n  \
looking at device '/devices/pci0000:00/host33/target33:0:0/33:0:0:0/block/sdb':\n    \
KERNEL==\"sdb\"\n    SUBSYSTEM==\"block\"\n    ATTR{size}==\"15679488\"\n    ATTR{state}==\"x\"\n\n  \
looking at parent device '/devices/pci0000:00/host33/target33:0:0/33:0:0:0':\n    \
KERNELS==\"33:0:0:0\"\n    DRIVERS==\"sd\"\n    ATTRS{access_state}==\"standby\"\n    \
ATTRS{dh_state}==\"alua\"\n    ATTRS{vendor}==\"DGC     \"\n\n  \
looking at parent device '/devices/pci0000:00':\n    ATTRS{vendor}==\"0x8086\"\n";
        let inventory = parse(text).unwrap();
        assert_eq!(inventory.notes, [""; 0]);
        let [path] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        let access = path.access.as_ref().map(|access| access.state);
        assert_eq!(
            (&*path.address, path.device.as_deref(), access),
            ("33:0:0:0", Some("sdb"), Some(AccessState::STANDBY))
        );
        assert_eq!(
            (
                path.vendor.as_deref(),
                path.handler.as_deref(),
                path.device_state.as_deref()
            ),
            (Some("DGC"), Some("alua"), None)
        );
    }
}
