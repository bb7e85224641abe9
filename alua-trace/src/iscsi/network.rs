//! Owns what the kernel's network stack says: TCP connections (NETLINK_SOCK_DIAG, as `ss` asks),
//! and which interface has which address (NETLINK_ROUTE). Asked only where there are iSCSI sessions.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use rustix::net::{Protocol, netlink};

use super::Tcp;
use super::netlink::{Request, ask, attributes, u32_at};
use crate::sysroot::{self, Directory, Sysroot};

/// Protocol number 0.
const NETLINK_ROUTE: Option<Protocol> = None;
/// `AF_INET` and `AF_INET6`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;

/// The network as far as iSCSI is concerned.
#[derive(Debug, Default)]
pub struct Network {
    /// Established connections to portals.
    pub connections: Vec<Socket>,
    /// Addresses by the index of their interface.
    pub addresses: Vec<(u32, IpAddr)>,
    /// Every interface.
    pub interfaces: Vec<Interface>,
}

/// An established TCP connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// The other one.
    pub remote: SocketAddr,
    /// Index of the interface that it is bound to (SO_BINDTODEVICE); 0 for none.
    pub bound_to: u32,
    /// What TCP knows of it.
    pub tcp: Tcp,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// The kernel's number of it.
    pub index: u32,
    /// `eth0`.
    pub name: String,
    /// Its MTU in bytes.
    pub mtu: Option<u32>,
}

impl Network {
    /// Asks for connections to these portals, and for interfaces. What cannot be asked stays empty.
    pub fn ask(root: &Sysroot, portals: impl Iterator<Item = SocketAddr>) -> Self {
        let mut portals = portals.peekable();
        if portals.peek().is_none() {
            return Self::default();
        }
        let connections = connections(portals);
        let mut addresses = Vec::new();
        let _ = ask(
            NETLINK_ROUTE,
            &Request {
                kind: RTM_GETADDR,
                answer: RTM_NEWADDR,
                one: false,
                payload: &[0; ADDRESS_BYTES],
            },
            &mut |message| addresses.extend(address(message)),
        );
        Self {
            connections,
            addresses,
            interfaces: interfaces(root),
        }
    }

    /// The connection to a portal, from what is known of this end; `None` if it may be several.
    #[must_use]
    pub fn connection(
        &self,
        portal: SocketAddr,
        local_address: Option<IpAddr>,
        local_port: Option<u16>,
    ) -> Option<&Socket> {
        let mut candidates = self.connections.iter().filter(|connection| {
            connection.remote == portal
                && local_address.is_none_or(|address| address == connection.local.ip())
                && local_port.is_none_or(|port| port == connection.local.port())
        });
        let first = candidates.next()?;
        candidates.next().is_none().then_some(first)
    }

    /// The interface that has an address; `None` if several have.
    #[must_use]
    pub fn interface(&self, address: IpAddr) -> Option<&Interface> {
        let mut having = self.addresses.iter().filter(|(_, other)| *other == address);
        let (index, _) = having.next()?;
        if having.any(|(other, _)| other != index) {
            return None;
        }
        self.interfaces
            .iter()
            .find(|interface| interface.index == *index)
    }
}

/// include/uapi/linux/sock_diag.h, rtnetlink.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const REQUEST_BYTES: usize = 56;

/// Established connections to the ports of these portals.
pub(super) fn connections(portals: impl Iterator<Item = SocketAddr>) -> Vec<Socket> {
    let ports: HashSet<(u8, u16)> = portals
        .map(|portal| (if portal.is_ipv4() { IPV4 } else { IPV6 }, portal.port()))
        .collect();
    let mut found = Vec::new();
    for (family, port) in ports {
        let mut payload = connections_request(family);
        payload[REMOTE_PORT].copy_from_slice(&port.to_be_bytes());
        found.extend(asked(&payload, false));
    }
    found
}

/// A connection as it is now, while it is established. The kernel looks it up, where a dump goes through all of the
/// host's.
pub(super) fn again(it: &Socket) -> Option<Socket> {
    let family = if it.remote.is_ipv4() { IPV4 } else { IPV6 };
    let mut payload = connections_request(family);
    payload[LOCAL_PORT].copy_from_slice(&it.local.port().to_be_bytes());
    payload[REMOTE_PORT].copy_from_slice(&it.remote.port().to_be_bytes());
    for (at, address) in [(12, it.local.ip()), (28, it.remote.ip())] {
        match address {
            IpAddr::V4(it) => payload[at..at + 4].copy_from_slice(&it.octets()),
            IpAddr::V6(it) => payload[at..at + 16].copy_from_slice(&it.octets()),
        }
    }
    payload[44..48].copy_from_slice(&it.bound_to.to_ne_bytes());
    // Which of several at the same addresses does not matter: `INET_DIAG_NOCOOKIE`.
    payload[48..].fill(0xff);
    asked(&payload, true).pop()
}

fn asked(payload: &[u8], one: bool) -> Vec<Socket> {
    let mut found = Vec::new();
    // A kernel without these parts has no answer: it stays unknown.
    let _ = ask(
        Some(netlink::SOCK_DIAG),
        &Request {
            kind: SOCK_DIAG_BY_FAMILY,
            answer: SOCK_DIAG_BY_FAMILY,
            one,
            payload,
        },
        &mut |message| found.extend(connection(message)),
    );
    found
}

/// Where the ports are in a request, in network byte order.
const LOCAL_PORT: std::ops::Range<usize> = 8..10;
const REMOTE_PORT: std::ops::Range<usize> = 10..12;
/// `TCP_ESTABLISHED`.
const ESTABLISHED: u8 = 1;

/// `struct inet_diag_req_v2`: established TCP connections, with their `tcp_info` and memory.
fn connections_request(family: u8) -> [u8; REQUEST_BYTES] {
    const TCP: u8 = 6;
    /// `1 << (INET_DIAG_INFO - 1) | 1 << (INET_DIAG_SKMEMINFO - 1)`.
    const WITH_INFO: u8 = 1 << 1 | 1 << 6;
    let mut request = [0; REQUEST_BYTES];
    request[..3].copy_from_slice(&[family, TCP, WITH_INFO]);
    request[4..8].copy_from_slice(&(1_u32 << ESTABLISHED).to_ne_bytes());
    request
}

/// A connection of a `struct inet_diag_msg`; addresses and ports are in network byte order.
fn connection(message: &[u8]) -> Option<Socket> {
    const MESSAGE_BYTES: usize = 72;
    /// `idiag_rqueue`: bytes in order that nobody has taken.
    const WAITING_AT: usize = 56;
    const INFO: u16 = 2;
    const MEMORY: u16 = 7;
    let family = *message.first()?;
    // A connection that was asked for by its addresses may be on its way out.
    if *message.get(1)? != ESTABLISHED {
        return None;
    }
    let port = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let local = SocketAddr::new(ip(family, message.get(8..24)?)?, port(4)?);
    let remote = SocketAddr::new(ip(family, message.get(24..40)?)?, port(6)?);
    let list = message.get(MESSAGE_BYTES..)?;
    let attribute =
        |wanted: u16| attributes(list).find_map(|(kind, it)| (kind == wanted).then_some(it));
    // Offsets in `struct tcp_info` (include/uapi/linux/tcp.h), which only grows at its end.
    let info = attribute(INFO);
    let field = |at: usize| info.and_then(|info| u32_at(info, at));
    let long = |at: usize| {
        let bytes = info?.get(at..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*bytes))
    };
    // `SK_MEMINFO_RMEM_ALLOC` (include/uapi/linux/sock_diag.h).
    let memory = attribute(MEMORY).and_then(|memory| u32_at(memory, 0));
    let is_empty = u32_at(message, WAITING_AT)? == 0;
    Some(Socket {
        local,
        remote,
        bound_to: u32_at(message, 40)?,
        tcp: Tcp {
            local_port: local.port(),
            mss: field(16),
            rtt_us: field(68),
            retransmits: field(100),
            backoff: info.and_then(|info| info.get(4).copied()),
            sacked: field(28),
            segments_in: field(140),
            acked: long(120),
            received: long(128),
            parked: memory.map(|bytes| if is_empty { bytes } else { 0 }),
        },
    })
}

/// Bytes of a `struct ifaddrmsg`.
const ADDRESS_BYTES: usize = 8;

/// An address of an interface: `struct ifaddrmsg` and its attributes. On a point-to-point link
/// IFA_ADDRESS is the other end's; IFA_LOCAL is this one's, and only IPv4 always has it.
fn address(message: &[u8]) -> Option<(u32, IpAddr)> {
    const IFA_ADDRESS: u16 = 1;
    const IFA_LOCAL: u16 = 2;
    let family = *message.first()?;
    let index = u32_at(message, 4)?;
    let list = message.get(ADDRESS_BYTES..)?;
    let of_kind = |wanted: u16| {
        let value = attributes(list).find_map(|(kind, value)| (kind == wanted).then_some(value))?;
        ip(family, value)
    };
    Some((index, of_kind(IFA_LOCAL).or_else(|| of_kind(IFA_ADDRESS))?))
}

/// An address in the first bytes; IPv4 in IPv6 is IPv4.
fn ip(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    match family {
        IPV4 => Some(IpAddr::from(*bytes.first_chunk::<4>()?)),
        IPV6 => Some(IpAddr::from(*bytes.first_chunk::<16>()?).to_canonical()),
        _ => None,
    }
}

fn interfaces(root: &Sysroot) -> Vec<Interface> {
    let names = sysroot::entries(&root.net_dir()).unwrap_or_default();
    let known = names.into_iter().filter_map(|name| {
        let dir = Directory::open(&root.net_dir().join(&name)).ok()?;
        Some(Interface {
            index: dir.number("ifindex")?,
            mtu: dir.number("mtu"),
            name,
        })
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    fn diag(family: u8, sport: u16, dport: u16, src: &[u8], dst: &[u8], info: &[u8]) -> Vec<u8> {
        let mut message = vec![family, 1, 0, 0];
        message.extend(sport.to_be_bytes());
        message.extend(dport.to_be_bytes());
        message.extend(src);
        message.resize(24, 0);
        message.extend(dst);
        message.resize(72, 0);
        message.extend(u16::try_from(info.len() + 4).unwrap().to_ne_bytes());
        message.extend(2_u16.to_ne_bytes());
        message.extend(info);
        message
    }

    fn info(mss: u32, rtt: u32, retransmits: u32) -> Vec<u8> {
        let mut info = vec![0; 136];
        info[4] = 2;
        for (at, value) in [(16, mss), (28, 3), (68, rtt), (100, retransmits)] {
            info[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        for (at, value) in [(120, 1_u64 << 33), (128, 5)] {
            info[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        info
    }

    #[test]
    fn a_connection_has_the_numbers_of_its_tcp_info() {
        let message = diag(
            IPV4,
            40_000,
            3260,
            &[10, 0, 0, 1],
            &[10, 0, 0, 2],
            &info(8948, 211, 7),
        );
        let found = connection(&message).unwrap();
        assert_eq!(found.local.to_string(), "10.0.0.1:40000");
        assert_eq!(found.remote.to_string(), "10.0.0.2:3260");
        let tcp = found.tcp;
        assert_eq!((tcp.local_port, tcp.mss), (40_000, Some(8948)));
        assert_eq!((tcp.rtt_us, tcp.retransmits), (Some(211), Some(7)));
        assert_eq!((tcp.sacked, tcp.backoff), (Some(3), Some(2)));
        assert_eq!((tcp.acked, tcp.received), (Some(1 << 33), Some(5)));
        for end in 0..message.len() {
            let cut = connection(&message[..end]);
            assert!(cut.is_none_or(|cut| cut.tcp.mss.is_none()), "{end}");
        }
        let old = diag(IPV4, 1, 2, &[1; 4], &[2; 4], &info(1448, 9, 1)[..72]);
        let old = connection(&old).unwrap().tcp;
        assert_eq!((old.rtt_us, old.retransmits), (Some(9), None));
        assert_eq!((old.acked, old.parked), (None, None));
        assert_eq!(connection(&diag(1, 1, 2, &[1; 4], &[2; 4], &[])), None);
    }

    #[test]
    fn what_waits_behind_a_hole_is_parked() {
        let mut message = diag(IPV4, 1, 2, &[1; 4], &[2; 4], &info(1448, 9, 1));
        message.extend(8_u16.to_ne_bytes());
        message.extend(7_u16.to_ne_bytes());
        message.extend(2304_u32.to_ne_bytes());
        assert_eq!(connection(&message).unwrap().tcp.parked, Some(2304));
        // Bytes in order that nobody has taken yet.
        message[56] = 1;
        assert_eq!(connection(&message).unwrap().tcp.parked, Some(0));
    }

    #[test]
    fn of_several_connections_none_is_it() {
        let to = |sport| {
            let message = diag(
                IPV4,
                sport,
                3260,
                &[10, 0, 0, 1],
                &[10, 0, 0, 2],
                &info(1, 2, 3),
            );
            connection(&message).unwrap()
        };
        let network = Network {
            connections: vec![to(40_000), to(40_001)],
            ..Network::default()
        };
        let portal = "10.0.0.2:3260".parse().unwrap();
        let local: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(network.connection(portal, Some(local), None), None);
        let found = network
            .connection(portal, Some(local), Some(40_001))
            .unwrap();
        assert_eq!(found.local.port(), 40_001);
        let other: IpAddr = "10.0.0.3".parse().unwrap();
        assert_eq!(network.connection(portal, Some(other), Some(40_001)), None);
    }

    #[test]
    fn an_address_belongs_to_the_interface_that_has_it() {
        let mut message = vec![IPV4, 24, 0, 0, 3, 0, 0, 0];
        message[4..8].copy_from_slice(&3_u32.to_ne_bytes());
        for (kind, last) in [(1_u16, 9), (2, 1)] {
            message.extend(8_u16.to_ne_bytes());
            message.extend(kind.to_ne_bytes());
            message.extend([10, 0, 0, last]);
        }
        let local: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(address(&message), Some((3, local)));
        assert_eq!(address(&message[..10]), None);
        let dir = tempfile::tempdir().unwrap();
        let eth0 = dir.path().join("sys/class/net/eth0");
        std::fs::create_dir_all(&eth0).unwrap();
        std::fs::write(eth0.join("ifindex"), "3\n").unwrap();
        std::fs::write(eth0.join("mtu"), "9000\n").unwrap();
        let mut network = Network {
            addresses: vec![(3, local)],
            interfaces: interfaces(&Sysroot::at(dir.path())),
            ..Network::default()
        };
        let found = network.interface(local).unwrap();
        assert_eq!((&*found.name, found.mtu), ("eth0", Some(9000)));
        network.addresses.push((4, local));
        assert_eq!(network.interface(local), None);
    }

    /// The running kernel's own answer about a connection of this test.
    #[test]
    fn the_kernel_knows_a_connection_and_its_interface() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = listener.local_addr().unwrap();
        let stream = TcpStream::connect(portal).unwrap();
        let local = stream.local_addr().unwrap();
        let network = Network::ask(&Sysroot::default(), [portal].into_iter());
        let found = network.connection(portal, Some(local.ip()), Some(local.port()));
        let found = found.expect("a kernel with CONFIG_INET_TCP_DIAG");
        let tcp = found.tcp;
        assert!(tcp.mss.is_some_and(|mss| mss > 500), "{found:?}");
        assert_eq!((tcp.retransmits, tcp.parked), (Some(0), Some(0)));
        let found = found.clone();
        let later = again(&found).unwrap();
        assert_eq!((later.local, later.remote), (local, portal));
        drop(stream);
        assert_eq!(again(&found), None);
        assert_eq!(network.interface(local.ip()).unwrap().name, "lo");
    }
}
