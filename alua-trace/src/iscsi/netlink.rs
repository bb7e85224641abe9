//! Owns the little of netlink that this needs: something is asked for, the messages of the answer are taken apart.
//! What the messages mean, the askers know. Counts and lengths in them are checked.

use std::io;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{self, AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// The kernel's dumps come in pieces of at most 32 KiB (net/netlink/af_netlink.c `netlink_dump`).
const BUFFER_BYTES: usize = 32 << 10;
/// The most pieces of one dump that are looked at: 8 MiB.
const MAX_PIECES: usize = 256;
const PATIENCE: Duration = Duration::from_secs(2);

/// `struct nlmsghdr`, and the alignment of what follows.
const HEADER_BYTES: usize = 16;
const ALIGN: usize = 4;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `NLM_F_REQUEST`, and `NLM_F_DUMP` with it.
const REQUEST_ONE: u16 = 1;
const REQUEST_DUMP: u16 = 0x301;

/// Asks the kernel, and hands each message of the answer that is of the type wanted to `each`.
pub(super) fn ask(
    protocol: Option<Protocol>,
    request: &Request<'_>,
    each: &mut dyn FnMut(&[u8]),
) -> io::Result<()> {
    let socket = net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    // A socket that is not connected sends to the kernel.
    net::send(&socket, &request.to_bytes(), SendFlags::empty())?;
    let mut buffer = vec![0; BUFFER_BYTES];
    for _ in 0..MAX_PIECES {
        let n_bytes = match net::recv(&socket, &mut buffer[..], RecvFlags::empty()) {
            Ok((n_bytes, _)) => n_bytes,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        };
        for message in messages(buffer.get(..n_bytes).unwrap_or_default()) {
            match message.kind {
                DONE => return Ok(()),
                ERROR => return Err(error(message.payload)),
                kind if kind == request.answer => {
                    each(message.payload);
                    // Nothing follows a single one.
                    if request.one {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidData,
        "the kernel's list does not end",
    ))
}

/// What to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    /// Type of the request.
    pub(super) kind: u16,
    /// Type of the messages in the answer.
    pub(super) answer: u16,
    /// Whether it names one thing, and is no dump of all there are.
    pub(super) one: bool,
    /// What follows the header.
    pub(super) payload: &'a [u8],
}

impl Request<'_> {
    fn to_bytes(self) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + self.payload.len()).unwrap_or(u32::MAX);
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(self.kind.to_ne_bytes());
        let flags = if self.one { REQUEST_ONE } else { REQUEST_DUMP };
        bytes.extend(flags.to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(self.payload);
        bytes
    }
}

/// `struct nlmsgerr` begins with a negative error number.
fn error(payload: &[u8]) -> io::Error {
    let number = payload
        .first_chunk()
        .map(|bytes| i32::from_ne_bytes(*bytes));
    number.and_then(i32::checked_neg).map_or_else(
        || io::ErrorKind::InvalidData.into(),
        io::Error::from_raw_os_error,
    )
}

/// A message without its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message<'a> {
    kind: u16,
    payload: &'a [u8],
}

/// The messages in a piece; what is cut off is left out.
fn messages(mut piece: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32_at(piece, 0)?).ok()?;
        let kind = u16_at(piece, 4)?;
        let payload = piece.get(HEADER_BYTES..length)?;
        piece = piece
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some(Message { kind, payload })
    })
}

/// The attributes (`struct nlattr`: length, type, value) in a message; what is cut off is left out.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const ATTRIBUTE_HEADER_BYTES: usize = 4;
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)?;
        let value = bytes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        bytes = bytes
            .get(length.next_multiple_of(ALIGN)..)
            .unwrap_or_default();
        Some((kind, value))
    })
}

/// The number in the machine's own byte order in the four bytes from `at` on.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Request {
            kind,
            answer: 0,
            one: false,
            payload,
        }
        .to_bytes();
        bytes.resize(bytes.len().next_multiple_of(ALIGN), 0);
        bytes
    }

    #[test]
    fn messages_and_attributes_are_taken_apart() {
        let piece = [message(20, b"abcde"), message(DONE, b"")].concat();
        let found: Vec<_> = messages(&piece).collect();
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].kind, found[0].payload), (20, &b"abcde"[..]));
        let mut bytes = 5_u16.to_ne_bytes().to_vec();
        bytes.extend(2_u16.to_ne_bytes());
        bytes.extend([7, 0, 0, 0]);
        let list: Vec<_> = attributes(&bytes).collect();
        assert_eq!(list, [(2, &[7][..])]);
    }

    #[test]
    fn cut_and_lying_lengths_end_the_list() {
        let piece = message(20, b"abcdefgh");
        for end in 0..piece.len() {
            assert_eq!(messages(&piece[..end]).count(), 0, "{end}");
        }
        for length in [0_u32, 3, 15, 4000, u32::MAX] {
            let mut piece = piece.clone();
            piece[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&piece).count(), 0, "{length}");
        }
        for length in [0_u8, 3, 9, 255] {
            assert_eq!(attributes(&[length, 0, 1, 0, 0, 0, 0, 0]).count(), 0);
        }
    }

    #[test]
    fn errors_have_the_kernels_number() {
        let eperm = error(&(-1_i32).to_ne_bytes());
        assert_eq!(eperm.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(error(&[1]).kind(), io::ErrorKind::InvalidData);
        assert!(
            error(&i32::MIN.to_ne_bytes())
                .to_string()
                .contains("invalid")
        );
    }
}
