//! Owns how a path reaches the array: which transport, from the names in the kernel's tree of
//! devices on the way to it, and what the transport's classes in sysfs say. LUNs of one target
//! share it, and are read once.

mod fc;
mod sas;

use std::collections::HashMap;
use std::path::{Component, Path};

use crate::inventory::model::{Iscsi, Transport};
use crate::iscsi::{Network, Session};
use crate::sysroot::{Directory, Sysroot};
use crate::topology::Hctl;

/// A target on this host: what the devices of its LUNs have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Target {
    host: u32,
    channel: u32,
    target: u32,
}

impl From<Hctl> for Target {
    fn from(hctl: Hctl) -> Self {
        Self {
            host: hctl.host,
            channel: hctl.channel,
            target: hctl.target,
        }
    }
}

/// Whose object lies between host and target, by its name.
#[derive(Debug, PartialEq, Eq)]
enum Kind<'a> {
    /// `session3` (drivers/scsi/scsi_transport_iscsi.c).
    Iscsi(&'a str),
    /// `rport-3:0-1` (scsi_transport_fc.c).
    Fc(&'a str),
    /// `end_device-3:0` (scsi_transport_sas.c).
    Sas(&'a str),
    Other,
}

/// How each device reaches its array; those of which nothing is known are left out.
pub(super) fn read(
    root: &Sysroot,
    devices: impl Iterator<Item = Hctl>,
) -> HashMap<Hctl, Transport> {
    let mut targets: HashMap<Target, Option<Transport>> = HashMap::new();
    let mut of_device = Vec::new();
    let mut sessions: Vec<(Target, Session)> = Vec::new();
    for hctl in devices {
        let target = Target::from(hctl);
        of_device.push((hctl, target));
        if targets.contains_key(&target) {
            continue;
        }
        let place = root
            .scsi_device_place(&hctl.to_string())
            .unwrap_or_default();
        let transport = match kind(&place) {
            Kind::Iscsi(name) => {
                sessions.push((target, Session::read(root, name, hctl.host)));
                None
            }
            Kind::Fc(name) => Some(fc::read(root, name, hctl.host)),
            Kind::Sas(name) => Some(sas::read(root, name, hctl.host)),
            Kind::Other => driver(root, hctl.host),
        };
        targets.insert(target, transport);
    }
    let network = Network::ask(
        root,
        sessions.iter().filter_map(|(_, session)| session.portal),
    );
    for (target, session) in sessions {
        targets.insert(target, Some(Transport::Iscsi(iscsi(session, &network))));
    }
    let known = of_device
        .into_iter()
        .filter_map(|(hctl, target)| Some((hctl, targets.get(&target)?.clone()?)));
    known.collect()
}

/// What is known of a session with the network's help.
fn iscsi(session: Session, network: &Network) -> Iscsi {
    let tcp = session.connection(network).map(|connection| connection.tcp);
    let local = session.local(network);
    let interface = local.and_then(|local| network.interface(local));
    let portal = session.portal.map(|portal| portal.to_string());
    Iscsi {
        session: Some(session.name),
        target: session.target,
        portal: portal.or(session.configured),
        local_address: local.map(|local| local.to_string()),
        interface: interface.map(|interface| interface.name.clone()),
        mtu: interface.and_then(|interface| interface.mtu),
        mss: tcp.and_then(|tcp| tcp.mss),
        rtt_us: tcp.and_then(|tcp| tcp.rtt_us),
        retransmits: tcp.and_then(|tcp| tcp.retransmits),
        state: session.state,
    }
}

fn kind(place: &Path) -> Kind<'_> {
    for component in place.components() {
        let Component::Normal(name) = component else {
            continue;
        };
        let Some(name) = name.to_str() else { continue };
        let numbered = name.strip_prefix("session");
        if numbered.is_some_and(|number| number.parse::<u32>().is_ok()) {
            return Kind::Iscsi(name);
        } else if name.starts_with("rport-") {
            return Kind::Fc(name);
        } else if name.starts_with("end_device-") {
            return Kind::Sas(name);
        }
    }
    Kind::Other
}

fn driver(root: &Sysroot, host: u32) -> Option<Transport> {
    let dir = Directory::open(&root.class_dir("scsi_host", &format!("host{host}"))).ok()?;
    let driver = dir.known("proc_name")?;
    Some(Transport::Other { driver })
}

/// An attribute of an object of a class.
fn attribute(root: &Sysroot, class: &str, name: &str, attribute: &str) -> Option<String> {
    Directory::open(&root.class_dir(class, name))
        .ok()?
        .known(attribute)
}

#[cfg(test)]
mod tests;
