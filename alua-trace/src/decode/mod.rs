//! `alua-trace decode`: shows what a SCSI page, answer or parameter list says, field by field. For
//! dumps that are at hand: it opens no device.

mod designators;
mod fields;
mod hexdump;
pub(crate) mod input;
mod pages;
mod words;

use std::io::Write;

use anyhow::{Context, Result};

use crate::cli::{DecodeConfig, DecodePage};
use crate::json;

/// Longest input that is read: more than a hundred times the longest answer there is.
const MAX_MIB: u64 = 1;

/// Decodes what `config` names; gives the exit status.
///
/// # Errors
/// The input cannot be read or is no dump, or not of this page. The message names line or byte, and
/// says what the page is made of.
pub fn run(config: &DecodeConfig) -> Result<u8> {
    let bytes = input::read(&config.input, MAX_MIB, "no dump of a page")?;
    let shown = show(config.page, config.json, &bytes)?;
    match std::io::stdout().write_all(shown.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(0),
        result => Ok(result.map(|()| 0)?),
    }
}

/// The report on `input`: a dump as text, or the bytes themselves.
///
/// # Errors
/// As [`run`].
pub fn show(page: DecodePage, as_json: bool, input: &[u8]) -> Result<String> {
    let needs = || format!("page {page} needs {}", page.needs());
    let dump = input::bytes(page, input).with_context(needs)?;
    let mut report = pages::report(page, &dump.bytes).with_context(needs)?;
    report.notes.extend(dump.notes);
    report.close();
    if as_json {
        Ok(json::to_line(&report)?)
    } else {
        Ok(report.to_string())
    }
}

#[cfg(test)]
mod tests;
