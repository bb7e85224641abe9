//! One file per command.

pub(crate) mod bench;
pub(crate) mod ci;
pub(crate) mod dist;
pub(crate) mod doctor;
pub(crate) mod evidence;
pub(crate) mod fuzz;
pub(crate) mod lab;
pub(crate) mod metrics;
pub(crate) mod run;
pub(crate) mod soak;
pub(crate) mod statistics;
pub(crate) mod test;
