//! Owns the one system call to device-mapper. All that is unsafe about it is here.

use std::ffi::c_void;
use std::fs::File;
use std::io;

use rustix::ioctl;
use rustix::ioctl::Ioctl;
use rustix::ioctl::IoctlOutput;
use rustix::ioctl::Opcode;
use rustix::ioctl::opcode;

use super::wire::HEADER_SIZE;
use super::wire::Message;

/// `DM_IOCTL` of include/uapi/linux/dm-ioctl.h.
const DM_IOCTL: u8 = 0xfd;

/// Sends a message and receives the answer in its place.
pub(super) fn send(control: &File, message: &mut Message) -> io::Result<()> {
    // SAFETY: `Request` upholds what the commands demand, see its `Ioctl` implementation; on a
    // file that is not device-mapper's control device these numbers are unknown (ENOTTY).
    unsafe { ioctl::ioctl(control, Request(message)) }?;
    Ok(())
}

struct Request<'a>(&'a mut Message);

// SAFETY: the commands of `Message` read and write `data_size` bytes at the pointer and nothing
// else (`copy_params`, `ctl_ioctl`). `Message` keeps `data_size` equal to the length of its
// buffer, which is exclusively borrowed here and holds plain bytes, so any answer is valid.
// `IS_MUTATING` is true, as the kernel writes to the buffer.
unsafe impl Ioctl for Request<'_> {
    type Output = ();

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        opcode::read_write::<[u8; HEADER_SIZE]>(DM_IOCTL, self.0.command().number())
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.0.buffer().as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
