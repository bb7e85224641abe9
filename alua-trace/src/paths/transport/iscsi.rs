//! Owns what sysfs says of an iSCSI session and its connection (drivers/scsi/scsi_transport_iscsi.c),
//! and how the TCP connection below is recognised. Hardware that offloads TCP has none here.

use std::net::{IpAddr, SocketAddr};

use super::attribute;
use super::network::Network;
use crate::inventory::model::Iscsi;
use crate::sysroot::Sysroot;

/// A session as sysfs knows it.
#[derive(Debug, Default)]
pub(super) struct Session {
    name: String,
    target: Option<String>,
    state: Option<String>,
    portal: Option<SocketAddr>,
    /// The portal as it was configured, where the connection's own is not known or is no address.
    configured: Option<String>,
    local_address: Option<IpAddr>,
    local_port: Option<u16>,
}

impl Session {
    /// Of the session named `session3` of host number `host`. Its leading connection has number 0;
    /// Linux makes no other.
    pub(super) fn read(root: &Sysroot, name: &str, host: u32) -> Self {
        let number = name.trim_start_matches("session");
        let connection = format!("connection{number}:0");
        let of_session = |what: &str| attribute(root, "iscsi_session", name, what);
        let of_connection = |what: &str| attribute(root, "iscsi_connection", &connection, what);
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
        let of_host = || attribute(root, "iscsi_host", &format!("host{host}"), "ipaddress");
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

    /// Where it leads.
    pub(super) fn portal(&self) -> Option<SocketAddr> {
        self.portal
    }

    /// What is known with the network's help. Of several connections that it might be, none is it.
    pub(super) fn with(self, network: &Network) -> Iscsi {
        let portal = self.portal;
        let connection = portal
            .and_then(|portal| network.connection(portal, self.local_address, self.local_port));
        let local = self
            .local_address
            .or_else(|| connection.map(|connection| connection.local.ip()));
        let interface = local.and_then(|local| network.interface(local));
        Iscsi {
            session: Some(self.name),
            target: self.target,
            portal: portal.map(|portal| portal.to_string()).or(self.configured),
            local_address: local.map(|local| local.to_string()),
            interface: interface.map(|interface| interface.name.clone()),
            mtu: interface.and_then(|interface| interface.mtu),
            mss: connection.and_then(|connection| connection.mss),
            rtt_us: connection.and_then(|connection| connection.rtt_us),
            retransmits: connection.and_then(|connection| connection.retransmits),
            state: self.state,
        }
    }
}
