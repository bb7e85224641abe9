//! Owns what sysfs says of a path over serial attached SCSI (drivers/scsi/scsi_transport_sas.c).

use super::attribute;
use crate::inventory::model::Transport;
use crate::sysroot::Sysroot;

/// Of the device named `end_device-3:0`, seen by host number `host`. The host's address is an
/// attribute of some drivers; elsewhere it is its first phy's.
pub(super) fn read(root: &Sysroot, device: &str, host: u32) -> Transport {
    let of_host = attribute(
        root,
        "scsi_host",
        &format!("host{host}"),
        "host_sas_address",
    );
    let of_phy = || attribute(root, "sas_phy", &format!("phy-{host}:0"), "sas_address");
    Transport::Sas {
        local_address: of_host.or_else(of_phy),
        remote_address: attribute(root, "sas_device", device, "sas_address"),
    }
}
