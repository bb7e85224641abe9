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
