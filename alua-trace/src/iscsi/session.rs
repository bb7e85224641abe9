//! Owns what sysfs says of an iSCSI session and its connection, and how the TCP connection below is recognised.

use std::net::{IpAddr, SocketAddr};

use super::Timers;
use super::network::{self, Network};
use crate::sysroot::{Directory, Sysroot};

/// A session as sysfs knows it.
#[derive(Debug, Default, Clone)]
pub struct Session {
    /// `session3`.
    pub name: String,
    /// Name of the target.
    pub target: Option<String>,
    /// `LOGGED_IN`, `FAILED`, `FREE`.
    pub state: Option<String>,
    /// Where it leads.
    pub portal: Option<SocketAddr>,
    /// The portal as it was configured, where the connection's own is not known or is no address.
    pub configured: Option<String>,
    local_address: Option<IpAddr>,
    local_port: Option<u16>,
}

impl Session {
    /// Of the session named `session3` of host number `host`. Its leading connection has number 0;
    /// Linux makes no other.
    #[must_use]
    pub fn read(root: &Sysroot, name: &str, host: u32) -> Self {
        let number = name.trim_start_matches("session");
        let connection = format!("connection{number}:0");
        let attribute = |class: &str, name: &str, what: &str| {
            Directory::open(&root.class_dir(class, name))
                .ok()?
                .known(what)
        };
        let of_session = |what: &str| attribute("iscsi_session", name, what);
        let of_connection = |what: &str| attribute("iscsi_connection", &connection, what);
        let portal = || {
            let address: IpAddr = of_connection("address")?.parse().ok()?;
            Some(SocketAddr::new(
                address,
                of_connection("port")?.parse().ok()?,
            ))
        };
        let configured = || {
            let address = of_connection("persistent_address")?;
            Some(format!("{address}:{}", of_connection("persistent_port")?))
        };
        let usable = |text: String| {
            text.parse()
                .ok()
                .filter(|address: &IpAddr| !address.is_unspecified())
        };
        let of_host = || attribute("iscsi_host", &format!("host{host}"), "ipaddress");
        Self {
            name: name.to_owned(),
            target: of_session("targetname"),
            state: of_session("state"),
            portal: portal(),
            configured: configured(),
            local_address: of_connection("local_ipaddr")
                .and_then(usable)
                .or_else(|| of_host().and_then(usable)),
            local_port: of_connection("local_port").and_then(|port| port.parse().ok()),
        }
    }

    /// Its connection. Of several that it might be, none is it.
    #[must_use]
    pub fn connection<'a>(&self, network: &'a Network) -> Option<&'a network::Socket> {
        network.connection(self.portal?, self.local_address, self.local_port)
    }

    /// This end's address.
    #[must_use]
    pub fn local(&self, network: &Network) -> Option<IpAddr> {
        let of_connection = || self.connection(network).map(|it| it.local.ip());
        self.local_address.or_else(of_connection)
    }

    /// Its timers.
    pub(super) fn timers(&self, root: &Sysroot) -> Timers {
        let number_of = |class: &str, name: &str, what: &str| {
            Directory::open(&root.class_dir(class, name))
                .ok()?
                .number(what)
        };
        let connection = self.name.replace("session", "connection") + ":0";
        Timers {
            recv_s: number_of("iscsi_connection", &connection, "recv_tmo"),
            ping_s: number_of("iscsi_connection", &connection, "ping_tmo"),
            recovery_s: number_of("iscsi_session", &self.name, "recovery_tmo"),
        }
    }
}
