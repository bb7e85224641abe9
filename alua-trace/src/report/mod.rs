//! What a trace says, and how it is said outside the live view: plain lines, JSON lines and the
//! summary at the end.

pub mod doctor;
pub mod histogram;
pub mod lines;
pub mod setup;
mod slowest;
pub mod summary;
pub mod words;

mod account;
pub(crate) mod flags;
pub(crate) mod ownership;
mod table;

#[cfg(test)]
pub(crate) mod samples;
