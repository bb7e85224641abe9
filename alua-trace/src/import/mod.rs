//! `alua-trace import`: reads what people have at hand from a machine without the tool, and shows it
//! in the views of `paths`.

use anyhow::{Result, bail};

use crate::cli::ImportConfig;

/// Reads and shows what `config` names; gives the exit status.
///
/// # Errors
/// The input cannot be read, or is of no form that is known.
pub fn run(_config: &ImportConfig) -> Result<u8> {
    bail!("not written yet")
}
