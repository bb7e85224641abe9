//! The multipath set-up and what is wrong with it: configuration files, what they come to for each
//! map, and findings. Pure but for [`run`], [`source`] and [`gather`].

pub mod effective;
pub mod facts;
pub mod findings;
pub mod gather;
mod keywords;
mod lexer;
pub mod parse;
pub mod pattern;
pub mod section;
pub mod setup;
pub mod source;
pub mod tables;

use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::live;
use crate::report::{json, setup as report};

use setup::Setup;
use source::Sources;

/// Findings that are worse than advice.
const WANTING: u8 = 1;
const WIDTH_WITHOUT_TERMINAL: u16 = 100;

/// Examines a configuration file alone, or a directory of them; gives the exit status.
///
/// # Errors
/// The file cannot be read.
pub fn run(file: &Path, as_json: bool) -> Result<u8> {
    let setup = Setup::new(Sources::of_path(file)?, None);
    let text = if as_json {
        json::to_line(&setup)?
    } else {
        report::setup(&setup, live::columns().unwrap_or(WIDTH_WITHOUT_TERMINAL))
    };
    let status = if setup.is_wanting() { WANTING } else { 0 };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(status),
        result => Ok(result.map(|()| status)?),
    }
}
