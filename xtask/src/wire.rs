//! Networks between two guests.

use std::path::{Path, PathBuf};

/// One end of a network between two guests: what goes in at one socket comes out of the other's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wire {
    /// This end's socket.
    pub(crate) local: PathBuf,
    /// The other end's.
    pub(crate) remote: PathBuf,
    /// Address of the interface that the guest sees.
    pub(crate) mac: String,
}

impl Wire {
    /// Both ends of so many networks, their sockets in `dir`: of names so short that `struct sockaddr_un` takes them.
    pub(crate) fn pairs(dir: &Path, count: u8) -> (Vec<Self>, Vec<Self>) {
        let end = |own: u8, other: u8, nth: u8| Self {
            local: dir.join(format!("{own}-{nth}")),
            remote: dir.join(format!("{other}-{nth}")),
            mac: format!("52:54:00:00:{own:02x}:{nth:02x}"),
        };
        let ends = |own: u8, other: u8| (0..count).map(|nth| end(own, other, nth)).collect();
        (ends(0, 1), ends(1, 0))
    }
}
