//! Owns the log that `multipath -v3` prints before its table (libmultipath/discovery.c, propsel.c,
//! multipath/main.c): what it says of each path, and why it left paths out.

use std::collections::BTreeMap;

use super::super::leftover::Leftover;
use super::super::room::Room;
use crate::inventory::model::{Path, Priority};
use crate::safe;

/// What only this log says of a device, `sda: mask = 0x1f`.
const KEYS: [&str; 12] = [
    "mask",
    "dev_t",
    "h:b:t:l",
    "vendor",
    "product",
    "tgt_node_name",
    "path state",
    "path_checker",
    "path checker",
    "uid_attribute",
    "uid",
    "detect_prio",
];
/// Words that begin why a device became no path of a map (libmultipath/blacklist.c, structs_vec.c
/// `orphan_path`).
const LEFT_OUT: [&str; 2] = ["blacklisted", "orphan path"];
/// Longest reason that is quoted, in characters.
const REASON_CHARS: usize = 60;
/// Devices that are named behind a reason, and reasons that are told.
const MAX_NAMED: usize = 8;

/// Whether a line is of this log, and about a device.
pub(super) fn is_line(line: &str) -> bool {
    let Some((_, rest)) = of_device(without_time(line)) else {
        return false;
    };
    let key = rest.split_once('=').map(|(key, _)| key.trim());
    key.is_some_and(|key| KEYS.contains(&key)) || LEFT_OUT.iter().any(|it| rest.starts_with(it))
}

/// A line without the time before it: `Jul 03 15:22:38 | `, `445.835 | `, or without the bar that
/// pages lose.
fn without_time(line: &str) -> &str {
    let line = line.trim();
    if let Some((_, rest)) = line.split_once(" | ") {
        return rest.trim_start();
    }
    let mut words = line.splitn(4, ' ');
    let (_, _, time, rest) = (words.next(), words.next(), words.next(), words.next());
    let is_time = time.is_some_and(|it| {
        it.len() == 8
            && it.matches(':').count() == 2
            && it.starts_with(|c: char| c.is_ascii_digit())
    });
    rest.filter(|_| is_time).unwrap_or(line)
}

/// `sdb: …`: the device, and what is said of it.
fn of_device(line: &str) -> Option<(&str, &str)> {
    let (device, rest) = line.split_once(": ")?;
    let known = [
        "sd", "sr", "dasd", "loop", "nvme", "dm-", "zram", "vd", "hd",
    ];
    let is_device = device.len() < 16
        && known.iter().any(|it| device.starts_with(it))
        && device
            .bytes()
            .all(|it| it.is_ascii_alphanumeric() || it == b'-');
    is_device.then_some((device, rest))
}

#[derive(Default)]
pub(super) struct Log<'a> {
    paths: BTreeMap<&'a str, Path>,
    /// Devices by why they were left out.
    left_out: BTreeMap<&'a str, Vec<&'a str>>,
    /// Its lines about no path.
    other: Leftover<'a>,
}

impl<'a> Log<'a> {
    pub(super) fn is_empty(&self) -> bool {
        self.paths.is_empty() && self.left_out.is_empty()
    }

    /// Takes a line; `false` if it is none of this log.
    pub(super) fn line(&mut self, nth: usize, line: &'a str, room: &mut Room) -> bool {
        let text = without_time(line);
        let Some((device, rest)) = of_device(text) else {
            let is_log = text.len() < line.trim().len();
            if is_log {
                self.other.add(nth, line);
            }
            return is_log;
        };
        if let Some((key, value)) = rest.split_once('=').filter(|_| device.starts_with("sd")) {
            if !self.paths.contains_key(device) && !room.take_path(0) {
                return false;
            }
            let path = self.paths.entry(device).or_default();
            learn(path, key.trim(), value.trim());
        } else if LEFT_OUT.iter().any(|it| rest.starts_with(it)) {
            self.leave_out(device, rest);
        }
        // Lines such as `sdb: get_state` tell nothing.
        true
    }

    fn leave_out(&mut self, device: &'a str, reason: &'a str) {
        // What was blacklisted is an orphan for that; the first reason says more.
        let is_told = reason == "orphan path, blacklisted"
            && self.left_out.values().any(|all| all.contains(&device));
        if is_told || self.left_out.len() == MAX_NAMED && !self.left_out.contains_key(reason) {
            return;
        }
        let devices = self.left_out.entry(reason).or_default();
        if !devices.contains(&device) {
            devices.push(device);
        }
    }

    /// The paths by their devices, and what is to be noted.
    pub(super) fn finish(self) -> (BTreeMap<&'a str, Path>, Vec<String>) {
        let left_out = self.left_out.iter().map(|(reason, devices)| {
            let reason = safe::text(reason, REASON_CHARS);
            let named = devices.get(..MAX_NAMED).unwrap_or(devices).join(", ");
            match devices.len().saturating_sub(MAX_NAMED) {
                0 => format!("multipath left out {named}: {reason}"),
                more => format!("multipath left out {named} and {more} more: {reason}"),
            }
        });
        let mut notes: Vec<String> = left_out.collect();
        notes.extend(self.other.note("of the log about no path"));
        (self.paths, notes)
    }
}

pub(super) fn plain_priority(value: i32) -> Priority {
    Priority {
        value,
        reason: String::new(),
        prioritizer: None,
    }
}

/// What a line tells of its path.
fn learn(path: &mut Path, key: &str, value: &str) {
    // `alua (setting: storage device autodetected)`
    let plain = value.split(" (").next().unwrap_or(value).trim();
    let plain = plain.trim_matches('"');
    let text = || Some(plain.to_owned()).filter(|it| !it.is_empty());
    match key {
        "vendor" => path.vendor = text(),
        "product" => path.product = text(),
        "rev" => path.revision = text(),
        "serial" => path.serial = text(),
        "uid" => path.wwid = text(),
        "h:b:t:l" => path.address = plain.to_owned(),
        "dev_t" => path.devno = text(),
        "path state" => path.device_state = text(),
        "state" => path.checker_state = text(),
        "prio" => match plain.parse() {
            Ok(value) => path.priority = Some(plain_priority(value)),
            Err(_) => prioritized_by(path, plain),
        },
        _ => {
            // `alua prio = 50`, `rdac state = up`
            if let (Some(by), Ok(value)) = (key.strip_suffix(" prio"), plain.parse()) {
                path.priority = Some(plain_priority(value));
                prioritized_by(path, by);
            } else if key.ends_with(" state") {
                path.checker_state = text();
            }
        }
    }
}

pub(super) fn prioritized_by(path: &mut Path, name: &str) {
    if let Some(priority) = &mut path.priority {
        priority.prioritizer = Some(name.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, Path)>, Vec<String>) {
        let (mut log, mut room) = (Log::default(), Room::new(text));
        for (nth, line) in text.lines().enumerate() {
            assert!(log.line(nth, line, &mut room), "{line}");
        }
        let (paths, notes) = log.finish();
        let paths = paths
            .into_iter()
            .map(|(name, path)| (name.to_owned(), path));
        (paths.collect(), notes)
    }

    #[test]
    fn times_of_every_form_are_taken_off() {
        for time in [
            "Jul 03 15:22:38 | ",
            "Jul 03 15:22:38 ",
            "445.833549 | ",
            "",
        ] {
            let line = format!("{time}sdb: vendor = IBM");
            assert!(is_line(&line), "{line}");
            let (paths, notes) = read(&line);
            assert_eq!(paths[0].1.vendor.as_deref(), Some("IBM"), "{line}");
            assert_eq!(notes, [""; 0]);
        }
        // A log of the system is another's.
        assert!(!is_line(
            "Jul 03 15:22:38 host multipathd[1]: sdb: vendor = IBM"
        ));
        assert!(!is_line("sd 1:0:0:0: [sdb] Attached SCSI disk"));
        assert!(!is_line("[    1.5] sdb: sdb1 sdb2"));
    }

    #[test]
    fn why_devices_were_left_out_is_noted_once() {
        let (paths, notes) = read(
            "1.1 | sda: blacklisted, udev property missing\n1.2 | sda: orphan path, blacklisted\n\
             1.3 | sdb: blacklisted, udev property missing\n1.4 | sdb: rdac state = up\n\
             1.5 | sdc: orphan path, only one path\n1.6 | unloading rdac checker\n\
             1.7 | sdc: get_state\n",
        );
        assert_eq!(
            notes,
            [
                "multipath left out sda, sdb: blacklisted, udev property missing",
                "multipath left out sdc: orphan path, only one path",
                "1 line of the log about no path, the first is line 6: 1.6 | unloading rdac checker",
            ]
        );
        assert_eq!(paths.len(), 1);
        assert_eq!(paths[0].1.checker_state.as_deref(), Some("up"));
    }

    #[test]
    fn what_is_noted_stays_short() {
        let many: String = (0..99)
            .map(|nth| format!("loop{nth}: blacklisted, udev property missing\n"))
            .collect();
        let (_, notes) = read(&many);
        assert!(notes[0].contains(" and 91 more: "), "{notes:?}");
        let reasons: String = (0..99)
            .map(|nth| format!("sda: orphan path, {nth}\n"))
            .collect();
        assert_eq!(read(&reasons).1.len(), MAX_NAMED);
    }
}
