//! From bytes to records: safe decoding of the wire. Knows layouts, not meanings.

use std::mem::offset_of;

use alua_trace_ebpf::{
    CommandRecord, DmRecord, Followed, MANAGEMENT_DATA, ManagementRecord, RtpgRecord, record_kind,
};
use bytes::Buf;
use thiserror::Error;

pub mod histograms;
pub mod inbox;
pub mod logs;
pub mod mapped;
pub mod ring;

/// A record from the probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Record<'a> {
    /// A command ended.
    Command(CommandRecord),
    /// The kernel has filed the state of a port group.
    Rtpg(RtpgRecord),
    /// A command about ownership, with its data.
    Management(&'a [u8; MANAGEMENT_BYTES]),
    /// Something happened in dm-multipath.
    Dm(&'a [u8; DM_BYTES]),
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
pub fn decode(bytes: &[u8]) -> Result<Record<'_>, Undecodable> {
    let record = match (bytes.first(), bytes.len()) {
        // As arrays their lengths are known below: no field is checked again.
        (Some(&record_kind::COMMAND), COMMAND_BYTES) => command_of(bytes).map(Record::Command),
        (Some(&record_kind::RTPG), RTPG_BYTES) => Some(Record::Rtpg(rtpg(bytes))),
        (Some(&record_kind::MANAGEMENT), MANAGEMENT_BYTES) => {
            bytes.first_chunk().map(Record::Management)
        }
        (Some(&record_kind::DM), DM_BYTES) => bytes.first_chunk().map(Record::Dm),
        _ => None,
    };
    record.ok_or_else(|| Undecodable {
        kind: bytes.first().copied().unwrap_or(0),
        length: bytes.len(),
    })
}

/// The record of a command; `None` for any other, and for bytes that are no record.
#[inline]
#[must_use]
pub fn command_of(bytes: &[u8]) -> Option<CommandRecord> {
    let bytes: &[u8; COMMAND_BYTES] = bytes.try_into().ok()?;
    (bytes[0] == record_kind::COMMAND).then(|| command(bytes))
}

/// What of the probes' tables a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// A path and a route, by what the command says.
    Command(Followed),
    /// A path, by its id.
    Path(u16),
    /// A port group, by the address of its `alua_port_group`.
    PortGroup(u64),
}

/// What a record is about; `None` for one about neither, or bytes that are no record.
#[inline]
#[must_use]
pub fn about(bytes: &[u8]) -> Option<About> {
    match (*bytes.first()?, bytes.len()) {
        (record_kind::COMMAND, COMMAND_BYTES) => {
            let mut bytes = &bytes[offset_of!(CommandRecord, followed)..];
            Some(About::Command(Followed(bytes.get_u64_ne())))
        }
        (record_kind::MANAGEMENT, MANAGEMENT_BYTES) => {
            let mut bytes = &bytes[offset_of!(ManagementRecord, path)..];
            Some(About::Path(bytes.get_u16_ne()))
        }
        (record_kind::RTPG, RTPG_BYTES) => {
            let mut bytes = &bytes[offset_of!(RtpgRecord, port_group)..];
            Some(About::PortGroup(bytes.get_u64_ne()))
        }
        _ => None,
    }
}

const COMMAND_BYTES: usize = size_of::<CommandRecord>();
const RTPG_BYTES: usize = size_of::<RtpgRecord>();
const MANAGEMENT_BYTES: usize = size_of::<ManagementRecord>();
const DM_BYTES: usize = size_of::<DmRecord>();

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
        cdb: array(&mut bytes),
        bytes: bytes.get_u32_ne(),
        retries: bytes.get_u32_ne(),
        waited_us: bytes.get_u32_ne(),
    }
}

#[inline]
fn array<const N: usize>(bytes: &mut &[u8]) -> [u8; N] {
    let mut array = [0; N];
    bytes.copy_to_slice(&mut array);
    array
}

/// The record behind [`Record::Management`].
#[must_use]
pub fn management(bytes: &[u8; MANAGEMENT_BYTES]) -> ManagementRecord {
    let mut bytes = &bytes[..];
    ManagementRecord {
        kind: bytes.get_u8(),
        handler: bytes.get_u8(),
        path: bytes.get_u16_ne(),
        length: bytes.get_u32_ne().min(MANAGEMENT_DATA as u32),
        dispatch_ns: bytes.get_u64_ne(),
        completion_ns: bytes.get_u64_ne(),
        pid: bytes.get_u32_ne(),
        result: bytes.get_u32_ne(),
        comm: array(&mut bytes),
        cdb: array(&mut bytes),
        reserved: bytes.get_u32_ne(),
        data: array(&mut bytes),
    }
}

/// The record behind [`Record::Dm`].
#[must_use]
pub fn dm(bytes: &[u8; DM_BYTES]) -> DmRecord {
    let mut bytes = &bytes[..];
    DmRecord {
        kind: bytes.get_u8(),
        event: bytes.get_u8(),
        path_group: bytes.get_u16_ne(),
        result: bytes.get_u32_ne(),
        at_ns: bytes.get_u64_ne(),
        map_major: bytes.get_u32_ne(),
        map_minor: bytes.get_u32_ne(),
        device: bytes.get_u32_ne(),
        pid: bytes.get_u32_ne(),
        comm: array(&mut bytes),
        words: [array(&mut bytes), array(&mut bytes)],
    }
}

fn rtpg(mut bytes: &[u8]) -> RtpgRecord {
    RtpgRecord {
        kind: bytes.get_u8(),
        state: bytes.get_u8(),
        preferred: bytes.get_u8(),
        state_before: bytes.get_u8(),
        group: bytes.get_u32_ne(),
        port_group: bytes.get_u64_ne(),
        entry_ns: bytes.get_u64_ne(),
        return_ns: bytes.get_u64_ne(),
    }
}

/// A record as the probes write it.
#[cfg(test)]
pub(crate) fn bytes_of<T: Copy>(record: &T) -> Vec<u8> {
    // SAFETY: wire records are integers without padding.
    unsafe { std::slice::from_raw_parts((&raw const *record).cast(), size_of::<T>()) }.to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            waited_us: 0,
        }
    }

    #[test]
    fn every_field_arrives_where_the_probe_put_it() {
        assert_eq!(decode(&bytes_of(&record())), Ok(Record::Command(record())));
        let rtpg = RtpgRecord {
            kind: record_kind::RTPG,
            state: 1,
            preferred: 1,
            state_before: 0,
            group: 2,
            port_group: 0xffff_8880_1234_5678,
            entry_ns: 10,
            return_ns: 20,
        };
        assert_eq!(decode(&bytes_of(&rtpg)), Ok(Record::Rtpg(rtpg)));
        let about_group = Some(About::PortGroup(rtpg.port_group));
        assert_eq!(about(&bytes_of(&rtpg)), about_group);
        let dm = DmRecord {
            kind: record_kind::DM,
            event: 5,
            path_group: 2,
            result: 3,
            at_ns: 4,
            map_major: 254,
            map_minor: 1,
            device: 8 << 20 | 16,
            pid: 77,
            comm: *b"multipathd\0\0\0\0\0\0",
            words: [
                *b"switch_group\0\0\0\0",
                *b"2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            ],
        };
        let bytes = bytes_of(&dm);
        let Ok(Record::Dm(bytes)) = decode(&bytes) else {
            panic!("not decoded")
        };
        assert_eq!(super::dm(bytes), dm);
        let mut management = ManagementRecord {
            kind: record_kind::MANAGEMENT,
            handler: 1,
            path: 3,
            length: 8,
            dispatch_ns: 5,
            completion_ns: 6,
            pid: 7,
            result: 8,
            comm: *b"sg_stpg\0\0\0\0\0\0\0\0\0",
            cdb: [0xa4, 10, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
            reserved: 0,
            data: std::array::from_fn(|index| index as u8),
        };
        let decoded = |record: &ManagementRecord| match decode(&bytes_of(record)) {
            Ok(Record::Management(bytes)) => super::management(bytes),
            other => panic!("{other:?}"),
        };
        assert_eq!(decoded(&management), management);
        assert_eq!(about(&bytes_of(&management)), Some(About::Path(3)));
        // More than there is room for is not believed.
        management.length = u32::MAX;
        assert_eq!(decoded(&management).length as usize, MANAGEMENT_DATA);
    }

    #[test]
    fn what_a_record_is_about_is_what_it_says() {
        let command = record();
        let about_command = Some(About::Command(command.followed));
        assert_eq!(about(&bytes_of(&command)), about_command);
        let bytes = bytes_of(&command);
        assert_eq!(about(&bytes[1..]), None);
        assert_eq!(about(&[]), None);
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
