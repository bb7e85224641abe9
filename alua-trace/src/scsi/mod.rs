//! Pure decoders of what SCSI devices say. No I/O, no clock, and no panic on any input.
//!
//! Facts are from SPC-4/SBC-3 as the Linux kernel implements them. RTPG data, mode pages and the
//! RDAC vital product data pages are not decoded here (yet).

pub mod access_state;
pub mod opcode;
pub mod sense;
pub mod vpd83;

pub use access_state::AccessState;
