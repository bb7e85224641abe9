//! Owns the questions to device-mapper: which maps are there, and what do they say. The lines are
//! read in [`super::multipath`].
//!
//! Only questions that change nothing: DM_VERSION, DM_LIST_DEVICES, DM_TABLE_STATUS. The last
//! with DM_NOFLUSH_FLAG, so that no target flushes, waits for or suspends I/O to answer.

mod ioctl;
mod wire;

use std::fs::File;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use self::wire::Command;
use self::wire::Message;
use super::DevNo;
use crate::sysroot::Sysroot;

/// What device-mapper says about one multipath map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmTable {
    /// Its name.
    pub name: String,
    /// Its number.
    pub devno: DevNo,
    /// Its uuid; maps of a bare `dmsetup create` have none.
    pub uuid: Option<String>,
    /// The multipath target's status, without start, length and type.
    pub status: String,
    /// The multipath target's table, without start, length and type.
    pub table: String,
}

/// Who knows the multipath maps: the kernel, or a test.
pub trait DmSource {
    /// All multipath maps that have a table in use.
    fn tables(&self) -> io::Result<Vec<DmTable>>;
}

/// Maps that are known beforehand.
impl DmSource for Vec<DmTable> {
    fn tables(&self) -> io::Result<Vec<DmTable>> {
        Ok(self.clone())
    }
}

/// Device-mapper's control device. Needs CAP_SYS_ADMIN (drivers/md/dm-ioctl.c `ctl_ioctl`).
#[derive(Debug, Clone)]
pub struct DmControl {
    /// `None` where there is no device-mapper.
    path: Option<PathBuf>,
}

impl DmControl {
    /// Looks whether there is a device-mapper; opens nothing yet.
    pub fn new(sysroot: &Sysroot) -> Self {
        Self {
            path: sysroot.has_device_mapper().then(|| sysroot.dm_control()),
        }
    }
}

impl DmSource for DmControl {
    fn tables(&self) -> io::Result<Vec<DmTable>> {
        let Some(path) = &self.path else {
            return Ok(Vec::new());
        };
        let control = File::open(path)?;
        check_version(&control)?;
        let mut tables = Vec::new();
        let devices = ask(&control, Command::ListDevices, None, 0)?;
        for (devno, name) in wire::names(devices.payload()?)? {
            match table(&control, devno, name) {
                Ok(table) => tables.extend(table),
                // It was removed since the list was made.
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(tables)
    }
}

/// A major version other than the one we speak is answered with EINVAL (`check_version`); the
/// answer then has the kernel's.
fn check_version(control: &File) -> io::Result<()> {
    let mut message = Message::new(Command::Version, None, 0, wire::FIRST_SIZE)?;
    let answer = ioctl::send(control, &mut message);
    match message.version_major() {
        wire::VERSION_MAJOR => answer,
        major => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("device-mapper speaks version {major} of its interface, this tool version 4"),
        )),
    }
}

/// The lines of one device; `None` when it is no multipath map. Asks for the status first: the
/// table lines of other targets may hold secrets (keys of dm-crypt) and are never asked for.
fn table(control: &File, devno: DevNo, name: String) -> io::Result<Option<DmTable>> {
    let status = ask(control, Command::TableStatus, Some(devno), wire::NOFLUSH)?;
    let uuid = status.uuid();
    let Some(status) = multipath_line(&status)? else {
        return Ok(None);
    };
    let flags = wire::NOFLUSH | wire::STATUS_TABLE;
    let table = ask(control, Command::TableStatus, Some(devno), flags)?;
    let Some(table) = multipath_line(&table)? else {
        return Ok(None);
    };
    Ok(Some(DmTable {
        name,
        devno,
        uuid,
        status,
        table,
    }))
}

/// A multipath target is always its table's only one (`DM_TARGET_SINGLETON`).
fn multipath_line(answer: &Message) -> io::Result<Option<String>> {
    if answer.n_targets() == 0 {
        return Ok(None);
    }
    let (target_type, line) = wire::first_target(answer.payload()?)?;
    Ok((target_type == "multipath").then_some(line))
}

/// Asks, with more room for the answer as long as it does not fit.
fn ask(control: &File, command: Command, devno: Option<DevNo>, flags: u32) -> io::Result<Message> {
    let mut size = wire::FIRST_SIZE;
    loop {
        let mut message = Message::new(command, devno, flags, size)?;
        ioctl::send(control, &mut message)?;
        if !message.is_full() {
            return Ok(message);
        }
        size *= 4;
        if size > wire::MAX_SIZE {
            let error = format!(
                "device-mapper's answer is longer than {} bytes",
                wire::MAX_SIZE
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_device_mapper_there_are_no_maps() {
        let dir = tempfile::tempdir().unwrap();
        let control = DmControl::new(&Sysroot::at(dir.path()));
        assert_eq!(control.tables().unwrap(), []);
    }
}
