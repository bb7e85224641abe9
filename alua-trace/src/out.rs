//! What a command says at its end: text for people, and where it is wanted one JSON object for programs.

use std::{
    fs,
    io::{self, Write},
};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::{cli::JsonTarget, json};

/// Prints the text, unless the object goes to standard output; writes the object where it is wanted.
///
/// # Errors
/// Standard output or the file cannot be written.
pub fn tell(target: Option<&JsonTarget>, object: &impl Serialize, text: &str) -> Result<()> {
    match target {
        Some(JsonTarget::Stdout) => return print(&json::to_line(object)?),
        Some(JsonTarget::File(file)) => {
            fs::write(file, json::to_line(object)?).with_context(|| {
                let file = file.display();
                format!("cannot write --json {file}; name a file that can be made")
            })?;
        }
        None => {}
    }
    print(text)
}

/// Prints a text.
///
/// # Errors
/// Standard output cannot be written; that its reader has gone is none.
pub fn print(text: &str) -> Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // It has seen what it wanted.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}
