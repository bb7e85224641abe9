//! Owns the kernel's announcements that devices or modules came, changed or went. They only say
//! that it is time to [`super::scan()`] again.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use rustix::io::Errno;
use rustix::net;
use rustix::net::AddressFamily;
use rustix::net::RecvFlags;
use rustix::net::SocketAddrAny;
use rustix::net::SocketFlags;
use rustix::net::SocketType;
use rustix::net::netlink;
use rustix::net::netlink::SocketAddrNetlink;

/// The multicast group of the kernel (lib/kobject_uevent.c); udev's own is 2.
const KERNEL_GROUP: u32 = 1;

/// The kernel's `UEVENT_BUFFER_SIZE` is 2 KiB, plus the header line.
const MAX_MESSAGE: usize = 8 * 1024;

/// Messages of one [`Uevents::drain`]: in a storm the caller gets its turn, too.
const MAX_MESSAGES: usize = 4096;

/// A non-blocking socket that hears the kernel's uevents. Readable when there are some.
#[derive(Debug)]
pub struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Opens the socket; needs no privilege.
    pub fn open() -> io::Result<Self> {
        let socket = net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::KOBJECT_UEVENT),
        )?;
        net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL_GROUP))?;
        Ok(Self { socket })
    }

    /// Takes what has arrived; whether something about SCSI, block devices (device-mapper's are
    /// among them) or modules changed. When messages were lost, something may have: true. Any
    /// other error of the socket counts as that, too.
    pub fn drain(&mut self) -> bool {
        let mut changed = false;
        let mut buffer = [0_u8; MAX_MESSAGE];
        for _ in 0..MAX_MESSAGES {
            match net::recvfrom(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, n_bytes, sender)) => {
                    let message = buffer.get(..n_bytes).unwrap_or(&buffer);
                    changed |= is_kernel(sender) && concerns_storage(message);
                }
                Err(Errno::AGAIN) => return changed,
                Err(Errno::INTR) => {}
                Err(Errno::NOBUFS) => changed = true,
                Err(_) => return true,
            }
        }
        changed
    }
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Uevents {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Processes have a port number, the kernel has 0.
fn is_kernel(sender: Option<SocketAddrAny>) -> bool {
    sender
        .and_then(|sender| SocketAddrNetlink::try_from(sender).ok())
        .is_some_and(|sender| sender.pid() == 0)
}

/// Whether a message (`action@devpath`, then `KEY=value`, each ended by a zero byte) is of a
/// subsystem that the topology or the probes depend on.
fn concerns_storage(message: &[u8]) -> bool {
    message
        .split(|&byte| byte == 0)
        .skip(1)
        .find_map(|word| word.strip_prefix(b"SUBSYSTEM="))
        .is_some_and(|subsystem| {
            subsystem == b"block" || subsystem == b"module" || subsystem.starts_with(b"scsi")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subsystem: &str) -> Vec<u8> {
        let path = "/devices/virtual/block/dm-0";
        format!("change@{path}\0ACTION=change\0DEVPATH={path}\0SUBSYSTEM={subsystem}\0SEQNUM=1\0")
            .into_bytes()
    }

    #[test]
    fn only_storage_and_modules_matter() {
        for subsystem in ["block", "scsi", "scsi_device", "scsi_disk", "module"] {
            assert!(concerns_storage(&message(subsystem)), "{subsystem}");
        }
        for subsystem in ["net", "usb", "blocks", ""] {
            assert!(!concerns_storage(&message(subsystem)), "{subsystem}");
        }
    }

    #[test]
    fn malformed_messages_are_nothing() {
        for bytes in [
            &b""[..],
            b"\0",
            b"SUBSYSTEM=block",
            b"add@/x\0SUBSYSTEM",
            &[0xff; 100],
        ] {
            assert!(!concerns_storage(bytes));
        }
        let whole = message("block");
        for end in 0..whole.len() {
            let _ = concerns_storage(&whole[..end]);
        }
    }

    #[test]
    fn a_new_socket_has_heard_nothing_or_something_and_does_not_block() {
        if let Ok(mut uevents) = Uevents::open() {
            let _ = uevents.drain();
            assert!(uevents.as_raw_fd() >= 0);
        }
    }
}
