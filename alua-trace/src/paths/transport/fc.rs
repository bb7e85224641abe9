//! Owns what sysfs says of a path over Fibre Channel (drivers/scsi/scsi_transport_fc.c).

use super::attribute;
use crate::inventory::model::Transport;
use crate::sysroot::Sysroot;

/// Of the remote port named `rport-3:0-1`, seen by host number `host`.
pub(super) fn read(root: &Sysroot, rport: &str, host: u32) -> Transport {
    let host = format!("host{host}");
    Transport::Fc {
        local_port: attribute(root, "fc_host", &host, "port_name"),
        remote_port: attribute(root, "fc_remote_ports", rport, "port_name"),
        speed: attribute(root, "fc_host", &host, "speed"),
        state: attribute(root, "fc_remote_ports", rport, "port_state"),
    }
}
