//! What the network below iSCSI is set to and has done: what decides whether a larger MTU can show anything.
//! Read from sysfs and procfs, and by ETHTOOL's oldest questions; nothing is changed or sent.

use std::{collections::BTreeMap, os::fd::AsRawFd};

use rustix::net::{AddressFamily, SocketType, socket};
use serde::{Deserialize, Serialize};

use crate::sysroot::{self, Directory, Sysroot};

/// The network of a host at one time. `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Interfaces by name, without the loopback.
    pub interfaces: BTreeMap<String, Interface>,
    /// TCP segments that the host has sent again since its boot (`RetransSegs`, RFC 4022).
    pub retransmits: Option<u64>,
    /// What host and array agreed on when they logged in, by iSCSI session, then by the key's name in sysfs
    /// (drivers/scsi/scsi_transport_iscsi.c; RFC 7143, section 13).
    pub sessions: BTreeMap<String, BTreeMap<String, String>>,
}

/// A network interface.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its MTU in bytes.
    pub mtu: Option<u32>,
    /// Frames that it has received and sent, as its driver counts them: with an offload that puts segments
    /// together, fewer than were on the wire.
    pub frames: Option<u64>,
    /// Those that are switched on of TSO, GSO, GRO and LRO.
    pub offloads: Vec<String>,
}

/// Keys of a session, and of its connection.
const OF_SESSION: [&str; 6] = [
    "initial_r2t",
    "immediate_data",
    "first_burst_len",
    "max_burst_len",
    "max_outstanding_r2t",
    "erl",
];
const OF_CONNECTION: [&str; 4] = [
    "max_recv_dlength",
    "max_xmit_dlength",
    "header_digest",
    "data_digest",
];

impl Network {
    pub(super) fn read(root: &Sysroot) -> Self {
        let names = sysroot::entries(&root.net_dir()).unwrap_or_default();
        let interfaces = names.into_iter().filter(|name| name != "lo");
        let interfaces =
            interfaces.filter_map(|name| Some((name.clone(), interface(root, &name)?)));
        let sessions = sysroot::entries(&root.class_dir("iscsi_session", "")).unwrap_or_default();
        let sessions = sessions
            .into_iter()
            .map(|name| (name.clone(), keys(root, &name)));
        let snmp = sysroot::read_text(&root.tcp_counts()).unwrap_or_default();
        Self {
            interfaces: interfaces.collect(),
            retransmits: retransmits(&snmp),
            sessions: sessions.collect(),
        }
    }
}

fn interface(root: &Sysroot, name: &str) -> Option<Interface> {
    let dir = Directory::open(&root.net_dir().join(name)).ok()?;
    let packets = |what: &str| dir.number::<u64>(what);
    let frames =
        || packets("statistics/rx_packets")?.checked_add(packets("statistics/tx_packets")?);
    Some(Interface {
        mtu: dir.number("mtu"),
        frames: frames(),
        offloads: offloads(name),
    })
}

fn keys(root: &Sysroot, session: &str) -> BTreeMap<String, String> {
    let connection = session.replace("session", "connection") + ":0";
    let places = [
        ("iscsi_session", session, OF_SESSION.as_slice()),
        ("iscsi_connection", &connection, OF_CONNECTION.as_slice()),
    ];
    let keys = places.into_iter().flat_map(|(class, name, keys)| {
        let dir = Directory::open(&root.class_dir(class, name)).ok();
        let read = move |key: &&str| Some(((*key).to_owned(), dir.as_ref()?.text(key).ok()?));
        keys.iter().filter_map(read).collect::<Vec<_>>()
    });
    keys.filter(|(_, value)| !value.is_empty()).collect()
}

/// `/proc/net/snmp`: a line of names, then one of numbers.
fn retransmits(snmp: &str) -> Option<u64> {
    let mut of_tcp = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, numbers) = (of_tcp.next()?, of_tcp.next()?);
    let at = names
        .split_whitespace()
        .position(|it| it == "RetransSegs")?;
    numbers.split_whitespace().nth(at)?.parse().ok()
}

/// ETHTOOL_GTSO and its like (include/uapi/linux/ethtool.h): each answers with one number.
fn offloads(interface: &str) -> Vec<String> {
    const GTSO: u32 = 0x1e;
    const GGSO: u32 = 0x23;
    const GFLAGS: u32 = 0x25;
    const GGRO: u32 = 0x2b;
    /// ETH_FLAG_LRO.
    const LRO: u32 = 1 << 15;
    let asked = [
        ("TSO", GTSO, u32::MAX),
        ("GSO", GGSO, u32::MAX),
        ("GRO", GGRO, u32::MAX),
        ("LRO", GFLAGS, LRO),
    ];
    let on = asked.into_iter().filter(|(_, question, bits)| {
        ask_ethtool(interface, *question).is_some_and(|answer| answer & bits != 0)
    });
    on.map(|(name, ..)| name.to_owned()).collect()
}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    question: u32,
    answer: u32,
}

/// `struct ifreq`, whose union has room for 24 bytes on machines with 64 bits.
#[repr(C)]
struct Request {
    name: [u8; 16],
    value: *mut Value,
    rest: [u8; 16],
}

fn ask_ethtool(interface: &str, question: u32) -> Option<u32> {
    let mut value = Value {
        question,
        answer: 0,
    };
    let mut request = Request {
        name: [0; 16],
        value: &raw mut value,
        rest: [0; 16],
    };
    // The last byte stays 0: no longer name is an interface's.
    request
        .name
        .get_mut(..interface.len().min(16))
        .filter(|it| it.len() < 16)?
        .copy_from_slice(interface.as_bytes());
    let asking = socket(AddressFamily::INET, SocketType::DGRAM, None).ok()?;
    // SAFETY: the request is a `struct ifreq` whose data is a `struct ethtool_value`; the kernel writes to the
    // latter alone (net/ethtool/ioctl.c, ethtool_get_value), and both live until it has answered.
    let answered =
        unsafe { libc::ioctl(asking.as_raw_fd(), libc::SIOCETHTOOL as _, &raw mut request) };
    (answered == 0).then_some(value.answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_is_read() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("sys/class/net/none0/mtu", "9000\n"),
            ("sys/class/net/none0/statistics/rx_packets", "40\n"),
            ("sys/class/net/none0/statistics/tx_packets", "2\n"),
            ("sys/class/net/lo/mtu", "65536\n"),
            ("sys/class/iscsi_session/session3/max_burst_len", "262144\n"),
            ("sys/class/iscsi_session/session3/erl", "\n"),
            (
                "sys/class/iscsi_connection/connection3:0/data_digest",
                "None\n",
            ),
            (
                "proc/net/snmp",
                "Ip: Forwarding\nIp: 1\nTcp: RtoMin RetransSegs InErrs\nTcp: 200 17 0\n",
            ),
        ] {
            let file = dir.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let network = Network::read(&Sysroot::at(dir.path()));
        assert_eq!(network.interfaces.len(), 1);
        let interface = &network.interfaces["none0"];
        assert_eq!((interface.mtu, interface.frames), (Some(9000), Some(42)));
        assert_eq!(network.retransmits, Some(17));
        let keys: Vec<_> = network.sessions["session3"].iter().collect();
        let key = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [key("data_digest", "None"), key("max_burst_len", "262144")];
        assert!(
            keys.into_iter()
                .eq(expected.iter().map(|(name, value)| (name, value)))
        );
    }

    #[test]
    fn what_is_no_interface_has_no_offloads() {
        for name in ["", "no such interface at all", "none0"] {
            assert!(offloads(name).is_empty(), "{name}");
        }
        assert_eq!(retransmits("Tcp: RtoMin\nTcp: 200\n"), None);
        assert_eq!(retransmits(""), None);
    }
}
