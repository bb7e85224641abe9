//! Owns the reading of `lsscsi`, with `-l`, `-t`, `-i` and `-g`.

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Iscsi, Path, Transport};
use crate::topology::Hctl;

/// Where columns begin behind the device type's: vendor, product, revision; and their ends
/// (lsscsi.c `one_sdev_entry`: `%-8s %-16s %-4s`).
const VENDOR: (usize, usize) = (0, 8);
const PRODUCT: (usize, usize) = (9, 25);
const REVISION: (usize, usize) = (26, 30);
/// Width of the device type's column.
const TYPE_CHARS: usize = 8;

/// Whether a line is one of a device.
pub(super) fn is_line(line: &str) -> bool {
    let address = line.trim_start().strip_prefix('[');
    let address = address.and_then(|rest| rest.split_once(']'));
    address.is_some_and(|(address, rest)| address.parse::<Hctl>().is_ok() && rest.starts_with("  "))
}

/// The address, and what follows the word `disk`.
fn disk(line: &str) -> Option<(Hctl, &str)> {
    let (address, rest) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    let rest = rest.trim_start();
    let columns = rest
        .strip_prefix("disk")
        .and_then(|_| rest.get(TYPE_CHARS.min(rest.len())..))?;
    Some((address.parse().ok()?, columns))
}

/// The disks in `text`.
///
/// # Errors
/// There are none.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut room = Room::new(text);
    let mut inventory = Inventory::default();
    let mut other = Leftover::default();
    // Whether the device that lines below are of is a disk.
    let mut of_disk = false;
    for (nth, line) in text.lines().enumerate() {
        let is_detail = line.starts_with(' ') && line.contains('=');
        if let Some((address, columns)) = disk(line).filter(|_| room.take_path(0)) {
            push(&mut inventory.unmapped, path(address, columns));
            of_disk = true;
        } else if is_line(line) {
            of_disk = false;
            other.add(nth, line);
        } else if let Some(path) = inventory
            .unmapped
            .last_mut()
            .filter(|_| is_detail && of_disk)
        {
            details(path, line);
        } else if !(line.trim().is_empty() || is_detail) {
            other.add(nth, line);
        }
    }
    ensure!(!inventory.unmapped.is_empty(), "there is no disk in it");
    inventory
        .notes
        .extend(other.note("of other devices, or not understood, left out"));
    Ok(inventory)
}

fn path(address: Hctl, columns: &str) -> Path {
    let words = || columns.split_whitespace();
    let device = words().find_map(|word| word.strip_prefix("/dev/sd"));
    let first = words().next().unwrap_or_default();
    let transport = transport(first);
    // Columns begin behind blanks, unless somebody's editor has moved them.
    let begins = |at: usize| {
        let before = at.checked_sub(1).and_then(|it| columns.as_bytes().get(it));
        before.is_none_or(|byte| *byte == b' ')
    };
    let is_aligned = [VENDOR, PRODUCT, REVISION]
        .iter()
        .all(|(at, _)| begins(*at));
    let moved: Vec<&str> = columns
        .split("  ")
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .collect();
    let cell = |(from, to): (usize, usize), nth: usize| {
        let text = if is_aligned {
            columns.get(from..to.min(columns.len()))?.trim()
        } else {
            moved.get(nth)?
        };
        Some(text.to_owned()).filter(|text| !text.is_empty() && transport.is_none())
    };
    let named = words().find_map(|word| {
        let is_wwn = word.len() >= 17 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_wwn.then(|| word.to_owned())
    });
    Path {
        address: address.to_string(),
        device: device.map(|letters| format!("sd{letters}")),
        vendor: cell(VENDOR, 0),
        product: cell(PRODUCT, 1),
        revision: cell(REVISION, 2),
        // The name that udev gives it, which is multipath's.
        wwid: named,
        transport,
        ..Path::default()
    }
}

/// `iqn.2002-10…,t,0x1`, `fc:0x2000…,0x0a0b00`, `sas:0x5…`.
fn transport(word: &str) -> Option<Transport> {
    let word = word.strip_prefix("iscsi:").unwrap_or(word);
    // Names need not be right: `test-1,t,0x1`.
    if word.starts_with("iqn.") || word.starts_with("eui.") || word.contains(",t,0x") {
        let target = word.split(',').next().map(str::to_owned);
        return Some(Transport::Iscsi(Iscsi {
            target,
            ..Iscsi::default()
        }));
    }
    let port = |rest: &str| Some(rest.split(',').next().unwrap_or(rest).to_owned());
    if let Some(rest) = word.strip_prefix("fc:") {
        return Some(Transport::Fc {
            local_port: None,
            remote_port: port(rest),
            speed: None,
            state: None,
        });
    }
    word.strip_prefix("sas:").map(|rest| Transport::Sas {
        local_address: None,
        remote_address: port(rest),
    })
}

/// `  state=running queue_depth=32 scsi_level=6 …`
fn details(path: &mut Path, line: &str) {
    for (key, value) in line.split_whitespace().filter_map(|it| it.split_once('=')) {
        match key {
            "state" => path.device_state = Some(value.to_owned()),
            "queue_depth" => path.queue_depth = value.parse().ok(),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "\
[0:0:0:0]    cd/dvd  QEMU     QEMU DVD-ROM     2.5+  /dev/sr0 
[1:0:0:1]    disk    DELL     MD36xxi          0784  /dev/sdb 
  state=running queue_depth=32 scsi_level=6 type=0 device_blocked=0 timeout=30
[2:0:0:1]    disk    DELL     Universal Xport  0784  -        
";

    #[test]
    fn columns_and_details_are_read() {
        let inventory = parse(LONG).unwrap();
        let [first, second] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (first.address.as_str(), first.device.as_deref()),
            ("1:0:0:1", Some("sdb"))
        );
        assert_eq!(
            (first.product.as_deref(), first.revision.as_deref()),
            (Some("MD36xxi"), Some("0784"))
        );
        assert_eq!(
            (first.device_state.as_deref(), first.queue_depth),
            (Some("running"), Some(32))
        );
        assert_eq!(
            (second.product.as_deref(), second.device.as_deref()),
            (Some("Universal Xport"), None)
        );
        assert_eq!(inventory.notes.len(), 1);
    }

    #[test]
    fn transports_and_names_are_read() {
        let text = "[1:0:0:1]    disk    iqn.2002-10.com.x:t,t,0x1  /dev/sdb\n\
                    [2:0:0:1]    disk    fc:0x20000001,0x0a0b00     /dev/sdc  36782bcb0002c039d\n\
                    [3:0:0:1]    disk    sas:0x5000c500             /dev/sdd\n";
        let inventory = parse(text).unwrap();
        let [iscsi, fc, sas] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert!(
            matches!(&iscsi.transport, Some(Transport::Iscsi(it)) if it.target.as_deref() == Some("iqn.2002-10.com.x:t"))
        );
        assert!(
            matches!(&fc.transport, Some(Transport::Fc { remote_port: Some(port), .. }) if port == "0x20000001")
        );
        assert_eq!(fc.wwid.as_deref(), Some("36782bcb0002c039d"));
        assert!(matches!(sas.transport, Some(Transport::Sas { .. })));
        assert_eq!(sas.vendor, None);
        assert!(parse("nothing\n").is_err());
        for end in 0..LONG.len() {
            let _ = parse(&LONG[..end]);
        }
    }

    #[test]
    fn lines_below_another_device_are_not_the_disk_s() {
        let text = "[0:0:0:0]    disk    VMware   Virtual disk     2.0   /dev/sda\n  \
state=running queue_depth=254 scsi_level=7\n\
[3:0:0:0]    cd/dvd  NECVMWar VMware SATA CD00 1.00  /dev/sr0\n  \
state=offline queue_depth=1 scsi_level=6\n";
        let inventory = parse(text).unwrap();
        let [disk] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (disk.queue_depth, disk.device_state.as_deref()),
            (Some(254), Some("running"))
        );
        assert!(inventory.notes[0].starts_with("1 line of other devices"));
    }
}
