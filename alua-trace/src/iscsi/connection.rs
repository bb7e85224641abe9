//! A session with its TCP connection at one time, as a trace follows it.

use serde::{Deserialize, Serialize};

/// An iSCSI session. `None` is unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// SCSI host, channel and target of its LUNs.
    pub target: (u32, u32, u32),
    /// Where it leads, `192.0.2.1:3260`.
    pub portal: Option<String>,
    /// The interface that has its own address.
    pub interface: Option<String>,
    /// MTU of that interface in bytes.
    pub mtu: Option<u32>,
    /// How long it waits for what.
    pub timers: Timers,
    /// Its TCP connection; `None` while there is none.
    pub tcp: Option<Tcp>,
}

/// Timers of a session, in seconds, by their names in sysfs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// `recv_tmo`: after such a silence a NOP-Out asks whether the target is there; 0 never does.
    pub recv_s: Option<u32>,
    /// `ping_tmo`: the connection is given up when it has no answer by then.
    pub ping_s: Option<u32>,
    /// `recovery_tmo`: without a new connection by then, commands fail and dm learns of it.
    pub recovery_s: Option<u32>,
}

/// What TCP knows of a connection (`struct tcp_info`, include/uapi/linux/tcp.h).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tcp {
    /// This end's port: another one is another connection.
    pub local_port: u16,
    /// Bytes that a segment sent may have, options left out (`tcpi_snd_mss`).
    pub mss: Option<u32>,
    /// Smoothed round-trip time in microseconds (`tcpi_rtt`).
    pub rtt_us: Option<u32>,
    /// Segments sent again since it was made (`tcpi_total_retrans`).
    pub retransmits: Option<u32>,
    /// How often in a row its retransmission timer has expired (`tcpi_backoff`).
    pub backoff: Option<u8>,
    /// Segments that the other end has, beyond one that it misses (`tcpi_sacked`).
    pub sacked: Option<u32>,
    /// Segments that have arrived, bare acknowledgements too (`tcpi_segs_in`).
    pub segments_in: Option<u32>,
    /// Bytes that the other end has acknowledged (`tcpi_bytes_acked`).
    pub acked: Option<u64>,
    /// Bytes received in order (`tcpi_bytes_received`).
    pub received: Option<u64>,
    /// Memory, in bytes, of what has been received beyond a segment that is missing: of the receive buffer
    /// (`SK_MEMINFO_RMEM_ALLOC`), where nothing in order waits in it.
    pub parked: Option<u32>,
}
