//! Owns the sending of one SCSI command that reads (SG_IO, version 3). All that is unsafe about it
//! is here, and who may be asked at all: a device node whose number is the path's.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};

use super::refresh::{Answer, Channel, Command};
use crate::scsi::sense::SenseData;
use crate::topology::DevNo;

/// SG_IO (include/scsi/sg.h).
const SG_IO: Opcode = 0x2285;
/// How long the device may take. The array answers these from memory.
const TIMEOUT: Duration = Duration::from_secs(5);
const SENSE_BYTES: usize = 64;
/// SAM-5 CHECK CONDITION.
const CHECK_CONDITION: u8 = 0x02;

/// A device that can be asked.
#[derive(Debug)]
pub(super) struct Device(File);

impl Device {
    /// Opens a device node for reading, if it still is the device with this number.
    pub(super) fn open(node: &Path, devno: DevNo) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::open(node, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        let found = DevNo {
            major: rustix::fs::major(stat.st_rdev),
            minor: rustix::fs::minor(stat.st_rdev),
        };
        if found != devno {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} is {found} now, not {devno}", node.display()),
            ));
        }
        Ok(Self(File::from(file)))
    }
}

impl Channel for Device {
    fn send(&mut self, command: &Command) -> io::Result<Answer> {
        let mut cdb = command.cdb();
        let mut data = vec![0; command.room()];
        let mut sense = [0; SENSE_BYTES];
        let mut header = Header::new(&mut cdb, &mut data, &mut sense)?;
        // SAFETY: `Request` upholds what SG_IO demands, see its `Ioctl` implementation. On a file
        // that is no SCSI device the number is unknown (ENOTTY).
        unsafe { ioctl::ioctl(&self.0, Request(&mut header)) }?;
        let n_bytes = header.transferred();
        let verdict = header.verdict();
        match verdict {
            Verdict::Good => {
                data.truncate(n_bytes);
                Ok(Answer::Data(data))
            }
            Verdict::Check(n_sense) => SenseData::parse(sense.get(..n_sense).unwrap_or(&sense))
                .map(|data| Answer::Refused(data.sense))
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
            Verdict::Failed(text) => Err(io::Error::other(text)),
        }
    }
}

/// `struct sg_io_hdr`: pointers as the kernel takes them, and fields in its order.
#[repr(C)]
struct Header {
    interface_id: i32,
    direction: i32,
    cdb_bytes: u8,
    sense_room: u8,
    n_iovecs: u16,
    data_bytes: u32,
    data: *mut c_void,
    cdb: *mut c_void,
    sense: *mut c_void,
    timeout_ms: u32,
    flags: u32,
    pack_id: i32,
    user: *mut c_void,
    status: u8,
    masked_status: u8,
    message_status: u8,
    sense_bytes: u8,
    host_status: u16,
    driver_status: u16,
    residual: i32,
    duration_ms: u32,
    info: u32,
}

/// What became of a command.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// Sense data, so many bytes of it.
    Check(usize),
    Failed(String),
}

impl Header {
    /// Lends the three buffers to the kernel: they must outlive the call.
    fn new(cdb: &mut [u8], data: &mut [u8], sense: &mut [u8; SENSE_BYTES]) -> io::Result<Self> {
        const FROM_DEVICE: i32 = -3;
        let too_long = |_| io::Error::from(io::ErrorKind::InvalidInput);
        Ok(Self {
            interface_id: i32::from(b'S'),
            direction: FROM_DEVICE,
            cdb_bytes: u8::try_from(cdb.len()).map_err(too_long)?,
            sense_room: u8::try_from(sense.len()).map_err(too_long)?,
            n_iovecs: 0,
            data_bytes: u32::try_from(data.len()).map_err(too_long)?,
            data: data.as_mut_ptr().cast(),
            cdb: cdb.as_mut_ptr().cast(),
            sense: sense.as_mut_ptr().cast(),
            timeout_ms: u32::try_from(TIMEOUT.as_millis()).map_err(too_long)?,
            flags: 0,
            pack_id: 0,
            user: std::ptr::null_mut(),
            status: 0,
            masked_status: 0,
            message_status: 0,
            sense_bytes: 0,
            host_status: 0,
            driver_status: 0,
            residual: 0,
            duration_ms: 0,
            info: 0,
        })
    }

    /// Bytes that came, at most as many as there was room for.
    fn transferred(&self) -> usize {
        let missing = u32::try_from(self.residual).unwrap_or(0);
        usize::try_from(self.data_bytes.saturating_sub(missing)).unwrap_or(0)
    }

    fn verdict(&self) -> Verdict {
        /// `DRIVER_SENSE` of older kernels only says that there is sense data.
        const DRIVER_SENSE: u16 = 0x08;
        if self.host_status != 0 {
            let status = self.host_status;
            return Verdict::Failed(format!(
                "the command was not carried (host status 0x{status:x})"
            ));
        }
        match self.status {
            CHECK_CONDITION => Verdict::Check(usize::from(self.sense_bytes)),
            0 if self.driver_status & !DRIVER_SENSE == 0 => Verdict::Good,
            status => Verdict::Failed(format!(
                "the device answered with status 0x{status:02x} (driver status 0x{:x})",
                self.driver_status
            )),
        }
    }
}

struct Request<'a>(&'a mut Header);

// SAFETY: SG_IO reads and writes a `struct sg_io_hdr` at the pointer, which `Header` is, reads
// `cmd_len` bytes at `cmdp`, writes at most `dxfer_len` bytes at `dxferp` and at most `mx_sb_len` at
// `sbp` (drivers/scsi/scsi_ioctl.c `sg_io`). `Header::new` takes all of them from exclusive borrows
// of buffers of these lengths, which its caller keeps until the call is over; plain bytes, so any
// answer is valid. `IS_MUTATING` is true, as the kernel writes to the header.
unsafe impl Ioctl for Request<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        SG_IO
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::{offset_of, size_of};

    /// include/scsi/sg.h on a machine with 64-bit pointers.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_header_is_laid_out_as_the_kernels() {
        assert_eq!(size_of::<Header>(), 88);
        assert_eq!(offset_of!(Header, data), 16);
        assert_eq!(offset_of!(Header, timeout_ms), 40);
        assert_eq!(offset_of!(Header, status), 64);
        assert_eq!(offset_of!(Header, host_status), 68);
        assert_eq!(offset_of!(Header, residual), 72);
    }

    fn header(status: u8, host_status: u16, driver_status: u16) -> Header {
        let mut data = [0; 100];
        let mut header = Header::new(&mut [0; 6], &mut data, &mut [0; SENSE_BYTES]).unwrap();
        (header.status, header.host_status) = (status, host_status);
        (header.driver_status, header.sense_bytes) = (driver_status, 18);
        header
    }

    #[test]
    fn what_became_of_a_command_is_in_its_statuses() {
        assert_eq!(header(0, 0, 0).verdict(), Verdict::Good);
        assert_eq!(header(2, 0, 8).verdict(), Verdict::Check(18));
        assert!(matches!(header(0, 3, 0).verdict(), Verdict::Failed(_)));
        assert!(matches!(header(0x18, 0, 0).verdict(), Verdict::Failed(_)));
        assert!(matches!(header(0, 0, 6).verdict(), Verdict::Failed(_)));
    }

    #[test]
    fn a_residual_is_never_believed_beyond_the_buffer() {
        let mut header = header(0, 0, 0);
        for (residual, expected) in [(0, 100), (60, 40), (200, 0), (-5, 100)] {
            header.residual = residual;
            assert_eq!(header.transferred(), expected);
        }
    }

    #[test]
    fn only_the_device_with_the_right_number_is_asked() {
        let devno = |minor| DevNo { major: 1, minor };
        // The null device: its number is 1:3 on every Linux.
        let null = Path::new("/dev/null");
        let error = Device::open(null, devno(5)).unwrap_err().to_string();
        assert!(error.contains("is 1:3 now, not 1:5"), "{error}");
        let mut device = Device::open(null, devno(3)).unwrap();
        let error = device.send(&Command::Inquiry { bytes: 96 }).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(25), "ENOTTY: {error}");
        assert!(Device::open(Path::new("/dev/nothing/here"), devno(3)).is_err());
    }
}
