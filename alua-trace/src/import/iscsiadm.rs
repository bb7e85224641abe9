//! Owns the reading of `iscsiadm -m session -P 3`: which session, portal and interface each disk is
//! reached by (open-iscsi usr/session_info.c `session_info_print_tree`).

use anyhow::{Result, ensure};

use super::leftover::Leftover;
use super::room::{Room, push};
use crate::inventory::model::{Inventory, Iscsi, Path, Transport};

/// Whether a line is one of a session.
pub(super) fn is_line(line: &str) -> bool {
    let line = line.trim();
    let of_tree = [
        "Current Portal: ",
        "Network Portal: ",
        "iSCSI Transport Class version",
        "iSCSI Session State:",
        "Attached SCSI devices:",
        "Target: iqn.",
    ];
    let starts = of_tree.iter().any(|start| line.starts_with(start));
    starts || flat(line).is_some() || address(line).is_some()
}

/// `tcp: [1] 10.0.0.1:3260,1 iqn.2003-01.org.example:target (non-flash)`: a session, and no disk.
fn flat(line: &str) -> Option<&str> {
    let (transport, rest) = line.split_once(": [")?;
    let is_transport =
        !transport.is_empty() && transport.bytes().all(|it| it.is_ascii_alphanumeric());
    let (sid, rest) = rest.split_once("] ").filter(|_| is_transport)?;
    let is_number = !sid.is_empty() && sid.bytes().all(|it| it.is_ascii_digit());
    let mut words = rest.split_whitespace();
    let portal = words.next()?;
    let is_session = is_number && portal.contains(':') && portal.contains(',');
    words.next().filter(|_| is_session)
}

/// The disks of the sessions in `text`.
///
/// # Errors
/// There are none, as in the shorter lists of sessions.
pub(super) fn parse(text: &str) -> Result<Inventory> {
    let mut reading = Reading {
        room: Room::new(text),
        paths: Vec::new(),
        session: Iscsi::default(),
        lun: None,
        other: Leftover::default(),
    };
    for (nth, line) in text.lines().enumerate() {
        reading.line(nth, line);
    }
    ensure!(
        !reading.paths.is_empty(),
        "it tells of iSCSI sessions, but not which disks are theirs: iscsiadm -m session -P 3 does"
    );
    Ok(Inventory {
        notes: reading.other.note("not understood").into_iter().collect(),
        unmapped: reading.paths,
        ..Inventory::default()
    })
}

struct Reading<'a> {
    room: Room,
    paths: Vec<Path>,
    /// The one that the lines are about.
    session: Iscsi,
    /// Host, channel, target and LUN that were named last.
    lun: Option<String>,
    other: Leftover<'a>,
}

impl<'a> Reading<'a> {
    fn line(&mut self, nth: usize, line: &'a str) {
        let trimmed = line.trim();
        if let Some(address) = address(trimmed) {
            self.lun = Some(address);
        } else if let Some(rest) = trimmed.strip_prefix("Attached scsi disk ") {
            if !self.disk(rest) {
                self.other.add(nth, line);
            }
        } else if flat(trimmed).is_some() {
        } else if let Some(sid) = trimmed.strip_prefix("Session (sid ") {
            let number = sid.split([' ', ')']).next().unwrap_or_default();
            self.session = Iscsi {
                session: Some(format!("session{number}")),
                ..Iscsi::default()
            };
        } else if let Some((key, value)) = trimmed.split_once(':') {
            self.field(key.trim(), value.trim());
        } else if !(trimmed.is_empty()
            || trimmed.starts_with('*')
            || trimmed.starts_with("iSCSI Transport Class version")
            || trimmed.starts_with("version ")
            || trimmed.starts_with("iscsiadm version "))
        {
            self.other.add(nth, line);
        }
    }

    fn field(&mut self, key: &str, value: &str) {
        let known = |value: &str| {
            let unknown = ["<empty>", "[default]", "default", "N/A", "unknown", ""];
            (!unknown.contains(&value)).then(|| value.to_owned())
        };
        match key {
            "Target" => {
                // `iqn.… (non-flash)`
                let name = value.split_whitespace().next().unwrap_or_default();
                self.session = Iscsi {
                    target: known(name),
                    ..Iscsi::default()
                };
            }
            // Until 2.0-742 each session has a heading of its own.
            "TargetName" => self.session.target = known(value),
            "Network Portal" => self.session.portal = known(value),
            "Current Portal" => {
                // Another session to the same target.
                self.session = Iscsi {
                    target: self.session.target.take(),
                    portal: value.rsplit_once(',').map(|(portal, _)| portal.to_owned()),
                    ..Iscsi::default()
                };
            }
            "Iface IPaddress" => self.session.local_address = known(value),
            "Iface Netdev" => self.session.interface = known(value),
            "SID" => self.session.session = known(value).map(|sid| format!("session{sid}")),
            "iSCSI Session State" => self.session.state = known(value),
            _ => {}
        }
    }

    /// `sdb`, tabs, `State: running`.
    fn disk(&mut self, rest: &str) -> bool {
        // Pages lose the tabs between: `sdaState: running`.
        let device = rest.split("State:").next().map(|it| it.trim().to_owned());
        let state = rest
            .split_once("State:")
            .map(|(_, state)| state.trim().to_owned());
        let Some(address) = self.lun.take() else {
            return false;
        };
        if !self.room.take_path(0) {
            return false;
        }
        let path = Path {
            address,
            device,
            device_state: state.filter(|it| !it.is_empty()),
            transport: Some(Transport::Iscsi(self.session.clone())),
            ..Path::default()
        };
        push(&mut self.paths, path);
        true
    }
}

/// `scsi3 Channel 00 Id 0 Lun: 1` as `3:0:0:1`.
fn address(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().take(8).collect();
    let [host, "Channel", channel, "Id", target, "Lun:", lun] = words[..] else {
        return None;
    };
    let host: u32 = host.strip_prefix("scsi")?.parse().ok()?;
    let [channel, target]: [u32; 2] = [channel.parse().ok()?, target.parse().ok()?];
    let lun: u64 = lun.parse().ok()?;
    Some(format!("{host}:{channel}:{target}:{lun}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "iSCSI Transport Class version 2.0-870\nversion 6.2.0.874-10\n\
Target: iqn.2001-05.com.example:array (non-flash)\n\
\tCurrent Portal: 10.0.1.1:3260,1\n\tPersistent Portal: 10.0.1.1:3260,1\n\
\t\t**********\n\t\tInterface:\n\t\t**********\n\
\t\tIface Name: eth1\n\t\tIface Transport: tcp\n\t\tIface Initiatorname: iqn.1994-05.com.example:host\n\
\t\tIface IPaddress: 10.0.1.9\n\t\tIface HWaddress: <empty>\n\t\tIface Netdev: eth1\n\
\t\tSID: 1\n\t\tiSCSI Connection State: LOGGED IN\n\t\tiSCSI Session State: LOGGED_IN\n\
\t\t************************\n\t\tAttached SCSI devices:\n\t\t************************\n\
\t\tHost Number: 3\tState: running\n\
\t\tscsi3 Channel 00 Id 0 Lun: 0\n\t\tscsi3 Channel 00 Id 0 Lun: 1\n\
\t\t\tAttached scsi disk sdb\t\tState: running\n\
\tCurrent Portal: [fd00::2]:3260,2\n\tPersistent Portal: [fd00::2]:3260,2\n\
\t\tIface IPaddress: [default]\n\t\tIface Netdev: <empty>\n\t\tSID: 12\n\
\t\tiSCSI Session State: FREE\n\
\t\tscsi4 Channel 00 Id 0 Lun: 1\n\t\t\tAttached scsi disk sdc\t\tState: transport-offline\n";

    #[test]
    fn each_disk_has_the_session_that_it_stands_below() {
        let inventory = parse(TEXT).unwrap();
        assert!(inventory.notes.is_empty(), "{:?}", inventory.notes);
        let [b, c] = &inventory.unmapped[..] else {
            panic!("{inventory:?}")
        };
        assert_eq!(
            (
                b.address.as_str(),
                b.device.as_deref(),
                b.device_state.as_deref()
            ),
            ("3:0:0:1", Some("sdb"), Some("running"))
        );
        let session = Iscsi {
            session: Some("session1".to_owned()),
            target: Some("iqn.2001-05.com.example:array".to_owned()),
            portal: Some("10.0.1.1:3260".to_owned()),
            local_address: Some("10.0.1.9".to_owned()),
            interface: Some("eth1".to_owned()),
            state: Some("LOGGED_IN".to_owned()),
            ..Iscsi::default()
        };
        assert_eq!(b.transport, Some(Transport::Iscsi(session)));
        let Some(Transport::Iscsi(second)) = &c.transport else {
            panic!("{c:?}")
        };
        assert_eq!(
            (
                second.session.as_deref(),
                second.portal.as_deref(),
                second.interface.as_deref()
            ),
            (Some("session12"), Some("[fd00::2]:3260"), None)
        );
        assert_eq!(
            second.target.as_deref(),
            Some("iqn.2001-05.com.example:array")
        );
        assert_eq!(c.device_state.as_deref(), Some("transport-offline"));
    }

    #[test]
    fn shorter_lists_say_what_to_ask_for() {
        let flat = "tcp: [1] 10.0.1.1:3260,1 iqn.2001-05.com.example:array (non-flash)\n";
        assert!(is_line(flat));
        let error = parse(flat).unwrap_err().to_string();
        assert!(error.contains("-P 3"), "{error}");
        assert!(!is_line("kernel: [1] something happened"));
    }

    #[test]
    fn every_prefix_is_read_or_refused() {
        for end in 0..=TEXT.len() {
            let _ = parse(&TEXT[..end]);
        }
    }
}
