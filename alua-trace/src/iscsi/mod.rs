//! iSCSI sessions of this host: what sysfs says of each (drivers/scsi/scsi_transport_iscsi.c), and what TCP knows of the
//! connection below it. Nothing is sent over the network, and no privilege is needed. Hardware that offloads TCP
//! has no connection here.

mod connection;
mod netlink;
mod network;
mod session;
mod watch;

pub use connection::{Connection, Tcp, Timers};
pub use network::{Interface, Network, Socket};
pub use session::Session;
pub use watch::Watch;

use crate::sysroot::Directory;

/// The number in an attribute.
fn number<T: std::str::FromStr>(dir: &Directory, attribute: &str) -> Option<T> {
    dir.text(attribute).ok()?.parse().ok()
}

/// The text of an attribute; `None` when it is empty or says that the kernel does not know.
fn text(dir: &Directory, attribute: &str) -> Option<String> {
    let text = dir.text(attribute).ok()?;
    let unknown = text.is_empty() || text == "(null)" || text == "<NULL>";
    (!unknown).then_some(text)
}
