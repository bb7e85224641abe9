//! Sessions followed over time. What changes is asked of TCP, by the connection's two ends; sysfs is read again
//! where a session's connection is another one.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use super::network::{self, Network};
use super::{Connection, Session, Socket, Tcp, Timers};
use crate::sysroot::{self, Sysroot};

/// What is known of a session while its connection is the same.
#[derive(Debug, Clone)]
struct Known {
    /// Host, channel and target of its LUNs.
    target: (u32, u32, u32),
    portal: Option<SocketAddr>,
    timers: Timers,
    socket: Option<Socket>,
    interface: Option<String>,
    mtu: Option<u32>,
}

/// Sessions, and what was last known of each.
#[derive(Debug)]
pub struct Watch {
    root: Sysroot,
    known: BTreeMap<String, Known>,
}

impl Watch {
    /// Of a host.
    #[must_use]
    pub fn new(root: Sysroot) -> Self {
        Self {
            root,
            known: BTreeMap::new(),
        }
    }

    /// How every session with a LUN is now.
    pub fn look(&mut self) -> Vec<Connection> {
        let names = match sysroot::entries(&self.root.class_dir("iscsi_session", "")) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            // One that is not told of would be one that has ended.
            Err(_) => self.known.keys().cloned().collect(),
        };
        self.known.retain(|name, _| names.contains(name));
        let mut tcp: BTreeMap<String, Tcp> = BTreeMap::new();
        for (name, known) in &self.known {
            tcp.extend(known.asked().map(|it| (name.clone(), it)));
        }
        let others: Vec<Session> = names
            .iter()
            .filter(|name| !tcp.contains_key(*name))
            .map(|name| self.session(name))
            .collect();
        let network = Network::ask(&self.root, others.iter().filter_map(|it| it.portal));
        for session in others {
            let found = session.connection(&network).map(|it| it.tcp);
            tcp.extend(found.map(|it| (session.name.clone(), it)));
            self.learn(&session, &network);
        }
        let known = self.known.iter();
        known
            .map(|(name, known)| known.with(tcp.get(name).copied()))
            .collect()
    }

    fn session(&self, name: &str) -> Session {
        let host = target(&self.root, name).map_or(0, |(host, ..)| host);
        Session::read(&self.root, name, host)
    }

    fn learn(&mut self, session: &Session, network: &Network) {
        // Before a LUN is found there is no path to follow.
        let Some(target) = target(&self.root, &session.name) else {
            return;
        };
        let local = session.local(network);
        let interface = local.and_then(|local| network.interface(local));
        let known = Known {
            target,
            portal: session.portal,
            timers: session.timers(&self.root),
            socket: session.connection(network).cloned(),
            interface: interface.map(|it| it.name.clone()),
            mtu: interface.and_then(|it| it.mtu),
        };
        self.known.insert(session.name.clone(), known);
    }
}

impl Known {
    /// What TCP knows of the connection, if it is still there.
    fn asked(&self) -> Option<Tcp> {
        network::again(self.socket.as_ref()?).map(|it| it.tcp)
    }

    fn with(&self, tcp: Option<Tcp>) -> Connection {
        Connection {
            target: self.target,
            portal: self.portal.map(|portal| portal.to_string()),
            interface: self.interface.clone(),
            mtu: self.mtu,
            timers: self.timers,
            tcp,
        }
    }
}

/// The target's directory below a session's device: `target3:0:0`.
fn target(root: &Sysroot, session: &str) -> Option<(u32, u32, u32)> {
    let device = root.class_dir("iscsi_session", session).join("device");
    let names = sysroot::entries(&device).ok()?;
    names.iter().find_map(|name| {
        let mut numbers = name.strip_prefix("target")?.split(':');
        let mut number = || numbers.next()?.parse().ok();
        Some((number()?, number()?, number()?))
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_session_is_followed_from_one_connection_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join("sys/class").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = listener.local_addr().unwrap();
        let connection = "iscsi_connection/connection4:0";
        write(&format!("{connection}/address"), "127.0.0.1");
        write(&format!("{connection}/port"), &portal.port().to_string());
        write(&format!("{connection}/recv_tmo"), "5");
        write(&format!("{connection}/ping_tmo"), "6");
        write("iscsi_session/session4/recovery_tmo", "120");
        let mut watch = Watch::new(Sysroot::at(dir.path()));
        // A session without a LUN leads nowhere.
        assert!(watch.look().is_empty());
        write("iscsi_session/session4/device/target7:0:2/x", "");
        let found = watch.look();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].target, (7, 0, 2));
        assert_eq!(found[0].portal, Some(portal.to_string()));
        let timers = found[0].timers;
        assert_eq!((timers.recv_s, timers.ping_s), (Some(5), Some(6)));
        assert_eq!((timers.recovery_s, found[0].tcp), (Some(120), None));
        for _ in 0..2 {
            let stream = TcpStream::connect(portal).unwrap();
            let (mut accepted, _) = listener.accept().unwrap();
            let tcp = watch.look()[0].tcp;
            let tcp = tcp.expect("a kernel with CONFIG_INET_TCP_DIAG");
            assert_eq!(tcp.local_port, stream.local_addr().unwrap().port());
            std::io::Write::write_all(&mut accepted, b"hello").unwrap();
            assert!(watch.known.values().all(|it| it.asked().is_some()));
            let later = watch.look()[0].tcp.unwrap();
            assert_eq!(
                (later.received, later.parked),
                (tcp.received.map(|it| it + 5), Some(0))
            );
            drop((stream, accepted));
        }
        std::fs::remove_dir_all(dir.path().join("sys/class/iscsi_session")).unwrap();
        assert!(watch.look().is_empty());
    }
}
