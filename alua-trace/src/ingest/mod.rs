//! From bytes to records: safe decoding of the wire. Knows layouts, not meanings.

use alua_trace_ebpf::{CommandRecord, Followed, RtpgRecord, record_kind};
use bytes::Buf;
use thiserror::Error;

pub mod ring;

/// A record from the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record {
    /// A command ended.
    Command(CommandRecord),
    /// The kernel has an answer to REPORT TARGET PORT GROUPS.
    Rtpg(RtpgRecord),
}

/// Bytes that are no record. Counted, never fatal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("record of kind {kind} with {length} bytes")]
pub struct Undecodable {
    /// First byte, 0 when there is none.
    pub kind: u8,
    /// Bytes there were.
    pub length: usize,
}

/// Decodes one record.
///
/// # Errors
/// [`Undecodable`] for an unknown kind or a length that does not fit it.
#[inline]
pub fn decode(bytes: &[u8]) -> Result<Record, Undecodable> {
    match (bytes.first(), bytes.len()) {
        // As an array its length is known below: no field is checked again.
        (Some(&record_kind::COMMAND), COMMAND_BYTES) => match bytes.first_chunk() {
            Some(bytes) => Ok(Record::Command(command(bytes))),
            None => Err(Undecodable {
                kind: record_kind::COMMAND,
                length: bytes.len(),
            }),
        },
        (Some(&record_kind::RTPG), RTPG_BYTES) => Ok(Record::Rtpg(rtpg(bytes))),
        (kind, length) => Err(Undecodable {
            kind: kind.copied().unwrap_or(0),
            length,
        }),
    }
}

const COMMAND_BYTES: usize = size_of::<CommandRecord>();
const RTPG_BYTES: usize = size_of::<RtpgRecord>();

/// The probes run on this machine: its byte order is theirs.
#[inline]
fn command(bytes: &[u8; COMMAND_BYTES]) -> CommandRecord {
    let mut bytes = &bytes[..];
    CommandRecord {
        kind: bytes.get_u8(),
        sense_key: bytes.get_u8(),
        asc: bytes.get_u8(),
        ascq: bytes.get_u8(),
        result: bytes.get_u32_ne(),
        dispatch_ns: bytes.get_u64_ne(),
        completion_ns: bytes.get_u64_ne(),
        followed: Followed(bytes.get_u64_ne()),
        cdb: {
            let mut cdb = [0; 12];
            bytes.copy_to_slice(&mut cdb);
            cdb
        },
        bytes: bytes.get_u32_ne(),
        retries: bytes.get_u32_ne(),
        reserved: bytes.get_u32_ne(),
    }
}

fn rtpg(mut bytes: &[u8]) -> RtpgRecord {
    RtpgRecord {
        kind: bytes.get_u8(),
        state: bytes.get_u8(),
        preferred: bytes.get_u8(),
        supported: bytes.get_u8(),
        group: bytes.get_u32_ne(),
        port_group: bytes.get_u64_ne(),
        entry_ns: bytes.get_u64_ne(),
        return_ns: bytes.get_u64_ne(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of<T: Copy>(record: &T) -> Vec<u8> {
        // SAFETY: wire records are integers without padding.
        unsafe { std::slice::from_raw_parts((&raw const *record).cast(), size_of::<T>()) }.to_vec()
    }

    fn record() -> CommandRecord {
        CommandRecord {
            kind: record_kind::COMMAND,
            sense_key: 6,
            asc: 0x2a,
            ascq: 7,
            result: 2,
            dispatch_ns: 0x1122_3344_5566_7788,
            completion_ns: 0x1122_3344_5566_8899,
            followed: Followed::new(0x0102, 0x0304, 0x81, 1, 3),
            cdb: [0x28, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
            bytes: 4096,
            retries: 5,
            reserved: 0,
        }
    }

    #[test]
    fn every_field_arrives_where_the_probe_put_it() {
        assert_eq!(decode(&bytes_of(&record())), Ok(Record::Command(record())));
        let rtpg = RtpgRecord {
            kind: record_kind::RTPG,
            state: 1,
            preferred: 1,
            supported: 0xcf,
            group: 2,
            port_group: 0xffff_8880_1234_5678,
            entry_ns: 10,
            return_ns: 20,
        };
        assert_eq!(decode(&bytes_of(&rtpg)), Ok(Record::Rtpg(rtpg)));
    }

    #[test]
    fn other_bytes_are_refused() {
        let good = bytes_of(&record());
        for length in 0..good.len() {
            assert!(decode(&good[..length]).is_err(), "{length} bytes");
        }
        for kind in (0..=u8::MAX).filter(|kind| *kind != record_kind::COMMAND) {
            let mut bad = good.clone();
            bad[0] = kind;
            assert_eq!(
                decode(&bad),
                Err(Undecodable {
                    kind,
                    length: good.len()
                })
            );
        }
    }
}
