//! The multipath set-up and what is wrong with it: configuration files, what they come to for each
//! map, and findings. Pure but for [`run`].

pub mod effective;
pub mod facts;
pub mod findings;
mod keywords;
mod lexer;
pub mod parse;
pub mod pattern;
pub mod section;
pub mod tables;

use std::path::Path;

use anyhow::{Result, bail};

/// Examines a configuration file alone; gives the exit status.
///
/// # Errors
/// The file cannot be read.
pub fn run(_file: &Path, _json: bool) -> Result<u8> {
    bail!("not written yet")
}
