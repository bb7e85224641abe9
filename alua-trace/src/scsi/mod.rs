//! Pure decoders of what SCSI devices say and are told. No I/O, no clock, no panic on any input,
//! and no allocation beyond a small multiple of it.
//!
//! Facts are from SPC-4/SBC-3 as the Linux kernel implements them; those of vendors' pages from
//! the kernel's device handlers and from sg3_utils. Strings stay as the device wrote them: who
//! prints them makes them safe (`report::safe`).

pub mod access_state;
pub mod bytes;
pub mod cdb;
pub mod emc;
pub mod inquiry;
pub mod mode;
pub mod opcode;
pub mod rdac;
pub mod rtpg;
pub mod sense;
pub mod vpd;
pub mod vpd83;

pub use access_state::AccessState;
pub use bytes::DecodeError;
