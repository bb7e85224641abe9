//! Owns the layout of device-mapper's messages (include/uapi/linux/dm-ioctl.h, version 4):
//! `dm_ioctl`, `dm_name_list`, `dm_target_spec`. Pure; the layout is the same on all 64-bit and
//! 32-bit architectures, but for the byte order.

use std::io;

use super::DevNo;

/// `sizeof(struct dm_ioctl)`.
pub(super) const HEADER_SIZE: usize = 312;
/// The version of the interface that is spoken here; its minor 0 has all that is asked for.
pub(super) const VERSION_MAJOR: u32 = 4;
/// Room for a first try; most answers fit.
pub(super) const FIRST_SIZE: usize = 16 * 1024;
/// The most room that is offered.
pub(super) const MAX_SIZE: usize = 1024 * 1024;

/// `DM_STATUS_TABLE_FLAG`: the table instead of the status.
pub(super) const STATUS_TABLE: u32 = 1 << 4;
/// `DM_BUFFER_FULL_FLAG`: the answer did not fit.
const BUFFER_FULL: u32 = 1 << 8;
/// `DM_NOFLUSH_FLAG`: answer without flushing anything.
pub(super) const NOFLUSH: u32 = 1 << 11;

/// Offsets in `struct dm_ioctl`.
mod header {
    pub(super) const VERSION_MAJOR: usize = 0;
    pub(super) const DATA_SIZE: usize = 12;
    pub(super) const DATA_START: usize = 16;
    pub(super) const TARGET_COUNT: usize = 20;
    pub(super) const FLAGS: usize = 28;
    pub(super) const DEV: usize = 40;
    pub(super) const UUID: usize = 176;
    /// `DM_UUID_LEN`.
    pub(super) const UUID_LENGTH: usize = 129;
}

/// Offsets in `struct dm_target_spec`.
mod target {
    pub(super) const TYPE: usize = 24;
    /// `DM_MAX_TYPE_NAME`.
    pub(super) const TYPE_LENGTH: usize = 16;
    /// Size of the structure; the line follows.
    pub(super) const SIZE: usize = 40;
}

/// Offsets in `struct dm_name_list`.
mod name_list {
    pub(super) const DEV: usize = 0;
    pub(super) const NEXT: usize = 8;
    pub(super) const NAME: usize = 12;
}

/// The commands that this tool may send. None of them changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Version,
    ListDevices,
    TableStatus,
}

impl Command {
    /// `DM_VERSION_CMD` and so on.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Version => 0,
            Self::ListDevices => 2,
            Self::TableStatus => 12,
        }
    }
}

/// A question and, in its place, the answer.
#[derive(Debug)]
pub(super) struct Message {
    command: Command,
    /// At least [`HEADER_SIZE`] bytes; its length was written to `data_size`.
    buffer: Vec<u8>,
}

impl Message {
    pub(super) fn new(
        command: Command,
        devno: Option<DevNo>,
        flags: u32,
        size: usize,
    ) -> io::Result<Self> {
        let size = size.max(HEADER_SIZE);
        let data_size = u32::try_from(size).map_err(|_| io::ErrorKind::InvalidInput)?;
        let mut buffer = vec![0; size];
        put(
            &mut buffer,
            header::VERSION_MAJOR,
            &VERSION_MAJOR.to_ne_bytes(),
        );
        put(&mut buffer, header::DATA_SIZE, &data_size.to_ne_bytes());
        put(&mut buffer, header::DATA_START, &312_u32.to_ne_bytes());
        put(&mut buffer, header::FLAGS, &flags.to_ne_bytes());
        let dev = devno.map_or(0, DevNo::to_user);
        put(&mut buffer, header::DEV, &dev.to_ne_bytes());
        Ok(Self { command, buffer })
    }

    pub(super) fn command(&self) -> Command {
        self.command
    }

    /// For the system call: `data_size` in it is its length.
    pub(super) fn buffer(&mut self) -> &mut [u8] {
        &mut self.buffer
    }

    pub(super) fn version_major(&self) -> u32 {
        number(&self.buffer, header::VERSION_MAJOR).unwrap_or(0)
    }

    pub(super) fn is_full(&self) -> bool {
        number(&self.buffer, header::FLAGS).unwrap_or(0) & BUFFER_FULL != 0
    }

    pub(super) fn n_targets(&self) -> u32 {
        number(&self.buffer, header::TARGET_COUNT).unwrap_or(0)
    }

    /// The device's uuid; `None` when it has none.
    pub(super) fn uuid(&self) -> Option<String> {
        let field = self
            .buffer
            .get(header::UUID..)?
            .get(..header::UUID_LENGTH)?;
        let uuid = text(field);
        (!uuid.is_empty()).then_some(uuid)
    }

    /// The answer behind the header, by the bounds that the kernel wrote into it.
    pub(super) fn payload(&self) -> io::Result<&[u8]> {
        let start = number(&self.buffer, header::DATA_START);
        let size = number(&self.buffer, header::DATA_SIZE);
        start
            .zip(size)
            .and_then(|(start, size)| {
                let size = usize::try_from(size).ok()?.min(self.buffer.len());
                self.buffer.get(usize::try_from(start).ok()?..size)
            })
            .ok_or_else(|| malformed("its bounds"))
    }
}

/// Numbers and names of a DM_LIST_DEVICES answer. An answer without any device has one entry
/// with number 0, or no bytes at all.
pub(super) fn names(payload: &[u8]) -> io::Result<Vec<(DevNo, String)>> {
    let mut names = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let dev = rest
            .get(name_list::DEV..)
            .and_then(|bytes| bytes.first_chunk());
        let dev = u64::from_ne_bytes(*dev.ok_or_else(|| malformed("a list entry"))?);
        if dev == 0 {
            break;
        }
        let next = number(rest, name_list::NEXT).ok_or_else(|| malformed("a list entry"))?;
        let name = rest
            .get(name_list::NAME..)
            .ok_or_else(|| malformed("a list entry"))?;
        names.push((DevNo::from_user(dev), text(name)));
        if next == 0 {
            break;
        }
        let next = usize::try_from(next)
            .ok()
            .filter(|&next| name_list::NAME <= next);
        rest = next
            .and_then(|next| rest.get(next..))
            .ok_or_else(|| malformed("a list entry"))?;
    }
    Ok(names)
}

/// Type and line of the first target of a DM_TABLE_STATUS answer.
pub(super) fn first_target(payload: &[u8]) -> io::Result<(String, String)> {
    let target_type = payload
        .get(target::TYPE..)
        .and_then(|bytes| bytes.get(..target::TYPE_LENGTH));
    let line = payload.get(target::SIZE..);
    match (target_type, line) {
        (Some(target_type), Some(line)) => Ok((text(target_type), text(line).trim().to_owned())),
        _ => Err(malformed("a target")),
    }
}

fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    let field = buffer
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..bytes.len()));
    if let Some(field) = field {
        field.copy_from_slice(bytes);
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .copied()
        .map(u32::from_ne_bytes)
}

/// Up to the first zero byte, or all of it.
fn text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn malformed(what: &str) -> io::Error {
    let error = format!("device-mapper's answer is malformed: {what}");
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(dev: u64, next: u32, name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(dev.to_ne_bytes());
        bytes.extend(next.to_ne_bytes());
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    #[test]
    fn a_question_holds_its_own_size_and_the_device() {
        let devno = DevNo {
            major: 254,
            minor: 256,
        };
        let mut message = Message::new(Command::TableStatus, Some(devno), NOFLUSH, 4096).unwrap();
        let buffer = message.buffer();
        assert_eq!(buffer.len(), 4096);
        assert_eq!(number(buffer, 12), Some(4096));
        assert_eq!(number(buffer, 40), Some(0x0010_fe00));
        assert_eq!(number(buffer, 28), Some(0x800));
        assert_eq!(message.payload().unwrap().len(), 4096 - 312);
        assert!(!message.is_full());
    }

    #[test]
    fn the_list_of_devices_is_read_by_its_links() {
        let mut payload = entry(0xfe00, 24, "mpatha");
        assert_eq!(payload.len(), 24);
        payload.extend(entry(0xfe01, 0, "vg-lv"));
        payload.extend([0xff; 40]);
        let names = names(&payload).unwrap();
        let names: Vec<_> = names
            .iter()
            .map(|(devno, name)| format!("{devno} {name}"))
            .collect();
        assert_eq!(names, ["254:0 mpatha", "254:1 vg-lv"]);
    }

    #[test]
    fn an_empty_list_is_no_error() {
        assert!(names(&[]).unwrap().is_empty());
        assert!(names(&[0; 64]).unwrap().is_empty());
    }

    #[test]
    fn links_that_lead_nowhere_are_errors() {
        for next in [1, 11, 25, u32::MAX] {
            assert!(names(&entry(0xfe00, next, "mpatha")).is_err(), "{next}");
        }
        assert!(names(&[1; 5]).is_err());
        assert!(names(&[1; 13]).is_err());
    }

    #[test]
    fn the_first_target_is_read() {
        let mut payload = vec![0; 24];
        payload.extend(b"multipath\0\0\0\0\0\0\0");
        payload.extend(b"2 0 0 0 0 0 \0rest");
        let (target_type, line) = first_target(&payload).unwrap();
        assert_eq!(
            (target_type.as_str(), line.as_str()),
            ("multipath", "2 0 0 0 0 0")
        );
        assert!(first_target(&payload[..39]).is_err());
    }

    #[test]
    fn bounds_beyond_the_buffer_are_refused() {
        let mut message = Message::new(Command::ListDevices, None, 0, 512).unwrap();
        put(message.buffer(), header::DATA_SIZE, &u32::MAX.to_ne_bytes());
        assert_eq!(message.payload().unwrap().len(), 200);
        put(message.buffer(), header::DATA_START, &513_u32.to_ne_bytes());
        assert!(message.payload().is_err());
    }
}
